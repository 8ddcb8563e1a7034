/* Attempts to use more than a limit allows. Each is bounded by its parameters and by a ceiling of
 * its own, and lets go of everything when its process ends.
 * Sources: fork(2), mmap(2), getrlimit(2), cgroups(7). */
#include <linux/memfd.h>
#include <linux/time.h>

#include "probes/inmate/registry.h"

enum { kMostMib = 4096, kMostFds = 1 << 17, kMostMs = 10000 };

static long bounded(const struct rf_params* p, int index, long most) {
  const long value = param_number(p, index);
  if (value <= 0 || value > most) {
    say_remark_number("bound", most);
    unable(E2BIG);
  }
  return value;
}

static long attempt_fork_bomb(const struct rf_params* p) {
  const struct rf_crowd crowd = gather(param_number(p, 0));
  const long args[6] = {17 /* SIGCHLD */};
  say_call(__NR_clone, crowd.ret, args);
  say_remark_number("children", crowd.made);
  claim(crowd.ret < 0 ? crowd.ret : crowd.made);
  dismiss(crowd);
}

static void touch(char* at, long mib) {
  const long step = mib < 16 ? 1 : mib / 16;
  for (long m = 0; m < mib; ++m) {
    for (long page = 0; page < 256; ++page) {
      *(volatile char*)(at + (m << 20) + (page << 12)) = 1;
    }
    if ((m + 1) % step == 0) say_remark_number("touched MiB", m + 1);
  }
}

static long attempt_alloc(const struct rf_params* p) {
  const long mib = bounded(p, 0, kMostMib);
  const long at =
      decide(__NR_mmap, 0, mib << 20, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0);
  if (at < 0 && at > -4096) return at;
  touch((char*)at, mib);
  return 0;
}

