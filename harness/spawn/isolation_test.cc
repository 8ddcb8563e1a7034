// What a spawned target looks like from outside: /proc/PID/ns, status, mountinfo, fd.
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <filesystem>

#include "harness/policy/read.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string ns_link(const std::string& who, Ns ns) {
  return read_link("/proc/" + who + "/ns/" + std::string(ns_name(ns))).value_or("?");
}

// A spawner that may mount in its own namespaces without hurting anybody: `body` runs in a forked
// process with a private mount namespace. True when it returned true.
template <typename Body>
bool in_scratch(Body body) {
  const pid_t pid = fork();
  if (pid == 0) {
    const bool ready = unshare(CLONE_NEWNS) == 0 &&
                       mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    _exit(ready && body() ? 0 : 1);
  }
  int status = 0;
  return waitpid(pid, &status, 0) == pid && status == 0;
}

TEST(Isolation, EachNamespaceAlone) {
  for (const Ns wanted : kAllNs) {
    Policy policy = open_policy();
    policy.namespaces = {{wanted, {}}};
    if (wanted == Ns::user) policy.uid_mappings = policy.gid_mappings = {{0, 0, 1}};
    auto plan = compile(policy);
    ASSERT_TRUE(plan) << plan.error().describe();
    const Waiting waiting = wait_under(*plan);
    ASSERT_EQ(waiting.error, "") << ns_name(wanted);
    const std::string pid = std::to_string(waiting.child->pid());
    for (const Ns ns : kAllNs) {
      EXPECT_EQ(ns_link(pid, ns) != ns_link("self", ns), ns == wanted)
          << ns_name(wanted) << " " << ns_name(ns);
    }
  }
}

TEST(Isolation, AllNamespacesAndMaps) {
  Policy policy = strict_policy();
  policy.uid_mappings = {{0, 100000, 1000}, {1000, 5000, 1}};
  policy.gid_mappings = {{0, 200000, 2000}};
  policy.user.additional_gids.clear();
  policy.root->readonly = true;
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  const std::string pid = std::to_string(waiting.child->pid());
  for (const Ns ns : kAllNs) EXPECT_NE(ns_link(pid, ns), ns_link("self", ns)) << ns_name(ns);
  EXPECT_EQ(waiting.status("Uid"), "5000\t5000\t5000\t5000");
  EXPECT_EQ(waiting.status("Gid"), "201000\t201000\t201000\t201000");
  EXPECT_THAT(read_file(waiting.proc("timens_offsets")).value_or(""),
              ::testing::ContainsRegex("boottime +1000 +0"));
  EXPECT_EQ(read_file(waiting.proc("oom_score_adj")).value_or(""), "500\n");
}

TEST(Isolation, JoinsANamespaceByPath) {
  Policy made = open_policy();
  made.namespaces = {{Ns::net, {}}, {Ns::uts, {}}};
  made.hostname = "elsewhere";
  auto first_plan = compile(made);
  ASSERT_TRUE(first_plan);
  const Waiting first = wait_under(*first_plan);
  ASSERT_EQ(first.error, "");
  Policy joins = open_policy();
  joins.namespaces = {{Ns::net, first.proc("ns/net")}, {Ns::uts, first.proc("ns/uts")}};
  auto plan = compile(joins);
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_TRUE(plan->apart);
  const Waiting second = wait_under(*plan);
  ASSERT_EQ(second.error, "");
  for (const Ns ns : {Ns::net, Ns::uts}) {
    EXPECT_EQ(ns_link(std::to_string(second.child->pid()), ns),
              ns_link(std::to_string(first.child->pid()), ns));
  }
  EXPECT_EQ(run(*plan, "hostname").out, "elsewhere\n");
}

