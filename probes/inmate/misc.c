/* Attempts that are none: for liveness, and to be looked at.
 * The benign twin `exit` makes no syscall but write(2) to answer, read(2) to wait, exit_group(2).
 */
#include "probes/inmate/registry.h"

static long attempt_exit(const struct rf_params* p) {
  (void)p;
  return 0;
}

const struct attempt rf_misc_attempts[] = {
    {"exit", attempt_exit, ""},
    {"hold", attempt_exit, ""},
    {NULL, NULL, NULL},
};
