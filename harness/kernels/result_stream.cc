#include "harness/kernels/result_stream.h"

#include <algorithm>

#include "reports/reader.h"

namespace ringfence {

void ResultStream::feed(std::string_view bytes,
                        const std::function<void(const StreamRecord&)>& take) {
  rest_ += bytes;
  size_t from = 0;
  for (size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', from)) {
    line(rest_.substr(from, end - from), take);
    from = end + 1;
  }
  rest_.erase(0, from);
}

void ResultStream::line(const std::string& text,
                        const std::function<void(const StreamRecord&)>& take) {
  if (damaged()) return;
  StreamRecord record;
  if (auto id = started_case(text)) {
    record.started = std::move(*id);
    return take(record);
  }
  // A summary counts the cases before it, which are not kept here.
  constexpr std::string_view kSummary = "{\"type\":\"summary\"";
  if (text.starts_with(kSummary)) {
    auto summary = parse_summary(text, "results of the machine");
    if (summary) {
      record.summary = std::move(*summary);
      return take(record);
    }
    complaint_ = summary.error().describe();
    return;
  }
  const bool first = header_.empty();
  auto parsed = parse_results(first ? text + "\n" : header_ + "\n" + text + "\n",
                              "results of the machine", {.accept_truncated = true});
  if (!parsed) {
    complaint_ = parsed.error().describe();
    return;
  }
  RunResult& run = parsed->front();
  if (first) {
    header_ = text;
    record.header = std::move(run.header);
  } else if (!run.cases.empty()) {
    record.case_record = std::move(run.cases.front());
  } else if (!run.granted.empty()) {
    record.granted = std::move(run.granted.front());
  } else {
    return;
  }
  take(record);
}

}  // namespace ringfence
