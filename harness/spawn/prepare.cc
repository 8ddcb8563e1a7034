#include "harness/spawn/prepare.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/spawn/mapped_tree.h"
#include "probes/inmate/init_image.h"

namespace ringfence {
namespace {

constexpr size_t kGuard = 4096;
constexpr int kInitExe = 15;  // where an init finds its program

// What the child reads of the plan, which stays where it is: a copy of each call would cost as much
// as some of the calls.
void point_to(const Plan& plan, Prepared& p) {
  p.bytes.reserve(plan.bytes.size());
  for (const auto& text : plan.bytes) p.bytes.push_back(text.c_str());
  p.steps.reserve(plan.steps.size());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    if (step.where != Where::child) continue;
    p.steps.push_back({step.ops.data(), step.fallback.data(),
                       static_cast<uint32_t>(step.ops.size()), static_cast<uint32_t>(i)});
  }
}

// Where to look for the program, execvp(3).
std::vector<std::string> candidates(const SpawnRequest& request) {
  const std::string& name = request.exe_path;
  if (name.empty() || name.find('/') != std::string::npos) return {name};
  std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const auto& entry : request.env) {
    if (entry.starts_with("PATH=")) path = entry.substr(5);
  }
  std::vector<std::string> list;
  for (const auto directory : split(path, ':')) list.push_back(std::string(directory) + "/" + name);
  return list;
}

// The init is what is executed, and gets the program as arguments.
Status prepare_init(const SpawnRequest& request, Prepared& p) {
  const int64_t fd = sys::call(SYS_memfd_create, sys::arg("ringfence-init"), MFD_CLOEXEC);
  if (fd < 0) return system_error("memfd_create", "init", static_cast<int>(-fd));
  p.init = UniqueFd(static_cast<int>(fd));
  const auto image = init_image();
  if (auto ok = sys::write_full(p.init.get(), image.data(), image.size()); !ok) return ok;
  const bool by_path = request.exe_fd < 0;
  p.init_args = {"ringfence-init", by_path ? "-" : std::to_string(kInitExe),
                 std::to_string(by_path ? p.path_texts.size() : 0)};
  if (by_path) p.init_args.insert(p.init_args.end(), p.path_texts.begin(), p.path_texts.end());
  p.init_args.insert(p.init_args.end(), request.args.begin(), request.args.end());
  p.argv = pointers(p.init_args);
  return {};
}

}  // namespace

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> list;
  list.reserve(texts.size() + 1);
  for (const auto& text : texts) list.push_back(text.c_str());
  list.push_back(nullptr);
  return list;
}

Memory::~Memory() {
  if (address_ == nullptr) return;
  // One more try: only an armed fault makes it fail, and the memory must not stay.
  if (sys::call(SYS_munmap, sys::arg(address_), size_) < 0) {
    sys::call(SYS_munmap, sys::arg(address_), size_);
  }
}

Status Memory::map(size_t size, int kind) {
  const int64_t r = sys::call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS,
                              static_cast<uint64_t>(-1), 0);
  if (r < 0) return system_error("mmap", "memory of the child", static_cast<int>(-r));
  address_ = address_of_result<char>(r);
  size_ = size;
#ifdef __SANITIZE_THREAD__
  // The sanitizer does not see the seam: it must be told that memory at an address that another
  // thread had before is new.
  ::mmap(address_, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
#endif
  return {};
}

Status check_request(const SpawnRequest& request) {
  if (request.plan == nullptr) return usage_error("spawn", "plan", "none was given");
  if (request.exe_fd < 0 && request.exe_path.empty()) {
    return usage_error("spawn", "program", "neither a descriptor nor a path was given");
  }
  if (request.fds.size() + (request.plan->init ? 1 : 0) > std::size(ChildStart{}.given)) {
    return usage_error("spawn", "descriptors", "at most 16");
  }
  const bool taken = std::any_of(request.fds.begin(), request.fds.end(),
                                 [](const auto& fd) { return fd.first == kInitExe; });
  if (request.plan->init && request.exe_fd >= 0 && taken) {
    return usage_error("spawn", fmt::format("descriptor {}", kInitExe), "the init has this number");
  }
  for (const auto& [inside, here] : request.fds) {
    if (inside < 0 || inside >= 16 || here < 0) {
      return usage_error("spawn", fmt::format("descriptor {} as {}", here, inside),
                         "numbers inside are 0 to 15");
    }
  }
  if (request.netns_fd >= 0 && ((request.plan->clone_flags & CLONE_NEWNET) == 0 ||
                                (request.plan->clone_flags & CLONE_NEWUSER) != 0)) {
    return usage_error("spawn", "network namespace",
                       "only for a plan that makes one, and no user namespace");
  }
  if (request.plan->prepared != (request.mntns_fd >= 0)) {
    return usage_error("spawn", "mount namespace", "goes with the plan of a SandboxPool");
  }
  if (request.plan->by_pidfd && request.join_pidfd < 0) {
    return usage_error("spawn", "join_pidfd", "the plan joins namespaces by a pidfd");
  }
  const auto limits = [](const Step& step) { return !step.settings.empty(); };
  if (request.cgroup == nullptr &&
      (!request.plan->controllers.empty() ||
       std::any_of(request.plan->steps.begin(), request.plan->steps.end(), limits))) {
    return usage_error("spawn", "cgroup", "the plan has limits, so it needs a group");
  }
  return {};
}

