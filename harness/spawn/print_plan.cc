// A plan as text: one line a step, with its calls below where that is wanted.
#include <fmt/format.h>

#include "harness/confine/seccomp.h"
#include "harness/spawn/plan.h"

namespace ringfence {
namespace {

std::string_view where_name(Where where) {
  switch (where) {
    case Where::parent:
      return "parent";
    case Where::clone:
      return "clone";
    case Where::helper:
      return "helper";
    case Where::child:
      return "child";
    case Where::after:
      return "after";
  }
  return "";
}

std::string_view pseudo_name(long nr) {
  switch (nr) {
    case kCallCloexecEach:
      return "fcntl(each, F_SETFD, FD_CLOEXEC)";
    case kCallGiveFds:
      return "dup3(each given)";
    case kCallParentDeath:
      return "prctl(PR_SET_PDEATHSIG, SIGKILL)";
    case kCallMountAt:
      return "mount";
    case kCallOpenInRoot:
      return "open_in_root";
    case kCallWaitMaps:
      return "futex(until the id maps are written)";
    case kCallReborn:
      return "clone3(CLONE_PARENT)";
    case kCallListener:
      return "the listener, to the spawner";
    case kCallCopyTree:
      return "copy_tree";
    case kCallSendFd:
      return "sendmsg";
    case kCallLandlockBeneath:
      return "landlock_add_rule";
    case kCallWaitHooks:
      return "futex(until the spawner's hooks have run)";
    case kCallHook:
      return "clone(), execve in it, wait4";
    default:
      return "capset";
  }
}

// Text in quotes; what is no text as its size.
std::string quoted(const std::string& bytes) {
  for (const char c : bytes) {
    if (c == '\n') continue;
    if (c < ' ' || c > '~') return fmt::format("<{} bytes>", bytes.size());
  }
  std::string text = "\"";
  for (const char c : bytes) text += c == '\n' ? std::string("\\n") : std::string(1, c);
  return text + '"';
}

std::string slot_text(uint64_t slot) {
  if (slot == kSlotExe) return "exe";
  if (slot == kSlotFilter) return "filter";
  if (slot == kSlotListener) return "listener";
  if (slot >= kSlotCgroup0 && slot <= kSlotCgroupLast) {
    return fmt::format("cgroup{}", slot - kSlotCgroup0);
  }
  if (slot == kSlotPidfd) return "pidfd";
  if (slot == kSlotTerminal) return "terminal";
  if (slot == kSlotTerminalTo) return "spawner";
  if (slot >= kSlotMapped0 && slot <= kSlotMappedLast) {
    return fmt::format("mapped{}", slot - kSlotMapped0);
  }
  if (slot >= kSlotNamespace0 && slot <= kSlotNamespaceLast) {
    return fmt::format("ns{}", slot - kSlotNamespace0);
  }
  return fmt::format("#{}", slot - kSlotFree);
}

std::string arg_text(const Plan& plan, const Arg& arg) {
  switch (arg.kind) {
    case Arg::Kind::bytes:
      return quoted(plan.bytes.at(arg.value));
    case Arg::Kind::slot:
      return slot_text(arg.value);
    case Arg::Kind::constant: {
      const auto value = static_cast<int64_t>(arg.value);
      return value < 4096 ? fmt::format("{}", value) : fmt::format("{:#x}", arg.value);
    }
  }
  return {};
}

std::string call_text(const Plan& plan, const Op& op) {
  std::string text;
  if (op.when >= 0) text += fmt::format("if {}: ", slot_text(static_cast<uint64_t>(op.when)));
  if (op.unless >= 0) {
    text += fmt::format("unless {}: ", slot_text(static_cast<uint64_t>(op.unless)));
  }
  if (op.out >= 0) text += fmt::format("{} = ", slot_text(static_cast<uint64_t>(op.out)));
  const bool whole = op.nr < 0 && pseudo_name(op.nr).find('(') != std::string_view::npos;
  if (whole) return text += pseudo_name(op.nr);
  text += op.nr < 0 ? std::string(pseudo_name(op.nr)) : call_name(op.nr);
  size_t count = op.args.size();
  while (count > 0 && op.args.at(count - 1).kind == Arg::Kind::constant &&
         op.args.at(count - 1).value == 0) {
    --count;
  }
  text += '(';
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) text += ", ";
    text += arg_text(plan, op.args.at(i));
  }
  text += ')';
  for (const int16_t err : op.tolerate) {
    if (err != 0) text += " or " + errno_name(err);
  }
  return text;
}

}  // namespace

std::string print_plan(const Plan& plan, bool syscalls) {
  std::string text;
  size_t number = 0;
  for (const Step& step : plan.steps) {
    text += fmt::format("{:>3} {:<6} {:<17} {:<32} {}{}\n", ++number, where_name(step.where),
                        step.layer.empty() ? "-" : step.layer.name(), step.key, step.text,
                        step.confines ? "" : " (set-up)");
    if (!syscalls) continue;
    if (step.where == Where::clone) text += fmt::format("      clone3({:#x})\n", step.clone_flag);
    for (const Step::Setting& setting : step.settings) {
      if (!setting.program.empty()) {
        text += fmt::format("      bpf(BPF_PROG_ATTACH, {} instructions), or on v1:\n",
                            setting.program.size());
        for (const auto& v1 : setting.v1) {
          text += fmt::format("      write({}, \"{}\")\n", v1.file, v1.value);
        }
        continue;
      }
      text += fmt::format("      write({}, \"{}\")\n", setting.file, setting.value);
    }
    size_t number_in_step = 0;
    for (const Op& op : step.ops) {
      text += "      " + call_text(plan, op) + '\n';
      if (op.fallback >= 0) {
        text += "        on ENOSYS " +
                call_text(plan, step.fallback.at(static_cast<size_t>(op.fallback))) + '\n';
      }
      if (op.done >= 0 && static_cast<size_t>(op.done) > number_in_step + 1) {
        text += "        else, on ENOSYS\n";
      }
      ++number_in_step;
    }
  }
  return text;
}

}  // namespace ringfence
