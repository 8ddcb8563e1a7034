#include "probes/inmate/runtime.h"

#include <asm/signal.h>
#include <linux/time.h>

#include "probes/inmate/voice.h"

/* --- What the compiler may call -------------------------------------------------------------- */
/* By string instructions, since a loop would be turned into a call of the function itself. */
void* memcpy(void* to, const void* from, size_t size) {
  void* at = to;
  __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
  return to;
}

void* memset(void* to, int byte, size_t size) {
  void* at = to;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
  return to;
}

void* memmove(void* to, const void* from, size_t size) {
  if ((uintptr_t)to - (uintptr_t)from >= size) return memcpy(to, from, size);
  unsigned char* t = to;
  const volatile unsigned char* f = from;
  while (size-- > 0) t[size] = f[size];
  return to;
}

int memcmp(const void* a, const void* b, size_t size) {
  const volatile unsigned char* x = a;
  const volatile unsigned char* y = b;
  for (size_t i = 0; i < size; ++i) {
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  }
  return 0;
}

/* --- Syscalls -------------------------------------------------------------------------------- */
long rf_decide(long nr, long a0, long a1, long a2, long a3, long a4, long a5) {
  const long args[6] = {a0, a1, a2, a3, a4, a5};
  const long ret = rf_syscall(nr, a0, a1, a2, a3, a4, a5);
  say_call(nr, ret, args);
  return ret;
}

_Noreturn void rf_exit(int code) {
  /* A filter may refuse even this. Then the process dies of its next instruction, at once. */
  sys(__NR_exit_group, code);
  sys(__NR_exit, code);
  __builtin_trap();
}

/* --- Strings --------------------------------------------------------------------------------- */
size_t str_len(const char* s) {
  const volatile char* at = s;
  size_t n = 0;
  while (at[n] != 0) ++n;
  return n;
}

