/* What every attempt stands on: raw syscalls, strings, parameters and the answer.
 *
 * Freestanding C17, x86-64 only: no libc, no start-up syscalls, no thread-local storage, no heap.
 * The answer socket sees write(2) and read(2) only, so that strict filters let the answer pass.
 * Sources: syscall(2), unix(7), probes/inmate/abi.h.
 */
#ifndef RINGFENCE_PROBES_INMATE_RUNTIME_H
#define RINGFENCE_PROBES_INMATE_RUNTIME_H

#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probes/inmate/abi.h"

/* --- Syscalls: the value, or -errno. Missing arguments are 0. ------------------------------- */
long rf_syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
#define RF_SYS6(nr, a, b, c, d, e, f, ...) \
  rf_syscall((long)(nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define sys(...) RF_SYS6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* The same, reported as a deciding syscall (message C) once it has returned. */
long rf_decide(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
#define RF_DECIDE6(nr, a, b, c, d, e, f, ...) \
  rf_decide((long)(nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define decide(...) RF_DECIDE6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

_Noreturn void rf_exit(int code);

void* memcpy(void* to, const void* from, size_t size);
void* memset(void* to, int byte, size_t size);
void* memmove(void* to, const void* from, size_t size);
int memcmp(const void* a, const void* b, size_t size);

/* --- Strings -------------------------------------------------------------------------------- */
size_t str_len(const char* s);
bool str_eq(const char* a, const char* b);
bool str_starts(const char* s, const char* prefix);
/* Whether `needle` occurs in the `size` bytes at `bytes`. */
bool bytes_contain(const char* bytes, size_t size, const char* needle);
/* Decimal, 0x hexadecimal, or octal with a leading 0; a minus sign for negative ones. */
bool str_number(const char* s, long* value);

/* Text that is cut off, never overrun. `text` is NUL-terminated after each call. */
struct rf_text {
  size_t size;
  char text[RF_MESSAGE_MAX];
};
void add_str(struct rf_text* t, const char* s);
void add_bytes(struct rf_text* t, const void* bytes, size_t size);
void add_dec(struct rf_text* t, long value);
void add_hex(struct rf_text* t, unsigned long value);

/* --- Parameters: what follows the attempt's name ----------------------------------------------
 * A parameter that is missing, or is no number where one is needed, ends the trial with
 * `R unable EINVAL`, after a remark that names it. */
struct rf_params {
  int count;
  char** at;
};
const char* param(const struct rf_params* p, int index);
const char* param_or(const struct rf_params* p, int index, const char* fallback);
long param_number(const struct rf_params* p, int index);
long param_number_or(const struct rf_params* p, int index, long fallback);

/* --- The answer ----------------------------------------------------------------------------- */
void say_begin(const char* attempt);                   /* B */
void say_call(long nr, long ret, const long args[6]);  /* C */
void say_bytes(const void* bytes, size_t size);        /* S, cut at RF_SECRET_MAX */
void say_remark(const char* text);                     /* T */
void say_remark_number(const char* text, long number); /* T */
/* R with `achieved` for ret >= 0 and `denied` -ret otherwise; then W, and the wait for a byte. */
void claim(long ret);
/* The attempt could not be made for want of something it needs: R, W, the wait, exit. */
_Noreturn void unable(long err);
/* claim() and exit. */
_Noreturn void finish(long ret);

/* Marks the beginning of an attempt; claim() and unable() mark its end, if nobody has before. */
void bracket_begin(const char* attempt);
void bracket_end(long ret);

/* --- Common pieces of attempts -------------------------------------------------------------- */
/* openat(2) from the working directory with O_CLOEXEC, as a deciding syscall. */
long decide_open(const char* path, int flags, int mode);
/* Reads up to RF_SECRET_MAX bytes as a deciding syscall and sends them (S); the count, or -errno.
 */
long read_and_say(long fd);
/* Opens and reads `path`, keeping it open; the count, or -errno of the open or the read. */
long read_path(const char* path);
/* Of two refusals the one that says more: ENOENT only where nothing else is known. */
long worse(long old, long now);
/* fork(2) by clone: no flags but SIGCHLD. */
long rf_fork(void);
/* Waits for a child; its wait status, or -errno. */
long rf_wait(long pid);
void sleep_ms(long ms);

/* Children that wait on a pipe that only this process can write: they end with it, however it ends.
 */
struct rf_crowd {
  int gate;
  long made;
  long ret; /* of the last fork */
};
enum { kCrowdMost = 4096 };
struct rf_crowd gather(long most);
/* Lets them go, waits for each, and ends. */
_Noreturn void dismiss(struct rf_crowd crowd);

#endif
