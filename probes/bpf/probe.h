/* For a probe: a BPF object of your own, that `--probe FILE.bpf.o` of `ringfence run` and
 * `ringfence trace` loads beside ringfence's witness. What it tells joins the timeline of the trial
 * that the current task belongs to; what it counts is shown at the end.
 *
 *   #include "probes/bpf/probe.h"
 *   SEC("raw_tp/sys_enter")
 *   int opens(struct bpf_raw_tracepoint_args* ctx) {
 *     if (rf_trial() && ctx->args[1] == 257) rf_count("openat");
 *     return 0;
 *   }
 *
 *   clang -target bpf -O2 -g -I PREFIX/include/ringfence -c opens.bpf.c -o opens.bpf.o
 *
 * It is included first, or after a vmlinux.h; linux/bpf.h is not needed beside it. x86-64.
 *
 * Programs are attached by their section's name, as libbpf does it: tp/GROUP/NAME, raw_tp/NAME,
 * tp_btf/NAME, kprobe/FUNCTION, kretprobe/FUNCTION, ksyscall/NAME, fentry/FUNCTION, fexit/FUNCTION,
 * uprobe/PATH:SYMBOL, uretprobe/PATH:SYMBOL, usdt/PATH:PROVIDER:NAME. Which of them there are, the
 * kernel decides; `ringfence doctor` and the error say so. A probe looks: programs that decide
 * (xdp, cgroup_skb, lsm, fmod_ret, ...), helpers that change what they watch, and the kernel's own
 * functions are refused. No verdict rests on what a probe says.
 *
 * Needs what the witness needs.
 * Sources: docs/recipes/probe.md, Documentation/bpf/libbpf/program_types.rst.
 */
#ifndef RINGFENCE_PROBES_BPF_PROBE_H
#define RINGFENCE_PROBES_BPF_PROBE_H

#ifdef _UAPI__LINUX_BPF_H__
#error "probes/bpf/probe.h brings the kernel's types itself: leave linux/bpf.h out"
#endif
// clang-format off: the types first, libbpf's headers use them
#ifdef __VMLINUX_H__
#define RF_KERNEL_TYPES
#else
#include "probes/bpf/kernel_types.h"
#endif
#ifndef __TARGET_ARCH_x86
#define __TARGET_ARCH_x86
#endif
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
/* The names of registers as the kernel's own struct pt_regs has them. */
#ifndef __KERNEL__
#define __KERNEL__
#include <bpf/bpf_tracing.h>
#undef __KERNEL__
#else
#include <bpf/bpf_tracing.h>
#endif
// clang-format on

#include "probes/bpf/probe_abi.h"

char rf_license[] SEC("license") = "GPL";

const volatile struct rf_probe_id rf_probe_id SEC(".rodata.ringfence")
    __attribute__((used)) = {.abi = RF_PROBE_ABI, .probe = 0};

/* The witness's own maps, shared: the harness puts its own in their place, so the sizes here do not
 * matter. They are read through the functions below. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u64);
  __type(value, __u64);
} rf_scopes SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} rf_by_tgid SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} rf_by_pidns SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1);
  __type(key, __u64);
  __type(value, struct rf_story);
} rf_stories SEC(".maps");
struct rf_ring {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
};
struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u64);
  __array(values, struct rf_ring);
} rf_rings SEC(".maps");
struct rf_perf_ring {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
};
/* Either this one or rf_rings; the other is not made. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 1);
  __type(key, __u64);
  __array(values, struct rf_perf_ring);
} rf_perf_rings SEC(".maps");

/* This object's own. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, struct rf_count_key);
  __type(value, __u64);
} rf_counts SEC(".maps");

/* The trial (of `trace`: the trace) that the current task belongs to; 0: it is not watched. */
static __always_inline __u64 rf_trial(void) {
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  if (tgid == rf_probe_id.left_out) return 0;
  __u64 group = bpf_get_current_cgroup_id();
  __u64* trial = bpf_map_lookup_elem(&rf_scopes, &group);
  if (trial) return *trial;
  trial = bpf_map_lookup_elem(&rf_by_tgid, &tgid);
  if (trial) return *trial;
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct pid* pid = BPF_CORE_READ(task, thread_pid);
  unsigned int level = BPF_CORE_READ(pid, level);
  if (level == 0 || level > 32) return 0; /* the initial pid namespace is never watched as such */
  struct upid last;
  bpf_core_read(&last, sizeof last, (void*)&pid->numbers + level * bpf_core_type_size(struct upid));
  __u32 pidns = BPF_CORE_READ(last.ns, ns.inum);
  trial = bpf_map_lookup_elem(&rf_by_pidns, &pidns);
  return trial ? *trial : 0;
}

static __always_inline void rf_lose(__u64 trial) {
  struct rf_story* story = bpf_map_lookup_elem(&rf_stories, &trial);
  if (story) __sync_fetch_and_add(&story->lost, 1);
}

/* Room for a line of the trial's story with everything but its strings and numbers, in the ring or,
 * on its way into a perf buffer, in `staged`; 0: none. It goes to rf_give(). */
