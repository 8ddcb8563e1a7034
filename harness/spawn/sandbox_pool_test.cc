// Pools of prepared sandboxes: a target from one is where it would be without, and alone there.
#include "harness/spawn/sandbox_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "harness/base/facts.h"
#include "harness/base/sys.h"
#include "harness/policy/read.h"
#include "harness/spawn/test_groups.h"
#include "harness/spawn/test_run.h"
#include "probes/inmate/init_image.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

class SandboxPoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs:root";
    if (!Facts::probe().satisfied("mount_setattr")) {
      GTEST_SKIP() << Facts::probe().why_not("mount_setattr");
    }
    program_ = UniqueFd(memfd_create("hold", MFD_CLOEXEC));
    const auto image = init_image();
    ASSERT_TRUE(sys::write_full(program_.get(), image.data(), image.size()));
    auto groups = CgroupRoot::create(CgroupLayout::probe());
    ASSERT_TRUE(groups) << groups.error().describe();
    groups_ = *groups;
  }

  // A program that needs nothing of its root, and stays.
  [[nodiscard]] SpawnRequest request(const Plan& plan) const {
    SpawnRequest request;
    request.plan = &plan;
    request.exe_fd = program_.get();
    request.args = {"hold", "hold"};
    return request;
  }
  [[nodiscard]] Result<Child> start(const SandboxPool& pool, const PreparedSandbox& sandbox) const {
    SpawnRequest from_pool = request(pool.plan());
    sandbox.give(from_pool);
    return spawn(from_pool);
  }
  static std::unique_ptr<SandboxPool> pool_of(const Plan& plan,
                                              std::shared_ptr<CgroupRoot> groups = {}) {
    auto pool = SandboxPool::make(plan, std::move(groups));
    EXPECT_TRUE(pool) << pool.error().describe();
    return pool ? std::move(*pool) : nullptr;
  }

  UniqueFd program_;
  std::shared_ptr<CgroupRoot> groups_;
};

std::string proc(const Child& child, const std::string& file) {
  return "/proc/" + std::to_string(child.pid()) + "/" + file;
}

uint64_t inode(const std::string& path) {
  struct stat st {};
  return stat(path.c_str(), &st) == 0 ? st.st_ino : 0;
}

// What mountinfo says of each mount, but for the numbers of mounts and devices and the name of the
// target's group.
std::multiset<std::string> mounts_of(const Child& child, const std::string& group = {}) {
  std::multiset<std::string> mounts;
  const auto text = read_file(proc(child, "mountinfo"));
  if (!text) return mounts;
  for (const auto line : split(*text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() < 6) continue;
    std::string mount;
    for (size_t i = 3; i < words.size(); ++i) mount += std::string(words[i]) + " ";
    const size_t at = group.empty() ? std::string::npos : mount.find(group);
    if (at != std::string::npos) mount.replace(at, group.size(), "GROUP");
    mounts.insert(mount);
  }
  return mounts;
}

std::vector<std::string> without(const std::multiset<std::string>& these,
                                 const std::multiset<std::string>& those) {
  std::vector<std::string> left;
  std::set_difference(these.begin(), these.end(), those.begin(), those.end(),
                      std::back_inserter(left));
  return left;
}

// What is in a directory of the target's root: names, types and modes.
std::map<std::string, mode_t> listing(const Child& child, const std::string& directory) {
  std::map<std::string, mode_t> found;
  const std::string path = proc(child, "root" + directory);
  const auto names = list_directory(path.c_str());
  if (!names) return found;
  for (const auto& name : *names) {
    struct stat st {};
    if (lstat((path + "/" + name).c_str(), &st) == 0) found[name] = st.st_mode;
  }
  return found;
}

std::string status_of(const Child& child) {
  std::string kept;
  const auto text = read_file(proc(child, "status"));
  if (!text) return kept;
  for (const auto line : split(*text, '\n')) {
    for (const std::string_view key :
         {"Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Umask", "NSpid"}) {
      if (line.starts_with(key) && key != "NSpid") kept += std::string(line) + "\n";
      // Another number outside, the same inside.
      if (line.starts_with(key) && key == "NSpid") {
        kept += std::string(line.substr(line.rfind('\t'))) + "\n";
      }
    }
  }
  return kept;
}

