#include "harness/runner/kernel_watch.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "harness/base/sys.h"
#include "harness/runner/end_state.h"
#include "harness/runner/timeline.h"
#include "harness/witness/story.h"
#include "probes/bpf/abi.h"
#include "probes/inmate/abi.h"

namespace ringfence {
namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Result<uint64_t> number(const std::string& text) {
  errno = 0;
  char* end = nullptr;
  uint64_t value = 0;
  if (text.starts_with('-')) {
    value = static_cast<uint64_t>(std::strtoll(text.c_str(), &end, 0));
  } else {
    value = std::strtoull(text.c_str(), &end, 0);
  }
  if (text.empty() || *end != 0 || errno != 0) {
    return system_error("read argument of a call", text, EINVAL, "a number");
  }
  return value;
}

Result<rf_want> want_of(const Call& call, const Expand& expand) {
  rf_want want{};
  want.nr = static_cast<uint32_t>(call.nr);
  want.compat = call.compat ? 1 : 0;
  want.path = -1;
  for (const Call::Arg& arg : call.args) {
    if (arg.index < 0 || arg.index > 5) {
      return system_error("read argument of a call", std::to_string(arg.index), EINVAL, "0 to 5");
    }
    auto text = expand(arg.value);
    if (!text) return tl::unexpected(text.error());
    auto value = number(*text);
    if (!value) return tl::unexpected(value.error());
    const auto i = static_cast<size_t>(arg.index);
    want.args = static_cast<uint8_t>(want.args | 1U << i);
    want.mask[i] = call.compat ? arg.mask & 0xffffffff : arg.mask;
    want.value[i] = *value & want.mask[i];
  }
  if (call.path >= 0) {
    auto text = expand(call.path_is);
    if (!text) return tl::unexpected(text.error());
    want.path = static_cast<int8_t>(call.path);
    // Zeroes stay behind it.
    (void)text->copy(want.path_is, sizeof want.path_is - 1);
  }
  return want;
}

rf_want sentinel() {
  rf_want want{};
  want.nr = SYS_write;
  want.path = -1;
  want.args = 1;
  want.mask[0] = 0xffffffff;
  want.value[0] = RF_ANSWER_FD;
  return want;
}

}  // namespace

const Witness* witness_of_process() {
  static const auto witness = Witness::open({.rings = 4});
  return witness ? &*witness : nullptr;
}

Result<KernelWatch> KernelWatch::begin(const Witness& witness, int group_fd,
                                       const Witness::WatchOptions& options, WatchExtras extras) {
  struct stat st {};
  const int64_t r = sys::call(SYS_fstat, group_fd, sys::arg(&st));
  if (r < 0) return system_error("fstat", "the target's group", static_cast<int>(-r));
  const int64_t began = now_ns();
  auto watch = witness.watch(st.st_ino, options);
  if (!watch) return tl::unexpected(watch.error());
  KernelWatch made(std::move(*watch), began, std::move(extras));
  if (made.extras_.clock != nullptr) {
    const auto slot = static_cast<uint32_t>(std::max(options.slot, 0));
    if (auto ok = made.extras_.clock->begin(made.watch_.id(), slot); !ok) {
      return tl::unexpected(ok.error());
    }
    auto event = made.extras_.clock->follow(0);
    if (!event) return tl::unexpected(event.error());
    made.on_cpu_ = std::move(*event);
  }
  return made;
}

KernelFacts KernelWatch::unwatched(const Error& error) {
  KernelFacts facts;
  facts.absent = "witness_failed";
  facts.lost = 1;
  facts.lost_what = "all of them: " + error.describe();
  return facts;
}

Status KernelWatch::look_for(const std::vector<Call>& calls, const Expand& expand) const {
  std::vector<rf_want> wants;
  for (const Call& call : calls) {
    auto want = want_of(call, expand);
    if (!want) return tl::unexpected(want.error());
    wants.push_back(*want);
  }
  wants.push_back(sentinel());
  return watch_.look_for(wants);
}

// Lines of the story beyond these are counted, and not told.
constexpr size_t kFullStory = 20000;
constexpr int64_t kMilli = 1000000;

