#include "harness/gtest_bridge/matchers.h"

#include <ostream>

#include "harness/base/suggest.h"

namespace ringfence {

bool RecordMatcher::MatchAndExplain(const CaseRecord& record, std::ostream* os) const {
  const bool matches = record.verdict == verdict_ && glob_match(reason_, record.reason) &&
                       (layer_.empty() || record.decided_by == layer_.name());
  if (os == nullptr) return matches;
  if (record.verdict == Verdict::held) {
    *os << "which held, decided by " << record.decided_by;
  } else {
    *os << "which is " << verdict_name(record.verdict) << " (" << record.reason << ")";
  }
  if (!matches) *os << "\n" << describe_record(record);
  return matches;
}

void RecordMatcher::DescribeTo(std::ostream* os) const {
  *os << "is a case that " << (verdict_ == Verdict::held ? "" : "is ") << verdict_name(verdict_);
  if (!layer_.empty()) *os << ", decided by " << layer_.name();
  if (reason_ != "*") *os << ", for the reason \"" << reason_ << "\"";
}

void RecordMatcher::DescribeNegationTo(std::ostream* os) const {
  *os << "not: ";
  DescribeTo(os);
}

}  // namespace ringfence
