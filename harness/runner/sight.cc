#include "harness/runner/sight.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/suggest.h"
#include "harness/base/sys.h"
#include "harness/confine/namespace_fd.h"

namespace ringfence {
namespace {

constexpr int64_t kBoottimeSlack = 10;  // seconds
constexpr int kAnswerFd = 3;

std::string proc_path(int pid, std::string_view rest) {
  return pid == 0 ? fmt::format("/proc/self/{}", rest) : fmt::format("/proc/{}/{}", pid, rest);
}

}  // namespace

std::string status_field(int pid, std::string_view name) {
  const auto text = read_file(proc_path(pid, "status")).value_or("");
  for (auto line : split(text, '\n')) {
    if (line.starts_with(name) && line.size() > name.size() && line[name.size()] == ':') {
      return std::string(trim(line.substr(name.size() + 1)));
    }
  }
  return {};
}

namespace {

// The n-th number of a status line such as "Uid:\t0\t0\t0\t0".
std::optional<int64_t> status_number(int pid, std::string_view name, size_t index) {
  std::string text = status_field(pid, name);
  std::replace(text.begin(), text.end(), '\t', ' ');
  const auto fields = split(text, ' ');
  if (index >= fields.size()) return std::nullopt;
  return std::strtoll(std::string(fields[index]).c_str(), nullptr, 10);
}

std::vector<int> descriptors(int pid) {
  std::vector<int> list;
  for (const auto& name :
       list_directory(proc_path(pid, "fd")).value_or(std::vector<std::string>())) {
    if (const auto fd = parse_int(name)) list.push_back(*fd);
  }
  return list;
}

bool open_for_writing(int pid, int fd) {
  const auto info = read_file(proc_path(pid, fmt::format("fdinfo/{}", fd))).value_or("");
  const size_t at = info.find("flags:\t");
  if (at == std::string::npos) return false;
  return (std::strtoul(info.c_str() + at + 7, nullptr, 8) & O_ACCMODE) != O_RDONLY;
}

Seen holds_file(const Goal& goal, int pid, bool proc_only) {
  for (const int fd : descriptors(pid)) {
    const std::string path = proc_path(pid, fmt::format("fd/{}", fd));
    const auto link = read_link(path);
    if (!link || !glob_match(goal.arg, *link)) continue;
    if (goal.value == 1 && !open_for_writing(pid, fd)) continue;
    if (proc_only) {
      auto opened = sys::open(path.c_str(), O_PATH);
      struct statfs fs {};
      if (!opened || sys::call(SYS_fstatfs, opened->get(), sys::arg(&fs)) < 0 ||
          (fs.f_type != PROC_SUPER_MAGIC && fs.f_type != SYSFS_MAGIC)) {
        continue;
      }
    }
    return {goal, true, fmt::format("it holds descriptor {} on {}", fd, *link), "proc"};
  }
  return {goal, false, "it holds no descriptor on " + goal.arg, "proc"};
}

Seen holds_device(const Goal& goal, int pid) {
  for (const int fd : descriptors(pid)) {
    struct stat st {};
    const std::string path = proc_path(pid, fmt::format("fd/{}", fd));
    if (sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path.c_str()), sys::arg(&st), 0) == 0 &&
        (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) &&
        st.st_rdev == static_cast<dev_t>(goal.value)) {
      return {goal, true,
              fmt::format("it holds device {}:{}", major(st.st_rdev), minor(st.st_rdev)), "proc"};
    }
  }
  return {goal, false, "it holds no such device", "proc"};
}

Seen holds_socket(const Goal& goal, int pid) {
  const UniqueFd process(static_cast<int>(sys::call(SYS_pidfd_open, pid, 0)));
  for (const int fd : descriptors(pid)) {
    if (fd == kAnswerFd) continue;
    const UniqueFd copy(static_cast<int>(sys::call(SYS_pidfd_getfd, process.get(), fd, 0)));
    int domain = -1;
    socklen_t size = sizeof domain;
    if (copy &&
        sys::call(SYS_getsockopt, copy.get(), SOL_SOCKET, SO_DOMAIN, sys::arg(&domain),
                  sys::arg(&size)) == 0 &&
        domain == goal.value) {
      return {goal, true, fmt::format("it holds a socket of family {}", domain), "proc"};
    }
  }
  return {goal, false, fmt::format("it holds no socket of family {}", goal.value), "proc"};
}

std::string ns_link(const std::string& who, const std::string& kind) {
  return read_link("/proc/" + who + "/ns/" + kind).value_or("");
}

