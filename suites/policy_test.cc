// The product's promise, tested end to end: a policy that holds is said to hold, one that is
// weakened in one place is breached in exactly the cases that this place held, a lying inmate
// changes nothing for the better, and a policy that refuses everything proves nothing.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/policy/read.h"
#include "harness/runner/kernel_watch.h"
#include "harness/runner/runner.h"
#include "probes/inmate/testdata/liars.h"
#include "reports/explain.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

using Json = nlohmann::json;

const Facts& facts() {
  static const Facts known = Facts::probe();
  return known;
}

const Registry& registry() {
  static const Registry known = attempts().value();
  return known;
}

RunResult judged(RunOptions options) {
  Observer nobody;
  options.jobs = 2;
  options.opened_witness = witness_of_process();
  auto result = run(registry(), facts(), options, nobody);
  EXPECT_TRUE(result) << result.error().describe();
  if (!result) return {};
  conclude(*result, {});
  return std::move(*result);
}

RunResult judged_policy(const Json& config) {
  auto read = parse_oci_policy(config.dump(), "config.json");
  EXPECT_TRUE(read) << read.error().describe();
  RunOptions options;
  options.policy = read->policy;
  return judged(std::move(options));
}

std::set<std::string> with_verdict(const RunResult& result, Verdict verdict) {
  std::set<std::string> ids;
  for (const auto& c : result.cases) {
    if (c.verdict == verdict) ids.insert(c.id);
  }
  return ids;
}

Json docker_default() { return Json::parse(write_oci_policy(profile("docker-default").value())); }

void add_capability(Json& config, const char* name) {
  for (const char* set : {"bounding", "permitted", "effective"}) {
    config["process"]["capabilities"][set].push_back(name);
  }
}

class PolicyMode : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!facts().satisfied("root")) GTEST_SKIP() << facts().why_not("root");
  }
};

TEST_F(PolicyMode, DockerDefaultHolds) {
  const RunResult result = judged_policy(docker_default());
  EXPECT_EQ(result.summary.exit_code, 0) << ::testing::PrintToString(result.summary.complaints);
  EXPECT_GE(with_verdict(result, Verdict::held).size(), 40U);
}

// The strictest of the built-in profiles leaves no attempt without a verdict either.
TEST_F(PolicyMode, HardenedHolds) {
  RunOptions options;
  options.policy = profile("hardened").value();
  const RunResult result = judged(std::move(options));
  if (with_verdict(result, Verdict::skipped).size() == result.cases.size()) GTEST_SKIP();
  EXPECT_EQ(result.summary.exit_code, 0) << ::testing::PrintToString(result.summary.complaints);
}

// One thing weakened, and the cases that must be breached by it, no more and no fewer.
struct Weakening {
  const char* name;
  void (*weaken)(Json& config);
  std::set<std::string> breached;
};

const std::vector<Weakening>& weakenings() {
  static const std::vector<Weakening> list = {
      {"CAP_SYS_ADMIN", [](Json& c) { add_capability(c, "CAP_SYS_ADMIN"); }, {"tty.tiocsti"}},
      {"CAP_DAC_READ_SEARCH",
       [](Json& c) { add_capability(c, "CAP_DAC_READ_SEARCH"); },
       {"fd.link_passed"}},
      {"no_pid_namespace",
       [](Json& c) {
         Json& list_of = c["linux"]["namespaces"];
         for (auto it = list_of.begin(); it != list_of.end();) {
           it = (*it)["type"] == "pid" ? list_of.erase(it) : it + 1;
         }
       },
       {"pid.orphan_outlives", "pid.process_vm_read", "pid.process_vm_write",
        "pid.ptrace_attach_host_process", "pid.ptrace_seize_host_process", "pid.see_host_process",
        "pid.signal_all", "pid.signal_by_pidfd", "pid.signal_host_process"}},
      {"no_seccomp",
       [](Json& c) { c["linux"].erase("seccomp"); },
       // Root without CAP_SYS_ADMIN made the neighbour's user namespace, so it may enter it.
       {"key.cross_read", "net.vsock", "seccomp.clone3_userns", "seccomp.clone_userns",
        "seccomp.unshare_userns", "user.sibling_setns"}},
      {"proc_sys_writable",
       [](Json& c) {
         Json& paths = c["linux"]["readonlyPaths"];
         paths.erase(std::find(paths.begin(), paths.end(), "/proc/sys"));
       },
       {"proc.binfmt_misc", "proc.core_pattern", "proc.modprobe_path", "proc.readonly.proc_sys",
        "proc.sysctl_global"}},
  };
  return list;
}

