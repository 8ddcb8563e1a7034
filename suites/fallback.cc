#include "suites/fallback.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/suggest.h"
#include "harness/runner/kernel_watch.h"
#include "harness/runner/runner.h"

namespace ringfence::suites {
namespace {

Forced missing(std::string word, std::initializer_list<long> calls) {
  Forced forced{std::move(word), {}};
  for (const long nr : calls) forced.faults.push_back({nr, sys::kEvery, ENOSYS});
  return forced;
}

bool into_cgroup(const uint64_t* args) {
  uint64_t flags = 0;
  std::memcpy(&flags, address_of_result(static_cast<int64_t>(args[0])), sizeof flags);
  return (flags & CLONE_INTO_CGROUP) != 0;
}

bool marks_cloexec(const uint64_t* args) { return (args[2] & CLOSE_RANGE_CLOEXEC) != 0; }

std::string describe(const CaseRecord& record) {
  std::string text(verdict_name(record.verdict));
  if (!record.reason.empty()) text += fmt::format(" ({}: {})", record.reason, record.detail);
  return text;
}

Result<Records> run_these(const Registry& registry, const Facts& facts, int jobs) {
  RunOptions options;
  options.seed = 1;
  options.jobs = jobs;
  options.timeout = std::chrono::seconds(60);  // for a busy machine
  options.opened_witness = witness_of_process();
  Observer silent;
  auto result = run(registry, facts, options, silent);
  if (!result) return tl::unexpected(result.error());
  Records records;
  for (CaseRecord& record : result->cases) {
    std::string id = record.id;
    records.emplace(std::move(id), std::move(record));
  }
  return records;
}

}  // namespace

const std::vector<Forced>& forced_fallbacks() {
  static const std::vector<Forced> all = {
      missing("clone3", {SYS_clone3}),
      missing("execveat", {SYS_execveat}),
      missing("seccomp", {SYS_seccomp}),
      missing("openat2", {SYS_openat2}),
      missing("fsopen", {SYS_fsopen}),
      missing("fsconfig", {SYS_fsconfig}),
      missing("fsmount", {SYS_fsmount}),
      missing("open_tree", {SYS_open_tree}),
      missing("move_mount", {SYS_move_mount}),
      missing("mount_setattr", {SYS_mount_setattr}),
      missing("mount_api", {SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_open_tree, SYS_move_mount,
                            SYS_mount_setattr, SYS_openat2}),
      missing("close_range", {SYS_close_range}),
      missing("pidfd_open", {SYS_pidfd_open}),
      missing("pidfd_send_signal", {SYS_pidfd_send_signal}),
      missing("pidfd_getfd", {SYS_pidfd_getfd}),
      // Flags that came later than their call.
      {"clone3:into_cgroup", {{SYS_clone3, sys::kEvery, EINVAL, into_cgroup}}},
      {"close_range:cloexec", {{SYS_close_range, sys::kEvery, EINVAL, marks_cloexec}}},
  };
  return all;
}

Result<NoFallback> read_no_fallback(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return usage_error("read no_fallback", path, "must be an object");
  NoFallback list;
  for (const auto& [word, globs] : json.items()) {
    const auto& all = forced_fallbacks();
    if (std::none_of(all.begin(), all.end(),
                     [&name = word](const Forced& f) { return f.word == name; })) {
      return usage_error("read no_fallback", path, word + " is nothing that is forced");
    }
    if (!globs.is_object()) return usage_error("read no_fallback", path, word);
    for (const auto& [glob, reason] : globs.items()) {
      if (!reason.is_string() || reason.get_ref<const std::string&>().empty()) {
        return usage_error("read no_fallback", path,
                           fmt::format("{}: {} has no reason", word, glob));
      }
      list[word].emplace(glob, reason.get<std::string>());
    }
  }
  return list;
}

Result<Records> run_all(const Registry& registry, const Facts& facts) {
  constexpr int kJobs = 2;
  auto records = run_these(registry, facts, kJobs);
  if (!records) return records;
  // What the kernel left out of the witness's programs counts for the whole machine, and others run
  // on it: these again, alone. Where nearly all have lost something it is not chance.
  constexpr size_t kByChance = 20;
  Registry again;
  for (const auto& [id, record] : *records) {
    if (record.reason != "evidence_lost") continue;
    if (auto ok = again.add(*registry.find(id)); !ok) return tl::unexpected(ok.error());
  }
  if (again.cases().empty() || again.cases().size() > kByChance) return records;
  auto second = run_these(again, facts, 1);
  if (!second) return second;
  for (auto& [id, record] : *second) (*records)[id] = std::move(record);
  return records;
}

std::vector<std::string> compare_forced(const Records& plain, const Records& forced,
                                        const std::map<std::string, std::string>& listed) {
  std::vector<std::string> complaints;
  std::map<std::string, int> used;
  for (const auto& [id, before] : plain) {
    const auto entry = std::find_if(listed.begin(), listed.end(), [&name = id](const auto& e) {
      return glob_match(e.first, name);
    });
    const bool excused = entry != listed.end();
    if (excused) ++used[entry->first];
    const auto found = forced.find(id);
    if (found == forced.end()) {
      complaints.push_back(id + " has no record");
      continue;
    }
    const CaseRecord& after = found->second;
    const bool same = before.verdict == after.verdict && before.reason == after.reason &&
                      before.decided_by == after.decided_by;
    if (before.verdict == Verdict::skipped ? !same : before.verdict != Verdict::held) {
      complaints.push_back(
          fmt::format("{}: {}, with the call {}", id, describe(after), describe(before)));
    } else if (after.verdict == Verdict::breached) {
      complaints.push_back(fmt::format("{}: {}", id, describe(after)));
    } else if (before.verdict == Verdict::held && excused && same) {
      complaints.push_back(fmt::format("{} holds, and is listed as {}", id, entry->first));
    } else if (before.verdict == Verdict::held && !excused && !same) {
      complaints.push_back(fmt::format("{}: {} by {}, with the call by {}", id, describe(after),
                                       after.decided_by, before.decided_by));
    }
  }
  for (const auto& [glob, reason] : listed) {
    if (used[glob] == 0) complaints.push_back("there is no case " + glob);
  }
  return complaints;
}

}  // namespace ringfence::suites
