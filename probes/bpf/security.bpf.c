/* What security modules said to a watched task, and in which hook: the richer variant, where the
 * kernel lets one trace its functions. It only looks: a program of type lsm here always says 0.
 *
 * An object of its own, loaded after witness.bpf.c and one family of programs at a time
 * (harness/witness/security_hooks.h), so that where these are refused the witness costs nothing
 * more. A program is called HOOK__FAMILY.
 *
 *   fexit, kretprobe                    of security_FUNCTION(): what all modules together said
 *   landlock_fexit, landlock_kretprobe  of Landlock's own answer
 *   bpf_fexit                           of bpf_lsm_HOOK(): whether programs of type lsm were asked,
 *                                       and what they said together. It runs also when one of them
 *                                       said no, unlike
 *   bpf_lsm                             one of them, which learns only that it was asked: the value
 *                                       that such a program gets is that of the one before it, and
 *                                       after an error none is run (Documentation/bpf/prog_lsm.rst,
 *                                       invoke_bpf_mod_ret(), arch/x86/net/bpf_jit_comp.c)
 *
 * Sources: security/security.c, kernel/bpf/{bpf_lsm,trampoline}.c; bpf_get_func_ret() is there from
 * Linux 5.17.
 */
#include "probes/bpf/task_state.h"

char _license[] SEC("license") = "GPL";

/* Set by the harness, in the object whose fexit or kretprobe is of security_FUNCTION(): a bit for
 * each hook in which it is seen whether the module bpf was asked; whether by bpf_fexit; whether no
 * module comes after bpf. */
volatile __u32 bpf_hooks = 0;
volatile bool bpf_exact = false;
volatile bool bpf_last = false;
/* Any of the programs of the module bpf was run. */
volatile __u32 bpf_ran = 0;

static __always_inline struct task_state* calling(void) {
  struct task_state* state = state_of_self(bpf_get_current_task_btf());
  return state && state->nr >= 0 ? state : 0;
}

static __always_inline __u8 who(const struct lsm_state* lsm, __u8 hook, int ret) {
  if (lsm->landlock == hook) return RF_LSM_LANDLOCK;
  const bool tail = RF_HOOK_TAIL(hook, ret);
  if (!(bpf_hooks >> hook & 1)) return tail ? RF_LSM_UNSURE : RF_LSM_MODULE;
  /* Without bpf_fexit it may be a program that was attached after ours: those are run first. */
  if (lsm->asked != hook) return bpf_exact ? RF_LSM_BEFORE_BPF : RF_LSM_MODULE;
  if (lsm->bpf == hook) return RF_LSM_BPF;
  if (tail) return RF_LSM_UNSURE;
  /* Ours let it pass: one that comes after it, or a module that comes after bpf. */
  return !bpf_exact && bpf_last ? RF_LSM_BPF : RF_LSM_MODULE;
}

static __always_inline int on_answer(__u8 hook, int ret) {
  if (ret >= 0) return 0;
  struct task_state* state = calling();
  if (!state) return 0;
  state->lsm.by = who(&state->lsm, hook, ret);
  state->lsm.ret = ret;
  state->lsm.hook = hook;
  return 0;
}

static __always_inline int on_landlock(__u8 hook, int ret) {
  if (ret >= 0) return 0;
  struct task_state* state = calling();
  if (state) state->lsm.landlock = hook;
  return 0;
}

static __always_inline int on_bpf(__u8 hook, int ret) {
  bpf_ran = 1;
  struct task_state* state = calling();
  if (!state) return 0;
  state->lsm.asked = hook;
  if (ret < 0) state->lsm.bpf = hook;
  return 0;
}

static __always_inline int returned(void* ctx) {
  __u64 value = 0;
  bpf_get_func_ret(ctx, &value);
  return (int)value;
}

#define RF_X(hook, function)                                                                       \
  SEC("fexit/security_" #function)                                                                 \
  int hook##__fexit(void* ctx) { return on_answer(RF_HOOK_##hook, returned(ctx)); }                \
  SEC("kretprobe/security_" #function)                                                             \
  int hook##__kretprobe(struct pt_regs* regs) { return on_answer(RF_HOOK_##hook, (int)regs->ax); } \
  SEC("fexit/bpf_lsm_" #hook)                                                                      \
  int hook##__bpf_fexit(void* ctx) { return on_bpf(RF_HOOK_##hook, returned(ctx)); }               \
  SEC("lsm/" #hook)                                                                                \
  int hook##__bpf_lsm(void* ctx) {                                                                 \
    on_bpf(RF_HOOK_##hook, 0);                                                                     \
    return 0;                                                                                      \
  }
RF_SECURITY_HOOKS(RF_X)
#undef RF_X

#define RF_X(hook)                                                                             \
  SEC("fexit/hook_" #hook)                                                                     \
  int hook##__landlock_fexit(void* ctx) { return on_landlock(RF_HOOK_##hook, returned(ctx)); } \
  SEC("kretprobe/hook_" #hook)                                                                 \
  int hook##__landlock_kretprobe(struct pt_regs* regs) {                                       \
    return on_landlock(RF_HOOK_##hook, (int)regs->ax);                                         \
  }
RF_LANDLOCK_HOOKS(RF_X)
#undef RF_X
