#include "harness/policy/json_reader.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/suggest.h"

namespace ringfence {
namespace {

using nlohmann::json;

// Watches the parser: depth, and keys that occur twice in an object (which the document itself
// could not show any more).
class Watch {
 public:
  enum class Fault { none, deep, duplicate };

  void event(json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        next_element();
        frames_.push_back({event == json::parse_event_t::object_start, {}, {}, 0});
        if (frames_.size() > kJsonDepthLimit) stop(Fault::deep);
        break;
      case json::parse_event_t::key: {
        Frame& top = frames_.back();
        top.key = parsed.get_ref<const std::string&>();
        if (!top.keys.insert(top.key).second) stop(Fault::duplicate);
        break;
      }
      case json::parse_event_t::value:
        next_element();
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        frames_.pop_back();
        break;
    }
  }

  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] std::string pointer() const {
    std::string text;
    for (const Frame& frame : frames_) {
      // The innermost frame of a too deep document has no position yet.
      if (frame.is_object ? frame.keys.empty() : frame.next == 0) break;
      text += '/';
      text += frame.is_object ? json_pointer_token(frame.key) : std::to_string(frame.next - 1);
    }
    return text;
  }

  struct Stop {};

 private:
  struct Frame {
    bool is_object;
    std::set<std::string> keys;
    std::string key;
    size_t next;
  };
  void next_element() {
    if (!frames_.empty() && !frames_.back().is_object) ++frames_.back().next;
  }
  void stop(Fault fault) {
    fault_ = fault;
    throw Stop{};  // the only way out of the library's parser; caught at its call below
  }
  std::vector<Frame> frames_;
  Fault fault_ = Fault::none;
};

std::string place(std::string_view text, size_t byte) {
  const size_t end = byte == 0 ? 0 : std::min(byte - 1, text.size());
  size_t line = 1;
  size_t column = 1;
  for (const char c : text.substr(0, end)) {
    if (c == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return std::to_string(line) + ":" + std::to_string(column);
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ..." -> the last.
std::string library_words(std::string what) {
  if (const size_t id = what.find("] "); id != std::string::npos) what.erase(0, id + 2);
  if (!what.starts_with("parse error at ")) return what;
  const size_t at = what.find(": ");
  return at == std::string::npos ? what : what.substr(at + 2);
}

std::string range_text(const std::string& min, const std::string& max) {
  return "a whole number from " + min + " to " + max;
}

}  // namespace

void JsonContext::fail(const std::string& pointer, std::string what, std::string hint) {
  if (failed_) return;
  failed_ = true;
  error_ = Error{Error::Kind::usage, std::move(what), 0,
                 file_ + ": " + (pointer.empty() ? "/" : pointer), std::move(hint)};
}

void JsonContext::warn(const std::string& pointer, std::string text) {
  warnings.push_back({file_, pointer, std::move(text)});
}

std::string json_pointer_token(std::string_view key) {
  std::string token;
  for (const char c : key) {
    if (c == '~') {
      token += "~0";
    } else if (c == '/') {
      token += "~1";
    } else {
      token += c;
    }
  }
  return token;
}

void JsonNode::fail(std::string what, std::string hint) const {
  context_->fail(pointer_, std::move(what), std::move(hint));
}
void JsonNode::warn(std::string text) const { context_->warn(pointer_, std::move(text)); }

std::string JsonNode::type() const { return value_ == nullptr ? "nothing" : value_->type_name(); }

bool JsonNode::empty_value() const {
  if (!present()) return true;
  if (value_->is_string()) return value_->get_ref<const std::string&>().empty();
  return value_->is_structured() && value_->empty();
}

JsonNode JsonNode::get(std::string_view key) const {
  JsonNode field(*context_, nullptr, pointer_ + "/" + json_pointer_token(key));
  if (value_ == nullptr || !value_->is_object()) return field;
  const auto it = value_->find(key);
  if (it != value_->end() && !it->is_null()) field.value_ = &*it;
  return field;
}

JsonNode JsonNode::require(std::string_view key) const {
  JsonNode field = get(key);
  if (present() && !field.present())
    field.fail("missing field", "\"" + std::string(key) + "\" is required");
  return field;
}

void JsonNode::object(std::initializer_list<std::string_view> known) const {
  if (!present()) return;
  if (!value_->is_object()) return fail("wrong type: " + type(), "an object");
  for (const auto& [key, value] : value_->items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string near = nearest(key, {known.begin(), known.end()});
    context_->warn(pointer_ + "/" + json_pointer_token(key),
                   "unknown field, ignored" + (near.empty() ? "" : "; did you mean " + near + "?"));
  }
}

void JsonNode::only(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : members()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail_unknown(value, "field", key, {known.begin(), known.end()});
  }
}

std::vector<std::pair<std::string, JsonNode>> JsonNode::members() const {
  std::vector<std::pair<std::string, JsonNode>> list;
  if (!present()) return list;
  if (!value_->is_object()) {
    fail("wrong type: " + type(), "an object");
    return list;
  }
  for (const auto& [key, value] : value_->items()) {
    if (key.find('\0') != std::string::npos) fail("NUL byte in a key", "keys without NUL bytes");
    if (!value.is_null()) list.emplace_back(key, get(key));
  }
  return list;
}

std::vector<JsonNode> JsonNode::items() const {
  std::vector<JsonNode> list;
  if (!present()) return list;
  if (!value_->is_array()) {
    fail("wrong type: " + type(), "an array");
    return list;
  }
  list.reserve(value_->size());
  for (const auto& item : *value_) {
    list.emplace_back(*context_, &item, pointer_ + "/" + std::to_string(list.size()));
  }
  return list;
}

std::string JsonNode::string(std::string_view fallback) const {
  if (!present()) return std::string(fallback);
  if (!value_->is_string()) {
    fail("wrong type: " + type(), "a string");
    return std::string(fallback);
  }
  const auto& text = value_->get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) {
    fail("NUL byte in a string", "a string without NUL bytes");
    return std::string(fallback);
  }
  return text;
}

