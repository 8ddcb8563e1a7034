// Nesting, controllers handed down, delegation, threads: as far as the v2 of this host goes.
#include "harness/spawn/cgroup_tree.h"

#include <gmock/gmock.h>
#include <sys/syscall.h>

#include <array>
#include <thread>

#include "harness/base/sys.h"
#include "harness/spawn/cgroup_state.h"
#include "harness/spawn/test_groups.h"

namespace ringfence {
namespace {

using ::testing::Contains;
using ::testing::Not;

class CgroupTree : public ::testing::Test {
 protected:
  void SetUp() override {
    const CgroupLayout here = CgroupLayout::probe();
    if (geteuid() != 0) GTEST_SKIP() << "needs:root";
    if (here.unified.empty()) GTEST_SKIP() << "needs:cgroup2";
    auto root = CgroupRoot::create(here);
    ASSERT_TRUE(root) << root.error().describe();
    std::vector<Step::Setting> settings;
    for (const auto& controller : here.unified_controllers) settings.push_back({controller});
    auto leaf = CgroupLeaf::create(*root, settings, "leaf");
    ASSERT_TRUE(leaf) << leaf.error().describe();
    leaf_ = std::move(*leaf);
    auto node = CgroupNode::of(*leaf_);
    ASSERT_TRUE(node);
    node_ = std::move(*node);
  }
  std::optional<CgroupLeaf> leaf_;
  std::optional<CgroupNode> node_;
};

TEST_F(CgroupTree, GroupsNestAndGoWithTheirHandle) {
  std::string directory;
  {
    auto child = node_->make("child");
    ASSERT_TRUE(child) << child.error().describe();
    auto grandchild = child->make("grandchild");
    ASSERT_TRUE(grandchild);
    directory = child->directory();
    EXPECT_EQ(core_state(*leaf_).value_or(CoreState{}).descendants, 2U);
    auto plan = compile(open_policy());
    auto task = start(*plan, "while :; do :; done", nullptr);
    ASSERT_TRUE(task);
    ASSERT_TRUE(grandchild->add_process(task->pid()));
    EXPECT_THAT(grandchild->processes().value_or(std::vector<int>()), Contains(task->pid()));
    EXPECT_TRUE(core_state(*leaf_).value_or(CoreState{}).populated);
    EXPECT_FALSE(node_->make("a/b"));
    EXPECT_FALSE(node_->make(".."));
    ASSERT_TRUE(leaf_->kill());  // those of groups below as well
    auto end = task->wait(std::chrono::seconds(20));
    ASSERT_TRUE(end && *end);
    EXPECT_EQ((*end)->describe(), "killed by SIGKILL");
  }
  EXPECT_FALSE(list_directory(directory));
}

TEST_F(CgroupTree, AGroupWithProcessesHandsNothingDown) {
  auto controllers = node_->controllers();
  ASSERT_TRUE(controllers);
  if (controllers->empty()) GTEST_SKIP() << "needs:a v2 controller that is handed down";
  std::vector<std::string> domain;
  for (const auto& name : *controllers) {
    if (name == "memory" || name == "io" || name == "hugetlb") domain = {name};
  }
  if (domain.empty()) GTEST_SKIP() << "needs:a domain controller";
  auto plan = compile(open_policy());
  auto task = start(*plan, "while :; do :; done", nullptr);
  ASSERT_TRUE(task);
  ASSERT_TRUE(node_->add_process(task->pid()));
  auto refused = node_->hand_down(domain);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().err, EBUSY);
  auto child = node_->make("child");
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->add_process(task->pid()));
  EXPECT_TRUE(node_->hand_down(domain));
  auto back = node_->add_process(task->pid());
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().err, EBUSY);
}

