// ringfence doctor
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "harness/base/facts.h"
#include "harness/cli/commands.h"
#include "harness/witness/ladder_text.h"
#include "reports/style.h"

namespace ringfence::cli {
namespace {

struct Arguments {
  bool json = false, verbose = false;
};

// The facts' own object with the ladder in it.
std::string as_json(const Facts& facts, const std::vector<Rung>& rungs) {
  using Json = nlohmann::ordered_json;
  Json root = Json::parse(doctor_json(facts), nullptr, false);
  root["witness"] = Json::array();
  for (const Rung& r : rungs) {
    root["witness"].push_back({{"hook", r.hook},
                               {"rung", r.name},
                               {"loads", r.loads},
                               {"taken", r.taken},
                               {"reason", r.reason},
                               {"log", r.log}});
  }
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

int doctor(const Arguments& args) {
  const Facts facts = Facts::probe();
  const auto rungs = Witness::survey();
  if (args.json) {
    print(as_json(facts, rungs));
    return 0;
  }
  const bool colour = style_for(STDOUT_FILENO, Detail::normal).colour;
  print(render_doctor(facts, colour));
  print(fmt::format("\n{}eBPF witness: hook, and the program that sees it{}\n",
                    colour ? "\x1b[1m" : "", colour ? "\x1b[0m" : ""));
  print(render_ladder(rungs, args.verbose));
  return 0;
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  auto args = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("doctor", "What this machine can test, why not, and what to do about it");
  command->add_flag("--json", args->json, "As JSON");
  command->add_flag("--verbose,-v", args->verbose,
                    "With the verifier's log of each eBPF program that was refused");
  command->callback([args, &action] { action = [args] { return doctor(*args); }; });
}

}  // namespace ringfence::cli
