#include "harness/runner/world.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/policy/policy.h"
#include "harness/runner/decoy.h"

namespace ringfence {
namespace {

Status mount_at(const char* source, const std::string& target, const char* type, uint64_t flags,
                const char* data = nullptr) {
  const int64_t result = sys::call(SYS_mount, sys::arg(source), sys::arg(target.c_str()),
                                   sys::arg(type), flags, sys::arg(data));
  if (result < 0) {
    return system_error("mount in decoy host", target, static_cast<int>(-result));
  }
  return {};
}

Status make_directory(const std::string& path, unsigned mode) {
  const int64_t result = sys::call(SYS_mkdirat, AT_FDCWD, sys::arg(path.c_str()), mode);
  if (result < 0 && result != -EEXIST) {
    return system_error("mkdir in decoy host", path, static_cast<int>(-result));
  }
  return {};
}

// A copy of what is mounted at a path of the host, attached nowhere yet. Taken before the decoy
// host's root covers anything: the path may lead below it.
struct Tree {
  std::string path;
  UniqueFd fd;
};
Result<Tree> take(const std::string& path) {
  const int64_t fd = sys::call(SYS_open_tree, AT_FDCWD, sys::arg(path.c_str()),
                               OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (fd < 0) return system_error("open_tree for decoy host", path, static_cast<int>(-fd));
  return Tree{path, UniqueFd(static_cast<int>(fd))};
}
Status attach(const Tree& tree, const std::string& target) {
  const int64_t r = sys::call(SYS_move_mount, tree.fd.get(), sys::arg(""), AT_FDCWD,
                              sys::arg(target.c_str()), MOVE_MOUNT_F_EMPTY_PATH);
  if (r < 0) return system_error("move_mount in decoy host", target, static_cast<int>(-r));
  return {};
}

// What the policy binds from the host, under its own path and read-only: a control trial in the
// decoy host is not confined, and must not write to what is the host's.
Status bind_from_host(const std::string& root, const Tree& tree) {
  const std::string& path = tree.path;
  struct stat st {};
  if (const int64_t r = sys::call(SYS_fstat, tree.fd.get(), sys::arg(&st)); r < 0) {
    return system_error("stat bind source", path, static_cast<int>(-r));
  }
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    if (auto ok = make_directory(root + path.substr(0, slash), 0755); !ok) return ok;
  }
  if (S_ISDIR(st.st_mode)) {
    if (auto ok = make_directory(root + path, 0755); !ok) return ok;
  } else if (auto fd = sys::open((root + path).c_str(), O_WRONLY | O_CREAT, 0644); !fd) {
    return tl::unexpected(fd.error());
  }
  if (auto ok = attach(tree, root + path); !ok) return ok;
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  const int64_t r = sys::call(SYS_mount_setattr, AT_FDCWD, sys::arg((root + path).c_str()),
                              AT_RECURSIVE, sys::arg(&attributes), sizeof attributes);
  if (r < 0) return system_error("make bind read-only", path, static_cast<int>(-r));
  return {};
}

// A device node of the host, bound: mknod needs a privilege that a user namespace never has.
Status bind_device(const std::string& root, const std::string& path) {
  auto fd = sys::open((root + path).c_str(), O_WRONLY | O_CREAT, 0666);
  if (!fd) return tl::unexpected(fd.error());
  return mount_at(path.c_str(), root + path, nullptr, MS_BIND);
}

struct Dir {
  const char* path;
  unsigned mode;
};
constexpr std::array kDirectories = {
    Dir{"/proc", 0555},       Dir{"/sys", 0555},         Dir{"/dev", 0755},  Dir{"/dev/pts", 0755},
    Dir{"/dev/shm", 01777},   Dir{"/dev/mqueue", 01777}, Dir{"/tmp", 01777}, Dir{"/canary", 0755},
    Dir{kDecoyStaging, 0755}, Dir{kDecoyRootfs, 0755},   Dir{"/etc", 0755}};
constexpr std::array kDevices = {"/dev/null",   "/dev/zero",    "/dev/full",
                                 "/dev/random", "/dev/urandom", "/dev/tty"};

}  // namespace

bool is_root_of_initial_userns() {
  // Inode of the initial user namespace: PROC_USER_INIT_INO, include/linux/proc_ns.h.
  return sys::call(SYS_geteuid) == 0 &&
         read_link("/proc/self/ns/user").value_or("") == "user:[4026531837]";
}

Status build_world(const std::string& rootfs, const std::vector<std::string>& binds,
                   bool privileged) {
  if (auto ok = mount_at(nullptr, "/", nullptr, MS_REC | MS_PRIVATE); !ok) return ok;
  Tree given;
  if (!rootfs.empty()) {
    auto tree = take(rootfs);
    if (!tree) return tl::unexpected(tree.error());
    given = std::move(*tree);
  }
  std::vector<Tree> bound;
  for (const auto& path : binds) {
    auto tree = take(path);
    if (!tree) return tl::unexpected(tree.error());
    bound.push_back(std::move(*tree));
  }
  // Covered in this mount namespace only, which nobody else is in.
  const std::string root = "/tmp";
  if (auto ok = mount_at("decoy", root, "tmpfs", 0, "mode=0755,size=64m"); !ok) return ok;
  (void)sys::call(SYS_umask, 0);
  for (const Dir& dir : kDirectories) {
    if (auto ok = make_directory(root + dir.path, dir.mode); !ok) return ok;
  }
  if (auto ok = mount_at("proc", root + "/proc", "proc", 0); !ok) return ok;
  if (auto ok = mount_at("sysfs", root + "/sys", "sysfs", 0); !ok) return ok;
  if (auto ok = mount_at("mqueue", root + "/dev/mqueue", "mqueue", 0); !ok) return ok;
  const char* pts = privileged ? "newinstance,ptmxmode=0666,mode=0620,gid=5"
                               : "newinstance,ptmxmode=0666,mode=0620";
  if (auto ok = mount_at("devpts", root + "/dev/pts", "devpts", 0, pts); !ok) return ok;
  if (sys::call(SYS_symlinkat, sys::arg("pts/ptmx"), AT_FDCWD,
                sys::arg((root + "/dev/ptmx").c_str())) < 0) {
    return system_error("symlink in decoy host", "/dev/ptmx", EIO);
  }
  for (const char* device : kDevices) {
    if (auto ok = bind_device(root, device); !ok) return ok;
  }
  if (given.fd) {
    if (auto ok = attach(given, root + kDecoyRootfs); !ok) return ok;
  }
  for (const Tree& tree : bound) {
    if (auto ok = bind_from_host(root, tree); !ok) return ok;
  }
  if (const int64_t r = sys::call(SYS_chdir, sys::arg(root.c_str())); r < 0) {
    return system_error("chdir in decoy host", root, static_cast<int>(-r));
  }
  if (const int64_t r = sys::call(SYS_pivot_root, sys::arg("."), sys::arg(".")); r < 0) {
    return system_error("pivot_root in decoy host", root, static_cast<int>(-r));
  }
  if (const int64_t r = sys::call(SYS_umount2, sys::arg("."), MNT_DETACH); r < 0) {
    return system_error("umount old root in decoy host", "/", static_cast<int>(-r));
  }
  if (const int64_t r = sys::call(SYS_chdir, sys::arg("/")); r < 0) {
    return system_error("chdir in decoy host", "/", static_cast<int>(-r));
  }
  // As an init such as systemd leaves it: what is mounted here shows everywhere.
  return mount_at(nullptr, "/", nullptr, MS_SHARED | MS_REC);
}

Status raise_loopback() {
  const int64_t raw = sys::call(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (raw < 0) return system_error("socket in decoy host", "lo", static_cast<int>(-raw));
  const UniqueFd fd(static_cast<int>(raw));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const int64_t result = sys::call(SYS_ioctl, fd.get(), SIOCSIFFLAGS, sys::arg(&request));
  if (result < 0) return system_error("raise lo in decoy host", {}, static_cast<int>(-result));
  return {};
}

// CLOSE_RANGE_CLOEXEC is Linux 5.11.
Status mark_descriptors() {
  const int64_t marked = sys::call(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (marked >= 0) return {};
  auto names = list_directory("/proc/self/fd");
  if (!names) return tl::unexpected(names.error());
  for (const auto& name : *names) {
    const int fd = parse_int(name).value_or(0);
    if (fd < 3) continue;
    const int64_t r = sys::call(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    if (r < 0 && r != -EBADF) return system_error("F_SETFD", name, static_cast<int>(-r));
  }
  return {};
}

Status be_worst_parent(bool privileged) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  int64_t result = sys::call(SYS_capget, sys::arg(&header), sys::arg(data.data()));
  if (result < 0) return system_error("capget in decoy host", {}, static_cast<int>(-result));
  for (auto& half : data) half.inheritable = half.permitted;
  result = sys::call(SYS_capset, sys::arg(&header), sys::arg(data.data()));
  if (result < 0) return system_error("capset in decoy host", {}, static_cast<int>(-result));
  for (int cap = 0; cap <= kCapLast; ++cap) {
    if ((data.at(static_cast<size_t>(cap) / 32).permitted >> (cap % 32) & 1) == 0) continue;
    result = sys::call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    if (result < 0) return system_error("PR_CAP_AMBIENT_RAISE", {}, static_cast<int>(-result));
  }
  // As systemd's SecureBits=no-setuid-fixup leaves it: a change of ids takes no capability away.
  result = sys::call(SYS_prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
  if (result < 0) return system_error("PR_SET_SECUREBITS", {}, static_cast<int>(-result));
  if (privileged) {
    const std::array<gid_t, 2> groups = {0, kDecoyGroup};
    result = sys::call(SYS_setgroups, groups.size(), sys::arg(groups.data()));
    if (result < 0) return system_error("setgroups in decoy host", {}, static_cast<int>(-result));
  }
  (void)sys::call(SYS_umask, 0);
  // Whoever started the run may be nice, or worse: cases judge what is done to a priority of 0. A
  // caller without CAP_SYS_NICE keeps what it has.
  (void)sys::call(SYS_setpriority, PRIO_PROCESS, 0, 0);
  return {};
}

}  // namespace ringfence
