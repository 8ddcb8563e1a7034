#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>

#include "harness/policy/builtin.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kData = RINGFENCE_SOURCE_DIR "/suites/data/policies/";

// A config.json with `fields` beside the required ones.
std::string config(const std::string& fields, const std::string& process = "") {
  return R"({"ociVersion": "1.2.0", "root": {"path": "rootfs"},
             "process": {"cwd": "/", "args": ["sh"])" +
         process + "}" + (fields.empty() ? "" : ", ") + fields + "}";
}

ReadPolicy read(const std::string& json) {
  auto result = parse_oci_policy(json, "t.json");
  EXPECT_TRUE(result) << (result ? "" : result.error().describe());
  return result ? *result : ReadPolicy{};
}

TEST(OciReader, ReadsWhatRuncWrites) {
  const auto result = read_oci_policy(kData + "runc-spec.json");
  ASSERT_TRUE(result) << result.error().describe();
  const Policy& p = result->policy;
  EXPECT_THAT(result->warnings, IsEmpty());
  EXPECT_EQ(p.oci_version, "1.0.2-dev");
  EXPECT_TRUE(p.terminal);
  EXPECT_TRUE(p.no_new_privileges);
  EXPECT_THAT(p.args, ElementsAre("sh"));
  EXPECT_EQ(p.capabilities.bounding, CapSet::of({"AUDIT_WRITE", "KILL", "NET_BIND_SERVICE"}));
  EXPECT_EQ(p.capabilities.inheritable, CapSet{});  // left out there: empty
  EXPECT_THAT(p.rlimits, ElementsAre(Rlimit{RLIMIT_NOFILE, 1024, 1024}));
  EXPECT_EQ(p.root->path, kData + "rootfs");  // relative to the bundle
  EXPECT_TRUE(p.root->readonly);
  EXPECT_EQ(p.mounts.size(), 7U);
  EXPECT_EQ(p.mounts.at(5).flag_set,
            static_cast<uint64_t>(MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV));
  EXPECT_EQ(p.namespaces.size(), 5U);
  EXPECT_FALSE(p.seccomp);
  EXPECT_EQ(p.masked_paths.size(), 10U);
  EXPECT_THAT(p.unenforced, IsEmpty());
  EXPECT_THAT(p.resources.devices, ElementsAre(DeviceRule{}));
}

TEST(OciReader, ReadsWhatCrunAndPodmanWrite) {
  const auto crun = read_oci_policy(kData + "crun-spec.json");
  ASSERT_TRUE(crun) << crun.error().describe();
  EXPECT_EQ(crun->policy.hostname, "crun");
  const auto podman = read_oci_policy(kData + "podman.json");
  ASSERT_TRUE(podman) << podman.error().describe();
  EXPECT_THAT(podman->warnings, IsEmpty());
  const Policy& p = podman->policy;
  EXPECT_EQ(p.resources.pids_limit, 2048);
  EXPECT_EQ(p.user.umask, 022U);
  EXPECT_EQ(p.sysctl.at("net.ipv4.ping_group_range"), "0 0");
  EXPECT_EQ(p.seccomp->default_errno, static_cast<uint32_t>(ENOSYS));
  EXPECT_THAT(p.seccomp->architectures, Contains("SCMP_ARCH_X86_64"));
  EXPECT_EQ(p.annotations.at("io.container.manager"), "libpod");
}

TEST(OciReader, PathsAreRelativeToTheBundle) {
  const std::string bundle = ::testing::TempDir();
  const std::string file = bundle + "/relative.json";
  std::ofstream(file) << config(R"("mounts": [
    {"destination": "/a", "source": "etc/a", "options": ["bind"]},
    {"destination": "/b", "type": "bind", "source": "/b"},
    {"destination": "/c", "type": "tmpfs", "source": "tmpfs"}],
    "linux": {"namespaces": [{"type": "mount"}]})");
  const auto result = read_oci_policy(file);
  ASSERT_TRUE(result) << result.error().describe();
  EXPECT_EQ(result->policy.root->path, bundle + "/rootfs");
  EXPECT_EQ(result->policy.mounts.at(0).source, bundle + "/etc/a");
  EXPECT_EQ(result->policy.mounts.at(1).source, "/b");
  EXPECT_EQ(result->policy.mounts.at(2).source, "tmpfs");
  std::filesystem::remove(file);
}

