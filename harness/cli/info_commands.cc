// ringfence list
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include <CLI/CLI.hpp>

#include "harness/cli/commands.h"
#include "suites/suite.h"

namespace ringfence::cli {
namespace {

int list(const std::vector<std::string>& globs, bool full, bool ids_only) {
  auto registry = suites::builtin();
  if (!registry) return complain(registry.error());
  auto chosen = registry->select(globs, full);
  if (!chosen) return complain(chosen.error());
  size_t width = 0;
  for (const Case* c : *chosen) width = std::max(width, c->id.size());
  for (const Case* c : *chosen) {
    if (ids_only) {
      print(c->id + "\n");
      continue;
    }
    print(fmt::format("{:<{}} {:<22} {}\n", c->id, width, c->expected.name(), c->title));
    print(fmt::format("{:<{}} {:<22} {}{}{}\n", "", width, "", c->source,
                      c->needs.empty() ? "" : fmt::format("; needs {}", fmt::join(c->needs, ", ")),
                      c->quick ? "" : "; by name or with --suite full"));
  }
  return 0;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  struct Arguments {
    std::vector<std::string> globs;
    std::string suite = "full";
    bool ids = false;
  };
  auto args = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("list", "Cases with id, layer, title, source and requirements");
  command->add_option("globs", args->globs, "Cases by id, with * and ?")->type_name("GLOB");
  command->add_option("--suite", args->suite, "default leaves out what runs by name alone")
      ->check(CLI::IsMember({"default", "full"}))
      ->capture_default_str();
  command->add_flag("--ids", args->ids, "Only the ids");
  command->callback([args, &action] {
    action = [args] { return list(args->globs, args->suite == "full", args->ids); };
  });
}

}  // namespace ringfence::cli
