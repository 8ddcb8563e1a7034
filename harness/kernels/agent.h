#pragma once
// The agent: the ringfence program itself as the first process of a machine that it was packed into
// (initramfs.h). It sets the machine up as a plain host, takes one job from the harness, runs it,
// and hands back what it says. It never returns.
//
// Set up: the usual file systems (proc, sysfs, devtmpfs, devpts, tmpfs, cgroup2 with all
// controllers handed down, bpf, tracefs, securityfs), a root that pivot_root(2) accepts, loopback,
// the modules for /dev/kvm, and modprobe(8) for those that the kernel asks for.
//
// Talks over the second serial port (/dev/ttyS1), which needs no module. A thread per CPU counts up
// under SCHED_FIFO; the counters go out four times a second, so that a CPU that spins with
// interrupts off shows while the others still run.
namespace ringfence {

// Whether this process was started as one of the two by the kernel of such a machine.
bool is_agent(const char* argv0);
bool is_modprobe(const char* argv0);

[[noreturn]] void agent_main();
// `modprobe -q -- NAME`: loads the module of that name or alias with what it depends on.
int modprobe_main(int argc, char** argv);

// In the initramfs.
inline constexpr const char* kModuleList = "/etc/ringfence/modules.json";
inline constexpr const char* kChannelDevice = "/dev/ttyS1";

}  // namespace ringfence
