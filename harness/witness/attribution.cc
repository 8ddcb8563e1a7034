#include "harness/witness/attribution.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

#include "harness/base/result.h"
#include "harness/confine/bpf_evaluate.h"
#include "harness/policy/policy.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

Attribution unattributed(std::string why) { return {Layer::kUnattributed, std::move(why)}; }

bool stands(const Surroundings& around, const Layer& layer) {
  return std::find(around.in_force.begin(), around.in_force.end(), layer) != around.in_force.end();
}

bool is_one_of(uint32_t nr, std::initializer_list<long> list) {
  return std::find(list.begin(), list.end(), static_cast<long>(nr)) != list.end();
}

Layer cap_layer(int cap) {
  // A newer kernel may ask for one that has no name here.
  return cap > kCapLast ? Layer::kUnattributed : Layer::cap(cap_name(cap));
}

// It never entered: nothing but the gate can have answered. The gate is seccomp, unless something
// else that works there was on.
Attribution at_the_gate(const CallRecord& call, const Surroundings& around) {
  if (around.enter_misses > 0) {
    return unattributed(
        fmt::format("the kernel left out {} runs of the program that sees syscalls "
                    "enter, so that it may have entered",
                    around.enter_misses));
  }
  if (call.traced) return unattributed("a ptracer may have cancelled it");
  if (call.dispatched) return unattributed("syscall user dispatch may have taken it");
  if (call.seccomp == 0) return unattributed("it left without entering, and no filter was on");
  if (around.filter) {
    if (around.filter->empty()) {
      return unattributed("a filter refused it, and the policy has none: the target's own");
    }
    if (call.args_known) {
      // AUDIT_ARCH_I386 and AUDIT_ARCH_X86_64, include/uapi/linux/audit.h.
      const uint32_t arch = call.compat ? 0x40000003 : 0xc000003e;
      const uint32_t action =
          bpf_evaluate(*around.filter, {.nr = call.nr, .arch = arch, .args = call.args}) &
          SECCOMP_RET_ACTION_FULL;
      if (action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG) {
        return unattributed("a filter refused it that is not the policy's: that one allows it");
      }
    }
  }
  return {Layer::kSeccomp, "left without entering: the filter answered"};
}

// Whose stack answered: its own, when no packet left it. What a packet that left met is not known.
Attribution by_packets(const CallRecord& call, const Surroundings& around, std::string what) {
  if (call.left) {
    return unattributed(
        "a packet left by another device than loopback: what answered is not its own stack");
  }
  if (around.net_witnessed) {
    what += call.sent ? ": its own stack answered, all packets went by loopback"
                      : ": no packet was sent";
  }
  return {Layer::kNet, std::move(what)};
}

// EPERM of the check of a device by its numbers, which comes after permission and CAP_MKNOD, so
// that no capability that is missing decided: inode_permission() and vfs_mknod(), fs/namei.c. Later
// checks that say EPERM ask for a capability, which takes the mark away; LSMs say EACCES.
std::optional<Attribution> device_refused(const CallRecord& call) {
  if (call.ret != -EPERM || !call.device_asked) return std::nullopt;
  return Attribution{Layer{"cgroup.devices"},
                     "the device controller was asked, and no capability after it"};
}

