#pragma once
// The records of a run as they come out of a machine, in pieces of any size: lines of the result
// stream (reports/schema/), and between them `{"type":"started","id":ID}` of the report "live".
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "harness/judge/result.h"

namespace ringfence {

struct StreamRecord {  // one of them
  std::string started;
  std::optional<HeaderRecord> header;
  std::optional<CaseRecord> case_record;
  std::optional<GrantedRecord> granted;
  std::optional<SummaryRecord> summary;
};

class ResultStream {
 public:
  void feed(std::string_view bytes, const std::function<void(const StreamRecord&)>& take);
  // A line was no record: what came after it is not to be trusted either.
  [[nodiscard]] bool damaged() const { return !complaint_.empty(); }
  [[nodiscard]] const std::string& complaint() const { return complaint_; }

 private:
  void line(const std::string& text, const std::function<void(const StreamRecord&)>& take);
  std::string rest_;
  std::string header_;  // its line: no record is read without one
  std::string complaint_;
};

}  // namespace ringfence
