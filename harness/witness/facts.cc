#include "harness/witness/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "harness/policy/read.h"
#include "harness/witness/syscall_text.h"

namespace ringfence {

namespace {
// MAX_ERRNO, include/linux/err.h.
constexpr int64_t kMaxErrno = 4095;
// ERESTARTSYS to ERESTART_RESTARTBLOCK, include/linux/errno.h.
constexpr int64_t kRestartFirst = 512;
constexpr int64_t kRestartLast = 516;
}  // namespace

bool CallRecord::denied() const {
  if (ret == -EINPROGRESS && !no_enter) return false;
  if (ret <= -kRestartFirst && ret >= -kRestartLast) return false;
  return no_enter || (ret < 0 && ret >= -kMaxErrno);
}

namespace {
const CallSeen* last_to_be_denied(const std::vector<CallSeen>& calls) {
  const CallSeen* last = nullptr;
  for (const CallSeen& seen : calls) {
    if (seen.denied == 0) continue;
    if (last == nullptr || seen.last_denied.at_ns >= last->last_denied.at_ns) last = &seen;
  }
  return last;
}
}  // namespace

const CallRecord* KernelFacts::decisive() const {
  const CallSeen* last = last_to_be_denied(calls);
  return last != nullptr ? &last->last_denied : nullptr;
}

std::string_view KernelFacts::decisive_path() const {
  const CallSeen* last = last_to_be_denied(calls);
  return last != nullptr ? std::string_view(last->denied_path) : std::string_view();
}

bool KernelFacts::ended_in_denial() const {
  const CallRecord* denial = decisive();
  return denial != nullptr && std::none_of(calls.begin(), calls.end(), [&](const CallSeen& seen) {
           // The same call that once got through, or any that did afterwards.
           const bool same = &seen.last_denied == denial;
           return seen.allowed > 0 && (same || seen.last.at_ns > denial->at_ns);
         });
}

std::string NetSeen::describe() const {
  const auto packets = [](uint64_t n) { return fmt::format("{} packet{}", n, n == 1 ? "" : "s"); };
  if (packets_out + packets_in == 0) return "no packet";
  return fmt::format("{} out, {} in, {}", packets(packets_out), packets_in,
                     left == 0 ? "all by loopback"
                               : fmt::format("{} of them by another device than loopback", left));
}

bool KernelFacts::attempted() const {
  return std::any_of(calls.begin(), calls.end(), [](const CallSeen& c) { return c.count > 0; });
}

std::string call_name(uint32_t nr, bool compat) {
  if (compat) return fmt::format("i386 syscall {}", nr);
  std::string name = syscall_name(static_cast<long>(nr));
  return name.empty() ? fmt::format("syscall {}", nr) : name;
}

std::string describe_call(const CallRecord& call, std::optional<std::string_view> path) {
  return fmt::format("{}({}) = {}{}", call_name(call.nr, call.compat),
                     call.args_known ? arguments_text(call.nr, call.compat, call.args, path) : "?",
                     result_text(call.nr, call.compat, call.ret),
                     call.no_enter ? ", never entered" : "");
}

}  // namespace ringfence