// A name that does not exist inside although it does outside.
std::optional<Attribution> hidden(const CallRecord& call, const Surroundings& around) {
  if (!around.target_exists) return std::nullopt;
  const auto err = static_cast<int>(-call.ret);
  struct Rule {
    int err;
    std::initializer_list<long> calls;
    std::initializer_list<Layer> layers;  // the first that stands
    const char* what;
  };
  static const std::array rules = {
      Rule{ESRCH,
           {SYS_kill, SYS_tkill, SYS_tgkill, SYS_ptrace, SYS_process_vm_readv,
            SYS_process_vm_writev, SYS_pidfd_open, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo,
            SYS_prlimit64, SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_setpriority,
            SYS_getpgid, SYS_getsid, SYS_migrate_pages, SYS_move_pages},
           {Layer::kPid},
           "the process exists, and has no pid there"},
      Rule{ENOENT,
           {SYS_open,     SYS_openat,    SYS_openat2,    SYS_stat,     SYS_newfstatat, SYS_statx,
            SYS_access,   SYS_faccessat, SYS_faccessat2, SYS_readlink, SYS_readlinkat, SYS_chmod,
            SYS_fchmodat, SYS_chown,     SYS_lchown,     SYS_fchownat, SYS_unlink,     SYS_unlinkat,
            SYS_rename,   SYS_renameat,  SYS_renameat2,  SYS_link,     SYS_linkat,     SYS_truncate,
            SYS_execve,   SYS_mount,     SYS_umount2,    SYS_chdir,    SYS_chroot,     SYS_setxattr,
            SYS_connect},
           {Layer::kRoot, Layer::kMnt},
           "the file exists, and its name leads nowhere there"},
      Rule{ENOENT,
           {SYS_shmget, SYS_msgget, SYS_semget, SYS_mq_open, SYS_mq_unlink},
           {Layer::kIpc},
           "the object exists, and not there"},
      Rule{EINVAL,
           {SYS_shmat, SYS_shmctl, SYS_msgctl, SYS_msgsnd, SYS_msgrcv, SYS_semctl, SYS_semop},
           {Layer::kIpc},
           "the object exists, and its id names none there"},
      Rule{EIDRM,
           {SYS_shmat, SYS_shmctl, SYS_msgctl, SYS_semctl},
           {Layer::kIpc},
           "the object exists, and its id names none there"},
      Rule{ECONNREFUSED, {SYS_connect}, {Layer::kNet}, "something listens, and not there"},
      Rule{ENETUNREACH,
           {SYS_connect, SYS_sendto},
           {Layer::kNet},
           "it can be reached outside, and there is no way to it there"},
      Rule{EHOSTUNREACH,
           {SYS_connect, SYS_sendto},
           {Layer::kNet},
           "it can be reached outside, and there is no way to it there"},
      Rule{ENODEV, {SYS_ioctl, SYS_setsockopt}, {Layer::kNet}, "the interface is not there"},
  };
  for (const Rule& rule : rules) {
    if (rule.err != err || !is_one_of(call.nr, rule.calls)) continue;
    for (const Layer& layer : rule.layers) {
      if (!stands(around, layer)) continue;
      if (layer == Layer::kNet) return by_packets(call, around, rule.what);
      return Attribution{layer, rule.what};
    }
  }
  return std::nullopt;
}

// A security hook said no, with the very error that the call ended in.
std::optional<Attribution> by_module(const CallRecord& call, const Surroundings& around) {
  if (call.lsm_hook.empty() || call.ret != call.lsm_ret) return std::nullopt;
  // The module `capability` and Yama ask for one in it before they say no: what would have helped
  // is that, so the rule of capabilities knows more.
  if (call.lsm_hook == "ptrace_access_check" && call.cap_last_denied) return std::nullopt;
  const std::string said = fmt::format("the security hook {} said {}", call.lsm_hook,
                                       errno_name(static_cast<int>(-call.ret)));
  if (around.security_misses > 0) {
    return unattributed(
        fmt::format("{}, and the kernel left out {} runs of the programs that see by whom", said,
                    around.security_misses));
  }
  switch (call.lsm_by) {
    case LsmBy::landlock:
      return Attribution{Layer{"lsm.landlock"}, said + ": Landlock"};
    case LsmBy::bpf:
      return Attribution{Layer{"lsm.bpf"}, said + ": an eBPF program of type lsm"};
    case LsmBy::before_bpf:
      return Attribution{Layer::kLsm,
                         said + ": a module that is asked before bpf, so no eBPF program"};
    case LsmBy::module:
      return Attribution{Layer::kLsm, said + ": a module, which one is not known"};
    case LsmBy::unsure:
      break;
  }
  return unattributed(said + ": a module, or what is asked after the modules " +
                      (call.lsm_hook == "file_open" ? "(a listener of fanotify)" : "(IMA, IPE)"));
}

