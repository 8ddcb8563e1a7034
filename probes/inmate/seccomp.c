/* Attempts to get a syscall past a filter: other entries, other numbers, rings, further filters,
 * threads. Sources: seccomp(2), syscall(2), io_uring_setup(2), vsyscall in vdso(7). */
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "probes/inmate/registry.h"

long rf_int80(long nr, long a0, long a1, long a2);
long rf_thread(long flags, void* stack_top, void (*run)(void*), void* argument);

enum { kX32Bit = 0x40000000, kI386Sethostname = 74 };

/* A number, or a pointer: "s:TEXT" to the text, "z:SIZE" to that many zero bytes. The image lies
 * below 4 GiB, so that its own buffer also serves the 32-bit entry. */
static char pool[16384];
static size_t pool_used;

static long argument(const struct rf_params* p, int index) {
  if (index >= p->count) return 0;
  const char* text = p->at[index];
  size_t size = 0;
  if (str_starts(text, "s:")) {
    text += 2;
    size = str_len(text) + 1;
  } else if (str_starts(text, "z:")) {
    long zeroes = 0;
    if (!str_number(text + 2, &zeroes) || zeroes <= 0) unable(EINVAL);
    size = (size_t)zeroes;
    text = NULL;
  } else {
    return param_number(p, index);
  }
  if (size > sizeof pool - pool_used) unable(E2BIG);
  char* at = pool + pool_used;
  if (text != NULL) memcpy(at, text, size);
  pool_used = (pool_used + size + 15) & ~(size_t)15;
  if (pool_used > sizeof pool) pool_used = sizeof pool;
  return (long)at;
}

static long any_syscall(const struct rf_params* p, int first) {
  long args[6];
  for (int i = 0; i < 6; ++i) args[i] = argument(p, first + 1 + i);
  return decide(param_number(p, first), args[0], args[1], args[2], args[3], args[4], args[5]);
}

static long attempt_syscall(const struct rf_params* p) { return any_syscall(p, 0); }

/* For syscalls that must take no effect: arguments that the kernel refuses only after it has asked
 * for the permission. Getting that far is what is to be prevented. */
static long attempt_syscall_expect(const struct rf_params* p) {
  const long expected = param_number(p, 0);
  const long ret = any_syscall(p, 1);
  return ret == -expected ? 0 : ret < 0 ? ret : -EPROTO;
}

static long decide_int80(long nr, long a0, long a1, long a2) {
  const long args[6] = {a0, a1, a2};
  const long ret = rf_int80(nr, a0, a1, a2);
  say_remark("int80");
  say_call(nr, ret, args);
  return ret;
}

static long attempt_syscall_i386(const struct rf_params* p) {
  return decide_int80(param_number(p, 0), argument(p, 1), argument(p, 2), argument(p, 3));
}

static long low_copy(const char* text) {
  const size_t size = str_len(text) + 1;
  if (size > sizeof pool) unable(E2BIG);
  memcpy(pool, text, size);
  return (long)pool;
}

static long attempt_i386_sethostname(const struct rf_params* p) {
  const char* name = param(p, 0);
  return decide_int80(kI386Sethostname, low_copy(name), (long)str_len(name), 0);
}

static long attempt_x32_sethostname(const struct rf_params* p) {
  const char* name = param(p, 0);
  return decide(__NR_sethostname | kX32Bit, low_copy(name), str_len(name));
}

/* time(2) by its fixed address, where the kernel has a vsyscall page. */
static long attempt_vsyscall_time(const struct rf_params* p) {
  (void)p;
  long (*const vsyscall_time)(long*) = (long (*)(long*))0xffffffffff600400;
  const long args[6] = {0};
  const long ret = vsyscall_time(NULL);
  say_call(__NR_time, ret, args);
  return ret;
}

