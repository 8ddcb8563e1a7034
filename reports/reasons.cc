#include "reports/reasons.h"

namespace ringfence {

const std::vector<Reason>& reasons() {
  static const std::vector<Reason> table = {
      {"goal_seen",
       "The attempt got through: its goal was reached, as seen from outside the target.",
       "See the confined trial: the line that decided names what was seen."},
      {"deviates",
       "The machine that the guest saw is not as its data sheet or manual says: an expectation of "
       "this clause failed.",
       "The detail has the guest's source line, and what was expected and seen; explain shows the "
       "accesses before it."},
      {"not_separate",
       "A task of the target is in a namespace of the host although the policy makes a new one, or "
       "holds a capability that the policy grants to nobody, by the kernel's own list of tasks. "
       "`breached` where the case is about that layer, and under a given policy; else `unproven`.",
       "The detail names the task and the namespace or capability; the timeline shows how it came "
       "there."},
      {"control_failed",
       "The control trial did not succeed: the attempt also fails where the layer under test is "
       "missing. So its failure under the policy proves nothing about the layer.",
       "See the control trial: something else on this host stops the attempt."},
      {"liveness_failed",
       "The benign operation of the same kind failed under the policy too. A policy that refuses "
       "everything stops the attempt as well, which is no proof that the layer works.",
       "See the liveness trial; the policy may be too strict to run anything."},
      {"no_attempt",
       "The inmate could not try, or ended before it said anything: an attempt that was not made "
       "shows nothing.",
       "See the wait status and the last lines of the confined trial."},
      {"no_witness",
       "Nothing outside the target saw what happened. Only the inmate says so, and the inmate may "
       "lie.",
       "Run where more can be seen from outside (`ringfence doctor` names what is missing)."},
      {"evidence_lost",
       "A witness lost events or messages, and what would decide the verdict may be among them.",
       "Run the case alone, or with fewer jobs; the detail says what was lost."},
      {"other_layer",
       "The attempt was denied, but by another layer than the one under test. The expected layer "
       "was never asked.",
       "The detail names the layer, and how the kernel's record shows it; the case's policy may "
       "hold more than it needs."},
      {"unattributed", "The attempt was denied, and nothing that the harness can see says by what.",
       "See the wait status and the syscall's errno in the confined trial."},
      {"inmate_contradicts", "What the inmate says and what was seen from outside do not agree.",
       "The outside view counts. An inmate that lies points at a compromised or broken target."},
      {"witnesses_disagree",
       "The kernel's own list of tasks and /proc say different things of the same process.",
       "The detail has both. Something hides or forges /proc; run with --no-ebpf to see what rests "
       "on it alone."},
      {"timeout", "A trial did not end in the time it was given, and was killed.",
       "Give more time by --timeout, or run with fewer jobs."},
      {"decoy_failed",
       "The decoy host, which holds the canaries, could not be made or did not answer. Nothing was "
       "judged.",
       "The detail names the step and its errno; `ringfence doctor` shows what this host lacks."},
      {"spawn_failed",
       "The target could not be started under the policy: a step of the plan failed before the "
       "inmate ran; or the run on the running kernel could not be started. Nothing was judged.",
       "The detail names the step and its errno; `ringfence plan FILE` prints all steps."},
      {"cgroup_failed",
       "The target's control group could not be made or its limits not written. Nothing was "
       "judged.",
       "The detail names the file and its errno; `ringfence doctor` shows which controllers work."},
      {"witness_failed",
       "The harness could not look where the evidence would be. What was not seen proves nothing.",
       "The detail names what could not be read and its errno."},
      {"not_asked_for",
       "The eBPF witness was left out by --no-ebpf. It is no reason of a verdict: it stands in the "
       "witnesses of each record, and in the header and the summary of the run.",
       "Run without --no-ebpf for evidence from the kernel itself."},
      {"compile_failed",
       "The policy could not be turned into steps, or the case's own could not. Nothing was "
       "judged.",
       "The detail says why; `ringfence plan FILE` compiles a policy by itself."},
      {"worker_failed",
       "The process that runs the case ended without a result. Nothing was judged.",
       "The detail says how it ended. Please report it: this is a defect of the harness."},
      {"run_failed",
       "The run that was to judge this case, alone or inside a machine, could not begin or ended "
       "without a record of it. Nothing was judged.",
       "The detail says why: a policy that cannot be carried out, or what the run itself needs."},
      {"kernel_panic",
       "The kernel of the machine panicked or oopsed while this case ran, and again when it ran "
       "alone in a fresh machine, or it was the only one that could have done it.",
       "The finding has the kernel's last words; --console DIR keeps all of its console."},
      {"kernel_hang",
       "A CPU of the machine, or the whole machine, ran nothing any more while this case ran, or "
       "the machine ran and no result came.",
       "The finding has the kernel's last words; a slow host needs a longer --hang-after."},
      {"boot_failed",
       "The machine never came as far as its agent: the image is damaged, the kernel panicked "
       "while "
       "it booted, or it did not come up in time. Nothing was judged.",
       "See the finding's last words; give more --boot-timeout or --memory; --console DIR keeps "
       "the "
       "console."},
      {"channel_lost",
       "What came out of the machine did not arrive whole, or the machine ended without a panic "
       "before its job did.",
       "The detail says what was lost; the finding has the console's last lines."},
      {"vmm_failed", "The virtual machine monitor did not start a machine. Nothing was judged.",
       "The detail has its own complaint; --vmm chooses another, --memory and --cpus ask for "
       "less."},
      {"unsupported:", "The policy asks for something that this host or this version cannot do.",
       "The detail names it; `ringfence policy check FILE` says what else is not carried out."},
      {"needs:", "A facility that the case needs is not there.",
       "`ringfence doctor` says what provides it; --require makes its absence an error."},
      {"host-lacks:", "This host cannot do a step of the case, whatever the policy says.",
       "Run on a host that can; list it in --expect-skips for this kind of host."},
      {"emulator-lacks:", "The virtual CPU of this host does not implement what the guest uses.",
       "Run on hardware virtualization (VMX or SVM), or in an SVM VM."},
      {"unenforced:",
       "The case depends on a part of the policy that was read and that ringfence does not "
       "enforce, yet or on this host (the argument is its JSON pointer).",
       "Take the part out of the policy, or test it with another target."},
      {"not-judged:",
       "The case has no consequence outside a target, so nothing of it is judged under a given "
       "policy.",
       "Judge it in case mode, or give it a goal outside."},
      {"kernel<", "The kernel is older than the case needs.", "Run under a newer kernel."},
      {"interrupted", "The run was ended before this case was judged.", "Run it again."},
  };
  return table;
}

const Reason* reason_for(std::string_view reason) {
  for (const Reason& entry : reasons()) {
    const bool prefix = entry.word.ends_with(':') || entry.word.ends_with('<');
    if (prefix ? reason.starts_with(entry.word) : reason == entry.word) return &entry;
  }
  return nullptr;
}

std::string_view reason_argument(std::string_view reason) {
  const Reason* entry = reason_for(reason);
  return entry == nullptr ? std::string_view{} : reason.substr(entry->word.size());
}

}  // namespace ringfence