bool JsonNode::boolean(bool fallback) const {
  if (!present()) return fallback;
  if (!value_->is_boolean()) {
    fail("wrong type: " + type(), "true or false");
    return fallback;
  }
  return value_->get<bool>();
}

int64_t JsonNode::signed_integer(int64_t min, int64_t max, int64_t fallback) const {
  if (!present()) return fallback;
  const std::string allowed = range_text(std::to_string(min), std::to_string(max));
  if (!value_->is_number()) {
    fail("wrong type: " + type(), allowed);
    return fallback;
  }
  bool fits = false;
  int64_t result = fallback;
  if (value_->is_number_unsigned()) {
    const auto number = value_->get<uint64_t>();
    fits = max >= 0 && number <= static_cast<uint64_t>(max) &&
           (min <= 0 || number >= static_cast<uint64_t>(min));
    if (fits) result = static_cast<int64_t>(number);
  } else if (value_->is_number_integer()) {
    const auto number = value_->get<int64_t>();
    fits = number >= min && number <= max;
    if (fits) result = number;
  } else {
    const auto number = value_->get<double>();
    if (std::trunc(number) != number) {
      fail("not a whole number: " + value_->dump(), allowed);
      return fallback;
    }
    // 2^63 as a double is the first that no longer fits.
    fits = number >= -0x1p63 && number < 0x1p63 && static_cast<int64_t>(number) >= min &&
           static_cast<int64_t>(number) <= max;
    if (fits) result = static_cast<int64_t>(number);
  }
  if (!fits) fail("out of range: " + value_->dump(), allowed);
  return result;
}

