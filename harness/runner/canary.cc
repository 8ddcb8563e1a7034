#include "harness/runner/canary.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/runner/sight.h"

namespace ringfence {
namespace {

constexpr uint32_t kOtherUid = 1000;
constexpr uint32_t kFileUid = 2000;
constexpr uint32_t kCanaryGroup = 7777;
constexpr size_t kSegmentSize = 4096;

// Canary files by placeholder. All of them hold the secret.
struct CanaryFile {
  std::string_view name;
  const char* path;
  uint32_t mode, uid, gid;
};
constexpr std::array kFiles = {
    CanaryFile{"secret_file", "/canary/secret", 0600, 0, 0},
    CanaryFile{"file", "/canary/file", 0600, 0, 0},
    CanaryFile{"file1000", "/canary/file1000", 0600, kOtherUid, kOtherUid},
    CanaryFile{"group_file", "/canary/group", 0040, kFileUid, kCanaryGroup},
    CanaryFile{"group0_file", "/canary/group0", 0040, kFileUid, 0},
};

// A syscall through the seam, its failure as an Error.
template <typename... Args>
Result<int64_t> made(const char* what, const std::string& object, long nr, Args... args) {
  const int64_t result = sys::call(nr, static_cast<uint64_t>(args)...);
  if (result < 0) return system_error(what, object, static_cast<int>(-result));
  return result;
}

Result<UniqueFd> make_socket(int domain, int type) {
  auto fd = made("socket", {}, SYS_socket, domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (!fd) return tl::unexpected(fd.error());
  return UniqueFd(static_cast<int>(*fd));
}

Status listen_on(const UniqueFd& fd, const void* address, size_t size, const std::string& name) {
  if (auto bound = made("bind", name, SYS_bind, fd.get(), sys::arg(address), size); !bound) {
    return tl::unexpected(bound.error());
  }
  if (auto listening = made("listen", name, SYS_listen, fd.get(), 8); !listening) {
    return tl::unexpected(listening.error());
  }
  return {};
}

// Whether anybody is waiting to be accepted.
bool connected(const UniqueFd& fd) {
  const UniqueFd peer(static_cast<int>(sys::call(SYS_accept4, fd.get(), 0, 0, SOCK_CLOEXEC)));
  return static_cast<bool>(peer);
}

int count_mounts(const std::string& path) {
  int count = 0;
  const auto text = read_file("/proc/self/mountinfo");
  if (!text) return -1;
  for (auto line : split(*text, '\n')) {
    const auto fields = split(line, ' ');
    if (fields.size() > 4 && fields[4] == path) ++count;
  }
  return count;
}

int lo_mtu() {
  auto fd = make_socket(AF_INET, SOCK_DGRAM);
  if (!fd) return -1;
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (sys::call(SYS_ioctl, fd->get(), SIOCGIFMTU, sys::arg(&request)) < 0) return -1;
  return request.ifr_mtu;
}

std::string uname_field(bool domain) {
  struct {
    std::array<char, 65> sysname, nodename, release, version, machine, domainname;
  } names{};
  if (sys::call(SYS_uname, sys::arg(&names)) < 0) return {};
  return domain ? names.domainname.data() : names.nodename.data();
}

std::string hex(const unsigned char* bytes, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

Seen seen(const Goal& goal, bool yes, std::string says) {
  return {goal, yes, std::move(says), "canary"};
}

}  // namespace

Canaries::Canaries(std::string secret, std::string nonce, int inmate_fd)
    : secret_(std::move(secret)), nonce_(std::move(nonce)), inmate_fd_(inmate_fd) {}

std::vector<int> Canaries::pids() const {
  std::vector<int> list;
  for (const auto& [kind, canary] : processes_) {
    if (canary.child) list.push_back(canary.child->pid());
  }
  return list;
}

Result<std::string> Canaries::expand(const std::string& parameter) {
  std::string out;
  for (size_t at = 0; at < parameter.size();) {
    const size_t open = parameter.find('{', at);
    const size_t close = open == std::string::npos ? open : parameter.find('}', open);
    if (close == std::string::npos) return out + parameter.substr(at);
    out += parameter.substr(at, open - at);
    const std::string name = parameter.substr(open + 1, close - open - 1);
    auto known = values_.find(name);
    if (known == values_.end()) {
      auto made_value = value(name);
      if (!made_value) return made_value;
      known = values_.emplace(name, *made_value).first;
    }
    out += known->second;
    at = close + 1;
  }
  return out;
}

// A process that waits for the end of the decoy host: the inmate's own attempt `exit`, never
// inspected. Root without capabilities ("plain"), with all of them, or another user.
Result<Canaries::ProcessCanary*> Canaries::process(const std::string& kind) {
  if (auto it = processes_.find(kind); it != processes_.end()) return &it->second;
  Policy policy;
  policy.name = "canary";
  policy.new_session = false;
  if (kind != "privileged") {
    const CapSet none;
    policy.capabilities = {none, none, none, none, none};
  }
  policy.user.uid = policy.user.gid = kind == "other_uid" ? kOtherUid : 0;
  auto plan = compile(policy);
  if (!plan) return tl::unexpected(plan.error());

  std::array<int, 2> pair{};
  if (auto ok = made("socketpair", kind, SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
                     sys::arg(pair.data()));
      !ok) {
    return tl::unexpected(ok.error());
  }
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  // The secret in a file that the canary holds open, as descriptor 9.
  auto memory = made("memfd_create", kind, SYS_memfd_create, sys::arg("canary"), 1U /* CLOEXEC */);
  if (!memory) return tl::unexpected(memory.error());
  const UniqueFd secret_fd(static_cast<int>(*memory));
  if (auto ok = sys::write_full(secret_fd.get(), secret_.data(), secret_.size()); !ok) {
    return tl::unexpected(ok.error());
  }

  SpawnRequest request;
  request.plan = &*plan;
  request.exe_fd = inmate_fd_;
  request.args = {"canary-" + nonce_ + "-" + kind, "exit"};
  request.env = {"SECRET=" + secret_};
  request.fds = {{3, theirs.get()}, {9, secret_fd.get()}};
  auto child = spawn(request);
  if (!child) return tl::unexpected(child.error());
  // Its last message says that it waits: from then on it runs no instruction of its own.
  for (bool waits = false; !waits;) {
    std::array<char, 64> message{};
    auto n =
        made("read canary", kind, SYS_read, ours.get(), sys::arg(message.data()), message.size());
    if (!n) return tl::unexpected(n.error());
    if (*n == 0) return system_error("start canary", kind, ECHILD);
    waits = message[0] == 'W';
  }

  ProcessCanary canary;
  const auto stat = read_file(fmt::format("/proc/{}/stat", child->pid())).value_or("");
  // After the command in parentheses, env_start is field 50 (proc(5)), the 48th from state on.
  const size_t after = stat.rfind(')');
  if (after != std::string::npos) {
    const auto fields = split(std::string_view(stat).substr(after + 1), ' ');
    constexpr size_t kEnvStart = 47;
    if (fields.size() > kEnvStart) {
      canary.env_addr = std::strtoull(std::string(fields[kEnvStart]).c_str(), nullptr, 10);
    }
  }
  canary.memory = request.env[0];
  canary.child = std::move(*child);
  canary.answer = std::move(ours);
  return &processes_.emplace(kind, std::move(canary)).first->second;
}

Status Canaries::plant(const std::string& path, const std::string& content, uint32_t mode,
                       uint32_t uid, uint32_t gid) {
  if (planted_.contains(path)) return {};
  auto fd = sys::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!fd) return tl::unexpected(fd.error());
  if (auto ok = sys::write_full(fd->get(), content.data(), content.size()); !ok) return ok;
  if (uid != 0 || gid != 0) {
    if (auto ok = made("chown", path, SYS_fchown, fd->get(), uid, gid); !ok) {
      return tl::unexpected(ok.error());
    }
  }
  if (auto ok = made("chmod", path, SYS_fchmod, fd->get(), mode); !ok) {
    return tl::unexpected(ok.error());
  }
  planted_[path] = content;
  return {};
}

Status Canaries::plant_inmate(const std::string& path, uint32_t mode, bool file_caps) {
  if (planted_.contains(path)) return {};
  auto image = read_file(fmt::format("/proc/self/fd/{}", inmate_fd_));
  if (!image) return tl::unexpected(image.error());
  if (auto ok = plant(path, *image, mode, 0, 0); !ok) return ok;
  if (!file_caps) return {};
  vfs_cap_data caps{};
  caps.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE;
  // The kernel refuses to execute a file with more than the bounding set, so no more than ours.
  const auto bounding = status_field(0, "CapBnd");
  const uint64_t all = std::strtoull(bounding.c_str(), nullptr, 16);
  caps.data[0].permitted = static_cast<uint32_t>(all);
  caps.data[1].permitted = static_cast<uint32_t>(all >> 32);
  if (auto ok = made("setxattr", path, SYS_setxattr, sys::arg(path.c_str()),
                     sys::arg("security.capability"), sys::arg(&caps), XATTR_CAPS_SZ_2, 0);
      !ok) {
    return tl::unexpected(ok.error());
  }
  return {};
}

Status Canaries::make_sysv() {
  if (shm_id_ >= 0) return {};
  const int key = 0x52460000 + static_cast<int>(std::hash<std::string>{}(nonce_)&0xffff);
  auto id = made("shmget", {}, SYS_shmget, key, kSegmentSize, IPC_CREAT | IPC_EXCL | 0600);
  if (!id) return tl::unexpected(id.error());
  shm_id_ = static_cast<int>(*id);
  auto at = made("shmat", {}, SYS_shmat, shm_id_, 0, 0);
  if (!at) return tl::unexpected(at.error());
  std::memcpy(reinterpret_cast<void*>(*at), secret_.c_str(), secret_.size() + 1);
  values_["sysv_key"] = std::to_string(key);
  if (auto ok = made("shmdt", {}, SYS_shmdt, *at); !ok) return tl::unexpected(ok.error());
  return {};
}

Status Canaries::make_tty() {
  if (tty_slave_) return {};
  auto master = sys::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (!master) return tl::unexpected(master.error());
  int number = 0;
  int unlock = 0;
  if (auto ok = made("TIOCSPTLCK", {}, SYS_ioctl, master->get(), TIOCSPTLCK, sys::arg(&unlock));
      !ok) {
    return tl::unexpected(ok.error());
  }
  if (auto ok = made("TIOCGPTN", {}, SYS_ioctl, master->get(), TIOCGPTN, sys::arg(&number)); !ok) {
    return tl::unexpected(ok.error());
  }
  const std::string name = fmt::format("/dev/pts/{}", number);
  auto slave = sys::open(name.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (!slave) return tl::unexpected(slave.error());
  termios settings{};
  if (auto ok = made("TCGETS", name, SYS_ioctl, slave->get(), TCGETS, sys::arg(&settings)); !ok) {
    return tl::unexpected(ok.error());
  }
  // Input counts as soon as it is there, not at the end of a line.
  settings.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  if (auto ok = made("TCSETS", name, SYS_ioctl, slave->get(), TCSETS, sys::arg(&settings)); !ok) {
    return tl::unexpected(ok.error());
  }
  // The decoy host's init leads the session whose terminal this is, as a user's shell does.
  (void)sys::call(SYS_setsid);
  if (auto ok = made("TIOCSCTTY", name, SYS_ioctl, slave->get(), TIOCSCTTY, 0); !ok) {
    return tl::unexpected(ok.error());
  }
  tty_master_ = std::move(*master);
  tty_slave_ = std::move(*slave);
  return {};
}

Result<std::string> Canaries::value(std::string_view name) {
  for (const CanaryFile& file : kFiles) {
    if (file.name != name) continue;
    if (auto ok = plant(file.path, secret_, file.mode, file.uid, file.gid); !ok) {
      return tl::unexpected(ok.error());
    }
    return std::string(file.path);
  }
  const auto pid = [&](const std::string& kind) -> Result<std::string> {
    auto canary = process(kind);
    if (!canary) return tl::unexpected(canary.error());
    return std::to_string((*canary)->child->pid());
  };
  if (name == "canary_pid") return pid("plain");
  if (name == "privileged_pid") return pid("privileged");
  if (name == "other_uid_pid") return pid("other_uid");
  if (name == "canary_fd") return "9";
  if (name == "canary_marker") {
    if (auto canary = process("plain"); !canary) return tl::unexpected(canary.error());
    return "canary-" + nonce_;
  }
  if (name == "canary_env_addr") {
    auto canary = process("plain");
    if (!canary) return tl::unexpected(canary.error());
    return fmt::format("{:#x}", (*canary)->env_addr);
  }
  if (name == "setuid_inmate" || name == "filecap_inmate") {
    const bool caps = name == "filecap_inmate";
    const std::string path = "/canary/" + std::string(name);
    if (auto ok = plant_inmate(path, caps ? 0755 : 04755, caps); !ok) {
      return tl::unexpected(ok.error());
    }
    return path;
  }
  if (name == "sysv_key") {
    if (auto ok = make_sysv(); !ok) return tl::unexpected(ok.error());
    return values_["sysv_key"];
  }
  if (name == "msg_key") {
    const int key = 0x52470000 + static_cast<int>(std::hash<std::string>{}(nonce_)&0xffff);
    auto id = made("msgget", {}, SYS_msgget, key, IPC_CREAT | IPC_EXCL | 0600);
    if (!id) return tl::unexpected(id.error());
    struct {
      long type = 1;
      std::array<char, 64> text{};
    } message;
    std::strncpy(message.text.data(), secret_.c_str(), message.text.size() - 1);
    if (auto ok = made("msgsnd", {}, SYS_msgsnd, *id, sys::arg(&message), secret_.size() + 1, 0);
        !ok) {
      return tl::unexpected(ok.error());
    }
    return std::to_string(key);
  }
  if (name == "mq_name") {
    const std::string queue = "ringfence-" + nonce_;
    mq_attr attributes{};
    attributes.mq_maxmsg = 2;
    attributes.mq_msgsize = 128;
    auto fd = made("mq_open", queue, SYS_mq_open, sys::arg(queue.c_str()),
                   O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, sys::arg(&attributes));
    if (!fd) return tl::unexpected(fd.error());
    mqueue_ = UniqueFd(static_cast<int>(*fd));
    if (auto ok = made("mq_timedsend", queue, SYS_mq_timedsend, mqueue_.get(),
                       sys::arg(secret_.c_str()), secret_.size() + 1, 0, 0);
        !ok) {
      return tl::unexpected(ok.error());
    }
    return queue;
  }
  if (name == "abstract_name" || name == "unix_path") {
    const bool abstract = name == "abstract_name";
    auto fd = make_socket(AF_UNIX, SOCK_STREAM);
    if (!fd) return tl::unexpected(fd.error());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = abstract ? "ringfence-" + nonce_ : "/canary/socket";
    std::memcpy(address.sun_path + (abstract ? 1 : 0), text.data(), text.size());
    const size_t size = offsetof(sockaddr_un, sun_path) + text.size() + 1;
    if (auto ok = listen_on(*fd, &address, size, text); !ok) return tl::unexpected(ok.error());
    (abstract ? abstract_ : unix_) = std::move(*fd);
    return text;
  }
  if (name == "tcp_port") {
    auto fd = make_socket(AF_INET, SOCK_STREAM);
    if (!fd) return tl::unexpected(fd.error());
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (auto ok = listen_on(*fd, &address, sizeof address, "127.0.0.1"); !ok) {
      return tl::unexpected(ok.error());
    }
    socklen_t size = sizeof address;
    if (auto ok = made("getsockname", {}, SYS_getsockname, fd->get(), sys::arg(&address),
                       sys::arg(&size));
        !ok) {
      return tl::unexpected(ok.error());
    }
    loopback_ = std::move(*fd);
    return std::to_string(ntohs(address.sin_port));
  }
  if (name == "key_desc") {
    // A keyring of our own, so that the caller's session keyring is never touched.
    if (auto ok =
            made("KEYCTL_JOIN_SESSION_KEYRING", {}, SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
        !ok) {
      return tl::unexpected(ok.error());
    }
    const std::string description = "ringfence-" + nonce_;
    if (auto ok = made("add_key", description, SYS_add_key, sys::arg("user"),
                       sys::arg(description.c_str()), sys::arg(secret_.data()), secret_.size(),
                       static_cast<uint64_t>(static_cast<int64_t>(KEY_SPEC_SESSION_KEYRING)));
        !ok) {
      return tl::unexpected(ok.error());
    }
    return description;
  }
  if (name == "handle_type" || name == "handle_hex") {
    if (auto ok = plant("/canary/secret", secret_, 0600, 0, 0); !ok) {
      return tl::unexpected(ok.error());
    }
    alignas(file_handle) std::array<unsigned char, sizeof(file_handle) + MAX_HANDLE_SZ> buffer{};
    auto* handle = reinterpret_cast<file_handle*>(buffer.data());
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount_id = 0;
    if (auto ok = made("name_to_handle_at", "/canary/secret", SYS_name_to_handle_at, AT_FDCWD,
                       sys::arg("/canary/secret"), sys::arg(handle), sys::arg(&mount_id), 0);
        !ok) {
      return tl::unexpected(ok.error());
    }
    return name == "handle_type"
               ? std::to_string(handle->handle_type)
               : hex(buffer.data() + offsetof(file_handle, f_handle), handle->handle_bytes);
  }
  return usage_error("expand parameter", "{" + std::string(name) + "}", "no such placeholder");
}

Status Canaries::prepare(const Goal& goal) {
  // What watches a canary file needs the file, even when no parameter names it.
  for (const CanaryFile& file : kFiles) {
    if (goal.arg != file.path) continue;
    if (auto path = value(file.name); !path) return tl::unexpected(path.error());
  }
  switch (goal.sight) {
    case Sight::hostname_changed:
    case Sight::domainname_changed: {
      const std::string name = "decoy-" + nonce_;
      for (const long nr : {SYS_sethostname, SYS_setdomainname}) {
        if (auto ok = made("sethostname", name, nr, sys::arg(name.data()), name.size()); !ok) {
          return tl::unexpected(ok.error());
        }
      }
      hostname_ = uname_field(false);
      domainname_ = uname_field(true);
      if (hostname_.empty() || domainname_.empty()) return system_error("uname", name, EIO);
      return {};
    }
    case Sight::canary_killed: {
      auto canary = process(goal.arg);
      if (!canary) return tl::unexpected(canary.error());
      return {};
    }
    case Sight::tty_input:
      return make_tty();
    case Sight::sysv_changed:
      return make_sysv();
    case Sight::mtu_changed:
      mtu_before_ = lo_mtu();
      if (mtu_before_ < 0) return system_error("read the MTU", "lo", EIO);
      return {};
    case Sight::mount_appeared:
      mounts_before_[goal.arg] = count_mounts(goal.arg);
      if (mounts_before_[goal.arg] < 0) return system_error("count mounts", goal.arg, EIO);
      return {};
    default:
      return {};
  }
}

Result<int> Canaries::pass_file(int target_pid) {
  const std::string root = fmt::format("/proc/{}/root/", target_pid);
  auto fd = sys::open(root.c_str(), O_TMPFILE | O_RDWR, 0600);
  if (!fd) return tl::unexpected(fd.error());
  passed_ = std::move(*fd);
  return passed_.get();
}

// A signal that was sent may not have been delivered yet, so that a look at the process could come
// too early. The canary is let go instead: one that was killed dies of the signal on its way out,
// one that was left alone exits as the inmate does.
Seen Canaries::ask_process(const Goal& goal) {
  const auto it = processes_.find(goal.arg);
  if (it == processes_.end()) return seen(goal, false, "there is no such canary");
  Child& child = *it->second.child;
  const char go = 'g';
  const int64_t sent = sys::call(SYS_sendto, it->second.answer.get(), sys::arg(&go), 1,
                                 MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
  if (sent < 0 && sent != -EPIPE && sent != -ECONNRESET) {
    return seen(goal, false, "the canary process cannot be asked");
  }
  constexpr std::chrono::milliseconds kPatience{5000};
  const auto status = child.wait(kPatience);
  if (!status || !*status) return seen(goal, false, "the canary process does not answer");
  return seen(goal, (*status)->signaled,
              fmt::format("canary process {}: {}", child.pid(), (*status)->describe()));
}

Status Canaries::plant_inside(int target_pid, const std::string& path, uint32_t mode) {
  auto root = sys::open(fmt::format("/proc/{}/root", target_pid).c_str(), O_PATH | O_DIRECTORY);
  if (!root) return tl::unexpected(root.error());
  // The tree is the target's, so no link of its making may lead out of it.
  open_how how{};
  how.flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  how.mode = 0600;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  auto raw = made("openat2", path, SYS_openat2, root->get(), sys::arg(path.c_str()), sys::arg(&how),
                  sizeof how);
  if (!raw) return tl::unexpected(raw.error());
  const UniqueFd fd(static_cast<int>(*raw));
  const auto image = read_file(fmt::format("/proc/self/fd/{}", inmate_fd_));
  if (!image) return tl::unexpected(image.error());
  if (auto ok = sys::write_full(fd.get(), image->data(), image->size()); !ok) return ok;
  if (auto ok = made("fchmod", path, SYS_fchmod, fd.get(), mode & 07777); !ok) {
    return tl::unexpected(ok.error());
  }
  return {};
}

std::optional<Seen> Canaries::look(const Goal& goal, bool ended) {
  const auto stat_of = [&](struct stat& st) {
    return sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(goal.arg.c_str()), sys::arg(&st),
                     AT_SYMLINK_NOFOLLOW) == 0;
  };
  struct stat st {};
  switch (goal.sight) {
    case Sight::canary_killed:
      if (!ended) return std::nullopt;
      return ask_process(goal);
    case Sight::canary_traced: {
      for (const auto& [kind, canary] : processes_) {
        const auto status =
            read_file(fmt::format("/proc/{}/status", canary.child->pid())).value_or("");
        const size_t at = status.find("TracerPid:\t");
        if (at != std::string::npos && status[at + 11] != '0') {
          return seen(goal, true, fmt::format("canary process {} is being traced", kind));
        }
      }
      return seen(goal, false, "no canary process is being traced");
    }
    case Sight::canary_memory_changed: {
      for (auto& [kind, canary] : processes_) {
        std::string now(canary.memory.size(), '\0');
        auto fd = sys::open(fmt::format("/proc/{}/mem", canary.child->pid()).c_str(), O_RDONLY);
        if (!fd) continue;
        const int64_t n =
            sys::call(SYS_pread64, fd->get(), sys::arg(now.data()), now.size(), canary.env_addr);
        if (n == static_cast<int64_t>(now.size()) && now != canary.memory) {
          return seen(goal, true, "the memory of canary process " + kind + " was changed");
        }
      }
      return seen(goal, false, "the memory of the canary processes is as it was");
    }
    case Sight::file_changed: {
      const auto planted = planted_.find(goal.arg);
      if (planted == planted_.end()) return seen(goal, false, "no such canary file: " + goal.arg);
      const auto now = read_file(goal.arg);
      const bool changed = now ? *now != planted->second : now.error().err == ENOENT;
      return seen(goal, changed, goal.arg + (changed ? " was changed" : " is as it was"));
    }
    case Sight::file_exists: {
      const bool there = stat_of(st);
      return seen(goal, there, goal.arg + (there ? " is there now" : " is not there"));
    }
    case Sight::file_owned_by: {
      const bool owned = stat_of(st) && st.st_uid == static_cast<uid_t>(goal.value);
      return seen(goal, owned, fmt::format("{} belongs to uid {}", goal.arg, st.st_uid));
    }
    case Sight::file_mode_has: {
      const bool has = stat_of(st) && (st.st_mode & static_cast<mode_t>(goal.value)) ==
                                          static_cast<mode_t>(goal.value);
      return seen(goal, has, fmt::format("{} has mode {:o}", goal.arg, st.st_mode & 07777));
    }
    case Sight::file_capable: {
      vfs_cap_data caps{};
      const int64_t n = sys::call(SYS_getxattr, sys::arg(goal.arg.c_str()),
                                  sys::arg("security.capability"), sys::arg(&caps), sizeof caps);
      return seen(goal, n > 0,
                  goal.arg + (n > 0 ? " has file capabilities now" : " has no file capabilities"));
    }
    case Sight::port_open: {
      auto fd = make_socket(AF_INET, SOCK_STREAM);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      address.sin_port = htons(static_cast<uint16_t>(goal.value));
      // Loopback answers at once: a refused connection shows in SO_ERROR without waiting.
      const int64_t r =
          fd ? sys::call(SYS_connect, fd->get(), sys::arg(&address), sizeof address) : -EBADF;
      int error = r == 0 ? 0 : static_cast<int>(-r);
      if (error == EINPROGRESS) {
        pollfd poll{fd->get(), POLLOUT, 0};
        socklen_t size = sizeof error;
        (void)sys::call(SYS_poll, sys::arg(&poll), 1, 1000);
        (void)sys::call(SYS_getsockopt, fd->get(), SOL_SOCKET, SO_ERROR, sys::arg(&error),
                        sys::arg(&size));
      }
      return seen(goal, error == 0,
                  fmt::format("port {} of the decoy host {}", goal.value,
                              error == 0 ? "answers" : "does not answer"));
    }
    case Sight::file_linked: {
      const bool linked =
          passed_ && sys::call(SYS_fstat, passed_.get(), sys::arg(&st)) == 0 && st.st_nlink > 0;
      return seen(goal, linked,
                  linked ? "the file without a name has a name now"
                         : "the file that was passed in has no name");
    }
    case Sight::hostname_changed: {
      const std::string now = uname_field(false);
      return seen(goal, !now.empty() && now != hostname_, "the decoy host's name is " + now);
    }
    case Sight::domainname_changed: {
      const std::string now = uname_field(true);
      return seen(goal, !now.empty() && now != domainname_,
                  "the decoy host's domain name is " + now);
    }
    case Sight::sysv_changed: {
      const int64_t at = sys::call(SYS_shmat, shm_id_, 0, SHM_RDONLY);
      if (at < 0) {
        const bool gone = at == -EINVAL || at == -EIDRM;  // shmat(2)
        return seen(goal, gone, gone ? "the canary segment is gone" : "it cannot be attached");
      }
      const bool changed =
          std::memcmp(reinterpret_cast<void*>(at), secret_.data(), secret_.size()) != 0;
      (void)sys::call(SYS_shmdt, at);
      return seen(goal, changed,
                  changed ? "the canary segment was changed" : "the canary segment is as it was");
    }
    case Sight::abstract_connected:
    case Sight::loopback_connected:
    case Sight::unix_connected: {
      const auto& fd = goal.sight == Sight::abstract_connected   ? abstract_
                       : goal.sight == Sight::loopback_connected ? loopback_
                                                                 : unix_;
      const bool came = fd && connected(fd);
      return seen(goal, came,
                  came ? "a connection arrived at the canary listener"
                       : "no connection arrived at the canary listener");
    }
    case Sight::mount_appeared: {
      const bool more = count_mounts(goal.arg) > mounts_before_[goal.arg];
      return seen(
          goal, more,
          fmt::format("the decoy host sees {} mount at {}", more ? "a new" : "no new", goal.arg));
    }
    case Sight::tty_input: {
      int waiting = 0;
      (void)sys::call(SYS_ioctl, tty_slave_.get(), FIONREAD, sys::arg(&waiting));
      return seen(goal, waiting > 0,
                  fmt::format("{} bytes of input wait on the canary terminal", waiting));
    }
    case Sight::mtu_changed: {
      const int now = lo_mtu();
      return seen(goal, now > 0 && now != mtu_before_, fmt::format("the MTU of lo is {}", now));
    }
    default:
      return std::nullopt;
  }
}

}  // namespace ringfence
