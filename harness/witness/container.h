#pragma once
// Containers by id: which process is the init of a container that a runtime of this host runs.
// Reads the runtimes' own state, and nothing of their command lines or daemons.
//
// Sources: runc libcontainer/state_linux.go (state.json, init_process_pid), crun src/libcrun/
// status.c (status, pid), docker and podman keep runc's or crun's state below directories of
// their own; cgroup(7).
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

struct Container {
  std::string id;     // in full
  std::string found;  // "runc's /run/runc/web/state.json", "the group of process 7: /docker/..."
  int pid = 0;        // of its init
};

struct ContainerPlaces {
  // Directories of states: below each ID/state.json (runc) or ID/status (crun).
  std::vector<std::string> states;
  std::string proc = "/proc";
  static ContainerPlaces of_this_host();
};

// `id` in full, or a prefix of it of twelve characters or more that only one container has.
// The error (usage) says where it was looked for, and which ids were there.
Result<Container> find_container(const std::string& id,
                                 const ContainerPlaces& places = ContainerPlaces::of_this_host());

}  // namespace ringfence
