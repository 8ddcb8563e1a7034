#include "bench/attached.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string_view>

#include "witness.skel.h"

namespace ringfence::bench {
namespace {

constexpr std::string_view kTypedTracepoint = "tp_btf/";
constexpr std::string_view kRawTracepoint = "raw_tp/";

// r0 = 0; exit.
constexpr std::array<bpf_insn, 2> kNothing = {{
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0},
    {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
}};

}  // namespace

Result<size_t> count_attached() {
  size_t count = 0;
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
    if (info.type == BPF_LINK_TYPE_RAW_TRACEPOINT || info.type == BPF_LINK_TYPE_TRACING) ++count;
  }
  if (errno != ENOENT) return system_error("BPF_LINK_GET_NEXT_ID");
  return count;
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
      return unsupported_error("empty program", std::string(section), ENOTSUP,
                               "only tracepoints have one");
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