/* --- Filters and threads ---------------------------------------------------------------------- */
static long install_allowing_filter(void) {
  static struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  const struct sock_fprog program = {1, &allow};
  return decide(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static long attempt_install_filter_allow(const struct rf_params* p) {
  const char* name = param(p, 0);
  const long nnp = sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (nnp < 0) unable(-nnp);
  const long ret = install_allowing_filter();
  return ret < 0 ? ret : decide(__NR_sethostname, name, str_len(name));
}

static long attempt_no_nnp_filter(const struct rf_params* p) {
  if (param_number_or(p, 0, 0) != 0) {
    const long nnp = sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (nnp < 0) unable(-nnp);
  }
  return install_allowing_filter();
}

struct call_by_thread {
  const char* name;
  long ret;
  volatile int done;
};

static void thread_sethostname(void* argument) {
  struct call_by_thread* call = argument;
  call->ret = sys(__NR_sethostname, call->name, str_len(call->name));
  call->done = 1;
}

/* A thread that was there before the filter: it waits for the word to call. */
struct waiting_thread {
  struct call_by_thread call;
  volatile int go;
};

static void thread_waits(void* argument) {
  struct waiting_thread* thread = argument;
  while (thread->go == 0) sleep_ms(1);
  thread_sethostname(&thread->call);
}

static long attempt_thread_before_filter(const struct rf_params* p) {
  static _Alignas(16) char stack[16384];
  static struct waiting_thread thread;
  thread.call.name = param(p, 0);
  const long flags = str_eq(param(p, 1), "tsync") ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  const long clone_flags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  const long tid = rf_thread(clone_flags, stack + sizeof stack, thread_waits, &thread);
  if (tid < 0) unable(-tid);
  static struct sock_filter refuse[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, 0 /* seccomp_data.nr */},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, __NR_sethostname},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const struct sock_fprog program = {sizeof refuse / sizeof refuse[0], refuse};
  const long nnp = sys(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const long loaded = sys(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
  if (nnp < 0 || loaded != 0) unable(nnp < 0 ? -nnp : loaded < 0 ? -loaded : ESRCH);
  thread.go = 1;
  for (int i = 0; i < 1000 && thread.call.done == 0; ++i) sleep_ms(1);
  if (thread.call.done == 0) unable(ETIME);
  const long args[6] = {(long)thread.call.name, (long)str_len(thread.call.name)};
  say_call(__NR_sethostname, thread.call.ret, args);
  return thread.call.ret;
}

static long attempt_thread_sethostname(const struct rf_params* p) {
  static _Alignas(16) char stack[16384];
  static struct call_by_thread call;
  call.name = param(p, 0);
  const long flags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  const long tid = rf_thread(flags, stack + sizeof stack, thread_sethostname, &call);
  if (tid < 0) unable(-tid);
  for (int i = 0; i < 1000 && call.done == 0; ++i) sleep_ms(1);
  if (call.done == 0) unable(ETIME); /* a filter ended the thread alone */
  const long args[6] = {(long)call.name, (long)str_len(call.name)};
  say_call(__NR_sethostname, call.ret, args);
  return call.ret;
}

/* --- io_uring --------------------------------------------------------------------------------- */
static long attempt_io_uring_setup(const struct rf_params* p) {
  (void)p;
  struct io_uring_params params = {.flags = 0};
  return decide(__NR_io_uring_setup, 4, &params);
}

static char* map_ring(long ring, size_t size, unsigned long offset) {
  const long at = sys(__NR_mmap, 0, size, 3 /* read, write */, 1 /* shared */, ring, offset);
  if (at < 0 && at > -4096) unable(-at);
  return (char*)at;
}

/* openat by a ring: no openat(2) that a filter could see. */
static long attempt_io_uring_open(const struct rf_params* p) {
  const char* path = param(p, 0);
  struct io_uring_params s = {.flags = 0};
  const long ring = decide(__NR_io_uring_setup, 4, &s);
  if (ring < 0) return ring;
  char* sq = map_ring(ring, s.sq_off.array + s.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
  char* cq = map_ring(ring, s.cq_off.cqes + s.cq_entries * sizeof(struct io_uring_cqe),
                      IORING_OFF_CQ_RING);
  struct io_uring_sqe* entry =
      (struct io_uring_sqe*)map_ring(ring, s.sq_entries * sizeof *entry, IORING_OFF_SQES);
  entry->opcode = IORING_OP_OPENAT;
  entry->fd = AT_FDCWD;
  entry->addr = (uint64_t)path;
  entry->open_flags = O_RDONLY | O_CLOEXEC;
  ((uint32_t*)(sq + s.sq_off.array))[0] = 0;
  __atomic_store_n((uint32_t*)(sq + s.sq_off.tail), 1, __ATOMIC_RELEASE);
  const long ret = decide(__NR_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
  if (ret < 0) return ret;
  const uint32_t done = __atomic_load_n((uint32_t*)(cq + s.cq_off.tail), __ATOMIC_ACQUIRE);
  if (done == 0) unable(ETIME);
  const long fd = ((struct io_uring_cqe*)(cq + s.cq_off.cqes))->res;
  say_remark_number("openat by the ring:", fd);
  return fd < 0 ? fd : read_and_say(fd);
}

const struct attempt rf_seccomp_attempts[] = {
    {"syscall", attempt_syscall, "NR [ARGUMENT...]: numbers, s:TEXT, z:SIZE"},
    {"syscall_expect", attempt_syscall_expect,
     "ERRNO NR [ARGUMENT...]: achieved when it fails with ERRNO, past the permission"},
    {"syscall_i386", attempt_syscall_i386, "NR [ARGUMENT...]: at most 3, by int 0x80"},
    {"i386_sethostname", attempt_i386_sethostname, "NAME"},
    {"x32_sethostname", attempt_x32_sethostname, "NAME"},
    {"vsyscall_time", attempt_vsyscall_time, ""},
    {"install_filter_allow", attempt_install_filter_allow, "NAME: then sethostname"},
    {"no_nnp_filter", attempt_no_nnp_filter, "[1]: after all with no_new_privs"},
    {"thread_before_filter", attempt_thread_before_filter, "NAME tsync|alone"},
    {"thread_sethostname", attempt_thread_sethostname, "NAME"},
    {"io_uring_setup", attempt_io_uring_setup, ""},
    {"io_uring_open", attempt_io_uring_open, "PATH"},
    {NULL, NULL, NULL},
};
