/* The voice that says what happened. */
#include "probes/inmate/voice.h"

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  if (attempt == NULL) {
    say_remark("unknown attempt");
    rf_exit(RF_EXIT_UNKNOWN);
  }
  return make_attempt(attempt, params);
}

long voice_call(long ret) { return ret; }

bool voice_sends_bytes(void) { return true; }

long voice_claim(long ret, bool* could_not) {
  (void)could_not;
  return ret;
}
