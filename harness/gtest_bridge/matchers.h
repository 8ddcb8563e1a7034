#pragma once
// GoogleMock matchers for case records:
//
//   EXPECT_THAT(result, HeldBy(Layer::kSeccomp));
//   EXPECT_THAT(result, Held());
//   EXPECT_THAT(result, Breached());
//   EXPECT_THAT(result, Unproven("control_failed"));
//   EXPECT_THAT(result, Skipped("needs:*"));
//   EXPECT_THAT(result, Broken("timeout"));
//
// Reasons are globs with '*' and '?'; none means any. A failure shows what was expected, the
// verdict, and the evidence behind it.
#include <gmock/gmock.h>

#include <string>

#include "harness/gtest_bridge/gtest_bridge.h"

namespace ringfence {

// A verdict, a glob on the reason, and a layer where one is asked for.
class RecordMatcher {
 public:
  using is_gtest_matcher = void;

  RecordMatcher(Verdict verdict, std::string reason, Layer layer)
      : verdict_(verdict), reason_(std::move(reason)), layer_(layer) {}

  bool MatchAndExplain(const CaseRecord& record, std::ostream* os) const;
  void DescribeTo(std::ostream* os) const;
  void DescribeNegationTo(std::ostream* os) const;

 private:
  Verdict verdict_;
  std::string reason_;
  Layer layer_;
};

inline testing::Matcher<const CaseRecord&> Held() {
  return RecordMatcher(Verdict::held, "*", Layer());
}
// Held, and decided by this layer.
inline testing::Matcher<const CaseRecord&> HeldBy(Layer layer) {
  return RecordMatcher(Verdict::held, "*", layer);
}
inline testing::Matcher<const CaseRecord&> Breached(std::string reason = "*") {
  return RecordMatcher(Verdict::breached, std::move(reason), Layer());
}
inline testing::Matcher<const CaseRecord&> Unproven(std::string reason = "*") {
  return RecordMatcher(Verdict::unproven, std::move(reason), Layer());
}
inline testing::Matcher<const CaseRecord&> Skipped(std::string reason = "*") {
  return RecordMatcher(Verdict::skipped, std::move(reason), Layer());
}
inline testing::Matcher<const CaseRecord&> Broken(std::string reason = "*") {
  return RecordMatcher(Verdict::broken, std::move(reason), Layer());
}

}  // namespace ringfence