Status prepare_spawn(const SpawnRequest& request, Prepared& p) {
  const Plan& plan = *request.plan;
  point_to(plan, p);
  p.argv = pointers(request.args);
  p.envp = pointers(request.env);
  p.path_texts = candidates(request);
  if (plan.init) {
    if (auto made = prepare_init(request, p); !made) return made;
  }
  p.paths = pointers(p.path_texts);
  if (auto mapped = p.stack.map(kChildStack, MAP_PRIVATE | MAP_STACK); !mapped) {
    return mapped;
  }
  if (const int64_t r = sys::call(SYS_mprotect, sys::arg(p.stack.data()), kGuard, PROT_NONE);
      r < 0) {
    return system_error("mprotect", "guard page of the child's stack", static_cast<int>(-r));
  }
  if (auto mapped = p.shared.map(4096, MAP_SHARED); !mapped) return mapped;

  ChildStart& s = p.start;
  s.steps = p.steps.data();
  s.count = static_cast<uint32_t>(p.steps.size());
  s.bytes = p.bytes.data();
  s.exec_step = static_cast<uint32_t>(plan.steps.size());
  s.report = new (p.shared.data()) ChildReport{};
  s.argv = p.argv.data();
  s.envp = p.envp.data();
  s.paths = p.paths.data();
  s.parent_pidfd = -1;
  s.netns_fd = request.netns_fd;
  if (const Step* step = plan.find("ns.net")) {
    s.netns_step = static_cast<uint32_t>(step - plan.steps.data());
  }
  std::fill(std::begin(s.slots), std::end(s.slots), -1);
  s.slots[kSlotExe] = plan.init ? p.init.get() : request.exe_fd;
  for (const auto& [inside, here] : request.fds) s.given[s.given_count++] = {inside, here};
  if (plan.init && request.exe_fd >= 0) s.given[s.given_count++] = {kInitExe, request.exe_fd};
  s.filter.len = static_cast<uint16_t>(plan.seccomp_program.size());
  s.filter.filter =
      reinterpret_cast<sock_filter*>(const_cast<uint64_t*>(plan.seccomp_program.data()));
  if (request.cgroup != nullptr) {
    int slot = kSlotCgroup0;
    for (const int fd : request.cgroup->v1_procs()) {
      if (slot <= kSlotCgroupLast) s.slots[slot++] = fd;
    }
  }
  int slot = kSlotNamespace0;
  for (const auto& path : plan.namespace_paths) {
    auto fd = sys::open(path.c_str(), O_RDONLY);
    if (!fd) return tl::unexpected(fd.error());
    s.slots[slot++] = fd->get();
    p.namespaces.push_back(std::move(*fd));
  }
  s.slots[kSlotPidfd] = request.join_pidfd;
  s.slots[kSlotMntns] = request.mntns_fd;
  s.slots[kSlotCgroupns] = request.cgroupns_fd;
  slot = kSlotMapped0;
  for (const MappedTree& tree : plan.mapped_trees) {
    auto fd = make_mapped_tree(tree);
    if (!fd) return tl::unexpected(fd.error());
    s.slots[slot++] = fd->get();
    p.trees.push_back(std::move(*fd));
  }
  auto terminal = TerminalEnds::make(plan.terminal);
  if (!terminal) return tl::unexpected(terminal.error());
  p.terminal = std::move(*terminal);
  s.slots[kSlotTerminal] = p.terminal.slave();
  s.slots[kSlotTerminalTo] = p.terminal.sender();
  if (plan.hooks) {
    auto hooks = HookRunner::make(*plan.hooks, request.warn);
    if (!hooks) return tl::unexpected(hooks.error());
    p.hooks = std::move(*hooks);
    s.hooks = p.hooks->child_hooks();
  }
  if (request.die_with_parent) {
    const int64_t pid = sys::call(SYS_getpid);
    const int64_t fd = pid < 0 ? pid : sys::call(SYS_pidfd_open, static_cast<uint64_t>(pid), 0);
    if (fd < 0) return system_error("pidfd_open", "own process", static_cast<int>(-fd));
    p.self = UniqueFd(static_cast<int>(fd));
    s.parent_pidfd = p.self.get();
  }
  return {};
}

}  // namespace ringfence