TEST(Isolation, RootFlagsMasksAndReadOnlyPaths) {
  auto plan = compile(strict_policy());
  ASSERT_TRUE(plan);
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_THAT(waiting.mount_options("/"), HasSubstr(",ro,nosuid,nodev,"));
  EXPECT_THAT(waiting.mount_options("/proc"), HasSubstr(",rw,nosuid,nodev,noexec,"));
  EXPECT_THAT(waiting.mount_options("/sys"), HasSubstr(",ro,nosuid,nodev,noexec,"));
  EXPECT_THAT(waiting.mount_options("/usr"), HasSubstr(",ro,nosuid,nodev,"));
  EXPECT_THAT(waiting.mount_options("/dev"), Not(HasSubstr("nodev")));
  EXPECT_THAT(waiting.mount_options("/proc/sys"), HasSubstr(",ro,"));
  EXPECT_THAT(waiting.mount_options("/proc/keys"), HasSubstr(",rw,"));     // /dev/null
  EXPECT_THAT(waiting.mount_options("/sys/firmware"), HasSubstr(",ro,"));  // tmpfs
  EXPECT_EQ(waiting.mount_options("/proc/not-there"), "(no mount)");
  // Nothing of the old root is left in the target's mount namespace.
  EXPECT_EQ(waiting.mount_options("/sys/fs/cgroup"), "(no mount)");
  auto names = list_directory(waiting.proc("root/sys/firmware"));
  ASSERT_TRUE(names);
  EXPECT_TRUE(names->empty());
  auto dev = list_directory(waiting.proc("root/dev"));
  ASSERT_TRUE(dev);
  EXPECT_THAT(*dev, ::testing::IsSupersetOf({"null", "tty", "ptmx", "stdin", "fd", "shm"}));
}

TEST(Isolation, AMaskedFileReadsEmptyAndAReadOnlyPathRefusesWrites) {
  const Ran ran = run(strict_policy(),
                      "cat /proc/timer_list; ls /sys/firmware; "
                      "echo x > /proc/sys/kernel/domainname; echo x > /usr/x; echo x > /x; "
                      "echo ok > /tmp/x && cat /tmp/x; ls -d /.. /..//home");
  EXPECT_THAT(ran.out, HasSubstr("domainname: Read-only file system"));
  EXPECT_THAT(ran.out, HasSubstr("/usr/x: Read-only file system"));
  EXPECT_THAT(ran.out, HasSubstr("/x: Read-only file system"));
  EXPECT_THAT(ran.out, HasSubstr("ok\n"));
  EXPECT_THAT(ran.out, HasSubstr("'/..//home': No such file or directory"));
}

TEST(Isolation, NoSymFollowAndSysctlsInEitherSpelling) {
  Policy policy = strict_policy();
  policy.mounts.push_back(test_mount("/run", "tmpfs", "tmpfs", {"nosymfollow", "mode=1777"}));
  policy.sysctl = {{"net/ipv4/ip_unprivileged_port_start", "7"},
                   {"net.ipv4.conf.lo.forwarding", "1"},
                   {"net/ipv4/conf/lo/rp_filter", "2"}};
  const Ran ran = run(policy,
                      "cd /proc/sys/net/ipv4; cat ip_unprivileged_port_start conf/lo/forwarding "
                      "conf/lo/rp_filter; echo text > /run/file; ln -s file /run/link; "
                      "cat /run/file /run/link");
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(ran.out, "7\n1\n2\ntext\ncat: /run/link: Too many levels of symbolic links\n");
}

TEST(Isolation, FiveCapabilitySetsEachBySetAlone) {
  Policy policy = open_policy();
  policy.set_user = true;
  policy.user.uid = policy.user.gid = 1000;
  policy.no_new_privileges = false;
  Capabilities& caps = policy.capabilities;
  caps.bounding = CapSet::of({"CHOWN", "NET_RAW", "KILL"});
  caps.inheritable = caps.permitted = caps.effective = CapSet::of({"NET_RAW", "KILL"});
  caps.ambient = CapSet::of({"NET_RAW"});
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(waiting.status("CapBnd"), "0000000000002021");
  EXPECT_EQ(waiting.status("CapInh"), "0000000000002020");
  EXPECT_EQ(waiting.status("CapAmb"), "0000000000002000");
  EXPECT_EQ(waiting.status("CapPrm"), "0000000000002000");
  EXPECT_EQ(waiting.status("CapEff"), "0000000000002000");

  // A set that is left out stays what it was.
  CompileOptions options;
  options.drop = [](const Step& step) { return step.key == "cap.bounding"; };
  auto without_bounding = compile(policy, options);
  ASSERT_TRUE(without_bounding);
  const Waiting loose = wait_under(*without_bounding);
  ASSERT_EQ(loose.error, "");
  auto own = read_file("/proc/self/status");
  EXPECT_THAT(*own, HasSubstr("CapBnd:\t" + loose.status("CapBnd")));
  EXPECT_EQ(loose.status("CapInh"), "0000000000002020");
}