// Every profile that has a fresh root and no user namespace, and one with the host's programs.
std::vector<Policy> preparable() {
  std::vector<Policy> list;
  for (const char* name : {"docker-default", "podman-default"}) {
    auto policy = profile(name);
    if (!policy) {  // podman-default is for who has its seccomp profile
      EXPECT_EQ(policy.error().kind, Error::Kind::unsupported) << policy.error().describe();
      continue;
    }
    list.push_back(std::move(*policy));
  }
  list.push_back(list.front());
  list.back().mounts.push_back(test_mount("/usr", "bind", "/usr", {"rbind", "ro", "nosuid"}));
  list.back().mounts.push_back(
      test_mount("/data", "tmpfs", "tmpfs", {"size=1m", "noexec", "mode=700"}));
  list.back().devices.push_back({"/dev/extra", 'c', 1, 3, 0640, 5, 6});
  list.back().root->readonly = true;
  list.back().readonly_paths.push_back("/dev/pts");
  list.back().masked_paths.push_back("/sys/kernel");
  list.back().resources.pids_limit = 20;
  return list;
}

TEST_F(SandboxPoolTest, ATargetIsWhereItWouldBeWithout) {
  int number = 0;
  for (const Policy& policy : preparable()) {
    SCOPED_TRACE(policy.name);
    const auto plan = compile(policy);
    ASSERT_TRUE(plan) << plan.error().describe();
    auto leaf = CgroupLeaf::create(groups_, plan->settings(), "whole-" + std::to_string(number++));
    ASSERT_TRUE(leaf) << leaf.error().describe();
    SpawnRequest alone = request(*plan);
    alone.cgroup = &*leaf;
    auto whole = spawn(alone);
    ASSERT_TRUE(whole) << whole.error().describe();
    const auto pool = pool_of(*plan, groups_);
    ASSERT_TRUE(pool);
    ASSERT_TRUE(pool->fill(1));
    EXPECT_EQ(pool->ready(), 1U);
    auto sandbox = pool->take();
    ASSERT_TRUE(sandbox) << sandbox.error().describe();
    auto other = start(*pool, *sandbox);
    ASSERT_TRUE(other) << other.error().describe();

    const auto mounts = mounts_of(*whole, leaf->name());
    const auto others = mounts_of(*other, sandbox->group->name());
    EXPECT_GT(mounts.size(), 20U);
    EXPECT_THAT(without(mounts, others), ::testing::IsEmpty());
    EXPECT_THAT(without(others, mounts), ::testing::IsEmpty());
    for (const char* directory : {"/", "/dev", "/dev/pts", "/dev/shm", "/sys/firmware",
                                  "/sys/kernel", "/sys/class/net", "/data"}) {
      EXPECT_EQ(listing(*other, directory), listing(*whole, directory)) << directory;
    }
    EXPECT_EQ(status_of(*other), status_of(*whole));
    // Its own group, as the target and as everybody outside sees it.
    EXPECT_THAT(read_file(proc(*other, "cgroup")).value(), HasSubstr(sandbox->group->name()));
    for (const char* ns : {"pid", "mnt", "net", "uts", "ipc", "cgroup"}) {
      const std::string file = std::string("ns/") + ns;
      EXPECT_NE(inode(proc(*other, file)), inode("/proc/self/" + file)) << ns;
      EXPECT_NE(inode(proc(*other, file)), inode(proc(*whole, file))) << ns;
    }
  }
}

