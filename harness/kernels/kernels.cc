#include "harness/kernels/kernels.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "harness/base/file.h"
#include "harness/kernels/result_stream.h"

namespace ringfence {
namespace {

// Three trials, and what lies between them.
constexpr int kTrials = 3;
constexpr std::chrono::milliseconds kBetween(30000);

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  (void)std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text.data();
}

class LockedObserver {
 public:
  explicit LockedObserver(Observer& observer) : observer_(observer) {}
  template <typename F>
  void call(F&& f) {
    const std::scoped_lock lock(mutex_);
    f(observer_);
  }

 private:
  std::mutex mutex_;
  Observer& observer_;
};

class TargetRun {
 public:
  TargetRun(const KernelTarget& target, size_t number, const KernelsOptions& options,
            LockedObserver& observer)
      : target_(target), number_(number), options_(options), observer_(observer) {}

  RunResult run() {
    const auto began = std::chrono::steady_clock::now();
    for (const Case* c : options_.cases) todo_.push_back(c);
    while (!todo_.empty() && !interrupted()) {
      const size_t before = todo_.size();
      const MachineEnd end = one_machine(todo_, jobs());
      if (todo_.empty()) break;
      if (end.failure.empty()) {
        give_up_on(todo_, "run_failed", why_incomplete(end));
      } else if (end.failure == "interrupted") {
        break;
      } else if (end.failure == "boot_failed" || end.failure == "vmm_failed" ||
                 end.failure == "spawn_failed") {
        find(nullptr, end);
        give_up_on(todo_, end.failure, end.detail);
      } else {
        narrow_down(end);
        if (todo_.size() == before) give_up_on(todo_, end.failure, end.detail);
      }
    }
    if (interrupted()) result_.summary.interrupted = true;
    for (auto& note : notes_) result_.summary.notes.push_back(std::move(note));
    ensure_header();
    sort_cases();
    result_.summary.run_id = result_.header.run_id;
    result_.summary.duration_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                                      std::chrono::steady_clock::now() - began)
                                      .count();
    conclude(result_, target_.rules);
    for (const auto& complaint : unexplained_) {
      result_.summary.complaints.push_back(complaint);
      if (result_.summary.exit_code != 1) result_.summary.exit_code = 2;
    }
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool interrupted() const {
    return options_.machine.interrupted != nullptr && *options_.machine.interrupted;
  }
  [[nodiscard]] int jobs() const {
    if (options_.jobs > 0) return options_.jobs;
    return target_.cpus > 0 ? target_.cpus : options_.machine.cpus;
  }

  MachineEnd one_machine(const std::vector<const Case*>& cases, int jobs) {
    Job job;
    const std::string report = fmt::format("live=/proc/self/fd/{}", kResultFd);
    job.argv = {target_.source.running ? options_.program : "/bin/ringfence",
                "run",
                "--quiet",
                "--report",
                report,
                "--jobs",
                std::to_string(jobs)};
    job.argv.insert(job.argv.end(), options_.run_arguments.begin(), options_.run_arguments.end());
    job.argv.insert(job.argv.end(), target_.run_arguments.begin(), target_.run_arguments.end());
    for (const Case* c : cases) job.argv.push_back(c->id);
    job.sysctls = target_.sysctls;
    running_.clear();
    said_.clear();
    ResultStream stream;
    MachineSinks sinks;
    sinks.result = [&](std::string_view bytes) {
      stream.feed(bytes, [&](const StreamRecord& record) { take(record); });
    };
    sinks.err = [&](std::string_view bytes) {
      if (said_.size() < 4096) said_ += bytes;
    };
    sinks.hello = [&](const Hello& hello) { hello_ = hello; };
    sinks.note = [&](const std::string& text) { notes_.push_back("machine: " + text); };
    sinks.waiting = [&] { observer_.call([](Observer& o) { o.waiting(); }); };
    if (options_.console) {
      sinks.console = [&](std::string_view bytes) { options_.console(number_, bytes); };
    }
    if (target_.source.running) return run_here(job, sinks, options_.machine.interrupted);
    MachineOptions machine = options_.machine;
    machine.image = target_.source.image;
    machine.initramfs = target_.initramfs;
    machine.command_line += (machine.command_line.empty() ? "" : " ") + target_.command_line;
    if (target_.cpus > 0) machine.cpus = target_.cpus;
    if (target_.memory_mib > 0) machine.memory_mib = target_.memory_mib;
    machine.progress_timeout = kTrials * options_.case_timeout + kBetween;
    MachineEnd end = run_machine(machine, job, sinks);
    if (end.failure.empty() && stream.damaged()) {
      end.failure = "channel_lost";
      end.detail = stream.complaint();
    }
    return end;
  }

