// Bad input: one clear usage error each, with file and JSON pointer (or line and column).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kData = RINGFENCE_SOURCE_DIR "/suites/data/policies/";

struct Malformed {
  const char* name;   // of the file under malformed/, without .json
  const char* where;  // JSON pointer, its beginning after '^', "@LINE:COLUMN", or "" for the file
  const char* words;  // in the message
};
const std::vector<Malformed> kMalformed = {
    {"no-version", "/ociVersion", R"(required)"},
    {"version-2", "/ociVersion", R"(unsupported version)"},
    {"version-word", "/ociVersion", R"(malformed version)"},
    {"no-process", "/process", R"(required)"},
    {"no-root", "/root", R"(required)"},
    {"root-path-empty", "/root/path", R"(empty root path)"},
    {"root-readonly-string", "/root/readonly", R"(wrong type: string)"},
    {"no-cwd", "/process/cwd", R"(required)"},
    {"cwd-relative", "/process/cwd", R"(not an absolute path)"},
    {"args-empty", "/process/args", R"(no program)"},
    {"args-string", "/process/args", R"(wrong type: string)"},
    {"env-number", "/process/env/0", R"(wrong type: number)"},
    {"uid-negative", "/process/user/uid", R"(out of range: -1)"},
    {"uid-fraction", "/process/user/uid", R"(not a whole number)"},
    {"uid-overflow", "/process/user/gid", R"(0 to 4294967294)"},
    {"umask-large", "/process/user/umask", R"(0 to 511)"},
    {"capability-unknown", "/process/capabilities/bounding/1", R"(did you mean CAP_SYS_ADMIN?)"},
    {"rlimit-unknown", "/process/rlimits/0/type", R"(did you mean RLIMIT_NOFILE?)"},
    {"rlimit-soft-above-hard", "/process/rlimits/0/soft", R"(at most 1024)"},
    {"rlimit-twice", "/process/rlimits/1/type", R"(occurs twice)"},
    {"oom-score", "/process/oomScoreAdj", R"(-1000 to 1000)"},
    {"scheduler-word", "/process/scheduler/policy", R"(SCHED_)"},
    {"scheduler-no-policy", "/process/scheduler/policy", R"(required)"},
    {"scheduler-iso", "/process/scheduler/policy", R"(no Linux has it)"},
    {"scheduler-nice", "/process/scheduler/nice", R"(-20 to 19)"},
    {"scheduler-priority", "/process/scheduler/priority", R"(1 to 99)"},
    {"scheduler-priority-none", "/process/scheduler", R"(1 to 99)"},
    {"scheduler-priority-other", "/process/scheduler/priority", R"(SCHED_FIFO and SCHED_RR alone)"},
    {"scheduler-flag", "/process/scheduler/flags/0", R"(did you mean SCHED_FLAG_RECLAIM?)"},
    {"scheduler-runtime-other", "/process/scheduler/runtime", R"(SCHED_DEADLINE alone)"},
    {"scheduler-runtime-none", "/process/scheduler", R"(without a runtime)"},
    {"scheduler-runtime-short", "/process/scheduler/runtime", R"(at least 1024 ns)"},
    {"scheduler-deadline", "/process/scheduler/deadline", R"(at least 5000)"},
    {"scheduler-period", "/process/scheduler/period", R"(at least 6000)"},
    {"io-priority-class", "/process/ioPriority/class", R"(did you mean IOPRIO_CLASS_IDLE?)"},
    {"io-priority-level", "/process/ioPriority/priority", R"(0 to 7)"},
    {"exec-affinity-list", "/process/execCPUAffinity/final", R"(malformed list)"},
    {"label-lines", "/process/apparmorProfile", R"(one line)"},
    {"personality-domain", "/linux/personality/domain", R"(did you mean LINUX?)"},
    {"personality-flag", "/linux/personality/flags", R"(an empty list)"},
    {"memory-policy-mode", "/linux/memoryPolicy/mode", R"(did you mean MPOL_BIND?)"},
    {"memory-policy-list", "/linux/memoryPolicy/nodes", R"(malformed list)"},
    {"memory-policy-no-nodes", "/linux/memoryPolicy", R"(at least one node)"},
    {"memory-policy-nodes", "/linux/memoryPolicy/nodes", R"(takes none)"},
    {"memory-policy-flags", "/linux/memoryPolicy/flags", R"(one of the two)"},
    {"memory-policy-flag-default", "/linux/memoryPolicy/flags", R"(no flags)"},
    {"mount-relative", "/mounts/1/destination", R"(not an absolute path)"},
    {"mount-no-destination", "/mounts/0/destination", R"(required)"},
    {"mount-options-string", "/mounts/1/options", R"(an array)"},
    {"mount-no-type", "/mounts/0", R"(without a type)"},
    {"bind-no-source", "/mounts/0", R"(without a source)"},
    {"overlay-no-lower", "/mounts/0/options", R"(without lower layers)"},
    {"overlay-upper-alone", "/mounts/0/options", R"(upperdir without workdir)"},
    {"overlay-relative", "/mounts/0/options", R"(not an absolute path: "m")"},
    {"overlay-work-in-upper", "/mounts/0/options", R"(overlap)"},
    {"mount-idmap-no-bind", "/mounts/0/uidMappings", R"(no bind)"},
    {"mount-idmap-one", "/mounts/0", R"(gidMappings is missing)"},
    {"mount-idmap-no-maps", "/mounts/0/options", R"(idmap without maps)"},
    {"mount-idmap-overlap", "/mounts/0/uidMappings/1", R"(overlaps)"},
    {"annotation-init", "/annotations/ringfence.init", R"(true, false)"},
    {"nul-byte", "/mounts/1/source", R"(NUL byte)"},
    {"hostname-long", "/hostname", R"(at most 64 bytes)"},
    {"hostname-without-uts", "/hostname", R"(type uts)"},
    {"namespace-unknown", "/linux/namespaces/0/type", R"(did you mean pid?)"},
    {"namespace-twice", "/linux/namespaces/1/type", R"(occurs twice)"},
    {"namespace-path-relative", "/linux/namespaces/1/path", R"(not an absolute path)"},
    {"idmap-without-user", "/linux/uidMappings", R"(type user)"},
    {"idmap-missing", "/linux/gidMappings", R"(at least one map)"},
    {"idmap-overlap", "/linux/uidMappings/1", R"(overlaps)"},
    {"idmap-empty", "/linux/uidMappings/0/size", R"(at least 1)"},
    {"idmap-past-end", "/linux/uidMappings/0/size", R"(4294967294)"},
    {"idmap-many", "/linux/uidMappings", R"(at most 340)"},
    {"time-offset-without-time", "/linux/timeOffsets", R"(type time)"},
    {"device-type", "/linux/devices/0/type", R"(unknown word)"},
    {"cgroups-path-up", "/linux/cgroupsPath", R"("..")"},
    {"cgroups-path-of-a-file", "/linux/cgroupsPath", R"(no group can have this name)"},
    {"cgroups-path-long", "/linux/cgroupsPath", R"(more than 255)"},
    {"pids-negative", "/linux/resources/pids/limit", R"(-1 to)"},
    {"memory-string", "/linux/resources/memory/limit", R"(wrong type: string)"},
    {"cpu-shares-negative", "/linux/resources/cpu/shares", R"(out of range)"},
    {"swappiness-high", "/linux/resources/memory/swappiness", R"(0 to 100)"},
    {"realtime-over-period", "/linux/resources/cpu/realtimeRuntime", R"(at most 1000)"},
    {"leaf-weight-low", "/linux/resources/blockIO/leafWeight", R"(10 to 1000)"},
    {"class-id-past-end", "/linux/resources/network/classID", R"(0 to 4294967295)"},
    {"priority-of-a-path", "/linux/resources/network/priorities/0/name", R"(of an interface)"},
    {"rdma-handles-past-end", "/linux/resources/rdma/mlx5_0/hcaHandles", R"(0 to 2147483647)"},
    {"sysctl-host", "/linux/sysctl/kernel.core_pattern", R"(belongs to no namespace)"},
    {"propagation-word", "/linux/rootfsPropagation", R"(unknown word)"},
    {"masked-relative", "/linux/maskedPaths/0", R"(not an absolute path)"},
    {"masked-without-mount", "/linux/maskedPaths", R"(type mount)"},
    {"seccomp-syscall-malformed", "/linux/seccomp/syscalls/0/names/1",
     R"(letters, digits and underscores)"},
    {"seccomp-arg-index", "/linux/seccomp/syscalls/1/args/0/index", R"(0 to 5)"},
    {"seccomp-op", "/linux/seccomp/syscalls/1/args/0/op", R"(did you mean SCMP_CMP_EQ?)"},
    {"seccomp-action", "/linux/seccomp/syscalls/0/action", R"(did you mean SCMP_ACT_ALLOW?)"},
    {"seccomp-no-default", "/linux/seccomp/defaultAction", R"(required)"},
    {"seccomp-arch-unknown", "/linux/seccomp/architectures/0", R"(did you mean SCMP_ARCH_X86_64?)"},
    {"seccomp-arch-other", "/linux/seccomp/architectures", R"(for another architecture)"},
    {"seccomp-errno-large", "/linux/seccomp/syscalls/0/errnoRet", R"(0 to 4095)"},
    {"seccomp-flag", "/linux/seccomp/flags/0", R"(did you mean SECCOMP_FILTER_FLAG_LOG?)"},
    {"annotation-value", "/annotations/ringfence.set_user", R"(true, false)"},
    {"network-broken", "/annotations/ringfence.network", R"(broken JSON)"},
    {"network-name-long", "/annotations/ringfence.network/interfaces/0/name",
     R"(at most 15 bytes)"},
    {"network-name-slash", "/annotations/ringfence.network/interfaces/0/name",
     R"(malformed interface name)"},
    {"network-name-twice", "/annotations/ringfence.network/interfaces/1/name",
     R"(name occurs twice: eth0)"},
    {"network-name-lo", "/annotations/ringfence.network/interfaces/0/name",
     R"(only the loopback interface)"},
    {"network-kind", "/annotations/ringfence.network/interfaces/0/kind", R"(did you mean veth?)"},
    {"network-kind-missing", "/annotations/ringfence.network/interfaces/0/kind", R"(required)"},
    {"network-no-interfaces", "/annotations/ringfence.network/interfaces", R"(required)"},
    {"network-field", "/annotations/ringfence.network/interfaces/0/adresses",
     R"(did you mean addresses?)"},
    {"network-top-field", "/annotations/ringfence.network/interface",
     R"(did you mean interfaces?)"},
    {"network-mtu-small", "/annotations/ringfence.network/interfaces/0/mtu", R"(68 to 65535)"},
    {"network-mtu-large", "/annotations/ringfence.network/interfaces/0/mtu", R"(68 to 65535)"},
    {"network-mtu-ipv6", "/annotations/ringfence.network/interfaces/0/mtu", R"(at least 1280)"},
    {"network-mac", "/annotations/ringfence.network/interfaces/0/mac", R"(a unicast address)"},
    {"network-mac-multicast", "/annotations/ringfence.network/interfaces/0/mac",
     R"(a unicast address)"},
    {"network-cidr", "/annotations/ringfence.network/interfaces/0/addresses/0",
     R"(prefix length such as 10.0.0.2/24)"},
    {"network-cidr-prefix", "/annotations/ringfence.network/interfaces/0/addresses/0",
     R"(malformed address)"},
    {"network-address-multicast", "/annotations/ringfence.network/interfaces/0/addresses/0",
     R"(not the address of one interface)"},
    {"network-address-twice", "/annotations/ringfence.network/interfaces/0/addresses/1",
     R"(address occurs twice)"},
    {"network-route-bits", "/annotations/ringfence.network/interfaces/0/routes/0/to",
     R"(beyond the prefix)"},
    {"network-route-family", "/annotations/ringfence.network/interfaces/0/routes/0/via",
     R"(the same family)"},
    {"network-route-no-to", "/annotations/ringfence.network/interfaces/0/routes/0/to",
     R"(required)"},
    {"network-neighbour", "/annotations/ringfence.network/interfaces/0/neighbours/0/mac",
     R"(required)"},
    {"network-macvlan-parent", "/annotations/ringfence.network/interfaces/0/parent", R"(required)"},
    {"network-macvlan-bridge", "/annotations/ringfence.network/interfaces/0/bridge",
     R"(macvlan interfaces have no bridge)"},
    {"network-port-unbridged", "/annotations/ringfence.network/interfaces/0/port",
     R"(have no port)"},
    {"network-port-word", "/annotations/ringfence.network/interfaces/0/port/isolated",
     R"(true or false)"},
    {"network-allow-port", "/annotations/ringfence.network/allow/0/port", R"(tcp)"},
    {"network-allow-protocol", "/annotations/ringfence.network/allow/0/protocol",
     R"(did you mean tcp?)"},
    {"network-allow-nothing", "/annotations/ringfence.network/allow", R"(nothing to filter)"},
    {"network-without-namespace", "/annotations/ringfence.network", R"(of type network)"},
    {"landlock-text", "/annotations/ringfence.landlock", R"(unexpected end of input)"},
    {"landlock-missing", "/annotations/ringfence.landlock/ruleSets", R"(required)"},
    {"landlock-none", "/annotations/ringfence.landlock/ruleSets", R"(at least one)"},
    {"landlock-many", "/annotations/ringfence.landlock/ruleSets", R"(at most 16)"},
    {"landlock-nothing", "/annotations/ringfence.landlock/ruleSets/0", R"(handles nothing)"},
    {"landlock-field", "/annotations/ringfence.landlock/ruleSets/0/pathsBeneath",
     R"(did you mean pathBeneath?)"},
    {"landlock-right", "/annotations/ringfence.landlock/ruleSets/0/handledAccessFs/0",
     R"(did you mean read_file?)"},
    {"landlock-net-right", "/annotations/ringfence.landlock/ruleSets/0/handledAccessNet/0",
     R"(did you mean connect_tcp?)"},
    {"landlock-scope", "/annotations/ringfence.landlock/ruleSets/0/scoped/0",
     R"(did you mean signal?)"},
    {"landlock-unhandled", "/annotations/ringfence.landlock/ruleSets/0/pathBeneath/0/allowedAccess",
     R"(not handled by the rule set: execute)"},
    {"landlock-allows-nothing",
     "/annotations/ringfence.landlock/ruleSets/0/pathBeneath/0/allowedAccess", R"(allows nothing)"},
    {"landlock-parent", "/annotations/ringfence.landlock/ruleSets/0/pathBeneath/0/parent",
     R"(not an absolute path)"},
    {"landlock-rule-field", "/annotations/ringfence.landlock/ruleSets/0/pathBeneath/0/allowed",
     R"(unknown field)"},
    {"landlock-port", "/annotations/ringfence.landlock/ruleSets/0/netPort/0/port", R"(65535)"},
    {"landlock-port-right", "/annotations/ringfence.landlock/ruleSets/0/netPort/0/allowedAccess",
     R"(not handled by the rule set: connect_tcp)"},
    {"securebits-word", "/annotations/ringfence.securebits", R"(did you mean noroot_locked?)"},
    {"securebits-ambient", "/annotations/ringfence.securebits", R"(ambient capabilities to raise)"},
    {"session-keyring", "/annotations/ringfence.session_keyring", R"(true)"},
    {"notify-nobody", "/linux/seccomp/syscalls", R"(nobody answers)"},
    {"notify-listener-relative", "/linux/seccomp/listenerPath", R"(not an absolute path)"},
    {"notify-flag-alone", "/linux/seccomp/flags/0", R"(SCMP_ACT_NOTIFY)"},
    {"notify-both", "/annotations/ringfence.seccomp.notify", R"(not both)"},
    {"notify-nothing", "/annotations/ringfence.seccomp.notify", R"(no call is notified)"},
    {"notify-text", "/annotations/ringfence.seccomp.notify", R"(unexpected end of input)"},
    {"notify-missing", "/annotations/ringfence.seccomp.notify/answers", R"(no answer for uname)"},
    {"notify-other", "/annotations/ringfence.seccomp.notify/answers/0/names/0",
     R"(did you mean mkdir?)"},
    {"notify-twice", "/annotations/ringfence.seccomp.notify/answers/1/names/0", R"(occurs twice)"},
    {"notify-two-answers", "/annotations/ringfence.seccomp.notify/answers/0", R"(one of)"},
    {"notify-no-answer", "/annotations/ringfence.seccomp.notify/answers/0", R"(one of)"},
    {"notify-errno", "/annotations/ringfence.seccomp.notify/answers/0/errno", R"(unknown errno)"},
    {"notify-value", "/annotations/ringfence.seccomp.notify/answers/0/value", R"(0 to)"},
    {"notify-continue", "/annotations/ringfence.seccomp.notify/answers/0/continue", R"(true)"},
    {"notify-field", "/annotations/ringfence.seccomp.notify/answers/0/erno",
     R"(did you mean errno?)"},
    {"notify-no-names", "/annotations/ringfence.seccomp.notify/answers/0/names", R"(no names)"},
    {"tmpcopyup-proc", "/mounts/0/options", R"(a mount of type tmpfs)"},
    {"console-size-large", "/process/consoleSize/height", R"(0 to 65535)"},
    {"console-size-half", "/process/consoleSize/width", R"(required)"},
    {"net-device-name", "/linux/netDevices/eth0/name", R"(1 to 15 characters)"},
    {"net-device-long", "/linux/netDevices/a-name-too-long-", R"(1 to 15 characters)"},
    {"net-device-twice", "/linux/netDevices/eth1", R"(two interfaces of one name)"},
    {"net-device-no-namespace", "/linux/netDevices", R"(a new namespace of type network)"},
    {"net-device-joined", "/linux/netDevices", R"(a new namespace of type network)"},
    {"hook-path-relative", "/hooks/poststop/0/path", R"(not an absolute path)"},
    {"hook-no-path", "/hooks/prestart/0/path", R"(required)"},
    {"hook-timeout-zero", "/hooks/createRuntime/0/timeout", R"(1 to 2147483647)"},
    {"hook-timeout-negative", "/hooks/createContainer/0/timeout", R"(out of range: -5)"},
    {"hook-timeout-string", "/hooks/startContainer/1/timeout", R"(wrong type: string)"},
    {"hook-args-string", "/hooks/poststart/0/args", R"(wrong type: string)"},
    {"hook-env-number", "/hooks/poststop/0/env/0", R"(wrong type: number)"},
    {"hook-list-object", "/hooks/prestart", R"(wrong type: object)"},
    {"cut-off", "@", R"(unexpected end of input)"},
    {"empty", "@1:1", R"(unexpected end of input)"},
    {"comma", "@4:3", R"(syntax error)"},
    {"comment", "@2:3", R"(syntax error)"},
    {"number-overflow", "", R"(number overflow)"},
    {"top-array", "/", R"(an object)"},
    {"key-twice", "/root/path", R"(occurs twice)"},
    {"deep", "^/annotations/0/0/0", R"(at most 64 levels)"},
    {"profile-other-arch", "/archMap", R"(for another architecture)"},
    {"profile-name-and-names", "/syscalls/0/name", R"(one of the two)"},
    {"profile-arch-and-map", "/archMap", R"(one of the two)"},
    {"profile-errno-word", "/syscalls/0/errno", R"(unknown errno)"},
    {"profile-min-kernel", "/syscalls/0/includes/minKernel", R"(such as 4.8)"},
    {"profile-cap", "/syscalls/0/excludes/caps/0", R"(did you mean CAP_SYS_PTRACE?)"},
    {"profile-no-names", "/syscalls/0", R"("names" is required)"},
    {"profile-empty-object", "/defaultAction", R"(required)"},
    {"profile-bad-name", "/syscalls/0/names/0", R"(malformed syscall name)"},
};