// Limits that answer with an error of their own.
std::optional<Attribution> limited(const CallRecord& call, const Surroundings& around) {
  const auto err = static_cast<int>(-call.ret);
  const auto lacked = [&](int cap) { return (call.caps_failed >> cap & 1) != 0; };
  if (err == EAGAIN && is_one_of(call.nr, {SYS_clone, SYS_clone3, SYS_fork, SYS_vfork})) {
    // Asked for only once the limit is passed: copy_process(), kernel/fork.c.
    if (lacked(CAP_SYS_RESOURCE) && lacked(CAP_SYS_ADMIN)) {
      return Attribution{Layer::rlimit("NPROC"),
                         "EAGAIN after asking for CAP_SYS_RESOURCE, to go beyond the limit"};
    }
    if (around.pids_event) return Attribution{Layer::kCgroupPids, "pids.max counted the refusal"};
  }
  // Asked for only beyond the limit: mm/mlock.c, mlock_future_ok().
  if (call.cap_last == CAP_IPC_LOCK && call.cap_last_denied &&
      ((err == ENOMEM && is_one_of(call.nr, {SYS_mlock, SYS_mlock2, SYS_mlockall})) ||
       (err == EAGAIN && is_one_of(call.nr, {SYS_mmap, SYS_mremap, SYS_brk})))) {
    return Attribution{Layer::rlimit("MEMLOCK"),
                       errno_name(err) + " after asking for CAP_IPC_LOCK, to go beyond the limit"};
  }
  if (err == ENOMEM && around.memory_event) {
    if (is_one_of(call.nr, {SYS_mmap, SYS_mremap, SYS_brk})) {
      return unattributed(
          "ENOMEM of the address space: its own limits say so, too, and memory.max counts what is "
          "touched later");
    }
    return Attribution{Layer::kCgroupMemory, "memory.max counted the refusal"};
  }
  // These have limits of their own that say EMFILE, too (mq_overview(7), inotify(7), fanotify(7)).
  if (err == EMFILE &&
      !is_one_of(call.nr, {SYS_mq_open, SYS_inotify_init, SYS_inotify_init1, SYS_fanotify_init})) {
    return Attribution{Layer::rlimit("NOFILE"), "EMFILE"};
  }
  // Without the signal it is the file system's own limit.
  if (err == EFBIG && call.file_size) {
    return Attribution{Layer::rlimit("FSIZE"), "EFBIG with SIGXFSZ"};
  }
  return std::nullopt;
}

std::string full_name(int cap) {
  return "CAP_" + std::string(cap_layer(cap).name().substr(sizeof("cap.") - 1));
}

// Others that were asked for before the last and would have done as well, or had to be there, too.
std::string also_missing(const CallRecord& call) {
  std::string text;
  for (int cap = 0; cap <= kCapLast; ++cap) {
    if (cap == call.cap_last || (call.caps_failed >> cap & 1) == 0) continue;
    text += (text.empty() ? ", as is " : " and ") + full_name(cap) + " before it";
  }
  return text;
}

// Checks that fail without harm, so that what was refused after one was refused for another reason.
const char* of_no_weight(const CallRecord& call) {
  // Strips set-id bits from a file that is written to or changed: never an error.
  if (call.cap_last == CAP_FSETID) return "decides nothing but which bits of a file are kept";
  if (call.compat) return nullptr;
  // Of the memory that is left, root's share is asked for: __vm_enough_memory(), mm/util.c.
  if (call.cap_last == CAP_SYS_ADMIN &&
      is_one_of(call.nr, {SYS_execve, SYS_execveat, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_brk})) {
    return "decides nothing there but how much memory is left";
  }
  // Asked for before each of the sets is looked at: cap_capset(), security/commoncap.c.
  if (call.cap_last == CAP_SETPCAP && call.nr == SYS_capset) {
    return "decides nothing there but what may be inheritable: the permitted set only shrinks";
  }
  return nullptr;
}

// ENOENT of linkat(2) by a descriptor alone: path_init(), fs/namei.c.
bool refuses_descriptor(const CallRecord& call) {
  return call.ret == -ENOENT && !call.compat && call.nr == SYS_linkat && call.args_known &&
         (call.args[4] & AT_EMPTY_PATH) != 0 && call.cap_last == CAP_DAC_READ_SEARCH;
}

// The last check that the kernel made before it said no was for a capability.
std::optional<Attribution> incapable(const CallRecord& call) {
  if (call.ret != -EPERM && call.ret != -EACCES && !refuses_descriptor(call)) return std::nullopt;
  if (call.cap_last < 0 || !call.cap_last_denied) return std::nullopt;
  const Layer layer = cap_layer(call.cap_last);
  if (layer == Layer::kUnattributed) return std::nullopt;
  const std::string name = full_name(call.cap_last);
  if (const char* decides = of_no_weight(call)) {
    return unattributed(name + " was asked for last and is missing, but " + decides);
  }
  if ((call.noise >> call.cap_last & 1) != 0) {
    return unattributed(name +
                        " was asked for last and is missing, but calls of this number have "
                        "succeeded without it");
  }
  if ((call.cap_effective >> call.cap_last & 1) != 0) {
    // access(2), files that look at who opened them, file systems on top of others.
    if (!call.cap_elsewhere) {
      return unattributed(name + " is held, and was asked of other credentials than the task's");
    }
    return Attribution{Layer::kUser,
                       name + " is held in its own user namespace, and was asked for in another"};
  }
  // What these override is the ordinary permission of files: who owns the file, or is let in by its
  // mode, is not asked for them (generic_permission(), fs/namei.c).
  const bool of_files = call.cap_last == CAP_DAC_OVERRIDE ||
                        (call.cap_last == CAP_DAC_READ_SEARCH &&
                         !is_one_of(call.nr, {SYS_open_by_handle_at, SYS_linkat})) ||
                        call.cap_last == CAP_FOWNER;
  std::vector<Layer> also;
  for (int cap = 0; cap <= kCapLast; ++cap) {
    if (cap != call.cap_last && (call.caps_failed >> cap & 1) != 0) also.push_back(cap_layer(cap));
  }
  return Attribution{
      layer,
      name + " was asked for last, " +
          (of_files ? "to override plain permission, and is missing" : "and is missing") +
          also_missing(call),
      std::move(also)};
}

