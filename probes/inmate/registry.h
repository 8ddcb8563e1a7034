/* The table of attempts: name, function, and what its parameters are.
 *
 * An attempt returns what its deciding syscall returned: >= 0 achieved, -errno denied; or ends the
 * process itself by unable() or finish(). What it opened, mounted or joined stays until the harness
 * has looked at it.
 */
#ifndef RINGFENCE_PROBES_INMATE_REGISTRY_H
#define RINGFENCE_PROBES_INMATE_REGISTRY_H

#include "probes/inmate/runtime.h"

typedef long attempt_function(const struct rf_params* params);

struct attempt {
  const char* name;
  attempt_function* function;
  const char* parameters;
};

/* Each primitive's file has one table, ended by a null name. */
extern const struct attempt rf_process_attempts[];
extern const struct attempt rf_file_attempts[];
extern const struct attempt rf_mount_attempts[];
extern const struct attempt rf_net_attempts[];
extern const struct attempt rf_peer_attempts[];
extern const struct attempt rf_ipc_attempts[];
extern const struct attempt rf_exec_attempts[];
extern const struct attempt rf_cap_attempts[];
extern const struct attempt rf_user_attempts[];
extern const struct attempt rf_seccomp_attempts[];
extern const struct attempt rf_fd_attempts[];
extern const struct attempt rf_limit_attempts[];
extern const struct attempt rf_cgroup_attempts[];
extern const struct attempt rf_misc_attempts[];
extern const struct attempt rf_nesting_attempts[];

/* Makes it, in its brackets. */
long make_attempt(const struct attempt* attempt, const struct rf_params* params);
/* The attempt of that name, or null. */
const struct attempt* find_attempt(const char* name);

#endif
