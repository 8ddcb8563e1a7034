#include "harness/runner/timeline.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <optional>
#include <set>

#include "harness/witness/syscall_text.h"
#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

bool fits_call(const Op& op, const CallRecord& call) {
  if (op.nr != static_cast<long>(call.nr)) return false;
  const auto shape = shape_of(call.nr, false, call.args);
  const size_t count = shape ? shape->size() : 0;
  for (size_t i = 0; i < count; ++i) {
    if (op.args[i].kind == Arg::Kind::constant && op.args[i].value != call.args[i]) return false;
  }
  return true;
}

// Whether the operation begins with this call. What a pseudo call is made of:
// harness/spawn/child.cc.
bool begins(const Op& op, const CallRecord& call) {
  const auto is = [&](long nr) { return static_cast<long>(call.nr) == nr; };
  switch (op.nr) {
    case kCallCloexecEach:
      return is(SYS_prlimit64);
    case kCallGiveFds:
      return is(SYS_dup3);
    case kCallParentDeath:
      return is(SYS_prctl) && call.args[0] == PR_SET_PDEATHSIG;
    case kCallCapset:
      return is(SYS_capget);
    case kCallMountAt:
      return is(SYS_mount);
    case kCallOpenInRoot:
      return is(SYS_openat);
    case kCallWaitMaps:
      return is(SYS_futex);
    case kCallReborn:
      return is(SYS_clone3);
    default:
      return fits_call(op, call);
  }
}

bool continues(const Step& step, const Op& op, const CallRecord& call) {
  const auto is = [&](long nr) { return static_cast<long>(call.nr) == nr; };
  switch (op.nr) {
    case kCallCloexecEach:
      return is(SYS_fcntl) && call.args[1] == F_SETFD;
    case kCallGiveFds:
      return is(SYS_dup3);
    case kCallParentDeath:
      return is(SYS_poll);
    case kCallCapset:
      return is(SYS_capset);
    case kCallOpenInRoot:
      return is(SYS_openat) || is(SYS_fstat) || is(SYS_readlinkat) || is(SYS_close);
    case kCallWaitMaps:
      return is(SYS_futex);
    case kCallReborn:
      return is(SYS_prctl) || is(SYS_poll) || is(SYS_exit_group);
    default:
      return op.fallback >= 0 && begins(step.fallback[static_cast<size_t>(op.fallback)], call);
  }
}

// What run_child() of harness/spawn/child.cc makes beside its plan.
bool is_spawners_own(const CallRecord& call) {
  switch (call.nr) {
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
    case SYS_futex:
    case SYS_execve:
    case SYS_execveat:
      return true;
    case SYS_prctl:
      return call.args[0] == PR_SET_NAME;
    case SYS_fcntl:
      return call.args[1] == F_DUPFD_CLOEXEC;
    default:
      return false;
  }
}

bool is_exec(const StoryLine& line) {
  if (line.kind == RF_EV_EXEC) return true;
  return line.is_call && !line.call.compat && line.call.ret == 0 && !line.call.no_enter &&
         (line.call.nr == SYS_execve || line.call.nr == SYS_execveat);
}

class Teller {
 public:
  Teller(const Plan& plan, TrialOutcome& outcome, const TimelineOptions& options)
      : follower_(plan), outcome_(outcome), options_(options) {
    sigsys_decides_ = outcome.signaled && outcome.exit_code == SIGSYS && outcome.kernel.sigsys > 0;
    decisive_ = outcome.kernel.decisive();
  }

