#include "harness/witness/container.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/suggest.h"

namespace ringfence {
namespace {

// Docker and podman show this many.
constexpr size_t kShortId = 12;

bool names(const std::string& whole, const std::string& id) {
  return whole == id || (id.size() >= kShortId && whole.starts_with(id));
}

struct StateFile {
  const char* runtime;
  const char* file;
  const char* pid;  // the member that has init's pid
};
constexpr StateFile kFiles[] = {{"runc", "state.json", "init_process_pid"},
                                {"crun", "status", "pid"}};

// Nothing: this directory has no state of that kind, or an unreadable one.
int pid_in(const std::string& path, const char* member) {
  const auto text = read_file(path);
  if (!text) return 0;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return 0;
  const auto found = json.find(member);
  return found != json.end() && found->is_number_integer() ? found->get<int>() : 0;
}

// A component of a path of a group: "ID", "docker-ID.scope", "crio-ID.scope", "libpod-ID".
bool is_group_of(std::string_view component, const std::string& id) {
  if (component.ends_with(".scope")) component.remove_suffix(sizeof(".scope") - 1);
  std::string rest(component);
  // Podman's monitor is beside the container, with its id.
  if (rest.starts_with("libpod-conmon-") || rest.starts_with("crio-conmon-")) return false;
  if (names(rest, id)) return true;
  const size_t dash = rest.find('-');
  return dash != std::string::npos && names(rest.substr(dash + 1), id);
}

int number(const std::string& text) {
  int value = 0;
  const auto end = text.data() + text.size();
  const auto [at, err] = std::from_chars(text.data(), end, value);
  return err == std::errc() && at == end ? value : 0;
}

struct InGroup {
  int pid = 0;
  std::string path;
};

// The oldest process in a group that is named after the container.
Result<InGroup> by_group(const std::string& id, const std::string& proc) {
  const auto entries = list_directory(proc);
  if (!entries) return tl::unexpected(entries.error());
  InGroup best;
  for (const auto& entry : *entries) {
    const int pid = number(entry);
    if (pid <= 0 || (best.pid != 0 && pid > best.pid)) continue;
    const auto text = read_file(fmt::format("{}/{}/cgroup", proc, entry));
    if (!text) continue;  // it ended
    for (const auto line : split(*text, '\n')) {
      const auto parts = split(line.substr(std::min(line.size(), line.rfind(':') + 1)), '/');
      if (std::any_of(parts.begin(), parts.end(),
                      [&](std::string_view part) { return is_group_of(part, id); })) {
        best = {pid, std::string(line)};
        break;
      }
    }
  }
  return best;
}

}  // namespace

ContainerPlaces ContainerPlaces::of_this_host() {
  ContainerPlaces places;
  places.states = {"/run/runc",
                   "/run/crun",
                   "/run/docker/runtime-runc/moby",
                   "/run/docker/runtime-crun/moby",
                   "/run/containerd/runc/k8s.io",
                   "/run/containerd/runc/default"};
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime != 0) {
    places.states.push_back(std::string(runtime) + "/runc");
    places.states.push_back(std::string(runtime) + "/crun");
  }
  return places;
}

Result<Container> find_container(const std::string& id, const ContainerPlaces& places) {
  std::vector<std::string> there;
  std::vector<Container> found;
  std::string stopped;
  for (const auto& directory : places.states) {
    const auto entries = list_directory(directory);
    if (!entries) continue;  // that runtime is not in use
    for (const auto& entry : *entries) {
      for (const StateFile& file : kFiles) {
        const std::string path = fmt::format("{}/{}/{}", directory, entry, file.file);
        const int pid = pid_in(path, file.pid);
        if (pid <= 0) continue;
        there.push_back(entry);
        if (!names(entry, id)) continue;
        // The state outlives the process.
        if (!read_file(fmt::format("{}/{}/stat", places.proc, pid))) {
          stopped = fmt::format("{} says process {}, which has ended", path, pid);
          continue;
        }
        Container one{entry, fmt::format("{}'s {}", file.runtime, path), pid};
        if (entry == id) return one;
        found.push_back(std::move(one));
      }
    }
  }
  if (found.size() > 1) {
    std::vector<std::string> ids;
    ids.reserve(found.size());
    for (const Container& one : found) ids.push_back(one.id);
    return usage_error("--container", id,
                       fmt::format("more than one begins so: {}", fmt::join(ids, ", ")));
  }
  if (found.size() == 1) return found.front();
  if (!stopped.empty()) return usage_error("--container", id, "it does not run: " + stopped);
  const auto group = by_group(id, places.proc);
  if (!group) return tl::unexpected(group.error());
  if (group->pid != 0) {
    return Container{id, fmt::format("the group of process {}: {}", group->pid, group->path),
                     group->pid};
  }
  std::string hint = fmt::format(
      "no such container: no state of runc or crun in {}, and no process in a group of "
      "that name",
      fmt::join(places.states, ", "));
  std::sort(there.begin(), there.end());
  const std::string near = nearest(id, there);
  if (!near.empty()) {
    hint += fmt::format("; did you mean {}?", near);
  } else if (!there.empty()) {
    hint += fmt::format("; there are {}", fmt::join(there, ", "));
  }
  return usage_error("--container", id, hint);
}

}  // namespace ringfence
