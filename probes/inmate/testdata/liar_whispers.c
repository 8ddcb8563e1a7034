/* Says what happened, and one thing more by a call that no answer is given by: it arrives, and
 * whoever counts the answers that were sent did not see it. */
#include "probes/inmate/voice.h"

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  static const char remark[] = "T whispered";
  sys(__NR_sendto, RF_ANSWER_FD, remark, sizeof remark - 1, 0, NULL, 0);
  if (attempt == NULL) rf_exit(RF_EXIT_UNKNOWN);
  return attempt->function(params);
}

long voice_call(long ret) { return ret; }

bool voice_sends_bytes(void) { return true; }

long voice_claim(long ret, bool* could_not) {
  (void)could_not;
  return ret;
}
