#pragma once
// The terminal of a target, runtime-spec config.md "Process": its standard input, output and error,
// and the one that controls its session. The spawner has the other end.
//
// Sources: pty(7), ioctl_tty(2) (TIOCGPTPEER: Linux 4.13), devpts.rst, runc's docs/terminals.md.
#include <vector>

#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// A new one of the last devpts among `mounts`, which are below kSlotRoot by now, into
// kSlotTerminal; its other end goes to the spawner by kSlotTerminalTo. With `console` it is
// /dev/console, too. False when there is no devpts.
bool add_own_terminal(Assembler& plan, const Policy& policy, const std::vector<Mount>& mounts,
                      bool console);
// The spawner has opened it, for a target without a devpts of its own.
void add_spawners_terminal(Assembler& plan, const Policy& policy);
// After the given descriptors, of which 0 to 2 make way.
void add_terminal_descriptors(Assembler& plan);
// After the new session has begun.
void add_controlling_terminal(Assembler& plan);

}  // namespace ringfence
