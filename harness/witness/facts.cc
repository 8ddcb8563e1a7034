#include "harness/witness/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "harness/base/result.h"
#include "harness/base/sys.h"
#include "harness/policy/read.h"

namespace ringfence {

namespace {
// MAX_ERRNO, include/linux/err.h.
constexpr int64_t kMaxErrno = 4095;
// ERESTARTSYS to ERESTART_RESTARTBLOCK, include/linux/errno.h.
constexpr int64_t kRestartFirst = 512;
constexpr int64_t kRestartLast = 516;
}  // namespace

bool CallRecord::denied() const {
  if (ret <= -kRestartFirst && ret >= -kRestartLast) return false;
  return no_enter || (ret < 0 && ret >= -kMaxErrno);
}

const CallRecord* KernelFacts::decisive() const {
  const CallRecord* last = nullptr;
  for (const CallSeen& seen : calls) {
    if (seen.denied == 0) continue;
    if (last == nullptr || seen.last_denied.at_ns >= last->at_ns) last = &seen.last_denied;
  }
  return last;
}

bool KernelFacts::ended_in_denial() const {
  const CallRecord* denial = decisive();
  return denial != nullptr && std::none_of(calls.begin(), calls.end(), [&](const CallSeen& seen) {
           return seen.allowed > 0 && seen.last.at_ns > denial->at_ns;
         });
}

bool KernelFacts::attempted() const {
  return std::any_of(calls.begin(), calls.end(), [](const CallSeen& c) { return c.count > 0; });
}

std::string call_name(uint32_t nr, bool compat) {
  return compat ? fmt::format("i386 syscall {}", nr) : syscall_name(static_cast<long>(nr));
}

std::string describe_call(const CallRecord& call) {
  std::string text = call_name(call.nr, call.compat);
  text += '(';
  if (call.args_known) {
    size_t count = call.args.size();
    while (count > 0 && call.args[count - 1] == 0) --count;
    for (size_t i = 0; i < count; ++i) {
      const auto value = static_cast<int64_t>(call.args[i]);
      const bool small = value > -10000 && value < 10000;
      text += fmt::format(fmt::runtime(small ? "{}{}" : "{}{:#x}"), i == 0 ? "" : ", ", value);
    }
  } else {
    text += '?';
  }
  text += ") = ";
  if (call.ret <= -kRestartFirst && call.ret >= -kRestartLast) {
    text += "interrupted";
  } else if (call.ret < 0 && call.ret >= -kMaxErrno) {
    text += errno_name(static_cast<int>(-call.ret));
  } else if (call.ret > 0xffff) {
    text += fmt::format("{:#x}", call.ret);
  } else {
    text += std::to_string(call.ret);
  }
  if (call.no_enter) text += ", never entered";
  return text;
}

}  // namespace ringfence
