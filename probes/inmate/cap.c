/* Attempts that a capability gates, one at least for each that can be tried without harm, and
 * attempts to get capabilities back. Nothing here changes what all of the kernel shares.
 * Sources: capabilities(7), capset(2), prctl(2). */
#include <linux/acct.h>
#include <linux/capability.h>
#include <linux/eventpoll.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/time.h>

#include "probes/inmate/image_copy.h"
#include "probes/inmate/registry.h"

static long attempt_set_uid(const struct rf_params* p) {
  const long uid = param_number(p, 0);
  return decide(__NR_setresuid, uid, uid, uid);
}

static long attempt_set_gid(const struct rf_params* p) {
  const long gid = param_number(p, 0);
  return decide(__NR_setresgid, gid, gid, gid);
}

static long attempt_set_groups(const struct rf_params* p) {
  uint32_t groups[16];
  enum { kMost = sizeof groups / sizeof groups[0] };
  if (p->count > kMost) unable(E2BIG);
  for (int i = 0; i < p->count; ++i) groups[i] = (uint32_t)param_number(p, i);
  return decide(__NR_setgroups, p->count, groups);
}

static long attempt_setpriority(const struct rf_params* p) {
  return decide(__NR_setpriority, 0 /* PRIO_PROCESS */, 0, param_number(p, 0));
}

static long attempt_mlock(const struct rf_params* p) {
  const long size = param_number(p, 0) * 1024;
  if (size <= 0 || size > 64L << 20) unable(EINVAL);
  const long at = sys(__NR_mmap, 0, size, 3 /* read, write */, 0x22 /* private, anonymous */, -1);
  if (at < 0 && at > -4096) unable(-at);
  return decide(__NR_mlock, at, size);
}

static long attempt_setfcap(const struct rf_params* p) {
  return set_file_capabilities(param(p, 0), (unsigned long)param_number_or(p, 1, 0x1ffffffffff),
                               true);
}

static long attempt_drop_bounding(const struct rf_params* p) {
  return decide(__NR_prctl, PR_CAPBSET_DROP, param_number(p, 0));
}

static long attempt_set_securebits(const struct rf_params* p) {
  return decide(__NR_prctl, PR_SET_SECUREBITS, param_number(p, 0));
}

static long attempt_set_rlimit(const struct rf_params* p) {
  const struct {
    uint64_t soft, hard;
  } limit = {(uint64_t)param_number(p, 1), (uint64_t)param_number(p, 2)};
  return decide(__NR_prlimit64, 0, param_number(p, 0), &limit, 0);
}

static long attempt_lease(const struct rf_params* p) {
  const long fd = sys(__NR_openat, AT_FDCWD, param(p, 0), O_RDONLY | O_CLOEXEC);
  if (fd < 0) unable(-fd);
  return decide(__NR_fcntl, fd, F_SETLEASE, F_RDLCK);
}

static long attempt_timerfd(const struct rf_params* p) {
  return decide(__NR_timerfd_create, param_number(p, 0), O_CLOEXEC);
}

/* Without CAP_BLOCK_SUSPEND the flag is dropped in silence: fdinfo shows whether it is there. */
static long attempt_epoll_wakeup(const struct rf_params* p) {
  (void)p;
  const long epoll = sys(__NR_epoll_create1, EPOLL_CLOEXEC);
  const long event = sys(__NR_eventfd2, 0, O_CLOEXEC);
  if (epoll < 0 || event < 0) unable(epoll < 0 ? -epoll : -event);
  struct epoll_event e = {.events = EPOLLIN | EPOLLWAKEUP};
  const long ret = decide(__NR_epoll_ctl, epoll, EPOLL_CTL_ADD, event, &e);
  if (ret < 0) return ret;
  struct rf_text path = {.size = 0};
  add_str(&path, "/proc/self/fdinfo/");
  add_dec(&path, epoll);
  const long info = sys(__NR_openat, AT_FDCWD, path.text, O_RDONLY | O_CLOEXEC);
  if (info < 0) unable(-info);
  char text[512];
  const long n = sys(__NR_read, info, text, sizeof text);
  if (n < 0) unable(-n);
  /* EPOLLIN, the flag, and the two events that are always reported. */
  return bytes_contain(text, (size_t)n, "events: 20000019") ? 0 : -EPERM;
}

/* Listening to the audit log (its multicast group) is gated by CAP_AUDIT_READ, at bind(2). */
static long attempt_audit_listen(const struct rf_params* p) {
  (void)p;
  const long fd =
      sys(__NR_socket, 16 /* AF_NETLINK */, 3 /* SOCK_RAW */ | O_CLOEXEC, NETLINK_AUDIT);
  if (fd < 0) unable(-fd);
  const struct sockaddr_nl address = {.nl_family = 16, .nl_groups = 1};
  return decide(__NR_bind, fd, &address, sizeof address);
}

/* Process accounting belongs to the pid namespace; switching it off where it is off does nothing.
 */
static long attempt_acct_off(const struct rf_params* p) {
  (void)p;
  return decide(__NR_acct, 0);
}

static long attempt_vhangup(const struct rf_params* p) {
  (void)p;
  return decide(__NR_vhangup);
}

static long attempt_syslog_size(const struct rf_params* p) {
  (void)p;
  return decide(__NR_syslog, 10 /* SYSLOG_ACTION_SIZE_BUFFER */, 0, 0);
}

