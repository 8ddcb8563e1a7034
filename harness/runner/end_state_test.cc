// Runs whose target is not where its policy keeps it, or of which /proc tells another story.
#include "harness/runner/end_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "harness/base/file.h"
#include "harness/runner/runner.h"
#include "harness/runner/test_world.h"
#include "harness/spawn/cgroup_leaf.h"
#include "suites/suite.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

CaseRecord judged(const Case& c, bool kernel_witness = true,
                  const std::optional<Policy>& policy = std::nullopt) {
  Registry registry;
  EXPECT_TRUE(registry.add(c));
  RunOptions options;
  options.jobs = 1;
  options.opened_witness = witness_of_process();
  options.kernel_witness = kernel_witness;
  options.policy = policy;
  Observer nobody;
  const Facts facts = Facts::probe();
  auto result = run(registry, facts, options, nobody);
  EXPECT_TRUE(result) << result.error().describe();
  if (!result || result->cases.size() != 1) return {};
  return result->cases[0];
}

// The way back is /proc/1/ns of the decoy host, and the goal one that it does not reach.
Case way_back() {
  auto builtin = suites::builtin();
  EXPECT_TRUE(builtin);
  Case c = *builtin->find("uts.hostname");
  c.id = "test.way_back";
  c.attempt = {"setns_path", {"/proc/1/ns/uts", std::to_string(CLONE_NEWUTS)}};
  c.calls = {};
  c.proves_attempt = "its namespace";
  return c;
}

bool can_list() { return witness_of_process() != nullptr && witness_of_process()->offers("tasks"); }

TEST(EndState, ATargetThatWentBackIsABreachWhateverItsGoal) {
  if (!can_list()) GTEST_SKIP() << "needs:bpf: iter/task";
  const CaseRecord record = judged(way_back());
  EXPECT_EQ(record.verdict, Verdict::breached) << record.reason << ": " << record.detail;
  EXPECT_EQ(record.reason, "not_separate");
  EXPECT_THAT(record.detail, HasSubstr("is in the host's ns.uts"));
  // Nothing else sees it.
  EXPECT_NE(judged(way_back(), false).verdict, Verdict::breached);
}

// Under a given policy it counts, whatever the case is about.
TEST(EndState, UnderAPolicyItIsABreachOfThePolicy) {
  if (!can_list()) GTEST_SKIP() << "needs:bpf: iter/task";
  Case c = way_back();
  c.expected = Layer::kIpc;
  c.outside = true;
  Policy policy;
  policy.name = "uts and ipc";
  policy.namespaces = {{Ns::uts, ""}, {Ns::ipc, ""}};
  EXPECT_EQ(judged(c, true, policy).reason, "not_separate");
  policy.namespaces = {{Ns::ipc, ""}};
  EXPECT_NE(judged(c, true, policy).reason, "not_separate");
}

bool write_new(const std::string& path, const std::string& text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return fd && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// A child in a group, and a /proc that says of it what is not so.
std::string forged_proc() {
  auto root = CgroupRoot::create(CgroupLayout::probe());
  if (!root) return root.error().describe();
  auto leaf = CgroupLeaf::create(*root, {}, "forged");
  if (!leaf) return leaf.error().describe();
  auto watch = KernelWatch::begin(*witness_of_process(), leaf->unified_fd());
  if (!watch) return watch.error().describe();
  watch->list_tasks();
  clone_args args{};
  args.flags = CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<uint64_t>(leaf->unified_fd());
  const auto pid = static_cast<int>(syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) {
    pause();
    _exit(0);
  }
  if (pid < 0) return "clone3";
  TrialOutcome before;
  look_at_tasks(*watch, pid, before);
  const std::string status = fmt::format("/proc/{}/status", pid);
  std::string text = read_file(status).value_or("");
  const size_t at = text.find("CapEff:\t");
  if (at == std::string::npos) return "no CapEff";
  text.replace(at + 8, 16, "0000000000000000");
  const std::string forged = "/dev/shm/ringfence-forged";
  if (mount("x", "/dev/shm", "tmpfs", 0, nullptr) != 0) return "skip: no tmpfs";
  if (!write_new(forged, text)) return "cannot write";
  if (mount(forged.c_str(), status.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return "skip: /proc cannot be covered";
  }
  TrialOutcome after;
  look_at_tasks(*watch, pid, after);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  if (before.kernel.states.size() != 1 || before.kernel.hosts.size() != 1) return "not listed";
  if (!before.kernel.disagree.empty()) return "before: " + before.kernel.disagree;
  if (after.kernel.disagree.find("CapEff") == std::string::npos) return "not noticed";
  return "";
}

// A crowd hides nobody: those that are alike take one place, and what has no room is a fact lost.
TEST(EndState, WhoComesAfterACrowdIsKeptOrCounted) {
  TaskState one;
  one.ns.fill(7);
  std::vector<TaskState> tasks(1000, one);
  for (size_t i = 0; i < tasks.size(); ++i) tasks[i].tid = static_cast<uint32_t>(i + 1);
  TaskState& last = tasks.emplace_back(one);
  last.ns[static_cast<size_t>(Ns::uts)] = 8;
  KernelFacts crowd;
  keep_states(tasks, crowd);
  EXPECT_EQ(crowd.states_lost, 0U);
  ASSERT_EQ(crowd.states.size(), 2U);
  EXPECT_EQ(crowd.states[1], last);
  tasks.back().cap_effective = 1;
  keep_states({tasks.back()}, crowd);
  EXPECT_EQ(crowd.states.size(), 3U);

  tasks.resize(1000, one);
  for (size_t i = 0; i < tasks.size(); ++i) tasks[i].cap_permitted = i;
  KernelFacts full;
  keep_states(tasks, full);
  EXPECT_LT(full.states.size(), tasks.size());
  EXPECT_EQ(full.states_lost, 1U);
}

TEST(EndState, AForgedProcIsNoticed) {
  if (!can_list()) GTEST_SKIP() << "needs:bpf: iter/task";
  const std::string wrong = in_world(forged_proc);
  if (wrong.starts_with("skip: ")) GTEST_SKIP() << wrong;
  EXPECT_EQ(wrong, "");
}

}  // namespace
}  // namespace ringfence