Error error_of(const std::string& name, const std::string& file) {
  if (name.starts_with("profile-")) {
    auto read = read_seccomp_profile(file, CapSet{}, HostProfile::current());
    return read ? Error{} : read.error();
  }
  auto read = read_oci_policy(file);
  return read ? Error{} : read.error();
}

TEST(Malformed, EachFileGivesItsOneError) {
  for (const auto& [name, where, words] : kMalformed) {
    SCOPED_TRACE(name);
    const std::string file = kData + "malformed/" + name + ".json";
    const Error error = error_of(name, file);
    ASSERT_FALSE(error.what.empty()) << "was accepted";
    EXPECT_EQ(error.kind, Error::Kind::usage);
    EXPECT_EQ(error.err, 0);
    const std::string place = where;
    if (place.starts_with('@')) {
      EXPECT_THAT(error.object, StartsWith(file + ":" + place.substr(1)));
    } else if (place.starts_with('^')) {
      EXPECT_THAT(error.object, StartsWith(file + ": " + place.substr(1)));
    } else {
      EXPECT_EQ(error.object, place.empty() ? file : fmt::format("{}: {}", file, place));
    }
    EXPECT_THAT(error.describe(), HasSubstr(words));
    EXPECT_FALSE(error.hint.empty());
  }
}

