#include "harness/witness/operation.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <span>

#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

enum class Kind : uint8_t {
  none,
  path,
  directory,  // a descriptor that the path counts from
  number,
  hex,
  octal,
  signal,
  open_flags,
  access_mode,
  clone_flags,
  mount_flags,
  ptrace_request,
  keyctl_operation,
  prctl_operation,
  bpf_command,
  family,
  socket_type,
};

struct Shape {
  long nr;
  struct Arg {
    uint8_t index = 0;
    Kind kind = Kind::none;
  };
  std::array<Arg, 3> args;
};

using K = Kind;
constexpr auto kShapes = std::to_array<Shape>({
    {SYS_open, {{{0, K::path}, {1, K::open_flags}}}},
    {SYS_openat, {{{0, K::directory}, {1, K::path}, {2, K::open_flags}}}},
    {SYS_openat2, {{{0, K::directory}, {1, K::path}}}},
    {SYS_creat, {{{0, K::path}, {1, K::octal}}}},
    {SYS_access, {{{0, K::path}, {1, K::access_mode}}}},
    {SYS_faccessat, {{{0, K::directory}, {1, K::path}, {2, K::access_mode}}}},
    {SYS_faccessat2, {{{0, K::directory}, {1, K::path}, {2, K::access_mode}}}},
    {SYS_execve, {{{0, K::path}}}},
    {SYS_execveat, {{{0, K::directory}, {1, K::path}}}},
    {SYS_stat, {{{0, K::path}}}},
    {SYS_lstat, {{{0, K::path}}}},
    {SYS_newfstatat, {{{0, K::directory}, {1, K::path}}}},
    {SYS_statx, {{{0, K::directory}, {1, K::path}}}},
    {SYS_statfs, {{{0, K::path}}}},
    {SYS_readlink, {{{0, K::path}}}},
    {SYS_readlinkat, {{{0, K::directory}, {1, K::path}}}},
    {SYS_truncate, {{{0, K::path}, {1, K::number}}}},
    {SYS_chdir, {{{0, K::path}}}},
    {SYS_chroot, {{{0, K::path}}}},
    {SYS_pivot_root, {{{0, K::path}}}},
    {SYS_rename, {{{0, K::path}}}},
    {SYS_renameat, {{{0, K::directory}, {1, K::path}}}},
    {SYS_renameat2, {{{0, K::directory}, {1, K::path}}}},
    {SYS_mkdir, {{{0, K::path}, {1, K::octal}}}},
    {SYS_mkdirat, {{{0, K::directory}, {1, K::path}, {2, K::octal}}}},
    {SYS_rmdir, {{{0, K::path}}}},
    {SYS_link, {{{0, K::path}}}},
    {SYS_linkat, {{{0, K::directory}, {1, K::path}}}},
    {SYS_unlink, {{{0, K::path}}}},
    {SYS_unlinkat, {{{0, K::directory}, {1, K::path}}}},
    {SYS_mknod, {{{0, K::path}, {1, K::octal}, {2, K::hex}}}},
    {SYS_mknodat, {{{1, K::path}, {2, K::octal}, {3, K::hex}}}},
    {SYS_chmod, {{{0, K::path}, {1, K::octal}}}},
    {SYS_fchmod, {{{0, K::number}, {1, K::octal}}}},
    {SYS_fchmodat, {{{0, K::directory}, {1, K::path}, {2, K::octal}}}},
    {SYS_chown, {{{0, K::path}, {1, K::number}, {2, K::number}}}},
    {SYS_lchown, {{{0, K::path}, {1, K::number}, {2, K::number}}}},
    {SYS_fchown, {{{0, K::number}, {1, K::number}, {2, K::number}}}},
    {SYS_fchownat, {{{1, K::path}, {2, K::number}, {3, K::number}}}},
    {SYS_setxattr, {{{0, K::path}}}},
    {SYS_swapon, {{{0, K::path}}}},
    {SYS_sethostname, {{{0, K::path}}}},
    {SYS_setdomainname, {{{0, K::path}}}},
    {SYS_mount, {{{1, K::path}, {3, K::mount_flags}}}},
    {SYS_umount2, {{{0, K::path}}}},
    {SYS_open_tree, {{{0, K::directory}, {1, K::path}}}},
    {SYS_mount_setattr, {{{0, K::directory}, {1, K::path}}}},
    {SYS_name_to_handle_at, {{{0, K::directory}, {1, K::path}}}},
    {SYS_open_by_handle_at, {{{0, K::number}, {2, K::open_flags}}}},
    {SYS_read, {{{0, K::number}}}},
    {SYS_write, {{{0, K::number}}}},
    {SYS_ioctl, {{{0, K::number}, {1, K::hex}}}},
    {SYS_fcntl, {{{0, K::number}, {1, K::number}}}},
    {SYS_kill, {{{0, K::number}, {1, K::signal}}}},
    {SYS_tkill, {{{0, K::number}, {1, K::signal}}}},
    {SYS_tgkill, {{{0, K::number}, {1, K::number}, {2, K::signal}}}},
    {SYS_pidfd_open, {{{0, K::number}}}},
    {SYS_pidfd_send_signal, {{{0, K::number}, {1, K::signal}}}},
    {SYS_pidfd_getfd, {{{0, K::number}, {1, K::number}}}},
    {SYS_ptrace, {{{0, K::ptrace_request}, {1, K::number}}}},
    {SYS_process_vm_readv, {{{0, K::number}}}},
    {SYS_process_vm_writev, {{{0, K::number}}}},
    {SYS_kcmp, {{{0, K::number}, {1, K::number}}}},
    {SYS_clone, {{{0, K::clone_flags}}}},
    {SYS_unshare, {{{0, K::clone_flags}}}},
    {SYS_setns, {{{0, K::number}, {1, K::clone_flags}}}},
    {SYS_socket, {{{0, K::family}, {1, K::socket_type}, {2, K::number}}}},
    {SYS_socketpair, {{{0, K::family}, {1, K::socket_type}, {2, K::number}}}},
    {SYS_bind, {{{0, K::number}}}},
    {SYS_connect, {{{0, K::number}}}},
    {SYS_setsockopt, {{{0, K::number}, {1, K::number}, {2, K::number}}}},
    {SYS_keyctl, {{{0, K::keyctl_operation}}}},
    {SYS_prctl, {{{0, K::prctl_operation}, {1, K::number}, {2, K::number}}}},
    {SYS_bpf, {{{0, K::bpf_command}}}},
    {SYS_setuid, {{{0, K::number}}}},
    {SYS_setgid, {{{0, K::number}}}},
    {SYS_setreuid, {{{0, K::number}, {1, K::number}}}},
    {SYS_setregid, {{{0, K::number}, {1, K::number}}}},
    {SYS_setresuid, {{{0, K::number}, {1, K::number}, {2, K::number}}}},
    {SYS_setresgid, {{{0, K::number}, {1, K::number}, {2, K::number}}}},
    {SYS_setgroups, {{{0, K::number}}}},
    {SYS_setrlimit, {{{0, K::number}}}},
    {SYS_prlimit64, {{{0, K::number}, {1, K::number}}}},
    {SYS_setpriority, {{{0, K::number}, {1, K::number}, {2, K::number}}}},
    {SYS_sched_setscheduler, {{{0, K::number}, {1, K::number}}}},
    {SYS_ioperm, {{{0, K::hex}, {1, K::number}, {2, K::number}}}},
    {SYS_iopl, {{{0, K::number}}}},
    {SYS_personality, {{{0, K::hex}}}},
});