// "uts:housed"; the canary is seen in the decoy host's /proc, as the process is.
Seen shares_ns(const Goal& goal, const Inspection& at) {
  const size_t colon = goal.arg.find(':');
  const std::string kind = goal.arg.substr(0, colon);
  const auto who = at.canaries.find(colon == std::string::npos ? "" : goal.arg.substr(colon + 1));
  if (who == at.canaries.end()) return {goal, false, "there is no such canary", "proc"};
  const std::string theirs = ns_link(std::to_string(at.pid), kind);
  const std::string the_canarys = ns_link(std::to_string(who->second), kind);
  return {goal, !theirs.empty() && theirs == the_canarys,
          fmt::format("its namespace is {}, the canary's {}", theirs, the_canarys), "proc"};
}

// How many namespaces lie between the decoy host's and the process's; -1 when unknown.
int depth_of(int pid, Ns kind) {
  const auto ours = NamespaceFd::of_process(0, kind);
  const auto theirs = NamespaceFd::of_process(pid, kind);
  if (!ours || !theirs) return -1;
  const auto depth = theirs->depth_below(*ours);
  return depth && *depth ? **depth : -1;
}

// The lines of a map, blanks as one: "0 1000 1", joined by commas.
Seen map_seen(const Goal& goal, int pid) {
  const size_t colon = goal.arg.find(':');
  const std::string file = goal.arg.substr(0, colon);
  const auto text = read_file(proc_path(pid, file)).value_or("");
  std::string lines;
  for (const auto line : split(text, '\n')) {
    std::string one;
    for (const auto word : split(line, ' ')) one.append(one.empty() ? "" : " ").append(word);
    lines.append(lines.empty() ? "" : ",").append(one);
  }
  const bool yes = colon != std::string::npos && glob_match(goal.arg.substr(colon + 1), lines);
  return {goal, yes, fmt::format("its {} is: {}", file, lines.substr(0, 100)), "proc"};
}

struct MountFlag {
  std::string_view word;
  uint64_t flag;
};
constexpr std::array kMountFlags = {MountFlag{"ro", MS_RDONLY}, MountFlag{"nosuid", MS_NOSUID},
                                    MountFlag{"nodev", MS_NODEV}, MountFlag{"noexec", MS_NOEXEC},
                                    MountFlag{"idmapped", uint64_t{kMountIdMapped}}};

Seen mount_seen(const Goal& goal, int pid) {
  const auto text = read_file(proc_path(pid, "mountinfo")).value_or("");
  bool there = false;
  uint64_t flags = 0;
  std::string words;
  for (auto line : split(text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() < 6 || !glob_match(goal.arg, fields[4])) continue;
    there = true;  // the last one is on top
    flags = 0;
    words = fields[5];
    for (auto word : split(fields[5], ',')) {
      for (const auto& known : kMountFlags) {
        if (known.word == word) flags |= known.flag;
      }
    }
  }
  if (!there) return {goal, false, "its mountinfo has no mount at " + goal.arg, "proc"};
  const auto wanted = static_cast<uint64_t>(goal.value);
  return {goal, (flags & wanted) == wanted,
          fmt::format("its mountinfo has a mount at {} ({})", goal.arg, words), "proc"};
}

Seen number_seen(const Goal& goal, std::string_view what, std::optional<int64_t> value, bool yes) {
  return {
      goal, value && yes,
      value ? fmt::format("its {} is {}", what, *value) : fmt::format("its {} is unknown", what),
      "proc"};
}

// Where it runs just now is chance: who never asked for a CPU may be there.
Seen bound_to_cpu(const Goal& goal, int pid) {
  const std::string list = status_field(pid, "Cpus_allowed_list");
  return {goal, list == std::to_string(goal.value), "it may run on CPU " + list, "proc"};
}

Seen outside_group(const Goal& goal, const Inspection& at) {
  const std::string text = read_file(proc_path(at.pid, "cgroup")).value_or("");
  for (auto line : split(text, '\n')) {
    if (!line.starts_with("0::")) continue;
    const std::string where(line.substr(3));
    return {goal, !at.group.empty() && !where.ends_with("/" + at.group),
            fmt::format("its v2 group is {}, it was started in {}", where, at.group), "proc"};
  }
  return {goal, false, "its v2 group is unknown", "proc"};
}

Seen boottime_seen(const Goal& goal, const Inspection& at) {
  timespec now{};
  (void)sys::call(SYS_clock_gettime, CLOCK_BOOTTIME, sys::arg(&now));
  for (const auto& text : at.secrets_read) {
    const long long said = std::strtoll(text.c_str(), nullptr, 10);
    if (std::llabs(said - now.tv_sec) <= kBoottimeSlack) {
      return {goal, true, fmt::format("it told the host's boot time clock, {} s", said), "canary"};
    }
  }
  return {goal, false, "it did not tell the host's boot time clock", "canary"};
}

}  // namespace