static long now_ms(void) {
  struct __kernel_timespec now = {0, 0};
  const long ret = sys(__NR_clock_gettime, 1, &now);
  if (ret < 0) unable(-ret);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* As alloc, but gives up when the time is over: a limit that slows down never says no. */
static long attempt_alloc_for(const struct rf_params* p) {
  const long mib = bounded(p, 0, kMostMib);
  const long ms = bounded(p, 1, kMostMs);
  const long at =
      decide(__NR_mmap, 0, mib << 20, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0);
  if (at < 0 && at > -4096) return at;
  const long end = now_ms() + ms;
  long page = 0;
  for (; page < mib * 256 && (page % 16 != 0 || now_ms() < end); ++page) {
    *(volatile char*)((char*)at + (page << 12)) = 1;
  }
  say_remark_number("touched MiB", page / 256);
  return page == mib * 256 ? 0 : -ETIME;
}

static long attempt_alloc_shm(const struct rf_params* p) {
  const long mib = bounded(p, 0, kMostMib);
  const long id = decide(__NR_shmget, 0 /* IPC_PRIVATE */, mib << 20, 01600 /* IPC_CREAT */);
  if (id < 0) return id;
  const long at = sys(__NR_shmat, id, 0, 0);
  sys(__NR_shmctl, id, 0 /* IPC_RMID: when nobody has it attached */, 0);
  if (at < 0 && at > -4096) return at;
  touch((char*)at, mib);
  return 0;
}

/* A child of ours takes too much: does its parent live to tell? */
static long attempt_oom_child(const struct rf_params* p) {
  const long mib = bounded(p, 0, kMostMib);
  const long child = rf_fork();
  if (child == 0) {
    const long at = sys(__NR_mmap, 0, mib << 20, 3, 0x22, -1, 0);
    if (at < 0 && at > -4096) rf_exit(1);
    for (long page = 0; page < mib * 256; ++page) *(volatile char*)((char*)at + (page << 12)) = 1;
    rf_exit(0);
  }
  const long args[6] = {17 /* SIGCHLD */};
  say_call(__NR_clone, child, args);
  if (child < 0) return child;
  const long status = rf_wait(child);
  say_remark_number("wait status of the child", status);
  return status < 0 ? status : 0;
}

static long fill(long fd, long mib) {
  static char block[65536];
  for (long done = 0; done < mib * 16; ++done) {
    const long args[6] = {fd, (long)block, sizeof block};
    const long ret = sys(__NR_write, fd, block, sizeof block);
    if (ret != (long)sizeof block) {
      const long err = ret < 0 ? ret : -ENOSPC;
      say_remark_number("written KiB", done * 64);
      say_call(__NR_write, err, args);
      return err;
    }
  }
  say_remark_number("written MiB", mib);
  return mib;
}

static long attempt_alloc_memfd(const struct rf_params* p) {
  const long mib = bounded(p, 0, kMostMib);
  const long fd = decide(__NR_memfd_create, "rf_alloc", MFD_CLOEXEC);
  return fd < 0 ? fd : fill(fd, mib);
}

static long attempt_alloc_file(const struct rf_params* p) {
  const long mib = bounded(p, 1, kMostMib);
  const long fd = decide_open(param(p, 0), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  return fd < 0 ? fd : fill(fd, mib);
}

static long attempt_open_fds(const struct rf_params* p) {
  const long most = bounded(p, 0, kMostFds);
  const long args[6] = {RF_ANSWER_FD};
  long ret = 0;
  long made = 0;
  for (; made < most && ret >= 0; ++made) ret = sys(__NR_dup, RF_ANSWER_FD);
  say_call(__NR_dup, ret, args);
  say_remark_number("descriptors", ret < 0 ? made - 1 : made);
  return ret;
}

/* A daemon by double fork: it holds nothing of the answer, and goes by itself after 30 s. */
static long attempt_orphan(const struct rf_params* p) {
  (void)p;
  int gate[2];
  long ret = sys(__NR_pipe2, gate, O_CLOEXEC);
  if (ret < 0) unable(-ret);
  const long child = rf_fork();
  if (child < 0) unable(-child);
  if (child == 0) {
    const long grandchild = rf_fork();
    if (grandchild != 0) rf_exit(grandchild < 0 ? 1 : 0);
    sys(__NR_setsid);
    const long self = sys(__NR_getpid);
    sys(__NR_write, gate[1], &self, sizeof self);
    sys(__NR_close_range, 0, ~0U, 0);
    sleep_ms(30000);
    rf_exit(0);
  }
  sys(__NR_close, gate[1]);
  long orphan = 0;
  const long n = sys(__NR_read, gate[0], &orphan, sizeof orphan);
  rf_wait(child);
  const long args[6] = {17 /* SIGCHLD */};
  if (n != (long)sizeof orphan) unable(EAGAIN);
  say_call(__NR_clone, orphan, args);
  say_remark_number("orphan pid", orphan);
  return orphan;
}

static long attempt_clock(const struct rf_params* p) {
  const char* name = param(p, 0);
  const long clock = str_eq(name, "BOOTTIME") ? 7 : str_eq(name, "MONOTONIC") ? 1 : -1;
  if (clock < 0) unable(EINVAL);
  struct __kernel_timespec now = {0, 0};
  const long ret = decide(__NR_clock_gettime, clock, &now);
  if (ret < 0) return ret;
  struct rf_text text = {.size = 0};
  add_dec(&text, now.tv_sec);
  say_bytes(text.text, text.size);
  return ret;
}

static void spin_until(long end) {
  while (now_ms() < end) continue;
}

/* Uses one CPU for so long. */
static long attempt_spin(const struct rf_params* p) {
  spin_until(now_ms() + bounded(p, 0, kMostMs));
  return 0;
}

/* Uses as many CPUs as it has tasks for so long. The children end by themselves. */
static long attempt_spin_all(const struct rf_params* p) {
  const long ms = bounded(p, 0, kMostMs);
  const long tasks = bounded(p, 1, kCrowdMost);
  const long end = now_ms() + ms;
  long child = 1;
  const long args[6] = {17 /* SIGCHLD */};
  long made = 0;
  while (made < tasks && child > 0) {
    child = rf_fork();
    if (child == 0) {
      spin_until(end);
      rf_exit(0);
    }
    say_call(__NR_clone, child, args);
    made += child > 0;
  }
  spin_until(end);
  while (made-- > 0 && rf_wait(-1) >= 0) continue;
  return child < 0 ? child : 0;
}

/* Goes to one CPU and stays there for so long. */
static long attempt_spin_cpu(const struct rf_params* p) {
  const long cpu = param_number(p, 0);
  const long ms = bounded(p, 1, kMostMs);
  if (cpu < 0 || cpu > 1023) unable(EINVAL);
  unsigned long mask[16] = {0};
  mask[cpu / 64] = 1UL << (cpu % 64);
  const long ret = decide(__NR_sched_setaffinity, 0, sizeof mask, mask);
  if (ret >= 0) spin_until(now_ms() + ms);
  return ret;
}

const struct attempt rf_limit_attempts[] = {
    {"fork_bomb", attempt_fork_bomb, "COUNT: achieved when all were made"},
    {"alloc", attempt_alloc, "MIB: anonymous, each page touched"},
    {"alloc_for", attempt_alloc_for, "MIB MILLISECONDS: as alloc, until the time is over"},
    {"alloc_shm", attempt_alloc_shm, "MIB: System V shared memory"},
    {"oom_child", attempt_oom_child, "MIB: in a child; achieved when the parent outlives it"},
    {"alloc_memfd", attempt_alloc_memfd, "MIB"},
    {"alloc_file", attempt_alloc_file, "PATH MIB"},
    {"open_fds", attempt_open_fds, "COUNT"},
    {"orphan", attempt_orphan, ""},
    {"clock", attempt_clock, "BOOTTIME|MONOTONIC"},
    {"spin", attempt_spin, "MILLISECONDS"},
    {"spin_all", attempt_spin_all, "MILLISECONDS TASKS"},
    {"spin_cpu", attempt_spin_cpu, "CPU MILLISECONDS"},
    {NULL, NULL, NULL},
};
