#include "harness/witness/ladder.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>

#include "harness/witness/kernel_btf.h"

namespace ringfence {
namespace {

int quiet(libbpf_print_level /*level*/, const char* /*format*/, va_list /*args*/) { return 0; }

}  // namespace

std::string why_refused(int err, std::string_view log) {
  switch (err) {
    case EPERM:
      return "EPERM: the kernel does not let this process load it (privilege, lockdown, or a "
             "policy of the host)";
    case ESRCH:
    case ENOENT:
      return errno_name(err) + ": this kernel has no such hook";
    case EACCES:
    case EINVAL:
      return errno_name(err) + (log.empty() ? ": refused without a word of the verifier"
                                            : ": see the verifier's log");
    default:
      return errno_name(err);
  }
}

QuietLibbpf::QuietLibbpf() : before_(reinterpret_cast<void*>(libbpf_set_print(quiet))) {}
QuietLibbpf::~QuietLibbpf() { libbpf_set_print(reinterpret_cast<libbpf_print_fn_t>(before_)); }

void choose_programs(bpf_object* object, const std::function<bool(std::string_view)>& chosen) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    bpf_program__set_autoload(program, chosen(bpf_program__name(program)));
  }
}

Result<std::vector<Rung>> rungs_of(const OpenObject& open) {
  const QuietLibbpf hush;
  const auto object = open();
  if (!object) return system_error("open eBPF object");
  std::vector<Rung> rungs;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) {
    const std::string_view name = bpf_program__name(program);
    const size_t at = name.find("__");
    if (at == std::string_view::npos) {
      return system_error("read eBPF object", std::string(name), EINVAL, "HOOK__RUNG");
    }
    rungs.push_back({.hook = std::string(name.substr(0, at)),
                     .name = std::string(name.substr(at + 2)),
                     .section = bpf_program__section_name(program)});
  }
  return rungs;
}

void try_rung(Rung& rung, const OpenObject& open) {
  const QuietLibbpf hush;
  rung.tried = true;
  const auto object = open();
  if (!object) {
    rung.err = errno;
    rung.reason = "the object cannot be opened: " + errno_name(rung.err);
    return;
  }
  const std::string name = rung.program();
  choose_programs(object.get(), [&](std::string_view program) { return program == name; });
  std::string log(kVerifierLogBytes, '\0');
  bpf_program__set_log_buf(bpf_object__find_program_by_name(object.get(), name.c_str()), log.data(),
                           log.size());
  const int result = bpf_object__load(object.get());
  if (result == 0) {
    rung.loads = true;
    return;
  }
  rung.err = -result;
  rung.log = log.substr(0, log.find('\0'));
  rung.reason = why_refused(rung.err, rung.log);
}

Result<std::vector<Rung>> survey_object(const OpenObject& open) {
  auto rungs = rungs_of(open);
  if (!rungs) return rungs;
  refuse_absent(*rungs);
  for (Rung& rung : *rungs) {
    if (!rung.tried) try_rung(rung, open);
  }
  take_first(*rungs, {});
  return rungs;
}

void refuse_absent(std::vector<Rung>& rungs) {
  const auto kernel = kernel_btf();
  if (!kernel) return;
  for (Rung& rung : rungs) {
    const size_t slash = rung.section.find('/');
    if (slash == std::string::npos) continue;
    const std::string kind = rung.section.substr(0, slash), target = rung.section.substr(slash + 1);
    int id = 0;
    if (kind == "tp_btf" || kind == "raw_tp") {
      id = btf__find_by_name_kind(kernel.get(), ("btf_trace_" + target).c_str(), BTF_KIND_TYPEDEF);
    } else if (kind == "fentry" || kind == "fexit") {
      id = btf__find_by_name_kind(kernel.get(), target.c_str(), BTF_KIND_FUNC);
    }
    if (id >= 0) continue;
    rung.tried = true;
    rung.err = ESRCH;
    rung.reason = why_refused(rung.err, {});
  }
}

void take_first(std::vector<Rung>& rungs, const std::vector<std::string>& avoid) {
  std::vector<std::string> found;
  for (Rung& rung : rungs) {
    const bool out = std::find(avoid.begin(), avoid.end(), rung.name) != avoid.end() ||
                     (rung.tried && !rung.loads) ||
                     std::find(found.begin(), found.end(), rung.hook) != found.end();
    rung.taken = !out;
    if (rung.taken) found.push_back(rung.hook);
  }
}

}  // namespace ringfence