TEST(Isolation, PermittedHoldsOnlyWithNoNewPrivs) {
  Policy policy = open_policy();
  policy.capabilities.permitted = CapSet::of({"CHOWN"});
  policy.no_new_privileges = true;
  auto plan = compile(policy);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->find("cap.permitted")->exempt, "");
  EXPECT_EQ(wait_under(*plan).status("CapPrm"), "0000000000000001");
  policy.no_new_privileges = false;
  plan = compile(policy);
  ASSERT_TRUE(plan);
  EXPECT_NE(plan->find("cap.permitted")->exempt, "");
}

TEST(Isolation, IdsGroupsSessionAndDescriptors) {
  Policy policy = strict_policy();
  policy.namespaces.clear();
  policy.root.reset();
  policy.mounts.clear();
  policy.masked_paths = policy.readonly_paths = {};
  policy.sysctl.clear();
  policy.seccomp.reset();
  const UniqueFd leaking(open("/dev/null", O_RDONLY));  // without O_CLOEXEC, on purpose
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(waiting.status("Uid"), "1000\t1000\t1000\t1000");
  EXPECT_EQ(waiting.status("Groups"), "7 8");
  EXPECT_EQ(waiting.status("NSsid"), std::to_string(waiting.child->pid()));
  auto fds = list_directory(waiting.proc("fd"));
  ASSERT_TRUE(fds);
  EXPECT_THAT(*fds, ::testing::UnorderedElementsAre("0", "1"));

  CompileOptions options;
  options.drop = [](const Step& step) {
    return step.key == "fd" || step.key == "session" || step.key == "dac.groups";
  };
  auto loose_plan = compile(policy, options);
  ASSERT_TRUE(loose_plan);
  const Waiting loose = wait_under(*loose_plan);
  ASSERT_EQ(loose.error, "");
  EXPECT_NE(loose.status("NSsid"), std::to_string(loose.child->pid()));
  EXPECT_NE(loose.status("Groups"), "7 8");
  fds = list_directory(loose.proc("fd"));
  ASSERT_TRUE(fds);
  EXPECT_THAT(*fds, ::testing::Contains(std::to_string(leaking.get())));
}

TEST(Isolation, SeccompAnswersOrKills) {
  Policy policy = open_policy();
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{{"uname"}, SeccompAction::errno_, EXDEV, {}}};
  EXPECT_THAT(run(policy, "uname; true").out, HasSubstr("Invalid cross-device link"));
  policy.seccomp->rules[0].action = SeccompAction::kill_process;
  EXPECT_EQ(run(policy, "exec uname").end.substr(0, 16), "killed by SIGSYS");
}

TEST(Isolation, AFilterThatStopsItsOwnSetupIsRefusedAtCompile) {
  Policy policy = open_policy();
  policy.set_user = true;
  policy.user.uid = 1000;
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{{"setresuid"}, SeccompAction::errno_, EPERM, {}}};
  auto plan = compile(policy);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, Error::Kind::usage);
  EXPECT_THAT(plan.error().describe(), HasSubstr("dac.uid"));
  policy.no_new_privileges = true;  // the filter comes last then
  EXPECT_TRUE(compile(policy));
}

