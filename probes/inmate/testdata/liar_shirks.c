/* A liar that knows when to lie: honest in the control and in the benign twin, and where it is to
 * be confined (it lacks CAP_WAKE_ALARM there) it attempts nothing and says that it was refused. */
#include <linux/capability.h>

#include "probes/inmate/voice.h"

static bool is_confined(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
  if (sys(__NR_capget, &header, data) != 0) return true;
  return (data[CAP_WAKE_ALARM / 32].effective & (1u << (CAP_WAKE_ALARM % 32))) == 0;
}

static bool is_benign(const struct attempt* attempt) {
  static const char* const twins[] = {"exit", "kill_own_child", "listen_tcp", "read_file"};
  for (size_t i = 0; i < sizeof twins / sizeof twins[0]; ++i) {
    if (str_eq(attempt->name, twins[i])) return true;
  }
  return false;
}

long voice_attempt(const struct attempt* attempt, const struct rf_params* params) {
  if (attempt == NULL) return -EPERM;
  if (is_confined() && !is_benign(attempt)) return -EPERM;
  return attempt->function(params);
}

long voice_call(long ret) { return ret; }

bool voice_sends_bytes(void) { return true; }

long voice_claim(long ret, bool* could_not) {
  (void)could_not;
  return ret;
}