static __always_inline struct rf_event_probe* rf_line(__u64 trial, __u32 kind,
                                                      struct rf_event_probe* staged) {
  struct rf_event_probe* e = staged;
  if (!rf_probe_id.story_by_perf) {
    struct rf_story* story = bpf_map_lookup_elem(&rf_stories, &trial);
    if (!story) return 0;
    void* ring = bpf_map_lookup_elem(&rf_rings, &story->ring);
    e = ring ? bpf_ringbuf_reserve(ring, sizeof *e, 0) : 0;
    if (!e) {
      __sync_fetch_and_add(&story->lost, 1);
      return 0;
    }
  }
  barrier_var(e); /* else addresses in it are worked out before it is looked at */
  __builtin_memset(e, 0, sizeof *e);
  __u64 ids = bpf_get_current_pid_tgid();
  e->head.at = bpf_ktime_get_ns();
  e->head.trial = trial;
  e->head.kind = kind;
  e->head.tgid = ids >> 32;
  e->head.tid = (__u32)ids;
  e->head.uid = (__u32)bpf_get_current_uid_gid(); /* as the initial user namespace has it */
  bpf_get_current_comm(e->head.comm, sizeof e->head.comm);
  e->probe = rf_probe_id.probe;
  return e;
}

static __always_inline void rf_give(void* ctx, struct rf_event_probe* e) {
  __u64 trial = e->head.trial;
  struct rf_story* story = bpf_map_lookup_elem(&rf_stories, &trial);
  if (!rf_probe_id.story_by_perf) {
    bpf_ringbuf_submit(e, story && story->wakes ? 0 : BPF_RB_NO_WAKEUP);
    return;
  }
  if (!story) return;
  void* ring = bpf_map_lookup_elem(&rf_perf_rings, &story->ring);
  if (!ring || bpf_perf_event_output(ctx, ring, BPF_F_CURRENT_CPU, e, sizeof *e)) {
    __sync_fetch_and_add(&story->lost, 1);
  }
}

/* "NAME: A, B, C, D", the first `count` of them. */
static __always_inline void rf_tell_numbers(void* ctx, const char* name, __u32 count, __s64 a,
                                            __s64 b, __s64 c, __s64 d) {
  struct rf_event_probe staged;
  __u64 trial = rf_trial();
  struct rf_event_probe* e = trial ? rf_line(trial, RF_EV_PROBE, &staged) : 0;
  if (!e) return;
  bpf_probe_read_kernel_str(e->name, sizeof e->name, name);
  e->numbers = count;
  e->number[0] = a;
  e->number[1] = b;
  e->number[2] = c;
  e->number[3] = d;
  rf_give(ctx, e);
}

/* Tells a line: rf_tell(ctx, "name"), rf_tell(ctx, "name", number, ...), up to four numbers. `ctx`
 * is the program's own argument. */
#define rf_tell(ctx, ...) RF_TELL_(__VA_ARGS__, 4, 3, 2, 1, 0)(ctx, __VA_ARGS__)
#define RF_TELL_(name, a, b, c, d, count, ...) RF_TELL##count
#define RF_TELL0(ctx, name) rf_tell_numbers(ctx, name, 0, 0, 0, 0, 0)
#define RF_TELL1(ctx, name, a) rf_tell_numbers(ctx, name, 1, (__s64)(a), 0, 0, 0)
#define RF_TELL2(ctx, name, a, b) rf_tell_numbers(ctx, name, 2, (__s64)(a), (__s64)(b), 0, 0)
#define RF_TELL3(ctx, name, a, b, c) \
  rf_tell_numbers(ctx, name, 3, (__s64)(a), (__s64)(b), (__s64)(c), 0)
#define RF_TELL4(ctx, name, a, b, c, d) \
  rf_tell_numbers(ctx, name, 4, (__s64)(a), (__s64)(b), (__s64)(c), (__s64)(d))

/* 'NAME: "TEXT"', with a string of the watched program; or of the kernel. Cut to 63 bytes; what
 * cannot be read, a page that is not in memory yet included, is "?". */
static __always_inline void rf_tell_user_string(void* ctx, const char* name, const void* text) {
  struct rf_event_probe staged;
  __u64 trial = rf_trial();
  struct rf_event_probe* e = trial ? rf_line(trial, RF_EV_PROBE, &staged) : 0;
  if (!e) return;
  bpf_probe_read_kernel_str(e->name, sizeof e->name, name);
  if (bpf_probe_read_user_str(e->text, sizeof e->text, text) <= 0) e->text[0] = '?';
  rf_give(ctx, e);
}
static __always_inline void rf_tell_kernel_string(void* ctx, const char* name, const void* text) {
  struct rf_event_probe staged;
  __u64 trial = rf_trial();
  struct rf_event_probe* e = trial ? rf_line(trial, RF_EV_PROBE, &staged) : 0;
  if (!e) return;
  bpf_probe_read_kernel_str(e->name, sizeof e->name, name);
  if (bpf_probe_read_kernel_str(e->text, sizeof e->text, text) <= 0) e->text[0] = '?';
  rf_give(ctx, e);
}

/* Adds to a counter of the trial, shown at its end under this name. */
static __always_inline void rf_count_add(const char* name, __u64 more) {
  struct rf_count_key key;
  __builtin_memset(&key, 0, sizeof key);
  key.trial = rf_trial();
  if (!key.trial) return;
  bpf_probe_read_kernel_str(key.name, sizeof key.name, name);
  __u64* count = bpf_map_lookup_elem(&rf_counts, &key);
  if (!count) {
    __u64 none = 0;
    bpf_map_update_elem(&rf_counts, &key, &none, BPF_NOEXIST);
    count = bpf_map_lookup_elem(&rf_counts, &key);
  }
  if (count) {
    __sync_fetch_and_add(count, more);
  } else {
    rf_lose(key.trial);
  }
}
static __always_inline void rf_count(const char* name) { rf_count_add(name, 1); }

#endif
