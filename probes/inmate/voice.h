/* How an inmate speaks: the honest one (honest.c) says what happened; the liars of testdata/, which
 * the harness's own tests let loose, do not. Everything else is the same code.
 */
#ifndef RINGFENCE_PROBES_INMATE_VOICE_H
#define RINGFENCE_PROBES_INMATE_VOICE_H

#include "probes/inmate/registry.h"

/* Makes the attempt, or does not; its result is what claim() is given. `attempt` is null for a name
 * that the registry does not know; the honest voice then exits with RF_EXIT_UNKNOWN. */
long voice_attempt(const struct attempt* attempt, const struct rf_params* params);
/* The value that a C message shows for a call that returned `ret`. */
long voice_call(long ret);
/* Whether S messages are sent. */
bool voice_sends_bytes(void);
/* What R says: the value itself for achieved (>= 0) or denied (-errno). `could_not` marks a trial
 * that ends with unable(). It may clear it. */
long voice_claim(long ret, bool* could_not);

#endif
