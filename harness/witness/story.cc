#include "harness/witness/story.h"

#include <fmt/format.h>
#include <linux/capability.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>

#include "harness/base/result.h"
#include "harness/policy/policy.h"
#include "harness/policy/read.h"
#include "harness/witness/group_text.h"
#include "harness/witness/witness.h"
#include "probes/bpf/abi.h"
#include "probes/bpf/probe_abi.h"

namespace ringfence {
namespace {

template <typename T>
const T* as(const rf_event& event, size_t size) {
  return size >= sizeof(T) ? reinterpret_cast<const T*>(&event) : nullptr;
}

std::string signal_text(int64_t number) {
  const char* name = sigabbrev_np(static_cast<int>(number));
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

// As exit(2) and a fatal signal leave it in task_struct.
std::string end_text(int64_t code) {
  if ((code & 0x7f) != 0) return "ends by " + signal_text(code & 0x7f);
  return fmt::format("exits with {}", code >> 8 & 0xff);
}

std::string signal_with_cause(int64_t number, int64_t syscall) {
  std::string text = signal_text(number);
  if (number == SIGSYS && syscall != -1) {  // -1: sent by somebody, for no syscall
    // -2 - nr: of the 32-bit table.
    const bool compat = syscall < -1;
    const int64_t nr = compat ? -2 - syscall : syscall;
    text += " for " + call_name(static_cast<uint32_t>(nr), compat);
  }
  return text;
}

std::string number_text(const rf_event_number& e) {
  switch (e.head.kind) {
    case RF_EV_FORK:
      return e.number == e.more[0] ? "forks a process" : "starts a thread";
    case RF_EV_EXIT:
      return end_text(e.number);
    case RF_EV_SIGNAL:
      return fmt::format("{}, for task {}", signal_with_cause(e.number, e.more[2]), e.more[1]);
    case RF_EV_OOM:
      return fmt::format("the OOM killer chose task {}", e.number);
    case RF_EV_VSYSCALL:
      return fmt::format("vsyscall {}", e.number);
    default:
      return group_event_text(e);
  }
}

std::string group_text(const rf_event_text& e) {
  const std::string text = shown(e.text);
  switch (e.head.kind) {
    case RF_EV_EXEC:
      return "executes " + (text.empty() ? std::string("a descriptor") : text);
    case RF_EV_CGROUP_ATTACH:
      return "enters the group " + text;
    case RF_EV_CGROUP_MKDIR:
      return "makes the group " + text;
    case RF_EV_CGROUP_FREEZE:
      return (e.number != 0 ? "freezes " : "thaws ") + text;
    default:
      return {};
  }
}

// A probe's own words: "NAME", "NAME: 1, 2", 'NAME: "TEXT"'.
std::string probe_text(const rf_event_probe& e) {
  std::string text = shown(e.name);
  std::string_view gap = ": ";
  for (uint32_t i = 0; i < std::min<uint32_t>(e.numbers, RF_PROBE_NUMBERS); ++i) {
    text += fmt::format("{}{}", gap, e.number[i]);
    gap = ", ";
  }
  if (e.text[0] != 0) text += fmt::format("{}\"{}\"", gap, shown(e.text));
  return text.empty() ? "(no name)" : text;
}

// What the inmate's brackets tell: probes/bpf/bracket.bpf.c.
std::string attempt_text(const rf_event_probe& e) {
  const std::string name = shown(e.text);
  if (e.numbers == 0) return "begins the attempt " + name;
  const int64_t result = e.number[0];
  return fmt::format("ends the attempt {}, with {}", name,
                     result < 0 && result > -4096 ? errno_name(static_cast<int>(-result))
                                                  : std::to_string(result));
}

}  // namespace

std::string shown(std::span<const char> bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size() && bytes[i] != 0; ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    out += c >= 0x20 && c != 0x7f ? bytes[i] : '.';
  }
  return out;
}

StoryLine tell(const rf_event& event, size_t size) {
  StoryLine line;
  line.at_ns = static_cast<int64_t>(event.at);
  line.tgid = static_cast<int>(event.tgid);
  line.tid = static_cast<int>(event.tid);
  line.uid = event.uid;
  line.kind = event.kind;
  switch (event.kind) {
    case RF_EV_CALL:
      if (const auto* e = as<rf_event_call>(event, size)) {
        line.is_call = true;
        line.call = record_of(e->call);
        line.denied = line.call.denied();
        const auto* with_path = as<rf_event_path>(event, size);
        std::optional<std::string_view> path;
        if (with_path != nullptr) {
          line.path = shown(with_path->path);
          path = std::string_view(with_path->path, strnlen(with_path->path, RF_PATH));
        }
        line.text = describe_call(line.call, path);
      }
      break;
    case RF_EV_CAP:
      if (const auto* e = as<rf_event_cap>(event, size)) {
        line.denied = e->ret != 0;
        // A kernel may have capabilities that are newer than our list.
        const bool known = e->cap >= 0 && e->cap <= CAP_LAST_CAP;
        line.text = fmt::format(
            "asked for {}{}: {}",
            known ? std::string(cap_name(e->cap)) : fmt::format("capability {}", e->cap),
            e->userns == e->cred_userns ? "" : " in another user namespace",
            e->ret == 0 ? "has it" : "has it not");
      }
      break;
    case RF_EV_EXEC:
    case RF_EV_CGROUP_ATTACH:
    case RF_EV_CGROUP_MKDIR:
    case RF_EV_CGROUP_FREEZE:
      if (const auto* e = as<rf_event_text>(event, size)) line.text = group_text(*e);
      break;
    case RF_EV_PROBE:
    case RF_EV_ATTEMPT:
      if (const auto* e = as<rf_event_probe>(event, size)) {
        const bool own = event.kind == RF_EV_ATTEMPT;
        line.text = own ? attempt_text(*e) : probe_text(*e);
        if (!own) line.probe = e->probe;
      }
      break;
    default:
      if (const auto* e = as<rf_event_number>(event, size)) {
        line.text = number_text(*e);
        line.number = e->number;
        std::copy(std::begin(e->more), std::end(e->more), line.more.begin());
      }
      break;
  }
  return line;
}

std::string signal_of(const StoryLine& line) {
  return signal_with_cause(line.number, line.more[2]);
}

bool is_childs_end(const StoryLine& line) {
  return line.kind == RF_EV_SIGNAL && line.number == SIGCHLD && line.more[0] >= CLD_EXITED &&
         line.more[0] <= CLD_DUMPED;
}

std::string TaskNames::name(int tgid, int tid) {
  const auto process = processes_.try_emplace(tgid, static_cast<int>(processes_.size()) + 1).first;
  std::string text = fmt::format("t{}", process->second);
  if (tid == tgid) return text;
  auto& threads = threads_[tgid];
  const auto thread = threads.try_emplace(tid, static_cast<int>(threads.size()) + 1).first;
  return fmt::format("{}.{}", text, thread->second);
}

}  // namespace ringfence