struct Named {
  uint64_t value;
  const char* name;
};
#define RF_NAMED(name) \
  { static_cast<uint64_t>(name), #name }

constexpr auto kOpenFlags = std::to_array<Named>({RF_NAMED(O_CREAT),
                                                  RF_NAMED(O_EXCL),
                                                  RF_NAMED(O_TRUNC),
                                                  RF_NAMED(O_APPEND),
                                                  {O_DIRECTORY, "O_DIRECTORY"},
                                                  RF_NAMED(O_NOFOLLOW),
                                                  {010000000, "O_PATH"}});
constexpr auto kCloneFlags =
    std::to_array<Named>({RF_NAMED(CLONE_NEWUSER), RF_NAMED(CLONE_NEWNS), RF_NAMED(CLONE_NEWPID),
                          RF_NAMED(CLONE_NEWNET), RF_NAMED(CLONE_NEWIPC), RF_NAMED(CLONE_NEWUTS),
                          RF_NAMED(CLONE_NEWCGROUP), RF_NAMED(CLONE_THREAD)});
constexpr auto kMountFlags = std::to_array<Named>(
    {RF_NAMED(MS_RDONLY), RF_NAMED(MS_NOSUID), RF_NAMED(MS_NODEV), RF_NAMED(MS_NOEXEC),
     RF_NAMED(MS_REMOUNT), RF_NAMED(MS_BIND), RF_NAMED(MS_MOVE), RF_NAMED(MS_REC),
     RF_NAMED(MS_PRIVATE), RF_NAMED(MS_SLAVE), RF_NAMED(MS_SHARED)});
constexpr auto kPtrace = std::to_array<Named>({RF_NAMED(PTRACE_TRACEME), RF_NAMED(PTRACE_PEEKDATA),
                                               RF_NAMED(PTRACE_POKEDATA), RF_NAMED(PTRACE_ATTACH),
                                               RF_NAMED(PTRACE_SEIZE), RF_NAMED(PTRACE_GETREGS),
                                               RF_NAMED(PTRACE_SETREGS)});
constexpr auto kKeyctl =
    std::to_array<Named>({RF_NAMED(KEYCTL_GET_KEYRING_ID), RF_NAMED(KEYCTL_JOIN_SESSION_KEYRING),
                          RF_NAMED(KEYCTL_UPDATE), RF_NAMED(KEYCTL_REVOKE),
                          RF_NAMED(KEYCTL_DESCRIBE), RF_NAMED(KEYCTL_LINK), RF_NAMED(KEYCTL_SEARCH),
                          RF_NAMED(KEYCTL_READ), RF_NAMED(KEYCTL_SETPERM)});
constexpr auto kPrctl = std::to_array<Named>(
    {RF_NAMED(PR_CAPBSET_DROP), RF_NAMED(PR_CAP_AMBIENT), RF_NAMED(PR_SET_SECCOMP),
     RF_NAMED(PR_SET_SECUREBITS), RF_NAMED(PR_SET_MM), RF_NAMED(PR_SET_DUMPABLE),
     RF_NAMED(PR_SET_KEEPCAPS), RF_NAMED(PR_SET_PTRACER), RF_NAMED(PR_SET_NO_NEW_PRIVS)});
constexpr auto kBpf =
    std::to_array<Named>({RF_NAMED(BPF_MAP_CREATE), RF_NAMED(BPF_PROG_LOAD), RF_NAMED(BPF_OBJ_GET),
                          RF_NAMED(BPF_LINK_CREATE), RF_NAMED(BPF_BTF_LOAD)});
constexpr auto kFamilies =
    std::to_array<Named>({RF_NAMED(AF_UNIX), RF_NAMED(AF_INET), RF_NAMED(AF_INET6),
                          RF_NAMED(AF_NETLINK), RF_NAMED(AF_PACKET), RF_NAMED(AF_VSOCK),
                          RF_NAMED(AF_ALG), RF_NAMED(AF_BLUETOOTH), RF_NAMED(AF_XDP)});
constexpr auto kTypes =
    std::to_array<Named>({RF_NAMED(SOCK_STREAM), RF_NAMED(SOCK_DGRAM), RF_NAMED(SOCK_RAW),
                          RF_NAMED(SOCK_SEQPACKET), RF_NAMED(SOCK_PACKET)});
#undef RF_NAMED

std::string one_of(std::span<const Named> names, uint64_t value) {
  for (const Named& named : names) {
    if (named.value == value) return named.name;
  }
  return std::to_string(static_cast<int>(value));
}

// The flags that have a name here; `base` when none is set.
std::string flags_of(std::span<const Named> names, uint64_t value, std::string text) {
  for (const Named& named : names) {
    if ((value & named.value) != named.value) continue;
    if (!text.empty()) text += '|';
    text += named.name;
  }
  return text.empty() ? "0" : text;
}

std::string open_flags(uint64_t value) {
  constexpr std::array kAccess = {"O_RDONLY", "O_WRONLY", "O_RDWR", "3"};
  return flags_of(kOpenFlags, value, kAccess.at(value & O_ACCMODE));
}

std::string access_mode(uint64_t value) {
  std::string text;
  constexpr auto kModes = std::to_array<Named>({{4, "R_OK"}, {2, "W_OK"}, {1, "X_OK"}});
  if ((value & 7) == 0) return "F_OK";
  return flags_of(kModes, value, std::move(text));
}

std::string signal_name(uint64_t value) {
  const auto number = static_cast<int>(value);
  const char* name = sigabbrev_np(number);
  return name != nullptr && number != 0 ? fmt::format("SIG{}", name) : std::to_string(number);
}

std::string argument(Kind kind, uint64_t value) {
  switch (kind) {
    case Kind::hex:
      return fmt::format("{:#x}", value);
    case Kind::octal:
      return fmt::format("0{:o}", static_cast<uint32_t>(value));
    case Kind::signal:
      return signal_name(value);
    case Kind::open_flags:
      return open_flags(value);
    case Kind::access_mode:
      return access_mode(value);
    case Kind::clone_flags:
      return flags_of(kCloneFlags, value, {});
    case Kind::mount_flags:
      return flags_of(kMountFlags, value, {});
    case Kind::ptrace_request:
      return one_of(kPtrace, value);
    case Kind::keyctl_operation:
      return one_of(kKeyctl, value);
    case Kind::prctl_operation:
      return one_of(kPrctl, value);
    case Kind::bpf_command:
      return one_of(kBpf, value);
    case Kind::family:
      return one_of(kFamilies, value);
    case Kind::socket_type:
      return one_of(kTypes, value & 0xf);  // SOCK_TYPE_MASK, without SOCK_CLOEXEC
    default:
      return std::to_string(static_cast<int>(value));
  }
}

std::string quoted(const std::string& path) {
  if (path.empty()) return "?";  // it could not be read, or it is empty
  // Cut by the witness, perhaps.
  return "\"" + path + "\"" + (path.size() >= RF_PATH - 1 ? "..." : "");
}

}  // namespace

std::string operation_text(const CallRecord& call, const std::string& path) {
  std::string text = call_name(call.nr, call.compat);
  if (call.compat) return text;
  text += '(';
  const auto shape = std::find_if(kShapes.begin(), kShapes.end(), [&](const Shape& s) {
    return s.nr == static_cast<long>(call.nr);
  });
  bool first = true;
  for (const auto& arg : shape != kShapes.end() ? shape->args : decltype(shape->args){}) {
    if (arg.kind == Kind::none) continue;
    std::string one;
    if (arg.kind == Kind::path) {
      one = quoted(path);
    } else {
      if (!call.args_known) continue;
      const uint64_t value = call.args.at(arg.index);
      if (arg.kind == Kind::directory &&
          (static_cast<int>(value) == AT_FDCWD || path.starts_with('/'))) {
        continue;
      }
      one = argument(arg.kind, value);
    }
    text += (first ? "" : ", ") + one;
    first = false;
  }
  return text + ')';
}

}  // namespace ringfence
