#pragma once
// Programs that run at moments of a target's life: runtime-spec config.md "POSIX-platform Hooks".
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringfence {

// In the order of their moments. The first two and the last two run in the spawner's namespaces;
// createContainer in the target's, by a path of the spawner's; startContainer as the program
// itself.
enum class HookKind : uint8_t {
  prestart,
  create_runtime,
  create_container,
  start_container,
  poststart,
  poststop
};
inline constexpr std::array kAllHooks = {HookKind::prestart,         HookKind::create_runtime,
                                         HookKind::create_container, HookKind::start_container,
                                         HookKind::poststart,        HookKind::poststop};
std::string_view hook_name(HookKind kind);  // "prestart", "createRuntime", ...

struct Hook {
  std::string path;
  std::vector<std::string> args;  // with argv[0]; empty: the path alone
  std::vector<std::string> env;   // all that it gets
  std::optional<int> timeout;     // seconds
  friend bool operator==(const Hook&, const Hook&) = default;
};

struct Hooks {
  std::array<std::vector<Hook>, kAllHooks.size()> lists;
  [[nodiscard]] const std::vector<Hook>& of(HookKind kind) const {
    return lists.at(static_cast<size_t>(kind));
  }
  std::vector<Hook>& of(HookKind kind) { return lists.at(static_cast<size_t>(kind)); }
  [[nodiscard]] bool empty() const;
  friend bool operator==(const Hooks&, const Hooks&) = default;
};

}  // namespace ringfence