TEST_F(SandboxPoolTest, EachStepIsMadeOnce) {
  const auto plan = compile(preparable().back());
  ASSERT_TRUE(plan);
  const auto pool = pool_of(*plan, groups_);
  ASSERT_TRUE(pool);
  const std::set<std::string> twice = {
      "cgroup.join", "ns.cgroup", "fd",     "mount.seen",
      "mount.close", "ns.net",    "ns.mnt", "process.parent_death:begin"};
  for (const Step& step : plan->steps) {
    const bool ahead = pool->prepared().find(step.key) != nullptr;
    const Step* later = pool->plan().find(step.key);
    if (step.key == "net.lo") continue;  // by the pool of network namespaces
    EXPECT_EQ(int{ahead} + int{later != nullptr}, twice.contains(step.key) ? 2 : 1) << step.key;
    if (later != nullptr) {
      EXPECT_EQ(later->layer, step.layer) << step.key;
      EXPECT_EQ(later->confines, step.confines) << step.key;
    }
  }
  for (const char* key : {"mount:/", "mount:/sys", "mount:/dev", "mount:/dev/shm", "mount:/usr",
                          "mount:/sys/fs/cgroup", "mount.mask:/sys/firmware", "device:/dev/null",
                          "device:/dev/extra", "mount.root", "mount.root:detach"}) {
    EXPECT_NE(pool->prepared().find(key), nullptr) << key;
  }
  // Of the target's own pid and ipc namespaces; read-only once all is in place.
  for (const char* key : {"mount:/proc", "mount.mask:/proc/kcore", "mount.ro:/proc/sys",
                          "mount:/dev/mqueue", "mount.ro:/", "seccomp", "cap.bounding"}) {
    EXPECT_NE(pool->plan().find(key), nullptr) << key;
  }
}

// What one target does to its root, network or group, the next one does not find.
TEST_F(SandboxPoolTest, NobodyWasThereBefore) {
  const auto plan = compile(preparable().front());
  ASSERT_TRUE(plan);
  const auto pool = pool_of(*plan, groups_);
  ASSERT_TRUE(pool);
  ASSERT_TRUE(pool->fill(3));
  std::set<uint64_t> roots, mounts, networks, groups;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(pool->ready(), static_cast<size_t>(std::max(3 - i, 0)));
    auto sandbox = pool->take();
    ASSERT_TRUE(sandbox) << sandbox.error().describe();
    auto child = start(*pool, *sandbox);
    ASSERT_TRUE(child) << child.error().describe();
    EXPECT_FALSE(listing(*child, "/").contains("mark"));
    EXPECT_FALSE(listing(*child, "/dev/shm").contains("mark"));
    for (const char* place : {"root/mark", "root/dev/shm/mark"}) {
      auto file = sys::open(proc(*child, place).c_str(), O_WRONLY | O_CREAT, 0600);
      EXPECT_TRUE(file) << file.error().describe();
    }
    struct stat st {};
    EXPECT_EQ(stat(proc(*child, "root").c_str(), &st), 0);
    roots.insert(st.st_dev);
    mounts.insert(inode(proc(*child, "ns/mnt")));
    networks.insert(inode(proc(*child, "ns/net")));
    groups.insert(inode(proc(*child, "ns/cgroup")));
    EXPECT_TRUE(child->kill());
    EXPECT_TRUE(child->wait());
  }
  // Of a namespace that is gone the number may come again, of one in the pool it cannot.
  EXPECT_GE(mounts.size(), 3U);
  EXPECT_GE(networks.size(), 3U);
  EXPECT_GE(groups.size(), 3U);
  EXPECT_GE(roots.size(), 3U);
}

TEST_F(SandboxPoolTest, TheProgramIsTheHosts) {
  Policy policy = preparable().back();
  policy.seccomp.reset();
  for (const char* link : {"/bin", "/lib", "/lib64"}) {
    policy.mounts.push_back(test_mount(link, "bind", link, {"rbind", "ro"}));
  }
  const auto plan = compile(policy);
  ASSERT_TRUE(plan);
  const auto pool = pool_of(*plan, groups_);
  ASSERT_TRUE(pool);
  auto sandbox = pool->take();
  ASSERT_TRUE(sandbox) << sandbox.error().describe();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  SpawnRequest request;
  sandbox->give(request);
  request.plan = &pool->plan();
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c",
                  "read pid rest < /proc/self/stat; echo $$; ip -o link 2>/dev/null | wc -l; "
                  "echo > /new 2>/dev/null || echo ro; echo > /data/new && echo rw"};
  request.env = {"PATH=/usr/bin:/bin:/usr/sbin"};
  request.fds = {{1, out.get()}};
  auto child = spawn(request);
  out.reset();
  ASSERT_TRUE(child) << child.error().describe();
  std::string said(100, '\0');
  size_t size = 0;
  for (ssize_t n; (n = read(in.get(), said.data() + size, said.size() - size)) > 0;) {
    size += static_cast<size_t>(n);
  }
  said.resize(size);
  EXPECT_THAT(said, ::testing::MatchesRegex("1\n[01]\nro\nrw\n"));
}

