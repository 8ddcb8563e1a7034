#pragma once
// The standard board (devices/board.h) as a Platform.
#include <memory>
#include <string_view>
#include <vector>

#include "harness/vmm/platform.h"

namespace ringfence::vmm {

// With the seeded fault `fault`, or clean where it is empty. Usage error for an unknown one. Events
// from outside come in the order of their times.
Result<std::unique_ptr<Platform>> make_board_platform(std::string_view fault = {},
                                                      std::vector<OutsideEvent> events = {});

}  // namespace ringfence::vmm