  void take(const StreamRecord& record) {
    if (record.header) begin(*record.header);
    if (!record.started.empty()) {
      running_.insert(record.started);
      if (const Case* c = find_case(record.started)) {
        observer_.call([&](Observer& o) { o.started(*c, running_.size()); });
      }
    }
    if (record.case_record) {
      running_.erase(record.case_record->id);
      add(*record.case_record);
    }
    if (record.granted) {
      GrantedRecord granted = *record.granted;
      granted.run_id = result_.header.run_id;
      const bool known = std::any_of(
          result_.granted.begin(), result_.granted.end(),
          [&](const GrantedRecord& g) { return g.what == granted.what && g.text == granted.text; });
      if (known) return;
      observer_.call([&](Observer& o) { o.granted(granted); });
      result_.granted.push_back(granted);
    }
    if (record.summary && result_.summary.notes.empty()) {
      result_.summary.notes = record.summary->notes;
    }
  }

  void begin(HeaderRecord header) {
    if (has_header_) return;
    has_header_ = true;
    header.axes = target_.axes;
    if (!target_.source.running) {
      header.notes.push_back("kernel: " + target_.source.spec);
      header.notes.push_back("machine: " + options_.machine.vmm.reason);
      for (const auto& complaint : hello_.complaints) header.notes.push_back("agent: " + complaint);
    }
    result_.header = std::move(header);
    observer_.call([&](Observer& o) { o.header(result_.header, options_.cases.size()); });
  }

  // For a kernel that never said anything.
  void ensure_header() {
    if (has_header_) return;
    HeaderRecord header;
    utsname name{};
    ::uname(&name);
    header.run_id = fmt::format("{}-kernel-{}", now_text(), number_);
    header.started = now_text();
    header.version = RINGFENCE_VERSION;
    header.kernel = target_.source.release;
    header.machine = name.machine;
    header.cgroup_mode = "unknown";
    begin(std::move(header));
  }

  void add(CaseRecord record) {
    const auto at =
        std::find_if(todo_.begin(), todo_.end(), [&](const Case* c) { return c->id == record.id; });
    if (at == todo_.end()) return;
    todo_.erase(at);
    ensure_header();
    record.run_id = result_.header.run_id;
    observer_.call([&](Observer& o) { o.finished(record); });
    result_.cases.push_back(std::move(record));
  }

  void add_broken(const Case& c, const std::string& reason, const std::string& detail) {
    CaseRecord record;
    record.id = c.id;
    record.title = c.title;
    record.source = c.source;
    record.verdict = Verdict::broken;
    record.expected_layer = c.expected;
    record.reason = reason;
    record.detail = detail;
    add(std::move(record));
  }

  void give_up_on(const std::vector<const Case*>& cases, const std::string& reason,
                  const std::string& detail) {
    // add() takes them out of the list that it is given.
    for (const Case* c : std::vector(cases)) add_broken(*c, reason, detail);
  }

  void find(const Case* c, const MachineEnd& end) {
    ensure_header();
    FindingRecord finding;
    finding.run_id = result_.header.run_id;
    if (c != nullptr) finding.id = c->id;
    finding.text = fmt::format("{}: {}", end.failure, end.detail);
    if (!end.last_words.empty()) finding.text += "\n" + end.last_words;
    observer_.call([&](Observer& o) { o.finding(finding); });
    result_.findings.push_back(std::move(finding));
  }

