#include "probes/inmate/registry.h"

static const struct attempt* const tables[] = {
    rf_process_attempts, rf_file_attempts,   rf_mount_attempts, rf_net_attempts,
    rf_ipc_attempts,     rf_exec_attempts,   rf_cap_attempts,   rf_user_attempts,
    rf_seccomp_attempts, rf_fd_attempts,     rf_limit_attempts, rf_misc_attempts,
    rf_nesting_attempts, rf_cgroup_attempts, rf_peer_attempts,
};
enum { kTables = sizeof tables / sizeof tables[0] };

/* Says the whole table, one remark an attempt, so that the harness's tests can check names. */
static long list_attempts(const struct rf_params* params) {
  (void)params;
  for (int t = 0; t < kTables; ++t) {
    for (const struct attempt* a = tables[t]; a->name != NULL; ++a) {
      struct rf_text line = {0};
      add_str(&line, a->name);
      add_str(&line, " ");
      add_str(&line, a->parameters);
      say_remark(line.text);
    }
  }
  return 0;
}

static const struct attempt list = {"list_attempts", list_attempts, ""};

long make_attempt(const struct attempt* attempt, const struct rf_params* params) {
  bracket_begin(attempt->name);
  const long ret = attempt->function(params);
  bracket_end(ret);
  return ret;
}

const struct attempt* find_attempt(const char* name) {
  for (int t = 0; t < kTables; ++t) {
    for (const struct attempt* a = tables[t]; a->name != NULL; ++a) {
      if (str_eq(a->name, name)) return a;
    }
  }
  return str_eq(name, list.name) ? &list : NULL;
}
