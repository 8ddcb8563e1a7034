#include "harness/confine/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <algorithm>

#include "harness/confine/attach.h"
#include "harness/confine/paths.h"

namespace ringfence {
namespace {

constexpr int kAwayFromGiven = 64;  // given numbers are below 16

// From `slot` to kSlotTerminal, out of the way of the numbers that the target is to get; its size
// and owner. `slot` stays as it is.
void add_prepare(Assembler& plan, Step& step, const Policy& policy, int slot) {
  const Op away =
      into(make_op(SYS_fcntl, slot_arg(slot), F_DUPFD_CLOEXEC, kAwayFromGiven), kSlotTerminal);
  // A low RLIMIT_NOFILE.
  const Op nearer = into(make_op(SYS_fcntl, slot_arg(slot), F_DUPFD_CLOEXEC, 16), kSlotTerminal);
  step.ops.push_back(with_fallback(step, away, nearer));
  if (policy.console_size) {
    winsize size{};
    size.ws_row = policy.console_size->height;
    size.ws_col = policy.console_size->width;
    step.ops.push_back(make_op(SYS_ioctl, slot_arg(kSlotTerminal), TIOCSWINSZ, plan.object(size)));
  }
  if (policy.set_user) {
    // Where this user namespace has no number for the owner, or for the one to be, it stays.
    step.ops.push_back(tolerating(make_op(SYS_fchown, slot_arg(kSlotTerminal), policy.user.uid, -1),
                                  EPERM, EINVAL));
  }
}

void add_console(Assembler& plan) {
  Step step = Assembler::setup({}, "process.terminal:console", "/dev/console is the terminal");
  add_open_creating(plan, step, kSlotRoot, "/dev/console", true);
  add_bind_of(plan, step, kSlotTerminal, kSlotTarget);
  step.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(step));
}

}  // namespace

bool add_own_terminal(Assembler& plan, const Policy& policy, const std::vector<Mount>& mounts,
                      bool console) {
  const auto devpts = std::find_if(mounts.rbegin(), mounts.rend(), [](const Mount& m) {
    return m.type == "devpts" && (m.flags & (MS_BIND | MS_REMOUNT)) == 0;
  });
  if (devpts == mounts.rend()) return false;
  Step step = Assembler::setup({}, "process.terminal",
                               "a terminal of the devpts at " + devpts->destination);
  constexpr uint64_t kFlags = O_RDWR | O_NOCTTY;
  const int locked = 0;
  add_open(plan, step, kSlotRoot, path_in_root(devpts->destination + "/ptmx"), kFlags, kSlotFile);
  step.ops.push_back(make_op(SYS_ioctl, slot_arg(kSlotFile), TIOCSPTLCK, plan.object(locked)));
  step.ops.push_back(
      into(make_op(SYS_ioctl, slot_arg(kSlotFile), TIOCGPTPEER, kFlags | O_CLOEXEC), kSlotDir));
  add_prepare(plan, step, policy, kSlotDir);
  step.ops.push_back(make_op(kCallSendFd, slot_arg(kSlotTerminalTo), slot_arg(kSlotFile)));
  for (const int slot : {int{kSlotDir}, int{kSlotFile}, int{kSlotTerminalTo}}) {
    step.ops.push_back(close_slot(slot));
  }
  plan.add(std::move(step));
  if (console) add_console(plan);
  return true;
}

void add_spawners_terminal(Assembler& plan, const Policy& policy) {
  Step step = Assembler::setup({}, "process.terminal", "a terminal of the spawner's devpts");
  add_prepare(plan, step, policy, kSlotTerminal);
  plan.add(std::move(step));
}

void add_terminal_descriptors(Assembler& plan) {
  Step step = Assembler::setup({}, "process.terminal:descriptors",
                               "standard input, output and error are the terminal");
  for (int fd = 0; fd <= 2; ++fd) {
    step.ops.push_back(make_op(SYS_dup3, slot_arg(kSlotTerminal), fd, 0));
  }
  plan.add(std::move(step));
}

void add_controlling_terminal(Assembler& plan) {
  Step step =
      Assembler::setup({}, "process.terminal:controlling", "the terminal controls the session");
  step.ops.push_back(make_op(SYS_ioctl, slot_arg(kSlotTerminal), TIOCSCTTY, 0));
  plan.add(std::move(step));
}

}  // namespace ringfence
