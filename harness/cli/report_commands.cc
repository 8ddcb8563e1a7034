// ringfence explain and diff
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "guests/guests.h"
#include "harness/base/file.h"
#include "harness/cli/commands.h"
#include "harness/diff/diff.h"
#include "harness/diff/transcript_diff.h"
#include "reports/explain.h"
#include "reports/follow.h"
#include "reports/reader.h"
#include "reports/style.h"
#include "suites/devices_json.h"
#include "suites/suite.h"

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

// The data sheet or manual behind a clause.
std::string sheet_of(std::string_view clause) {
  const auto bytes = suites::devices_json();
  const auto table = nlohmann::json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (!table.is_object()) return {};
  for (const auto& entry : table.value("clauses", nlohmann::json::array())) {
    if (entry.value("id", "") == clause) return entry.value("source", "");
  }
  for (const Case& c : suites::ioapic_cases()) {
    if (c.guest && c.guest->clause == clause) return c.source;
  }
  return {};
}

// A line of a guest's source, where it is run from the tree.
std::string line_of(std::string_view name, unsigned number) {
  const vmm::Guest* guest = vmm::find_guest(name);
  if (guest == nullptr || number == 0) return {};
  const auto text = read_file(std::string(guest->source));
  if (!text) return {};
  for (const std::string_view line : split(*text, '\n')) {
    if (--number != 0) continue;
    const size_t begin = line.find_first_not_of(" \t");
    return begin == std::string_view::npos ? std::string() : std::string(line.substr(begin));
  }
  return {};
}

int diff_of_transcripts(const std::string& old_file, const std::string& old_text,
                        const std::string& new_file, bool json) {
  auto before = vmm::parse_transcript(old_text, old_file);
  if (!before) return complain(before.error());
  auto new_text = read_file(new_file);
  if (!new_text) return complain(new_text.error());
  auto after = vmm::parse_transcript(*new_text, new_file);
  if (!after) return complain(after.error());
  const TranscriptDiff found = diff_transcripts(*before, *after);
  const TranscriptSources sources{sheet_of, line_of};
  print(json ? transcript_diff_json(found, sources)
             : render_transcript_diff(found, old_file, new_file, sources));
  return found.exit_code();
}

int diff(const std::string& old_file, const std::string& new_file, bool json) {
  if (const auto text = read_file(old_file); text && text->starts_with(vmm::kTranscriptFirstLine)) {
    return diff_of_transcripts(old_file, *text, new_file, json);
  }
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
  CLI::App* command = app.add_subcommand(
      "diff",
      "What changed between two results, or where two transcripts part; exit 1 when anything did");
  command->footer("Exit codes: 0 the same, 1 something changed, 64 usage or an unreadable report.");
  command->add_option("old", args->before, "A JSONL report, or a transcript of vm run")
      ->type_name("OLD")
      ->required();
  command->add_option("new", args->after, "Another of the same kind")->type_name("NEW")->required();
  command->add_flag("--json", args->json, "As JSON");
  command->callback(
      [args, &action] { action = [args] { return diff(args->before, args->after, args->json); }; });
}

}  // namespace ringfence::cli