TEST(Malformed, EveryFileIsInTheTable) {
  std::set<std::string> listed;
  for (const auto& row : kMalformed) listed.insert(std::string(row.name) + ".json");
  std::set<std::string> present;
  for (const auto& entry : std::filesystem::directory_iterator(kData + "malformed")) {
    present.insert(entry.path().filename());
  }
  EXPECT_EQ(present, listed);
  EXPECT_GE(listed.size(), 30U);
}

TEST(Malformed, MissingFileKeepsErrno) {
  const auto read = read_oci_policy(kData + "no-such.json");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, Error::Kind::usage);
  EXPECT_EQ(read.error().err, ENOENT);
  EXPECT_EQ(read.error().object, kData + "no-such.json");
}

TEST(Malformed, TooLargeIsRefused) {
  const auto read = parse_oci_policy(std::string((size_t{16} << 20) + 1, ' '), "big.json");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().describe(), HasSubstr("16 MiB"));
}

// Every scalar of the real files, replaced by each of these: accepted, or one usage error that
// points at the scalar or at what it belongs to.
TEST(Malformed, MutatedScalarsAreAcceptedOrPointedAt) {
  const std::array<nlohmann::json, 9> values = {nlohmann::json(nullptr),
                                                true,
                                                -1,
                                                1e300,
                                                0.5,
                                                "",
                                                std::string("a\0b", 3),
                                                nlohmann::json::array(),
                                                nlohmann::json::object()};
  size_t tried = 0;
  size_t refused = 0;
  for (const auto* name : {"runc-spec.json", "crun-spec.json", "podman.json"}) {
    auto text = read_file(kData + name);
    ASSERT_TRUE(text);
    const auto original = nlohmann::json::parse(*text);
    const auto flat = original.flatten();
    for (const auto& [pointer, scalar] : flat.items()) {
      // Of podman's many syscall names one in a rule is enough.
      if (pointer.find("/names/") != std::string::npos && !pointer.ends_with("/names/0")) continue;
      for (const auto& value : values) {
        auto mutated = original;
        mutated[nlohmann::json::json_pointer(pointer)] = value;
        const auto read = parse_oci_policy(mutated.dump(), "m.json");
        ++tried;
        if (read) continue;
        ++refused;
        ASSERT_EQ(read.error().kind, Error::Kind::usage);
        ASSERT_THAT(read.error().object, StartsWith("m.json: /")) << pointer << value;
      }
    }
  }
  EXPECT_GT(tried, 1500U);
  EXPECT_GT(refused, tried / 2);
}

}  // namespace
}  // namespace ringfence
