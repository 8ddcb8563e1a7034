// Trials of kernel features. Each does the smallest real thing with the feature.
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstring>

#include "harness/base/facts_probe.h"
#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"

namespace ringfence::facts_detail {
namespace {

constexpr unsigned kChildSeconds = 10;  // a trial that hangs ends by SIGALRM
constexpr int kUfUserModeOnly = 1;      // UFFD_USER_MODE_ONLY, Linux 5.11

struct KernelSigaction {  // what rt_sigaction(2) takes, not glibc's struct sigaction
  uint64_t handler, flags, restorer, mask;
};

int to_errno(int64_t result) { return result < 0 ? static_cast<int>(-result) : 0; }

int write_text(const char* path, const char* text) {
  const int64_t fd = sys::call(SYS_openat, AT_FDCWD, sys::arg(path), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return to_errno(fd);
  const int64_t n = sys::call(SYS_write, fd, sys::arg(text), std::strlen(text));
  sys::call(SYS_close, fd);
  return to_errno(n);
}

// The trials that need a child. Syscalls only.
int trial_unshare(const void* argument) {
  return to_errno(sys::call(SYS_unshare, *static_cast<const uint64_t*>(argument)));
}

// A namespace in which nothing is allowed is of no use: AppArmor's restriction of user namespaces
// lets a program without privileges make one, and takes the capabilities inside.
int trial_userns(const void*) {
  if (const int64_t r = sys::call(SYS_unshare, CLONE_NEWUSER); r < 0) return to_errno(r);
  return to_errno(sys::call(SYS_unshare, CLONE_NEWUTS));
}

int install_filter(uint32_t syscall, uint32_t action, uint64_t flags) {
  std::array<sock_filter, 4> code = {{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, syscall},
      {BPF_RET | BPF_K, 0, 0, action},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  if (const int64_t r = sys::call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1); r < 0) return to_errno(r);
  return to_errno(sys::call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, sys::arg(&program)));
}

int trial_seccomp(const void*) {
  constexpr int kMark = EXFULL;  // an errno that getppid never gives
  if (const int err = install_filter(SYS_getppid, SECCOMP_RET_ERRNO | kMark, 0); err != 0) {
    return err;
  }
  return sys::call(SYS_getppid) == -kMark ? 0 : EINVAL;
}

int trial_seccomp_notify(const void*) {
  return install_filter(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

int trial_keys(const void*) {
  static constexpr char kType[] = "user";
  static constexpr char kName[] = "ringfence-probe";
  return to_errno(sys::call(SYS_add_key, sys::arg(kType), sys::arg(kName), sys::arg(kName), 1,
                            static_cast<uint64_t>(KEY_SPEC_PROCESS_KEYRING)));
}

int trial_i386(const void*) {
  constexpr int kGetpidI386 = 20;
  int result = 0;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(kGetpidI386)
               : "r8", "r9", "r10", "r11", "cc", "memory");
  return result == sys::call(SYS_getpid) ? 0 : ENOSYS;
}

int trial_x32(const void*) {
  constexpr long kX32Bit = 0x40000000;
  const int64_t result = sys::call(kX32Bit | SYS_getpid);
  return result == sys::call(SYS_getpid) ? 0 : ENOSYS;
}

int trial_vsyscall(const void*) {
  // gettimeofday's entry, at its address since Linux 2.6.
  using Entry = int (*)(timeval*, void*);
  const auto entry = reinterpret_cast<Entry>(0xffffffffff600000ULL);
  timeval now{};
  return entry(&now, nullptr) == 0 && now.tv_sec > 0 ? 0 : ENOSYS;
}

int trial_tiocsti(const void*) {
  // On a terminal of its own, without capabilities: as a sandboxed program would do it.
  if (const int64_t r = sys::call(SYS_setsid); r < 0) return to_errno(r);
  const int64_t master =
      sys::call(SYS_openat, AT_FDCWD, sys::arg("/dev/ptmx"), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return to_errno(master);
  int unlocked = 0;
  sys::call(SYS_ioctl, master, TIOCSPTLCK, sys::arg(&unlocked));
  const int64_t slave = sys::call(SYS_ioctl, master, TIOCGPTPEER, O_RDWR | O_CLOEXEC);
  if (slave < 0) return to_errno(slave);
  if (const int64_t r = sys::call(SYS_ioctl, slave, TIOCSCTTY, 0); r < 0) return to_errno(r);
  struct {
    uint32_t version = 0x20080522;  // _LINUX_CAPABILITY_VERSION_3
    int pid = 0;
  } header;
  const std::array<uint32_t, 6> none{};
  if (const int64_t r = sys::call(SYS_capset, sys::arg(&header), sys::arg(none.data())); r < 0) {
    return to_errno(r);
  }
  const char typed = 'x';
  return to_errno(sys::call(SYS_ioctl, slave, TIOCSTI, sys::arg(&typed)));
}

int trial_overlay(const void* argument) {
  const SelfMap& map = *static_cast<const SelfMap*>(argument);
  if (const int err = enter(CLONE_NEWNS, map); err != 0) return err;
  const auto mount = [](const char* source, const char* target, const char* type, uint64_t flags,
                        const char* data) {
    return to_errno(sys::call(SYS_mount, sys::arg(source), sys::arg(target), sys::arg(type), flags,
                              sys::arg(data)));
  };
  if (const int err = mount("none", "/", "none", MS_REC | MS_PRIVATE, nullptr); err != 0)
    return err;
  if (const int err = mount("tmpfs", "/tmp", "tmpfs", 0, "size=1m"); err != 0) return err;
  for (const char* directory : {"/tmp/l", "/tmp/u", "/tmp/w", "/tmp/m"}) {
    if (const int64_t r = sys::call(SYS_mkdirat, AT_FDCWD, sys::arg(directory), 0755); r < 0) {
      return to_errno(r);
    }
  }
  // Inside a user namespace only user.* attributes can be written, so it needs userxattr (5.11).
  const int err =
      mount("overlay", "/tmp/m", "overlay", 0, "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w");
  if (err != EPERM && err != EINVAL) return err;
  return mount("overlay", "/tmp/m", "overlay", 0,
               "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,userxattr");
}

Answer errno_probe(int64_t result, int present, std::string_view what) {
  if (result >= 0 || -result == present) return yes();
  return no(static_cast<int>(-result), what);
}

// For a syscall whose success is a descriptor.
Answer fd_probe(int64_t result, std::string_view what) {
  if (result < 0) return no(static_cast<int>(-result), what);
  const UniqueFd owned(static_cast<int>(result));
  return yes();
}

}  // namespace

Answer no(int err, std::string_view what) {
  return {false, fmt::format("{}: {}", what, errno_name(err)), err};
}

ChildEnd in_child(int (*trial)(const void*), const void* argument, bool may_crash) {
  const int64_t pid = sys::call(SYS_clone, SIGCHLD);
  if (pid < 0) return {static_cast<int>(-pid), 0};
  if (pid == 0) {
    sys::call(SYS_alarm, kChildSeconds);
    if (may_crash) {
      sys::call(SYS_prctl, PR_SET_DUMPABLE, 0);
      const KernelSigaction by_default{};
      for (const int signal : {SIGSEGV, SIGILL, SIGBUS, SIGSYS, SIGTRAP}) {
        sys::call(SYS_rt_sigaction, static_cast<uint64_t>(signal), sys::arg(&by_default), 0, 8);
      }
    }
    const int code = trial(argument);
    for (;;) sys::call(SYS_exit_group, static_cast<uint64_t>(code));
  }
  int status = 0;
  int64_t waited = 0;
  do {
    waited = sys::call(SYS_wait4, static_cast<uint64_t>(pid), sys::arg(&status), 0, 0);
  } while (waited == -EINTR);
  if (waited < 0) {
    // It must not stay, whatever was wrong with the wait.
    sys::call(SYS_kill, static_cast<uint64_t>(pid), SIGKILL);
    sys::call(SYS_wait4, static_cast<uint64_t>(pid), sys::arg(&status), 0, 0);
    return {static_cast<int>(-waited), 0};
  }
  if (WIFSIGNALED(status)) return {0, WTERMSIG(status)};
  return {WEXITSTATUS(status), 0};
}

Answer from_child(const ChildEnd& end, std::string_view what, std::string detail) {
  if (end.signal != 0) {
    return {false, fmt::format("{}: the trial ended by signal {}", what, end.signal), 0};
  }
  if (end.err != 0) return no(end.err, what);
  return yes(std::move(detail));
}

SelfMap self_map() {
  SelfMap map{};
  *fmt::format_to_n(map.uid, sizeof map.uid - 1, "0 {} 1", geteuid()).out = '\0';
  *fmt::format_to_n(map.gid, sizeof map.gid - 1, "0 {} 1", getegid()).out = '\0';
  return map;
}

int enter(uint64_t flags, const SelfMap& map) {
  const int64_t direct = sys::call(SYS_unshare, flags);
  if (direct != -EPERM) return to_errno(direct);
  if (const int64_t r = sys::call(SYS_unshare, flags | CLONE_NEWUSER); r < 0) return to_errno(r);
  if (const int err = write_text("/proc/self/setgroups", "deny"); err != 0) return err;
  if (const int err = write_text("/proc/self/uid_map", map.uid); err != 0) return err;
  return write_text("/proc/self/gid_map", map.gid);
}

Answer probe_userns(const Facts&) {
  Answer answer = from_child(in_child(trial_userns), "unshare(CLONE_NEWUSER)");
  if (auto limit = read_file("/proc/sys/user/max_user_namespaces"); limit && answer.available) {
    answer.detail = fmt::format("max_user_namespaces {}", trim(*limit));
  }
  // An unprivileged user is refused by settings, not for want of root.
  if (!answer.available) answer.reason = "host-lacks:userns";
  return answer;
}

Answer unshare_trial(uint64_t flag) {
  const ChildEnd direct = in_child(trial_unshare, &flag);
  if (direct.err != EPERM) return from_child(direct, "unshare");
  const uint64_t nested = flag | CLONE_NEWUSER;
  return from_child(in_child(trial_unshare, &nested), "unshare", "inside a user namespace");
}

Answer probe_clone3(const Facts&) {
  // A size of 0 is refused by the syscall itself.
  return errno_probe(sys::call(SYS_clone3, 0, 0), EINVAL, "clone3");
}

Answer probe_pidfd(const Facts&) {
  return fd_probe(sys::call(SYS_pidfd_open, static_cast<uint64_t>(getpid()), 0), "pidfd_open");
}

Answer probe_openat2(const Facts&) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH;
  return fd_probe(sys::call(SYS_openat2, AT_FDCWD, sys::arg("."), sys::arg(&how), sizeof how),
                  "openat2");
}

Answer probe_mount_setattr(const Facts&) {
  // Too small a structure is refused before anything is looked at.
  return errno_probe(sys::call(SYS_mount_setattr, AT_FDCWD, sys::arg(""), 0, 0, 0), EINVAL,
                     "mount_setattr");
}

Answer probe_close_range(const Facts&) {
  return errno_probe(sys::call(SYS_close_range, ~0U, ~0U, 0), 0, "close_range");
}

Answer probe_seccomp(const Facts&) { return from_child(in_child(trial_seccomp), "seccomp filter"); }

Answer probe_seccomp_notify(const Facts&) {
  return from_child(in_child(trial_seccomp_notify), "seccomp listener");
}

// What the eBPF witness stands on: a ring buffer, and a program on a raw tracepoint, which takes
// CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN). Loaded, and attached to nothing.
Answer probe_bpf(const Facts&) {
  bpf_attr map{};
  map.map_type = BPF_MAP_TYPE_RINGBUF;
  map.max_entries = 4096;
  auto ring = fd_probe(sys::call(SYS_bpf, BPF_MAP_CREATE, sys::arg(&map), sizeof map),
                       "BPF_MAP_CREATE of a ring buffer");
  if (!ring.available) return ring;
  const std::array<bpf_insn, 2> program = {
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K,
               .dst_reg = BPF_REG_0,
               .src_reg = 0,
               .off = 0,
               .imm = 0},
      bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  static constexpr char kLicense[] = "GPL";
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  load.insns = sys::arg(program.data());
  load.insn_cnt = program.size();
  load.license = sys::arg(&kLicense[0]);
  return fd_probe(sys::call(SYS_bpf, BPF_PROG_LOAD, sys::arg(&load), sizeof load),
                  "BPF_PROG_LOAD of a raw tracepoint");
}

Answer probe_btf(const Facts&) {
  static constexpr char kPath[] = "/sys/kernel/btf/vmlinux";
  auto fd = sys::open(kPath, O_RDONLY);
  if (!fd) return no(fd.error().err, kPath);
  return yes(kPath);
}

Answer probe_landlock(const Facts&) {
  const int64_t abi = sys::call(SYS_landlock_create_ruleset, 0, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0) return no(static_cast<int>(-abi), "landlock_create_ruleset");
  return yes(fmt::format("ABI {}", abi));
}

Answer has_landlock(std::string_view version, bool& known) {
  const auto wanted = parse_int(version);
  known = wanted && *wanted > 0;
  if (!known) return {};
  const int64_t abi = sys::call(SYS_landlock_create_ruleset, 0, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 0) return no(static_cast<int>(-abi), "landlock_create_ruleset");
  const std::string have = fmt::format("ABI {}", abi);
  return abi >= *wanted ? yes(have) : Answer{false, have, 0, {}};
}

Answer probe_io_uring(const Facts&) {
  io_uring_params params{};
  return fd_probe(sys::call(SYS_io_uring_setup, 1, sys::arg(&params)), "io_uring_setup");
}

Answer probe_userfaultfd(const Facts&) {
  const int64_t whole = sys::call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (whole != -EPERM) return fd_probe(whole, "userfaultfd");
  Answer answer =
      fd_probe(sys::call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUfUserModeOnly), "userfaultfd");
  if (answer.available) answer.detail = "faults of user mode only";
  return answer;
}

Answer probe_perf(const Facts&) {
  perf_event_attr attr{};
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof attr;
  attr.config = PERF_COUNT_SW_TASK_CLOCK;
  attr.disabled = 1;
  return fd_probe(sys::call(SYS_perf_event_open, sys::arg(&attr), 0, static_cast<uint64_t>(-1),
                            static_cast<uint64_t>(-1), PERF_FLAG_FD_CLOEXEC),
                  "perf_event_open");
}

// A socket is made and never connected: vsock has no namespaces, its peer is the real host.
Answer probe_vsock(const Facts&) {
  return fd_probe(sys::call(SYS_socket, AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0),
                  "socket AF_VSOCK");
}

Answer probe_keys(const Facts&) { return from_child(in_child(trial_keys), "add_key"); }

Answer probe_i386(const Facts&) {
  return from_child(in_child(trial_i386, nullptr, true), "int 0x80");
}

Answer probe_x32(const Facts&) {
  return from_child(in_child(trial_x32, nullptr, true), "getpid with bit 30");
}

Answer probe_vsyscall(const Facts&) {
  return from_child(in_child(trial_vsyscall, nullptr, true), "vsyscall gettimeofday");
}

Answer probe_tiocsti(const Facts&) {
  return from_child(in_child(trial_tiocsti), "TIOCSTI without capabilities");
}

Answer probe_overlay(const Facts&) {
  const SelfMap map = self_map();
  return from_child(in_child(trial_overlay, &map), "mount overlay");
}

Answer probe_mqueue(const Facts&) {
  // No O_CREAT: nothing is made.
  return errno_probe(
      sys::call(SYS_mq_open, sys::arg("ringfence-there-is-no-such-queue"), O_RDONLY, 0, 0), ENOENT,
      "mq_open");
}

Answer probe_sysvipc(const Facts&) {
  shminfo info{};
  return errno_probe(sys::call(SYS_shmctl, 0, IPC_INFO, sys::arg(&info)), 0, "shmctl(IPC_INFO)");
}

}  // namespace ringfence::facts_detail