// A mount that is less privileged than the one it was copied from: can_change_locked_flags(),
// fs/namespace.c. No other check answers EPERM there once CAP_SYS_ADMIN was granted.
std::optional<Attribution> locked(const CallRecord& call) {
  if (call.ret != -EPERM || call.compat || call.nr != SYS_mount || !call.args_known) {
    return std::nullopt;
  }
  if (call.cap_last != CAP_SYS_ADMIN || call.cap_last_denied) return std::nullopt;
  const uint64_t flags = call.args[3];
  if ((flags & (MS_REMOUNT | MS_BIND)) != (MS_REMOUNT | MS_BIND)) return std::nullopt;
  constexpr uint64_t kKinds = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  constexpr uint64_t kTimes = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
  if ((flags & MS_RDONLY) != 0) {
    return Attribution{Layer::kMountFlags,
                       "the mount's flags are locked; it was to stay read-only"};
  }
  if ((flags & kKinds) == kKinds && (flags & kTimes) == 0) {
    return Attribution{Layer::kReadOnly, "the mount is locked read-only; its other flags stayed"};
  }
  return unattributed("the mount's flags are locked: read-only or another, the call changes both");
}

// A pid namespace takes in its own and what is below it, whoever asks: pidns_install(),
// kernel/pid_namespace.c. By then the capabilities have been looked at.
std::optional<Attribution> not_below(const CallRecord& call, const Surroundings& around) {
  if (call.ret != -EINVAL || call.compat || call.nr != SYS_setns || !call.args_known) {
    return std::nullopt;
  }
  if (call.args[1] != CLONE_NEWPID || !stands(around, Layer::kPid) || !around.target_exists) {
    return std::nullopt;
  }
  return Attribution{Layer::kPid, "the pid namespace exists, and is not below its own"};
}

// EACCES that no capability could have overridden, or that the kernel did not ask for one.
constexpr const char* kBareAccess =
    "EACCES without a capability asked for: plain permission asks for one, so an LSM, a mount's "
    "flags, a file that nobody may execute, or an owner that has no id there";

}  // namespace

Attribution attribute_call(const CallRecord& call, const Surroundings& around) {
  if (!call.denied()) return unattributed("it was not denied");
  if (call.no_enter) return at_the_gate(call, around);
  if (call.traced) return unattributed("a ptracer may have changed its result");
  if (auto module = by_module(call, around)) return *module;
  // The rules below know the numbers of the 64-bit table.
  if (!call.compat) {
    if (auto limit = limited(call, around)) return *limit;
  }
  if (call.ret == -EROFS) return {Layer::kReadOnly, "EROFS: the mount is read-only"};
  if (auto device = device_refused(call)) return *device;
  if (auto cap = incapable(call)) return *cap;
  if (auto flags = locked(call)) return *flags;
  if (!call.compat) {
    if (auto away = hidden(call, around)) return *away;
    if (auto above = not_below(call, around)) return *above;
  }
  if ((call.ret == -EACCES || call.ret == -EPERM) && !around.caps_witnessed) {
    return unattributed(errno_name(static_cast<int>(-call.ret)) +
                        ", and this kernel shows no capability checks");
  }
  if (call.ret == -EACCES) return unattributed(kBareAccess);
  if (call.ret == -ENOSYS) return {Layer::kKernel, "ENOSYS: this kernel does not have it"};
  return unattributed(fmt::format("{} from within the kernel, with nothing seen that decides it",
                                  errno_name(static_cast<int>(-call.ret))));
}

std::optional<Attribution> attribute_sigsys(const KernelFacts& facts) {
  if (facts.sigsys == 0) return std::nullopt;
  return Attribution{Layer::kSeccomp,
                     "SIGSYS for " + call_name(facts.sigsys_nr, facts.sigsys_compat)};
}

}  // namespace ringfence
