#pragma once
// NamespaceFd: a namespace, held by a descriptor, and what the kernel says of it.
//
// A descriptor keeps its namespace alive, so that it is told from others for as long as it is held;
// an inode number alone may be another namespace's by the time that it is compared.
// Sources: namespaces(7), ioctl_ns(2) (NS_GET_USERNS and NS_GET_PARENT Linux 4.9, NS_GET_NSTYPE and
// NS_GET_OWNER_UID Linux 4.11).
#include <optional>
#include <string>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/policy/policy.h"

namespace ringfence {

class NamespaceFd {
 public:
  // /proc/PID/ns/KIND; 0: the calling thread's own.
  static Result<NamespaceFd> of_process(int pid, Ns kind);
  // The same of the process that `pidfd` stands for: an Error (ESRCH) when it has ended.
  static Result<NamespaceFd> of_pidfd(int pidfd, Ns kind);
  // A file of /proc/PID/ns or a bind of one; usage error when it is no namespace.
  static Result<NamespaceFd> at_path(const std::string& path);

  [[nodiscard]] int get() const { return fd_.get(); }
  // Which kind it is, NS_GET_NSTYPE.
  [[nodiscard]] Result<Ns> kind() const;
  // The user namespace that owns it, NS_GET_USERNS; nothing when that is out of the caller's scope.
  [[nodiscard]] Result<std::optional<NamespaceFd>> owner() const;
  // Of a pid or user namespace the one around it, NS_GET_PARENT; nothing for the caller's own.
  [[nodiscard]] Result<std::optional<NamespaceFd>> parent() const;
  // The user who made a user namespace, in the caller's numbers.
  [[nodiscard]] Result<uint32_t> owner_uid() const;
  [[nodiscard]] Result<bool> same_as(const NamespaceFd& other) const;
  // How many of its kind lie between it and `ancestor`: 0 for the same, nothing when `ancestor` is
  // not around it (or out of scope).
  [[nodiscard]] Result<std::optional<int>> depth_below(const NamespaceFd& ancestor) const;

 private:
  explicit NamespaceFd(UniqueFd fd) : fd_(std::move(fd)) {}
  [[nodiscard]] Result<std::optional<NamespaceFd>> related(unsigned request,
                                                           const char* name) const;
  UniqueFd fd_;
};

}  // namespace ringfence