TEST_F(SandboxPoolTest, WhatCannotBeSplitIsRefused) {
  const Policy base = preparable().front();
  struct Row {
    const char* what;
    const char* says;
    std::function<void(Policy&)> change;
  };
  const std::vector<Row> rows = {
      {"a user namespace", "user namespace",
       [](Policy& p) {
         p.namespaces.push_back({Ns::user, {}});
         p.uid_mappings = p.gid_mappings = {{0, 100000, 65536}};
       }},
      {"no mount namespace", "no mount namespace",
       [](Policy& p) {
         std::erase_if(p.namespaces, [](const Namespace& n) { return n.kind == Ns::mnt; });
       }},
      {"a joined namespace", "joined",
       [](Policy& p) {
         for (Namespace& n : p.namespaces) {
           if (n.kind == Ns::uts) n.path = "/proc/self/ns/uts";
         }
       }},
      {"a root of its own", "fresh", [](Policy& p) { p.root->path = "/usr"; }},
      // Below /proc, which is the target's own: made after it, when the host's paths are gone.
      {"a bind below /proc", "/proc/driver",
       [](Policy& p) { p.mounts.push_back(test_mount("/proc/driver", "bind", "/usr", {"bind"})); }},
      // A link in there might lead to what is not there yet.
      {"a bind below a bind", "/outer/inner",
       [](Policy& p) {
         p.mounts.push_back(test_mount("/outer", "bind", "/usr", {"bind"}));
         p.mounts.push_back(test_mount("/outer/share", "bind", "/usr", {"bind"}));
         p.mounts.back().destination = "/outer/inner";
       }},
      {"an overlay", "/merged",
       [](Policy& p) {
         p.mounts.push_back(test_mount("/merged", "overlay", "overlay", {"lowerdir=/usr:/etc"}));
       }},
      {"/dev below a bind", "/dev",
       [](Policy& p) {
         p.mounts.insert(p.mounts.begin(), test_mount("/", "bind", "/usr", {"bind"}));
       }},
  };
  for (const Row& row : rows) {
    Policy policy = base;
    row.change(policy);
    const auto plan = compile(policy);
    ASSERT_TRUE(plan) << row.what << ": " << plan.error().describe();
    const auto pool = SandboxPool::make(*plan, groups_);
    ASSERT_FALSE(pool) << row.what;
    EXPECT_EQ(pool.error().kind, Error::Kind::unsupported) << row.what;
    EXPECT_THAT(pool.error().describe(), HasSubstr(row.says)) << row.what;
  }
  Policy hooked = base;
  hooked.hooks.of(HookKind::create_runtime) = {{"/bin/true", {}, {}, {}}};
  CompileOptions asked;
  asked.attended = asked.hooks = true;
  const auto with_hooks = compile(hooked, asked);
  ASSERT_TRUE(with_hooks) << with_hooks.error().describe();
  EXPECT_THAT(SandboxPool::make(*with_hooks, groups_).error().describe(), HasSubstr("hooks run"));
  // Dropped steps: the split would not be what was asked for.
  for (const char* key : {"mount.root", "mount.root:detach", "ns.mnt"}) {
    CompileOptions options;
    options.drop = [&](const Step& step) { return step.key == key; };
    const auto plan = compile(base, options);
    ASSERT_TRUE(plan);
    EXPECT_FALSE(SandboxPool::make(*plan, groups_)) << key;
  }
}

