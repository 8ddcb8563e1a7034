// Every syscall of a spawn fails once: an Error or a started program, never a hang, a child or a
// descriptor left behind. And the stand-ins for what older kernels lack.
#include <sys/syscall.h>

#include <array>

#include "harness/base/facts.h"
#include "harness/base/sys.h"
#include "harness/confine/seccomp.h"
#include "harness/spawn/sandbox_pool.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

class Faults : public ::testing::Test {
 protected:
  void TearDown() override { sys::disarm_faults(); }
};

Policy fast_policy() {
  Policy policy = strict_policy();
  std::erase_if(policy.namespaces, [](const Namespace& n) { return n.kind == Ns::time; });
  policy.time_offsets.clear();
  return policy;
}

// Spawns true under the plan; 0 when it ran, else the errno of the Error (1000 for none).
int spawn_once(SpawnRequest request) {
  request.exe_path = "/bin/true";
  request.args = {"true"};
  SpawnFailure failure;
  auto child = spawn(request, &failure);
  if (!child) {
    EXPECT_FALSE(child.error().what.empty());
    return child.error().err != 0 ? child.error().err : 1000;
  }
  auto end = child->wait(std::chrono::seconds(20));
  return end && *end ? 0 : 1001;
}

int spawn_once(const Plan& plan) {
  SpawnRequest request;
  request.plan = &plan;
  return spawn_once(request);
}

// `share`: how many of the faults at least are errors; the others are tolerated on purpose.
void fail_each(const std::function<int()>& once, double share) {
  ASSERT_EQ(once(), 0);
  const size_t descriptors = open_descriptors();
  size_t fired = 0;
  size_t errors = 0;
  std::array<uint64_t, 480> counts{};
  ASSERT_TRUE(sys::start_counting());
  ASSERT_EQ(once(), 0);
  for (size_t nr = 0; nr < counts.size(); ++nr) counts.at(nr) = sys::count(static_cast<long>(nr));
  for (long nr = 0; nr < static_cast<long>(counts.size()); ++nr) {
    const uint64_t calls = counts.at(static_cast<size_t>(nr));
    for (uint64_t index = 0; index < calls; ++index) {
      ASSERT_TRUE(sys::arm_fault({nr, index, EIO}));
      const int result = once();
      const bool happened = sys::fault_fired();
      sys::disarm_faults();
      fired += happened ? 1 : 0;
      errors += result != 0 ? 1 : 0;
      ASSERT_TRUE(result == 0 || result == EIO || result == 1000 || result == 1001)
          << call_name(nr) << " " << index << ": " << result;
      ASSERT_TRUE(childless()) << call_name(nr) << " " << index;
      ASSERT_EQ(open_descriptors(), descriptors) << call_name(nr) << " " << index;
    }
  }
  EXPECT_GT(fired, 100U);
  EXPECT_GT(static_cast<double>(errors), share * static_cast<double>(fired));
}

void fail_each(const Plan& plan, double share = 0.5) {
  fail_each([&plan] { return spawn_once(plan); }, share);
}

TEST_F(Faults, EachCallOfAFastSpawn) {
  auto plan = compile(fast_policy());
  ASSERT_TRUE(plan) << plan.error().describe();
  ASSERT_FALSE(plan->apart);
  fail_each(*plan);
}

TEST_F(Faults, EachCallOfAnApartSpawn) {
  auto plan = compile(strict_policy());
  ASSERT_TRUE(plan) << plan.error().describe();
  ASSERT_TRUE(plan->apart);
  fail_each(*plan);
}

// Also those of the thread that takes the listener, and answers for the exec.
TEST_F(Faults, EachCallOfASpawnThatIsAsked) {
  Policy policy = open_policy();
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{{"execve", "execveat"}, SeccompAction::notify, {}, {}}};
  policy.seccomp->answers = {{{"execve", "execveat"}, NotifyAnswer::How::proceed, 0}};
  auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  fail_each(*plan, 0.15);  // few steps, among the signals that are reset
}

