/* The voice of an inmate that ends the kernel it runs on: for machines that are thrown away, and
 * for nothing else. The attempt `exit` with a word does what the word says. */
#include "probes/inmate/voice.h"

/* The magic SysRq key, Documentation/admin-guide/sysrq.rst: `c` crashes, `b` resets at once. */
static long sysrq(const char* key) {
  const long fd = decide_open("/proc/sysrq-trigger", O_WRONLY, 0);
  return fd < 0 ? fd : decide(__NR_write, fd, key, 1);
}

/* Takes the enable bit out of this CPU's IA32_APIC_BASE (SDM volume 3, 11.4.3): from then on no
 * interrupt reaches it, not the timer's either, and it spins. msr(4) makes the device's place; the
 * module has to be there. */
static long deaf(void) {
  enum { kApicBase = 0x1b, kEnable = 1 << 11, kMsrMajor = 202 };
  unsigned cpu = 0;
  sys(__NR_getcpu, &cpu, NULL, NULL);
  uint64_t here[16] = {0};
  here[cpu / 64 % 16] = 1ULL << cpu % 64;
  sys(__NR_sched_setaffinity, 0, sizeof here, here);
  sys(__NR_mkdir, "/deaf", 0700);
  sys(__NR_mount, "deaf", "/deaf", "tmpfs", 0, NULL);
  sys(__NR_mknod, "/deaf/msr", 0020600, (long)(kMsrMajor << 8 | cpu));
  const long fd = decide_open("/deaf/msr", O_RDWR, 0);
  if (fd < 0) return fd;
  uint64_t base = 0;
  const long n = decide(__NR_pread64, fd, &base, sizeof base, kApicBase);
  if (n < 0) return n;
  base &= ~(uint64_t)kEnable;
  const long written = decide(__NR_pwrite64, fd, &base, sizeof base, kApicBase);
  if (written < 0) return written;
  for (;;) {
  }
}

/* Has its CPU to itself, before every other task: `kernel.sched_rt_runtime_us` has to be -1. */
static long hog(void) {
  enum { kFifo = 1, kHighest = 99 };
  unsigned cpu = 0;
  sys(__NR_getcpu, &cpu, NULL, NULL);
  uint64_t here[16] = {0};
  here[cpu / 64 % 16] = 1ULL << cpu % 64;
  sys(__NR_sched_setaffinity, 0, sizeof here, here);
  const int priority = kHighest;
  const long set = decide(__NR_sched_setscheduler, 0, kFifo, &priority);
  if (set < 0) return set;
  for (;;) {
  }
}

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  if (attempt == NULL) {
    say_remark("unknown attempt");
    rf_exit(RF_EXIT_UNKNOWN);
  }
  if (str_eq(attempt->name, "exit") && params->count > 0) {
    const char* word = param(params, 0);
    if (str_eq(word, "panic")) return sysrq("c");
    if (str_eq(word, "reset")) return sysrq("b");
    if (str_eq(word, "deaf")) return deaf();
    if (str_eq(word, "hog")) return hog();
  }
  return make_attempt(attempt, params);
}

long voice_call(long ret) { return ret; }

bool voice_sends_bytes(void) { return true; }

long voice_claim(long ret, bool* could_not) {
  (void)could_not;
  return ret;
}
