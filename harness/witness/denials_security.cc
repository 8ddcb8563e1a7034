// Rows: what security modules refuse. A program of type lsm that is loaded here, in each hook that
// the witness sees; a module that is known (Landlock is among the other rows), and one that is not;
// and what looks like a module.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/fanotify.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "harness/witness/test_denials.h"
// clang-format off: it needs the types above
#include "security_test.skel.h"
// clang-format on

namespace ringfence {
namespace {

template <typename... A>
int raw(long nr, A... args) {
  return errno_of(syscall(nr, args...));
}

int g_fd = -1;
int g_listener = -1;

std::string rung_of(const char* hook) {
  for (const Rung& rung : shared_witness()->ladder()) {
    if (rung.hook == hook && rung.taken) return rung.name;
  }
  return {};
}

// Somebody who asks that one file not be opened, and is asked once.
bool listen_for_opens() {
  const std::string file = Scene::get().at("file");
  const int group = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);
  if (group < 0 || fanotify_mark(group, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, file.c_str()) != 0) {
    errno = EOPNOTSUPP;  // a kernel, or a process, that cannot: the row is left out
    return false;
  }
  g_listener = fork();
  if (g_listener == 0) {
    alarm(60);
    fanotify_event_metadata event{};
    if (read(group, &event, sizeof event) == sizeof event) {
      const fanotify_response no{event.fd, FAN_DENY};
      (void)!write(group, &no, sizeof no);
    }
    _exit(0);
  }
  close(group);
  return g_listener > 0;
}

}  // namespace

// --- Programs that say no -----------------------------------------------------------------------

struct Denier::State {
  ~State() { security_test_bpf__destroy(skeleton); }
  security_test_bpf* skeleton = nullptr;
};

Denier::Denier() {
  // Only in a machine that is there for this test: it sees every task's opens and mounts.
  if (std::getenv("RINGFENCE_TEST_DISPOSABLE") == nullptr) return;
  const QuietLibbpf hush;
  auto state = std::make_shared<State>();
  state->skeleton = security_test_bpf__open_and_load();
  if (state->skeleton != nullptr && security_test_bpf__attach(state->skeleton) == 0) {
    state_ = std::move(state);
  }
}

void Denier::deny(uint64_t group, unsigned hook, int err) const {
  const uint32_t no = hook << 16 | static_cast<uint32_t>(err);
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(state_->skeleton->maps.denied), &group, &no, BPF_ANY),
            0);
}

void Denier::forget(uint64_t group) const {
  (void)bpf_map_delete_elem(bpf_map__fd(state_->skeleton->maps.denied), &group);
}

const Denier& Denier::before_the_witness() {
  static const Denier denier;
  return denier;
}

const Denier& Denier::after_the_witness() {
  static const Denier denier = [] {
    (void)shared_witness();
    return Denier();
  }();
  return denier;
}

void prepare_for_the_witness() { (void)Denier::before_the_witness(); }

Layer module_layer(const char* known_by, Layer layer) {
  if (rung_of("lsm").empty()) return Layer::kUnattributed;
  return rung_of(known_by).empty() ? Layer::kLsm : layer;
}

// --- Rows ---------------------------------------------------------------------------------------

