#include "harness/base/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/facts_probe.h"
#include "harness/base/file.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A fault for the life of a test, in all processes.
class Refuse {
 public:
  Refuse(long nr, int err) { EXPECT_TRUE(sys::arm_fault({nr, sys::kEvery, err})); }
  ~Refuse() { sys::disarm_faults(); }
  Refuse(const Refuse&) = delete;
  Refuse& operator=(const Refuse&) = delete;
};

std::set<std::string> own_namespaces() {
  std::set<std::string> links;
  for (const char* kind : {"pid", "pid_for_children", "mnt", "net", "uts", "ipc", "user", "cgroup",
                           "time", "time_for_children"}) {
    links.insert(read_link(std::string("/proc/self/ns/") + kind).value_or(kind));
  }
  return links;
}

TEST(Facts, EveryNameHasAnAnswerWithAReason) {
  const Facts facts = Facts::probe();
  const auto all = facts.all();
  ASSERT_EQ(all.size(), Facts::names().size());
  std::set<std::string> names;
  for (const Fact* fact : all) {
    ASSERT_NE(fact, nullptr);
    EXPECT_TRUE(names.insert(fact->name).second) << fact->name << " twice";
    EXPECT_EQ(fact->available, fact->reason.empty()) << fact->name;
    EXPECT_FALSE(fact->group.empty()) << fact->name;
    if (!fact->available) {
      EXPECT_FALSE(fact->detail.empty()) << fact->name;
      if (!fact->info) {
        EXPECT_FALSE(fact->hint.empty()) << fact->name;
      }
    }
  }
}

