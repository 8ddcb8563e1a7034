// Rows: a capability that is missing, alone where that is possible.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/kcmp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include <cstdio>

#include "harness/policy/policy.h"
#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

constexpr const char* kMissing = "was asked for last";

template <typename... A>
int raw(long nr, A... args) {
  return errno_of(syscall(nr, args...));
}

std::function<bool()> without(int cap) {
  return [cap] { return drop_cap(cap); };
}

// Who executes them lacks the capability, so that nothing of this takes effect; where it could, the
// arguments are such that it would fail all the same.
DenialRow lacks(const char* name, long nr, int cap, std::function<int()> act, int err = EPERM) {
  return {.name = name,
          .nr = nr,
          .err = err,
          .layer = Layer::cap(cap_name(cap)),
          .why = kMissing,
          .prepare = without(cap),
          .act = std::move(act)};
}

// Opens in prepare what act then asks something of.
int g_fd = -1;
DenialRow lacks_on(const char* name, long nr, int cap, std::function<int()> open_it,
                   std::function<int()> act, int err = EPERM) {
  DenialRow denial = lacks(name, nr, cap, std::move(act), err);
  denial.prepare = [cap, open_it = std::move(open_it)] {
    g_fd = open_it();
    return g_fd >= 0 && drop_cap(cap);
  };
  return denial;
}

DenialRow lacks_all(const char* name, long nr, int cap, const char* why, std::function<int()> act,
                    int err = EPERM) {
  DenialRow denial = lacks(name, nr, cap, std::move(act), err);
  denial.why = why;
  denial.prepare = drop_all;
  return denial;
}

int bind_port(uint16_t port) {
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(port);
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return raw(SYS_bind, g_fd, &here, sizeof here);
}

