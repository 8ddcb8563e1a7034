#include "harness/witness/bracket.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "harness/witness/bpf_map.h"
#include "harness/witness/ladder.h"
#include "harness/witness/probe.h"
#include "probes/bpf/bracket_abi.h"
// clang-format off: it needs the types above
#include "bracket.skel.h"
// clang-format on

namespace ringfence {

struct Bracket::State {
  ~State() { bracket_bpf__destroy(skeleton); }
  bracket_bpf* skeleton = nullptr;
};

Bracket::Bracket(std::unique_ptr<State> state) : state_(std::move(state)) {}
Bracket::Bracket(Bracket&&) noexcept = default;
Bracket& Bracket::operator=(Bracket&&) noexcept = default;
Bracket::~Bracket() = default;

Result<Bracket> Bracket::attach(const Witness& witness, int image_fd) {
  const QuietLibbpf hush;
  auto state = std::make_unique<State>();
  state->skeleton = bracket_bpf__open();
  if (state->skeleton == nullptr) return system_error("open eBPF object", "bracket");
  if (auto ok = share_maps(witness, state->skeleton->obj, ~0U); !ok) {
    return tl::unexpected(ok.error());
  }
  if (const int result = bracket_bpf__load(state->skeleton); result != 0) {
    return unsupported_error("load eBPF brackets", {}, -result);
  }
  const std::string path = fmt::format("/proc/self/fd/{}", image_fd);
  const auto attach_to = [&](const bpf_program* program, const char* symbol) -> bpf_link* {
    bpf_uprobe_opts options{};
    options.sz = sizeof options;
    options.func_name = symbol;
    return bpf_program__attach_uprobe_opts(program, -1, path.c_str(), 0, &options);
  };
  auto& links = state->skeleton->links;
  const auto& programs = state->skeleton->progs;
  links.attempt_begins = attach_to(programs.attempt_begins, "rf_attempt_begin");
  if (links.attempt_begins == nullptr) {
    return unsupported_error("attach uprobe", "rf_attempt_begin", errno);
  }
  links.attempt_ends = attach_to(programs.attempt_ends, "rf_attempt_end");
  if (links.attempt_ends == nullptr) {
    return unsupported_error("attach uprobe", "rf_attempt_end", errno);
  }
  return Bracket(std::move(state));
}

Result<BracketSeen> Bracket::take(uint64_t watch, const std::string& attempt) const {
  const int map = bpf_map__fd(state_->skeleton->maps.brackets);
  rf_bracket_key key{};
  key.trial = watch;
  (void)attempt.copy(key.attempt, sizeof key.attempt - 1);
  rf_bracket bracket{};
  // No entry: nobody began it.
  if (auto ok = find_in_map(map, &key, &bracket, "brackets"); !ok && ok.error().err != ENOENT) {
    return tl::unexpected(ok.error());
  }
  // Those of other attempts in the same watch go with it. Others, too, delete theirs: then the
  // list begins anew, and has some twice.
  std::vector<rf_bracket_key> ours;
  for (bool more = bpf_map_get_next_key(map, nullptr, &key) == 0; more;) {
    if (key.trial == watch) ours.push_back(key);
    more = bpf_map_get_next_key(map, &key, &key) == 0;
  }
  for (const rf_bracket_key& each : ours) (void)bpf_map_delete_elem(map, &each);
  return BracketSeen{bracket.began, bracket.ended, bracket.result};
}

}  // namespace ringfence