TEST(Facts, ProbingChangesNothingHere) {
  const auto groups = [] {
    std::set<std::string> found;
    const auto mounts = read_file("/proc/self/mountinfo").value_or("");
    for (const auto line : split(mounts, '\n')) {
      const auto fields = split(line, ' ');
      if (line.find(" - cgroup") == line.npos) continue;
      const std::string mine = "ringfence-" + std::to_string(getpid()) + "-";
      for (const auto& name :
           list_directory(std::string(fields[4])).value_or(std::vector<std::string>{})) {
        if (name.rfind(mine, 0) == 0) found.insert(name);
      }
    }
    return found;
  };
  const auto namespaces = own_namespaces();
  const auto fds = list_directory("/proc/self/fd").value();
  const auto mounts = read_file("/proc/self/mountinfo").value();
  (void)Facts::probe().all();
  EXPECT_EQ(own_namespaces(), namespaces);
  EXPECT_EQ(list_directory("/proc/self/fd").value().size(), fds.size());
  EXPECT_EQ(read_file("/proc/self/mountinfo").value(), mounts);
  EXPECT_EQ(groups(), std::set<std::string>{});
  const std::string status = read_file("/proc/self/status").value();
  EXPECT_EQ(facts_detail::field(status, "NoNewPrivs"), "0");
  // No child is left: neither running nor a zombie.
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(Facts, FoundOnceThenRemembered) {
  const Facts facts = Facts::probe();
  const bool before = facts.satisfied("clone3");
  const Refuse refuse(SYS_clone3, ENOSYS);
  EXPECT_EQ(facts.satisfied("clone3"), before);
  EXPECT_FALSE(Facts::probe().satisfied("clone3"));
}

// Each fact that rests on one syscall: there as the kernel answers, absent when the syscall is.
struct Feature {
  const char* name;
  long nr;
  int err;
};
class FactsOfSyscall : public ::testing::TestWithParam<Feature> {};
TEST_P(FactsOfSyscall, AbsentWhenRefused) {
  const Refuse refuse(GetParam().nr, GetParam().err);
  const Facts facts = Facts::probe();
  const Fact* fact = facts.find(GetParam().name);
  ASSERT_NE(fact, nullptr);
  EXPECT_FALSE(fact->available);
  EXPECT_EQ(fact->reason, std::string("host-lacks:") + GetParam().name);
  EXPECT_THAT(fact->detail, HasSubstr(errno_name(GetParam().err)));
  EXPECT_TRUE(sys::fault_fired());
}
INSTANTIATE_TEST_SUITE_P(
    All, FactsOfSyscall,
    ::testing::Values(
        Feature{"userns", SYS_unshare, EPERM}, Feature{"userns", SYS_unshare, ENOSPC},
        Feature{"pidns", SYS_unshare, EINVAL}, Feature{"timens", SYS_unshare, EINVAL},
        Feature{"clone3", SYS_clone3, ENOSYS}, Feature{"pidfd", SYS_pidfd_open, ENOSYS},
        Feature{"openat2", SYS_openat2, ENOSYS},
        Feature{"mount_setattr", SYS_mount_setattr, ENOSYS},
        Feature{"close_range", SYS_close_range, ENOSYS}, Feature{"seccomp", SYS_seccomp, ENOSYS},
        Feature{"seccomp_notify", SYS_seccomp, EBUSY}, Feature{"bpf", SYS_bpf, ENOSYS},
        Feature{"landlock", SYS_landlock_create_ruleset, EOPNOTSUPP},
        Feature{"io_uring", SYS_io_uring_setup, ENOSYS},
        Feature{"userfaultfd", SYS_userfaultfd, ENOSYS}, Feature{"keys", SYS_add_key, ENOSYS},
        Feature{"overlay", SYS_mount, ENODEV}, Feature{"mqueue", SYS_mq_open, ENOSYS},
        Feature{"sysvipc", SYS_shmctl, ENOSYS}, Feature{"legacy_tiocsti", SYS_ioctl, EIO},
        Feature{"userns", SYS_clone, EAGAIN}),
    [](const auto& feature) {
      return std::string(feature.param.name) + "_" + std::to_string(feature.index);
    });

TEST(Facts, AUserNamespaceWithoutCapabilitiesIsNone) {
  // The second call is the one inside.
  ASSERT_TRUE(sys::arm_fault({SYS_unshare, 1, EPERM}));
  const Facts facts = Facts::probe();
  EXPECT_EQ(facts.why_not("userns"), "host-lacks:userns");
  EXPECT_TRUE(sys::fault_fired());
  sys::disarm_faults();
}

TEST(Facts, KvmIsAbsentWithoutTheDevice) {
  const Refuse refuse(SYS_openat, ENXIO);
  const Facts facts = Facts::probe();
  EXPECT_EQ(facts.why_not("kvm"), "host-lacks:kvm");
  EXPECT_EQ(facts.why_not("btf"), "host-lacks:btf");
}

TEST(Facts, CgroupIsAbsentWhenNoGroupCanBeMade) {
  const Refuse refuse(SYS_mkdirat, EROFS);
  const Facts facts = Facts::probe();
  EXPECT_EQ(facts.why_not("cgroup2"), "needs:cgroup2");
  EXPECT_EQ(facts.why_not("cgroup.pids"), "needs:cgroup.pids");
  EXPECT_EQ(facts.why_not("cgroup.memory"), "needs:cgroup.memory");
}

TEST(Facts, CgroupPidsWhereTheHierarchyIsMounted) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  const std::string mounts = read_file("/proc/self/mountinfo").value();
  if (mounts.find(" - cgroup ") == mounts.npos) GTEST_SKIP() << "host-lacks:cgroup-v1";
  const Facts facts = Facts::probe();
  EXPECT_TRUE(facts.satisfied("cgroup.pids")) << facts.find("cgroup.pids")->detail;
}

TEST(Facts, AFileOfAGroupIsAskedForByItsName) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  const Facts facts = Facts::probe();
  if (!facts.satisfied("cgroup.pids")) GTEST_SKIP() << facts.why_not("cgroup.pids");
  EXPECT_TRUE(facts.satisfied("cgroup:pids.max"));
  EXPECT_TRUE(facts.satisfied("cgroup:pids.no_such|pids.max"));
  EXPECT_EQ(facts.why_not("cgroup:pids.no_such"), "host-lacks:cgroup:pids.no_such");
  EXPECT_EQ(facts.find("cgroup:"), nullptr);
  EXPECT_EQ(facts.find("cgroup:../x"), nullptr);
}

