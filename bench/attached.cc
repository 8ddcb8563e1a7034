#include "bench/attached.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <iterator>
#include <memory>
#include <string_view>

#include "harness/base/file.h"
#include "witness.skel.h"

namespace ringfence::bench {
namespace {

constexpr std::string_view kTypedTracepoint = "tp_btf/";
constexpr std::string_view kRawTracepoint = "raw_tp/";
constexpr std::array<std::string_view, 6> kForEverybody = {"tp/",   "kprobe",    "fentry",
                                                           "fexit", "kretprobe", "lsm/"};

// r0 = 0; exit.
constexpr std::array<bpf_insn, 2> kNothing = {{
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
    {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
}};

}  // namespace

Result<Links> attached_links() {
  Links links;
  uint32_t id = 0;
  while (bpf_link_get_next_id(id, &id) == 0) {
    const UniqueFd link(bpf_link_get_fd_by_id(id));
    if (!link) {
      if (errno == ENOENT) continue;  // gone in between
      return system_error("BPF_LINK_GET_FD_BY_ID", std::to_string(id));
    }
    bpf_link_info info{};
    uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) {
      return system_error("BPF_OBJ_GET_INFO_BY_FD", "link");
    }
    if (info.type == BPF_LINK_TYPE_RAW_TRACEPOINT || info.type == BPF_LINK_TYPE_TRACING) {
      links.insert(id);
    }
  }
  if (errno != ENOENT) return system_error("BPF_LINK_GET_NEXT_ID");
  return links;
}

Result<Links> own_links() {
  auto names = list_directory("/proc/self/fdinfo");
  if (!names) return tl::unexpected(names.error());
  Links links;
  for (const std::string& name : *names) {
    const auto text = read_file("/proc/self/fdinfo/" + name);
    if (!text) continue;  // the directory's own descriptor is gone
    constexpr std::string_view kKey = "link_id:";
    for (const std::string_view line : split(*text, '\n')) {
      if (!line.starts_with(kKey)) continue;
      const std::string_view number = trim(line.substr(kKey.size()));
      uint32_t id = 0;
      if (std::from_chars(number.data(), number.data() + number.size(), id).ec == std::errc{}) {
        links.insert(id);
      }
    }
  }
  return links;
}

Links without(const Links& all, const Links& known) {
  Links rest;
  std::set_difference(all.begin(), all.end(), known.begin(), known.end(),
                      std::inserter(rest, rest.end()));
  return rest;
}

Result<EmptyPrograms> EmptyPrograms::load(std::span<const std::string> programs) {
  const std::unique_ptr<witness_bpf, decltype(&witness_bpf__destroy)> witness(
      witness_bpf__open(), &witness_bpf__destroy);
  if (!witness) return system_error("open eBPF object");
  EmptyPrograms empty;
  for (const std::string& name : programs) {
    const bpf_program* program = bpf_object__find_program_by_name(witness->obj, name.c_str());
    if (program == nullptr) return system_error("find program", name, ENOENT);
    const std::string_view section = bpf_program__section_name(program);
    LIBBPF_OPTS(bpf_prog_load_opts, options);
    Loaded loaded;
    bpf_prog_type type = BPF_PROG_TYPE_RAW_TRACEPOINT;
    if (section.starts_with(kTypedTracepoint)) {
      type = BPF_PROG_TYPE_TRACING;
      options.expected_attach_type = BPF_TRACE_RAW_TP;
      const std::string tracepoint(section.substr(kTypedTracepoint.size()));
      const int id = libbpf_find_vmlinux_btf_id(tracepoint.c_str(), BPF_TRACE_RAW_TP);
      if (id < 0) return system_error("find tracepoint", tracepoint, -id);
      options.attach_btf_id = static_cast<uint32_t>(id);
    } else if (section.starts_with(kRawTracepoint)) {
      loaded.tracepoint = section.substr(kRawTracepoint.size());
    } else {
      const auto starts = [&](std::string_view kind) { return section.starts_with(kind); };
      if (std::none_of(kForEverybody.begin(), kForEverybody.end(), starts)) continue;
      return unsupported_error("empty program", std::string(section), ENOTSUP,
                               "only raw and typed tracepoints have one");
    }
    loaded.program = UniqueFd(
        bpf_prog_load(type, "rf_empty", "GPL", kNothing.data(), kNothing.size(), &options));
    if (!loaded.program) {
      return unsupported_error("load empty program", std::string(section), errno);
    }
    empty.loaded_.push_back(std::move(loaded));
  }
  return empty;
}

Status EmptyPrograms::attach() {
  for (const Loaded& each : loaded_) {
    UniqueFd link(bpf_raw_tracepoint_open(
        each.tracepoint.empty() ? nullptr : each.tracepoint.c_str(), each.program.get()));
    if (!link) return system_error("attach empty program", each.tracepoint);
    links_.push_back(std::move(link));
  }
  return {};
}

}  // namespace ringfence::bench
