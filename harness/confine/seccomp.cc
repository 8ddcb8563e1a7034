#include "harness/confine/seccomp.h"

#include <fmt/format.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "harness/base/sys.h"
#include "harness/confine/bpf_evaluate.h"
#include "harness/policy/read.h"

namespace ringfence {
namespace {

// linux/seccomp.h has it from Linux 5.19 on.
constexpr uint64_t kWaitKillable = 1UL << 5;

struct ReleaseFilter {
  void operator()(void* filter) const { seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, ReleaseFilter>;

uint32_t library_action(SeccompAction action, std::optional<uint32_t> data) {
  const uint32_t value = data.value_or(EPERM);
  switch (action) {
    case SeccompAction::allow:
      return SCMP_ACT_ALLOW;
    case SeccompAction::errno_:
      return SCMP_ACT_ERRNO(value);
    case SeccompAction::kill_thread:
      return SCMP_ACT_KILL_THREAD;
    case SeccompAction::kill_process:
      return SCMP_ACT_KILL_PROCESS;
    case SeccompAction::trap:
      return SCMP_ACT_TRAP;
    case SeccompAction::trace:
      return SCMP_ACT_TRACE(value);
    case SeccompAction::log:
      return SCMP_ACT_LOG;
    case SeccompAction::notify:
      return SCMP_ACT_NOTIFY;
  }
  return SCMP_ACT_KILL_PROCESS;
}

scmp_compare library_op(SeccompOp op) {
  constexpr std::array kOps = {SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE,       SCMP_CMP_EQ,
                               SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ};
  return kOps.at(static_cast<size_t>(op));
}

// libseccomp first: it also knows the pseudo numbers of calls that only other architectures have.
// Our own table adds newer ones, whose numbers are those of the native architecture.
int resolve(const std::string& name, bool foreign) {
  const int nr = seccomp_syscall_resolve_name(name.c_str());
  if (nr != __NR_SCMP_ERROR || foreign) return nr;
  const int newer = syscall_number(name);
  return newer >= 0 ? newer : __NR_SCMP_ERROR;
}

Status add_rule(scmp_filter_ctx filter, const SeccompRule& rule, uint32_t action,
                const std::string& name, int nr) {
  std::vector<scmp_arg_cmp> conditions;
  std::array<int, 6> used{};
  bool repeated = false;
  for (const SeccompArg& arg : rule.args) {
    if (arg.index >= used.size()) {
      return usage_error("compile seccomp", name, "an argument's index is 0 to 5");
    }
    repeated = used.at(arg.index)++ > 0 || repeated;
    conditions.push_back({arg.index, library_op(arg.op), arg.value, arg.value_two});
  }
  int r = 0;
  if (!repeated) {
    r = seccomp_rule_add_array(filter, action, nr, static_cast<unsigned>(conditions.size()),
                               conditions.data());
  } else {
    // libseccomp takes one condition for an argument; runc makes a rule of each then.
    for (const scmp_arg_cmp& condition : conditions) {
      r = seccomp_rule_add_array(filter, action, nr, 1, &condition);
      if (r < 0 && r != -EEXIST) break;
    }
  }
  // EEXIST: an earlier rule says the same or more. EDOM: none of the architectures has the call.
  if (r < 0 && r != -EEXIST && r != -EDOM) return system_error("add seccomp rule", name, -r);
  return {};
}

Result<std::vector<uint64_t>> export_program(scmp_filter_ctx filter) {
  const int64_t fd = sys::call(SYS_memfd_create, sys::arg("seccomp-bpf"), MFD_CLOEXEC);
  if (fd < 0) return system_error("memfd_create", "seccomp program", static_cast<int>(-fd));
  const UniqueFd file(static_cast<int>(fd));
  if (const int r = seccomp_export_bpf(filter, file.get()); r < 0) {
    return system_error("compile seccomp", "seccomp_export_bpf", -r);
  }
  const int64_t size = sys::call(SYS_lseek, file.get(), 0, SEEK_END);
  if (size < 0) return system_error("lseek", "seccomp program", static_cast<int>(-size));
  if (const int64_t r = sys::call(SYS_lseek, file.get(), 0, SEEK_SET); r < 0) {
    return system_error("lseek", "seccomp program", static_cast<int>(-r));
  }
  std::vector<uint64_t> program(static_cast<size_t>(size) / sizeof(uint64_t));
  auto n = sys::read_full(file.get(), program.data(), static_cast<size_t>(size));
  if (!n) return tl::unexpected(n.error());
  if (*n != static_cast<size_t>(size)) return system_error("read", "seccomp program", EIO);
  return program;
}

// The tokens of the architectures other than the native one, which every filter has.
Result<std::vector<uint32_t>> foreign_architectures(const Seccomp& seccomp) {
  std::vector<uint32_t> tokens;
  for (const auto& name : seccomp.architectures) {
    std::string token = name.starts_with("SCMP_ARCH_") ? name.substr(10) : name;
    for (char& c : token) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const uint32_t arch = seccomp_arch_resolve_name(token.c_str());
    if (arch == 0) return usage_error("compile seccomp", name, "an architecture of libseccomp");
    const bool known = std::find(tokens.begin(), tokens.end(), arch) != tokens.end();
    if (arch != seccomp_arch_native() && !known) tokens.push_back(arch);
  }
  return tokens;
}

Result<Filter> new_filter(uint32_t action) {
  Filter filter(seccomp_init(action));
  if (!filter) return system_error("seccomp_init", "/linux/seccomp/defaultAction", EINVAL);
  if (const int r = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0); r < 0) {
    return system_error("seccomp_attr_set", "SCMP_FLTATR_CTL_NNP", -r);
  }
  return filter;
}

Result<size_t> add_rules(scmp_filter_ctx filter, const Seccomp& seccomp, uint32_t fallback,
                         bool foreign) {
  size_t count = 0;
  for (const SeccompRule& rule : seccomp.rules) {
    const uint32_t action = library_action(rule.action, rule.errno_ret);
    if (action == fallback) continue;  // says nothing new, and libseccomp refuses it
    for (const auto& name : rule.names) {
      const int nr = resolve(name, foreign);
      if (nr == __NR_SCMP_ERROR) continue;
      if (auto added = add_rule(filter, rule, action, name, nr); !added) {
        return tl::unexpected(added.error());
      }
      ++count;
    }
  }
  return count;
}

// The rules for the other architectures, merged into `filter`. A filter of their own first:
// libseccomp translates numbers by name, and fails (EFAULT) for those that it does not know.
Status add_foreign(Filter& filter, const Seccomp& seccomp, uint32_t fallback) {
  auto tokens = foreign_architectures(seccomp);
  if (!tokens) return tl::unexpected(tokens.error());
  if (tokens->empty()) return {};
  auto foreign = new_filter(fallback);
  if (!foreign) return tl::unexpected(foreign.error());
  for (const uint32_t token : *tokens) {
    if (const int r = seccomp_arch_add(foreign->get(), token); r < 0) {
      return system_error("add seccomp architecture", std::to_string(token), -r);
    }
  }
  if (const int r = seccomp_arch_remove(foreign->get(), SCMP_ARCH_NATIVE); r < 0) {
    return system_error("remove seccomp architecture", "native", -r);
  }
  if (auto added = add_rules(foreign->get(), seccomp, fallback, true); !added) {
    return tl::unexpected(added.error());
  }
  if (const int r = seccomp_merge(filter.get(), foreign->get()); r < 0) {
    return system_error("seccomp_merge", "/linux/seccomp/architectures", -r);
  }
  (void)foreign->release();  // seccomp_merge(3) has taken it
  return {};
}

Result<std::vector<uint64_t>> compile_now(const Seccomp& seccomp) {
  if (seccomp.default_action == SeccompAction::notify) {
    return usage_error("compile seccomp", "/linux/seccomp/defaultAction",
                       "SCMP_ACT_NOTIFY is for single calls");
  }
  const uint32_t fallback = library_action(seccomp.default_action, seccomp.default_errno);
  auto filter = new_filter(fallback);
  if (!filter) return tl::unexpected(filter.error());
  auto calls = add_rules(filter->get(), seccomp, fallback, false);
  if (!calls) return tl::unexpected(calls.error());
  if (auto added = add_foreign(*filter, seccomp, fallback); !added) {
    return tl::unexpected(added.error());
  }
  // A binary tree instead of a list; libseccomp up to 2.5.4 miscompiles one of no rules.
  if (*calls > 50) {
    if (const int r = seccomp_attr_set(filter->get(), SCMP_FLTATR_CTL_OPTIMIZE, 2); r < 0) {
      return system_error("seccomp_attr_set", "SCMP_FLTATR_CTL_OPTIMIZE", -r);
    }
  }
  auto program = export_program(filter->get());
  // The length in a sock_fprog has 16 bits, so a longer one could even be cut off at a good place.
  if (program && program->size() > BPF_MAXINSNS) {
    return usage_error("compile seccomp", "/linux/seccomp/syscalls",
                       fmt::format("a filter of {} instructions; the kernel takes at most {}",
                                   program->size(), BPF_MAXINSNS));
  }
  return program;
}

// All that a program is made of, so that two are the same exactly when their keys are: shorter
// digests would have to be trusted.
std::string key_of(const Seccomp& seccomp) {
  std::string key = fmt::format(
      "{} {}\n", static_cast<int>(seccomp.default_action),
      seccomp.default_errno ? static_cast<int64_t>(*seccomp.default_errno) : int64_t{-1});
  for (const auto& name : seccomp.architectures) key += name + "\n";
  for (const SeccompRule& rule : seccomp.rules) {
    key += fmt::format("\n{} {}", static_cast<int>(rule.action),
                       rule.errno_ret ? static_cast<int64_t>(*rule.errno_ret) : int64_t{-1});
    for (const SeccompArg& arg : rule.args) {
      key += fmt::format(" [{} {} {} {}]", arg.index, static_cast<int>(arg.op), arg.value,
                         arg.value_two);
    }
    for (const auto& name : rule.names) key += " " + name;
  }
  return key;
}

// A long profile takes the library some ten milliseconds. Workers that are forked later have what
// was compiled before.
class Compiled {
 public:
  std::optional<std::vector<uint64_t>> find(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    const auto it = programs_.find(key);
    return it == programs_.end() ? std::nullopt : std::optional(it->second);
  }
  void keep(std::string key, const std::vector<uint64_t>& program) {
    constexpr size_t kMost = 64;
    const std::scoped_lock lock(mutex_);
    if (programs_.size() >= kMost) programs_.clear();
    programs_.insert_or_assign(std::move(key), program);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<uint64_t>> programs_;
};

Compiled& compiled() {
  static Compiled programs;
  return programs;
}

}  // namespace

Result<std::vector<uint64_t>> compile_seccomp(const Seccomp& seccomp, bool* known) {
  std::string key = key_of(seccomp);
  auto kept = compiled().find(key);
  if (known != nullptr) *known = kept.has_value();
  if (kept) return std::move(*kept);
  auto program = compile_now(seccomp);
  if (program) compiled().keep(std::move(key), *program);
  return program;
}

Result<uint64_t> seccomp_flags(const Seccomp& seccomp) {
  struct Flag {
    std::string_view name;
    uint64_t bit;
  };
  constexpr std::array kFlags = {
      Flag{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
      Flag{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
      Flag{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
      Flag{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", kWaitKillable},
  };
  uint64_t flags = seccomp.notified().empty() ? 0 : SECCOMP_FILTER_FLAG_NEW_LISTENER;
  for (const auto& name : seccomp.flags) {
    const auto* it =
        std::find_if(kFlags.begin(), kFlags.end(), [&](const Flag& f) { return f.name == name; });
    if (it == kFlags.end()) {
      return usage_error("compile seccomp", "/linux/seccomp/flags", "unknown flag " + name);
    }
    flags |= it->bit;
  }
  if ((flags & kWaitKillable) != 0 && (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) {
    return usage_error("compile seccomp", "/linux/seccomp/flags",
                       "WAIT_KILLABLE_RECV is for notified calls, and there is none");
  }
  // Both would return a number: which thread was in the way, and the listener.
  constexpr uint64_t kBoth = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  if ((flags & kBoth) == kBoth) flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  return flags;
}

Result<std::optional<Listener>> make_listener(const Policy& policy) {
  if (!policy.seccomp) return std::optional<Listener>();
  const Seccomp& seccomp = *policy.seccomp;
  const auto notified = seccomp.notified();
  if (notified.empty()) return std::optional<Listener>();
  Listener listener;
  listener.path = seccomp.listener_path;
  listener.metadata = seccomp.listener_metadata;
  listener.oci_version = policy.oci_version;
  listener.annotations = policy.annotations;
  const size_t slash = policy.name.rfind('/');
  listener.bundle = slash == std::string::npos ? "." : policy.name.substr(0, slash + 1);
  if (!listener.path.empty()) return std::optional(std::move(listener));

  auto architectures = foreign_architectures(seccomp);
  if (!architectures) return tl::unexpected(architectures.error());
  for (const auto& name : notified) {
    const auto answers = [&](const NotifyAnswer& answer) {
      return std::find(answer.names.begin(), answer.names.end(), name) != answer.names.end();
    };
    const auto it = std::find_if(seccomp.answers.begin(), seccomp.answers.end(), answers);
    if (it == seccomp.answers.end()) {
      return usage_error("compile seccomp", "/linux/seccomp",
                         "SCMP_ACT_NOTIFY for " + name + ", and nobody answers");
    }
    const auto add = [&](uint32_t arch, int nr) {
      if (nr >= 0) listener.answers.push_back({arch, nr, it->how, it->value});
    };
    add(seccomp_arch_native(), resolve(name, false));
    for (const uint32_t arch : *architectures) {
      add(arch, seccomp_syscall_resolve_name_arch(arch, name.c_str()));
    }
  }
  return std::optional(std::move(listener));
}

bool add_seccomp(Assembler& plan, const std::vector<uint64_t>& program, uint64_t flags) {
  Step step =
      Assembler::confining(Layer::kSeccomp, "seccomp",
                           fmt::format("load the filter of {} instructions", program.size()));
  Op load = make_op(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, slot_arg(kSlotFilter));
  if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) {
    step.ops.push_back(load);
    return plan.add(std::move(step));
  }
  // Under the filter the child may not be able to wait by a call.
  const bool may_wait = passes(program, make_op(SYS_futex));
  load.out = kSlotListener;
  step.ops.push_back(make_op(kCallListener, kListenerComes));
  step.ops.push_back(load);
  step.ops.push_back(
      make_op(kCallListener, may_wait ? kListenerWait : kListenerSpin, slot_arg(kSlotListener)));
  // While the child holds it, too, a call would wait for an answer that nobody is left to give.
  if (passes(program, make_op(SYS_close))) {
    step.ops.push_back(make_op(SYS_close, slot_arg(kSlotListener)));
  }
  return plan.add(std::move(step));
}

bool passes(const std::vector<uint64_t>& program, const Op& op) {
  const auto allowed = [&](long nr, const std::array<uint64_t, 6>& args) {
    SeccompInput input;
    input.nr = static_cast<uint32_t>(nr);
    input.args = args;
    const uint32_t action = bpf_evaluate(program, input) & SECCOMP_RET_ACTION_FULL;
    return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
  };
  if (op.nr == kCallCapset) return allowed(SYS_capget, {}) && allowed(SYS_capset, {});
  if (op.nr == kCallParentDeath) return allowed(SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL});
  if (op.nr < 0) return true;
  std::array<uint64_t, 6> args{};
  for (size_t i = 0; i < args.size(); ++i) {
    if (op.args.at(i).kind == Arg::Kind::constant) args.at(i) = op.args.at(i).value;
  }
  return allowed(op.nr, args);
}

std::string call_name(long nr) {
  std::string name = syscall_name(nr);
  return name.empty() ? fmt::format("syscall {}", nr) : name;
}

}  // namespace ringfence
