#pragma once
// The records of harness/judge/result.h as lines of the result stream: one JSON object each, by
// reports/schema/ringfence-result-1.schema.json, without the newline. The lines are pure ASCII
// (other characters as \uXXXX), so that a result file printed on a terminal acts on nothing;
// bytes that are not UTF-8 become U+FFFD.
#include <string>

#include "harness/judge/result.h"

namespace ringfence {

std::string record_line(const HeaderRecord& record);
std::string record_line(const CaseRecord& record);
std::string record_line(const GrantedRecord& record);
std::string record_line(const FindingRecord& record);
std::string record_line(const SummaryRecord& record);
// `{"type":"started","id":ID}`: no record, a line of the report "live".
std::string started_line(const std::string& id);

}  // namespace ringfence
