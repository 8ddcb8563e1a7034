#include "reports/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/suggest.h"

namespace ringfence {
namespace {

using Json = nlohmann::json;

std::string escape_pointer(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string type_of(const Json& json) {
  if (json.is_number_integer()) return "an integer";
  if (json.is_number()) return "a number that is not a 64-bit integer";
  if (json.is_boolean()) return "a boolean";
  if (json.is_null()) return "null";
  if (json.is_string()) return "a string";
  return json.is_array() ? "an array" : "an object";
}

bool int64_of(const Json& json, int64_t& out) {
  if (!json.is_number_integer()) return false;
  if (json.is_number_unsigned() && json.get<uint64_t>() > uint64_t{INT64_MAX}) return false;
  out = json.get<int64_t>();
  return true;
}

// " did you mean": a word from a hostile file may be megabytes long, and edit distance is
// quadratic; no name is.
std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  constexpr size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return {};
  const std::string near = nearest(word, names);
  return near.empty() ? "" : "did you mean '" + near + "'? ";
}

// A word from the file, short enough for a message.
std::string in_quotes(const std::string& word) {
  constexpr size_t kShown = 80;
  return "'" + (word.size() > kShown ? word.substr(0, kShown) + "..." : word) + "'";
}

}  // namespace

void JsonComplaint::set(std::string at, std::string wrong, std::string right) {
  if (any()) return;
  pointer = std::move(at);
  what = std::move(wrong);
  allowed = std::move(right);
}

bool parse_json(std::string_view text, Json& out, JsonComplaint& complaint) {
  std::vector<std::set<std::string>> names;
  std::string twice;
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) {
      names.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      names.pop_back();
    } else if (event == Json::parse_event_t::key && !names.empty()) {
      const auto& name = value.get_ref<const std::string&>();
      if (!names.back().insert(name).second && twice.empty()) twice = name;
    }
    return true;
  };
  try {
    out = Json::parse(text, watch);
  } catch (const Json::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: ..."
    std::string_view said = e.what();
    if (const size_t end = said.find("] "); end != std::string_view::npos) {
      said.remove_prefix(end + 2);
    }
    complaint.set("", "not JSON: " + std::string(said), "one JSON object a line");
    return false;
  }
  if (!twice.empty()) {
    complaint.set("", "the name '" + twice + "' is given twice in one object", "each name once");
    return false;
  }
  return true;
}

JsonFields::JsonFields(const Json& json, std::string pointer, JsonComplaint& complaint)
    : json_(json), pointer_(std::move(pointer)), complaint_(complaint) {
  if (!json_.is_object()) complaint_.set(pointer_, "is " + type_of(json_), "an object");
}

std::string JsonFields::at(std::string_view name) const {
  return pointer_ + "/" + escape_pointer(name);
}

void JsonFields::refuse(const char* name, std::string what, std::string allowed) {
  complaint_.set(at(name), std::move(what), std::move(allowed));
}

const Json* JsonFields::find(const char* name) {
  known(name);
  if (complaint_.any()) return nullptr;
  const auto found = json_.find(name);
  if (found == json_.end()) {
    refuse(name, "is missing", "every field of the record's type");
    return nullptr;
  }
  return &*found;
}

void JsonFields::text(const char* name, std::string& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return refuse(name, "is " + type_of(*value), "a string");
  out = value->get_ref<const std::string&>();
}

void JsonFields::word(const char* name, std::string& out) {
  text(name, out);
  if (!complaint_.any() && out.empty()) refuse(name, "is empty", "a string that is not empty");
}

void JsonFields::choice(const char* name, std::string& out,
                        const std::vector<std::string>& allowed) {
  text(name, out);
  if (complaint_.any() || std::find(allowed.begin(), allowed.end(), out) != allowed.end()) return;
  refuse(name, "unknown word " + in_quotes(out),
         suggestion(out, allowed) + fmt::format("allowed: {}", fmt::join(allowed, ", ")));
}

