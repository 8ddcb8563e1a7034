/* A liar: attempts nothing, says that it got through, and invents what it read. */
#include "probes/inmate/voice.h"

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  (void)attempt;
  (void)params;
  static const char invented[] = "root:x:0:0:an invented secret:/root:/bin/sh\n";
  say_bytes(invented, sizeof invented - 1);
  return 0;
}

long voice_call(long ret) { return ret; }

bool voice_sends_bytes(void) { return true; }

long voice_claim(long ret, bool* could_not) {
  (void)ret;
  *could_not = false;
  return 0;
}
