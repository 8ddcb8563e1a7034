#pragma once
// The ladder: for each hook the first program that this kernel lets us load. Found by trying, one
// program of an object at a time, never by a version; what the kernel and its verifier say of the
// others is kept. A program is called HOOK__RUNG, the rungs of a hook are in order of preference.
//
// Needs what bpf(2) needs for the programs. Sources: bpf(2), Documentation/bpf/libbpf/.
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

struct bpf_object;

namespace ringfence {

// One way to see one thing: a program, and what this kernel said to it.
struct Rung {
  std::string hook;       // "enter"
  std::string name;       // "tp_btf"
  std::string section{};  // "tp_btf/sys_enter"
  bool tried = false;     // rungs below the one that was taken are not
  bool loads = false;
  bool taken = false;
  int err = 0;
  std::string reason{};  // of a refusal, for people
  std::string log{};     // the verifier's, of a program that it refused
  std::string of{};      // where one rung is a family of programs: what they look at
  [[nodiscard]] std::string program() const { return hook + "__" + name; }
};

// Opens another copy of one object, not loaded; null (with errno) when it cannot be read.
using OpenObject = std::function<std::shared_ptr<bpf_object>()>;

// Every program of the object as a rung, untried.
Result<std::vector<Rung>> rungs_of(const OpenObject& open);
// Loads this one program, and says in the rung what came of it. Attaches nothing.
void try_rung(Rung& rung, const OpenObject& open);
// Tries every rung.
Result<std::vector<Rung>> survey_object(const OpenObject& open);
// Those whose hook this kernel has not, by its own BTF: a tracepoint that no btf_trace_ type stands
// for, a function that is not there. They are refused (ESRCH) without a trial: a program for a raw
// tracepoint loads whatever its name, and fails only when it is attached. Without the kernel's BTF
// nothing is refused.
void refuse_absent(std::vector<Rung>& rungs);
// Takes the first rung of each hook that is neither avoided nor known to be refused.
void take_first(std::vector<Rung>& rungs, const std::vector<std::string>& avoid);
// A refusal in words, for Rung::reason; `log` is the verifier's, which fits in so many bytes.
std::string why_refused(int err, std::string_view log);
inline constexpr size_t kVerifierLogBytes = size_t{256} << 10;
// Only these programs of the object will be loaded.
void choose_programs(bpf_object* object, const std::function<bool(std::string_view)>& chosen);

// libbpf's messages are on a global switch; what they say is in our own errors.
class QuietLibbpf {
 public:
  QuietLibbpf();
  ~QuietLibbpf();
  QuietLibbpf(const QuietLibbpf&) = delete;
  QuietLibbpf& operator=(const QuietLibbpf&) = delete;

 private:
  void* before_;
};

}  // namespace ringfence