std::span<const int> answers_for(Sight sight) {
  static constexpr std::array kFile = {ENOENT, ENOTDIR};
  static constexpr std::array kAttribute = {ENODATA, EOPNOTSUPP};
  static constexpr std::array kListener = {EAGAIN};
  static constexpr std::array kPort = {ECONNREFUSED, EINPROGRESS};
  static constexpr std::array kSegment = {EINVAL, EIDRM};
  static constexpr std::array kKey = {ENOKEY, EKEYREVOKED};
  static constexpr std::array kCanary = {EPIPE, ECONNRESET};  // it is dead already
  static constexpr std::array kSocket = {ENOTSOCK, EBADF};    // a descriptor of another kind
  switch (sight) {
    case Sight::file_exists:
    case Sight::file_changed:
    case Sight::file_inside:
      return kFile;
    case Sight::file_capable:
      return kAttribute;
    case Sight::abstract_connected:
    case Sight::loopback_connected:
    case Sight::unix_connected:
    case Sight::peer_connected:
    case Sight::peer_heard:
      return kListener;
    case Sight::port_open:
      return kPort;
    case Sight::sysv_changed:
      return kSegment;
    case Sight::key_changed:
      return kKey;
    case Sight::canary_killed:
      return kCanary;
    case Sight::holds_socket:
      return kSocket;
    default:
      return {};
  }
}

std::vector<int> target_pids(const std::vector<int>& not_targets) {
  std::vector<int> pids;
  for (const auto& name : list_directory("/proc").value_or(std::vector<std::string>())) {
    const int pid = parse_int(name).value_or(0);
    if (pid > 0 && std::find(not_targets.begin(), not_targets.end(), pid) == not_targets.end()) {
      pids.push_back(pid);
    }
  }
  return pids;
}

std::vector<Layer> layers_in_force(int pid) {
  std::vector<Layer> layers;
  const Inspection at{.pid = pid, .not_targets = {}, .planned_userns = false, .secrets_read = {}};
  const auto add = [&](const Layer& layer, const Goal& goal) {
    const auto seen = look_at_process(goal, at);
    if (seen && seen->yes) layers.push_back(layer);
  };
  for (const Ns ns : kAllNs) add(ns_layer(ns), {Sight::ns_differs, std::string(ns_name(ns))});
  add(Layer::kRoot, {Sight::root_differs});
  add(Layer::kSeccomp, {Sight::seccomp_filtered});
  add(Layer::kNoNewPrivs, {Sight::no_new_privs});
  return layers;
}

uint64_t effective_caps(int pid) {
  return std::strtoull(status_field(pid, "CapEff").c_str(), nullptr, 16);
}