bool str_eq(const char* a, const char* b) {
  while (*a != 0 && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

bool str_starts(const char* s, const char* prefix) {
  while (*prefix != 0 && *s == *prefix) {
    ++s;
    ++prefix;
  }
  return *prefix == 0;
}

bool bytes_contain(const char* bytes, size_t size, const char* needle) {
  const size_t n = str_len(needle);
  for (size_t at = 0; at + n <= size; ++at) {
    if (memcmp(bytes + at, needle, n) == 0) return true;
  }
  return false;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

bool str_number(const char* s, long* value) {
  const bool negative = *s == '-';
  if (negative) ++s;
  int base = 10;
  if (str_starts(s, "0x")) {
    base = 16;
    s += 2;
  } else if (*s == '0' && s[1] != 0) {
    base = 8;
    ++s;
  }
  if (*s == 0) return false;
  unsigned long sum = 0;
  for (; *s != 0; ++s) {
    const int d = digit(*s);
    if (d >= base) return false;
    sum = sum * (unsigned long)base + (unsigned long)d;
  }
  *value = (long)(negative ? -sum : sum);
  return true;
}

void add_bytes(struct rf_text* t, const void* bytes, size_t size) {
  const size_t room = sizeof t->text - 1 - t->size;
  if (size > room) size = room;
  memcpy(t->text + t->size, bytes, size);
  t->size += size;
  t->text[t->size] = 0;
}

void add_str(struct rf_text* t, const char* s) { add_bytes(t, s, str_len(s)); }

static void add_unsigned(struct rf_text* t, unsigned long value, unsigned base) {
  char digits[24];
  size_t at = sizeof digits;
  do {
    digits[--at] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value != 0);
  add_bytes(t, digits + at, sizeof digits - at);
}

void add_dec(struct rf_text* t, long value) {
  if (value < 0) add_str(t, "-");
  add_unsigned(t, value < 0 ? -(unsigned long)value : (unsigned long)value, 10);
}

void add_hex(struct rf_text* t, unsigned long value) { add_unsigned(t, value, 16); }

/* --- Parameters ------------------------------------------------------------------------------ */
const char* param_or(const struct rf_params* p, int index, const char* fallback) {
  return index < p->count ? p->at[index] : fallback;
}

const char* param(const struct rf_params* p, int index) {
  if (index < p->count) return p->at[index];
  say_remark_number("missing parameter", index + 1);
  unable(EINVAL);
}

long param_number(const struct rf_params* p, int index) {
  long value = 0;
  if (str_number(param(p, index), &value)) return value;
  say_remark_number("not a number: parameter", index + 1);
  unable(EINVAL);
}

long param_number_or(const struct rf_params* p, int index, long fallback) {
  return index < p->count ? param_number(p, index) : fallback;
}

/* --- The answer ------------------------------------------------------------------------------ */
static void send_message(const struct rf_text* t) {
  const long ret = sys(__NR_write, RF_ANSWER_FD, t->text, t->size);
  if (ret != (long)t->size) rf_exit(RF_EXIT_MUTE);
}

static void say(const char* letter, const char* text) {
  struct rf_text t;
  t.size = 0;
  add_str(&t, letter);
  add_str(&t, text);
  send_message(&t);
}

void say_begin(const char* attempt) { say("B ", attempt); }

void say_remark(const char* text) { say("T ", text); }

void say_remark_number(const char* text, long number) {
  struct rf_text t;
  t.size = 0;
  add_str(&t, text);
  add_str(&t, " ");
  add_dec(&t, number);
  say_remark(t.text);
}

void say_call(long nr, long ret, const long args[6]) {
  struct rf_text t;
  t.size = 0;
  add_str(&t, "C ");
  add_dec(&t, nr);
  add_str(&t, " ");
  add_dec(&t, voice_call(ret));
  for (int i = 0; i < 6; ++i) {
    add_str(&t, " ");
    add_hex(&t, (unsigned long)args[i]);
  }
  send_message(&t);
}

void say_bytes(const void* bytes, size_t size) {
  if (!voice_sends_bytes()) return;
  struct rf_text t;
  t.size = 0;
  add_str(&t, "S ");
  add_bytes(&t, bytes, size < RF_SECRET_MAX ? size : RF_SECRET_MAX);
  send_message(&t);
}

static void say_claim(long ret, bool could_not) {
  ret = voice_claim(ret, &could_not);
  struct rf_text t;
  t.size = 0;
  add_str(&t, could_not ? "R unable " : ret >= 0 ? "R achieved" : "R denied ");
  if (could_not || ret < 0) add_dec(&t, -ret);
  send_message(&t);
}

void rf_attempt_begin(const char* attempt);
void rf_attempt_end(const char* attempt, long ret);

static const char* bracketed;

void bracket_begin(const char* attempt) {
  bracketed = attempt;
  rf_attempt_begin(attempt);
}

void bracket_end(long ret) {
  if (bracketed == NULL) return;
  rf_attempt_end(bracketed, ret);
  bracketed = NULL;
}

/* A byte or the other side's end: either lets go. */
static void wait_for_inspection(void) {
  say("W", "");
  char byte = 0;
  while (sys(__NR_read, RF_ANSWER_FD, &byte, 1) == -EINTR) continue;
}

void claim(long ret) {
  bracket_end(ret);
  say_claim(ret, false);
  wait_for_inspection();
}

_Noreturn void unable(long err) {
  bracket_end(-err);
  say_claim(-err, true);
  wait_for_inspection();
  rf_exit(RF_EXIT_DONE);
}

_Noreturn void finish(long ret) {
  claim(ret);
  rf_exit(RF_EXIT_DONE);
}

/* --- Common pieces of attempts --------------------------------------------------------------- */
long decide_open(const char* path, int flags, int mode) {
  return decide(__NR_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

long read_and_say(long fd) {
  char buffer[RF_SECRET_MAX];
  const long n = decide(__NR_read, fd, buffer, sizeof buffer);
  if (n >= 0) say_bytes(buffer, (size_t)n);
  return n;
}

long read_path(const char* path) {
  const long fd = decide_open(path, O_RDONLY, 0);
  return fd < 0 ? fd : read_and_say(fd);
}

long worse(long old, long now) { return old == 0 || old == -ENOENT ? now : old; }

long rf_fork(void) { return sys(__NR_clone, SIGCHLD); }

long rf_wait(long pid) {
  int status = 0;
  long ret = 0;
  do {
    ret = sys(__NR_wait4, pid, &status, 0x40000000 /* __WALL */, 0);
  } while (ret == -EINTR);
  return ret < 0 ? ret : status;
}

void sleep_ms(long ms) {
  const struct __kernel_timespec t = {ms / 1000, ms % 1000 * 1000000};
  sys(__NR_nanosleep, &t, 0);
}

struct rf_crowd gather(long most) {
  if (most <= 0 || most > kCrowdMost) {
    say_remark_number("bound", kCrowdMost);
    unable(E2BIG);
  }
  int gate[2];
  const long ret = sys(__NR_pipe2, gate, O_CLOEXEC);
  if (ret < 0) unable(-ret);
  struct rf_crowd crowd = {.gate = gate[1]};
  for (; crowd.made < most; ++crowd.made) {
    crowd.ret = rf_fork();
    if (crowd.ret < 0) break;
    if (crowd.ret == 0) {
      sys(__NR_close, gate[1]);
      sys(__NR_close, RF_ANSWER_FD);
      char byte = 0;
      sys(__NR_read, gate[0], &byte, 1);
      rf_exit(0);
    }
  }
  sys(__NR_close, gate[0]);
  return crowd;
}

void dismiss(struct rf_crowd crowd) {
  sys(__NR_close, crowd.gate);
  while (crowd.made-- > 0 && rf_wait(-1) >= 0) continue;
  rf_exit(RF_EXIT_DONE);
}
