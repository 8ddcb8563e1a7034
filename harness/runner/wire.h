#pragma once
// Values over a pipe between processes that were forked from one another: same binary, same layout,
// so no versions and no names, only bounds. Readers trust no length, no truth value and no word of
// an enumeration: what breaks out of a control trial may write here.
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "harness/judge/result.h"
#include "harness/judge/trial.h"

namespace ringfence::wire {

// The last word of each enumeration that goes over a wire.
constexpr Verdict last_of(Verdict /*any*/) { return Verdict::broken; }
constexpr Sight last_of(Sight /*any*/) { return Sight::rival_over; }
constexpr Claim::Kind last_of(Claim::Kind /*any*/) { return Claim::Kind::unable; }
constexpr TrialOutcome::Stage last_of(TrialOutcome::Stage /*any*/) {
  return TrialOutcome::Stage::ended;
}

class Writer {
 public:
  static constexpr bool kReads = false;
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void operator()(T& value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void operator()(std::string& text) {
    auto size = static_cast<uint32_t>(text.size());
    (*this)(size);
    bytes_ += text;
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class Reader {
 public:
  static constexpr bool kReads = true;
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void operator()(T& value) {
    if (!take(sizeof value)) return;
    if constexpr (std::is_same_v<T, bool>) {
      const auto byte = static_cast<unsigned char>(taken_[0]);
      ok_ = byte <= 1;
      value = byte == 1;
    } else if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> number{};
      std::memcpy(&number, taken_.data(), sizeof number);
      ok_ = number <= static_cast<std::underlying_type_t<T>>(last_of(T{}));
      if (ok_) value = static_cast<T>(number);
    } else {
      std::memcpy(&value, taken_.data(), sizeof value);
    }
  }
  void operator()(std::string& text) {
    uint32_t size = 0;
    (*this)(size);
    if (take(size)) text = std::string(taken_);
  }
  // False once anything was missing.
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }

 private:
  bool take(size_t size) {
    if (!ok_ || size > rest_.size()) return ok_ = false;
    taken_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  std::string_view rest_;
  std::string_view taken_;
  bool ok_ = true;
};

template <typename A, typename T>
void visit(A& archive, std::vector<T>& list);
template <typename A, typename T>
void visit(A& archive, std::optional<T>& value);
template <typename A, typename V>
void visit(A& archive, std::map<std::string, V>& map);

template <typename A, typename T>
requires std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_same_v<T, std::string>
void visit(A& archive, T& value) { archive(value); }
template <typename A>
void visit(A& archive, Layer& layer) {
  std::string name = layer.str();
  archive(name);
  if constexpr (A::kReads) layer = name.size() < sizeof(Layer) ? Layer(name) : Layer();
}
template <typename A>
void visit(A& a, WitnessRecord& v) {
  visit(a, v.name), visit(a, v.says), visit(a, v.lost);
}
template <typename A>
void visit(A& a, TrialRecord& v) {
  visit(a, v.achieved), visit(a, v.says);
}
template <typename A>
void visit(A& a, EvidenceLine& v) {
  visit(a, v.trial), visit(a, v.at_us), visit(a, v.source), visit(a, v.text), visit(a, v.decided);
}
template <typename A>
void visit(A& a, CaseRecord& v) {
  visit(a, v.run_id), visit(a, v.id), visit(a, v.title), visit(a, v.source), visit(a, v.verdict);
  visit(a, v.expected_layer), visit(a, v.decided_by), visit(a, v.target), visit(a, v.mode);
  visit(a, v.reason), visit(a, v.detail), visit(a, v.control), visit(a, v.liveness);
  visit(a, v.witnesses), visit(a, v.evidence), visit(a, v.duration_ns), visit(a, v.timings_ns);
  visit(a, v.notes);
}
template <typename A>
void visit(A& a, Goal& v) {
  visit(a, v.sight), visit(a, v.arg), visit(a, v.value);
}
template <typename A>
void visit(A& a, Seen& v) {
  visit(a, v.goal), visit(a, v.yes), visit(a, v.says), visit(a, v.witness);
}
template <typename A>
void visit(A& a, Claim& v) {
  visit(a, v.kind), visit(a, v.err);
}
template <typename A>
void visit(A& a, CallClaim& v) {
  visit(a, v.nr), visit(a, v.ret);
  for (auto& arg : v.args) visit(a, arg);
}
template <typename A>
void visit(A& a, TaskState& v) {
  visit(a, v.tgid), visit(a, v.tid), visit(a, v.here), visit(a, v.uid), visit(a, v.gid);
  visit(a, v.user_level), visit(a, v.seccomp), visit(a, v.no_new_privs);
  visit(a, v.cap_effective), visit(a, v.cap_permitted), visit(a, v.cap_bounding);
  visit(a, v.cgroup), visit(a, v.comm);
  for (auto& inode : v.ns) visit(a, inode);
}
template <typename A>
void visit(A& a, TrialOutcome& v) {
  visit(a, v.stage), visit(a, v.error), visit(a, v.error_word), visit(a, v.failed_step);
  visit(a, v.failed_layer), visit(a, v.failed_errno), visit(a, v.exited), visit(a, v.signaled);
  visit(a, v.exit_code), visit(a, v.claim), visit(a, v.calls), visit(a, v.goal);
  visit(a, v.proofs), visit(a, v.in_force), visit(a, v.cap_effective), visit(a, v.lost),
      visit(a, v.messages), visit(a, v.counted_ports), visit(a, v.evidence);
  visit(a, v.began_ns), visit(a, v.duration_ns), visit(a, v.lived_ns);
  // What the decoy host itself saw of the kernel's list of tasks; the rest comes afterwards.
  visit(a, v.kernel.states), visit(a, v.kernel.hosts), visit(a, v.kernel.disagree);
  visit(a, v.kernel.states_lost);
}

template <typename A, typename T>
void visit(A& archive, std::vector<T>& list) {
  auto size = static_cast<uint32_t>(list.size());
  archive(size);
  if constexpr (A::kReads) {
    // One by one: a length is a promise, the bytes are the proof.
    list.clear();
    for (uint32_t i = 0; i < size && archive.ok(); ++i) visit(archive, list.emplace_back());
  } else {
    for (T& item : list) visit(archive, item);
  }
}
template <typename A, typename T>
void visit(A& archive, std::optional<T>& value) {
  bool has = value.has_value();
  archive(has);
  if constexpr (A::kReads) {
    if (has) value.emplace();
  }
  if (has && value) visit(archive, *value);
}
template <typename A, typename V>
void visit(A& archive, std::map<std::string, V>& map) {
  auto size = static_cast<uint32_t>(map.size());
  archive(size);
  if constexpr (A::kReads) {
    for (uint32_t i = 0; i < size && archive.ok(); ++i) {
      std::string key;
      archive(key);
      visit(archive, map[key]);
    }
  } else {
    for (auto& [key, value] : map) {
      std::string copy = key;
      archive(copy);
      visit(archive, value);
    }
  }
}

template <typename T>
std::string pack(T value) {
  Writer writer;
  visit(writer, value);
  return writer.bytes();
}
// Nothing when the bytes are not exactly one T.
template <typename T>
std::optional<T> unpack(std::string_view bytes) {
  Reader reader(bytes);
  T value{};
  visit(reader, value);
  if (!reader.done()) return std::nullopt;
  return value;
}

}  // namespace ringfence::wire
