// Judges a policy by the library: consumer [NAME|FILE [GLOB...]]; docs/recipes/library.md.
#include <cstdio>

#include "harness/base/facts.h"
#include "harness/policy/read.h"
#include "harness/runner/runner.h"
#include "suites/suite.h"

int main(int argc, char** argv) {
  auto registry = ringfence::suites::builtin();
  auto policy = ringfence::load_policy(argc > 1 ? argv[1] : "docker-default");
  if (!registry || !policy) {
    std::fprintf(stderr, "%s\n", (registry ? policy.error() : registry.error()).describe().c_str());
    return 64;
  }
  ringfence::RunOptions options;
  options.policy = policy->policy;
  options.globs.assign(argv + (argc > 2 ? 2 : argc), argv + argc);
  options.jobs = 2;

  const auto facts = ringfence::Facts::probe();
  ringfence::Observer nobody;  // derive from it to see each record as it comes
  auto result = ringfence::run(*registry, facts, options, nobody);
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().describe().c_str());
    return 2;
  }
  ringfence::conclude(*result, {});
  for (const auto& c : result->cases) {
    std::printf("%s %s %s\n", std::string(ringfence::verdict_name(c.verdict)).c_str(), c.id.c_str(),
                c.decided_by.c_str());
  }
  return result->summary.exit_code;
}