void JsonFields::layer(const char* name, std::string& out, const std::vector<std::string>& sorted) {
  text(name, out);
  if (complaint_.any() || out.empty()) return;
  if (std::binary_search(sorted.begin(), sorted.end(), out)) return;
  refuse(name, "unknown layer " + in_quotes(out),
         suggestion(out, sorted) + "a layer (ns.pid, cap.SYS_ADMIN, seccomp, ...) or nothing");
}

void JsonFields::boolean(const char* name, bool& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return refuse(name, "is " + type_of(*value), "true or false");
  out = value->get<bool>();
}

void JsonFields::integer(const char* name, int64_t& out, int64_t least, int64_t most) {
  const Json* value = find(name);
  if (value == nullptr) return;
  int64_t number = 0;
  if (!int64_of(*value, number)) {
    const bool big = value->is_number_integer();
    return refuse(name, big ? "is too large" : "is " + type_of(*value), "a signed 64-bit integer");
  }
  if (number < least || number > most) {
    return refuse(name, fmt::format("{} is out of range", number),
                  fmt::format("from {} to {}", least, most));
  }
  out = number;
}

void JsonFields::natural(const char* name, uint64_t& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_number_unsigned()) {
    const bool negative = value->is_number_integer();
    return refuse(name, negative ? "is negative" : "is " + type_of(*value),
                  "an unsigned 64-bit integer");
  }
  out = value->get<uint64_t>();
}

void JsonFields::texts(const char* name, std::vector<std::string>& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) return refuse(name, "is " + type_of(*value), "an array of strings");
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& item = (*value)[i];
    if (!item.is_string()) {
      return complaint_.set(fmt::format("{}/{}", at(name), i), "is " + type_of(item), "a string");
    }
    out.push_back(item.get_ref<const std::string&>());
  }
}

void JsonFields::texts_if_there(const char* name, std::vector<std::string>& out) {
  if (json_.is_object() && json_.contains(name)) texts(name, out);
}

void JsonFields::text_map(const char* name, std::map<std::string, std::string>& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_object()) return refuse(name, "is " + type_of(*value), "an object of strings");
  for (const auto& [key, item] : value->items()) {
    if (!item.is_string()) {
      return complaint_.set(at(name) + "/" + escape_pointer(key), "is " + type_of(item),
                            "a string");
    }
    out[key] = item.get_ref<const std::string&>();
  }
}

void JsonFields::text_map_if_there(const char* name, std::map<std::string, std::string>& out) {
  if (json_.is_object() && json_.contains(name)) text_map(name, out);
}

void JsonFields::integer_map(const char* name, std::map<std::string, int64_t>& out) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_object()) return refuse(name, "is " + type_of(*value), "an object of integers");
  for (const auto& [key, item] : value->items()) {
    int64_t number = 0;
    if (!int64_of(item, number)) {
      return complaint_.set(at(name) + "/" + escape_pointer(key), "is " + type_of(item),
                            "a signed 64-bit integer");
    }
    out[key] = number;
  }
}

void JsonFields::objects(const char* name, const std::function<void(JsonFields&)>& each) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) return refuse(name, "is " + type_of(*value), "an array of objects");
  for (size_t i = 0; i < value->size() && !complaint_.any(); ++i) {
    JsonFields fields((*value)[i], fmt::format("{}/{}", at(name), i), complaint_);
    each(fields);
    fields.close();
  }
}

void JsonFields::object(const char* name, const std::function<void(JsonFields&)>& read) {
  const Json* value = find(name);
  if (value == nullptr) return;
  JsonFields fields(*value, at(name), complaint_);
  read(fields);
  fields.close();
}

bool JsonFields::object_or_null(const char* name, const std::function<void(JsonFields&)>& read) {
  const Json* value = find(name);
  if (value == nullptr || value->is_null()) return false;
  if (!value->is_object()) {
    refuse(name, "is " + type_of(*value), "an object, or null");
    return false;
  }
  object(name, read);
  return true;
}

void JsonFields::close() {
  if (complaint_.any()) return;
  for (const auto& [key, value] : json_.items()) {
    if (std::find(names_.begin(), names_.end(), key) != names_.end()) continue;
    return complaint_.set(
        at(key), "unknown field",
        suggestion(key, names_) + fmt::format("allowed: {}", fmt::join(names_, ", ")));
  }
}

}  // namespace ringfence
