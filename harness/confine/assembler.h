#pragma once
// Assembler: collects the steps of a plan and the bytes that their arguments point to. Every module
// of confine/ adds its steps here, in the order in which the child is to take them.
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/confine/step.h"

namespace ringfence {

// A slot as an argument.
constexpr Arg slot_arg(int slot) { return {Arg::Kind::slot, static_cast<uint64_t>(slot)}; }

namespace detail {
constexpr Arg to_arg(Arg arg) { return arg; }
template <typename T>
requires std::is_integral_v<T> || std::is_enum_v<T>
constexpr Arg to_arg(T value) { return {Arg::Kind::constant, static_cast<uint64_t>(value)}; }
}  // namespace detail

// A call: make_op(SYS_mkdirat, slot_arg(kSlotRoot), text, 0755). Integers sign-extend, so that -1
// and AT_FDCWD mean what they say.
template <typename... Args>
Op make_op(long nr, Args... args) {
  static_assert(sizeof...(args) <= 6);
  Op op;
  op.nr = nr;
  size_t i = 0;
  ((op.args.at(i++) = detail::to_arg(args)), ...);
  return op;
}
inline Op into(Op op, int slot) {
  op.out = slot;
  return op;
}
inline Op tolerating(Op op, int16_t a, int16_t b = 0, int16_t c = 0) {
  op.tolerate = {a, b, c};
  return op;
}
inline Op when(Op op, int slot) {
  op.when = slot;
  return op;
}
inline Op unless(Op op, int slot) {
  op.unless = slot;
  return op;
}

// Slots of the plans that this library makes. A step closes the temporary descriptors that it
// opens, so that the next one can use the same slots.
enum PlanSlot : uint8_t {
  kSlotRoot = kSlotFree,  // the new root while it is put together, or "/"
  kSlotSeen,              // the root that the target will see: the new one, or "/"
  kSlotOldRoot,
  kSlotTarget,
  kSlotParent,
  kSlotFs,
  kSlotTree,
  kSlotDir,
  kSlotFile,
  kSlotUmask,
  kSlotCovered,  // a directory on which something was mounted
};

class Assembler {
 public:
  explicit Assembler(std::function<bool(const Step&)> drop) : drop_(std::move(drop)) {}

  // NUL-terminated text, or the bytes of a struct, that the plan keeps.
  Arg text(std::string_view value);
  template <typename T>
  Arg object(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return text({reinterpret_cast<const char*>(&value), sizeof value});
  }

  // A confining step; `add` it when its calls are complete.
  static Step confining(Layer layer, std::string key, std::string text);
  // Set-up: nothing is open without it.
  static Step setup(Layer layer, std::string key, std::string text);
  // False when the step is dropped.
  bool add(Step step);
  // The two halves of add(), for a step that others before it depend on.
  [[nodiscard]] bool keeps(const Step& step) const { return !drop_ || !drop_(step); }
  void append(Step step) {
    step.ahead = ahead_;
    steps_.push_back(std::move(step));
  }
  // What Step::ahead of the steps that follow is to say.
  void ahead(bool on) { ahead_ = on; }
  [[nodiscard]] size_t size() const { return steps_.size(); }
  [[nodiscard]] const std::vector<Step>& steps() const { return steps_; }
  void note(std::string text) { notes_.push_back(std::move(text)); }

  std::vector<Step> take_steps() { return std::move(steps_); }
  std::vector<std::string> take_bytes() { return std::move(bytes_); }
  std::vector<std::string> take_notes() { return std::move(notes_); }

 private:
  std::function<bool(const Step&)> drop_;
  bool ahead_ = false;
  std::vector<Step> steps_;
  std::vector<std::string> bytes_;
  std::vector<std::string> notes_;
  std::map<std::string, size_t, std::less<>> known_;
};

// Gives `op` the stand-in `other` within `step`.
Op with_fallback(Step& step, Op op, Op other);

}  // namespace ringfence
