/* The security hooks whose answers the witness sees, where the kernel lets it: plain C, no code.
 *
 * X(hook, function): the hook's name, as modules and programs of type lsm have it, and the
 * security_FUNCTION() that asks all modules in it. A dozen, one for each kind of thing that is
 * asked for; what they have in common:
 * - the answer is 0 or -errno, and 0 where no module has one;
 * - an error ends the syscall with that error;
 * - they are not asked at each read or each step of a path, so that nobody pays who is not watched.
 *
 *   file_open            a file, once its mode and owner let it be opened (do_dentry_open())
 *   path_mkdir           a new directory, by its path: what path-based modules look at (mkdirat)
 *   path_unlink          a removed name, the same
 *   inode_unlink         a removed name, by its inode: what label-based modules look at
 *   bprm_check_security  the file of an execve
 *   sb_mount             mount(2) of any kind
 *   ptrace_access_check  another process's memory, descriptors and /proc files
 *   task_kill            a signal to another process
 *   socket_create        a new socket, by family and type
 *   socket_connect       where it connects to
 *   bpf                  bpf(2)
 *   locked_down          what lockdown keeps even root from (ioperm, kexec, /dev/mem, ...)
 *
 * Sources: include/linux/lsm_hook_defs.h, security/security.c (Linux 6.1 to 6.18).
 */
#ifndef RINGFENCE_PROBES_BPF_SECURITY_HOOKS_H
#define RINGFENCE_PROBES_BPF_SECURITY_HOOKS_H

#define RF_SECURITY_HOOKS(X)                  \
  X(file_open, file_open)                     \
  X(path_mkdir, path_mkdir)                   \
  X(path_unlink, path_unlink)                 \
  X(inode_unlink, inode_unlink)               \
  X(bprm_check_security, bprm_check)          \
  X(sb_mount, sb_mount)                       \
  X(ptrace_access_check, ptrace_access_check) \
  X(task_kill, task_kill)                     \
  X(socket_create, socket_create)             \
  X(socket_connect, socket_connect)           \
  X(bpf, bpf)                                 \
  X(locked_down, locked_down)

/* Those that Landlock answers in a function of its own, hook_HOOK() (security/landlock; connect
 * from Linux 6.7, kill from 6.12). */
#define RF_LANDLOCK_HOOKS(X) \
  X(file_open)               \
  X(path_mkdir)              \
  X(path_unlink)             \
  X(sb_mount)                \
  X(ptrace_access_check)     \
  X(task_kill)               \
  X(socket_connect)

enum rf_security_hook {
  RF_HOOK_NONE,
#define RF_X(hook, function) RF_HOOK_##hook,
  RF_SECURITY_HOOKS(RF_X)
#undef RF_X
      RF_HOOK_END
};

/* Who said no, when security_FUNCTION() did. */
enum rf_lsm_by {
  RF_LSM_MODULE,     /* a module; which one is not known */
  RF_LSM_LANDLOCK,   /* its own function did */
  RF_LSM_BPF,        /* a program of type lsm */
  RF_LSM_BEFORE_BPF, /* a module, and no program: the module bpf was not asked any more */
  RF_LSM_UNSURE,     /* it may be what is asked after the modules: see RF_HOOK_TAIL */
};

/* Two of those functions ask somebody else once no module minds: a listener of fanotify(7), who can
 * only say EPERM, before an open (fsnotify_perm(), until Linux 6.12), and IMA, with EACCES, before
 * an execve (ima_bprm_check(), until 6.8; then a module, the last, as IPE is that says the same).
 */
#define RF_HOOK_TAIL(hook, ret)                    \
  (((hook) == RF_HOOK_file_open && (ret) == -1) || \
   ((hook) == RF_HOOK_bprm_check_security && (ret) == -13))

#endif
