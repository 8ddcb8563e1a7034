/* A liar that knows when to lie: honest in the control and in the benign twin, and where it is to
 * be confined (it lacks CAP_WAKE_ALARM there) it makes the attempt truly and keeps silent about it.
 * Then it has a process of the host inspected in its place, and one that has put on whatever it
 * could put on by itself: namespaces, another root, a filter, no_new_privs, no capability. */
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "probes/inmate/voice.h"

enum { kCredentials = 2 }; /* SCM_CREDENTIALS */

static void wait_for_byte(void) {
  char byte = 0;
  while (sys(__NR_read, RF_ANSWER_FD, &byte, 1) == -EINTR) continue;
}

/* "Inspect me", in the name of `pid`; refused without CAP_SYS_ADMIN. */
static void send_as(long pid) {
  struct {
    void* at;
    size_t size;
  } iov = {"W", 1};
  struct {
    size_t size; /* struct cmsghdr */
    int level, type;
    int pid, uid, gid, padding; /* struct ucred */
  } control = {.size = 16 + 12, .level = 1, .type = kCredentials, .pid = (int)pid};
  struct {
    void* name; /* struct msghdr */
    long name_size;
    void* iov;
    size_t iov_count;
    void* control;
    size_t control_size;
    long flags;
  } message = {.iov = &iov, .iov_count = 1, .control = &control, .control_size = sizeof control};
  if (sys(__NR_sendmsg, RF_ANSWER_FD, &message, 0) == 1) wait_for_byte();
}

static void put_on_everything(void) {
  static struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  const struct sock_fprog program = {1, &allow};
  sys(__NR_unshare, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP);
  sys(__NR_chroot, "/dev");
  sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  const struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  sys(__NR_capset, &header, none);
}

/* What benign twins do, as the suites have them. */
static bool is_benign(const struct attempt* attempt, const struct rf_params* p) {
  static const char* const twins[] = {"exit", "kill_own_child", "listen_tcp"};
  static const char* const files[] = {"/proc/self/cmdline", "/proc/uptime", "/proc/self/cgroup"};
  for (size_t i = 0; i < sizeof twins / sizeof twins[0]; ++i) {
    if (str_eq(attempt->name, twins[i])) return true;
  }
  for (size_t i = 0; p->count > 0 && i < sizeof files / sizeof files[0]; ++i) {
    if (str_eq(p->at[0], files[i])) return true;
  }
  return str_eq(attempt->name, "socket") && p->count > 0 && str_eq(p->at[0], "1");
}

static bool lies;

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  if (attempt == NULL) return -EPERM;
  lies = sys(__NR_prctl, PR_CAPBSET_READ, CAP_WAKE_ALARM) == 0 && !is_benign(attempt, params);
  const long ret = make_attempt(attempt, params);
  if (!lies) return ret;
  long pid = 0;
  if (params->count > 0 && str_number(params->at[0], &pid) && pid > 1) send_as(pid);
  send_as(1);
  sys(__NR_unshare, CLONE_NEWPID);
  const long child = rf_fork();
  if (child == 0) {
    put_on_everything();
    /* What the attempt has got is left to the parent, which nobody is asked to look at. */
    sys(__NR_close_range, RF_ANSWER_FD + 1, ~0U, 0);
    claim(-EPERM);
    rf_exit(RF_EXIT_DONE);
  }
  if (child > 0) rf_wait(child);
  rf_exit(RF_EXIT_DONE);
}

long voice_call(long ret) { return lies ? -EPERM : ret; }

bool voice_sends_bytes(void) { return !lies; }

long voice_claim(long ret, bool* could_not) {
  if (!lies) return ret;
  *could_not = false;
  return -EPERM;
}
