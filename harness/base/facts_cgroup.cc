// Which cgroup controllers can hold a target of ours: each by a trial group, made and removed.
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "harness/base/facts_probe.h"
#include "harness/base/file.h"
#include "harness/base/held_directory.h"
#include "harness/base/sys.h"

namespace ringfence::facts_detail {
namespace {

struct Hierarchy {
  std::string mount_point;
  std::string own_path;  // this process's group in it, "/" for the root
  bool unified = false;
};

// "\040" and the like, as /proc/self/mountinfo writes blanks in paths.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool has_word(std::string_view list, char separator, std::string_view word) {
  const auto words = split(list, separator);
  return std::find(words.begin(), words.end(), word) != words.end();
}

// This process's group, from lines "ID:CONTROLLERS:PATH" of /proc/self/cgroup.
std::string own_group(std::string_view controller) {
  const auto text = read_file("/proc/self/cgroup");
  if (!text) return "/";
  for (const std::string_view line : split(*text, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : has_word(names, ',', controller)) {
      return std::string(line.substr(second + 1));
    }
  }
  return "/";
}

// The mounted hierarchy of a v1 controller, or of v2 for an empty name.
std::optional<Hierarchy> mounted(std::string_view controller) {
  const auto text = read_file("/proc/self/mountinfo");
  if (!text) return std::nullopt;
  for (const std::string_view line : split(*text, '\n')) {
    // ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS] - TYPE SOURCE SUPER, proc_pid_mountinfo(5).
    const size_t dash = line.find(" - ");
    if (dash == line.npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    const bool match = controller.empty()
                           ? right[0] == "cgroup2"
                           : right[0] == "cgroup" && has_word(right.back(), ',', controller);
    if (match) return Hierarchy{unescape(left[4]), own_group(controller), controller.empty()};
  }
  return std::nullopt;
}

// A group of ours below `parent`, gone with the object. The name tells the janitor whose it is.
class TrialGroup {
 public:
  explicit TrialGroup(const std::string& parent) {
    path_ = fmt::format("{}/{}", parent, held_name("facts"));
    auto made = make_held_directory(path_);
    if (made) {
      held_ = std::move(*made);
    } else {
      err_ = made.error().err;
    }
  }
  TrialGroup(const TrialGroup&) = delete;
  TrialGroup& operator=(const TrialGroup&) = delete;
  ~TrialGroup() {
    // Once more, should something have looked into it just then.
    for (int i = 0; i < 2 && err_ == 0; ++i) {
      if (sys::call(SYS_unlinkat, AT_FDCWD, sys::arg(path_.c_str()), AT_REMOVEDIR) == 0) break;
    }
  }
  [[nodiscard]] int err() const { return err_; }
  [[nodiscard]] bool has(std::string_view file) const {
    const std::string path = fmt::format("{}/{}", path_, file);
    return sys::call(SYS_faccessat, AT_FDCWD, sys::arg(path.c_str()), W_OK) == 0;
  }

 private:
  std::string path_;
  UniqueFd held_;
  int err_ = 0;
};

// Where a group of ours can go: the mount point (root), or else this process's own group.
std::string parent_of(const Hierarchy& h) {
  if (sys::call(SYS_faccessat, AT_FDCWD, sys::arg(h.mount_point.c_str()), W_OK) == 0 ||
      h.own_path == "/") {
    return h.mount_point;
  }
  return h.mount_point + h.own_path;
}

struct Names {
  std::string_view v1_controller;
  std::string_view v1_file;
  std::string_view v2_controller;  // empty: in every group but the root
  std::string_view v2_file;
};

Answer controller(const Names& names) {
  std::string tried;
  int err = ENOENT;
  if (const auto unified = mounted(""); unified) {
    const std::string parent = parent_of(*unified);
    const TrialGroup group(parent);
    if (group.err() != 0) {
      err = group.err();
      tried = fmt::format("v2 at {}: {}", parent, errno_name(err));
    } else if (!names.v2_file.empty() && group.has(names.v2_file)) {
      return yes(fmt::format("v2 at {}", parent));
    } else if (!names.v2_controller.empty()) {
      // Offered and not handed down: cgroup.subtree_control is the host's, and never written.
      const auto offered = read_file(parent + "/cgroup.controllers");
      const bool held_back = offered && has_word(trim(*offered), ' ', names.v2_controller);
      tried = fmt::format("{} by v2 at {}", held_back ? "not handed down" : "not offered", parent);
    }
  }
  if (const auto legacy = mounted(names.v1_controller); legacy) {
    const std::string parent = parent_of(*legacy);
    const TrialGroup group(parent);
    if (group.err() == 0 && group.has(names.v1_file)) return yes(fmt::format("v1 at {}", parent));
    err = group.err() != 0 ? group.err() : EACCES;
    tried = fmt::format("v1 at {}: {}", parent, errno_name(err));
  }
  return {false, tried.empty() ? "not mounted" : tried, err};
}

}  // namespace

Answer has_cgroup_file(std::string_view names, bool& known) {
  known = !names.empty() && names.find('/') == names.npos;
  if (!known) return {};
  // The controller in v1's words and v2's: of "memory.high" and "blkio.weight".
  Answer answer{false, fmt::format("no group here has {}", names), ENOENT};
  for (const std::string_view name : split(names, '|')) {
    const std::string first(name.substr(0, name.find('.')));
    for (const std::string& hierarchy : {std::string(), first}) {
      const auto found = mounted(hierarchy);
      if (!found) continue;
      const std::string parent = parent_of(*found);
      const TrialGroup group(parent);
      if (group.err() == 0 && group.has(name)) {
        return yes(fmt::format("{} at {}", name, parent));
      }
      if (group.err() != 0) answer.err = group.err();
    }
  }
  return answer;
}

Answer probe_cgroup2(const Facts&) {
  const auto unified = mounted("");
  if (!unified) return {false, "no cgroup2 mount", ENOENT};
  const std::string parent = parent_of(*unified);
  const TrialGroup group(parent);
  if (group.err() != 0) return no(group.err(), "mkdir below " + parent);
  const auto offered = read_file(parent + "/cgroup.controllers");
  const std::string_view list = offered ? trim(*offered) : std::string_view();
  return yes(fmt::format("at {}, controllers: {}", parent, list.empty() ? "none" : list));
}

Answer probe_cgroup_pids(const Facts&) {
  return controller({"pids", "pids.max", "pids", "pids.max"});
}
Answer probe_cgroup_memory(const Facts&) {
  return controller({"memory", "memory.limit_in_bytes", "memory", "memory.max"});
}
Answer probe_cgroup_cpu(const Facts&) {
  return controller({"cpu", "cpu.cfs_quota_us", "cpu", "cpu.max"});
}
Answer probe_cgroup_cpuset(const Facts&) {
  return controller({"cpuset", "cpuset.cpus", "cpuset", "cpuset.cpus"});
}
Answer probe_cgroup_io(const Facts&) {
  return controller({"blkio", "blkio.throttle.read_bps_device", "io", "io.max"});
}
Answer probe_cgroup_hugetlb(const Facts&) {
  return controller({"hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb", "hugetlb.2MB.max"});
}
Answer probe_cgroup_freezer(const Facts&) {
  return controller({"freezer", "freezer.state", "", "cgroup.freeze"});
}
Answer probe_cgroup_devices(const Facts& facts) {
  Answer legacy = controller({"devices", "devices.deny", "", ""});
  if (legacy.available) return legacy;
  // v2 has no files for devices: a BPF program of type cgroup_device decides.
  if (facts.satisfied("cgroup2") && facts.satisfied("bpf")) return yes("v2, by a BPF program");
  return legacy;
}

}  // namespace ringfence::facts_detail