void lose(uint64_t count, std::string_view what, KernelFacts& facts) {
  facts.lost += count;
  facts.lost_what += fmt::format("{}{} {}", facts.lost_what.empty() ? "" : ", ", count, what);
}

// Of the brackets only whether the attempt began is a fact; what else fails here is a part of the
// story, or a number that is not there.
void KernelWatch::collect_extras(const Plan& plan, TrialOutcome& outcome) const {
  // A target that gets the inmate as a file of its own executes another image.
  if (extras_.bracket != nullptr && plan.program.empty()) {
    if (auto seen = extras_.bracket->take(watch_.id(), extras_.attempt)) {
      outcome.kernel.bracket = *seen;
    } else {
      lose(1, "looks at the brackets that failed", outcome.kernel);
    }
  }
  if (extras_.clock != nullptr) {
    if (auto time = extras_.clock->time(watch_.id())) {
      outcome.kernel.cpu = *time;
      outcome.evidence.push_back(
          {"", outcome.duration_ns / 1000, "ebpf",
           fmt::format("the target was on a CPU for {} ms in user space and {} ms in the kernel, "
                       "+- {} ms",
                       time->user_ns / kMilli, time->kernel_ns / kMilli, time->error_ns() / kMilli),
           false});
    }
    extras_.clock->end(watch_.id());
  }
  if (extras_.probes == nullptr) return;
  auto counts = extras_.probes->take_counts(watch_.id());
  if (!counts) {
    ++outcome.kernel.story_lost;
    return;
  }
  for (const ProbeCount& count : *counts) {
    outcome.evidence.push_back(
        {"", outcome.duration_ns / 1000, "probe",
         fmt::format("{}: {} counted {} times", count.probe, count.name, count.value), false});
  }
}

void KernelWatch::collect(size_t calls, const Plan& plan, TrialOutcome& outcome) {
  auto facts = watch_.facts();
  if (!facts) {
    outcome.kernel = unwatched(facts.error());
    return;
  }
  // Nothing was looked for when the decoy host did not get so far.
  if (facts->calls.size() == calls + 1) {
    const CallSeen answers = facts->calls.back();
    facts->calls.pop_back();
    if (answers.allowed < outcome.messages) {
      lose(outcome.messages - answers.allowed, "answers that arrived and were not seen to be sent",
           *facts);
    }
  }
  facts->states = std::move(outcome.kernel.states);
  facts->hosts = std::move(outcome.kernel.hosts);
  facts->disagree = std::move(outcome.kernel.disagree);
  facts->states_lost = outcome.kernel.states_lost;
  outcome.kernel = std::move(*facts);
  look_at_tasks(*this, 0, outcome);
  if (outcome.kernel.states_lost > 0) {
    lose(outcome.kernel.states_lost, "lists of tasks that could not be read whole", outcome.kernel);
  }
  std::vector<StoryLine> story;
  const auto keep = [&](const rf_event& event, size_t size) {
    StoryLine line = tell(event, size);
    if (line.probe >= 0 && extras_.probes != nullptr) {
      line.text =
          fmt::format("{}: {}", extras_.probes->name(static_cast<uint32_t>(line.probe)), line.text);
    }
    if (!line.text.empty()) story.push_back(std::move(line));
  };
  if (auto told = watch_.story(keep); !told) ++outcome.kernel.story_lost;
  TimelineOptions options;
  if (extras_.full_story) options.lines_max = kFullStory;
  // What a decoy host says of its own clock is believed as far as it is possible.
  options.zero_ns =
      outcome.began_ns >= began_ns_ && outcome.began_ns <= now_ns() ? outcome.began_ns : began_ns_;
  auto lines = tell_timeline(std::move(story), plan, outcome, options);
  outcome.evidence.insert(outcome.evidence.end(), std::make_move_iterator(lines.begin()),
                          std::make_move_iterator(lines.end()));
  collect_extras(plan, outcome);
  std::stable_sort(outcome.evidence.begin(), outcome.evidence.end(),
                   [](const EvidenceLine& a, const EvidenceLine& b) { return a.at_us < b.at_us; });
}

}  // namespace ringfence
