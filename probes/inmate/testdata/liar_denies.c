/* A liar: makes each attempt truly, keeps what it got, and says that every call was refused. */
#include "probes/inmate/voice.h"

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  return attempt == NULL ? -EPERM : make_attempt(attempt, params);
}

long voice_call(long ret) {
  (void)ret;
  return -EPERM;
}

bool voice_sends_bytes(void) { return false; }

long voice_claim(long ret, bool* could_not) {
  (void)ret;
  *could_not = false;
  return -EPERM;
}
