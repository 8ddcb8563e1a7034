#pragma once
// The forced-fallback check: the built-in cases with a syscall that newer kernels have answered
// ENOSYS through the seam. Where the engine has a stand-in, every verdict is the same; where it has
// none, the case says so, and is listed with the reason.
//
// Used by fallback_test.cc; a part of its own so that the comparison is tested by itself.
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "harness/base/facts.h"
#include "harness/base/result.h"
#include "harness/base/sys.h"
#include "harness/judge/result.h"
#include "harness/runner/registry.h"

namespace ringfence::suites {

// What an older kernel lacks: a whole call, or one flag of it.
struct Forced {
  std::string word;  // "openat2", "clone3:into_cgroup"
  std::vector<sys::Fault> faults;
  friend void PrintTo(const Forced& forced, std::ostream* out) { *out << forced.word; }
};
const std::vector<Forced>& forced_fallbacks();

// Cases without a fallback: word -> glob of ids -> why.
using NoFallback = std::map<std::string, std::map<std::string, std::string>>;
Result<NoFallback> read_no_fallback(const std::string& path);

using Records = std::map<std::string, CaseRecord>;  // by case id
// Runs all attempts of the registry that belong to the default suite, once.
Result<Records> run_all(const Registry& registry, const Facts& facts);

// Where the forced run differs from the plain one in what is not listed, or does not in what is;
// one complaint each. `breached` is never excused.
std::vector<std::string> compare_forced(const Records& plain, const Records& forced,
                                        const std::map<std::string, std::string>& listed);

}  // namespace ringfence::suites
