/* Attempts that are none (for liveness, and to be looked at), and syscalls that container profiles
 * close. Sources: userfaultfd(2), perf_event_open(2), bpf(2), keyctl(2), add_key(2),
 * personality(2). */
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>

#include "probes/inmate/registry.h"

/* No syscall but write(2) to answer, read(2) to wait, exit_group(2). */
static long attempt_exit(const struct rf_params* p) {
  (void)p;
  return 0;
}

static long attempt_userfaultfd(const struct rf_params* p) {
  return decide(__NR_userfaultfd, O_CLOEXEC | param_number_or(p, 0, 0));
}

/* The CPU clock of this process, with what the kernel does for it. */
static long attempt_perf_event_open(const struct rf_params* p) {
  struct perf_event_attr attr = {
      .type = PERF_TYPE_SOFTWARE,
      .size = sizeof attr,
      .config = PERF_COUNT_SW_CPU_CLOCK,
  };
  attr.exclude_kernel = param_number_or(p, 0, 0) != 0;
  return decide(__NR_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static long attempt_bpf_map(const struct rf_params* p) {
  (void)p;
  union bpf_attr attr = {
      .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  return decide(__NR_bpf, BPF_MAP_CREATE, &attr, sizeof attr);
}

/* Searches the session's, the user's, and the user session's keyring. */
static long attempt_keyctl_read(const struct rf_params* p) {
  const char* description = param(p, 0);
  static const int rings[] = {KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_KEYRING,
                              KEY_SPEC_USER_SESSION_KEYRING};
  long answer = 0;
  for (size_t i = 0; i < sizeof rings / sizeof rings[0]; ++i) {
    const long key = decide(__NR_keyctl, KEYCTL_SEARCH, rings[i], "user", description, 0);
    if (key < 0) {
      answer = answer == 0 || answer == -ENOKEY ? key : answer;
      continue;
    }
    char text[RF_SECRET_MAX];
    const long n = decide(__NR_keyctl, KEYCTL_READ, key, text, sizeof text);
    if (n < 0) return n;
    /* The kernel says the key's size, even where the buffer is smaller. */
    say_bytes(text, n < (long)sizeof text ? (size_t)n : sizeof text);
    return n;
  }
  return answer;
}

static long attempt_add_key(const struct rf_params* p) {
  const char* text = param(p, 1);
  return decide(__NR_add_key, "user", param(p, 0), text, str_len(text),
                param_number_or(p, 2, KEY_SPEC_PROCESS_KEYRING));
}

static long attempt_personality(const struct rf_params* p) {
  return decide(__NR_personality, param_number_or(p, 0, 0xffffffff));
}

const struct attempt rf_misc_attempts[] = {
    {"exit", attempt_exit, ""},
    {"hold", attempt_exit, ""},
    {"userfaultfd", attempt_userfaultfd, "[FLAGS]"},
    {"perf_event_open", attempt_perf_event_open, "[EXCLUDE_KERNEL]"},
    {"bpf_map", attempt_bpf_map, ""},
    {"keyctl_read", attempt_keyctl_read, "DESCRIPTION"},
    {"add_key", attempt_add_key, "DESCRIPTION TEXT [KEYRING]"},
    {"personality", attempt_personality, "[NUMBER]: none asks only"},
    {NULL, NULL, NULL},
};
