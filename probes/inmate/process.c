/* Attempts on other processes: signals, /proc, ptrace, memory, stolen descriptors.
 * Sources: kill(2), pidfd_open(2), pidfd_getfd(2), ptrace(2), process_vm_readv(2), proc(5). */
#include <asm/signal.h>
#include <linux/ptrace.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "probes/inmate/registry.h"
#include "probes/inmate/walk.h"

static long attempt_kill(const struct rf_params* p) {
  return decide(__NR_kill, param_number(p, 0), param_number_or(p, 1, SIGKILL));
}

static long attempt_kill_group(const struct rf_params* p) {
  return decide(__NR_kill, -1, param_number_or(p, 0, SIGKILL));
}

static long attempt_pidfd_kill(const struct rf_params* p) {
  const long pidfd = decide(__NR_pidfd_open, param_number(p, 0), 0);
  if (pidfd < 0) return pidfd;
  return decide(__NR_pidfd_send_signal, pidfd, param_number_or(p, 1, SIGKILL), 0, 0);
}

/* The benign twin: the same call on a process of one's own. */
static long attempt_kill_own_child(const struct rf_params* p) {
  const long signal = param_number_or(p, 0, SIGKILL);
  int gate[2];
  long ret = sys(__NR_pipe2, gate, O_CLOEXEC);
  if (ret < 0) unable(-ret);
  const long child = rf_fork();
  if (child < 0) unable(-child);
  if (child == 0) {
    sys(__NR_close, gate[1]);
    char byte = 0;
    sys(__NR_read, gate[0], &byte, 1);
    rf_exit(0);
  }
  ret = decide(__NR_kill, child, signal);
  if (ret < 0) sys(__NR_close, gate[1]); /* lets the child go by itself */
  const long status = rf_wait(child);
  if (ret < 0) return ret;
  return status >= 0 && (status & 0x7f) == signal ? 0 : -ECHILD;
}

static long attempt_raise(const struct rf_params* p) {
  const long self = sys(__NR_getpid);
  return decide(__NR_kill, self, param_number(p, 0));
}

/* Processes whose command line contains MARKER, by a scan of /proc; the first whose FILE opens is
 * read. ESRCH when no such process is seen. Inmates are left out: their own command line has the
 * marker as a parameter. */
