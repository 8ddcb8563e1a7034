#pragma once
// Directories (cgroups) that say who made them, and that are held for as long as their maker lives,
// so that a janitor can tell what a killed run left from what a live one uses.
//
// A pid says nothing in another pid namespace, and runs in two containers may share one cgroup
// hierarchy. So the maker keeps a shared flock(2) on the directory: it ends with the last process
// that has the descriptor, whatever kills it, and is seen in every namespace. The name adds the
// maker's pid and pid namespace, for a janitor in the same one that does not want to wait until
// the last child of a dead maker is gone.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence {

struct Maker {
  int pid = 0;
  uint64_t pid_namespace = 0;  // inode, namespaces(7); 0 when it could not be found out
};

// "ringfence-<pid>-<inode of the pid namespace>-<word>" for this process.
std::string held_name(std::string_view word);
// The maker, by a directory's name; nothing for one that is not ours.
std::optional<Maker> parse_held_name(std::string_view name);

// Makes the directory, or joins the makers of one that is there. It is held until the descriptor
// is closed in this process and in every one that inherited it.
Result<UniqueFd> make_held_directory(const std::string& path);

// True when nobody holds the directory any more or its maker is certainly gone. `claim` keeps
// others from making it anew while it is being removed.
bool is_abandoned(const std::string& path, const Maker& maker, UniqueFd* claim);

}  // namespace ringfence
