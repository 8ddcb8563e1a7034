#pragma once
// How the target is scheduled and gets its memory, and the labels that its exec takes on.
//
// Kernel: sched_setattr 3.14 (SCHED_DEADLINE too), ioprio_set 2.6.13, set_mempolicy 2.6.7;
// /proc/PID/attr/apparmor 5.1 (before it attr/exec). Sources: sched_setattr(2), ioprio_set(2),
// personality(2), set_mempolicy(2), sched_setaffinity(2); proc(5) "attr"; LSM "Linux Security
// Module Usage". All of them outlive exec.
#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// Scheduler, I/O priority, memory policy and personality. Before credentials are dropped:
// CAP_SYS_NICE.
void add_scheduling(Assembler& plan, const Policy& policy);

// Policy::exec_cpu_affinity, for a target that enters a running container: makes no namespace and
// joins at least one. For another it is left out, with a note.
// The first is a step of the parent's: its thread has these CPUs while it clones.
inline constexpr const char* kInitialCpus = "process.cpus:initial";
void add_initial_cpus(Assembler& plan, const Policy& policy);
// After the control groups have been joined.
void add_final_cpus(Assembler& plan, const Policy& policy);

// Labels for exec, where the kernel has their security module. While /proc/self is the spawner's.
void add_exec_labels(Assembler& plan, const Policy& policy);

}  // namespace ringfence