TEST(Isolation, DropsEachStepOfAStrictPolicy) {
  auto whole = compile(strict_policy());
  ASSERT_TRUE(whole);
  size_t dropped = 0;
  for (const Step& step : whole->steps) {
    if (!step.confines) continue;
    ++dropped;
    CompileOptions options;
    options.drop = [&](const Step& candidate) { return candidate.key == step.key; };
    auto plan = compile(strict_policy(), options);
    ASSERT_TRUE(plan) << step.key << ": " << plan.error().describe();
    EXPECT_EQ(plan->find(step.key), nullptr);
    EXPECT_TRUE(in_scratch([&] {
      const Ran ran = run(*plan, "exit 7");
      if (ran.end != "exit 7")
        std::fprintf(stderr, "%s: %s\n", step.key.c_str(), ran.error.c_str());
      return ran.end == "exit 7";
    })) << step.key;
  }
  EXPECT_GT(dropped, 50U);
}

TEST(Isolation, WithoutPivotRootMasksStillApplyToWhatIsSeen) {
  CompileOptions options;
  options.drop = [](const Step& step) { return step.key == "mount.root"; };
  auto plan = compile(strict_policy(), options);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->find("mount.root:detach"), nullptr);
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_THAT(waiting.mount_options("/proc/keys"), HasSubstr(",rw,"));
  EXPECT_THAT(waiting.mount_options("/proc/sys"), HasSubstr(",ro,"));
  EXPECT_NE(waiting.mount_options("/tmp"), "(no mount)");
}

TEST(Isolation, LinksOfAGivenRootfsDoNotLeadOutOfIt) {
  char directory[] = "/tmp/ringfence-test-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string base = directory;
  const std::string outside = base + "/outside";
  const std::string rootfs = base + "/rootfs";
  for (const auto& path : {outside, rootfs, rootfs + base, rootfs + outside}) {
    std::filesystem::create_directories(path);
  }
  std::filesystem::create_symlink(outside, rootfs + "/absolute");
  std::filesystem::create_symlink("../../../../.." + outside, rootfs + "/climbing");
  Policy policy = strict_policy();
  policy.root = Policy::Root{rootfs, true, 0};
  policy.cwd = "/";
  // It would cover what the links point to.
  std::erase_if(policy.mounts, [](const Mount& m) { return m.destination == "/tmp"; });
  policy.mounts.push_back(test_mount("/absolute/a", "tmpfs", "tmpfs", {}));
  policy.mounts.push_back(test_mount("/climbing/b", "tmpfs", "tmpfs", {}));
  policy.masked_paths = {"/absolute"};
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  EXPECT_EQ(plan->rootfs, rootfs);
  {
    const Waiting waiting = wait_under(*plan);
    EXPECT_EQ(waiting.error, "");
    EXPECT_THAT(list_directory(outside).value_or(std::vector<std::string>{"?"}),
                ::testing::IsEmpty());
    if (waiting.child) {
      EXPECT_NE(waiting.mount_options(outside + "/a"), "(no mount)");
      EXPECT_NE(waiting.mount_options(outside), "(no mount)");  // the mask, inside
    }
  }
  EXPECT_TRUE(std::filesystem::exists(rootfs + outside + "/a"));
  EXPECT_TRUE(std::filesystem::exists(rootfs + outside + "/b"));
  std::filesystem::remove_all(base);
}

