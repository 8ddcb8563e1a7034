#pragma once
// The standard board (devices/board.h) as a Platform.
#include <memory>
#include <string_view>
#include <vector>

#include "harness/vmm/platform.h"

namespace ringfence::vmm {

// With the seeded fault `fault`, or clean where it is empty. Usage error for an unknown one.
// `inputs` in the order of time. `note_inputs`: for take_inputs().
Result<std::unique_ptr<Platform>> make_board_platform(std::string_view fault = {},
                                                      std::vector<Input> inputs = {},
                                                      bool note_inputs = false);

}  // namespace ringfence::vmm
