#include "harness/spawn/cgroup_devices.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>

#include "harness/base/sys.h"

namespace ringfence {
namespace {

Error refused(const char* what, const std::string& object, int64_t result, std::string hint) {
  const int err = static_cast<int>(-result);
  const bool lacking = err == EPERM || err == EINVAL || err == ENOSYS || err == EOPNOTSUPP;
  auto error =
      lacking ? unsupported_error(what, object, err, hint) : system_error(what, object, err);
  return error.value();
}

}  // namespace

Status attach_device_program(const std::string& directory, const std::vector<uint64_t>& program) {
  bpf_attr load;
  std::memset(&load, 0, sizeof load);
  std::string log(4096, '\0');
  constexpr char kLicense[] = "Apache-2.0";
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.insns = sys::arg(program.data());
  load.license = sys::arg(&kLicense[0]);
  std::memcpy(load.prog_name, "rf_devices", sizeof "rf_devices");
  const int64_t fd = sys::call(SYS_bpf, BPF_PROG_LOAD, sys::arg(&load), sizeof load);
  if (fd < 0) {
    return tl::unexpected(refused("load device program", directory, fd,
                                  "needs CAP_BPF or CAP_SYS_ADMIN, and CONFIG_CGROUP_BPF"));
  }
  const UniqueFd loaded(static_cast<int>(fd));
  auto group = sys::open(directory.c_str(), O_RDONLY | O_DIRECTORY);
  if (!group) return tl::unexpected(group.error());
  bpf_attr attach;
  std::memset(&attach, 0, sizeof attach);
  attach.target_fd = static_cast<uint32_t>(group->get());
  attach.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  const int64_t r = sys::call(SYS_bpf, BPF_PROG_ATTACH, sys::arg(&attach), sizeof attach);
  if (r < 0) {
    return tl::unexpected(refused("attach device program", directory, r,
                                  "another program there allows no second one"));
  }
  return {};
}

}  // namespace ringfence