TEST(OciReader, NamesUnknownFields) {
  const auto result = read(config(R"("linux": {"namespace": [], "resources": {"pid": {}}})"));
  ASSERT_EQ(result.warnings.size(), 2U);
  EXPECT_EQ(result.warnings[0].file, "t.json");
  EXPECT_EQ(result.warnings[0].pointer, "/linux/namespace");
  EXPECT_THAT(result.warnings[0].text, HasSubstr("did you mean namespaces?"));
  EXPECT_EQ(result.warnings[1].pointer, "/linux/resources/pid");
}

TEST(OciReader, EscapesPointers) {
  const auto result = read(config(R"("a/b~c": 1)"));
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_EQ(result.warnings[0].pointer, "/a~1b~0c");
}

TEST(OciReader, RecordsWhatItDoesNotEnforce) {
  const auto result = read(config(R"(
    "hooks": {"poststop": [{"path": "/bin/true"}]},
    "mounts": [{"destination": "/m", "type": "bind", "source": "/m", "options": ["rbind", "rro"]}],
    "linux": {
      "namespaces": [{"type": "mount"}, {"type": "network"}],
      "mountLabel": "system_u:object_r:x_t:s0",
      "intelRdt": {"closID": "a"},
      "netDevices": {"eth0": {"name": "e"}},
      "resources": {
        "cpu": {"shares": 512, "cpus": "0-1"},
        "memory": {"limit": 1000000, "swap": 2000000},
        "blockIO": {"weight": 100},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
        "unified": {"io.max": "8:0 rbps=1", "memory.high": "5"}
      }
    })"));
  EXPECT_THAT(result.warnings, IsEmpty());
  std::map<std::string, std::string> found;
  for (const auto& u : result.policy.unenforced) found[u.pointer] = u.layer.str();
  const std::map<std::string, std::string> expected = {{"/hooks", ""},
                                                       {"/linux/mountLabel", "lsm.selinux"},
                                                       {"/linux/intelRdt", ""},
                                                       {"/linux/netDevices", ""}};
  EXPECT_EQ(found, expected);
  EXPECT_EQ(result.policy.resources.memory_limit, 1000000);
}

TEST(OciReader, TerminalNetDevicesAndCopiesComeBack) {
  const auto result = read(config(R"(
    "mounts": [{"destination": "/etc", "type": "tmpfs", "source": "tmpfs",
                "options": ["size=1m", "tmpcopyup", "sync", "dirsync"]}],
    "linux": {"namespaces": [{"type": "mount"}, {"type": "network"}],
              "mountLabel": "system_u:object_r:x_t:s0:c1,c2",
              "netDevices": {"eth0": {"name": "e"}, "eth1": {}}})",
                                  R"(, "consoleSize": {"height": 24, "width": 80},
                                     "terminal": true)"));
  const Policy& p = result.policy;
  EXPECT_THAT(result.warnings, IsEmpty());
  EXPECT_TRUE(p.terminal);
  EXPECT_EQ(p.console_size, (ConsoleSize{24, 80}));
  const std::map<std::string, std::string> devices = {{"eth0", "e"}, {"eth1", ""}};
  EXPECT_EQ(p.net_devices, devices);
  EXPECT_EQ(p.mount_label, "system_u:object_r:x_t:s0:c1,c2");
  EXPECT_TRUE(p.mounts.at(0).copy_up);
  EXPECT_EQ(p.mounts.at(0).data, "size=1m");
  EXPECT_EQ(p.mounts.at(0).flag_set, static_cast<uint64_t>(MS_SYNCHRONOUS | MS_DIRSYNC));
  EXPECT_EQ(read(write_oci_policy(p)).policy, p);
}

TEST(OciReader, TakesHarmlessPartsInItsStride) {
  const auto result = read(config(R"("annotations": {"a": "b"}, "windows": {"x": 1}, "vm": {})",
                                  R"(, "consoleSize": {"height": 1, "width": 2}, "terminal": true,
                                       "apparmorProfile": "unconfined", "env": null)"));
  EXPECT_THAT(result.warnings, IsEmpty());
  EXPECT_THAT(result.policy.unenforced, IsEmpty());
  EXPECT_EQ(result.policy.annotations.at("a"), "b");
}

TEST(OciReader, TakesWholeNumbersInAnyNotation) {
  const auto result = read(config(R"("linux": {"resources": {"memory": {"limit": 1e9}}})",
                                  R"(, "rlimits": [{"type": "RLIMIT_CORE", "soft": 1.0,
                                       "hard": 18446744073709551615}])"));
  EXPECT_EQ(result.policy.resources.memory_limit, 1000000000);
  EXPECT_EQ(result.policy.rlimits.at(0), (Rlimit{RLIMIT_CORE, 1, UINT64_MAX}));
  EXPECT_FALSE(parse_oci_policy(config("", R"(, "rlimits": [{"type": "RLIMIT_CORE", "soft": 1,
                                       "hard": 18446744073709551616}])"),
                                "t"));
}