uint64_t JsonNode::unsigned_integer(uint64_t max, uint64_t fallback) const {
  if (!present()) return fallback;
  const std::string allowed = range_text("0", std::to_string(max));
  if (!value_->is_number()) {
    fail("wrong type: " + type(), allowed);
    return fallback;
  }
  bool fits = false;
  uint64_t result = fallback;
  if (value_->is_number_unsigned()) {
    const auto number = value_->get<uint64_t>();
    fits = number <= max;
    if (fits) result = number;
  } else if (value_->is_number_integer()) {
    const auto number = value_->get<int64_t>();
    fits = number >= 0 && static_cast<uint64_t>(number) <= max;
    if (fits) result = static_cast<uint64_t>(number);
  } else {
    const auto number = value_->get<double>();
    if (std::trunc(number) != number) {
      fail("not a whole number: " + value_->dump(), allowed);
      return fallback;
    }
    fits = number >= 0 && number < 0x1p64 && static_cast<uint64_t>(number) <= max;
    if (fits) result = static_cast<uint64_t>(number);
  }
  if (!fits) fail("out of range: " + value_->dump(), allowed);
  return result;
}

std::vector<std::string> JsonNode::strings() const {
  std::vector<std::string> list;
  for (const auto& item : items()) list.push_back(item.string());
  return list;
}

std::string JsonNode::absolute_path() const {
  std::string path = string();
  if (present() && !path.starts_with('/')) {
    fail("not an absolute path: \"" + path + "\"", "a path that begins with /");
  }
  return path;
}

std::vector<std::string> JsonNode::absolute_paths() const {
  std::vector<std::string> list;
  for (const auto& item : items()) list.push_back(item.absolute_path());
  return list;
}

std::string JsonNode::word(std::initializer_list<std::string_view> words) const {
  if (!present()) return {};
  std::string text = string();
  if (std::find(words.begin(), words.end(), text) != words.end()) return text;
  fail_unknown(*this, "word", text, {words.begin(), words.end()});
  return {};
}

void fail_unknown(const JsonNode& node, const std::string& what, const std::string& word,
                  const std::vector<std::string>& candidates) {
  const std::string near = nearest(word, candidates);
  std::string hint;
  if (!near.empty()) {
    hint = "did you mean " + near + "?";
  } else {
    hint = "one of";
    for (const auto& candidate : candidates) {
      hint += (hint.size() > 6 ? ", " : " ") + (candidate.empty() ? "\"\"" : candidate);
    }
  }
  node.fail("unknown " + what + " \"" + word + "\"", std::move(hint));
}

JsonDocument::JsonDocument() : value_(std::make_unique<json>()) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

JsonNode JsonDocument::root(JsonContext& context, std::string pointer) const {
  return {context, value_.get(), std::move(pointer)};
}

std::optional<JsonDocument> JsonDocument::within(const JsonNode& node) {
  auto document = parse(node.string(), "the text");
  if (document) return std::move(*document);
  node.fail(document.error().what + ", " + document.error().object, document.error().hint);
  return std::nullopt;
}

Result<JsonDocument> JsonDocument::parse(std::string_view text, const std::string& file) {
  if (text.size() > kJsonSizeLimit) {
    return usage_error("file is too large", file, "at most 16 MiB");
  }
  JsonDocument document;
  Watch watch;
  try {
    *document.value_ = json::parse(text, [&](int, json::parse_event_t event, const json& parsed) {
      watch.event(event, parsed);
      return true;
    });
  } catch (const json::parse_error& error) {
    return usage_error("broken JSON", file + ":" + place(text, error.byte),
                       library_words(error.what()));
  } catch (const json::exception& error) {  // a number that no type can hold
    return usage_error("broken JSON", file, library_words(error.what()));
  } catch (const Watch::Stop&) {
    const std::string where = file + ": " + watch.pointer();
    if (watch.fault() == Watch::Fault::deep) {
      return usage_error("nested too deeply", where,
                         "at most " + std::to_string(kJsonDepthLimit) + " levels");
    }
    return usage_error("key occurs twice", where, "each key once in an object");
  }
  if (!document.value_->is_object()) {
    return usage_error(std::string("wrong type: ") + document.value_->type_name(), file + ": /",
                       "an object");
  }
  return document;
}

}  // namespace ringfence
