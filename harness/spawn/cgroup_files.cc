#include "harness/spawn/cgroup_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <set>

#include "harness/base/file.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(10);
constexpr uint64_t kSecond = 1000000;  // us; cpu.rt_period_us of a new group
constexpr int kSlice = 20;             // ms; the most that a missed event costs

template <typename T>
bool parse(std::string_view text, T& value) {
  const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), value);
  return err == std::errc() && end == text.data() + text.size();
}

bool exists(const std::string& path) {
  return sys::call(SYS_faccessat, AT_FDCWD, sys::arg(path.c_str()), F_OK) == 0;
}

// The directories of groups below, by name. The interface files have dots in their names or are
// known; a group is what has cgroup.procs.
std::vector<std::string> groups_below(const std::string& directory) {
  std::vector<std::string> below;
  for (const auto& name : list_directory(directory).value_or(std::vector<std::string>())) {
    std::string path = fmt::format("{}/{}", directory, name);
    if (exists(path + "/cgroup.procs")) below.push_back(std::move(path));
  }
  return below;
}

// The number in a file; `otherwise` where there is none.
uint64_t number_in(const std::string& file, uint64_t otherwise) {
  uint64_t value = 0;
  const auto text = read_file(file);
  return text && parse(trim(*text), value) ? value : otherwise;
}

// The part of a CPU that a v1 group gives to real time.
double realtime_share(const std::string& directory) {
  return static_cast<double>(number_in(directory + "/cpu.rt_runtime_us", 0)) /
         static_cast<double>(number_in(directory + "/cpu.rt_period_us", kSecond));
}

// The process that a thread belongs to: "Tgid:" of its status. Itself when it is gone.
int process_of(int tid) {
  const auto text = read_file(fmt::format("/proc/{}/status", tid));
  if (!text) return tid;
  for (const auto line : split(*text, '\n')) {
    int pid = 0;
    if (line.starts_with("Tgid:") && parse(trim(line.substr(5)), pid)) return pid;
  }
  return tid;
}

bool is_member(const std::string& directory, int pid) {
  auto members = group_members(directory);
  return members && std::find(members->begin(), members->end(), pid) != members->end();
}

void wait_readable(int fd, short events) {
  pollfd ready{fd, events, 0};
  sys::call(SYS_poll, sys::arg(&ready), 1, kSlice);
}

// A pid may be another process by the time it is opened, so membership is asked again before the
// signal: a pidfd stays with its process.
void kill_member(const std::string& directory, int pid) {
  const int64_t fd = sys::call(SYS_pidfd_open, static_cast<uint64_t>(pid), 0);
  if (fd < 0) return;
  const UniqueFd member(static_cast<int>(fd));
  if (!is_member(directory, pid)) return;
  sys::call(SYS_pidfd_send_signal, static_cast<uint64_t>(fd), SIGKILL, 0, 0);
  wait_readable(member.get(), POLLIN);
}

// One round of killing; false when nobody is left.
Result<bool> kill_round(const std::string& directory) {
  auto members = group_members(directory);
  if (!members) {
    if (members.error().err == ENOENT || members.error().err == ENODEV) return false;
    return tl::unexpected(members.error());
  }
  if (members->empty()) return false;
  if (exists(directory + "/freezer.state")) {
    // A frozen task of v1 takes its death when it is thawed.
    if (auto thawed = write_file(directory + "/freezer.state", "THAWED"); !thawed) {
      return tl::unexpected(thawed.error());
    }
  }
  if (write_file(directory + "/cgroup.kill", "1")) {
    auto events = sys::open((directory + "/cgroup.events").c_str(), O_RDONLY);
    auto left = group_members(directory);
    if (events && left && !left->empty()) wait_readable(events->get(), POLLPRI);
    return true;
  }
  for (const int pid : *members) {
    if (pid > 0) kill_member(directory, pid);
  }
  return true;
}

Status remove_one(const std::string& directory) {
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    auto more = kill_round(directory);
    if (!more) return tl::unexpected(more.error());
    if (!*more) {
      const int64_t r =
          sys::call(SYS_unlinkat, AT_FDCWD, sys::arg(directory.c_str()), AT_REMOVEDIR);
      if (r == 0 || r == -ENOENT) return {};
      // EBUSY: the last member has left cgroup.procs and is not quite gone yet.
      if (r != -EBUSY && r != -EINTR) {
        return system_error("rmdir", directory, static_cast<int>(-r));
      }
      pollfd none{-1, 0, 0};
      sys::call(SYS_poll, sys::arg(&none), 0, 1);
    }
    if (Clock::now() > deadline) return system_error("empty cgroup", directory, EBUSY);
  }
}

}  // namespace

Status make_group(const std::string& directory) {
  const int64_t r = sys::call(SYS_mkdirat, AT_FDCWD, sys::arg(directory.c_str()), 0755);
  if (r < 0 && r != -EEXIST) return system_error("mkdir", directory, static_cast<int>(-r));
  return {};
}