// In a child as nobody: what needs root says so.
TEST(Facts, WithoutRootTheReasonIsRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root to become nobody";
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) _exit(9);
    const Facts facts = Facts::probe();
    if (facts.why_not("root") != "needs:root") _exit(1);
    if (facts.why_not("cap:SYS_ADMIN") != "host-lacks:cap_sys_admin") _exit(2);
    if (facts.satisfied("cgroup.pids") || facts.why_not("cgroup.pids") != "needs:root") _exit(3);
    // Through a user namespace it can still have the others, if the kernel lets it.
    if (facts.satisfied("userns") && !facts.satisfied("netns")) _exit(4);
    if (facts.satisfied("userns") && facts.find("netns")->detail != "inside a user namespace") {
      _exit(5);
    }
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Facts, RootOfAUserNamespaceIsNotRoot) {
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWUSER) != 0) _exit(77);
    const Facts facts = Facts::probe();
    _exit(facts.satisfied("root") || !facts.satisfied("cap:SYS_ADMIN") ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "host-lacks:userns";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Facts, RequirementsWithAParameter) {
  const Facts facts = Facts::probe();
  EXPECT_TRUE(facts.satisfied("path:/proc/self/status"));
  EXPECT_EQ(facts.why_not("path:/no/such/file"), "host-lacks:path:/no/such/file");
  EXPECT_EQ(facts.find("path:relative"), nullptr);
  EXPECT_EQ(facts.find("writable_below:relative"), nullptr);
  EXPECT_EQ(facts.find("cap:NO_SUCH"), nullptr);
  EXPECT_EQ(facts.find("cap:7"), nullptr);
  ASSERT_NE(facts.find("cap:CAP_CHOWN"), nullptr);
  EXPECT_EQ(facts.find("cap:CAP_CHOWN")->available, facts.satisfied("cap:CHOWN"));
  EXPECT_TRUE(facts.satisfied("kernel>=3.0"));
  EXPECT_EQ(facts.why_not("kernel>=999.1"), "kernel<999.1");
  EXPECT_EQ(facts.find("kernel>=new"), nullptr);
  EXPECT_EQ(facts.find("kernel>=99999999999"), nullptr);
  EXPECT_FALSE(facts.satisfied("config:NO_SUCH_OPTION_EVER"));
  EXPECT_FALSE(facts.satisfied("lsm:nosuchmodule"));
  EXPECT_EQ(facts.why_not("teleport"), "unknown:teleport");
}

// By opening, four levels down at most, and never through a link.
TEST(Facts, AFileThatCanBeWritten) {
  std::string top = "/tmp/ringfence-facts-XXXXXX";
  ASSERT_NE(mkdtemp(top.data()), nullptr);
  const auto cleared = [&] {
    std::filesystem::remove_all(top + "/in");
    std::filesystem::create_directories(top + "/in/a/b/c/d");
  };
  const auto found = [&] { return Facts::probe().satisfied("writable_below:" + top + "/in"); };
  const auto file = [&](const std::string& name) { std::ofstream(top + name) << "x"; };
  cleared();
  EXPECT_FALSE(found());
  EXPECT_EQ(Facts::probe().why_not("writable_below:" + top + "/in"),
            "host-lacks:writable_below:" + top + "/in");
  file("/in/a/b/c/d/too-deep");
  EXPECT_FALSE(found());
  file("/outside");
  std::filesystem::create_symlink(top + "/outside", top + "/in/link");
  EXPECT_FALSE(found());
  file("/in/a/b/c/file");
  EXPECT_TRUE(found());
  std::filesystem::remove_all(top);
  EXPECT_FALSE(found());
}

TEST(Facts, AllCapabilitiesByName) {
  const Facts facts = Facts::probe();
  const std::string status = read_file("/proc/self/status").value();
  const uint64_t mask =
      std::stoull(std::string(facts_detail::field(status, "CapEff")), nullptr, 16);
  EXPECT_EQ(facts.satisfied("cap:CHOWN"), (mask & 1) != 0);
  EXPECT_EQ(facts.satisfied("cap:SYS_RESOURCE"), (mask >> 24 & 1) != 0);
  EXPECT_EQ(facts.satisfied("cap:CHECKPOINT_RESTORE"), (mask >> 40 & 1) != 0);
}

TEST(Facts, UnknownRequirementSuggestsTheNearest) {
  const Facts facts = Facts::probe();
  EXPECT_TRUE(check_requirement(facts, "kvm"));
  const auto checked = check_requirement(facts, "seccom");
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, Error::Kind::usage);
  EXPECT_THAT(checked.error().hint, HasSubstr("seccomp"));
}

