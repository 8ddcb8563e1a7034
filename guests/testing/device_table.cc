#include "guests/testing/device_table.h"

#include <fstream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"

namespace ringfence::vmm {
namespace {

using Json = nlohmann::ordered_json;

const char* const kTexts[] = {"id", "section", "clause", "guest", "source", "expects"};

// {"at_us": 5000, "serial": 65, "errors": 4}; "key" and "line" likewise.
Input read_input(const Json& row) {
  Input input;
  input.at = row.at("at_us").get<Nanos>() * 1000;
  if (row.contains("key")) {
    input.value = row["key"];
  } else if (row.contains("line")) {
    input.kind = Input::Kind::line;
    input.value = row["line"];
  } else {
    input.kind = Input::Kind::serial;
    input.value = row.at("serial");
    input.errors = row.value("errors", uint8_t{0});
  }
  return input;
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  Result<DeviceTable> read(const Json& file) {
    DeviceTable table;
    std::set<std::string> ids;
    std::set<std::string> faults;
    if (!members("", file, {"clauses", "by_the_end", "survivors"}, {})) return error();
    for (size_t n = 0; n < file["clauses"].size(); ++n) {
      const auto at = "/clauses/" + std::to_string(n);
      const auto& row = file["clauses"][n];
      if (!members(
              at, row,
              {"id", "section", "clause", "new", "guest", "source", "expects", "needs", "kills"},
              {"inputs"})) {
        return error();
      }
      for (const char* name : kTexts) {
        if (!row[name].is_string() || row[name].get<std::string>().empty()) {
          return usage_error("device table", path_ + at + "/" + name, "a text");
        }
      }
      DeviceClause clause{row["id"], row["guest"], row["needs"], {}, row["kills"]};
      if (row.contains("inputs")) {
        for (const auto& input : row["inputs"]) clause.inputs.push_back(read_input(input));
      }
      if (!ids.insert(clause.id).second) return twice(at + "/id");
      faults.insert(clause.kills.begin(), clause.kills.end());
      table.clauses.push_back(std::move(clause));
    }
    for (size_t n = 0; n < file["by_the_end"].size(); ++n) {
      const auto& row = file["by_the_end"][n];
      const auto at = "/by_the_end/" + std::to_string(n);
      if (!members(at, row, {"fault", "guest"}, {})) return error();
      table.by_the_end.push_back({row["fault"], row["guest"]});
      if (!faults.insert(table.by_the_end.back().fault).second) return twice(at + "/fault");
    }
    for (size_t n = 0; n < file["survivors"].size(); ++n) {
      const auto& row = file["survivors"][n];
      const auto at = "/survivors/" + std::to_string(n);
      if (!members(at, row, {"fault", "equivalent", "reason"}, {})) return error();
      table.survivors.push_back({row["fault"], row["equivalent"], row["reason"]});
      if (table.survivors.back().reason.empty()) {
        return usage_error("device table", path_ + at + "/reason", "why no guest can see it");
      }
      if (!faults.insert(table.survivors.back().fault).second) return twice(at + "/fault");
    }
    return table;
  }

 private:
  bool members(const std::string& at, const Json& object, std::set<std::string> needed,
               const std::set<std::string>& allowed) {
    where_ = at;
    if (!object.is_object()) return false;
    for (const auto& [name, value] : object.items()) {
      where_ = at;
      where_.append("/").append(name);
      if (needed.erase(name) == 0 && !allowed.contains(name)) return false;
    }
    if (needed.empty()) return true;
    where_ = at;
    where_.append("/").append(*needed.begin());
    return false;
  }
  [[nodiscard]] tl::unexpected<Error> error() const {
    return usage_error("device table", path_ + where_, "missing or unknown");
  }
  [[nodiscard]] tl::unexpected<Error> twice(const std::string& at) const {
    return usage_error("device table", path_ + at, "there already");
  }

  std::string path_;
  std::string where_;
};

Result<Json> parse(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  try {
    return Json::parse(*text);
  } catch (const Json::exception& e) {
    return usage_error("device table", path, e.what());
  }
}

}  // namespace

Result<DeviceTable> read_device_table(const std::string& path) {
  const auto file = parse(path);
  if (!file) return tl::unexpected(file.error());
  try {
    return Reader(path).read(*file);
  } catch (const Json::exception& e) {
    return usage_error("device table", path, e.what());
  }
}

Status update_device_table(const std::string& path, const DeviceTable& table) {
  auto file = parse(path);
  if (!file) return tl::unexpected(file.error());
  std::map<std::string, const DeviceClause*> clauses;
  for (const auto& clause : table.clauses) clauses[clause.id] = &clause;
  for (auto& row : (*file)["clauses"]) row["kills"] = clauses.at(row["id"])->kills;
  auto ends = Json::array();
  for (const auto& end : table.by_the_end) {
    ends.push_back(Json{{"fault", end.fault}, {"guest", end.guest}});
  }
  (*file)["by_the_end"] = ends;
  auto survivors = Json::array();
  for (const auto& one : table.survivors) {
    survivors.push_back(
        Json{{"fault", one.fault}, {"equivalent", one.equivalent}, {"reason", one.reason}});
  }
  (*file)["survivors"] = survivors;
  std::ofstream out(path);
  out << file->dump(1) << "\n";
  out.close();
  if (!out) return system_error("write", path);
  return {};
}

}  // namespace ringfence::vmm
