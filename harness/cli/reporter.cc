#include "harness/cli/reporter.h"

#include <unistd.h>

#include <algorithm>

namespace ringfence::cli {
namespace {

Result<ReportPlace> parse(const std::string& spec) {
  const size_t equals = spec.find('=');
  if (equals == std::string::npos || equals + 1 == spec.size()) {
    return usage_error("--report", spec, "write FORMAT=PATH, for example jsonl=report.jsonl");
  }
  ReportPlace place{spec.substr(0, equals), spec.substr(equals + 1)};
  if (auto ok = check_writer_format(place.format); !ok) return tl::unexpected(ok.error());
  return place;
}

}  // namespace

bool report_on_stdout(const std::vector<std::string>& specs) {
  return std::any_of(specs.begin(), specs.end(),
                     [](const auto& spec) { return spec.ends_with("=-"); });
}

Status Reporter::open(const std::vector<std::string>& specs) {
  std::vector<ReportPlace> places;
  for (const auto& spec : specs) {
    auto place = parse(spec);
    if (!place) return tl::unexpected(place.error());
    const bool twice = std::any_of(places.begin(), places.end(),
                                   [&](const auto& p) { return p.path == place->path; });
    if (twice) return usage_error("--report", spec, "two reports cannot go to one path");
    places.push_back(std::move(*place));
  }
  for (const auto& place : places) {
    const bool there = place.path == "-" || ::access(place.path.c_str(), F_OK) == 0;
    auto writer = make_writer(place.format, place.path);
    if (!writer) {
      discard();
      return tl::unexpected(writer.error());
    }
    if (!there) made_.push_back(place.path);
    writers_.push_back(std::move(*writer));
  }
  places_ = std::move(places);
  return {};
}

void Reporter::discard() {
  for (const auto& path : made_) (void)::unlink(path.c_str());
  made_.clear();
}

void Reporter::header(const HeaderRecord& header, size_t total) {
  console_.begin(header, total);
  each([&](Writer& w) { return w.begin(header); });
}

void Reporter::started(const Case& c, size_t /*running*/) {
  console_.case_started(c.id);
  each([&](Writer& w) { return w.started(c.id); });
}

void Reporter::finished(const CaseRecord& record) {
  console_.case_finished(record);
  each([&](Writer& w) { return w.add(record); });
}

void Reporter::granted(const GrantedRecord& record) {
  each([&](Writer& w) { return w.add(record); });
}

void Reporter::finding(const FindingRecord& record) {
  each([&](Writer& w) { return w.add(record); });
}

void Reporter::waiting() { console_.tick(); }

Status Reporter::end(const std::vector<RunResult>& results) {
  for (const auto& result : results) {
    each([&](Writer& w) { return w.end(result.summary); });
  }
  each([&](Writer& w) { return w.finish(); });
  return status_;
}

}  // namespace ringfence::cli
