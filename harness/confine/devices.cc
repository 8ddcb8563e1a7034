// /dev: the default devices of the runtime-spec as binds of the host's, which also work in a user
// namespace, and the links that every runtime makes.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <array>

#include "harness/confine/attach.h"
#include "harness/confine/mounts.h"
#include "harness/confine/paths.h"

namespace ringfence {

void add_default_devices(Assembler& plan) {
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty"}) {
    const std::string path = fmt::format("/dev/{}", name);
    Step step = Assembler::setup({}, "device:" + path, "bind the host's " + path);
    add_open_creating(plan, step, kSlotRoot, path, true);
    add_bind_on(plan, step, path, false, kSlotTarget);
    step.ops.push_back(close_slot(kSlotTarget));
    plan.add(std::move(step));
  }
  constexpr std::array<std::array<const char*, 2>, 5> kLinks = {{{"/proc/self/fd", "fd"},
                                                                 {"/proc/self/fd/0", "stdin"},
                                                                 {"/proc/self/fd/1", "stdout"},
                                                                 {"/proc/self/fd/2", "stderr"},
                                                                 {"pts/ptmx", "ptmx"}}};
  Step links =
      Assembler::setup({}, "device:links", "links of /dev: fd, stdin, stdout, stderr, ptmx");
  // /dev of the rootfs may be a link: it is the directory that was mounted on.
  add_open(plan, links, kSlotRoot, "dev", O_PATH | O_DIRECTORY, kSlotTarget);
  for (const auto& [to, name] : kLinks) {
    links.ops.push_back(tolerating(
        make_op(SYS_symlinkat, plan.text(to), slot_arg(kSlotTarget), plan.text(name)), EEXIST));
  }
  links.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(links));
}

void add_device(Assembler& plan, const Device& device, bool user_namespace) {
  Step step = Assembler::setup(
      {}, "device:" + device.path,
      fmt::format("device {} {}:{} at {}", device.type, device.major, device.minor, device.path));
  if (user_namespace) {
    // mknod(2) of devices is refused there.
    add_open_creating(plan, step, kSlotRoot, device.path, true);
    add_bind_on(plan, step, device.path, false, kSlotTarget);
    step.ops.push_back(close_slot(kSlotTarget));
    plan.add(std::move(step));
    return;
  }
  const std::string inside = path_in_root(device.path);
  const size_t slash = inside.rfind('/');
  const Arg node = plan.text(slash == std::string::npos ? inside : inside.substr(slash + 1));
  const uint32_t type = device.type == 'b' ? S_IFBLK : device.type == 'p' ? S_IFIFO : S_IFCHR;
  const uint64_t number =
      makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
  add_open_creating(plan, step, kSlotRoot,
                    slash == std::string::npos ? "/" : inside.substr(0, slash), false);
  // The caller's umask must not decide, and a chmod(2) afterwards could be led elsewhere.
  step.ops.push_back(into(make_op(SYS_umask, 0), kSlotUmask));
  // A node that is there (one of the default devices) stays as it is: it may be the host's own.
  step.ops.push_back(
      into(tolerating(make_op(SYS_mknodat, slot_arg(kSlotTarget), node, type | device.mode, number),
                      EEXIST),
           kSlotFile));
  step.ops.push_back(when(make_op(SYS_fchownat, slot_arg(kSlotTarget), node, device.uid, device.gid,
                                  AT_SYMLINK_NOFOLLOW),
                          kSlotFile));
  step.ops.push_back(make_op(SYS_umask, slot_arg(kSlotUmask)));
  step.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(step));
}

}  // namespace ringfence
