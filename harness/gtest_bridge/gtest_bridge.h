#pragma once
// Cases as GoogleTest tests.
//
//   Case c = ...;
//   EXPECT_THAT(judge_case(c), HeldBy(Layer::kPid));     // matchers.h
//
// or a whole registry by dynamic registration, before RUN_ALL_TESTS():
//
//   if (auto ok = register_cases(registry, options); !ok) ...
//
// A case becomes the test SUITE.TEST: SUITE is the first component of its id, TEST the rest with
// '_' for '.'. It passes when the case held, is skipped with the case's reason, and fails otherwise
// with the reason and the evidence. Its record goes into the XML as properties. Names, filters,
// shuffling, sharding, repeating and XML are GoogleTest's own.
//
// Needs GoogleTest 1.12 (RegisterTest, GTEST_SKIP). The process must have one thread, since cases
// run in forked workers. Listing needs no privileges: nothing is probed before a test runs.
#include <iosfwd>
#include <string>

#include "harness/judge/case.h"
#include "harness/judge/result.h"
#include "harness/runner/registry.h"
#include "harness/runner/runner.h"

namespace ringfence {

// Registers the cases that run() would choose under `options`: by globs, else the default suite,
// else all of them (full); under a policy, only those that are judged in policy mode. Usage error
// for a glob that matches nothing, and when two ids give the same name. Copies what it needs.
Status register_cases(const Registry& registry, RunOptions options = {});

// Runs one case by run(), whether or not any registry or suite knows it. Never fails: what went
// wrong is in the record (`broken`, reason run_failed).
CaseRecord judge_case(const Case& c, RunOptions options = {});

// "pid", "signal_host_process" for "pid.signal_host_process". An id without a dot is its own suite.
struct TestName {
  std::string suite;
  std::string test;
};
TestName test_name(const std::string& id);

// "pid.signal: breached (goal_seen): canary process 3: killed by SIGKILL", then the evidence as
// `ringfence explain` shows it.
std::string describe_record(const CaseRecord& record);
// For GoogleTest: the first line of that.
void PrintTo(const CaseRecord& record, std::ostream* os);

}  // namespace ringfence