Result<std::vector<int>> group_members(const std::string& directory) {
  auto text = read_file(directory + "/cgroup.procs");
  // A threaded group of v2 has threads only; who ends one of them ends its process.
  const bool threads = !text && text.error().err == EOPNOTSUPP;
  if (threads) text = read_file(directory + "/cgroup.threads");
  if (!text) return tl::unexpected(text.error());
  std::set<int> pids;
  for (const auto line : split(*text, '\n')) {
    int pid = 0;
    if (parse(line, pid)) pids.insert(threads ? process_of(pid) : pid);
  }
  return std::vector<int>(pids.begin(), pids.end());
}

Status remove_group(const std::string& directory) {
  auto names = list_directory(directory);
  if (!names) {
    if (names.error().err == ENOENT) return {};
    return tl::unexpected(names.error());
  }
  Status result;
  for (const auto& below : groups_below(directory)) {
    if (auto removed = remove_group(below); !removed) result = removed;
  }
  auto removed = remove_one(directory);
  return result ? removed : result;
}

Status remove_surely(const std::string& directory) {
  auto removed = remove_group(directory);
  return removed ? removed : remove_group(directory);
}

Status kill_group(const std::string& directory) {
  const auto deadline = Clock::now() + kPatience;
  for (const auto& below : groups_below(directory)) {
    if (auto killed = kill_group(below); !killed) return killed;
  }
  for (;;) {
    auto more = kill_round(directory);
    if (!more) return tl::unexpected(more.error());
    if (!*more) return {};
    if (Clock::now() > deadline) return system_error("kill cgroup", directory, EBUSY);
  }
}

Status freeze_group(const std::string& directory, bool frozen) {
  auto events = sys::open((directory + "/cgroup.events").c_str(), O_RDONLY);
  if (!events) return tl::unexpected(events.error());
  if (auto ok = write_file(directory + "/cgroup.freeze", frozen ? "1" : "0"); !ok) return ok;
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    auto text = read_file(directory + "/cgroup.events");
    if (!text) return tl::unexpected(text.error());
    const auto now = keyed_value(*text, "frozen");
    if (!now) return tl::unexpected(now.error());
    if ((*now != 0) == frozen) return {};
    if (Clock::now() > deadline) return system_error("freeze cgroup", directory, EBUSY);
    wait_readable(events->get(), POLLPRI);
  }
}

Status freeze_v1_group(const std::string& directory, bool frozen) {
  const std::string wanted = frozen ? "FROZEN" : "THAWED";
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    if (auto ok = write_file(directory + "/freezer.state", wanted); !ok) return ok;
    auto state = read_file(directory + "/freezer.state");
    if (!state) return tl::unexpected(state.error());
    if (trim(*state) == wanted) return {};
    if (Clock::now() > deadline) return system_error("freeze cgroup", directory, EBUSY);
    pollfd none{-1, 0, 0};
    sys::call(SYS_poll, sys::arg(&none), 0, 1);
  }
}

Status seed_cpuset(const std::string& parent, const std::string& directory) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    auto given = read_file(fmt::format("{}/{}", parent, file));
    if (!given) return tl::unexpected(given.error());
    auto own = read_file(fmt::format("{}/{}", directory, file));
    if (!own) return tl::unexpected(own.error());
    if (!trim(*own).empty()) continue;
    if (auto ok = write_file(fmt::format("{}/{}", directory, file), trim(*given)); !ok) return ok;
  }
  return {};
}

Status set_realtime(const std::string& top, const std::string& directory, uint64_t runtime_us) {
  // Others of the run make groups beside it; and a group that was removed counts for a while.
  const auto deadline = Clock::now() + std::chrono::milliseconds(500);
  for (;;) {
    // What the group takes of each second; of the way to it only the topmost has others below.
    const double own = static_cast<double>(runtime_us) /
                       static_cast<double>(number_in(directory + "/cpu.rt_period_us", kSecond));
    Status last;
    for (size_t at = top.size(); last && at < directory.size();
         at = std::min(directory.find('/', at + 1), directory.size())) {
      const std::string group = directory.substr(0, at);
      const std::string way = directory.substr(0, directory.find('/', at + 1));
      double needed = own;
      for (const auto& below : groups_below(group)) {
        if (below != way) needed += realtime_share(below);
      }
      if (needed <= realtime_share(group)) continue;
      const double period = static_cast<double>(number_in(group + "/cpu.rt_period_us", kSecond));
      last = write_file(group + "/cpu.rt_runtime_us",
                        std::to_string(static_cast<uint64_t>(std::ceil(needed * period))));
    }
    if (last) last = write_file(directory + "/cpu.rt_runtime_us", std::to_string(runtime_us));
    if (last || last.error().err != EINVAL) return last;
    if (Clock::now() > deadline) {
      Error error = last.error();
      error.hint = "the groups above have no more to give: sched_rt_runtime_us is for all";
      return tl::unexpected(std::move(error));
    }
    pollfd none{-1, 0, 0};
    sys::call(SYS_poll, sys::arg(&none), 0, 2);
  }
}

Result<uint64_t> keyed_value(std::string_view text, std::string_view key) {
  for (const auto line : split(text, '\n')) {
    const auto words = split(line, ' ');
    uint64_t value = 0;
    if (words.size() == 2 && words[0] == key && parse(words[1], value)) return value;
  }
  return system_error("read counter", std::string(key), ENOENT);
}

}  // namespace ringfence
