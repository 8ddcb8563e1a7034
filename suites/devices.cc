// The clauses of the device table (suites/data/devices.json) as cases: each with the seeded fault
// that turns its expectation as the control.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "suites/devices_json.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

using nlohmann::json;

std::string text_of(const json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What of a clause's needs is a setting of the machine, for both trials.
std::vector<std::string> settings_of(const json& row) {
  std::vector<std::string> words;
  for (const auto& need : row.value("needs", json::array())) {
    if (need == "clock:real") words.emplace_back("clock=real");
    if (need == "cpuid:tsc_khz") words.emplace_back("tsc_leaf");
  }
  for (const auto& input : row.value("inputs", json::array())) {
    const auto at = input.at("at_us").get<uint64_t>();
    if (input.contains("key")) {
      words.push_back(fmt::format("input:{}:key={}", at, input["key"].get<unsigned>()));
    } else if (input.contains("line")) {
      words.push_back(fmt::format("input:{}:line={}", at, input["line"].get<unsigned>()));
    } else {
      words.push_back(fmt::format("input:{}:serial:{}={}", at, input.value("errors", 0U),
                                  input.at("serial").get<unsigned>()));
    }
  }
  return words;
}

}  // namespace

// Defined in devices_json.S.
extern "C" const char ringfence_devices_json_begin[];
extern "C" const char ringfence_devices_json_end[];
std::span<const char> devices_json() {
  return {ringfence_devices_json_begin, ringfence_devices_json_end};
}

std::vector<Case> device_cases() {
  std::vector<Case> cases;
  const auto bytes = devices_json();
  const json table = json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (!table.is_object()) return cases;
  // A guest is run with what any of its clauses needs, so that all of them see the same machine.
  // Its inputs stand with one of them, or with several in the same words.
  std::map<std::string, std::vector<std::string>> settings;
  for (const auto& row : table.value("clauses", json::array())) {
    auto& words = settings[text_of(row, "guest")];
    auto own = settings_of(row);
    if (own.size() > words.size()) words = std::move(own);
  }
  for (const auto& row : table.value("clauses", json::array())) {
    const auto kills = row.value("kills", json::array());
    if (kills.empty()) continue;  // nothing has been seen to turn it: no control, no case
    Case c;
    c.id = text_of(row, "id");
    c.title = text_of(row, "clause");
    c.source = text_of(row, "source");
    c.expected = Layer::kDevice;
    c.needs = {"kvm"};
    GuestBody body;
    body.image = text_of(row, "guest");
    body.clause = c.id;
    body.fault = kills[0].get<std::string>();
    body.confined = body.control = settings[body.image];
    c.guest = std::move(body);
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace ringfence::suites
