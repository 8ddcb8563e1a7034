#pragma once
// The spawner's side of a target's terminal. Internal to spawn/.
//
// Sources: pty(7), unix(7) "SCM_RIGHTS".
#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/spawn/plan.h"

namespace ringfence {

class TerminalEnds {
 public:
  // What the child needs of it, for kSlotTerminal and kSlotTerminalTo; -1 for none.
  static Result<TerminalEnds> make(Plan::Terminal whose);
  [[nodiscard]] int slave() const { return slave_.get(); }
  [[nodiscard]] int sender() const { return sender_.get(); }
  // Once the program has started: our end.
  Result<UniqueFd> take();

 private:
  UniqueFd master_, slave_, sender_, receiver_;
};

}  // namespace ringfence
