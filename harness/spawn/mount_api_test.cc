// Mounts by the new mount API, and the same by what stands in where one of its calls is missing:
// each answers ENOSYS through the seam, and the target must see exactly the same mounts.
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <filesystem>

#include "harness/base/sys.h"
#include "harness/spawn/scratch.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

struct Missing {
  const char* name;
  std::vector<long> calls;
};
// Where a test has none of these it is listed there.
const std::vector<Missing> kMissing = {
    {"nothing", {}},
    {"fsopen", {SYS_fsopen}},
    {"fsconfig", {SYS_fsconfig}},
    {"fsmount", {SYS_fsmount}},
    {"open_tree", {SYS_open_tree}},
    {"move_mount", {SYS_move_mount}},
    {"mount_setattr", {SYS_mount_setattr}},
    {"openat2", {SYS_openat2}},
    {"all",
     {SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_open_tree, SYS_move_mount, SYS_mount_setattr,
      SYS_openat2}},
};

// Makes calls answer ENOSYS while it lives.
class Without {
 public:
  explicit Without(const std::vector<long>& calls) {
    std::vector<sys::Fault> faults;
    faults.reserve(calls.size());
    for (const long nr : calls) faults.push_back({nr, sys::kEvery, ENOSYS});
    if (!faults.empty()) {
      EXPECT_TRUE(sys::arm_faults(faults.data(), faults.size()));
    }
  }
  Without(const Without&) = delete;
  Without& operator=(const Without&) = delete;
  ~Without() { sys::disarm_faults(); }
};

class MountApi : public ::testing::TestWithParam<Missing> {};
INSTANTIATE_TEST_SUITE_P(Missing, MountApi, ::testing::ValuesIn(kMissing),
                         [](const auto& row) { return std::string(row.param.name); });