  std::vector<EvidenceLine> tell(std::vector<StoryLine> story) {
    std::stable_sort(story.begin(), story.end(),
                     [](const auto& a, const auto& b) { return a.at_ns < b.at_ns; });
    for (const StoryLine& line : story) {
      if (line.kind != RF_EV_SIGNAL && line.tid != 0) inside_.insert({line.tid, line.tgid});
      if (line.kind == RF_EV_FORK) {
        inside_.insert({static_cast<int>(line.number), static_cast<int>(line.more[0])});
      }
    }
    const auto exec = std::find_if(story.begin(), story.end(), is_exec);
    const int child = exec != story.end() ? exec->tgid : story.empty() ? 0 : story.front().tgid;
    for (auto line = story.begin(); line != story.end(); ++line) {
      if (line < exec && line->tgid == child && line->is_call) {
        set_up(*line);
      } else if (line >= exec || line->kind < RF_EV_SOCKET || line->kind > RF_EV_DEVICE) {
        // What its steps ask for is theirs.
        flush_set_up();
        one(*line);
      }
    }
    flush_set_up();
    for (const auto& [tid, lines] : checks_) {
      for (const StoryLine& line : lines) add(line, line.text, false);
    }
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const auto& a, const auto& b) { return a.at_us < b.at_us; });
    const auto last = lines_.empty() ? 0 : lines_.back().at_us;
    if (left_out_ > 0) note(last, fmt::format("and {} more events that are not told", left_out_));
    if (outcome_.kernel.story_lost > 0) {
      note(last, fmt::format("{} events had no room in the ring: the story has gaps, the facts "
                             "do not rest on it",
                             outcome_.kernel.story_lost));
    }
    outcome_.kernel.story_lost += left_out_;
    return std::move(lines_);
  }

 private:
  // Calls of one step, one after the other.
  struct Group {
    const Step* step = nullptr;
    StoryLine first;
    size_t at = 0;  // where its line goes: before those of its denied calls
    size_t calls = 0, denied = 0;
  };

  [[nodiscard]] int64_t micros(int64_t at_ns) const { return (at_ns - options_.zero_ns) / 1000; }

  void note(int64_t at_us, std::string text) {
    lines_.push_back({"", at_us, "ebpf", std::move(text), false});
  }

  void set_up(const StoryLine& line) {
    const Step* step = follower_.step_of(line.call);
    if (group_ && group_->step != step) flush_set_up();
    if (!group_) group_ = Group{step, line, lines_.size(), 0, 0};
    ++group_->calls;
    if (!line.denied) {
      checks_.erase(line.tid);
      return;
    }
    ++group_->denied;
    tell_checks(line.tid);
    lines_.push_back({"", micros(line.at_ns), "ebpf", called(line, line.text), decides(line)});
  }

  void flush_set_up() {
    if (!group_) return;
    const std::string denied =
        group_->denied == 0 ? "none denied" : fmt::format("{} denied", group_->denied);
    const std::string what = group_->step == nullptr
                                 ? std::string("set-up")
                                 : fmt::format("{}: {}", group_->step->key, group_->step->text);
    const std::string text =
        called(group_->first, fmt::format("{}, {} syscall{}, {}", what, group_->calls,
                                          group_->calls == 1 ? "" : "s", denied));
    lines_.insert(lines_.begin() + static_cast<std::ptrdiff_t>(group_->at),
                  {"", micros(group_->first.at_ns), "ebpf", text, false});
    group_.reset();
  }

  // Who a task is outside, once it is not root there.
  void tell_uid(const StoryLine& line) {
    uint32_t& known = uids_[line.tid];
    if (known == line.uid) return;
    known = line.uid;
    add(line, fmt::format("is user {} outside", line.uid), false);
  }

  void one(const StoryLine& line) {
    if (line.text.empty() || is_childs_end(line)) return;
    if (inside_.count(line.tid) > 0) tell_uid(line);
    if (line.kind == RF_EV_CAP) {
      // Told with the call if that is denied: the kernel asks for capabilities in many that
      // succeed.
      checks_[line.tid].push_back(line);
      return;
    }
    if (line.is_call) {
      if (line.denied) tell_checks(line.tid);
      checks_.erase(line.tid);
    }
    if (line.kind == RF_EV_SIGNAL) return signal(line);
    if (line.kind == RF_EV_FORK && line.number == line.more[0]) {
      return add(line, "forks " + name(static_cast<int>(line.number)), false);
    }
    if (line.probe >= 0) return put(line.at_ns, called(line, line.text), false, true);
    add(line, line.text, decides(line));
  }

  void tell_checks(int tid) {
    for (const StoryLine& line : checks_[tid]) add(line, line.text, false);
    checks_.erase(tid);
  }

  void signal(const StoryLine& line) {
    const int target = static_cast<int>(line.more[1]);
    const bool to_inside = inside_.count(target) > 0;
    const bool from_inside = inside_.count(line.tid) > 0;
    const std::string what = signal_of(line);
    std::string text;
    if (from_inside && line.tid == target) {
      text = called(line, "gets " + what);
    } else if (from_inside) {
      text = called(line,
                    fmt::format("sends {} to {}", what,
                                to_inside ? name(target) : fmt::format("task {} outside", target)));
    } else {
      text = fmt::format("{} gets {} from outside", to_inside ? name(target) : "a task", what);
    }
    put(line.at_ns, std::move(text), sigsys_decides_ && line.number == SIGSYS);
  }

  [[nodiscard]] bool decides(const StoryLine& line) const {
    if (sigsys_decides_ || decisive_ == nullptr || !line.is_call) return false;
    return line.call.at_ns == decisive_->at_ns && line.call.nr == decisive_->nr;
  }

  // "t1", "t2.1".
  std::string name(int tid) {
    const auto known = inside_.find(tid);
    return names_.name(known != inside_.end() ? known->second : tid, tid);
  }
  std::string called(const StoryLine& line, const std::string& text) {
    if (line.tgid == 0) return text;  // a packet's doing, and no task's
    return names_.name(line.tgid, line.tid) + " " + text;
  }

  void add(const StoryLine& line, const std::string& text, bool decided) {
    put(line.at_ns, called(line, text), decided);
  }
  // A probe's lines take no room from the witness's own.
  void put(int64_t at_ns, std::string text, bool decided, bool probe = false) {
    size_t& told = probe ? told_by_probes_ : told_;
    if (told >= options_.lines_max && !decided) {
      ++left_out_;
      return;
    }
    ++told;
    lines_.push_back({"", micros(at_ns), probe ? "probe" : "ebpf", std::move(text), decided});
  }

  PlanFollower follower_;
  TrialOutcome& outcome_;
  const TimelineOptions& options_;
  bool sigsys_decides_ = false;
  const CallRecord* decisive_ = nullptr;
  std::map<int, int> inside_;                     // tid -> tgid of what is watched
  std::map<int, std::vector<StoryLine>> checks_;  // capability checks that failed, by tid
  std::map<int, uint32_t> uids_;                  // told last, by tid
  std::optional<Group> group_;
  TaskNames names_;
  std::vector<EvidenceLine> lines_;
  size_t told_ = 0, told_by_probes_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace

PlanFollower::PlanFollower(const Plan& plan) {
  for (const Step& step : plan.steps) {
    if (step.where != Where::child) continue;
    for (const Op& op : step.ops) ops_.push_back({&step, &op});
  }
}

const Step* PlanFollower::step_of(const CallRecord& call) {
  if (call.compat || is_spawners_own(call)) return nullptr;
  if (next_ < ops_.size() && begins(*ops_[next_].op, call)) return ops_[next_++].step;
  if (next_ > 0 && continues(*ops_[next_ - 1].step, *ops_[next_ - 1].op, call)) {
    return ops_[next_ - 1].step;
  }
  // Operations with a guard may have been passed over.
  for (size_t i = next_; i < ops_.size(); ++i) {
    if (!begins(*ops_[i].op, call)) continue;
    next_ = i + 1;
    return ops_[i].step;
  }
  return nullptr;
}

std::vector<EvidenceLine> tell_timeline(std::vector<StoryLine> story, const Plan& plan,
                                        TrialOutcome& outcome, const TimelineOptions& options) {
  return Teller(plan, outcome, options).tell(std::move(story));
}

}  // namespace ringfence