static long attempt_clone_set_tid(const struct rf_params* p) {
  const int32_t tid = (int32_t)param_number(p, 0);
  int gate[2];
  long ret = sys(__NR_pipe2, gate, O_CLOEXEC);
  if (ret < 0) unable(-ret);
  struct clone_args args = {.exit_signal = 17, .set_tid = (uint64_t)&tid, .set_tid_size = 1};
  ret = sys(__NR_clone3, &args, sizeof args);
  if (ret == 0) {
    sys(__NR_close, gate[1]);
    char byte = 0;
    sys(__NR_read, gate[0], &byte, 1);
    rf_exit(0);
  }
  const long said[6] = {(long)&args, sizeof args};
  say_call(__NR_clone3, ret, said);
  if (ret < 0) return ret;
  claim(ret);
  sys(__NR_close, gate[1]);
  rf_wait(ret);
  rf_exit(RF_EXIT_DONE);
}

/* --- Getting capabilities back ---------------------------------------------------------------- */
static struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

static void get_sets(struct __user_cap_data_struct sets[2]) {
  const long ret = sys(__NR_capget, &header, sets);
  if (ret < 0) unable(-ret);
}

static uint32_t bit(long capability) { return UINT32_C(1) << (capability & 31); }

static struct __user_cap_data_struct* half(struct __user_cap_data_struct sets[2], long capability) {
  if (capability < 0 || capability > 63) unable(EINVAL);
  return &sets[capability >> 5];
}

static long attempt_raise_cap(const struct rf_params* p) {
  const long capability = param_number(p, 0);
  struct __user_cap_data_struct sets[2];
  get_sets(sets);
  half(sets, capability)->permitted |= bit(capability);
  half(sets, capability)->effective |= bit(capability);
  return decide(__NR_capset, &header, sets);
}

/* What is not permitted cannot become effective, even where it is inheritable or in the bounding
 * set. */
static long attempt_raise_effective(const struct rf_params* p) {
  const long capability = param_number(p, 0);
  struct __user_cap_data_struct sets[2];
  get_sets(sets);
  half(sets, capability)->effective |= bit(capability);
  return decide(__NR_capset, &header, sets);
}

static long attempt_raise_inheritable(const struct rf_params* p) {
  const long capability = param_number(p, 0);
  struct __user_cap_data_struct sets[2];
  get_sets(sets);
  half(sets, capability)->inheritable |= bit(capability);
  return decide(__NR_capset, &header, sets);
}

static long attempt_raise_ambient(const struct rf_params* p) {
  return decide(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, param_number(p, 0), 0, 0);
}

/* Gives the capability up, then asks for it again: in the effective set, the permitted one, or
 * both. Who gets it back uses it, on the host's name: that he has it shows nothing, since who does
 * nothing at all has it, too. */
static long attempt_regain_cap(const struct rf_params* p) {
  const long capability = param_number(p, 0);
  const char* given_up = param_or(p, 1, "both");
  const char* asked_for = param_or(p, 2, "both");
  static const char name[] = "breached";
  struct __user_cap_data_struct sets[2];
  get_sets(sets);
  if (!str_eq(given_up, "effective")) half(sets, capability)->permitted &= ~bit(capability);
  half(sets, capability)->effective &= ~bit(capability);
  long ret = decide(__NR_capset, &header, sets);
  if (ret < 0) return ret;
  ret = str_eq(asked_for, "effective") ? attempt_raise_effective(p) : attempt_raise_cap(p);
  if (ret < 0) return ret;
  const long used = sys(__NR_sethostname, (long)name, sizeof name - 1);
  return used < 0 ? used : ret;
}

const struct attempt rf_cap_attempts[] = {
    {"set_uid", attempt_set_uid, "UID"},
    {"set_gid", attempt_set_gid, "GID"},
    {"set_groups", attempt_set_groups, "[GID...]: none drops all"},
    {"setpriority", attempt_setpriority, "NICE"},
    {"mlock", attempt_mlock, "KIB"},
    {"setfcap", attempt_setfcap, "PATH [CAPABILITIES]"},
    {"drop_bounding", attempt_drop_bounding, "CAPABILITY"},
    {"set_securebits", attempt_set_securebits, "BITS"},
    {"set_rlimit", attempt_set_rlimit, "RESOURCE SOFT HARD"},
    {"lease", attempt_lease, "PATH"},
    {"timerfd", attempt_timerfd, "CLOCK"},
    {"epoll_wakeup", attempt_epoll_wakeup, ""},
    {"audit_listen", attempt_audit_listen, ""},
    {"acct_off", attempt_acct_off, ""},
    {"vhangup", attempt_vhangup, ""},
    {"syslog_size", attempt_syslog_size, ""},
    {"clone_set_tid", attempt_clone_set_tid, "PID"},
    {"raise_cap", attempt_raise_cap, "CAPABILITY: effective and permitted"},
    {"raise_effective", attempt_raise_effective, "CAPABILITY"},
    {"raise_inheritable", attempt_raise_inheritable, "CAPABILITY"},
    {"raise_ambient", attempt_raise_ambient, "CAPABILITY"},
    {"regain_cap", attempt_regain_cap,
     "SYS_ADMIN's number [both|effective [both|effective]]: after giving it up; then the host's "
     "name"},
    {NULL, NULL, NULL},
};
