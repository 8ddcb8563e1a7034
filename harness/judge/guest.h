#pragma once
// The judge of guest cases: a pure function from what a guest reported and what the machine saw, on
// a right machine and on a wrong one, to a verdict.
//
// `held` (the machine conforms) needs every report of the clause on the right machine to be that it
// held, the opposite on the wrong one, a guest that came to its end, and a transcript that shows
// its reports being made. `breached` (it deviates) is one report that it did not hold.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/judge/case.h"
#include "harness/judge/judge.h"
#include "harness/judge/result.h"

namespace ringfence {

struct GuestOutcome {
  struct Report {
    enum class Kind : uint8_t { held, failed, not_judged };
    Kind kind = Kind::held;
    bool by_host = false;  // seen by the machine, not told by the guest
    std::string text;      // "uart.reset, guests/uart_registers.asm:12: port 0x3fd ..."
  };
  std::vector<Report> reports;  // about the case's clause alone
  bool ended = false;           // it came to the end that it has to have
  std::string end;              // how it ended, in words
  std::string error;            // why the harness could not run it; empty when it could
  std::string error_word;       // vmm_failed, guest_failed
  // The machine cannot do what the guest needs, by the guest's own run: "emulator-lacks:iret32".
  std::string lack;
  // Accesses that the machine's own record has: all of them, and those to the clause's device.
  uint64_t accesses = 0;
  uint64_t device_accesses = 0;
  uint64_t transcript_lost = 0;
  // Port exits as the event loop counted them, and as the kernel did, which answers some itself
  // (nothing: it counts none).
  uint64_t exits = 0;
  std::optional<uint64_t> kernel_exits;
  // All exits of all vCPUs, and those for ports, as the event loop and as an eBPF program counted
  // them, which have to be the same (nothing: there is no such program).
  struct Returns {
    uint64_t all = 0;
    uint64_t ports = 0;
    friend bool operator==(const Returns&, const Returns&) = default;
  };
  Returns returns;
  std::optional<Returns> traced;
  std::vector<EvidenceLine> evidence;
  int64_t duration_ns = 0;
};

Judgement judge_guest(const Case& c, const GuestOutcome& control, const GuestOutcome& confined);

CaseRecord make_guest_record(const Case& c, const GuestOutcome& control,
                             const GuestOutcome& confined, const Judgement& judgement);

}  // namespace ringfence
