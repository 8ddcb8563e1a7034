#include "harness/policy/hooks.h"

#include <algorithm>

#include "harness/policy/oci_sections.h"

namespace ringfence {
namespace {

Hook read_hook(const JsonNode& node) {
  node.object({"path", "args", "env", "timeout"});
  Hook hook;
  hook.path = node.require("path").absolute_path();
  hook.args = node.get("args").strings();
  hook.env = node.get("env").strings();
  if (const JsonNode timeout = node.get("timeout")) {
    hook.timeout = static_cast<int>(timeout.signed_integer(1, INT32_MAX, 1));
  }
  return hook;
}

}  // namespace

std::string_view hook_name(HookKind kind) {
  constexpr std::array<std::string_view, kAllHooks.size()> kNames = {
      "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};
  return kNames.at(static_cast<size_t>(kind));
}

bool Hooks::empty() const {
  return std::all_of(lists.begin(), lists.end(), [](const auto& list) { return list.empty(); });
}

void read_hooks(const JsonNode& node, Policy& policy) {
  node.object(
      {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"});
  for (const HookKind kind : kAllHooks) {
    for (const auto& hook : node.get(hook_name(kind)).items()) {
      policy.hooks.of(kind).push_back(read_hook(hook));
    }
  }
  // Cases never run them, and somebody who runs a program only on demand.
  if (!policy.hooks.empty()) note_unenforced(policy, node, Layer{});
}

}  // namespace ringfence
