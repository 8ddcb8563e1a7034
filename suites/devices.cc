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
  return words;
}

// What comes from outside while it runs.
std::vector<std::string> inputs_of(const json& row) {
  std::vector<std::string> words;
  for (const auto& input : row.value("inputs", json::array())) {
    for (const char* kind : {"key", "serial", "line"}) {
      if (!input.contains(kind)) continue;
      std::string word = fmt::format("input={}:{}:{:x}", input.value("at_us", 0U), kind,
                                     input[kind].get<unsigned>());
      if (input.contains("errors")) word += fmt::format(":{:x}", input["errors"].get<unsigned>());
      words.push_back(std::move(word));
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
  std::map<std::string, std::vector<std::string>> settings, inputs;
  for (const auto& row : table.value("clauses", json::array())) {
    auto& words = settings[text_of(row, "guest")];
    for (std::string& word : settings_of(row)) {
      if (std::find(words.begin(), words.end(), word) == words.end()) {
        words.push_back(std::move(word));
      }
    }
    // The same for all of its clauses that have them.
    if (auto& typed = inputs[text_of(row, "guest")]; typed.empty()) typed = inputs_of(row);
  }
  for (auto& [guest, words] : settings) {
    words.insert(words.end(), inputs[guest].begin(), inputs[guest].end());
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
    c.quick = false;
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
