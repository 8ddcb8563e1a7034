#pragma once
// In words: what sockets and devices of a watched group did.
#include <string>

struct rf_event_number;

namespace ringfence {

// "connects to 127.0.0.1:80"; empty for an event of another kind.
std::string group_event_text(const rf_event_number& event);

}  // namespace ringfence
