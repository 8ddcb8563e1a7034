#include "harness/spawn/sandbox_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "harness/base/facts.h"
#include "harness/base/sys.h"
#include "harness/confine/assembler.h"
#include "probes/inmate/init_image.h"

namespace ringfence {
namespace {

constexpr std::string_view kMnt = "ns.mnt";
constexpr std::string_view kCgroup = "ns.cgroup";

// What both do: they are steps of the process, or open what its own steps need.
bool is_of_both(const Step& step) {
  constexpr std::array<std::string_view, 6> kKeys = {
      "cgroup.join", kCgroup, "fd", "mount.seen", "mount.close", "process.parent_death:begin"};
  return std::find(kKeys.begin(), kKeys.end(), step.key) != kKeys.end();
}

// What the pool of network namespaces has done.
bool is_of_the_network(const Step& step) { return step.key == "net.lo"; }

Plan ahead_of(const Plan& plan) {
  Plan first;
  first.policy_name = plan.policy_name;
  first.cwd = "/";
  first.bytes = plan.bytes;
  first.clone_flags = plan.clone_flags & (CLONE_NEWNS | CLONE_NEWNET);
  for (const Step& step : plan.steps) {
    const bool cloned = step.where == Where::clone && (step.key == kMnt || step.key == "ns.net");
    if (step.ahead || cloned || is_of_both(step)) first.steps.push_back(step);
  }
  return first;
}

Step enters(const Step& made, int slot, uint64_t kind) {
  Step step = made;
  step.where = Where::child;
  step.clone_flag = 0;
  step.text = fmt::format("enter the prepared {} namespace", made.key.substr(3));
  step.ops = {make_op(SYS_setns, slot_arg(slot), kind)};
  step.fallback.clear();
  return step;
}

Plan rest_of(const Plan& plan) {
  Plan rest = plan;
  rest.prepared = true;
  rest.clone_flags &= ~uint64_t{CLONE_NEWNS};
  rest.steps.clear();
  rest.bytes.emplace_back("/");
  const Arg root{Arg::Kind::bytes, rest.bytes.size() - 1};
  bool entered = false;
  for (const Step& step : plan.steps) {
    if (step.ahead && !entered) {
      rest.steps.push_back(enters(*plan.find(kMnt), kSlotMntns, CLONE_NEWNS));
      Step open = Assembler::setup({}, "mount.open_root", "open the prepared root");
      open.ops = {
          into(make_op(SYS_openat, AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC), kSlotRoot)};
      rest.steps.push_back(std::move(open));
      entered = true;
    }
    if (step.ahead || step.key == kMnt || is_of_the_network(step)) continue;
    if (step.key == kCgroup) {
      rest.steps.push_back(enters(step, kSlotCgroupns, CLONE_NEWCGROUP));
    } else {
      rest.steps.push_back(step);
    }
  }
  return rest;
}

Result<UniqueFd> make_holder() {
  const int64_t fd = sys::call(SYS_memfd_create, sys::arg("ringfence-hold"), MFD_CLOEXEC);
  if (fd < 0) return system_error("memfd_create", "ringfence-hold", static_cast<int>(-fd));
  UniqueFd holder(static_cast<int>(fd));
  const auto image = init_image();
  if (auto ok = sys::write_full(holder.get(), image.data(), image.size()); !ok) {
    return tl::unexpected(ok.error());
  }
  return holder;
}

}  // namespace

void PreparedSandbox::give(SpawnRequest& request) const {
  request.mntns_fd = mnt.get();
  request.netns_fd = net.get();
  request.cgroupns_fd = cgroup.get();
  request.cgroup = group ? &*group : nullptr;
}

Result<std::unique_ptr<SandboxPool>> SandboxPool::make(const Plan& plan,
                                                       std::shared_ptr<CgroupRoot> groups) {
  if (!plan.not_ahead.empty()) return unsupported_error("pool of sandboxes", plan.not_ahead);
  for (const std::string_view key :
       {kMnt, std::string_view("mount.staging"), std::string_view("mount:/"),
        std::string_view("mount.root"), std::string_view("mount.root:detach")}) {
    if (plan.find(key) != nullptr) continue;
    return unsupported_error("pool of sandboxes",
                             fmt::format("the plan is without the step {}", key));
  }
  if (!Facts::probe().satisfied("mount_setattr")) {
    return unsupported_error("pool of sandboxes", Facts::probe().why_not("mount_setattr"));
  }
  auto holder = make_holder();
  if (!holder) return tl::unexpected(holder.error());
  std::unique_ptr<SandboxPool> pool(new SandboxPool);
  pool->first_ = ahead_of(plan);
  pool->rest_ = rest_of(plan);
  pool->settings_ = plan.settings();
  pool->cgroups_path_ = plan.cgroups_path;
  pool->groups_ = std::move(groups);
  pool->holder_ = std::move(*holder);
  return pool;
}

Result<PreparedSandbox> SandboxPool::prepare() {
  PreparedSandbox made;
  if (groups_) {
    // Of all pools of this process; and forked workers share the run's group.
    static std::atomic<size_t> number = 0;
    const int64_t pid = sys::call(SYS_getpid);
    auto leaf = CgroupLeaf::create(groups_, settings_, fmt::format("pool-{}-{}", pid, number++),
                                   cgroups_path_);
    if (!leaf) return tl::unexpected(leaf.error());
    made.group.emplace(std::move(*leaf));
  }
  SpawnRequest request;
  request.plan = &first_;
  request.exe_fd = holder_.get();
  request.args = {"ringfence-hold", "hold"};
  request.cgroup = made.group ? &*made.group : nullptr;
  if ((first_.clone_flags & CLONE_NEWNET) != 0) {
    auto network = networks_.take();
    if (!network) return tl::unexpected(network.error());
    made.net = std::move(*network);
    request.netns_fd = made.net.get();
  }
  auto holder = spawn(request);
  if (!holder) return tl::unexpected(holder.error());
  const auto take = [&](const char* name, UniqueFd& to) -> Status {
    auto fd = sys::open(fmt::format("/proc/{}/ns/{}", holder->pid(), name).c_str(), O_RDONLY);
    if (!fd) return tl::unexpected(fd.error());
    to = std::move(*fd);
    return {};
  };
  if (auto taken = take("mnt", made.mnt); !taken) return tl::unexpected(taken.error());
  if (first_.find(kCgroup) != nullptr) {
    if (auto taken = take("cgroup", made.cgroup); !taken) return tl::unexpected(taken.error());
  }
  return made;
}

Status SandboxPool::fill(size_t count) {
  for (size_t have = ready(); have < count; ++have) {
    auto made = prepare();
    if (!made) return tl::unexpected(made.error());
    const std::scoped_lock lock(mutex_);
    ready_.push_back(std::move(*made));
  }
  return {};
}

Result<PreparedSandbox> SandboxPool::take() {
  {
    const std::scoped_lock lock(mutex_);
    if (!ready_.empty()) {
      PreparedSandbox one = std::move(ready_.back());
      ready_.pop_back();
      return one;
    }
  }
  return prepare();
}

size_t SandboxPool::ready() const {
  const std::scoped_lock lock(mutex_);
  return ready_.size();
}

}  // namespace ringfence