class Weakened : public PolicyMode, public ::testing::WithParamInterface<size_t> {};

TEST_P(Weakened, BreachesExactlyWhatItHeld) {
  const Weakening& weakening = weakenings().at(GetParam());
  Json config = docker_default();
  weakening.weaken(config);
  const RunResult result = judged_policy(config);
  EXPECT_EQ(result.summary.exit_code, 1);
  std::set<std::string> expected = weakening.breached;
  for (const auto& id : with_verdict(result, Verdict::skipped)) expected.erase(id);
  EXPECT_FALSE(expected.empty()) << "everything that would show it is skipped here";
  EXPECT_EQ(with_verdict(result, Verdict::breached), expected);
  EXPECT_TRUE(with_verdict(result, Verdict::unproven).empty());
  EXPECT_TRUE(with_verdict(result, Verdict::broken).empty());
  for (const auto& record : result.cases) {
    if (record.verdict != Verdict::breached) continue;
    const std::string why = render_explain(result.header, record, Style{});
    EXPECT_NE(why.find("goal: "), std::string::npos) << why;
  }
}

INSTANTIATE_TEST_SUITE_P(Policy, Weakened, ::testing::Range<size_t>(0, 5),
                         [](const auto& test) { return weakenings().at(test.param).name; });

// Three files of different origin. What they ask for and this host lacks is skipped by name.
class RealFile : public PolicyMode, public ::testing::WithParamInterface<const char*> {};

