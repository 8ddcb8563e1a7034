/* The brackets: uprobes on the two symbols of the inmate's image that stand around an attempt
 * (probes/inmate/start.S). For attempts that make no syscall of their own on the host, and for
 * whoever asks to see them. Attached by harness/witness/bracket.h, once for an image.
 */
// clang-format off: the types first
#include "probes/bpf/probe.h"
// clang-format on
#include "probes/bpf/bracket_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct rf_bracket_key);
  __type(value, struct rf_bracket);
} brackets SEC(".maps");

static __always_inline int on_bracket(void* ctx, const char* name, bool ends, __s64 result) {
  struct rf_event_probe staged;
  struct rf_bracket_key key;
  __builtin_memset(&key, 0, sizeof key);
  key.trial = rf_trial();
  if (!key.trial) return 0;
  bpf_probe_read_user_str(key.attempt, sizeof key.attempt, name);
  struct rf_bracket* bracket = bpf_map_lookup_elem(&brackets, &key);
  if (!bracket) {
    /* What has no room was not seen: an absence that proves nothing. */
    struct rf_bracket none = {0, 0, 0};
    bpf_map_update_elem(&brackets, &key, &none, BPF_NOEXIST);
    bracket = bpf_map_lookup_elem(&brackets, &key);
  }
  if (bracket) {
    __sync_fetch_and_add(ends ? &bracket->ended : &bracket->began, 1);
    if (ends) bracket->result = result;
  }
  struct rf_event_probe* e = rf_line(key.trial, RF_EV_ATTEMPT, &staged);
  if (!e) return 0;
  __builtin_memcpy(e->text, key.attempt, sizeof key.attempt);
  e->numbers = ends;
  e->number[0] = result;
  rf_give(ctx, e);
  return 0;
}

SEC("uprobe")
int BPF_KPROBE(attempt_begins, const char* name) { return on_bracket(ctx, name, false, 0); }

SEC("uprobe")
int BPF_KPROBE(attempt_ends, const char* name, long result) {
  return on_bracket(ctx, name, true, result);
}