TEST_F(Faults, EachCallOfAPreparedSandbox) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  if (!Facts::probe().satisfied("mount_setattr")) {
    GTEST_SKIP() << Facts::probe().why_not("mount_setattr");
  }
  Policy policy = fast_policy();
  std::erase_if(policy.namespaces, [](const Namespace& n) { return n.kind == Ns::user; });
  policy.uid_mappings.clear();
  policy.gid_mappings.clear();
  const auto plan = compile(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  const auto pool = SandboxPool::make(*plan);
  ASSERT_TRUE(pool) << pool.error().describe();
  const auto once = [&] {
    const auto sandbox = (*pool)->take();
    if (!sandbox) return sandbox.error().err != 0 ? sandbox.error().err : 1000;
    SpawnRequest request;
    request.plan = &(*pool)->plan();
    sandbox->give(request);
    return spawn_once(request);
  };
  fail_each(once, 0.5);
}

// Those of the thread that runs hooks, of what it spawns, and of what the child starts.
TEST_F(Faults, EachCallOfASpawnWithHooks) {
  Policy policy = open_policy();
  policy.namespaces = {{Ns::mnt, {}}};
  for (const HookKind kind :
       {HookKind::prestart, HookKind::create_container, HookKind::start_container}) {
    policy.hooks.of(kind) = {{"/bin/true", {}, {}, 20}};
  }
  CompileOptions options;
  options.attended = options.hooks = true;
  auto plan = compile(policy, options);
  ASSERT_TRUE(plan) << plan.error().describe();
  fail_each(*plan, 0.15);  // few steps, among the signals that are reset
}

TEST_F(Faults, ErrorNamesStepCallAndErrno) {
  auto plan = compile(fast_policy());
  ASSERT_TRUE(plan) << plan.error().describe();
  ASSERT_TRUE(sys::arm_fault({SYS_pivot_root, 0, EBUSY}));
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/true";
  request.args = {"true"};
  SpawnFailure failure;
  auto child = spawn(request, &failure);
  ASSERT_FALSE(child);
  EXPECT_EQ(failure.key, "mount.root");
  EXPECT_EQ(failure.layer, Layer::kRoot);
  EXPECT_EQ(failure.nr, SYS_pivot_root);
  EXPECT_EQ(failure.err, EBUSY);
  EXPECT_EQ(plan->steps.at(failure.step).key, "mount.root");
  EXPECT_NE(child.error().describe().find("step mount.root: pivot_root"), std::string::npos)
      << child.error().describe();
}

TEST_F(Faults, MapsThatCannotBeWrittenAreAnError) {
  auto plan = compile(fast_policy());
  ASSERT_TRUE(plan);
  plan->uid_map = "0 0 1\n0 5 1\n";  // overlapping: EINVAL
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/true";
  request.args = {"true"};
  SpawnFailure failure;
  auto child = spawn(request, &failure);
  ASSERT_FALSE(child);
  EXPECT_EQ(failure.key, "userns.uid_map");
  EXPECT_EQ(failure.err, EINVAL);
  EXPECT_TRUE(childless());
}

TEST_F(Faults, StandInsOfOlderKernels) {
  Policy policy = fast_policy();
  auto plan = compile(policy);
  ASSERT_TRUE(plan);
  constexpr std::array kOlder = {
      sys::Fault{SYS_mount_setattr, sys::kEvery, ENOSYS},
      sys::Fault{SYS_openat2, sys::kEvery, ENOSYS},
      sys::Fault{SYS_close_range, sys::kEvery, ENOSYS},
  };
  ASSERT_TRUE(sys::arm_faults(kOlder.data(), kOlder.size()));
  const Waiting waiting = wait_under(*plan);
  EXPECT_TRUE(sys::fault_fired());
  sys::disarm_faults();
  ASSERT_EQ(waiting.error, "");
  EXPECT_NE(waiting.mount_options("/").find(",ro,nosuid,nodev,"), std::string::npos)
      << waiting.mount_options("/");
  EXPECT_NE(waiting.mount_options("/tmp").find(",nosuid,nodev,noexec,"), std::string::npos);
  EXPECT_NE(waiting.mount_options("/proc/sys").find(",ro,"), std::string::npos);
  EXPECT_NE(waiting.mount_options("/usr").find(",ro,nosuid,nodev,"), std::string::npos);
  auto fds = list_directory(waiting.proc("fd"));
  ASSERT_TRUE(fds);
  EXPECT_EQ(fds->size(), 2U);
}

TEST_F(Faults, WithoutClone3ThereIsAClearError) {
  auto plan = compile(open_policy());
  ASSERT_TRUE(plan);
  ASSERT_TRUE(sys::arm_fault({SYS_clone3, sys::kEvery, ENOSYS}));
  EXPECT_EQ(spawn_once(*plan), ENOSYS);
}

}  // namespace
}  // namespace ringfence
