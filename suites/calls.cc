#include "suites/calls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "probes/inmate/abi.h"
#include "suites/calls_parts.h"

namespace ringfence::suites {
namespace {

constexpr size_t kCallsMost = 6;

std::vector<Call> opens(const Params& p, int flags) {
  std::vector<Call> calls;
  for (size_t i = 0; i < p.count() && i < kCallsMost; ++i) {
    calls.push_back(opening(p.text(i), flags));
  }
  return calls;
}

// The directory itself, and whatever regular file of it is tried.
std::vector<Call> walk(const Params& p, int flags) {
  return {step(opening(p.text(0), O_RDONLY | O_DIRECTORY)),
          on(SYS_openat, {{2, n(flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)}})};
}

std::vector<Call> same_ids(long nr, const Params& p, size_t i = 0) {
  return {on(nr, {{0, p.text(i)}, {1, p.text(i)}, {2, p.text(i)}})};
}

std::vector<Call> vm_copy(long nr, const Params& p) {
  return {on(nr, {{0, p.text(0)}, {2, "1"}, {4, "1"}, {5, "0"}})};
}

// As the kernel has it in a register: new_encode_dev() of include/linux/kdev_t.h.
std::string device(const Params& p, size_t index) {
  const auto major_number = p.number(index);
  const auto minor_number = p.number(index + 1);
  if (!major_number || !minor_number) return {};
  return n((*minor_number & 0xff) | *major_number << 8 | (*minor_number & ~0xffL) << 12);
}

Call making_node(std::string path, const Params& p) {
  const mode_t type = p.text(3, "c").starts_with('b') ? S_IFBLK : S_IFCHR;
  return on_path(SYS_mknodat, 1, std::move(path),
                 {{0, n(AT_FDCWD)}, {2, n(type | 0666)}, {3, device(p, 1)}});
}

std::string megabytes(const Params& p) {
  const auto count = p.number(0);
  return count ? n(*count << 20) : "";
}

// NR [ARGUMENT...]: numbers, "s:TEXT" is a string, "z:SIZE" is memory that nobody knows.
std::vector<Call> given(const Params& p, size_t first, int most, bool compat) {
  const auto nr = p.number(first);
  if (!nr) return {};
  Call call;
  call.nr = *nr;
  call.compat = compat;
  for (int i = 0; i < most; ++i) {
    const std::string text = p.text(first + 1 + static_cast<size_t>(i));
    if (text.starts_with("s:")) {
      if (call.path < 0) {
        call.path = i;
        call.path_is = text.substr(2);
      }
    } else if (!text.empty() && !text.starts_with("z:")) {
      call.args.push_back({.index = i, .value = text});
    }
  }
  return {call};
}

constexpr int kInetAddress = 16;  // bytes of struct sockaddr_in

std::vector<Call> tcp_connection(const Params&) {
  return {step(new_socket(AF_INET, SOCK_STREAM)), on(SYS_connect, {{2, n(kInetAddress)}})};
}

Call packet_socket(int protocol) {
  return on(SYS_socket, {{0, n(AF_PACKET)}, {1, n(SOCK_RAW | SOCK_CLOEXEC)}, {2, n(protocol)}});
}

std::vector<Call> local_connection(const Params& p) {
  constexpr size_t kFamilyAndEnd = 3;  // sun_family, and the byte before or after the name
  return {step(new_socket(AF_UNIX, SOCK_STREAM)),
          on(SYS_connect, {{2, length(p.text(0), kFamilyAndEnd)}})};
}

// The ways back to an old root that differ in what they show: its own path, `..` from the root, the
// working directory and what chdir("/..") made of it, and two links of /proc.
std::vector<Call> old_root(const Params& p) {
  std::vector<Call> calls;
  for (const char* way : {"", "/..", "../../../..", "/proc/1/root", "/proc/self/cwd", ".."}) {
    calls.push_back(opening(way + p.text(0), O_RDONLY));
  }
  return calls;
}

// The last open is from the root outside, by a path without its first slash.
std::vector<Call> chroot_escape(const Params& p) {
  return {step(on_path(SYS_chroot, 0, "rf_jail", {})), step(on_path(SYS_chroot, 0, "tmp", {})),
          step(on_path(SYS_chroot, 0, ".", {})), opening(relative(p.text(0)), O_RDONLY)};
}

// The process of the marker is the plain canary: no other has one.
std::vector<Call> find_proc(const Params& p) {
  constexpr int kListing = 8192;  // bytes asked for at a time
  std::vector<Call> calls = {step(opening("/proc", O_RDONLY | O_DIRECTORY)),
                             step(on(SYS_getdents64, {{2, n(kListing)}}))};
  if (p.text(0) == "{canary_marker}") {
    calls.push_back(opening("/proc/{canary_pid}/" + p.text(1), O_RDONLY));
  }
  return calls;
}

std::vector<Call> message_queue(const Params& p) {
  const auto receive = [](int flags) {
    return on(SYS_msgrcv, {{2, n(RF_SECRET_MAX)}, {3, "0"}, {4, n(flags)}});
  };
  return {step(on(SYS_msgget, {{0, p.text(0)}, {1, "0"}})),
          receive(MSG_COPY | IPC_NOWAIT | MSG_NOERROR), receive(IPC_NOWAIT | MSG_NOERROR)};
}

std::vector<Call> posix_queue(const Params& p) {
  constexpr int kBuffer = 65536;
  std::string name = p.text(0);
  if (name.starts_with('/')) name.erase(0, 1);
  return {step(on_path(SYS_mq_open, 0, std::move(name),
                       {{1, n(O_RDONLY | O_NONBLOCK | O_CLOEXEC)}, {2, "0"}, {3, "0"}})),
          on(SYS_mq_timedreceive, {{2, n(kBuffer)}, {3, "0"}, {4, "0"}})};
}

std::vector<Call> key_search(const Params& p) {
  std::vector<Call> calls;
  for (const int ring :
       {KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_KEYRING, KEY_SPEC_USER_SESSION_KEYRING}) {
    calls.push_back(
        step(on_path(SYS_keyctl, 3, p.text(0), {{0, n(KEYCTL_SEARCH)}, {1, n(ring)}, {4, "0"}})));
  }
  calls.push_back(on(SYS_keyctl, {{0, n(KEYCTL_READ)}}));
  return calls;
}

std::vector<Call> descriptor_of(const Params& p) {
  return {step(on(SYS_pidfd_open, {{0, p.text(0)}, {1, "0"}})),
          on(SYS_pidfd_getfd, {{1, p.text(1)}, {2, "0"}})};
}

std::vector<Call> by_pidfd(const Params& p) {
  return {step(on(SYS_pidfd_open, {{0, p.text(0)}, {1, "0"}})),
          on(SYS_pidfd_send_signal, {{1, p.text(1, n(SIGKILL))}, {2, "0"}, {3, "0"}})};
}

std::vector<Call> by_clone3(const Params&) {
  return {on(SYS_clone3, {{1, n(sizeof(clone_args))}})};
}

std::vector<Call> restricted_open(const Params&) {
  return {on(SYS_openat2, {{3, n(sizeof(open_how))}})};
}

std::vector<Call> ring_open(const Params&) {
  // What opens is the ring, which no syscall shows: but there is no ring without these.
  return {step(on(SYS_io_uring_setup, {{0, "4"}})),
          step(on(SYS_io_uring_enter,
                  {{1, "1"}, {2, "1"}, {3, n(IORING_ENTER_GETEVENTS)}, {4, "0"}, {5, "0"}}))};
}

std::vector<Call> name_of(long nr, const Params& p) {
  return {on_path(nr, 0, p.text(0), {{1, length(p.text(0))}})};
}

Call forking() { return on(SYS_clone, {{0, n(SIGCHLD)}, {1, "0"}}); }

// ---- The table
// -------------------------------------------------------------------------------------------
struct Row {
  std::string_view attempt;
  std::vector<Call> (*calls)(const Params&);
  const char* proves = "";  // where no call tells the attempt from none
};

constexpr std::array kRows = {
    // Processes.
    Row{"kill",
        [](const Params& p) {
          return std::vector{on(SYS_kill, {{0, p.text(0)}, {1, p.text(1, n(SIGKILL))}})};
        }},
    Row{"kill_group",
        [](const Params& p) {
          return std::vector{on(SYS_kill, {{0, "-1"}, {1, p.text(0, n(SIGKILL))}})};
        }},
    Row{"pidfd_kill", by_pidfd},
    Row{"find_proc", find_proc},
    Row{"ptrace_attach",
        [](const Params& p) {
          return std::vector{
              on(SYS_ptrace, {{0, n(PTRACE_ATTACH)}, {1, p.text(0)}, {2, "0"}, {3, "0"}})};
        }},
    Row{"ptrace_seize",
        [](const Params& p) {
          return std::vector{
              on(SYS_ptrace, {{0, n(PTRACE_SEIZE)}, {1, p.text(0)}, {2, "0"}, {3, "0"}})};
        }},
    Row{"vm_read", [](const Params& p) { return vm_copy(SYS_process_vm_readv, p); }},
    Row{"vm_write", [](const Params& p) { return vm_copy(SYS_process_vm_writev, p); }},
    Row{"pidfd_getfd", descriptor_of},
    // Twice: the child that ends, and the one that stays.
    Row{"orphan", [](const Params&) { return std::vector{forking()}; }},
    // The pid is in memory that the first argument points to; the size is that of the structure.
    Row{"clone_set_tid", by_clone3},

    // Files.
    Row{"read_file", [](const Params& p) { return opens(p, O_RDONLY); }},
    Row{"read_relative",
        [](const Params& p) { return std::vector{opening(relative(p.text(0)), O_RDONLY)}; }},
    Row{"read_below", [](const Params& p) { return walk(p, O_RDONLY); }},
    Row{"open_write", [](const Params& p) { return opens(p, O_WRONLY | O_NONBLOCK | O_NOCTTY); }},
    Row{"open_write_below", [](const Params& p) { return walk(p, O_WRONLY); }},
    // The write after it is one of many, and refused for nothing but want of room.
    Row{"write_file",
        [](const Params& p) {
          return std::vector{opening(p.text(0), O_WRONLY | O_CREAT | O_TRUNC, "0644")};
        }},
    Row{"unlink", [](const Params& p) { return std::vector{on_path(SYS_unlinkat, 1, p.text(0))}; }},
    Row{"create_file",
        [](const Params& p) {
          return std::vector{opening(p.text(0), O_WRONLY | O_CREAT | O_EXCL, p.text(1, "0644"))};
        }},
    Row{"chmod",
        [](const Params& p) {
          return std::vector{
              on_path(SYS_fchmodat, 1, p.text(0), {{0, n(AT_FDCWD)}, {2, p.text(1)}})};
        }},
    Row{"chown",
        [](const Params& p) {
          return std::vector{
              on_path(SYS_fchownat, 1, p.text(0),
                      {{0, n(AT_FDCWD)}, {2, p.text(1)}, {3, p.text(2, "-1")}, {4, "0"}})};
        }},
    Row{"setfcap",
        [](const Params& p) {
          return std::vector{
              on_path(SYS_setxattr, 0, p.text(0), {{3, n(sizeof(vfs_cap_data))}, {4, "0"}})};
        }},

    // Mounts and the root directory.
    Row{"mount_tmpfs",
        [](const Params& p) {
          return std::vector{on_path(SYS_mount, 1, p.text(0), {{3, "0"}})};
        }},
    Row{"chroot",
        [](const Params& p) { return std::vector{on_path(SYS_chroot, 0, p.text(0), {})}; }},
    Row{"chroot_escape", chroot_escape},
    Row{"old_root", old_root},

    Row{"pivot", [](const Params&) { return std::vector{on(SYS_pivot_root, {})}; }},
    Row{"jail_escape",
        [](const Params& p) {
          return std::vector{step(on_path(SYS_chroot, 0, ".", {})),
                             opening(relative(p.text(1)), O_RDONLY)};
        }},
    Row{"open_how", restricted_open},
    Row{"overlay_write",
        [](const Params&) {
          return std::vector{
              on(SYS_openat, {{0, n(AT_FDCWD)}, {2, n(O_WRONLY | O_TRUNC | O_CLOEXEC)}})};
        }},
    Row{"userns_remount_rw",
        [](const Params& p) {
          constexpr uint64_t kFlags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC;
          return std::vector{step(on_path(SYS_mount, 1, p.text(0), {{3, n(kFlags)}})),
                             opening(p.text(1), O_WRONLY | O_TRUNC)};
        }},
    Row{"userns_unmask",
        [](const Params& p) {
          return std::vector{step(on_path(SYS_umount2, 0, p.text(0), {{1, "2"}})),
                             opening(p.text(0), O_RDONLY)};
        }},
    Row{"userns_mount_proc",
        [](const Params& p) {
          return std::vector{on_path(SYS_mount, 1, p.text(0), {{3, "0"}})};
        }},
    Row{"signal_init",
        [](const Params& p) {
          return std::vector{on(SYS_kill, {{1, p.text(0)}})};
        }},
    Row{"nest_pid",
        [](const Params&) {
          return std::vector{on(SYS_clone, {{0, n(CLONE_NEWPID | SIGCHLD)}})};
        }},
    Row{"userns_map",
        [](const Params& p) {
          const std::string last = p.text(p.count() - 1);
          const auto size = static_cast<int64_t>(last.size() - last.find('=') - 1);
          return std::vector{step(on(SYS_unshare, {{0, n(CLONE_NEWUSER)}})),
                             on(SYS_write, {{2, n(size)}})};
        }},

    Row{"drop_group",
        [](const Params& p) {
          return std::vector{step(on(SYS_setgroups, {{0, "0"}, {1, "0"}})),
                             opening(p.text(1), O_RDONLY)};
        }},
    Row{"userns_limit",
        [](const Params&) {
          return std::vector{on(SYS_unshare, {{0, n(CLONE_NEWUSER | CLONE_NEWUTS)}})};
        }},
    Row{"open_race", restricted_open},
    Row{"setns_fd",
        [](const Params& p) {
          return std::vector{on(SYS_setns, {{0, p.text(0)}, {1, p.text(1, "0")}})};
        }},
    Row{"setns_path",
        [](const Params& p) {
          return std::vector{step(opening(p.text(0), O_RDONLY)),
                             on(SYS_setns, {{1, p.text(1, "0")}})};
        }},

    // Sockets. Addresses are behind pointers; a socket's own number is not known beforehand.
    Row{"connect_abstract", local_connection},
    Row{"connect_unix", local_connection},
    Row{"connect_tcp", tcp_connection},
    Row{"connect_peer", tcp_connection},
    // Its socket is one like that of the step that brings lo up.
    Row{"send_peer",
        [](const Params&) {
          return std::vector{on(SYS_sendto, {{2, "1"}, {3, "0"}, {5, n(kInetAddress)}})};
        }},
    Row{"sniff",
        [](const Params&) {
          return std::vector{step(packet_socket(htons(ETH_P_ALL))), on(SYS_recvfrom, {{3, "0"}})};
        }},
    Row{"forge",
        [](const Params&) {
          return std::vector{step(packet_socket(0)),
                             on(SYS_sendto, {{3, "0"}, {5, n(sizeof(sockaddr_ll))}})};
        }},
    Row{"netns_leak",
        [](const Params&) {
          return std::vector{step(on(SYS_ioctl, {{0, n(RF_GIVEN_FD)}, {1, n(SIOCGSKNS)}})),
                             step(on(SYS_setns, {{1, n(CLONE_NEWNET)}})),
                             on(SYS_connect, {{2, n(kInetAddress)}})};
        }},
    Row{"add_address",
        [](const Params&) { return std::vector{on(SYS_ioctl, {{1, n(SIOCSIFADDR)}})}; }},
    Row{"add_route", [](const Params&) { return std::vector{on(SYS_ioctl, {{1, n(SIOCADDRT)}})}; }},
    Row{"add_bridge",
        [](const Params&) { return std::vector{on(SYS_ioctl, {{1, n(SIOCBRADDBR)}})}; }},
    Row{"add_firewall",
        [](const Params&) {
          return std::vector{step(on(SYS_socket, {{0, n(AF_NETLINK)},
                                             {1, n(SOCK_RAW | SOCK_CLOEXEC)},
                                             {2, n(NETLINK_NETFILTER)}})),
                             on(SYS_sendto, {{3, "0"}, {4, "0"}})};
        }},
    Row{"listen_tcp",
        [](const Params&) {
          return std::vector{step(new_socket(AF_INET, SOCK_STREAM)),
                             step(on(SYS_bind, {{2, n(kInetAddress)}})),
                             on(SYS_listen, {{1, "4"}})};
        }},
    Row{"set_lo_mtu",
        [](const Params&) { return std::vector{on(SYS_ioctl, {{1, n(SIOCSIFMTU)}})}; }},
    Row{"socket",
        [](const Params& p) {
          return std::vector{
              on(SYS_socket, {{0, p.text(0)}, {1, p.text(1)}, {2, p.text(2, "0")}})};
        }},

    // System V IPC, POSIX queues, names.
    Row{"sethostname", [](const Params& p) { return name_of(SYS_sethostname, p); }},
    Row{"setdomainname", [](const Params& p) { return name_of(SYS_setdomainname, p); }},
    Row{"shm_read",
        [](const Params& p) {
          return std::vector{step(on(SYS_shmget, {{0, p.text(0)}, {1, "0"}, {2, "0"}})),
                             on(SYS_shmat, {{1, "0"}, {2, n(SHM_RDONLY)}})};
        }},
    Row{"shm_write",
        [](const Params& p) {
          return std::vector{step(on(SYS_shmget, {{0, p.text(0)}, {1, "0"}, {2, "0"}})),
                             on(SYS_shmat, {{1, "0"}, {2, "0"}})};
        }},
    Row{"sem_set",
        [](const Params& p) {
          return std::vector{step(on(SYS_semget, {{0, p.text(0)}, {1, "0"}, {2, "0"}})),
                             on(SYS_semctl, {{1, "0"}, {2, n(SETVAL)}, {3, p.text(1)}})};
        }},
    Row{"sem_post", [](const Params& p) { return std::vector{opening(p.text(0), O_RDWR)}; }},
    Row{"msgq_read", message_queue},
    Row{"mq_read", posix_queue},

    // Execution. A new image leaves nobody to say that execve(2) succeeded: the honest inmate
    // reports it only where it fails.
    Row{"exec",
        [](const Params& p) { return std::vector{on_path(SYS_execve, 0, p.text(0), {})}; }},
    Row{"exec_planted",
        [](const Params& p) { return std::vector{on_path(SYS_execve, 0, p.text(0), {})}; }},
    // By a child. That the copy can be made is not the question.
    Row{"copy_exec",
        [](const Params& p) {
          return std::vector{on_path(SYS_execve, 0, p.text(0) + "/rf_copy", {})};
        }},
    Row{"mknod",
        [](const Params& p) { return std::vector{making_node(p.text(0), p)}; }},
    Row{"mknod_open",
        [](const Params& p) {
          const std::string path = p.text(0) + "/rf_dev";
          return std::vector{step(making_node(path, p)),
                             opening(path, O_RDONLY | O_NONBLOCK | O_NOCTTY)};
        }},

    // What a capability gates.
    Row{"set_uid", [](const Params& p) { return same_ids(SYS_setresuid, p); }},
    Row{"set_gid", [](const Params& p) { return same_ids(SYS_setresgid, p); }},
    // The first only gives up.
    Row{"regain_cap", [](const Params&) { return std::vector{step(on(SYS_capset, {}))}; }},
    Row{"setpriority",
        [](const Params& p) {
          return std::vector{on(SYS_setpriority, {{0, "0"}, {1, "0"}, {2, p.text(0)}})};
        }},
    Row{"mlock",
        [](const Params& p) {
          const auto kib = p.number(0);
          return std::vector{on(SYS_mlock, {{1, kib ? n(*kib * 1024) : ""}})};
        }},
    Row{"drop_bounding",
        [](const Params& p) {
          return std::vector{on(SYS_prctl, {{0, n(PR_CAPBSET_DROP)}, {1, p.text(0)}})};
        }},
    Row{"timerfd",
        [](const Params& p) {
          return std::vector{on(SYS_timerfd_create, {{0, p.text(0)}, {1, n(O_CLOEXEC)}})};
        }},

    // Namespaces.
    Row{"unshare", [](const Params& p) { return std::vector{on(SYS_unshare, {{0, p.text(0)}})}; }},
    Row{"clone_userns",
        [](const Params& p) {
          const auto flags = p.count() == 0 ? CLONE_NEWUSER : p.number(0);
          return std::vector{on(SYS_clone, {{0, flags ? n(*flags | SIGCHLD) : ""}})};
        }},
    Row{"clone3_userns", by_clone3},

    // Filters and their ways around.
    Row{"syscall", [](const Params& p) { return given(p, 0, 6, false); }},
    Row{"syscall_expect", [](const Params& p) { return given(p, 1, 6, false); }},
    Row{"syscall_i386", [](const Params& p) { return given(p, 0, 3, true); }},
    Row{"i386_sethostname",
        [](const Params& p) {
          constexpr long kI386Sethostname = 74;
          auto calls = name_of(kI386Sethostname, p);
          calls.front().compat = true;
          return calls;
        }},
    // The seccomp(2) before it cannot be told from the one that loads the policy's own filter.
    Row{"install_filter_allow", [](const Params& p) { return name_of(SYS_sethostname, p); }},
    Row{"no_nnp_filter",
        [](const Params&) {
          return std::vector{on(SYS_seccomp, {{0, n(SECCOMP_SET_MODE_FILTER)}, {1, "0"}})};
        }},
    Row{"thread_before_filter", [](const Params& p) { return name_of(SYS_sethostname, p); }},
    Row{"io_uring_setup",
        [](const Params&) { return std::vector{on(SYS_io_uring_setup, {{0, "4"}})}; }},
    Row{"io_uring_open", ring_open},

    // Descriptors and terminals.
    Row{"tiocsti",
        [](const Params& p) {
          return std::vector{
              on(SYS_ioctl, {{0, p.text(0)}, {1, p.text(2, n(TIOCSTI))}})};
        }},
    // Asked of every number; of the answers the inmate reports the one that decides.
    Row{"list_fds", [](const Params&) { return std::vector{on(SYS_fcntl, {{1, n(F_GETFD)}})}; }},
    Row{"link_passed",
        [](const Params& p) {
          return std::vector{
              on_path(SYS_linkat, 3, p.text(0), {{2, n(AT_FDCWD)}, {4, n(AT_EMPTY_PATH)}})};
        }},
    Row{"open_by_handle",
        [](const Params&) {
          return std::vector{on(SYS_open_by_handle_at, {{2, n(O_RDONLY | O_CLOEXEC)}})};
        }},

    // Limits.
    Row{"fork_bomb", [](const Params&) { return std::vector{forking()}; }},
    Row{"alloc",
        [](const Params& p) {
          constexpr int kReadWrite = 3;
          constexpr int kPrivateAnonymous = 0x22;
          return std::vector{on(SYS_mmap, {{0, "0"},
                                           {1, megabytes(p)},
                                           {2, n(kReadWrite)},
                                           {3, n(kPrivateAnonymous)},
                                           {4, "-1"}})};
        }},
    Row{"alloc_for",
        [](const Params& p) { return std::vector{on(SYS_mmap, {{0, "0"}, {1, megabytes(p)}})}; }},
    Row{"alloc_memfd",
        [](const Params&) { return std::vector{on_path(SYS_memfd_create, 0, "rf_alloc", {})}; }},
    Row{"alloc_file",
        [](const Params& p) {
          return std::vector{opening(p.text(0), O_WRONLY | O_CREAT | O_TRUNC, n(0600))};
        }},
    Row{"alloc_shm",
        [](const Params& p) { return std::vector{on(SYS_shmget, {{0, "0"}, {1, megabytes(p)}})}; }},
    Row{"oom_child", [](const Params&) { return std::vector{forking()}; }},
    Row{"spin_all", [](const Params&) { return std::vector{forking()}; }},
    Row{"spin_cpu",
        [](const Params&) { return std::vector{on(SYS_sched_setaffinity, {{0, "0"}})}; }},
    Row{"cgroup_out",
        [](const Params& p) {
          return std::vector{step(on_path(SYS_mount, 1, p.text(0), {{3, "0"}})),
                             opening(p.text(0) + "/cgroup.procs", O_WRONLY, "0")};
        }},
    // The files that are tried; what that was worth shows by the goal.
    Row{"raise_fork",
        [](const Params& p) {
          return std::vector{opening(p.text(1), O_WRONLY, "0"), opening(p.text(2), O_WRONLY, "0")};
        }},
    Row{"allow_devices",
        [](const Params& p) { return std::vector{opening(p.text(3), O_WRONLY, "0")}; }},
    Row{"open_fds",
        [](const Params&) { return std::vector{on(SYS_dup, {{0, n(RF_ANSWER_FD)}})}; }},
    Row{"clock",
        [](const Params& p) {
          const bool monotonic = p.text(0) == "MONOTONIC";
          return std::vector{
              on(SYS_clock_gettime, {{0, n(monotonic ? CLOCK_MONOTONIC : CLOCK_BOOTTIME)}})};
        }},

    // System calls that container profiles close.
    Row{"userfaultfd",
        [](const Params& p) {
          const auto flags = p.count() == 0 ? 0 : p.number(0);
          return std::vector{on(SYS_userfaultfd, {{0, flags ? n(*flags | O_CLOEXEC) : ""}})};
        }},
    Row{"perf_event_open",
        [](const Params&) {
          return std::vector{
              on(SYS_perf_event_open,
                 {{1, "0"}, {2, "-1"}, {3, "-1"}, {4, n(PERF_FLAG_FD_CLOEXEC)}})};
        }},
    Row{"bpf_map", [](const Params&) { return std::vector{on(SYS_bpf, {{0, "0"}})}; }},
    Row{"keyctl_read", key_search},
    Row{"add_key", [](const Params& p) { return std::vector{on_path(SYS_add_key, 1, p.text(0))}; }},

    // Nothing is tried: what is judged is the state that the target is in from its start.
    Row{"hold", nullptr, "state"},
};

}  // namespace

void add_calls(Case& c) {
  if (!c.calls.empty() || !c.proves_attempt.empty()) return;
  for (const Row& row : kRows) {
    if (row.attempt != c.attempt.name) continue;
    if (row.calls != nullptr) c.calls = row.calls(Params(c.attempt.args));
    c.proves_attempt = row.proves;
    return;
  }
}

}  // namespace ringfence::suites
