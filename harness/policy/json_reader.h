#pragma once
// Walking a JSON document towards a value, with JSON pointers (RFC 6901) in every complaint.
//
// The first fault is kept in the JsonContext and reading goes on with harmless values, so that a
// reader is a plain list of fields; it asks failed() at its end. Nothing here throws.
//
// JSON null counts as absent, as it does for the Go programs that define the formats.
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "harness/base/result.h"
#include "harness/policy/read.h"

namespace ringfence {

inline constexpr size_t kJsonDepthLimit = 64;
inline constexpr size_t kJsonSizeLimit = size_t{16} << 20;

class JsonContext {
 public:
  explicit JsonContext(std::string file) : file_(std::move(file)) {}
  // Only the first fault is kept: the later ones may be its consequences.
  void fail(const std::string& pointer, std::string what, std::string hint);
  void warn(const std::string& pointer, std::string text);
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] const Error& error() const { return error_; }
  [[nodiscard]] const std::string& file() const { return file_; }
  std::vector<Warning> warnings;

 private:
  std::string file_;
  bool failed_ = false;
  Error error_;
};

// "/a~b" as one reference token: "~1a~0b".
std::string json_pointer_token(std::string_view key);

class JsonNode {
 public:
  JsonNode(JsonContext& context, const nlohmann::json* value, std::string pointer)
      : context_(&context), value_(value), pointer_(std::move(pointer)) {}

  // False when the field is missing or null.
  [[nodiscard]] bool present() const { return value_ != nullptr; }
  explicit operator bool() const { return present(); }
  // Absent, or "", [], {}.
  [[nodiscard]] bool empty_value() const;
  [[nodiscard]] const std::string& pointer() const { return pointer_; }
  [[nodiscard]] JsonContext& context() const { return *context_; }
  void fail(std::string what, std::string hint) const;
  void warn(std::string text) const;

  // Fields of an object. get() of an absent node is absent.
  [[nodiscard]] JsonNode get(std::string_view key) const;
  [[nodiscard]] JsonNode require(std::string_view key) const;
  // Demands an object, and warns of fields that are not among `known`.
  void object(std::initializer_list<std::string_view> known) const;
  // Fails for fields that are not among `known`: in a block of our own an unknown word is a
  // mistake, not another program's extension.
  void only(std::initializer_list<std::string_view> known) const;
  [[nodiscard]] std::vector<std::pair<std::string, JsonNode>> members() const;
  // Elements of an array.
  [[nodiscard]] std::vector<JsonNode> items() const;

  // Scalars; `fallback` when absent or wrong. Strings hold no NUL bytes, since all of them end up
  // in syscalls.
  [[nodiscard]] std::string string(std::string_view fallback = {}) const;
  [[nodiscard]] bool boolean(bool fallback = false) const;
  [[nodiscard]] int64_t signed_integer(int64_t min, int64_t max, int64_t fallback = 0) const;
  [[nodiscard]] uint64_t unsigned_integer(uint64_t max, uint64_t fallback = 0) const;
  [[nodiscard]] uint32_t u32(uint32_t max = UINT32_MAX, uint32_t fallback = 0) const {
    return static_cast<uint32_t>(unsigned_integer(max, fallback));
  }
  [[nodiscard]] std::vector<std::string> strings() const;
  // A string that begins with '/'.
  [[nodiscard]] std::string absolute_path() const;
  [[nodiscard]] std::vector<std::string> absolute_paths() const;
  // One of `words`; an unknown one fails with the nearest suggested. Empty when absent or wrong.
  [[nodiscard]] std::string word(std::initializer_list<std::string_view> words) const;

 private:
  [[nodiscard]] std::string type() const;
  JsonContext* context_;
  const nlohmann::json* value_;
  std::string pointer_;
};

// Fails with "unknown WHAT WORD" and, as a hint, the nearest candidate or all of them.
void fail_unknown(const JsonNode& node, const std::string& what, const std::string& word,
                  const std::vector<std::string>& candidates);

class JsonDocument {
 public:
  // Refuses broken JSON (object: FILE:line:column), keys that occur twice, nesting deeper than
  // kJsonDepthLimit, texts larger than kJsonSizeLimit, and anything but an object at the top.
  static Result<JsonDocument> parse(std::string_view text, const std::string& file);
  // The document that the string `node` holds; nothing, and the node fails, where that is none.
  static std::optional<JsonDocument> within(const JsonNode& node);
  JsonDocument(JsonDocument&&) noexcept;
  ~JsonDocument();
  // `pointer`: where the document itself stands, when it is a text inside another.
  [[nodiscard]] JsonNode root(JsonContext& context, std::string pointer = {}) const;

 private:
  JsonDocument();
  std::unique_ptr<nlohmann::json> value_;
};

}  // namespace ringfence
