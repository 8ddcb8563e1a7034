#include "harness/judge/guest.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringfence {
namespace {

using Kind = GuestOutcome::Report::Kind;

const GuestOutcome::Report* first(const GuestOutcome& outcome, Kind kind) {
  const auto found = std::find_if(outcome.reports.begin(), outcome.reports.end(),
                                  [&](const GuestOutcome::Report& r) { return r.kind == kind; });
  return found == outcome.reports.end() ? nullptr : &*found;
}

size_t count(const GuestOutcome& outcome, Kind kind) {
  return static_cast<size_t>(
      std::count_if(outcome.reports.begin(), outcome.reports.end(),
                    [&](const GuestOutcome::Report& r) { return r.kind == kind; }));
}

std::string in_words(const GuestOutcome& outcome) {
  if (!outcome.error.empty()) return outcome.error;
  if (const auto* failed = first(outcome, Kind::failed)) return failed->text;
  if (const auto* held = first(outcome, Kind::held)) {
    const size_t n = count(outcome, Kind::held);
    return n > 1 ? fmt::format("{}, and {} more", held->text, n - 1) : held->text;
  }
  if (const auto* other = first(outcome, Kind::not_judged)) return other->text;
  return "the guest said nothing of the clause; " + outcome.end;
}

// The machine's own record of the reports, or of the device that they are about.
bool witnessed(const Case& c, const GuestOutcome& confined, std::string* why) {
  const bool host_saw = std::any_of(confined.reports.begin(), confined.reports.end(),
                                    [](const GuestOutcome::Report& r) { return r.by_host; });
  if (host_saw) return true;
  if (confined.accesses == 0) {
    *why = "the machine saw no access of the guest";
    return false;
  }
  if (c.expected == Layer::kDevice && confined.device_accesses == 0) {
    *why = "the machine saw no access to the device";
    return false;
  }
  return true;
}

}  // namespace

Judgement judge_guest(const Case& c, const GuestOutcome& control, const GuestOutcome& confined) {
  Judgement out;
  const auto give = [&](Verdict verdict, std::string reason, std::string detail) {
    out.verdict = verdict;
    out.reason = std::move(reason);
    out.detail = std::move(detail);
    return out;
  };
  // What was seen stays seen, whatever went wrong afterwards.
  if (const auto* failed = first(confined, Kind::failed)) {
    if (!confined.lack.empty()) return give(Verdict::skipped, confined.lack, failed->text);
    return give(Verdict::breached, "deviates", failed->text);
  }
  if (!confined.error.empty()) return give(Verdict::broken, confined.error_word, confined.error);
  if (!confined.lack.empty()) return give(Verdict::skipped, confined.lack, confined.end);
  const auto* held = first(confined, Kind::held);
  if (held == nullptr) {
    if (const auto* word = first(confined, Kind::not_judged)) {
      return give(Verdict::skipped, "host-lacks:" + word->text, "the guest says so");
    }
    return give(Verdict::unproven, "no_attempt", in_words(confined));
  }
  if (!confined.ended) {
    return give(Verdict::unproven, "liveness_failed",
                "the guest did not come to its end: " + confined.end);
  }
  std::string why;
  if (!witnessed(c, confined, &why)) return give(Verdict::unproven, "no_witness", why);
  if (confined.kernel_exits && *confined.kernel_exits < confined.exits) {
    return give(Verdict::unproven, "witnesses_disagree",
                fmt::format("{} port exits by the kernel's count, {} by the event loop's",
                            *confined.kernel_exits, confined.exits));
  }
  if (confined.traced && *confined.traced != confined.returns) {
    return give(Verdict::unproven, "witnesses_disagree",
                fmt::format("{} exits, {} of them for ports, by KVM's tracepoint; {} and {} by the "
                            "event loop's count",
                            confined.traced->all, confined.traced->ports, confined.returns.all,
                            confined.returns.ports));
  }
  if (!control.error.empty()) {
    return give(Verdict::unproven, "control_failed", "control: " + control.error);
  }
  if (first(control, Kind::failed) == nullptr) {
    if (!control.lack.empty()) return give(Verdict::skipped, control.lack, in_words(control));
    return give(Verdict::unproven, "control_failed",
                "on a machine that is wrong on purpose: " + in_words(control));
  }
  out.decided_by = c.expected.str();
  return give(Verdict::held, "", in_words(confined));
}

CaseRecord make_guest_record(const Case& c, const GuestOutcome& control,
                             const GuestOutcome& confined, const Judgement& judgement) {
  CaseRecord record =
      untried(c, Mode::case_mode, judgement.verdict, judgement.reason, judgement.detail);
  record.decided_by = judgement.decided_by;
  if (judgement.verdict == Verdict::skipped) return record;
  // As in every control, achieved means that the opposite of what is to be held was seen.
  record.control = TrialRecord{first(control, Kind::failed) != nullptr, in_words(control)};
  record.liveness = TrialRecord{confined.ended, confined.end};
  record.timings_ns = {{"control", control.duration_ns}, {"confined", confined.duration_ns}};
  record.duration_ns = control.duration_ns + confined.duration_ns;
  std::string bus = fmt::format("{} accesses", confined.accesses);
  if (c.expected == Layer::kDevice) {
    bus += fmt::format(", {} of them to the device", confined.device_accesses);
  }
  record.witnesses.push_back({"transcript", bus, confined.transcript_lost});
  record.witnesses.push_back(
      {"kvm",
       fmt::format("{} port exits; {}", confined.exits,
                   confined.kernel_exits ? fmt::format("{} by the kernel", *confined.kernel_exits)
                                         : "the kernel counts none"),
       0});
  if (confined.traced) {
    record.witnesses.push_back({"ebpf",
                                fmt::format("{} exits by KVM's tracepoint, {} of them for ports",
                                            confined.traced->all, confined.traced->ports),
                                0});
  }
  for (const GuestOutcome* outcome : {&control, &confined}) {
    record.evidence.insert(record.evidence.end(), outcome->evidence.begin(),
                           outcome->evidence.end());
  }
  int64_t at_us = confined.duration_ns / 1000;
  bool marked = false;
  for (const EvidenceLine& line : confined.evidence) {
    at_us = std::max(at_us, line.at_us);
    marked = marked || line.decided;
  }
  const std::string text =
      judgement.verdict == Verdict::held
          ? "held, decided by " + judgement.decided_by + ": " + judgement.detail
          : fmt::format("{} ({}): {}", verdict_name(judgement.verdict), judgement.reason,
                        judgement.detail);
  record.evidence.push_back({"confined", at_us, "judge", text, !marked});
  return record;
}

}  // namespace ringfence
