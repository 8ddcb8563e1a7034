#pragma once
// The story of a trial: the witness's events as lines that a person reads.
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "harness/witness/facts.h"

struct rf_event;

namespace ringfence {

struct StoryLine {
  int64_t at_ns = 0;  // CLOCK_MONOTONIC
  uint32_t kind = 0;  // enum rf_event_kind
  int tgid = 0, tid = 0;
  uint32_t uid = 0;     // of the task, in the initial user namespace
  std::string text;     // "kill(7, 9) = ESRCH"
  bool denied = false;  // a syscall that was denied, or a capability check that failed
  // Of a syscall: the whole record, and the path it was given, if any.
  bool is_call = false;
  CallRecord call;
  std::string path;
  // Of a fork: the child's tid and tgid; of a signal: its number, si_code and the tid that it is
  // for. See probes/bpf/abi.h.
  int64_t number = 0;
  std::array<int64_t, 3> more{};
  // A line that a probe told: which of them (Probes::name()); -1: it is the witness's own.
  int64_t probe = -1;
};

// A string of the target's for people: up to its first zero, control characters as dots.
std::string shown(std::span<const char> bytes);
// What a signal is, without whom it is for: "SIGKILL", "SIGSYS for ptrace".
std::string signal_of(const StoryLine& line);
// The end of a child, as its parent is told: the child's own end is a line of the story already.
bool is_childs_end(const StoryLine& line);

// `size` is the event's, as the ring gives it: an event that is too short for its kind gives an
// empty line.
StoryLine tell(const rf_event& event, size_t size);

// Gives tasks short names, in the order in which they appear: "t1", "t2.1" is a thread of t2.
class TaskNames {
 public:
  std::string name(int tgid, int tid);

 private:
  std::map<int, int> processes_;
  std::map<int, std::map<int, int>> threads_;
};

}  // namespace ringfence
