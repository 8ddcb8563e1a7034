#include "harness/witness/syscall_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>

#include "harness/base/result.h"
#include "harness/policy/policy.h"
#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

constexpr uint64_t kWord = 0xffffffff;

// ---- Names
// -----------------------------------------------------------------------------------------------
struct Name {
  uint64_t value;
  std::string_view name;
};
#define RF_NAME(constant) \
  { static_cast<uint64_t>(constant), #constant }

// Those that are made of several bits come before these.
constexpr Name kOpenFlags[] = {
    RF_NAME(O_TMPFILE),   RF_NAME(O_SYNC),     RF_NAME(O_CREAT),   RF_NAME(O_EXCL),
    RF_NAME(O_NOCTTY),    RF_NAME(O_TRUNC),    RF_NAME(O_APPEND),  RF_NAME(O_NONBLOCK),
    RF_NAME(O_DSYNC),     RF_NAME(O_ASYNC),    RF_NAME(O_DIRECT),  {0100000, "O_LARGEFILE"},
    RF_NAME(O_DIRECTORY), RF_NAME(O_NOFOLLOW), RF_NAME(O_NOATIME), RF_NAME(O_CLOEXEC),
    RF_NAME(O_PATH),
};
constexpr Name kCloneFlags[] = {
    RF_NAME(CLONE_VM),
    RF_NAME(CLONE_FS),
    RF_NAME(CLONE_FILES),
    RF_NAME(CLONE_SIGHAND),
    RF_NAME(CLONE_PIDFD),
    RF_NAME(CLONE_PTRACE),
    RF_NAME(CLONE_VFORK),
    RF_NAME(CLONE_PARENT),
    RF_NAME(CLONE_THREAD),
    RF_NAME(CLONE_NEWNS),
    RF_NAME(CLONE_SYSVSEM),
    RF_NAME(CLONE_SETTLS),
    RF_NAME(CLONE_PARENT_SETTID),
    RF_NAME(CLONE_CHILD_CLEARTID),
    RF_NAME(CLONE_UNTRACED),
    RF_NAME(CLONE_CHILD_SETTID),
    RF_NAME(CLONE_NEWCGROUP),
    RF_NAME(CLONE_NEWUTS),
    RF_NAME(CLONE_NEWIPC),
    RF_NAME(CLONE_NEWUSER),
    RF_NAME(CLONE_NEWPID),
    RF_NAME(CLONE_NEWNET),
    RF_NAME(CLONE_IO),
};
constexpr Name kNamespaces[] = {
    {0x80, "CLONE_NEWTIME"}, RF_NAME(CLONE_NEWNS),   RF_NAME(CLONE_NEWCGROUP),
    RF_NAME(CLONE_NEWUTS),   RF_NAME(CLONE_NEWIPC),  RF_NAME(CLONE_NEWUSER),
    RF_NAME(CLONE_NEWPID),   RF_NAME(CLONE_NEWNET),  RF_NAME(CLONE_FS),
    RF_NAME(CLONE_FILES),    RF_NAME(CLONE_SYSVSEM), RF_NAME(CLONE_VM),
    RF_NAME(CLONE_THREAD),   RF_NAME(CLONE_SIGHAND),
};
constexpr Name kMountFlags[] = {
    RF_NAME(MS_RDONLY),      RF_NAME(MS_NOSUID),      RF_NAME(MS_NODEV),      RF_NAME(MS_NOEXEC),
    RF_NAME(MS_SYNCHRONOUS), RF_NAME(MS_REMOUNT),     RF_NAME(MS_MANDLOCK),   RF_NAME(MS_DIRSYNC),
    {256, "MS_NOSYMFOLLOW"}, RF_NAME(MS_NOATIME),     RF_NAME(MS_NODIRATIME), RF_NAME(MS_BIND),
    RF_NAME(MS_MOVE),        RF_NAME(MS_REC),         RF_NAME(MS_SILENT),     RF_NAME(MS_POSIXACL),
    RF_NAME(MS_UNBINDABLE),  RF_NAME(MS_PRIVATE),     RF_NAME(MS_SLAVE),      RF_NAME(MS_SHARED),
    RF_NAME(MS_RELATIME),    RF_NAME(MS_STRICTATIME), RF_NAME(MS_LAZYTIME),
};
constexpr Name kUmountFlags[] = {RF_NAME(MNT_FORCE), RF_NAME(MNT_DETACH), RF_NAME(MNT_EXPIRE),
                                 RF_NAME(UMOUNT_NOFOLLOW)};
constexpr Name kAtFlags[] = {
    RF_NAME(AT_SYMLINK_NOFOLLOW), RF_NAME(AT_REMOVEDIR),  RF_NAME(AT_SYMLINK_FOLLOW),
    RF_NAME(AT_NO_AUTOMOUNT),     RF_NAME(AT_EMPTY_PATH), {0x8000, "AT_RECURSIVE"},
};
constexpr Name kProtection[] = {RF_NAME(PROT_READ), RF_NAME(PROT_WRITE), RF_NAME(PROT_EXEC)};
constexpr Name kMapFlags[] = {
    RF_NAME(MAP_SHARED_VALIDATE), RF_NAME(MAP_SHARED),    RF_NAME(MAP_PRIVATE),
    RF_NAME(MAP_FIXED),           RF_NAME(MAP_ANONYMOUS), RF_NAME(MAP_NORESERVE),
    RF_NAME(MAP_LOCKED),          RF_NAME(MAP_POPULATE),  RF_NAME(MAP_HUGETLB),
    RF_NAME(MAP_FIXED_NOREPLACE), RF_NAME(MAP_STACK),     RF_NAME(MAP_GROWSDOWN),
};
constexpr Name kDomains[] = {
    RF_NAME(AF_UNSPEC),  RF_NAME(AF_UNIX),   RF_NAME(AF_INET),    RF_NAME(AF_INET6),
    RF_NAME(AF_NETLINK), RF_NAME(AF_PACKET), RF_NAME(AF_KEY),     RF_NAME(AF_ALG),
    RF_NAME(AF_VSOCK),   RF_NAME(AF_KCM),    RF_NAME(AF_XDP),     RF_NAME(AF_BLUETOOTH),
    RF_NAME(AF_CAN),     RF_NAME(AF_TIPC),   RF_NAME(AF_QIPCRTR),
};
constexpr Name kTypes[] = {
    RF_NAME(SOCK_STREAM), RF_NAME(SOCK_DGRAM),     RF_NAME(SOCK_RAW),
    RF_NAME(SOCK_RDM),    RF_NAME(SOCK_SEQPACKET), RF_NAME(SOCK_PACKET),
};
constexpr Name kTypeFlags[] = {RF_NAME(SOCK_NONBLOCK), RF_NAME(SOCK_CLOEXEC)};
constexpr Name kPrctl[] = {
    RF_NAME(PR_SET_PDEATHSIG),
    RF_NAME(PR_GET_PDEATHSIG),
    RF_NAME(PR_GET_DUMPABLE),
    RF_NAME(PR_SET_DUMPABLE),
    RF_NAME(PR_GET_KEEPCAPS),
    RF_NAME(PR_SET_KEEPCAPS),
    RF_NAME(PR_SET_NAME),
    RF_NAME(PR_GET_NAME),
    RF_NAME(PR_GET_SECCOMP),
    RF_NAME(PR_SET_SECCOMP),
    RF_NAME(PR_CAPBSET_READ),
    RF_NAME(PR_CAPBSET_DROP),
    RF_NAME(PR_GET_TSC),
    RF_NAME(PR_SET_TSC),
    RF_NAME(PR_GET_SECUREBITS),
    RF_NAME(PR_SET_SECUREBITS),
    RF_NAME(PR_SET_MM),
    RF_NAME(PR_SET_PTRACER),
    RF_NAME(PR_SET_CHILD_SUBREAPER),
    RF_NAME(PR_SET_NO_NEW_PRIVS),
    RF_NAME(PR_GET_NO_NEW_PRIVS),
    RF_NAME(PR_CAP_AMBIENT),
    RF_NAME(PR_SET_SPECULATION_CTRL),
    RF_NAME(PR_SET_VMA),
    RF_NAME(PR_SET_SYSCALL_USER_DISPATCH),
};
constexpr Name kPtrace[] = {
    RF_NAME(PTRACE_TRACEME),    RF_NAME(PTRACE_PEEKTEXT), RF_NAME(PTRACE_PEEKDATA),
    RF_NAME(PTRACE_POKETEXT),   RF_NAME(PTRACE_POKEDATA), RF_NAME(PTRACE_CONT),
    RF_NAME(PTRACE_KILL),       RF_NAME(PTRACE_GETREGS),  RF_NAME(PTRACE_SETREGS),
    RF_NAME(PTRACE_ATTACH),     RF_NAME(PTRACE_DETACH),   RF_NAME(PTRACE_SYSCALL),
    RF_NAME(PTRACE_SETOPTIONS), RF_NAME(PTRACE_SEIZE),    RF_NAME(PTRACE_INTERRUPT),
};
constexpr Name kSeccomp[] = {RF_NAME(SECCOMP_SET_MODE_STRICT), RF_NAME(SECCOMP_SET_MODE_FILTER),
                             RF_NAME(SECCOMP_GET_ACTION_AVAIL), RF_NAME(SECCOMP_GET_NOTIF_SIZES)};
constexpr Name kFcntl[] = {
    RF_NAME(F_DUPFD),      RF_NAME(F_GETFD),         RF_NAME(F_SETFD),     RF_NAME(F_GETFL),
    RF_NAME(F_SETFL),      RF_NAME(F_DUPFD_CLOEXEC), RF_NAME(F_ADD_SEALS), RF_NAME(F_GET_SEALS),
    RF_NAME(F_SETPIPE_SZ), RF_NAME(F_GETPIPE_SZ),    RF_NAME(F_SETLEASE),  RF_NAME(F_SETLK),
    RF_NAME(F_GETLK),      RF_NAME(F_SETLKW),        RF_NAME(F_SETOWN),    RF_NAME(F_GETOWN),
};
constexpr Name kKeyctl[] = {RF_NAME(KEYCTL_GET_KEYRING_ID), RF_NAME(KEYCTL_JOIN_SESSION_KEYRING),
                            RF_NAME(KEYCTL_UPDATE),         RF_NAME(KEYCTL_REVOKE),
                            RF_NAME(KEYCTL_CHOWN),          RF_NAME(KEYCTL_SETPERM),
                            RF_NAME(KEYCTL_DESCRIBE),       RF_NAME(KEYCTL_CLEAR),
                            RF_NAME(KEYCTL_LINK),           RF_NAME(KEYCTL_UNLINK),
                            RF_NAME(KEYCTL_SEARCH),         RF_NAME(KEYCTL_READ)};
constexpr Name kBpf[] = {RF_NAME(BPF_MAP_CREATE),      RF_NAME(BPF_MAP_LOOKUP_ELEM),
                         RF_NAME(BPF_MAP_UPDATE_ELEM), RF_NAME(BPF_PROG_LOAD),
                         RF_NAME(BPF_OBJ_PIN),         RF_NAME(BPF_OBJ_GET),
                         RF_NAME(BPF_PROG_ATTACH),     RF_NAME(BPF_RAW_TRACEPOINT_OPEN),
                         RF_NAME(BPF_BTF_LOAD),        RF_NAME(BPF_LINK_CREATE)};
constexpr Name kIoctl[] = {
    RF_NAME(TIOCSTI),         RF_NAME(TIOCLINUX),     RF_NAME(TIOCSCTTY),
    RF_NAME(TIOCGWINSZ),      RF_NAME(TIOCSPTLCK),    RF_NAME(TIOCGPTN),
    RF_NAME(TCGETS),          RF_NAME(TCSETS),        RF_NAME(FIONREAD),
    {0x8922, "SIOCSIFMTU"},   {0x8921, "SIOCGIFMTU"}, {0x8914, "SIOCSIFFLAGS"},
    {0x8913, "SIOCGIFFLAGS"},
};
constexpr Name kResources[] = {
    RF_NAME(RLIMIT_CPU),      RF_NAME(RLIMIT_FSIZE),  RF_NAME(RLIMIT_DATA),
    RF_NAME(RLIMIT_STACK),    RF_NAME(RLIMIT_CORE),   RF_NAME(RLIMIT_RSS),
    RF_NAME(RLIMIT_NPROC),    RF_NAME(RLIMIT_NOFILE), RF_NAME(RLIMIT_MEMLOCK),
    RF_NAME(RLIMIT_AS),       RF_NAME(RLIMIT_LOCKS),  RF_NAME(RLIMIT_SIGPENDING),
    RF_NAME(RLIMIT_MSGQUEUE), RF_NAME(RLIMIT_NICE),   RF_NAME(RLIMIT_RTPRIO),
    RF_NAME(RLIMIT_RTTIME),
};
constexpr Name kClocks[] = {RF_NAME(CLOCK_REALTIME),           RF_NAME(CLOCK_MONOTONIC),
                            RF_NAME(CLOCK_PROCESS_CPUTIME_ID), RF_NAME(CLOCK_THREAD_CPUTIME_ID),
                            RF_NAME(CLOCK_BOOTTIME),           RF_NAME(CLOCK_REALTIME_ALARM),
                            RF_NAME(CLOCK_BOOTTIME_ALARM)};
constexpr Name kIpcFlags[] = {RF_NAME(IPC_CREAT), RF_NAME(IPC_EXCL), RF_NAME(IPC_NOWAIT)};
#undef RF_NAME

std::string one_of(std::span<const Name> names, uint64_t value) {
  const auto found =
      std::find_if(names.begin(), names.end(), [&](const Name& n) { return n.value == value; });
  return found != names.end() ? std::string(found->name)
                              : std::to_string(static_cast<int32_t>(value));
}

void join(std::string& out, std::string_view word) {
  if (!out.empty()) out += '|';
  out += word;
}

// Those set, and what has no name as a number; empty for none.
std::string bits_of(std::span<const Name> names, uint64_t value) {
  std::string out;
  for (const Name& n : names) {
    if ((value & n.value) != n.value) continue;
    join(out, n.name);
    value &= ~n.value;
  }
  if (value != 0) join(out, fmt::format("{:#x}", value));
  return out;
}

std::string bits_or_zero(std::span<const Name> names, uint64_t value) {
  std::string out = bits_of(names, value);
  return out.empty() ? "0" : out;
}

std::string open_flags(uint64_t value) {
  const uint64_t mode = value & O_ACCMODE;
  std::string out = mode == O_RDONLY   ? "O_RDONLY"
                    : mode == O_WRONLY ? "O_WRONLY"
                    : mode == O_RDWR   ? "O_RDWR"
                                       : "O_ACCMODE";
  const std::string more = bits_of(kOpenFlags, value & ~uint64_t{O_ACCMODE});
  if (!more.empty()) join(out, more);
  return out;
}

std::string signal_name(uint64_t value) {
  const char* name = sigabbrev_np(static_cast<int>(value));
  return name != nullptr ? std::string("SIG") + name : std::to_string(static_cast<int32_t>(value));
}

// The low byte is the signal at the end, clone(2).
std::string clone_flags(uint64_t value) {
  std::string out = bits_of(kCloneFlags, value & ~uint64_t{0xff});
  if ((value & 0xff) != 0) join(out, signal_name(value & 0xff));
  return out.empty() ? "0" : out;
}

std::string ipc_flags(uint64_t value) {
  std::string out = bits_of(kIpcFlags, value & ~uint64_t{0777});
  join(out, fmt::format("{:#o}", value & 0777));
  return out;
}

std::string socket_type(uint64_t value) {
  constexpr uint64_t kMask = 0xf;  // SOCK_TYPE_MASK, include/linux/net.h
  std::string out = one_of(kTypes, value & kMask);
  if (const std::string more = bits_of(kTypeFlags, value & ~kMask); !more.empty()) join(out, more);
  return out;
}

std::string capability(uint64_t value) {
  return value <= CAP_LAST_CAP ? std::string(cap_name(static_cast<int>(value)))
                               : std::to_string(value);
}

std::string pointer(uint64_t value) { return value == 0 ? "NULL" : fmt::format("{:#x}", value); }

std::string argument(char kind, uint64_t value, std::optional<std::string_view> path) {
  const uint64_t word = value & kWord;  // of an int, the upper half of a register says nothing
  switch (kind) {
    case 'd':
    case 'f':
      return std::to_string(static_cast<int32_t>(word));
    case 'F':
      return static_cast<int32_t>(word) == AT_FDCWD ? "AT_FDCWD"
                                                    : std::to_string(static_cast<int32_t>(word));
    case 'u':
      return std::to_string(value);
    case 'l':
      return std::to_string(static_cast<int64_t>(value));
    case 'o':
      return fmt::format("{:#o}", word);
    case 'p':
      return pointer(value);
    case 'S':
      if (!path) return pointer(value);
      // A string that fills the witness's room may go on.
      return quoted(*path) + (path->size() + 1 >= RF_PATH ? "..." : "");
    case 'O':
      return open_flags(word);
    case 'q':
      return bits_or_zero(kOpenFlags, word);
    case 'N':
      return bits_or_zero(kNamespaces, word);
    case 'c':
      return clone_flags(value);
    case 'g':
      return signal_name(word);
    case 'P':
      return one_of(kPrctl, word);
    case 'M':
      return bits_or_zero(kMountFlags, value);
    case 'U':
      return bits_or_zero(kUmountFlags, word);
    case 'D':
      return one_of(kDomains, word);
    case 'T':
      return socket_type(word);
    case 'R':
      return one_of(kPtrace, value);
    case 'C':
      return capability(value);
    case 'E':
      return one_of(kSeccomp, word);
    case 'A':
      return bits_or_zero(kAtFlags, word);
    case 'm':
      return word == 0 ? "PROT_NONE" : bits_of(kProtection, word);
    case 'Y':
      return bits_or_zero(kMapFlags, word);
    case 'k':
      return one_of(kFcntl, word);
    case 'K':
      return one_of(kKeyctl, word);
    case 'b':
      return one_of(kBpf, word);
    case 'i': {
      const std::string name = one_of(kIoctl, word);
      return std::isalpha(static_cast<unsigned char>(name[0])) != 0 ? name
                                                                    : fmt::format("{:#x}", word);
    }
    case 'r':
      return one_of(kResources, word);
    case 't':
      return one_of(kClocks, word);
    case 'I':
      return ipc_flags(word);
    default:
      return value < 10 ? std::to_string(value) : fmt::format("{:#x}", value);
  }
}

}  // namespace

std::string arguments_text(uint32_t nr, bool compat, const std::array<uint64_t, 6>& args,
                           std::optional<std::string_view> path) {
  const auto kinds = shape_of(nr, compat, args);
  if (!kinds) return "...";
  std::string out;
  for (size_t i = 0; i < kinds->size(); ++i) {
    if (i > 0) out += ", ";
    out += argument((*kinds)[i], args[i], path);
  }
  return out;
}

std::string result_text(uint32_t nr, bool compat, int64_t ret) {
  constexpr int64_t kMaxErrno = 4095;  // MAX_ERRNO, include/linux/err.h
  // ERESTARTSYS to ERESTART_RESTARTBLOCK, include/linux/errno.h: a signal came in between.
  if (ret <= -512 && ret >= -516) return "interrupted";
  if (ret < 0 && ret >= -kMaxErrno) return errno_name(static_cast<int>(-ret));
  const bool address =
      !compat && (nr == SYS_mmap || nr == SYS_mremap || nr == SYS_brk || nr == SYS_shmat);
  return address ? fmt::format("{:#x}", static_cast<uint64_t>(ret)) : std::to_string(ret);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace ringfence
