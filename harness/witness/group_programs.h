#pragma once
// Programs of a cgroup: what those of the witness that belong to a group need to be attached to it,
// and for how long.
//
// Needs a v2 hierarchy, Linux 5.7 for links to groups. A link lets others attach, too, and replaces
// nothing (BPF_LINK_CREATE is always as with BPF_F_ALLOW_MULTI); it goes with its descriptor, also
// when the process is killed. Only for groups of our own making.
// Sources: bpf(2), kernel/bpf/cgroup.c, libbpf 1.1.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

struct bpf_program;

namespace ringfence {

// Whether a program is one that a group gets, rather than the whole kernel.
bool is_group_program(const bpf_program* program);

// While it lives, the programs are attached to the group.
class GroupPrograms {
 public:
  // Hooks that could not be attached, with the reason.
  [[nodiscard]] const std::map<std::string, std::string>& absent() const { return absent_; }
  [[nodiscard]] size_t count() const { return links_.size(); }

 private:
  friend class Witness;
  std::vector<UniqueFd> links_;
  std::map<std::string, std::string> absent_;
  // Held as long as the programs of sockets, and of devices, are all there: see Witness.
  std::shared_ptr<void> net_, device_;
};

// One link: the program's, to the group of this directory.
Result<UniqueFd> link_to_group(const bpf_program* program, int group_fd);

}  // namespace ringfence
