#pragma once
// JsonFields: strict reading of one JSON object, field by field. The first thing that is wrong is
// kept with its JSON pointer and what is allowed there; later calls then do nothing.
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace ringfence {

struct JsonComplaint {
  std::string pointer;  // RFC 6901; empty for the whole document
  std::string what;     // empty: nothing is wrong
  std::string allowed;

  [[nodiscard]] bool any() const { return !what.empty(); }
  void set(std::string at, std::string wrong, std::string right);
};

// Parses one JSON text. Refuses duplicate names, which RFC 8259 leaves to the reader's luck.
// False, with the complaint, when it is not JSON.
bool parse_json(std::string_view text, nlohmann::json& out, JsonComplaint& complaint);

class JsonFields {
 public:
  JsonFields(const nlohmann::json& json, std::string pointer, JsonComplaint& complaint);

  void text(const char* name, std::string& out);
  void word(const char* name, std::string& out);  // text that is not empty
  // One of `allowed`.
  void choice(const char* name, std::string& out, const std::vector<std::string>& allowed);
  // A layer's name, one of `sorted`, or empty.
  void layer(const char* name, std::string& out, const std::vector<std::string>& sorted);
  void boolean(const char* name, bool& out);
  void integer(const char* name, int64_t& out, int64_t least = INT64_MIN, int64_t most = INT64_MAX);
  void natural(const char* name, uint64_t& out);
  void texts(const char* name, std::vector<std::string>& out);
  // The same for a field that older files do not have.
  void texts_if_there(const char* name, std::vector<std::string>& out);
  void text_map(const char* name, std::map<std::string, std::string>& out);
  void text_map_if_there(const char* name, std::map<std::string, std::string>& out);
  void integer_map(const char* name, std::map<std::string, int64_t>& out);
  // Calls `each` with the fields of every object of the array.
  void objects(const char* name, const std::function<void(JsonFields&)>& each);
  // An object, or null; true when it is an object, whose fields `read` gets.
  bool object_or_null(const char* name, const std::function<void(JsonFields&)>& read);
  void object(const char* name, const std::function<void(JsonFields&)>& read);
  // A field that is allowed and not read.
  void known(const char* name) { names_.emplace_back(name); }
  // A name that nothing asked for is an error. Call it last.
  void close();
  [[nodiscard]] bool refused() const { return complaint_.any(); }
  // A complaint about the field.
  void refuse(const char* name, std::string what, std::string allowed);

 private:
  const nlohmann::json* find(const char* name);
  [[nodiscard]] std::string at(std::string_view name) const;

  const nlohmann::json& json_;
  std::string pointer_;
  JsonComplaint& complaint_;
  std::vector<std::string> names_;
};

}  // namespace ringfence
