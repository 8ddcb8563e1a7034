#include "harness/confine/process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

std::string cap_list(const CapSet& set) {
  const auto names = set.names();
  if (names.empty()) return "none";
  if (names.size() == static_cast<size_t>(kCapLast) + 1) return "all";
  return fmt::format("{}", fmt::join(names, " "));
}

// The last capability that this kernel has (Linux 3.2). When it does not say, all that we know: a
// drop that fails is an error then, and none that is passed over.
int last_cap() {
  const auto text = read_file("/proc/sys/kernel/cap_last_cap");
  const auto last = text ? parse_int(trim(*text)) : std::nullopt;
  return last ? std::min(*last, kCapLast) : kCapLast;
}

void add_bounding(Assembler& plan, const CapSet& keep) {
  Step step = Assembler::confining(Layer::kCap, "cap.bounding", "bounding set: " + cap_list(keep));
  const int last = last_cap();
  for (int cap = 0; cap <= last; ++cap) {
    if (!keep.has(cap)) {
      step.ops.push_back(make_op(SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0));
    }
  }
  step.confines = !step.ops.empty();
  plan.add(std::move(step));
}

void add_ambient(Assembler& plan, const CapSet& raise) {
  Step step = Assembler::confining(Layer::kCap, "cap.ambient", "ambient set: " + cap_list(raise));
  step.ops.push_back(make_op(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  for (int cap = 0; cap <= kCapLast; ++cap) {
    if (!raise.has(cap)) continue;
    // EPERM: the spawner does not have it; the target then has less than the policy gives.
    step.ops.push_back(tolerating(
        make_op(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), EPERM, EINVAL));
  }
  plan.add(std::move(step));
}

void add_capset(Assembler& plan, CapsetPart part, std::string_view name, const CapSet& set,
                std::string exempt) {
  Step step = Assembler::confining(Layer::kCap, fmt::format("cap.{}", name),
                                   fmt::format("{} set: {}", name, cap_list(set)));
  step.exempt = std::move(exempt);
  step.ops.push_back(make_op(kCallCapset, part, set.mask()));
  plan.add(std::move(step));
}

// Before the ids: afterwards CAP_SETPCAP may be gone. `keep`: what a change of ids is to keep.
void add_securebits(Assembler& plan, const Policy& policy, bool keep) {
  if (!policy.securebits) return;
  std::string words;
  for (const Securebit& known : securebits()) {
    if ((*policy.securebits & known.bit) != 0) words.append(" ").append(known.name);
  }
  Step step = Assembler::confining(Layer::kCap, "cap.securebits",
                                   "securebits:" + (words.empty() ? " none" : words));
  step.confines = *policy.securebits != 0;
  step.ops.push_back(make_op(SYS_prctl, PR_SET_SECUREBITS,
                             *policy.securebits | (keep ? SECBIT_KEEP_CAPS : 0), 0, 0, 0));
  plan.add(std::move(step));
}

void add_ids(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces) {
  const User& user = policy.user;
  const bool kept = namespaces.keeps_groups && user.additional_gids.empty();
  if (namespaces.deny_setgroups || kept) {
    if (sys::call(SYS_getgroups, 0, 0) > 0) {
      plan.note(
          "the caller's supplementary groups stay in force: without CAP_SETGID nobody can "
          "leave them, user_namespaces(7)");
    }
  } else {
    Step groups = Assembler::confining(
        Layer::kDac, "dac.groups",
        user.additional_gids.empty()
            ? std::string("no supplementary groups")
            : fmt::format("supplementary groups {}", fmt::join(user.additional_gids, " ")));
    const std::string list(reinterpret_cast<const char*>(user.additional_gids.data()),
                           user.additional_gids.size() * sizeof(uint32_t));
    groups.ops.push_back(make_op(SYS_setgroups, user.additional_gids.size(), plan.text(list)));
    plan.add(std::move(groups));
  }
  Step gid = Assembler::confining(Layer::kDac, "dac.gid", fmt::format("gid {}", user.gid));
  gid.confines = user.gid != 0;
  gid.ops.push_back(make_op(SYS_setresgid, user.gid, user.gid, user.gid));
  plan.add(std::move(gid));
  Step uid = Assembler::confining(Layer::kDac, "dac.uid", fmt::format("uid {}", user.uid));
  uid.confines = user.uid != 0;
  uid.ops.push_back(make_op(SYS_setresuid, user.uid, user.uid, user.uid));
  plan.add(std::move(uid));
}

}  // namespace

void add_rlimits(Assembler& plan, const Policy& policy) {
  for (const Rlimit& limit : policy.rlimits) {
    const Layer layer = Layer::rlimit(rlimit_name(limit.resource));
    const rlimit64 value{limit.soft, limit.hard};
    Step step = Assembler::confining(
        layer, layer.str(), fmt::format("{} = {}:{}", layer.name(), limit.soft, limit.hard));
    step.ops.push_back(make_op(SYS_prlimit64, 0, limit.resource, plan.object(value), 0));
    plan.add(std::move(step));
  }
}

void add_session(Assembler& plan, const Policy& policy, bool terminal) {
  if (policy.new_session || terminal) {
    Step step = Assembler::confining(Layer::kSession, "session", "new session");
    step.ops.push_back(make_op(SYS_setsid));
    plan.add(std::move(step));
  }
  if (policy.session_keyring) {
    Step step = Assembler::confining(Layer::kKeyring, "session_keyring", "new session keyring");
    step.ops.push_back(make_op(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0));
    plan.add(std::move(step));
  }
  if (policy.user.umask) {
    Step step =
        Assembler::setup({}, "process.umask", fmt::format("umask {:04o}", *policy.user.umask));
    step.ops.push_back(make_op(SYS_umask, *policy.user.umask));
    plan.add(std::move(step));
  }
}

void add_descriptors(Assembler& plan, const Policy& policy) {
  if (policy.close_descriptors) {
    Step step = Assembler::confining(Layer::kFd, "fd", "close all descriptors at exec");
    step.ops.push_back(with_fallback(step, make_op(SYS_close_range, 0, ~0U, CLOSE_RANGE_CLOEXEC),
                                     make_op(kCallCloexecEach)));
    plan.add(std::move(step));
  }
  Step given = Assembler::setup(Layer::kFd, "fd.given", "pass the given descriptors");
  given.ops.push_back(make_op(kCallGiveFds));
  plan.add(std::move(given));
}

void add_working_directory_change(Assembler& plan, const Policy& policy, bool own_root) {
  if (policy.cwd.empty()) return;
  Step step = Assembler::setup({}, "process.cwd", "change to " + policy.cwd);
  Op change = make_op(SYS_chdir, plan.text(policy.cwd));
  // A directory of the root that the policy has and the target did not get.
  if (!own_root) change = tolerating(change, ENOENT);
  step.ops.push_back(change);
  plan.add(std::move(step));
}

void add_credentials(Assembler& plan, const Policy& policy, const CredentialPlan& how) {
  const Capabilities& caps = policy.capabilities;
  if (caps.bounding) add_bounding(plan, *caps.bounding);
  const bool keeps_caps =
      policy.set_user && policy.user.uid != 0 && (caps.permitted || caps.effective || caps.ambient);
  if (keeps_caps) {
    Step step =
        Assembler::setup(Layer::kCap, "cap.keep", "keep capabilities over the change of ids");
    step.ops.push_back(make_op(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
    plan.add(std::move(step));
  }
  add_securebits(plan, policy, keeps_caps);
  if (policy.set_user) add_ids(plan, policy, *how.namespaces);
  if (keeps_caps) {
    Step step = Assembler::setup(Layer::kCap, "cap.keep:end", "as it was");
    // EPERM: locked by the policy; exec clears the bit.
    step.ops.push_back(tolerating(make_op(SYS_prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0), EPERM));
    plan.add(std::move(step));
  }
  if (caps.inheritable) add_capset(plan, kCapsetInheritable, "inheritable", *caps.inheritable, {});
  if (caps.permitted) {
    add_capset(plan, kCapsetPermitted, "permitted", *caps.permitted,
               how.no_new_privs
                   ? ""
                   : "exec computes it anew from the other sets, capabilities(7); only "
                     "no_new_privs would keep it");
  }
  if (caps.effective) {
    add_capset(plan, kCapsetEffective, "effective", *caps.effective,
               "exec computes it anew from the permitted set, capabilities(7)");
  }
  if (caps.ambient) add_ambient(plan, *caps.ambient);
}

}  // namespace ringfence