// The spawner's mounts are the host's: without a mount namespace none is made, and a root that is
// there is entered by chroot(2).
TEST(Isolation, WithoutAMountNamespaceTheSpawnersMountsStayAsTheyAre) {
  char directory[] = "/tmp/ringfence-test-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  EXPECT_TRUE(in_scratch([&] {
    if (mount("/", directory, nullptr, MS_BIND | MS_REC, nullptr) != 0) return false;
    const std::string before = read_file("/proc/self/mountinfo").value();
    Policy policy = open_policy();
    policy.namespaces = {{Ns::net, {}}};
    policy.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "7"}};
    policy.mounts = {test_mount("/mnt", "tmpfs", "tmpfs", {"ro"})};
    policy.root = Policy::Root{directory, true, MS_NOSUID};
    auto plan = compile(policy);
    if (!plan || plan->notes.size() != 1) return false;
    Waiting waiting = wait_under(*plan);
    bool good = waiting.error.empty();
    good = good && read_link(waiting.proc("root")).value_or("") == directory;
    good = good &&
           read_file(waiting.proc("mountinfo")).value_or("").find(" /mnt ") == std::string::npos;
    good = good && run(*plan, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").out == "7\n";
    policy.root->path = "/no/such/directory";
    auto fresh = compile(policy);
    good = good && fresh && run(*fresh, "exit 7").end == "exit 7";
    if (!good) std::fprintf(stderr, "%s\n", waiting.error.c_str());
    return good && read_file("/proc/self/mountinfo").value() == before;
  }));
  rmdir(directory);
}

TEST(Isolation, EveryBuiltInProfileStarts) {
  for (const Profile& known : profiles()) {
    auto policy = profile(known.name);
    if (!policy) {
      EXPECT_EQ(policy.error().kind, Error::Kind::unsupported) << policy.error().describe();
      continue;
    }
    for (const char* directory : {"/bin", "/usr", "/lib", "/lib64"}) {
      if (!policy->root) break;
      policy->mounts.push_back(test_mount(directory, "bind", directory, {"rbind"}));
    }
    policy->resources = {};
    auto plan = compile(*policy);
    ASSERT_TRUE(plan) << known.name << ": " << plan.error().describe();
    EXPECT_TRUE(in_scratch([&] {
      const Ran ran = run(*plan, "exit 7");
      if (ran.end != "exit 7") {
        std::fprintf(stderr, "%s: %s %s\n", known.name.c_str(), ran.error.c_str(), ran.end.c_str());
      }
      return ran.end == "exit 7";
    })) << known.name;
  }
}

TEST(Isolation, EveryRlimitAndTheUmask) {
  Policy policy = open_policy();
  policy.user.umask = 027;
  constexpr rlim_t kPlenty = rlim_t{1} << 40;
  for (int r = 0; r < static_cast<int>(RLIM_NLIMITS); ++r) {
    rlimit64 own{};
    ASSERT_EQ(getrlimit64(static_cast<__rlimit_resource>(r), &own), 0);
    policy.rlimits.push_back(
        {r, own.rlim_max > kPlenty ? kPlenty : own.rlim_max - own.rlim_max / 8, own.rlim_max});
  }
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  for (const Rlimit& limit : policy.rlimits) {
    rlimit64 seen{};
    ASSERT_EQ(prlimit64(waiting.child->pid(), static_cast<__rlimit_resource>(limit.resource),
                        nullptr, &seen),
              0);
    EXPECT_EQ(seen.rlim_cur, limit.soft) << rlimit_name(limit.resource);
    EXPECT_EQ(seen.rlim_max, limit.hard) << rlimit_name(limit.resource);
  }
  EXPECT_EQ(waiting.status("Umask"), "0027");
}

TEST(Isolation, AccessTimesOfMounts) {
  const auto seen = [](std::vector<std::string> words) {
    Policy policy = strict_policy();
    policy.cwd = "/";
    policy.mounts.push_back(test_mount("/dev/shm", "tmpfs", "tmpfs", std::move(words)));
    auto plan = compile(policy);
    EXPECT_TRUE(plan) << plan.error().describe();
    const Waiting waiting = wait_under(*plan);
    EXPECT_EQ(waiting.error, "");
    return waiting.child ? waiting.mount_options("/dev/shm") : "";
  };
  EXPECT_EQ(seen({}), ",rw,relatime,");
  EXPECT_EQ(seen({"noatime"}), ",rw,noatime,");
  EXPECT_EQ(seen({"noatime", "nodiratime"}), ",rw,noatime,nodiratime,");
  EXPECT_EQ(seen({"strictatime"}), ",rw,");
}

}  // namespace
}  // namespace ringfence
