#include "harness/spawn/mapped_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <array>
#include <csignal>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/spawn/child.h"
#include "harness/spawn/reap.h"

namespace ringfence {
namespace {

struct Gate {
  int ours, theirs;
};

// Stays until the other end of the pipe is closed: by us, or because we are gone.
RINGFENCE_CHILD void stay(void* argument) {
  const auto* gate = static_cast<const Gate*>(argument);
  sys::call(SYS_close, static_cast<uint64_t>(gate->ours));
  char byte = 0;
  while (sys::call(SYS_read, static_cast<uint64_t>(gate->theirs), sys::arg(&byte), 1) == -EINTR) {
  }
  for (;;) sys::call(SYS_exit_group, 0);
}

// A user namespace with these maps: that of a child, which ends once the descriptor is there.
Result<UniqueFd> make_user_namespace(const MappedTree& tree) {
  std::array<int, 2> ends{};
  if (const int64_t r = sys::call(SYS_pipe2, sys::arg(ends.data()), O_CLOEXEC); r < 0) {
    return system_error("pipe2", tree.key, static_cast<int>(-r));
  }
  const UniqueFd theirs(ends[0]);
  UniqueFd ours(ends[1]);
  Gate gate{ends[1], ends[0]};
  alignas(16) std::array<char, 8192> stack{};
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_PIDFD | CLONE_VM;
  args.pidfd = sys::arg(&pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = sys::arg(stack.data());
  args.stack_size = stack.size();
  // No handler of ours may run in the child, on memory that is shared.
  const uint64_t all = ~0ULL;
  uint64_t before = 0;
  if (const int64_t r =
          sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&all), sys::arg(&before), 8);
      r < 0) {
    return system_error("rt_sigprocmask", tree.key, static_cast<int>(-r));
  }
  const long pid = clone_and_run(&args, sizeof args, stay, &gate);
  Result<UniqueFd> made = UniqueFd();
  if (pid < 0) {
    made = system_error("clone3", tree.key, static_cast<int>(-pid));
  } else {
    const std::string directory = fmt::format("/proc/{}/", pid);
    auto written = write_file(directory + "uid_map", tree.uid_map);
    if (written) written = write_file(directory + "gid_map", tree.gid_map);
    if (written) {
      made = sys::open((directory + "ns/user").c_str(), O_RDONLY);
    } else {
      made = tl::unexpected(written.error());
    }
    const UniqueFd end(pidfd);
    ours.reset();
    reap(static_cast<int>(pid), end.get());
  }
  if (sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, 8) < 0) {
    sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, 8);
  }
  return made;
}

}  // namespace

Result<UniqueFd> make_mapped_tree(const MappedTree& tree) {
  auto user = make_user_namespace(tree);
  if (!user) return user;
  const uint64_t flags =
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (tree.recursive ? uint64_t{AT_RECURSIVE} : 0);
  const int64_t fd = sys::call(SYS_open_tree, AT_FDCWD, sys::arg(tree.source.c_str()), flags);
  if (fd < 0) return system_error("open_tree", tree.source, static_cast<int>(-fd));
  UniqueFd made(static_cast<int>(fd));
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(user->get());
  const uint64_t how = AT_EMPTY_PATH | (tree.all_mapped ? uint64_t{AT_RECURSIVE} : 0);
  const int64_t r =
      sys::call(SYS_mount_setattr, made.get(), sys::arg(""), how, sys::arg(&attr), sizeof attr);
  if (r == -ENOSYS || r == -EINVAL) {
    return unsupported_error("mount_setattr with MOUNT_ATTR_IDMAP", tree.source,
                             static_cast<int>(-r),
                             "this kernel or file system has no id-mapped mounts");
  }
  if (r < 0) {
    return system_error("mount_setattr with MOUNT_ATTR_IDMAP", tree.source, static_cast<int>(-r),
                        "it takes CAP_SYS_ADMIN in the file system's user namespace");
  }
  return made;
}

}  // namespace ringfence
