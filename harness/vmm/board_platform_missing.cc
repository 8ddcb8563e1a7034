#include "harness/vmm/board_platform.h"
namespace ringfence::vmm {
Result<std::unique_ptr<Platform>> make_board_platform(std::string_view) {
  return unsupported_error("make board", "not there yet");
}
}  // namespace ringfence::vmm