TEST(OciReader, LimitsOfZeroAreNone) {
  const auto result =
      read(config(R"("linux": {"resources": {"memory": {"limit": -1}, "pids": {"limit": 0}}})"));
  EXPECT_EQ(result.policy.resources.memory_limit, -1);
  EXPECT_FALSE(result.policy.resources.pids_limit);
}

TEST(OciReader, WarnsOfUnknownSyscallsOnly) {
  const auto result = read(config(R"("linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["read", "_llseek", "mseal", "listns", "statmount", "breakpoint",
                            "read_minds"], "action": "SCMP_ACT_ERRNO"}]}})"));
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_EQ(result.warnings[0].pointer, "/linux/seccomp/syscalls/0/names/6");
  EXPECT_THAT(result.warnings[0].text, HasSubstr("read_minds"));
}

TEST(OciReader, RepeatedArgumentsBecomeRules) {
  const auto result = read(config(R"("linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [
      {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 9, "op": "SCMP_CMP_GT"}
    ]}]}})"));
  ASSERT_EQ(result.policy.seccomp->rules.size(), 2U);
  EXPECT_EQ(result.policy.seccomp->rules[1].args.at(0).op, SeccompOp::gt);
}

TEST(OciReader, TimeNamespaceOfVersion11) {
  const auto result = read(config(R"("linux": {"namespaces": [{"type": "time"}],
    "timeOffsets": {"boottime": {"secs": -5, "nanosecs": 7}}})"));
  EXPECT_TRUE(result.policy.has(Ns::time));
  EXPECT_EQ(result.policy.time_offsets.at("boottime"), (TimeOffset{-5, 7}));
  const auto again = read(write_oci_policy(result.policy));
  EXPECT_EQ(again.policy, result.policy);
}

TEST(OciReader, RootAnnotationHoldsForTheWrittenPathOnly) {
  Policy policy = docker_default();
  std::string json = write_oci_policy(policy);
  EXPECT_EQ(read(json).policy.root->path, "");
  json.replace(json.find("\"path\": \"rootfs\""), 16, "\"path\": \"/srv/r\"");
  EXPECT_EQ(read(json).policy.root->path, "/srv/r");
}

TEST(Syscalls, NumbersAndNames) {
  EXPECT_EQ(syscall_number("read"), 0);
  EXPECT_EQ(syscall_number("fchmodat2"), 452);
  EXPECT_EQ(syscall_number("mseal"), 462);
  EXPECT_EQ(syscall_number("setxattrat"), 463);
  EXPECT_EQ(syscall_number("listns"), 470);
  EXPECT_EQ(syscall_number("waitpid"), -1);  // of other architectures
  EXPECT_EQ(syscall_number("read_minds"), -1);
  EXPECT_EQ(syscall_name(469), "file_setattr");
  EXPECT_EQ(syscall_name(-1), "");
  EXPECT_EQ(syscall_name(500), "");
  // One number, one name, in both directions, over the whole table.
  for (int nr = 0; nr <= 470; ++nr) {
    const std::string name = syscall_name(nr);
    if (nr > 336 && nr < 424) {
      EXPECT_EQ(name, "") << nr;
      continue;
    }
    EXPECT_NE(name, "") << nr;
    EXPECT_EQ(syscall_number(name), nr) << name;
  }
  EXPECT_TRUE(well_formed_syscall_name("_llseek"));
  for (const auto* bad : {"", "9p", "sys-open", "open at", "_", "open\n"}) {
    EXPECT_FALSE(well_formed_syscall_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace ringfence