std::vector<DenialRow> module_denials() {
  std::vector<DenialRow> rows;
  const Layer by_bpf = module_layer("lsm_bpf", Layer{"lsm.bpf"});
  const std::string file = Scene::get().at("file");
  const auto add = [&](
                       const char* name, uint8_t hook, long nr, int err, std::function<int()> act,
                       std::function<bool()> prepare = [] { return true; }) {
    rows.push_back({.name = name,
                    .nr = nr,
                    .err = err,
                    .layer = by_bpf,
                    .why = "the security hook ",
                    .prepare = std::move(prepare),
                    .act = std::move(act)});
    rows.back().denied_in = hook;
  };
  const auto open_it = [=] { return raw(SYS_openat, AT_FDCWD, file.c_str(), O_RDONLY); };
  const auto execute = [] {
    const char* none[] = {nullptr};
    return raw(SYS_execve, Scene::get().at("script").c_str(), none, none);
  };
  const auto unlink_it = [=] { return raw(SYS_unlink, file.c_str()); };
  add("openat, and a program says no", RF_HOOK_file_open, SYS_openat, EACCES, open_it);
  add("mkdir, and a program says no", RF_HOOK_path_mkdir, SYS_mkdir, EPERM,
      [] { return raw(SYS_mkdir, Scene::get().at("new").c_str(), 0755); });
  add("unlink, and a program says no by the path", RF_HOOK_path_unlink, SYS_unlink, EACCES,
      unlink_it);
  add("unlink, and a program says no by the inode", RF_HOOK_inode_unlink, SYS_unlink, EPERM,
      unlink_it);
  add("execve, and a program says no", RF_HOOK_bprm_check_security, SYS_execve, EPERM, execute);
  add(
      "mount, and a program says no", RF_HOOK_sb_mount, SYS_mount, EPERM,
      [] { return raw(SYS_mount, "none", Scene::get().at("mnt").c_str(), "tmpfs", 0, nullptr); },
      private_mounts);
  add("ptrace, and a program says no", RF_HOOK_ptrace_access_check, SYS_ptrace, EPERM,
      [] { return raw(SYS_ptrace, PTRACE_ATTACH, Scene::get().process, 0, 0); });
  add("kill, and a program says no", RF_HOOK_task_kill, SYS_kill, EPERM,
      [] { return raw(SYS_kill, Scene::get().process, 0); });
  add("socket, and a program says no", RF_HOOK_socket_create, SYS_socket, EACCES,
      [] { return raw(SYS_socket, AF_UNIX, SOCK_STREAM, 0); });
  add(
      "connect, and a program says no", RF_HOOK_socket_connect, SYS_connect, EPERM,
      [] {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(static_cast<uint16_t>(Scene::get().tcp_port));
        return raw(SYS_connect, g_fd, &to, sizeof to);
      },
      [] { return (g_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) >= 0; });
  add("bpf, and a program says no", RF_HOOK_bpf, SYS_bpf, EPERM, [] {
    bpf_attr map{};
    map.map_type = BPF_MAP_TYPE_ARRAY;
    map.key_size = map.value_size = 4;
    map.max_entries = 1;
    return raw(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map);
  });
  add("ioperm, and a program says no", RF_HOOK_locked_down, SYS_ioperm, EPERM,
      [] { return raw(SYS_ioperm, 0x80, 1, 1); });
  // Nothing was asked of a capability that is missing: it decides nothing here.
  add("execve without any capability, and a program says no", RF_HOOK_bprm_check_security,
      SYS_execve, EPERM, execute, drop_all);
  // Attached after the witness's own, and so asked before it: that one learns nothing.
  add("openat, and a program that came later says no", RF_HOOK_file_open, SYS_openat, EACCES,
      open_it);
  rows.back().denied_late = true;
  if (rung_of("lsm_bpf") != "fexit") rows.back().layer = module_layer("lsm", Layer::kLsm);
  // A listener of fanotify could have said it, where the kernel asks one at the same place.
  add("openat, and a program says no as a listener would", RF_HOOK_file_open, SYS_openat, EPERM,
      open_it);
  if (rung_of("lsm_bpf") != "fexit") rows.back().layer = Layer::kUnattributed;
  return rows;
}

std::vector<DenialRow> denials_like_a_modules() {
  return {{.name = "open, and a listener of fanotify says no",
           .nr = SYS_open,
           .err = EPERM,
           .layer = Layer::kUnattributed,
           .why = "",
           .prepare = listen_for_opens,
           .act = [] {
             const int err = raw(SYS_open, Scene::get().at("file").c_str(), O_RDONLY);
             waitpid(g_listener, nullptr, 0);
             return err;
           }}};
}

std::vector<DenialRow> locked_down_denials() {
  return {{.name = "ioperm on a kernel that is locked down",
           .nr = SYS_ioperm,
           .err = EPERM,
           .layer = module_layer("lsm", Layer::kLsm),
           .why = "the security hook locked_down said EPERM",
           .prepare = [] { return true; },
           .act = [] { return raw(SYS_ioperm, 0x80, 1, 1); }}};
}

}  // namespace ringfence
