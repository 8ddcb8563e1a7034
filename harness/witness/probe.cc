#include "harness/witness/probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "harness/witness/bpf_map.h"
#include "probes/bpf/probe_abi.h"

namespace ringfence {
namespace {

constexpr size_t kLogBytes = size_t{64} << 10;
constexpr size_t kLogLines = 12;

struct Shared {
  const char* of_probe;
  const char* of_witness;
};
constexpr std::array kShared = {Shared{"rf_scopes", "scopes"}, Shared{"rf_by_tgid", "by_tgid"},
                                Shared{"rf_by_pidns", "by_pidns"}, Shared{"rf_stories", "stories"}};
// Of these the one that the Witness has: by how its story is told.
constexpr Shared kRings{"rf_rings", "rings"};
constexpr Shared kPerfRings{"rf_perf_rings", "perf_rings"};

struct CloseObject {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;
struct DestroyLink {
  void operator()(bpf_link* link) const { (void)bpf_link__destroy(link); }
};
using Link = std::unique_ptr<bpf_link, DestroyLink>;

std::string where(const ProbeFile& file, const bpf_program* program) {
  return fmt::format("{}, section {}, program {}", file.path, bpf_program__section_name(program),
                     bpf_program__name(program));
}

// The end of the verifier's log says what was wrong.
std::string last_lines(std::string_view log) {
  while (log.ends_with('\n')) log.remove_suffix(1);
  size_t at = log.size();
  for (size_t lines = 0; lines < kLogLines && at != std::string_view::npos; ++lines) {
    at = at == 0 ? std::string_view::npos : log.rfind('\n', at - 1);
  }
  std::string out;
  std::string_view rest = at == std::string_view::npos ? log : log.substr(at + 1);
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    out += fmt::format("\n  | {}", rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return out;
}

// Opened, with the Witness's maps, and loaded.
Result<Object> load(const Witness& witness, const ProbeFile& file, uint32_t number, int left_out) {
  const LibbpfWords words;
  Object object(bpf_object__open_mem(file.bytes.data(), file.bytes.size(), nullptr));
  if (!object) return usage_error("--probe", file.path, "is a damaged object: " + words.last());
  if (auto ok = share_maps(witness, object.get(), number, left_out); !ok)
    return tl::unexpected(ok.error());
  std::vector<std::pair<bpf_program*, std::string>> logs;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) {
    logs.emplace_back(program, std::string(kLogBytes, '\0'));
  }
  for (auto& [of, log] : logs) (void)bpf_program__set_log_buf(of, log.data(), log.size());
  const int result = bpf_object__load(object.get());
  if (result == 0) return object;
  // The kernel's verifier says why in the log of the program that it refused.
  for (const auto& [of, log] : logs) {
    const std::string_view text = log.c_str();
    if (text.empty() || bpf_program__fd(of) >= 0) continue;
    return unsupported_error(
        "--probe", where(file, of), -result,
        "this kernel's verifier refuses it, its last lines:" + last_lines(text));
  }
  return unsupported_error("--probe", file.path, -result, "cannot be loaded: " + words.last());
}

bool names_a_file(std::string_view section) {
  return section.starts_with("uprobe") || section.starts_with("uretprobe") ||
         section.starts_with("usdt");
}

Result<Link> attach_program(const ProbeFile& file, const bpf_program* program) {
  const LibbpfWords words;
  bpf_link* link = bpf_program__attach(program);
  if (link != nullptr) return Link(link);
  const int err = errno;
  const std::string_view section = bpf_program__section_name(program);
  Error error{names_a_file(section) ? Error::Kind::usage : Error::Kind::unsupported, "--probe", err,
              where(file, program), "cannot be attached: " + words.last()};
  const bool by_name = section.starts_with("tp/") || section.starts_with("tracepoint/");
  if (by_name && err == ENOENT) {
    error.hint +=
        "; tp/ needs tracefs (mount -t tracefs tracefs /sys/kernel/tracing), raw_tp/ "
        "does not";
  }
  return tl::unexpected(std::move(error));
}

Result<std::vector<Link>> attach_all(const ProbeFile& file, bpf_object* object) {
  std::vector<Link> links;
  const bpf_program* program = nullptr;
  for (program = bpf_object__next_program(object, nullptr); program != nullptr;
       program = bpf_object__next_program(object, const_cast<bpf_program*>(program))) {
    auto link = attach_program(file, program);
    if (!link) return tl::unexpected(link.error());
    links.push_back(std::move(*link));
  }
  return links;
}

}  // namespace

Status share_maps(const Witness& witness, bpf_object* object, uint32_t probe, int left_out) {
  const auto share = [&](const Shared& shared) -> Status {
    bpf_map* map = bpf_object__find_map_by_name(object, shared.of_probe);
    const int result =
        map == nullptr ? -ENOENT : bpf_map__reuse_fd(map, witness.map_fd(shared.of_witness));
    if (result != 0) return system_error("share map", shared.of_probe, -result);
    return {};
  };
  for (const Shared& shared : kShared) {
    if (auto ok = share(shared); !ok) return ok;
  }
  const bool perf = story_transport(witness.ladder()) == StoryTransport::perf;
  if (auto ok = share(perf ? kPerfRings : kRings); !ok) return ok;
  const char* unused = (perf ? kRings : kPerfRings).of_probe;
  bpf_map* other = bpf_object__find_map_by_name(object, unused);
  const int left = other == nullptr ? -ENOENT : bpf_map__set_autocreate(other, false);
  if (left != 0) return system_error("leave out map", unused, -left);
  bpf_map* id_map = bpf_object__find_map_by_name(object, ".rodata.ringfence");
  const rf_probe_id id{RF_PROBE_ABI, probe, static_cast<uint32_t>(left_out), perf ? 1U : 0U};
  const int result =
      id_map == nullptr ? -ENOENT : bpf_map__set_initial_value(id_map, &id, sizeof id);
  if (result != 0) return system_error("share map", ".rodata.ringfence", -result);
  return {};
}

struct Probes::Loaded {
  std::string name;
  Object object;
  std::vector<Link> links;  // go before the programs
  int counts_fd = -1;
};

Probes::Probes(std::vector<Loaded> loaded) : loaded_(std::move(loaded)) {}
Probes::Probes(Probes&&) noexcept = default;
Probes& Probes::operator=(Probes&&) noexcept = default;
Probes::~Probes() = default;

Result<Probes> Probes::attach(const Witness& witness, std::span<const ProbeFile> files,
                              int left_out) {
  std::vector<Loaded> all;
  for (const ProbeFile& file : files) {
    const auto number = static_cast<uint32_t>(all.size());
    const Error damaged{Error::Kind::usage, "--probe", 0, file.path,
                        "is a damaged object: libbpf does not survive loading it"};
    auto survives = in_sacrificial_child(
        [&]() -> Status {
          auto object = load(witness, file, number, left_out);
          if (!object) return tl::unexpected(object.error());
          return {};
        },
        damaged);
    if (!survives) return tl::unexpected(survives.error());
    auto object = load(witness, file, number, left_out);
    if (!object) return tl::unexpected(object.error());
    auto links = attach_all(file, object->get());
    if (!links) return tl::unexpected(links.error());
    const int counts = bpf_object__find_map_fd_by_name(object->get(), "rf_counts");
    all.push_back({file.name, std::move(*object), std::move(*links), counts});
  }
  return Probes(std::move(all));
}

std::string Probes::name(uint32_t probe) const {
  return probe < loaded_.size() ? loaded_[probe].name : std::to_string(probe);
}

Result<std::vector<ProbeCount>> Probes::take_counts(uint64_t watch) const {
  std::vector<ProbeCount> counts;
  for (const Loaded& probe : loaded_) {
    std::vector<rf_count_key> ours;
    rf_count_key key{};
    for (bool more = bpf_map_get_next_key(probe.counts_fd, nullptr, &key) == 0; more;) {
      if (key.trial == watch) ours.push_back(key);
      more = bpf_map_get_next_key(probe.counts_fd, &key, &key) == 0;
    }
    const size_t first = counts.size();
    for (const rf_count_key& each : ours) {
      uint64_t value = 0;
      if (auto ok = find_in_map(probe.counts_fd, &each, &value, "rf_counts"); !ok) {
        // Others delete theirs: then the list begins anew, and has one twice.
        if (ok.error().err == ENOENT) continue;
        return tl::unexpected(ok.error());
      }
      (void)bpf_map_delete_elem(probe.counts_fd, &each);
      counts.push_back({probe.name, {each.name, strnlen(each.name, sizeof each.name)}, value});
    }
    std::sort(counts.begin() + static_cast<std::ptrdiff_t>(first), counts.end(),
              [](const ProbeCount& a, const ProbeCount& b) { return a.name < b.name; });
  }
  return counts;
}

}  // namespace ringfence
