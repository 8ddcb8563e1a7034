#include "reports/testing.h"

#include <array>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>

#include "reports/text.h"

namespace ringfence::testing {
namespace {

CaseRecord sample_case(const std::string& run_id, const std::string& id, Verdict verdict,
                       Layer layer) {
  CaseRecord r;
  r.run_id = run_id;
  r.id = id;
  r.verdict = verdict;
  r.expected_layer = layer;
  return r;
}

void add_trials(CaseRecord& r, bool control, bool liveness) {
  r.control = TrialRecord{control, control ? "canary_killed: yes" : "canary_killed: no, EPERM"};
  r.liveness = TrialRecord{liveness, liveness ? "exec, answer and exit 0" : "no answer"};
}

RunResult case_run() {
  RunResult run;
  HeaderRecord& h = run.header;
  h.run_id = "20260102T030405-1f2e";
  h.started = "2026-01-02T03:04:05Z";
  h.version = "0.1.0";
  h.kernel = "6.1.0-40-cloud-amd64";
  h.machine = "x86_64";
  h.cgroup_mode = "unified";
  h.lsms = {"lockdown", "capability", "landlock", "yama"};
  h.cpu = "QEMU TCG CPU";
  h.hypervisor = "TCG";
  h.root = true;
  h.seed = 18446744073709551615ULL;
  h.unenforced = {"/linux/intelRdt"};
  h.notes = {"root.path is not there: the default rootfs is used"};
  h.facts = {{"landlock_abi", "2"}, {"userns", "yes"}};

  CaseRecord held = sample_case(h.run_id, "pid.signal.init", Verdict::held, Layer::kPid);
  held.title = "kill a process outside the pid namespace by its pid";
  held.source = "pid_namespaces(7)";
  held.decided_by = "ns.pid";
  add_trials(held, true, true);
  held.witnesses = {{"canary", "canary_killed: no (pid 3 alive)", 0},
                    {"wait", "exited 0", 0},
                    {"inmate", "kill: ESRCH", 0}};
  held.evidence = {{"control", 0, "plan", "31 steps, without ns.pid", false},
                   {"control", 812, "canary", "pid 3 is gone", false},
                   {"confined", 1203, "canary", "pid 3 is alive", true},
                   {"confined", 0, "plan", "32 steps", false},
                   {"confined", 1100, "inmate", "kill(3, SIGKILL): ESRCH", false},
                   {"liveness", 640, "wait", "exited 0", false}};
  held.duration_ns = 4'200'000;
  held.timings_ns = {{"confined", 1'400'000}, {"control", 1'500'000}, {"liveness", 1'100'000}};
  held.notes = "inmate bound at /.ringfence";
  run.cases.push_back(held);

  CaseRecord breached =
      sample_case(h.run_id, "mnt.open_by_handle", Verdict::breached, Layer::cap("DAC_READ_SEARCH"));
  breached.title = "read a file of the host through open_by_handle_at";
  breached.source = "CVE-2014-9357 family, open_by_handle_at(2)";
  add_trials(breached, true, true);
  breached.witnesses = {{"canary", "secret_returned: yes", 0}, {"ebpf", "openat: 0", 7}};
  breached.evidence = {{"confined", 2045, "canary", "the secret of this run came back", true}};
  breached.duration_ns = 12'345'678;
  run.cases.push_back(breached);

  CaseRecord unproven = sample_case(h.run_id, "net.raw", Verdict::unproven, Layer::cap("NET_RAW"));
  unproven.title = "open a raw socket";
  unproven.reason = "control_failed";
  unproven.detail = "socket(AF_INET, SOCK_RAW): EACCES in the control trial";
  add_trials(unproven, false, true);
  unproven.witnesses = {{"wait", "exited 1", 0}};
  unproven.evidence = {{"confined", 700, "wait", "exited 1", false}};
  unproven.duration_ns = 2'000'000;
  run.cases.push_back(unproven);

  CaseRecord broken = sample_case(h.run_id, "user.map", Verdict::broken, Layer::kUser);
  broken.title = "become root of the host by a second id map";
  broken.reason = "spawn_failed";
  broken.detail = "step 4 (write /proc/self/uid_map): EPERM";
  broken.duration_ns = 300'000;
  run.cases.push_back(broken);

  for (const auto* id : {"limit.pids", "limit.memory"}) {
    CaseRecord skipped = sample_case(h.run_id, id, Verdict::skipped, Layer::kCgroupPids);
    skipped.title = "more than the limit";
    skipped.reason = "needs:cgroup2";
    run.cases.push_back(skipped);
  }
  CaseRecord lacks = sample_case(h.run_id, "fd.nofile", Verdict::skipped, Layer::rlimit("NOFILE"));
  lacks.title = "more open files than the limit";
  lacks.reason = "host-lacks:cap_sys_resource";
  run.cases.push_back(lacks);

  run.findings = {{h.run_id, "net.raw", "ping_group_range lets every group make ICMP sockets"}};
  run.summary = {h.run_id,
                 {{Verdict::held, 1},
                  {Verdict::breached, 1},
                  {Verdict::unproven, 1},
                  {Verdict::skipped, 3},
                  {Verdict::broken, 1}},
                 1,
                 21'000'000,
                 false,
                 {"1 case breached: mnt.open_by_handle"}};
  return run;
}

RunResult policy_run() {
  RunResult run;
  HeaderRecord& h = run.header;
  h.run_id = "20260102T030405-77aa";
  h.started = "2026-01-02T03:04:06Z";
  h.version = "0.1.0";
  h.kernel = "6.12.9-cloud-amd64";
  h.machine = "x86_64";
  h.cgroup_mode = "hybrid";
  h.target = "runc";
  h.mode = "policy";
  h.policy = "docker-default";
  CaseRecord held = sample_case(h.run_id, "pid.signal.init", Verdict::held, Layer::kPid);
  held.title = "kill a process outside the pid namespace by its pid";
  held.target = "runc";
  held.mode = "policy";
  held.decided_by = "unattributed";
  add_trials(held, true, true);
  held.witnesses = {{"canary", "canary_killed: no (pid 3 alive)", 0}};
  held.duration_ns = 61'000'000;
  run.cases.push_back(held);
  run.granted = {{h.run_id, "cap.NET_RAW", "raw sockets in its own network namespace"}};
  run.summary = {h.run_id,
                 {{Verdict::held, 1},
                  {Verdict::breached, 0},
                  {Verdict::unproven, 0},
                  {Verdict::skipped, 0},
                  {Verdict::broken, 0}},
                 0,
                 61'500'000,
                 false,
                 {}};
  return run;
}

}  // namespace

std::vector<RunResult> sample_results() { return {case_run(), policy_run()}; }

std::string RandomResults::text(size_t most) {
  static const std::vector<std::string> pieces = {
      "plain",
      " ",
      "\n",
      "\r",
      "\t",
      std::string(1, '\0'),
      "\x1b[2J\x1b]0;title\x07",
      "\x7f",
      "\u009b31m",
      "\"",
      "\\",
      "<&>]]>",
      "--><failure/>",
      "\nnot ok 99 forged\n",
      "\nok 98 forged # SKIP no",
      "# Subtest: forged",
      // Written as an escape, nothing in this source is hidden; it is what the writers must show.
      "\u202egnp.exe",  // NOLINT(misc-misleading-bidirectional): see above
      "\u200b",
      "\ufeff",
      "\ufffe",
      "\U0001F512",
      "\u4e2d\u6587",
      "e\u0301",
      "{\"type\":\"header\"}",
      "/../~",
      "%s%n{}",
  };
  static const std::vector<std::string> broken = {"\xff",     "\xc0\xaf", "\xed\xa0\x80",
                                                  "\xf4\x90", "\xe2\x82", "\x80"};
  std::string out;
  for (size_t i = number(most + 1); i > 0; --i) {
    const bool bad = broken_utf8_ && number(3) == 0;
    out += bad ? broken[number(broken.size())] : pieces[number(pieces.size())];
  }
  return out;
}

CaseRecord RandomResults::record(const std::string& run_id, size_t index) {
  static const std::vector<Layer> layers = Layer::all();
  static const std::array<const char*, 8> names = {"ebpf", "canary",     "proc", "cgroup",
                                                   "kvm",  "transcript", "wait", "inmate"};
  static const std::array<const char*, 3> trials = {"control", "confined", "liveness"};
  CaseRecord r;
  r.run_id = run_id;
  r.id = "prim" + std::to_string(number(4)) + "." + std::to_string(index) + "." + text(2);
  r.title = text();
  r.source = text();
  r.verdict = static_cast<Verdict>(number(kVerdicts));
  if (number(4) != 0) r.expected_layer = layers[number(layers.size())];
  if (number(2) != 0) r.decided_by = layers[number(layers.size())].str();
  r.target = word();
  r.mode = number(2) == 0 ? "case" : "policy";
  r.reason = word();
  r.detail = text();
  if (number(3) != 0) r.control = TrialRecord{number(2) == 0, text()};
  if (number(3) != 0) r.liveness = TrialRecord{number(2) == 0, text()};
  for (size_t i = number(4); i > 0; --i) {
    r.witnesses.push_back(
        {names.at(number(names.size())), text(), number(2) == 0 ? 0 : UINT64_MAX - number(9)});
  }
  for (size_t i = number(5); i > 0; --i) {
    r.evidence.push_back({trials.at(number(3)), static_cast<int64_t>(rng_()) - 1000, word(), text(),
                          number(3) == 0});
  }
  r.duration_ns = number(9) == 0 ? INT64_MAX : static_cast<int64_t>(rng_());
  for (size_t i = number(3); i > 0; --i) {
    r.timings_ns["t" + std::to_string(i)] = -static_cast<int64_t>(rng_());
  }
  r.notes = text();
  return r;
}

std::vector<RunResult> RandomResults::results(size_t runs, size_t cases) {
  std::vector<RunResult> all;
  for (size_t i = 0; i < runs; ++i) {
    RunResult run;
    HeaderRecord& h = run.header;
    h.run_id = "run" + std::to_string(i) + text(1);
    h.started = text();
    h.version = text();
    h.kernel = text();
    h.machine = text();
    h.cgroup_mode = text();
    for (size_t n = number(4); n > 0; --n) h.lsms.push_back(text());
    h.cpu = text();
    h.hypervisor = text();
    h.root = number(2) == 0;
    h.target = word();
    h.mode = number(2) == 0 ? "case" : "policy";
    h.policy = text();
    h.seed = UINT64_MAX - number(1000);
    for (size_t n = number(3); n > 0; --n) h.unenforced.push_back(text());
    for (size_t n = number(3); n > 0; --n) h.notes.push_back(text());
    for (size_t n = number(4); n > 0; --n) h.facts["fact" + std::to_string(n)] = text();
    for (size_t n = number(3); n > 0; --n) h.axes["axis" + std::to_string(n)] = text();
    SummaryRecord& s = run.summary;
    s.run_id = h.run_id;
    for (int v = 0; v < kVerdicts; ++v) s.counts[static_cast<Verdict>(v)] = 0;
    for (size_t n = 0; n < cases; ++n) {
      run.cases.push_back(record(h.run_id, n));
      ++s.counts[run.cases.back().verdict];
    }
    for (size_t n = number(3); n > 0; --n) run.granted.push_back({h.run_id, word(), text()});
    for (size_t n = number(3); n > 0; --n) run.findings.push_back({h.run_id, text(), text()});
    s.exit_code = static_cast<int>(number(5));
    s.duration_ns = static_cast<int64_t>(rng_());
    s.interrupted = number(4) == 0;
    for (size_t n = number(3); n > 0; --n) s.complaints.push_back(text());
    for (size_t n = number(3); n > 0; --n) s.notes.push_back(text());
    all.push_back(std::move(run));
  }
  return all;
}

std::string testdata(const std::string& name) {
  return std::string(RINGFENCE_SOURCE_DIR) + "/reports/testdata/" + name;
}

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string against_golden(const std::string& name, const std::string& text) {
  const std::string path = testdata(name);
  const char* update = std::getenv("RINGFENCE_UPDATE_GOLDEN");
  if (update != nullptr && std::string(update) == "1") {
    std::ofstream(path, std::ios::binary) << text;
    return {};
  }
  const std::string golden = slurp(path);
  if (golden == text && !text.empty()) return {};
  return path + " differs (RINGFENCE_UPDATE_GOLDEN=1 writes it anew). Now:\n" + text +
         "\nGolden:\n" + golden;
}

std::string normalize(std::string text) {
  static const std::regex minutes(R"(\d+ min \d+ s\b)");
  static const std::regex time(R"( *\b\d+(\.\d+)? (ns|us|ms|s)\b)");
  static const std::regex run(R"(\b\d{8}T\d{6}-[0-9a-f]+\b)");
  static const std::regex version(R"(\bringfence \d+\.\d+\.\d+[\w.+-]*)");
  text = std::regex_replace(text, minutes, "1 s");
  text = std::regex_replace(text, time, " TIME");
  text = std::regex_replace(text, run, "RUN");
  return std::regex_replace(text, version, "ringfence VERSION");
}

// Written apart from reports/text.cc on purpose: it judges it.
std::string unsafe_part(const std::string& text) {
  if (to_utf8(text) != text) return "not UTF-8";
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n') || byte == 0x7F) return "byte " + std::to_string(byte);
    if (byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) return "C1 control";
  }
  // NOLINTNEXTLINE(misc-misleading-bidirectional): an escape, nothing in this source is hidden
  for (const char* sign : {"\u202e", "\u200b", "\u2028", "\ufeff"}) {
    if (text.find(sign) != std::string::npos) return "invisible control";
  }
  return {};
}

}  // namespace ringfence::testing
