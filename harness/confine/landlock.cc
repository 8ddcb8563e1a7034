#include "harness/confine/landlock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>

#include "harness/confine/paths.h"

namespace ringfence {
namespace {

// struct landlock_ruleset_attr and landlock_net_port_attr of Linux 6.12: headers here may be older.
struct RuleSetAttributes {
  uint64_t handled_access_fs, handled_access_net, scoped;
};
struct NetPortAttributes {
  uint64_t allowed_access, port;
};
constexpr uint64_t kRuleNetPort = 2;  // LANDLOCK_RULE_NET_PORT

// No more of the struct than is used: a kernel refuses what it does not know.
size_t size_for(const LandlockRuleSet& rules) {
  return sizeof(uint64_t) * (rules.scoped != 0 ? 3 : rules.net != 0 ? 2 : 1);
}

std::string what_is_handled(const LandlockRuleSet& rules) {
  std::string text;
  const auto add = [&](const std::vector<LandlockRight>& known, uint64_t bits) {
    for (const LandlockRight& right : known) {
      if ((bits & right.bit) != 0) text += fmt::format("{}{}", text.empty() ? "" : " ", right.name);
    }
  };
  add(landlock_fs_rights(), rules.fs);
  add(landlock_net_rights(), rules.net);
  add(landlock_scopes(), rules.scoped);
  return text;
}

}  // namespace

void add_landlock(Assembler& plan, const Policy& policy) {
  for (size_t i = 0; i < policy.landlock.size(); ++i) {
    const LandlockRuleSet& rules = policy.landlock[i];
    Step step = Assembler::confining(Layer::kLandlock, fmt::format("landlock:{}", i),
                                     fmt::format("deny {} but by {} rules", what_is_handled(rules),
                                                 rules.beneath.size() + rules.ports.size()));
    const RuleSetAttributes attributes{rules.fs, rules.net, rules.scoped};
    step.ops.push_back(
        into(make_op(SYS_landlock_create_ruleset, plan.object(attributes), size_for(rules), 0),
             kSlotFile));
    for (const auto& rule : rules.beneath) {
      step.ops.push_back(into(
          make_op(SYS_openat, AT_FDCWD, plan.text(rule.parent), O_PATH | O_CLOEXEC), kSlotTarget));
      step.ops.push_back(
          make_op(kCallLandlockBeneath, slot_arg(kSlotFile), rule.allowed, slot_arg(kSlotTarget)));
      step.ops.push_back(close_slot(kSlotTarget));
    }
    for (const auto& rule : rules.ports) {
      const NetPortAttributes port{rule.allowed, rule.port};
      step.ops.push_back(
          make_op(SYS_landlock_add_rule, slot_arg(kSlotFile), kRuleNetPort, plan.object(port), 0));
    }
    step.ops.push_back(make_op(SYS_landlock_restrict_self, slot_arg(kSlotFile), 0));
    step.ops.push_back(close_slot(kSlotFile));
    plan.add(std::move(step));
  }
}

std::vector<std::string> landlock_needs(const Policy& policy) {
  if (policy.landlock.empty()) return {};
  return {fmt::format("landlock:{}", landlock_abi(policy.landlock))};
}

}  // namespace ringfence
