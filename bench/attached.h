#pragma once
// What eBPF programs cost by being there at all: empty ones on the hooks of the witness, and how
// many programs whoever has attached.
//
// Needs what the witness needs; the census CAP_SYS_ADMIN. Sources: bpf(2) (BPF_LINK_GET_NEXT_ID,
// Linux 5.8), Documentation/bpf/.
#include <span>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"

namespace ringfence::bench {

// Links to tracepoints on this machine, by whoever: each makes every process slower that passes
// there, and stays only as long as somebody holds it.
Result<size_t> count_attached();

// A program that returns at once, at each hook where the witness has one: the floor below which no
// witness on these hooks can be. Detached with the object.
class EmptyPrograms {
 public:
  // `programs` as the witness's ladder names them ("enter__tp_btf"). `unsupported` for a kind of
  // hook that is no tracepoint.
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