TEST_P(RealFile, IsJudged) {
  const std::string path =
      std::string(RINGFENCE_SOURCE_DIR) + "/suites/data/policies/" + GetParam() + ".json";
  auto read = read_oci_policy(path);
  ASSERT_TRUE(read) << read.error().describe();
  RunOptions options;
  options.policy = read->policy;
  const RunResult result = judged(std::move(options));
  EXPECT_GE(result.cases.size(), 40U);
  for (const auto& c : result.cases) {
    EXPECT_TRUE(c.verdict == Verdict::held || c.verdict == Verdict::breached ||
                c.verdict == Verdict::skipped)
        << c.id << ": " << verdict_name(c.verdict) << " " << c.reason << ": " << c.detail;
    if (c.verdict == Verdict::skipped) {
      EXPECT_FALSE(c.reason.empty()) << c.id;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policy, RealFile, ::testing::Values("runc-spec", "crun-spec", "podman"),
                         [](const auto& test) { return std::string(test.param).substr(0, 4); });

// ---- Liars
// -----------------------------------------------------------------------------------------
struct Liar {
  const char* name;
  std::span<const unsigned char> (*image)();
};
const std::array kLiars = {Liar{"denies", liar_denies_image}, Liar{"idle", liar_idle_image},
                           Liar{"boasts", liar_boasts_image}};

class Lying : public PolicyMode, public ::testing::WithParamInterface<size_t> {
 protected:
  static RunOptions with_liar() {
    const auto image = kLiars.at(GetParam()).image();
    RunOptions options;
    options.full = true;
    options.inmate.assign(image.begin(), image.end());
    return options;
  }
};

// Where the truth is breached (no confinement at all), no lie makes it held.
TEST_P(Lying, NeverTurnsBreachedIntoHeld) {
  RunOptions honest;
  honest.policy = profile("none").value();
  const auto breached = with_verdict(judged(std::move(honest)), Verdict::breached);
  EXPECT_GE(breached.size(), 40U);
  RunOptions lying = with_liar();
  lying.policy = profile("none").value();
  const auto held = with_verdict(judged(std::move(lying)), Verdict::held);
  for (const auto& id : held) EXPECT_FALSE(breached.contains(id)) << id;
}

// The same in case mode: without the step that makes the layer.
TEST_P(Lying, NeverHeldWithoutItsStep) {
  for (const Case& c : registry().cases()) {
    if (c.step.empty()) continue;
    Registry one;
    ASSERT_TRUE(one.add(c));
    RunOptions options = with_liar();
    options.drop = [&](const Step& step) { return step.key == c.step; };
    Observer nobody;
    const auto result = run(one, facts(), options, nobody);
    ASSERT_TRUE(result) << result.error().describe();
    EXPECT_NE(result->cases.at(0).verdict, Verdict::held) << c.id;
  }
}

// Where the truth is held, no lie makes it breached, and none makes a control succeed that was not
// made. Where the case is about
// the state that the target starts in, there is nothing to lie about.
TEST_P(Lying, FakesNothing) {
  const RunResult result = judged(with_liar());
  EXPECT_TRUE(with_verdict(result, Verdict::breached).empty())
      << ::testing::PrintToString(with_verdict(result, Verdict::breached));
  const bool tries = std::string(kLiars.at(GetParam()).name) == "denies";
  for (const auto& record : result.cases) {
    if (tries || !record.control) continue;
    const Case* c = registry().find(record.id);
    if (c->state) continue;
    EXPECT_FALSE(record.control->achieved) << record.id << ": " << record.control->says;
    EXPECT_NE(record.verdict, Verdict::held) << record.id;
  }
}

// The liar that is honest in the control and in the twin, so that nothing but the confined trial
// can keep it from a false `held`. It also takes on by itself what a policy would have made of it,
// and names other processes to be looked at.
TEST_F(PolicyMode, WhatATargetPutsOnByItselfHoldsNothing) {
  Policy open = profile("none").value();
  CapSet marked = CapSet::all();
  marked.set(*cap_by_name("WAKE_ALARM"), false);  // how it knows that it is to be confined
  open.capabilities = {marked, marked, marked, marked, CapSet{}};
  RunOptions honest;
  honest.policy = open;
  const auto breached = with_verdict(judged(std::move(honest)), Verdict::breached);
  EXPECT_GE(breached.size(), 40U);
  const auto image = liar_hides_image();
  RunOptions hiding;
  hiding.policy = open;
  hiding.inmate.assign(image.begin(), image.end());
  const RunResult result = judged(std::move(hiding));
  for (const auto& id : with_verdict(result, Verdict::held)) {
    EXPECT_FALSE(breached.contains(id)) << id;
  }
  const auto only_confined =
      std::count_if(result.cases.begin(), result.cases.end(), [](const CaseRecord& record) {
        // With an eBPF witness it gives itself away: it answers by another call than our inmate's.
        const bool caught = record.reason == "no_witness" || record.reason == "evidence_lost";
        return caught && record.control && record.control->achieved && record.liveness &&
               record.liveness->achieved;
      });
  EXPECT_GE(only_confined, 10) << "it lies so badly that it proves nothing";
}

// What an inmate is told does not tell it the secret.
TEST_F(PolicyMode, TheSecretCannotBeCalculated) {
  const auto image = liar_guesses_image();
  RunOptions options;
  options.globs = {"ipc.mqueue"};
  options.inmate.assign(image.begin(), image.end());
  const RunResult result = judged(std::move(options));
  ASSERT_EQ(result.cases.size(), 1U);
  const CaseRecord& record = result.cases.front();
  if (record.verdict == Verdict::skipped) GTEST_SKIP() << record.reason;
  ASSERT_TRUE(record.control) << record.detail;
  EXPECT_FALSE(record.control->achieved) << record.control->says;
  EXPECT_EQ(record.reason, "control_failed") << record.detail;
}

// As a program that uses the library gives it: with a root that is there, and no word about it.
TEST(GivenPolicy, ARootThatIsThereIsInTheDecoyHost) {
  std::string directory = ::testing::TempDir() + "root-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  RunOptions options;
  options.policy = profile("docker-default").value();
  options.policy->root->path = directory;
  options.globs = {"uts.hostname"};
  const RunResult result = judged(std::move(options));
  std::filesystem::remove_all(directory);
  ASSERT_EQ(result.cases.size(), 1U);
  const CaseRecord& record = result.cases.front();
  if (record.verdict == Verdict::skipped) GTEST_SKIP() << record.reason;
  EXPECT_EQ(record.verdict, Verdict::held) << record.detail;
}

INSTANTIATE_TEST_SUITE_P(Inmate, Lying, ::testing::Range<size_t>(0, kLiars.size()),
                         [](const auto& test) { return kLiars.at(test.param).name; });

// A root of the user's own, wherever it lies: judged, breached where the policy is weak, and left
// as it was. (The decoy host is put together at /tmp.)
TEST_F(PolicyMode, AGivenRootBelowTmpIsJudgedAndLeftAsItWas) {
  namespace fs = std::filesystem;
  std::string place = "/tmp/ringfence-root-XXXXXX";
  ASSERT_NE(mkdtemp(place.data()), nullptr);
  for (const char* directory : {"proc", "dev", "sys", "tmp"}) {
    fs::create_directory(fs::path(place) / directory);
  }
  Json config = docker_default();
  add_capability(config, "CAP_DAC_READ_SEARCH");
  config["mounts"].push_back({{"destination", "/mnt"},
                              {"type", "bind"},
                              {"source", place + "/tmp"},
                              {"options", {"rbind", "ro"}}});
  // The host's own root, for which the decoy host's stands in.
  config["mounts"].push_back(
      {{"destination", "/tmp"}, {"type", "bind"}, {"source", "/./"}, {"options", {"rbind", "ro"}}});
  auto read = parse_oci_policy(config.dump(), "config.json");
  ASSERT_TRUE(read) << read.error().describe();
  RunOptions options;
  options.policy = read->policy;
  options.rootfs = place;
  options.globs = {"fd.link_passed", "mnt.old_root_visible"};
  const RunResult result = judged(std::move(options));
  ASSERT_EQ(result.cases.size(), 2U);
  for (const auto& c : result.cases) {
    const bool weak = c.id == "fd.link_passed";
    EXPECT_EQ(c.verdict, weak ? Verdict::breached : Verdict::held) << c.id << ": " << c.detail;
  }
  EXPECT_FALSE(fs::exists(fs::path(place) / "rf_linked"));
  fs::remove_all(place);
}

// A filter without execveat, as runtimes' own often are, is judged all the same.
TEST_F(PolicyMode, FilterWithoutExecveatIsJudged) {
  Json config = docker_default();
  for (Json& rule : config["linux"]["seccomp"]["syscalls"]) {
    Json& names = rule["names"];
    names.erase(std::remove(names.begin(), names.end(), "execveat"), names.end());
  }
  config["root"]["readonly"] = true;
  const RunResult result = judged_policy(config);
  EXPECT_EQ(result.summary.exit_code, 0) << ::testing::PrintToString(result.summary.complaints);
  for (const auto& c : result.cases) {
    if (c.verdict == Verdict::skipped) continue;
    EXPECT_NE(c.notes.find("denies execveat"), std::string::npos) << c.id;
  }
}

// A policy that refuses everything but the inmate's start proves nothing.
TEST_F(PolicyMode, RefusingEverythingIsUnproven) {
  Json config = docker_default();
  config["linux"]["seccomp"] = {
      {"defaultAction", "SCMP_ACT_ERRNO"},
      {"architectures", {"SCMP_ARCH_X86_64"}},
      {"syscalls", {{{"names", {"execveat", "execve"}}, {"action", "SCMP_ACT_ALLOW"}}}}};
  config["process"]["noNewPrivileges"] = true;
  const RunResult result = judged_policy(config);
  EXPECT_EQ(result.summary.exit_code, 2);
  EXPECT_TRUE(with_verdict(result, Verdict::held).empty())
      << ::testing::PrintToString(with_verdict(result, Verdict::held));
  for (const auto& c : result.cases) {
    if (c.verdict == Verdict::skipped) continue;
    EXPECT_EQ(c.verdict, Verdict::unproven) << c.id << ": " << c.detail;
    EXPECT_EQ(c.reason, "liveness_failed") << c.id << ": " << c.detail;
  }
}

}  // namespace
}  // namespace ringfence::suites