TEST_F(CgroupTree, ThreadsOfOneProcessInGroupsOfTheirOwn) {
  auto inner = node_->make("threads");
  auto outer = node_->make("domain");
  ASSERT_TRUE(inner && outer);
  EXPECT_EQ(inner->type().value_or(""), "domain");
  auto made = inner->make_threaded();
  ASSERT_TRUE(made) << made.error().describe();
  EXPECT_EQ(inner->type().value_or(""), "threaded");
  EXPECT_EQ(node_->type().value_or(""), "domain threaded");
  // Of a process outside the subtree no thread gets in.
  const auto tid = static_cast<int>(sys::call(SYS_gettid));
  auto refused = inner->add_thread(tid);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().err, EOPNOTSUPP);
  // A child of ours with two threads, in the subtree; one of the two goes into the inner group.
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  ASSERT_EQ(pipe2(in.data(), O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    std::thread second([&] {
      const auto own = static_cast<int>(sys::call(SYS_gettid));
      if (write(out[1], &own, sizeof own) < 0) _exit(1);
      char byte = 0;
      (void)!read(in[0], &byte, 1);
    });
    second.join();
    _exit(0);
  }
  int second = 0;
  ASSERT_EQ(read(out[0], &second, sizeof second), static_cast<ssize_t>(sizeof second));
  EXPECT_TRUE(node_->add_process(pid));
  auto moved = inner->add_thread(second);
  EXPECT_TRUE(moved) << moved.error().describe();
  const auto where = [&](int id) {
    return read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(id) + "/cgroup")
        .value_or("");
  };
  EXPECT_NE(where(second).find("/leaf/threads\n"), std::string::npos) << where(second);
  EXPECT_EQ(where(pid).find("/leaf/threads\n"), std::string::npos);
  EXPECT_EQ(write(in[1], "x", 1), 1);
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
}

// What the user who was given a group can do in it, and what he cannot do with it.
TEST_F(CgroupTree, ADelegatedGroupIsTheUsersAndItsLimitsAreNot) {
  auto given = node_->make("given");
  auto sibling = node_->make("sibling");
  ASSERT_TRUE(given && sibling);
  constexpr uint32_t kUser = 1234;
  auto done = given->delegate(kUser, kUser);
  ASSERT_TRUE(done) << done.error().describe();
  Policy policy = open_policy();
  policy.set_user = true;
  policy.user.uid = policy.user.gid = kUser;
  policy.capabilities = {CapSet{}, CapSet{}, CapSet{}, CapSet{}, CapSet{}};
  auto plan = compile(policy);
  ASSERT_TRUE(plan);
  // The user's shell waits for its word on a pipe until it has been moved into the group.
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  ASSERT_EQ(pipe2(in.data(), O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
  const UniqueFd in_read(in[0]);
  UniqueFd in_write(in[1]);
  const UniqueFd out_read(out[0]);
  UniqueFd out_write(out[1]);
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  const std::string g = given->directory();
  request.args = {"sh", "-c",
                  "read x; mkdir " + g + "/own && echo made; (echo 0 >" + g +
                      "/own/cgroup.procs) && echo moved; (echo 0 >" + sibling->directory() +
                      "/cgroup.procs) && echo escaped; (echo 5 >" + g +
                      "/cgroup.max.depth) && echo raised; echo 0 >" + g + "/cgroup.procs; rmdir " +
                      g + "/own && echo removed"};
  request.env = {"PATH=/usr/bin:/bin"};
  request.fds = {{0, in_read.get()}, {1, out_write.get()}};
  auto child = spawn(request);
  ASSERT_TRUE(child) << child.error().describe();
  out_write.reset();
  ASSERT_TRUE(given->add_process(child->pid()));
  ASSERT_EQ(write(in_write.get(), "\n", 1), 1);
  std::string text;
  char buffer[512];
  for (ssize_t n; (n = read(out_read.get(), buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_THAT(text, ::testing::HasSubstr("made"));
  EXPECT_THAT(text, ::testing::HasSubstr("moved"));
  EXPECT_THAT(text, ::testing::HasSubstr("removed"));
  EXPECT_THAT(text, Not(::testing::HasSubstr("escaped")));
  EXPECT_THAT(text, Not(::testing::HasSubstr("raised")));
}

}  // namespace
}  // namespace ringfence