  [[nodiscard]] const Case* find_case(const std::string& id) const {
    const auto at = std::find_if(options_.cases.begin(), options_.cases.end(),
                                 [&](const Case* c) { return c->id == id; });
    return at != options_.cases.end() ? *at : nullptr;
  }

  // Which of those that were running ended the machine.
  void narrow_down(const MachineEnd& first) {
    std::vector<const Case*> suspects;
    for (const auto& id : running_) {
      const auto at =
          std::find_if(todo_.begin(), todo_.end(), [&](const Case* c) { return c->id == id; });
      if (at != todo_.end()) suspects.push_back(*at);
    }
    // Its announcement may have been lost with the machine: cases begin in order.
    const auto many = static_cast<size_t>(jobs());
    for (const Case* next : todo_) {
      if (suspects.size() >= many) break;
      const bool known = std::find(suspects.begin(), suspects.end(), next) != suspects.end();
      if (!known) suspects.push_back(next);
    }
    const bool alone = suspects.size() == 1;
    bool again = false;
    for (const Case* suspect : suspects) {
      if (interrupted()) return;
      const MachineEnd end = one_machine({suspect}, 1);
      if (end.failure == "interrupted") return;
      if (end.failure.empty()) {
        if (find_case_left(suspect)) give_up_on({suspect}, "run_failed", why_incomplete(end));
        continue;
      }
      again = true;
      find(suspect, end);
      if (find_case_left(suspect)) add_broken(*suspect, end.failure, end.detail);
    }
    if (again) return;
    find(alone ? suspects.front() : nullptr, first);
    unexplained_.push_back(fmt::format("{} while {} ran; it did not happen again with each alone",
                                       first.failure, names_of(suspects)));
  }

  [[nodiscard]] bool find_case_left(const Case* c) const {
    return std::find(todo_.begin(), todo_.end(), c) != todo_.end();
  }

  static std::string names_of(const std::vector<const Case*>& cases) {
    std::string names;
    for (const Case* c : cases) names += (names.empty() ? "" : ", ") + c->id;
    return names;
  }

  [[nodiscard]] std::string why_incomplete(const MachineEnd& end) const {
    std::string why = "ringfence inside ended";
    if (end.done.exit_code) why += fmt::format(" with exit {}", *end.done.exit_code);
    if (end.done.signal) why += fmt::format(" by signal {}", *end.done.signal);
    if (!end.done.error.empty()) why += ": " + end.done.error;
    const auto lines = split(said_, '\n');
    if (!lines.empty()) why += "; it says: " + std::string(lines.back());
    return why;
  }

  // In the order in which they were asked for, whatever machine they ran in.
  void sort_cases() {
    std::map<std::string, size_t> order;
    for (const Case* c : options_.cases) order.emplace(c->id, order.size());
    std::stable_sort(
        result_.cases.begin(), result_.cases.end(),
        [&](const CaseRecord& a, const CaseRecord& b) { return order.at(a.id) < order.at(b.id); });
  }

  const KernelTarget& target_;
  size_t number_;
  const KernelsOptions& options_;
  LockedObserver& observer_;
  std::vector<const Case*> todo_;
  std::set<std::string> running_;
  std::string said_;
  Hello hello_;
  bool has_header_ = false;
  RunResult result_;
  std::vector<std::string> unexplained_;
  std::vector<std::string> notes_;  // on machines that came up in another way
};

}  // namespace

std::string KernelTarget::label() const {
  std::string text = source.release;
  for (const auto& [name, value] : axes) text += fmt::format(" {}={}", name, value);
  return text;
}

std::vector<RunResult> run_on_kernels(const std::vector<KernelTarget>& targets,
                                      const KernelsOptions& options, Observer& observer) {
  LockedObserver locked(observer);
  std::vector<RunResult> results(targets.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < targets.size(); i = next++) {
      results[i] = TargetRun(targets[i], i, options, locked).run();
    }
  };
  std::vector<std::thread> threads;
  const auto many = std::min(targets.size(), static_cast<size_t>(std::max(1, options.machines)));
  for (size_t i = 0; i < many; ++i) threads.emplace_back(work);
  for (auto& thread : threads) thread.join();
  return results;
}

}  // namespace ringfence