TEST(Facts, SecurityModulesByEitherWay) {
  // The syscall is newer than securityfs; where neither answers there is a reason.
  const Refuse refuse(461, ENOSYS);
  const Facts facts = Facts::probe();
  const Fact* fact = facts.find("lsms");
  EXPECT_EQ(fact->available, access("/sys/kernel/security/lsm", R_OK) == 0) << fact->detail;
}

TEST(FactsDetail, ChildAnswersErrnoAndSignal) {
  using facts_detail::in_child;
  EXPECT_EQ(in_child([](const void*) { return EDOM; }).err, EDOM);
  const auto crashed = in_child([](const void*) -> int { __builtin_trap(); }, nullptr, true);
  EXPECT_EQ(crashed.signal, SIGILL);
  EXPECT_FALSE(facts_detail::from_child(crashed, "trial").available);
}

TEST(FactsDetail, ReleasesCompareByNumber) {
  using facts_detail::release_at_least;
  EXPECT_TRUE(release_at_least("6.18.44-x", "6.14"));
  EXPECT_TRUE(release_at_least("6.14", "6.14"));
  EXPECT_FALSE(release_at_least("6.1.0-25-cloud-amd64", "6.14"));
  EXPECT_FALSE(release_at_least("6.14-rc1", "6.14.1"));
  EXPECT_TRUE(release_at_least("10.0", "9.99"));
}

TEST(FactsDetail, ConfigValues) {
  using facts_detail::config_value;
  const char* text = "# CONFIG_X32 is not set\nCONFIG_USER_NS=y\nCONFIG_USER_NS_MORE=m\n";
  EXPECT_EQ(config_value(text, "USER_NS"), "y");
  EXPECT_EQ(config_value(text, "USER_NS_MORE"), "m");
  EXPECT_EQ(config_value(text, "X32"), "");
  EXPECT_EQ(config_value(text, "USER"), "");
}

TEST(FactsDetail, HypervisorKinds) {
  using facts_detail::hypervisor_words;
  EXPECT_THAT(hypervisor_words(std::string_view("KVMKVMKVM\0\0\0", 12)), HasSubstr("type 2"));
  EXPECT_THAT(hypervisor_words("XenVMMXenVMM"), HasSubstr("type 1"));
  EXPECT_THAT(hypervisor_words("WhoIsThisOne"), HasSubstr("WhoIsThisOne"));
}

TEST(Doctor, ShowsEveryFactWithReasonAndHint) {
  const Refuse refuse(SYS_landlock_create_ruleset, EOPNOTSUPP);
  const Facts facts = Facts::probe();
  const std::string plain = render_doctor(facts, false);
  for (const auto& name : Facts::names()) EXPECT_THAT(plain, HasSubstr("  " + name));
  for (const char* group : {"namespaces", "cgroups", "seccomp", "capabilities", "kernel features",
                            "virtualization", "privileges", "machine"}) {
    EXPECT_THAT(plain, HasSubstr(std::string("\n") + group + "\n"));
  }
  EXPECT_THAT(plain, HasSubstr("host-lacks:landlock"));
  EXPECT_THAT(plain, HasSubstr("-> boot with landlock"));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b[")));
  EXPECT_THAT(render_doctor(facts, true), HasSubstr("\x1b["));
}

TEST(Doctor, JsonHasTheSameFacts) {
  const Facts facts = Facts::probe();
  const auto json = nlohmann::json::parse(doctor_json(facts));
  ASSERT_EQ(json["facts"].size(), Facts::names().size());
  for (const auto& fact : json["facts"]) {
    EXPECT_EQ(fact["available"].get<bool>(), facts.satisfied(fact["name"].get<std::string>()));
  }
  EXPECT_GE(json["can"].size(), 5U);
}

TEST(Doctor, AbilitiesFollowTheFacts) {
  const Refuse refuse(SYS_unshare, EPERM);
  const Facts facts = Facts::probe();
  const auto json = nlohmann::json::parse(doctor_json(facts));
  EXPECT_FALSE(json["can"][0]["can"].get<bool>());
  EXPECT_THAT(json["can"][0]["missing"].get<std::string>(), HasSubstr("pidns"));
}

}  // namespace
}  // namespace ringfence
