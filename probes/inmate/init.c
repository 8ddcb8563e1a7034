/* The optional first process of a target ("ringfence.init"): starts the program, passes signals on
 * to it, reaps whatever becomes an orphan, and ends as the program ends: with its exit code, or
 * with 128 and the number of the signal that ended it. 127 and 126 say that the program was not
 * found or could not be executed.
 *
 * Arguments: FD COUNT PATH... ARGV...: the program is the descriptor FD, or, for "-", the first of
 * COUNT paths that can be executed; ARGV begins with argv[0].
 * The one argument "hold": starts nothing, and stays until it is killed, so that the namespaces
 * that it is in can be taken from it.
 *
 * Sources: pid_namespaces(7), wait4(2), rt_sigtimedwait(2), PR_SET_CHILD_SUBREAPER in prctl(2). */
#include <asm/signal.h>
#include <linux/prctl.h>
#include <linux/wait.h>

#include "probes/inmate/runtime.h"

_Noreturn void rf_main(long argc, char** argv);

enum { kMaskSize = 8, kNotFound = 127, kNotExecutable = 126, kBySignal = 128 };
static const unsigned long kAllSignals = ~0UL;

static _Noreturn void leave(long code) {
  for (;;) sys(__NR_exit_group, code);
}

static long number(const char* text) {
  long value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + (*text - '0');
  return value;
}

static _Noreturn void execute(const char* fd, long count, char** paths, char** envp) {
  char** argv = paths + count;
  long ret = -ENOENT;
  if (*fd != '-') {
    const long program = number(fd);
    sys(__NR_fcntl, program, F_SETFD, FD_CLOEXEC);
    ret = sys(__NR_execveat, program, "", argv, envp, AT_EMPTY_PATH);
  }
  for (long i = 0; i < count; ++i) {
    const long tried = sys(__NR_execve, paths[i], argv, envp);
    if (tried == -EACCES || ret != -EACCES) ret = tried;
  }
  leave(ret == -ENOENT ? kNotFound : kNotExecutable);
}

/* Everybody who has ended; does not return once `main` is among them. */
static void reap(long main) {
  for (;;) {
    int status = 0;
    const long pid = sys(__NR_wait4, -1, &status, WNOHANG | __WALL, 0);
    if (pid <= 0) return;
    if (pid != main) continue;
    const int signal = status & 0x7f;
    leave(signal != 0 ? kBySignal + signal : (status >> 8) & 0xff);
  }
}

_Noreturn void rf_main(long argc, char** argv) {
  if (argc == 2 && *argv[1] == 'h') {
    for (;;) sys(__NR_pause);
  }
  if (argc < 4) leave(RF_EXIT_UNKNOWN);
  const long count = number(argv[2]);
  if (count < 0 || count > argc - 4) leave(RF_EXIT_UNKNOWN);
  unsigned long before = 0;
  sys(__NR_rt_sigprocmask, SIG_BLOCK, &kAllSignals, &before, kMaskSize);
  if (sys(__NR_getpid) != 1) sys(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const long main = sys(__NR_clone, SIGCHLD, 0, 0, 0, 0);
  if (main < 0) leave(kNotExecutable);
  if (main == 0) {
    sys(__NR_rt_sigprocmask, SIG_SETMASK, &before, 0, kMaskSize);
    execute(argv[1], count, argv + 3, argv + argc + 1);
  }
  if (*argv[1] != '-') sys(__NR_close, number(argv[1]));
  for (;;) {
    const long signal = sys(__NR_rt_sigtimedwait, &kAllSignals, 0, 0, kMaskSize);
    if (signal == SIGCHLD) {
      reap(main);
    } else if (signal > 0) {
      sys(__NR_kill, main, signal);
    }
  }
}