static long attempt_find_proc(const struct rf_params* p) {
  const char* marker = param(p, 0);
  const char* file = param(p, 1);
  const long proc = decide(__NR_openat, AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) return proc;
  static struct walk_list list;
  walk_list_open(&list, proc);
  long answer = -ESRCH;
  for (const char* name = walk_list_next(&list); name != NULL; name = walk_list_next(&list)) {
    if (*name < '0' || *name > '9') continue;
    struct rf_text path = {.size = 0};
    add_str(&path, "/proc/");
    add_str(&path, name);
    const size_t directory = path.size;
    add_str(&path, "/cmdline");
    static char line[4096];
    const long fd = sys(__NR_openat, AT_FDCWD, path.text, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    const long n = sys(__NR_read, fd, line, sizeof line - 1);
    sys(__NR_close, fd);
    if (n <= 0) continue;
    line[n] = 0;
    if (str_eq(line, "inmate") || !bytes_contain(line, (size_t)n, marker)) continue;
    struct rf_text remark = {.size = 0};
    add_str(&remark, "found pid ");
    add_str(&remark, name);
    say_remark(remark.text);
    path.size = directory;
    add_str(&path, "/");
    add_str(&path, file);
    const long ret = read_path(path.text);
    if (ret >= 0) return ret;
    answer = ret;
  }
  if (answer == -ESRCH) {
    const long scan[6] = {proc};
    say_call(__NR_getdents64, list.error, scan);
  }
  return answer;
}

static long attempt_ptrace_attach(const struct rf_params* p) {
  const long pid = param_number(p, 0);
  const long ret = decide(__NR_ptrace, PTRACE_ATTACH, pid, 0, 0);
  if (ret < 0) return ret;
  /* Takes the stop of the attach itself, so that the tracee is whole again after the detach. */
  for (int i = 0; i < 200; ++i) {
    int status = 0;
    if (sys(__NR_wait4, pid, &status, WNOHANG | __WALL, 0) != 0) break;
    sleep_ms(5);
  }
  claim(ret);
  sys(__NR_ptrace, PTRACE_DETACH, pid, 0, 0);
  rf_exit(RF_EXIT_DONE);
}

static long attempt_ptrace_seize(const struct rf_params* p) {
  return decide(__NR_ptrace, PTRACE_SEIZE, param_number(p, 0), 0, 0);
}

static long attempt_vm_read(const struct rf_params* p) {
  char buffer[RF_SECRET_MAX];
  size_t size = (size_t)param_number(p, 2);
  if (size > sizeof buffer) size = sizeof buffer;
  const struct iovec here = {buffer, size};
  const struct iovec there = {(void*)param_number(p, 1), size};
  const long n = decide(__NR_process_vm_readv, param_number(p, 0), &here, 1, &there, 1, 0);
  if (n >= 0) say_bytes(buffer, (size_t)n);
  return n;
}

static long attempt_vm_write(const struct rf_params* p) {
  const char* text = param(p, 2);
  const size_t size = str_len(text);
  const struct iovec here = {(void*)text, size};
  const struct iovec there = {(void*)param_number(p, 1), size};
  return decide(__NR_process_vm_writev, param_number(p, 0), &here, 1, &there, 1, 0);
}

static long attempt_pidfd_getfd(const struct rf_params* p) {
  const long pidfd = decide(__NR_pidfd_open, param_number(p, 0), 0);
  if (pidfd < 0) return pidfd;
  const long fd = decide(__NR_pidfd_getfd, pidfd, param_number(p, 1), 0);
  if (fd < 0) return fd;
  /* The file position is the owner's too: it is left where it is, where there is one. */
  char buffer[RF_SECRET_MAX];
  const long n = decide(__NR_pread64, fd, buffer, sizeof buffer, 0);
  if (n == -ESPIPE) return read_and_say(fd);
  if (n >= 0) say_bytes(buffer, (size_t)n);
  return n;
}

static long attempt_proc_mem_read(const struct rf_params* p) {
  const long address = param_number(p, 1);
  char buffer[RF_SECRET_MAX];
  long size = param_number(p, 2);
  if (size < 0 || size > (long)sizeof buffer) size = sizeof buffer;
  struct rf_text path = {.size = 0};
  add_str(&path, "/proc/");
  add_dec(&path, param_number(p, 0));
  add_str(&path, "/mem");
  const long fd = decide_open(path.text, O_RDONLY, 0);
  if (fd < 0) return fd;
  const long n = decide(__NR_pread64, fd, buffer, size, address);
  if (n >= 0) say_bytes(buffer, (size_t)n);
  return n;
}

const struct attempt rf_process_attempts[] = {
    {"kill", attempt_kill, "PID [SIG]"},
    {"kill_group", attempt_kill_group, "[SIG]: everything that kill(-1) reaches"},
    {"pidfd_kill", attempt_pidfd_kill, "PID [SIG]"},
    {"kill_own_child", attempt_kill_own_child, "[SIG]"},
    {"raise", attempt_raise, "SIG: to itself"},
    {"find_proc", attempt_find_proc, "MARKER FILE: FILE of /proc/PID of who has MARKER in cmdline"},
    {"ptrace_attach", attempt_ptrace_attach, "PID"},
    {"ptrace_seize", attempt_ptrace_seize, "PID"},
    {"vm_read", attempt_vm_read, "PID ADDRESS LENGTH"},
    {"vm_write", attempt_vm_write, "PID ADDRESS TEXT"},
    {"pidfd_getfd", attempt_pidfd_getfd, "PID FD"},
    {"proc_mem_read", attempt_proc_mem_read, "PID ADDRESS LENGTH"},
    {NULL, NULL, NULL},
};
