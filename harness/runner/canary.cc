#include "harness/runner/canary.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
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
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/runner/host_state.h"
#include "harness/runner/sight.h"

namespace ringfence {
namespace {

constexpr uint32_t kOtherUid = 1000;
constexpr uint32_t kFileUid = 2000;
constexpr uint32_t kCanaryGroup = 7777;
constexpr size_t kSegmentSize = 4096;
constexpr std::string_view kSemaphoreFile = "sem_file";

// Canary files by placeholder. All but the semaphore hold the secret.
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
    CanaryFile{"outsiders_file", "/canary/outsiders", 0004, kFileUid, kCanaryGroup},
    CanaryFile{"shm_file", "/dev/shm/rf_canary", 0600, 0, 0},
    CanaryFile{kSemaphoreFile, "/dev/shm/sem.rf_canary", 0600, 0, 0},
};

// As sem_open(3) writes it.
std::string posix_semaphore() {
  sem_t semaphore{};
  (void)sem_init(&semaphore, 1, 0);
  return {reinterpret_cast<const char*>(&semaphore), sizeof semaphore};
}

// Namespaces of a process canary of its own.
std::vector<Ns> housing(const std::string& kind) {
  std::vector<Ns> kinds;
  if (kind != "housed" && kind != "sibling") return kinds;
  for (const Ns ns : kAllNs) {
    if (ns != Ns::user || kind == "sibling") kinds.push_back(ns);
  }
  return kinds;
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

std::string hex(const unsigned char* bytes, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
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

std::map<std::string, int> Canaries::by_kind() const {
  std::map<std::string, int> pids;
  for (const auto& [kind, canary] : processes_) {
    if (canary.child) pids[kind] = canary.child->pid();
  }
  return pids;
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
  for (const Ns ns : housing(kind)) {
    policy.namespaces.push_back({ns, ""});
    // Whoever is root there is nobody outside.
    if (ns == Ns::user) policy.uid_mappings = policy.gid_mappings = {{0, 200000, 65536}};
  }
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
  std::memcpy(address_of_result(*at), secret_.c_str(), secret_.size() + 1);
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

Status Canaries::make_semaphore() {
  if (sem_id_ >= 0) return {};
  const int key = 0x52480000 + static_cast<int>(std::hash<std::string>{}(nonce_)&0xffff);
  auto id = made("semget", {}, SYS_semget, key, 1, IPC_CREAT | IPC_EXCL | 0600);
  if (!id) return tl::unexpected(id.error());
  sem_id_ = static_cast<int>(*id);
  values_["sem_key"] = std::to_string(key);
  if (auto ok = made("semctl", {}, SYS_semctl, sem_id_, 0, SETVAL, kSemaphoreValue); !ok) {
    return tl::unexpected(ok.error());
  }
  return {};
}

Status Canaries::make_key() {
  if (key_ >= 0) return {};
  // A keyring of our own, so that the caller's session keyring is never touched.
  if (auto ok = made("KEYCTL_JOIN_SESSION_KEYRING", {}, SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0);
      !ok) {
    return tl::unexpected(ok.error());
  }
  const std::string description = "ringfence-" + nonce_;
  auto key = made("add_key", description, SYS_add_key, sys::arg("user"),
                  sys::arg(description.c_str()), sys::arg(secret_.data()), secret_.size(),
                  static_cast<uint64_t>(static_cast<int64_t>(KEY_SPEC_SESSION_KEYRING)));
  if (!key) return tl::unexpected(key.error());
  key_ = *key;
  values_["key_desc"] = description;
  return {};
}

Result<std::string> Canaries::value(std::string_view name) {
  for (const CanaryFile& file : kFiles) {
    if (file.name != name) continue;
    const std::string content = name == kSemaphoreFile ? posix_semaphore() : secret_;
    if (auto ok = plant(file.path, content, file.mode, file.uid, file.gid); !ok) {
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
  if (name == "housed_pid") return pid("housed");
  if (name == "sibling_pid") return pid("sibling");
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
  if (name == "sem_key") {
    if (auto ok = make_semaphore(); !ok) return tl::unexpected(ok.error());
    return values_["sem_key"];
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
  constexpr std::string_view kPeer = "peer_";
  if (const PeerSpec* peer =
          name.starts_with(kPeer) ? find_peer(name.substr(kPeer.size())) : nullptr) {
    if (auto ok = peers_.make(peer->name); !ok) return tl::unexpected(ok.error());
    return peer->address;
  }
  if (name == "key_desc") {
    if (auto ok = make_key(); !ok) return tl::unexpected(ok.error());
    return values_["key_desc"];
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
    case Sight::shares_ns: {
      auto canary = process(goal.arg.substr(goal.arg.find(':') + 1));
      if (!canary) return tl::unexpected(canary.error());
      return {};
    }
    case Sight::tty_input:
      return make_tty();
    case Sight::sysv_changed:
      return goal.arg == "semaphore" ? make_semaphore() : make_sysv();
    case Sight::key_changed:
      return make_key();
    case Sight::mtu_changed:
      mtu_before_ = lo_mtu();
      if (mtu_before_ < 0) return system_error("read the MTU", "lo", EIO);
      return {};
    case Sight::peer_connected:
    case Sight::peer_heard:
      return peers_.make(goal.arg);
    case Sight::net_changed: {
      auto list = network_list(goal.arg);
      if (!list) return tl::unexpected(list.error());
      network_before_[goal.arg] = std::move(*list);
      return {};
    }
    case Sight::mount_appeared:
      mounts_before_[goal.arg] = count_mounts(goal.arg);
      if (mounts_before_[goal.arg] < 0) return system_error("count mounts", goal.arg, EIO);
      return {};
    default:
      return {};
  }
}

Status Canaries::prepare_talk() {
  if (auto ok = peers_.make("a"); !ok) return ok;
  return peers_.make("b");
}

Result<int> Canaries::pass_in(std::string_view attempt, const std::vector<std::string>& args) {
  Result<UniqueFd> fd;
  if (attempt == "netns_leak") {
    fd = make_socket(AF_INET, SOCK_DGRAM);
  } else if (attempt == "setns_fd" && args.size() >= 4) {
    const std::string& pid = args[2];
    if (args[3] == "pidfd") {
      auto raw = made("pidfd_open", pid, SYS_pidfd_open, parse_int(pid).value_or(0), 0);
      if (!raw) return tl::unexpected(raw.error());
      fd = UniqueFd(static_cast<int>(*raw));
    } else {
      fd = sys::open(fmt::format("/proc/{}/ns/{}", pid, args[3]).c_str(), O_RDONLY);
    }
  }
  if (!fd) return tl::unexpected(fd.error());
  given_ = std::move(*fd);
  return given_.get();
}

Result<int> Canaries::pass_file(int target_pid) {
  const std::string root = fmt::format("/proc/{}/root/", target_pid);
  auto fd = sys::open(root.c_str(), O_TMPFILE | O_RDWR, 0600);
  if (!fd) return tl::unexpected(fd.error());
  passed_ = std::move(*fd);
  return passed_.get();
}

void Canaries::unlink_passed(const std::string& path) {
  struct stat passed {};
  struct stat named {};
  if (!passed_ || sys::call(SYS_fstat, passed_.get(), sys::arg(&passed)) < 0 ||
      sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path.c_str()), sys::arg(&named),
                AT_SYMLINK_NOFOLLOW) < 0) {
    return;
  }
  if (passed.st_dev == named.st_dev && passed.st_ino == named.st_ino) {
    (void)sys::call(SYS_unlinkat, AT_FDCWD, sys::arg(path.c_str()), 0);
  }
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

}  // namespace ringfence
