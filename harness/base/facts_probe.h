#pragma once
// Inside of facts: the probes, and the child that a probe with effects runs in. Not for others.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/facts.h"

namespace ringfence::facts_detail {

struct Answer {
  bool available = false;
  std::string detail;
  int err = 0;              // the errno of the trial, when one said no
  std::string reason = {};  // only where the table's own does not fit
};
inline Answer yes(std::string detail = {}) { return {true, std::move(detail), 0}; }
Answer no(int err, std::string_view what);  // "unshare: EPERM"

using Probe = Answer (*)(const Facts& facts);

struct Entry {
  std::string_view name;
  std::string_view group;
  Probe probe;
  // "host-lacks" or "needs"; a refusal with EPERM or EACCES becomes needs:root for who is not root.
  std::string_view lacks;
  std::string_view hint;
  bool info = false;
};
// Every fixed name, in doctor's order.
const std::vector<Entry>& table();

// Runs `trial` in a forked child of its own and gives what it returned (0, or an errno below 256).
// The child is cloned by the raw syscall, so `trial` may only make syscalls: no allocation, no
// lock. `may_crash`: the child leaves no core and takes faults as its end.
struct ChildEnd {
  int err = 0;     // what `trial` returned, or why there was no child
  int signal = 0;  // that ended it, or 0
};
ChildEnd in_child(int (*trial)(const void*), const void* argument = nullptr,
                  bool may_crash = false);
Answer from_child(const ChildEnd& end, std::string_view what, std::string detail = {});

// The text of this process's identity as uid_map and gid_map want it: "0 1000 1".
struct SelfMap {
  char uid[32];
  char gid[32];
};
SelfMap self_map();
// In a child: new namespaces, in a new user namespace (mapped to root) if the kernel wants one.
// Returns 0 or an errno.
int enter(uint64_t flags, const SelfMap& map);

// facts_kernel.cc: trials of the kernel's features.
Answer probe_userns(const Facts&);
template <uint64_t kFlag>
Answer probe_namespace(const Facts&);
Answer unshare_trial(uint64_t flag);
template <uint64_t kFlag>
Answer probe_namespace(const Facts&) {
  return unshare_trial(kFlag);
}
Answer probe_clone3(const Facts&);
Answer probe_pidfd(const Facts&);
Answer probe_openat2(const Facts&);
Answer probe_mount_setattr(const Facts&);
Answer probe_close_range(const Facts&);
Answer probe_seccomp(const Facts&);
Answer probe_seccomp_notify(const Facts&);
Answer probe_bpf(const Facts&);
Answer probe_btf(const Facts&);
Answer probe_landlock(const Facts&);
Answer probe_io_uring(const Facts&);
Answer probe_perf(const Facts&);
Answer probe_vsock(const Facts&);
Answer probe_userfaultfd(const Facts&);
Answer probe_keys(const Facts&);
Answer probe_i386(const Facts&);
Answer probe_x32(const Facts&);
Answer probe_vsyscall(const Facts&);
Answer probe_tiocsti(const Facts&);
Answer probe_overlay(const Facts&);
Answer probe_mqueue(const Facts&);
Answer probe_idmap_tmpfs(const Facts&);
Answer probe_sysvipc(const Facts&);

// facts_net.cc: what a network namespace of one's own can hold.
Answer probe_veth(const Facts&);
Answer probe_bridge(const Facts&);
Answer probe_tc_bpf(const Facts&);
Answer probe_nf_tables(const Facts&);

// facts_cgroup.cc
Answer probe_cgroup2(const Facts&);
Answer probe_cgroup_pids(const Facts&);
Answer probe_cgroup_memory(const Facts&);
Answer probe_cgroup_cpu(const Facts&);
Answer probe_cgroup_cpuset(const Facts&);
Answer probe_cgroup_io(const Facts&);
Answer probe_cgroup_hugetlb(const Facts&);
Answer probe_cgroup_freezer(const Facts&);
Answer probe_cgroup_devices(const Facts&);
// A group of ours can have one of these files: "memory.high", or "a|b" for either.
Answer has_cgroup_file(std::string_view names, bool& known);

// facts_host.cc: the machine, its privileges and its virtualization.
Answer probe_root(const Facts&);
Answer probe_capabilities(const Facts&);
Answer probe_subuid(const Facts&);
Answer probe_yama(const Facts&);
Answer probe_lsms(const Facts&);
Answer probe_kernel(const Facts&);
Answer probe_kernel_config(const Facts&);
Answer probe_cpu(const Facts&);
Answer probe_cpus(const Facts&);
Answer probe_memory(const Facts&);
Answer probe_open_files(const Facts&);
Answer probe_memlock(const Facts&);
Answer probe_hypervisor(const Facts&);
Answer probe_hw_virt(const Facts&);
Answer probe_kvm(const Facts&);
Answer has_capability(std::string_view name, bool& known);
Answer has_lsm(std::string_view name);
Answer has_config(std::string_view name);
Answer has_landlock(std::string_view version, bool& known);
Answer kernel_at_least(std::string_view version, bool& known);

// A line "key:\tvalue" of a /proc file's text; empty when missing.
std::string_view field(std::string_view text, std::string_view key);
// The hypervisor behind a CPUID 0x40000000 signature, and its kind, in words.
std::string hypervisor_words(std::string_view signature);
// True if release ("6.18.4-fc") is at least version ("6.14"), by numbers.
bool release_at_least(std::string_view release, std::string_view version);
// The active modules of lsm_list_modules(2), or of securityfs; empty when neither answers.
std::vector<std::string> active_lsms();
// "y", "m", a value, or empty; from /proc/config.gz or /boot/config-RELEASE.
std::string config_value(std::string_view text, std::string_view name);

}  // namespace ringfence::facts_detail