int inet_socket() { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

void add_file_caps(std::vector<DenialRow>& rows) {
  const auto file = [] { return Scene::get().at("file"); };
  const auto own_private = [] { return Scene::get().at("private"); };
  rows.push_back(
      lacks("chown", SYS_chown, CAP_CHOWN, [=] { return raw(SYS_chown, file().c_str(), 7, 7); }));
  rows.push_back(lacks_on(
      "fchown", SYS_fchown, CAP_CHOWN, [=] { return open(file().c_str(), O_RDONLY); },
      [] { return raw(SYS_fchown, g_fd, 7, 7); }));
  rows.push_back(lacks("fchownat", SYS_fchownat, CAP_CHOWN,
                       [=] { return raw(SYS_fchownat, AT_FDCWD, file().c_str(), 7, 7, 0); }));
  rows.push_back(lacks("chmod of another's", SYS_chmod, CAP_FOWNER,
                       [=] { return raw(SYS_chmod, own_private().c_str(), 0777); }));
  rows.push_back(lacks("utimensat of another's", SYS_utimensat, CAP_FOWNER, [=] {
    const timespec times[2] = {{1, 0}, {1, 0}};
    return raw(SYS_utimensat, AT_FDCWD, own_private().c_str(), times, 0);
  }));
  rows.push_back(lacks("mknod", SYS_mknod, CAP_MKNOD, [] {
    return raw(SYS_mknod, Scene::get().at("null").c_str(), S_IFCHR | 0666, 0x103);
  }));
  rows.push_back(lacks("setxattr of capabilities", SYS_setxattr, CAP_SETFCAP, [=] {
    struct vfs_cap_data data {};
    data.magic_etc = VFS_CAP_REVISION_2;
    return raw(SYS_setxattr, file().c_str(), "security.capability", &data, size_t{XATTR_CAPS_SZ_2},
               0);
  }));
  rows.push_back(lacks_on(
      "ioctl FS_IOC_SETFLAGS immutable", SYS_ioctl, CAP_LINUX_IMMUTABLE,
      [=] { return open(file().c_str(), O_RDONLY); },
      [] {
        int flags = FS_IMMUTABLE_FL;
        return raw(SYS_ioctl, g_fd, FS_IOC_SETFLAGS, &flags);
      }));
  rows.push_back(lacks_on(
      "fcntl F_SETLEASE on another's", SYS_fcntl, CAP_LEASE,
      [=] { return open(own_private().c_str(), O_RDONLY); },
      [] { return raw(SYS_fcntl, g_fd, F_SETLEASE, F_RDLCK); }, EACCES));
  rows.push_back(lacks("open_by_handle_at", SYS_open_by_handle_at, CAP_DAC_READ_SEARCH, [] {
    // struct file_handle: bytes that follow, type, and 16 of them.
    uint32_t handle[6] = {16, 1};
    return raw(SYS_open_by_handle_at, AT_FDCWD, handle, O_RDONLY);
  }));
}

void add_id_caps(std::vector<DenialRow>& rows) {
  rows.push_back(lacks("setuid", SYS_setuid, CAP_SETUID, [] { return raw(SYS_setuid, 7); }));
  rows.push_back(
      lacks("setresuid", SYS_setresuid, CAP_SETUID, [] { return raw(SYS_setresuid, 7, 7, 7); }));
  rows.push_back(lacks("setgid", SYS_setgid, CAP_SETGID, [] { return raw(SYS_setgid, 7); }));
  rows.push_back(lacks("setgroups", SYS_setgroups, CAP_SETGID, [] {
    const gid_t groups[] = {7};
    return raw(SYS_setgroups, 1, groups);
  }));
  rows.push_back(lacks("prctl PR_CAPBSET_DROP", SYS_prctl, CAP_SETPCAP,
                       [] { return raw(SYS_prctl, PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0); }));
  rows.push_back(lacks("kill of another's", SYS_kill, CAP_KILL,
                       [] { return raw(SYS_kill, Scene::get().other_user, 0); }));
  rows.push_back(lacks("tgkill of another's", SYS_tgkill, CAP_KILL, [] {
    return raw(SYS_tgkill, Scene::get().other_user, Scene::get().other_user, 0);
  }));
}

void add_process_caps(std::vector<DenialRow>& rows) {
  rows.push_back(lacks("ptrace", SYS_ptrace, CAP_SYS_PTRACE,
                       [] { return raw(SYS_ptrace, PTRACE_SEIZE, Scene::get().process, 0, 0); }));
  rows.push_back(lacks("process_vm_readv", SYS_process_vm_readv, CAP_SYS_PTRACE, [] {
    char byte = 0;
    const iovec here{&byte, 1};
    return raw(SYS_process_vm_readv, Scene::get().process, &here, 1, &here, 1, 0);
  }));
  rows.push_back(lacks("kcmp", SYS_kcmp, CAP_SYS_PTRACE, [] {
    return raw(SYS_kcmp, Scene::get().process, getpid(), KCMP_VM, 0, 0);
  }));
  rows.push_back(lacks(
      "setpriority", SYS_setpriority, CAP_SYS_NICE,
      [] { return raw(SYS_setpriority, PRIO_PROCESS, 0, -20); }, EACCES));
  rows.push_back(lacks("sched_setscheduler", SYS_sched_setscheduler, CAP_SYS_NICE, [] {
    const sched_param param{.sched_priority = 1};
    return raw(SYS_sched_setscheduler, 0, SCHED_FIFO, &param);
  }));
  rows.push_back(lacks("prlimit64 above the hard limit", SYS_prlimit64, CAP_SYS_RESOURCE, [] {
    const rlimit64 limit{1 << 20, 1 << 20};
    return raw(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, nullptr);
  }));
  DenialRow mlock = lacks("mlock with no allowance", SYS_mlock, CAP_IPC_LOCK, [] {
    static char page[8192];
    return raw(SYS_mlock, page, 4096);
  });
  mlock.prepare = [] { return set_limit(RLIMIT_MEMLOCK, 0) && drop_cap(CAP_IPC_LOCK); };
  rows.push_back(mlock);
  rows.push_back(lacks(
      "shmget of another's", SYS_shmget, CAP_IPC_OWNER,
      [] { return raw(SYS_shmget, 0x52460004, 4096, 0600); }, EACCES));
}

void add_net_caps(std::vector<DenialRow>& rows) {
  DenialRow port = lacks_on(
      "bind below 1024", SYS_bind, CAP_NET_BIND_SERVICE, inet_socket, [] { return bind_port(79); },
      EACCES);
  port.clone_flags = CLONE_NEWNET;
  rows.push_back(port);
  rows.push_back(lacks("socket SOCK_RAW", SYS_socket, CAP_NET_RAW,
                       [] { return raw(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP); }));
  rows.push_back(lacks("socket AF_PACKET", SYS_socket, CAP_NET_RAW,
                       [] { return raw(SYS_socket, AF_PACKET, SOCK_RAW, 0); }));
  DenialRow up = lacks_on("ioctl SIOCSIFFLAGS", SYS_ioctl, CAP_NET_ADMIN, inet_socket, [] {
    ifreq request{};
    (void)std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", "lo");
    return raw(SYS_ioctl, g_fd, SIOCSIFFLAGS, &request);
  });
  up.clone_flags = CLONE_NEWNET;
  rows.push_back(up);
  rows.push_back(
      lacks_on("setsockopt SO_RCVBUFFORCE", SYS_setsockopt, CAP_NET_ADMIN, inet_socket, [] {
        const int size = 1 << 16;
        return raw(SYS_setsockopt, g_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
      }));
}

void add_host_caps(std::vector<DenialRow>& rows) {
  rows.push_back(lacks("chroot", SYS_chroot, CAP_SYS_CHROOT, [] { return raw(SYS_chroot, "/"); }));
  rows.push_back(lacks_on(
      "ioctl FIBMAP", SYS_ioctl, CAP_SYS_RAWIO,
      [] { return open(Scene::get().at("file").c_str(), O_RDONLY); },
      [] {
        int block = 0;
        return raw(SYS_ioctl, g_fd, FIBMAP, &block);
      }));
  rows.push_back(
      lacks("acct", SYS_acct, CAP_SYS_PACCT, [] { return raw(SYS_acct, "/not-there/acct"); }));
  // Wrong magic: EINVAL for who may.
  rows.push_back(
      lacks("reboot", SYS_reboot, CAP_SYS_BOOT, [] { return raw(SYS_reboot, 1, 2, 3, 0); }));
  // A tick out of range, a time zone out of this world.
  rows.push_back(lacks("adjtimex", SYS_adjtimex, CAP_SYS_TIME, [] {
    timex change{};
    change.modes = ADJ_TICK;
    return raw(SYS_adjtimex, &change);
  }));
  rows.push_back(lacks("settimeofday", SYS_settimeofday, CAP_SYS_TIME, [] {
    const struct timezone zone { 99999, 0 };
    return raw(SYS_settimeofday, nullptr, &zone);
  }));
  DenialRow hangup =
      lacks("vhangup", SYS_vhangup, CAP_SYS_TTY_CONFIG, [] { return raw(SYS_vhangup); });
  hangup.prepare = [] { return setsid() > 0 && drop_cap(CAP_SYS_TTY_CONFIG); };
  rows.push_back(hangup);
  DenialRow log =
      lacks("syslog", SYS_syslog, CAP_SYSLOG, [] { return raw(SYS_syslog, 2, nullptr, 0); });
  log.allowed_says = EINVAL;  // where CAP_SYS_ADMIN will do, too
  rows.push_back(log);
  rows.push_back(lacks("timerfd_create", SYS_timerfd_create, CAP_WAKE_ALARM,
                       [] { return raw(SYS_timerfd_create, CLOCK_REALTIME_ALARM, 0); }));
  for (const bool all : {false, true}) {
    DenialRow name = lacks(all ? "sethostname without any" : "sethostname", SYS_sethostname,
                           CAP_SYS_ADMIN, [] { return raw(SYS_sethostname, "x", 1); });
    if (all) name.prepare = drop_all;
    name.clone_flags = CLONE_NEWUTS;
    rows.push_back(name);
  }
  rows.push_back(lacks("mount", SYS_mount, CAP_SYS_ADMIN, [] {
    return raw(SYS_mount, "x", Scene::get().at("mnt").c_str(), "tmpfs", 0, nullptr);
  }));
  rows.push_back(lacks("umount2", SYS_umount2, CAP_SYS_ADMIN,
                       [] { return raw(SYS_umount2, Scene::get().at("mnt").c_str(), 0); }));
  rows.push_back(
      lacks("unshare", SYS_unshare, CAP_SYS_ADMIN, [] { return raw(SYS_unshare, CLONE_NEWUTS); }));
  rows.push_back(lacks("swapoff", SYS_swapoff, CAP_SYS_ADMIN,
                       [] { return raw(SYS_swapoff, Scene::get().at("file").c_str()); }));
  rows.push_back(lacks_on(
      "setns", SYS_setns, CAP_SYS_ADMIN, [] { return open("/proc/self/ns/uts", O_RDONLY); },
      [] { return raw(SYS_setns, g_fd, CLONE_NEWUTS); }));
  // Either would do: the last is named, the other told of.
  rows.push_back(lacks_all("bpf", SYS_bpf, CAP_SYS_ADMIN, "CAP_BPF before it", [] {
    // BPF_PROG_LOAD of a BPF_PROG_TYPE_KPROBE of one instruction at no address.
    uint32_t attributes[32] = {2, 1};
    return raw(SYS_bpf, 5, attributes, sizeof attributes);
  }));
}

}  // namespace

std::vector<DenialRow> capability_denials() {
  std::vector<DenialRow> rows;
  add_file_caps(rows);
  add_id_caps(rows);
  add_process_caps(rows);
  add_net_caps(rows);
  add_host_caps(rows);
  return rows;
}

}  // namespace ringfence
