#include "harness/witness/group_programs.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include "harness/base/sys.h"

namespace ringfence {

bool is_group_program(const bpf_program* program) {
  switch (bpf_program__type(program)) {
    case BPF_PROG_TYPE_CGROUP_SKB:
    case BPF_PROG_TYPE_CGROUP_SOCK:
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
    case BPF_PROG_TYPE_CGROUP_DEVICE:
      return true;
    default:
      return false;
  }
}

Result<UniqueFd> link_to_group(const bpf_program* program, int group_fd) {
  bpf_attr attr{};
  attr.link_create.prog_fd = static_cast<uint32_t>(bpf_program__fd(program));
  attr.link_create.target_fd = static_cast<uint32_t>(group_fd);
  attr.link_create.attach_type = bpf_program__expected_attach_type(program);
  const int64_t r = sys::call(SYS_bpf, BPF_LINK_CREATE, sys::arg(&attr), sizeof attr);
  if (r < 0) {
    return system_error("attach to the group", bpf_program__name(program), static_cast<int>(-r));
  }
  return UniqueFd(static_cast<int>(r));
}

}  // namespace ringfence