// A late mask is of the target's own tree, wherever a path of the host's leads.
TEST_F(SandboxPoolTest, WhatIsBelowABindComesLate) {
  Policy policy = preparable().front();
  policy.mounts.push_back(test_mount("/outer", "bind", "/usr", {"bind"}));
  policy.masked_paths = {"/outer/lib", "/sys/firmware"};
  const auto plan = compile(policy);
  ASSERT_TRUE(plan);
  const auto pool = pool_of(*plan, groups_);
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->prepared().find("mount.mask:/outer/lib"), nullptr);
  EXPECT_NE(pool->prepared().find("mount.mask:/sys/firmware"), nullptr);
}

TEST_F(SandboxPoolTest, AStepThatIsDroppedIsDroppedInBoth) {
  CompileOptions options;
  options.drop = [](const Step& step) {
    return step.key == "mount.mask:/sys/firmware" || step.key == "mount.mask:/proc/kcore" ||
           step.key == "mount.flags:/dev/shm:nodev";
  };
  const auto plan = compile(preparable().front(), options);
  ASSERT_TRUE(plan);
  const auto pool = pool_of(*plan, groups_);
  ASSERT_TRUE(pool);
  auto sandbox = pool->take();
  ASSERT_TRUE(sandbox);
  auto child = start(*pool, *sandbox);
  ASSERT_TRUE(child) << child.error().describe();
  for (const auto& mount : mounts_of(*child)) {
    EXPECT_THAT(mount, ::testing::Not(HasSubstr("/sys/firmware")));
    EXPECT_THAT(mount, ::testing::Not(HasSubstr("kcore")));
    if (mount.starts_with("/ /dev/shm ")) {
      EXPECT_THAT(mount, ::testing::Not(HasSubstr("nodev")));
    }
  }
}

TEST_F(SandboxPoolTest, PlansAndNamespacesGoTogether) {
  const auto plan = compile(preparable().front());
  ASSERT_TRUE(plan);
  const auto pool = pool_of(*plan, groups_);
  ASSERT_TRUE(pool);
  auto sandbox = pool->take();
  ASSERT_TRUE(sandbox);
  auto bare = spawn(request(pool->plan()));
  ASSERT_FALSE(bare);
  EXPECT_EQ(bare.error().kind, Error::Kind::usage);
  EXPECT_THAT(bare.error().describe(), HasSubstr("SandboxPool"));
  SpawnRequest whole = request(*plan);
  sandbox->give(whole);
  const auto other = spawn(whole);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind, Error::Kind::usage);
  // What is no mount namespace is refused by the kernel, and the step says so.
  SpawnRequest wrong = request(pool->plan());
  sandbox->give(wrong);
  wrong.mntns_fd = sandbox->net.get();
  const auto refused = spawn(wrong);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().describe(), HasSubstr("step ns.mnt: setns"));
}

TEST_F(SandboxPoolTest, LeavesNothingBehind) {
  const auto plan = compile(preparable().back());
  ASSERT_TRUE(plan);
  const size_t before = open_descriptors();
  for (int i = 0; i < 2; ++i) {
    const auto pool = pool_of(*plan, groups_);
    ASSERT_TRUE(pool);
    ASSERT_TRUE(pool->fill(2));
    auto sandbox = pool->take();
    ASSERT_TRUE(sandbox);
    EXPECT_TRUE(start(*pool, *sandbox));
    EXPECT_TRUE(childless()) << "who made them ends at once";
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(SandboxPoolTest, AFailureIsAnErrorAndKeepsWhatWasMade) {
  Policy policy = preparable().front();
  policy.mounts.push_back(test_mount("/data", "tmpfs", "tmpfs", {"no-such-option=1"}));
  const auto plan = compile(policy);
  ASSERT_TRUE(plan);
  const auto pool = pool_of(*plan, groups_);
  ASSERT_TRUE(pool);
  const auto filled = pool->fill(2);
  ASSERT_FALSE(filled);
  EXPECT_THAT(filled.error().describe(), HasSubstr("mount:/data"));
  EXPECT_EQ(pool->ready(), 0U);
  EXPECT_TRUE(childless());
}

}  // namespace
}  // namespace ringfence