// Point, options, type, source and options of the file system of each mount, without numbers.
std::vector<std::string> mounts_of(const Waiting& waiting) {
  std::vector<std::string> list;
  const auto text = read_file(waiting.proc("mountinfo")).value_or("");
  for (const auto line : split(text, '\n')) {
    const auto words = split(line, ' ');
    std::string entry;
    bool after = false;
    for (size_t i = 3; i < words.size(); ++i) {
      if (words[i] == "-") after = true;
      const bool optional = !after && i > 5;  // shared:N and the like
      // mount(2) makes the file system read-only with its first mount: that holds as well.
      const bool super = after && i + 1 == words.size();
      if (!optional) entry.append(" ").append(super ? words[i].substr(2) : words[i]);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

std::string differing(const std::vector<std::string>& seen,
                      const std::vector<std::string>& expected) {
  std::string text;
  for (size_t i = 0; i < std::max(seen.size(), expected.size()); ++i) {
    const std::string a = i < seen.size() ? seen[i] : "nothing";
    const std::string b = i < expected.size() ? expected[i] : "nothing";
    if (a != b) text += a + ", expected" + b + "\n";
  }
  return text;
}

Policy with_everything() {
  Policy policy = strict_policy();
  std::erase_if(policy.namespaces, [](const Namespace& n) { return n.kind == Ns::time; });
  policy.time_offsets.clear();
  // Devices are made where there is no user namespace.
  std::erase_if(policy.namespaces, [](const Namespace& n) { return n.kind == Ns::user; });
  policy.uid_mappings.clear();
  policy.gid_mappings.clear();
  policy.devices = {{"/dev/sub/full", 'c', 1, 7, 0640, 5, 6}};
  policy.mounts.push_back(test_mount("/sys/fs/cgroup", "cgroup", "cgroup", {"ro"}));
  policy.mounts.push_back(test_mount("/srv", "bind", "/usr/share", {"bind", "private"}));
  policy.mounts.push_back(
      test_mount("/opt", "tmpfs", "tmpfs", {"noatime", "nodiratime", "sync", "size=64k"}));
  return policy;
}

TEST_P(MountApi, TheTargetSeesTheSameMounts) {
  auto plan = compile(with_everything());
  ASSERT_TRUE(plan) << plan.error().describe();
  const Waiting whole = wait_under(*plan);
  ASSERT_EQ(whole.error, "");
  const auto expected = mounts_of(whole);
  ASSERT_GT(expected.size(), 25U);
  std::vector<std::string> seen;
  {
    const Without missing(GetParam().calls);
    const Waiting waiting = wait_under(*plan);
    if (!GetParam().calls.empty()) {
      EXPECT_TRUE(sys::fault_fired());
    }
    ASSERT_EQ(waiting.error, "");
    seen = mounts_of(waiting);
    struct stat st {};
    ASSERT_EQ(stat(waiting.proc("root/dev/sub/full").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode, S_IFCHR | 0640U);
    EXPECT_EQ(st.st_uid, 5U);
    EXPECT_EQ(st.st_gid, 6U);
  }
  EXPECT_EQ(differing(seen, expected), "");
}

TEST_P(MountApi, AGivenRootAsWell) {
  const Scratch scratch;
  ASSERT_TRUE(scratch.ok());
  fs::create_directories(scratch.path("root/usr"));
  fs::create_directories(scratch.path("root/etc"));
  scratch.write("root/etc/motd", "inside\n");
  Policy policy = with_everything();
  policy.masked_paths.emplace_back("/etc/motd");
  policy.readonly_paths.emplace_back("/etc");
  policy.root->readonly = false;
  policy.user.uid = policy.user.gid = 0;
  CompileOptions options;
  options.rootfs = scratch.path("root");
  auto plan = compile(policy, options);
  ASSERT_TRUE(plan) << plan.error().describe();
  std::vector<std::string> expected;
  {
    const Waiting whole = wait_under(*plan);
    ASSERT_EQ(whole.error, "");
    expected = mounts_of(whole);
  }
  const Without missing(GetParam().calls);
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(differing(mounts_of(waiting), expected), "");
  EXPECT_THAT(waiting.mount_options("/etc"), HasSubstr(",ro,"));
  EXPECT_EQ(read_file(waiting.proc("root/etc/motd")).value_or("?"), "");
}

// ---- A rootfs of an attacker's making ----------------------------------------------------------

// Whatever `plant` makes of the rootfs, nothing appears in the directory beside it that stands for
// the host. True when the target started.
template <typename Plant>
bool starts_on(const Missing& missing, Plant plant, std::string* error = nullptr) {
  const Scratch scratch;
  EXPECT_TRUE(scratch.ok());
  fs::create_directories(scratch.path("root"));
  fs::create_directories(scratch.path("host/dev"));
  plant(scratch);
  Policy policy = with_everything();
  policy.user.uid = policy.user.gid = 0;
  policy.root->readonly = false;
  CompileOptions options;
  options.rootfs = scratch.path("root");
  auto plan = compile(policy, options);
  EXPECT_TRUE(plan) << plan.error().describe();
  if (!plan) return false;
  const auto etc = list_directory("/etc").value_or(std::vector<std::string>{});
  const Without without(missing.calls);
  const Waiting waiting = wait_under(*plan);
  if (error != nullptr) *error = waiting.error;
  size_t found = 0;
  for (const auto& entry : fs::recursive_directory_iterator(scratch.path("host"))) {
    found += entry.path().filename() == "dev" ? 0 : 1;
  }
  EXPECT_EQ(found, 0U) << "something was made outside of the root";
  EXPECT_EQ(list_directory("/etc").value_or(std::vector<std::string>{}), etc);
  return waiting.error.empty();
}

TEST_P(MountApi, ProcThatIsALinkIsRefused) {
  for (const char* to : {"/etc", "../host", "/proc/self/root", "/proc/self/fd", "elsewhere"}) {
    std::string error;
    EXPECT_FALSE(starts_on(
        GetParam(), [&](const Scratch& s) { s.link(to, "root/proc"); }, &error));
    EXPECT_THAT(error, HasSubstr("mount:/proc")) << to;
    EXPECT_THAT(error, HasSubstr("ELOOP")) << to;
  }
}

TEST_P(MountApi, LinksStayInsideOfTheRoot) {
  const auto links = [](const char* to) {
    return [=](const Scratch& s) {
      fs::create_directories(s.path("root/etc"));
      fs::create_directories(s.path("root/host"));
      s.link(to, "root/dev");
    };
  };
  EXPECT_TRUE(starts_on(GetParam(), links("/etc")));
  EXPECT_TRUE(starts_on(GetParam(), links("../../../../../../host")));
  EXPECT_TRUE(starts_on(GetParam(), links("./etc/../host/")));
  // openat2 refuses the magic link; what stands in reads it as the path that it says, in the root.
  (void)starts_on(GetParam(), links("/proc/self/root/etc"));
  EXPECT_FALSE(starts_on(GetParam(), links("dev")));  // a loop
}

// openat2(2): any mount or rename of the host that comes between gives EAGAIN for a path with "..".
TEST(OpenInRoot, ARaceWithSomebodysMountIsTriedAgain) {
  const auto plan = compile(with_everything(), {});
  ASSERT_TRUE(plan) << plan.error().describe();
  ASSERT_TRUE(sys::arm_fault({SYS_openat2, 0, EAGAIN}));
  const Waiting waiting = wait_under(*plan);
  const bool fired = sys::fault_fired();
  sys::disarm_faults();
  EXPECT_TRUE(fired);
  EXPECT_EQ(waiting.error, "");
}

// ---- Flags of a whole tree, id maps: mount_setattr has no stand-in there -----------------------

TEST(MountTree, RecursiveFlagsReachTheMountsBelow) {
  const Scratch scratch;
  ASSERT_TRUE(scratch.ok());
  fs::create_directories(scratch.path("data/below"));
  ASSERT_TRUE(scratch.tmpfs("data/below"));
  Policy policy = strict_policy();
  policy.mounts.push_back(
      test_mount("/plain", "bind", scratch.path("data"), {"rbind", "ro", "nodev"}));
  policy.mounts.push_back(
      test_mount("/tree", "bind", scratch.path("data"), {"rbind", "rro", "rnodev"}));
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  {
    const Waiting waiting = wait_under(*plan);
    ASSERT_EQ(waiting.error, "");
    EXPECT_THAT(waiting.mount_options("/plain"), HasSubstr(",ro,nodev,"));
    EXPECT_THAT(waiting.mount_options("/plain/below"), Not(HasSubstr("ro,")));
    EXPECT_THAT(waiting.mount_options("/tree"), HasSubstr(",ro,nodev,"));
    EXPECT_THAT(waiting.mount_options("/tree/below"), HasSubstr(",ro,nodev,"));
  }
  const Without missing({SYS_mount_setattr});
  EXPECT_THAT(wait_under(*plan).error, HasSubstr("mount_setattr"));
}

TEST(MountTree, RecursiveFlagsAreClearedBelow) {
  const Scratch scratch;
  ASSERT_TRUE(scratch.ok());
  fs::create_directories(scratch.path("data/below"));
  ASSERT_TRUE(scratch.tmpfs("data/below", MS_NOEXEC));
  Policy policy = open_policy();
  policy.namespaces = {{Ns::mnt, {}}};
  policy.mounts = {
      test_mount(scratch.path("at"), "bind", scratch.path("data"), {"rbind", "rexec"})};
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  const Waiting waiting = wait_under(*plan);
  ASSERT_EQ(waiting.error, "");
  EXPECT_THAT(waiting.mount_options(scratch.path("data/below")), HasSubstr("noexec"));
  EXPECT_THAT(waiting.mount_options(scratch.path("at/below")), Not(HasSubstr("noexec")));
}

TEST(MountTree, IdsOfAMountAreMapped) {
  const Scratch scratch;
  ASSERT_TRUE(scratch.ok());
  ASSERT_TRUE(scratch.tmpfs("."));
  fs::create_directories(scratch.path("data"));
  scratch.write("data/of-root", "text\n");
  for (const bool user : {false, true}) {
    Policy policy = strict_policy();
    policy.set_user = false;
    policy.capabilities = {};
    policy.seccomp.reset();
    if (user) {
      policy.uid_mappings = policy.gid_mappings = {{0, 100000, 65536}};
    } else {
      std::erase_if(policy.namespaces, [](const Namespace& n) { return n.kind == Ns::user; });
      policy.uid_mappings.clear();
      policy.gid_mappings.clear();
    }
    Mount mount = test_mount("/data", "bind", scratch.path("data"), {"bind", "idmap"});
    if (!user) mount.uid_mappings = mount.gid_mappings = {{0, 3000, 10}};
    policy.mounts.push_back(mount);
    auto plan = compile(policy);
    ASSERT_TRUE(plan) << plan.error().describe();
    const Ran ran = run(*plan, "stat -c %u:%g /data/of-root");
    if (ran.error.find("no id-mapped mounts") != std::string::npos) GTEST_SKIP() << ran.error;
    EXPECT_EQ(ran.error, "");
    EXPECT_EQ(ran.out, user ? "0:0\n" : "3000:3000\n");
    CompileOptions options;
    options.drop = [](const Step& step) { return step.key == "mount.idmap:/data"; };
    auto dropped = compile(policy, options);
    ASSERT_TRUE(dropped);
    EXPECT_EQ(run(*dropped, "stat -c %u:%g /data/of-root").out, user ? "65534:65534\n" : "0:0\n");
    EXPECT_TRUE(childless());
    const Without missing({SYS_mount_setattr});
    EXPECT_THAT(wait_under(*plan).error, HasSubstr("MOUNT_ATTR_IDMAP"));
  }
}

// ---- Overlay -----------------------------------------------------------------------------------

TEST_P(MountApi, AnOverlayOfManyLowers) {
  const Scratch scratch;
  ASSERT_TRUE(scratch.ok());
  ASSERT_TRUE(scratch.tmpfs("."));
  for (const char* name : {"a", "b:c", "d,e", "up", "work"})
    fs::create_directories(scratch.path(name));
  scratch.write("a/top", "a\n");
  scratch.write("b:c/top", "b\n");
  scratch.write("b:c/middle", "b\n");
  scratch.write("d,e/bottom", "d\n");
  for (const bool user : {false, true}) {
    Policy policy = strict_policy();
    policy.set_user = false;
    policy.capabilities = {};
    policy.seccomp.reset();
    if (!user) {
      std::erase_if(policy.namespaces, [](const Namespace& n) { return n.kind == Ns::user; });
      policy.uid_mappings.clear();
      policy.gid_mappings.clear();
    }
    policy.mounts.push_back(test_mount(
        "/merged", "overlay", "overlay",
        {"lowerdir=" + scratch.path("a") + ":" + scratch.path("b\\:c") + ":" + scratch.path("d,e"),
         "upperdir=" + scratch.path("up"), "workdir=" + scratch.path("work")}));
    auto plan = compile(policy);
    ASSERT_TRUE(plan) << plan.error().describe();
    const Without missing(GetParam().calls);
    const Ran ran = run(*plan,
                        "cd /merged && cat top middle bottom && echo new > made && "
                        "echo over > bottom && rm middle && grep -o userxattr /proc/mounts");
    EXPECT_EQ(ran.error, "");
    EXPECT_EQ(ran.out, user ? "a\nb\nd\nuserxattr\n" : "a\nb\nd\n");
    EXPECT_EQ(read_file(scratch.path("d,e/bottom")).value_or(""), "d\n");  // the lower is as it was
    EXPECT_EQ(read_file(scratch.path("up/bottom")).value_or(""), "over\n");
    EXPECT_EQ(read_file(scratch.path("up/made")).value_or(""), "new\n");
    struct stat st {};
    ASSERT_EQ(lstat(scratch.path("up/middle").c_str(), &st), 0);
    EXPECT_TRUE(S_ISCHR(st.st_mode) && st.st_rdev == 0) << "a whiteout";
    for (const char* name : {"up", "work"}) {
      fs::remove_all(scratch.path(name));
      fs::create_directories(scratch.path(name));
    }
  }
}

// ---- What fits nowhere -------------------------------------------------------------------------

TEST(MountTarget, AFileDoesNotGoOntoADirectory) {
  const Scratch scratch;
  ASSERT_TRUE(scratch.ok());
  fs::create_directories(scratch.path("root/etc"));
  scratch.write("root/file", "text");
  CompileOptions options;
  options.rootfs = scratch.path("root");
  const auto error_of = [&](Mount mount) {
    Policy policy = open_policy();
    policy.namespaces = {{Ns::mnt, {}}};
    policy.mounts = {test_mount("/fine", "tmpfs", "tmpfs", {}), std::move(mount)};
    auto plan = compile(policy, options);
    return plan ? std::string() : plan.error().describe();
  };
  EXPECT_THAT(error_of(test_mount("/etc", "bind", "/bin/sh", {"bind"})),
              HasSubstr("/mounts/1/destination"));
  EXPECT_THAT(error_of(test_mount("/file", "tmpfs", "tmpfs", {})), HasSubstr("is a file"));
  EXPECT_THAT(error_of(test_mount("/file", "bind", "/usr", {"rbind"})), HasSubstr("is a file"));
  EXPECT_EQ(error_of(test_mount("/file", "bind", "/bin/sh", {"bind"})), "");
  EXPECT_EQ(error_of(test_mount("/etc", "tmpfs", "tmpfs", {})), "");
  EXPECT_EQ(error_of(test_mount("/fine/file", "bind", "/bin/sh", {"bind"})), "");
}

}  // namespace
}  // namespace ringfence
