#pragma once
// What eBPF programs cost by being there at all: empty ones on the hooks of the witness; and who
// else has programs attached.
//
// Needs what the witness needs; the census CAP_SYS_ADMIN. Sources: bpf(2) (BPF_LINK_GET_NEXT_ID,
// Linux 5.8), proc_pid_fdinfo(5), Documentation/bpf/.
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence::bench {

// Ids of the links to tracepoints on this machine, by whoever: each makes every process slower that
// passes there, and stays only as long as somebody holds it.
using Links = std::set<uint32_t>;
Result<Links> attached_links();
// Those that this process holds, of any kind.
Result<Links> own_links();
// In the first and not in the second.
Links without(const Links& all, const Links& known);

// A program that returns at once, at each hook where the witness has one: the floor below which no
// witness on these hooks can be. Detached with the object.
class EmptyPrograms {
 public:
  // `programs` as the witness's ladder names them ("enter__tp_btf"); those that are not for every
  // process of the machine (of a group, iterators) are left out. `unsupported` for a function's
  // entry or exit, which has no empty program here.
  static Result<EmptyPrograms> load(std::span<const std::string> programs);
  Status attach();
  void detach() { links_.clear(); }
  [[nodiscard]] size_t size() const { return loaded_.size(); }

 private:
  struct Loaded {
    UniqueFd program;
    std::string tracepoint;  // empty: by its BTF
  };
  std::vector<Loaded> loaded_;
  std::vector<UniqueFd> links_;
};

}  // namespace ringfence::bench
