#include "harness/confine/namespace_fd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nsfs.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

constexpr int kDeepest = 33;  // MAX_PID_NS_LEVEL and the depth of user namespaces, and ourselves

std::string proc_name(int pid, Ns kind) {
  return pid == 0 ? fmt::format("/proc/thread-self/ns/{}", ns_name(kind))
                  : fmt::format("/proc/{}/ns/{}", pid, ns_name(kind));
}

// The pid of what a pidfd stands for; -1 when it has ended and been reaped.
Result<int> pid_of(int pidfd) {
  auto text = read_file(fmt::format("/proc/self/fdinfo/{}", pidfd));
  if (!text) return tl::unexpected(text.error());
  for (const auto line : split(*text, '\n')) {
    if (!line.starts_with("Pid:")) continue;
    return parse_int(trim(line.substr(4))).value_or(-1);
  }
  return usage_error("namespace of a pidfd", std::to_string(pidfd), "it is no pidfd");
}

}  // namespace

Result<NamespaceFd> NamespaceFd::of_process(int pid, Ns kind) {
  auto fd = sys::open(proc_name(pid, kind).c_str(), O_RDONLY);
  if (!fd) return tl::unexpected(fd.error());
  return NamespaceFd(std::move(*fd));
}

Result<NamespaceFd> NamespaceFd::of_pidfd(int pidfd, Ns kind) {
  const auto pid = pid_of(pidfd);
  if (!pid) return tl::unexpected(pid.error());
  auto ns = *pid > 0 ? of_process(*pid, kind)
                     : system_error("namespace of a pidfd", std::to_string(pidfd), ESRCH);
  // The number was its own if it is still there: only then nobody else can have got it.
  const int64_t r = sys::call(SYS_pidfd_send_signal, static_cast<uint64_t>(pidfd), 0, 0, 0);
  if (r < 0 && r != -EPERM) {
    return system_error("namespace of a pidfd", std::to_string(pidfd), static_cast<int>(-r));
  }
  return ns;
}

Result<NamespaceFd> NamespaceFd::at_path(const std::string& path) {
  auto fd = sys::open(path.c_str(), O_RDONLY);
  if (!fd) return tl::unexpected(fd.error());
  NamespaceFd ns(std::move(*fd));
  if (auto kind = ns.kind(); !kind) {
    return usage_error("open namespace", path, "it is no namespace; /proc/PID/ns/... is");
  }
  return ns;
}

Result<Ns> NamespaceFd::kind() const {
  const int64_t flag = sys::call(SYS_ioctl, get(), NS_GET_NSTYPE, 0);
  if (flag < 0) return system_error("NS_GET_NSTYPE", "namespace", static_cast<int>(-flag));
  for (const Ns ns : kAllNs) {
    if (ns_clone_flag(ns) == static_cast<uint64_t>(flag)) return ns;
  }
  return unsupported_error("NS_GET_NSTYPE", fmt::format("{:#x}", flag), 0);
}

Result<std::optional<NamespaceFd>> NamespaceFd::related(unsigned request, const char* name) const {
  const int64_t fd = sys::call(SYS_ioctl, get(), request, 0);
  if (fd == -EPERM) return std::optional<NamespaceFd>();  // out of scope, or there is none
  if (fd < 0) return system_error(name, "namespace", static_cast<int>(-fd));
  return std::optional<NamespaceFd>(NamespaceFd(UniqueFd(static_cast<int>(fd))));
}

Result<std::optional<NamespaceFd>> NamespaceFd::owner() const {
  return related(NS_GET_USERNS, "NS_GET_USERNS");
}
Result<std::optional<NamespaceFd>> NamespaceFd::parent() const {
  return related(NS_GET_PARENT, "NS_GET_PARENT");
}

Result<uint32_t> NamespaceFd::owner_uid() const {
  uint32_t uid = 0;
  const int64_t r = sys::call(SYS_ioctl, get(), NS_GET_OWNER_UID, sys::arg(&uid));
  if (r < 0) return system_error("NS_GET_OWNER_UID", "namespace", static_cast<int>(-r));
  return uid;
}

Result<bool> NamespaceFd::same_as(const NamespaceFd& other) const {
  struct stat a {};
  struct stat b {};
  for (const auto& [fd, st] : {std::pair{get(), &a}, std::pair{other.get(), &b}}) {
    if (const int64_t r = sys::call(SYS_fstat, fd, sys::arg(st)); r < 0) {
      return system_error("fstat", "namespace", static_cast<int>(-r));
    }
  }
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Result<std::optional<int>> NamespaceFd::depth_below(const NamespaceFd& ancestor) const {
  std::optional<NamespaceFd> above;
  for (int depth = 0; depth <= kDeepest; ++depth) {
    const NamespaceFd& at = above ? *above : *this;
    const auto same = at.same_as(ancestor);
    if (!same) return tl::unexpected(same.error());
    if (*same) return std::optional<int>(depth);
    auto next = at.parent();
    if (!next) return tl::unexpected(next.error());
    if (!*next) break;
    above = std::move(*next);
  }
  return std::optional<int>();
}

}  // namespace ringfence
