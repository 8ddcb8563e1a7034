/* A liar: attempts nothing and says that it was refused. */
#include "probes/inmate/voice.h"

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  (void)attempt;
  (void)params;
  return -EPERM;
}

long voice_call(long ret) { return ret; }

bool voice_sends_bytes(void) { return false; }

long voice_claim(long ret, bool* could_not) {
  *could_not = false;
  return ret;
}