std::optional<Seen> look_at_process(const Goal& goal, const Inspection& at) {
  const int pid = at.pid;
  switch (goal.sight) {
    case Sight::uid_is: {
      const auto uid = status_number(pid, "Uid", 1);
      return number_seen(goal, "effective uid", uid, uid == goal.value);
    }
    case Sight::gid_is: {
      const auto gid = status_number(pid, "Gid", 1);
      return number_seen(goal, "effective gid", gid, gid == goal.value);
    }
    case Sight::in_group: {
      const std::string groups = status_field(pid, "Groups");
      const auto list = split(groups, ' ');
      const bool in = std::find(list.begin(), list.end(), std::to_string(goal.value)) != list.end();
      return Seen{goal, in, "its groups are: " + groups, "proc"};
    }
    case Sight::cap_effective: {
      const auto cap = cap_by_name(goal.arg);
      const uint64_t effective = effective_caps(pid);
      return Seen{goal, cap && (effective >> *cap & 1) != 0,
                  fmt::format("its CapEff is {:016x}", effective), "proc"};
    }
    case Sight::cap_missing: {
      const auto cap = cap_by_name(goal.arg);
      const std::string text = status_field(pid, "CapEff");
      const uint64_t effective = std::strtoull(text.c_str(), nullptr, 16);
      return Seen{goal, cap && !text.empty() && (effective >> *cap & 1) == 0,
                  "its CapEff is " + text, "proc"};
    }
    case Sight::bounding_lacks: {
      const auto cap = cap_by_name(goal.arg);
      const std::string text = status_field(pid, "CapBnd");
      const uint64_t bounding = std::strtoull(text.c_str(), nullptr, 16);
      return Seen{goal, cap && !text.empty() && (bounding >> *cap & 1) == 0,
                  "its CapBnd is " + text, "proc"};
    }
    case Sight::pid_exists: {
      const auto pids = target_pids(at.not_targets);
      const bool there =
          std::find(pids.begin(), pids.end(), static_cast<int>(goal.value)) != pids.end();
      return Seen{goal, there,
                  fmt::format("the target has {} process {}", there ? "a" : "no", goal.value),
                  "proc"};
    }
    case Sight::exe_is: {
      const auto link = read_link(proc_path(pid, "exe")).value_or("");
      return Seen{goal, !link.empty() && glob_match(goal.arg, link), "it executes " + link, "proc"};
    }
    case Sight::cwd_is: {
      const auto link = read_link(proc_path(pid, "cwd")).value_or("");
      return Seen{goal, !link.empty() && glob_match(goal.arg, link),
                  "its working directory is " + link, "proc"};
    }
    case Sight::root_differs: {
      struct stat theirs {};
      struct stat ours {};
      const bool known =
          sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(proc_path(pid, "root").c_str()),
                    sys::arg(&theirs), 0) == 0 &&
          sys::call(SYS_newfstatat, AT_FDCWD, sys::arg("/"), sys::arg(&ours), 0) == 0;
      const bool differs = known && (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino);
      return Seen{goal, differs,
                  differs ? "its root is not the decoy host's" : "its root is the decoy host's",
                  "proc"};
    }
    case Sight::file_inside: {
      struct stat st {};
      const std::string path = proc_path(pid, "root") + goal.arg;
      const bool there = sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path.c_str()), sys::arg(&st),
                                   AT_SYMLINK_NOFOLLOW) == 0;
      return Seen{goal, there, goal.arg + (there ? " is there" : " is not there") + " in its root",
                  "proc"};
    }
    case Sight::holds_file:
      return holds_file(goal, pid, false);
    case Sight::holds_proc_file:
      return holds_file(goal, pid, true);
    case Sight::holds_device:
      return holds_device(goal, pid);
    case Sight::holds_socket:
      return holds_socket(goal, pid);
    case Sight::ns_differs: {
      const std::string theirs = ns_link(std::to_string(pid), goal.arg);
      const std::string ours = ns_link("self", goal.arg);
      return Seen{goal, !theirs.empty() && !ours.empty() && theirs != ours,
                  fmt::format("its namespace is {}, the decoy host's {}", theirs, ours), "proc"};
    }
    case Sight::ns_unplanned: {
      const int depth = depth_of(pid, Ns::user);
      const int planned = at.planned_userns ? 1 : 0;
      return Seen{goal, depth > planned,
                  fmt::format("it is {} user namespaces deep, {} by the policy", depth, planned),
                  "proc"};
    }
    case Sight::shares_ns:
      return shares_ns(goal, at);
    case Sight::mount_covers:
    case Sight::mount_has:
      return mount_seen(goal, pid);
    case Sight::seccomp_filtered: {
      const auto mode = status_number(pid, "Seccomp", 0);
      return number_seen(goal, "Seccomp mode", mode, mode == 2);
    }
    case Sight::no_new_privs: {
      const auto set = status_number(pid, "NoNewPrivs", 0);
      return number_seen(goal, "NoNewPrivs", set, set == 1);
    }
    case Sight::nice_below: {
      constexpr int kPrioProcess = 0;
      // The raw syscall answers 20 - nice.
      const int64_t raw = sys::call(SYS_getpriority, kPrioProcess, pid);
      return number_seen(goal, "nice value", 20 - raw, raw > 0 && 20 - raw < goal.value);
    }
    case Sight::open_files_over: {
      const auto count = static_cast<int64_t>(descriptors(pid).size());
      return number_seen(goal, "count of open files", count, count > goal.value);
    }
    case Sight::locked_over: {
      const auto kib = status_number(pid, "VmLck", 0);
      return number_seen(goal, "locked memory in KiB", kib, kib > goal.value);
    }
    case Sight::memory_over: {
      const auto kib = status_number(pid, "VmHWM", 0);
      return number_seen(goal, "peak resident memory in KiB", kib,
                         kib.value_or(0) * 1024 > goal.value);
    }
    case Sight::tasks_over: {
      const auto count = static_cast<int64_t>(target_pids(at.not_targets).size());
      return Seen{goal, count > goal.value, fmt::format("the target has {} tasks", count), "proc"};
    }
    case Sight::pid_depth_over: {
      const int depth = depth_of(pid, Ns::pid);
      return Seen{goal, depth > goal.value, fmt::format("it is {} pid namespaces deep", depth),
                  "proc"};
    }
    case Sight::map_has:
      return map_seen(goal, pid);
    case Sight::bound_to_cpu:
      return bound_to_cpu(goal, pid);
    case Sight::outside_group:
      return outside_group(goal, at);
    case Sight::boottime_known:
      return boottime_seen(goal, at);
    default:
      return std::nullopt;
  }
}

}  // namespace ringfence
