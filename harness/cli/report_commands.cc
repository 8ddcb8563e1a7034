// ringfence explain and diff
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>

#include <CLI/CLI.hpp>

#include "harness/cli/commands.h"
#include "harness/diff/diff.h"
#include "reports/explain.h"
#include "reports/follow.h"
#include "reports/reader.h"
#include "reports/style.h"

namespace ringfence::cli {
namespace {

int explain(const std::string& file, const std::string& id, bool follow) {
  // What would end who holds a lease at the moment when a run begins to write.
  if (follow) ::signal(SIGIO, SIG_IGN);
  auto results = follow ? follow_case(file, id) : read_results(file, {.accept_truncated = true});
  if (!results) return complain(results.error());
  auto found = find_case(*results, id);
  if (!found) return complain(found.error());
  const Style style = style_for(STDOUT_FILENO, Detail::normal);
  for (const FoundCase& f : *found) print(render_explain(f.run->header, *f.record, style));
  return 0;
}

int diff(const std::string& old_file, const std::string& new_file, bool json) {
  auto before = read_results(old_file);
  if (!before) return complain(before.error());
  auto after = read_results(new_file);
  if (!after) return complain(after.error());
  const DiffReport report = diff_results(*before, *after);
  print(json ? diff_json(report) : render_diff(report, style_for(STDOUT_FILENO, Detail::normal)));
  return report.exit_code();
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
  struct Arguments {
    std::string file, id;
    bool follow = false;
  };
  auto args = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("explain", "The timeline of evidence behind one verdict");
  command->add_option("file", args->file, "A JSONL report")->type_name("FILE")->required();
  command->add_option("case", args->id, "The id of a case in it")->type_name("CASE")->required();
  command->add_flag("--follow", args->follow,
                    "Wait for the case, while a run still writes the report");
  command->callback(
      [args, &action] { action = [args] { return explain(args->file, args->id, args->follow); }; });
}

void add_diff(CLI::App& app, Action& action) {
  struct Arguments {
    std::string before, after;
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("diff", "What changed between two results; exit 1 when anything did");
  command->footer("Exit codes: 0 the same, 1 something changed, 64 usage or an unreadable report.");
  command->add_option("old", args->before, "A JSONL report")->type_name("OLD")->required();
  command->add_option("new", args->after, "A JSONL report")->type_name("NEW")->required();
  command->add_flag("--json", args->json, "As JSON");
  command->callback(
      [args, &action] { action = [args] { return diff(args->before, args->after, args->json); }; });
}

}  // namespace ringfence::cli
