// Rows: what namespaces, mounts, limits, plain permission and the kernel itself refuse.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>

#include <csignal>
#include <cstddef>

#include "harness/base/file.h"
#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

template <typename... A>
int raw(long nr, A... args) {
  return errno_of(syscall(nr, args...));
}

constexpr auto kUndecided = Layer::kUnattributed;
int g_fd = -1;

DenialRow in_user_ns(const char* name, long nr, std::function<int()> act, int err = EPERM) {
  return {.name = name,
          .nr = nr,
          .err = err,
          .layer = Layer::kUser,
          .why = "held in its own user namespace",
          .prepare = [] { return true; },
          .act = std::move(act),
          .in_force = {Layer::kUser},
          .clone_flags = CLONE_NEWUSER};
}

DenialRow hidden_by(const char* name, long nr, int err, Layer layer, uint64_t clone_flags,
                    std::function<int()> act) {
  return {.name = name,
          .nr = nr,
          .err = err,
          .layer = layer,
          .why = "there",
          .prepare = [] { return true; },
          .act = std::move(act),
          .in_force = {layer},
          .exists = true,
          .clone_flags = clone_flags};
}

int connect_abstract() {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const auto& name = Scene::get().socket_name;
  std::memcpy(to.sun_path + 1, name.data(), name.size());
  return raw(SYS_connect, g_fd, &to, offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

void add_user(std::vector<DenialRow>& rows) {
  rows.push_back(
      in_user_ns("sethostname", SYS_sethostname, [] { return raw(SYS_sethostname, "x", 1); }));
  rows.push_back(in_user_ns("mount", SYS_mount, [] {
    return raw(SYS_mount, "x", Scene::get().at("mnt").c_str(), "tmpfs", 0, nullptr);
  }));
  rows.push_back(in_user_ns("adjtimex", SYS_adjtimex, [] {
    timex change{};
    change.modes = ADJ_TICK;
    return raw(SYS_adjtimex, &change);
  }));
  rows.push_back(in_user_ns("reboot", SYS_reboot, [] { return raw(SYS_reboot, 1, 2, 3, 0); }));
  rows.push_back(in_user_ns("acct", SYS_acct, [] { return raw(SYS_acct, "/not-there/acct"); }));
  rows.push_back(in_user_ns("mknod", SYS_mknod, [] {
    return raw(SYS_mknod, "/tmp/ringfence-null", S_IFCHR | 0666, 0x103);
  }));
  rows.push_back(in_user_ns("socket SOCK_RAW", SYS_socket,
                            [] { return raw(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP); }));
  rows.push_back(in_user_ns("ptrace", SYS_ptrace, [] {
    return raw(SYS_ptrace, PTRACE_SEIZE, Scene::get().process, 0, 0);
  }));
  DenialRow none = in_user_ns("sethostname with nothing held", SYS_sethostname,
                              [] { return raw(SYS_sethostname, "x", 1); });
  none.prepare = drop_all;
  none.layer = Layer::cap("SYS_ADMIN");
  none.why = "was asked for last, and is missing";
  rows.push_back(none);
  // Whose owner has no id there, of him no capability is asked.
  DenialRow owner = in_user_ns("chmod of what nobody owns there", SYS_chmod, [] {
    return raw(SYS_chmod, Scene::get().at("private").c_str(), 0777);
  });
  owner.layer = kUndecided;
  owner.why = "nothing seen that decides it";
  rows.push_back(owner);
}

void add_pid(std::vector<DenialRow>& rows) {
  const auto add = [&](const char* name, long nr, std::function<int()> act) {
    rows.push_back(hidden_by(name, nr, ESRCH, Layer::kPid, CLONE_NEWPID, std::move(act)));
  };
  const auto who = [] { return Scene::get().process; };
  add("kill", SYS_kill, [=] { return raw(SYS_kill, who(), 0); });
  add("tgkill", SYS_tgkill, [=] { return raw(SYS_tgkill, who(), who(), SIGCONT); });
  add("tkill", SYS_tkill, [=] { return raw(SYS_tkill, who(), SIGCONT); });
  add("pidfd_open", SYS_pidfd_open, [=] { return raw(SYS_pidfd_open, who(), 0); });
  add("ptrace", SYS_ptrace, [=] { return raw(SYS_ptrace, PTRACE_SEIZE, who(), 0, 0); });
  add("prlimit64", SYS_prlimit64, [=] {
    rlimit64 limit{};
    return raw(SYS_prlimit64, who(), RLIMIT_NOFILE, nullptr, &limit);
  });
  add("getpgid", SYS_getpgid, [=] { return raw(SYS_getpgid, who()); });
  add("sched_setaffinity", SYS_sched_setaffinity, [=] {
    const uint64_t mask = 1;
    return raw(SYS_sched_setaffinity, who(), sizeof mask, &mask);
  });
  // The same without a process outside, or without the namespace: nothing is known of it.
  DenialRow nobody = hidden_by("kill of nobody", SYS_kill, ESRCH, Layer::kPid, CLONE_NEWPID,
                               [] { return raw(SYS_kill, 0x7ffffff0, 0); });
  nobody.exists = false;
  nobody.layer = kUndecided;
  nobody.why = "ESRCH from within the kernel";
  rows.push_back(nobody);
  nobody.name = "kill of nobody in the host's namespace";
  nobody.exists = true;
  nobody.clone_flags = 0;
  nobody.in_force = {};
  rows.push_back(nobody);
}

void add_ipc(std::vector<DenialRow>& rows) {
  const auto add = [&](const char* name, long nr, int err, std::function<int()> act) {
    rows.push_back(hidden_by(name, nr, err, Layer::kIpc, CLONE_NEWIPC, std::move(act)));
  };
  add("shmget", SYS_shmget, ENOENT, [] { return raw(SYS_shmget, 0x52460001, 0, 0); });
  add("msgget", SYS_msgget, ENOENT, [] { return raw(SYS_msgget, 0x52460002, 0); });
  add("semget", SYS_semget, ENOENT, [] { return raw(SYS_semget, 0x52460003, 0, 0); });
  add("shmat", SYS_shmat, EINVAL, [] { return raw(SYS_shmat, Scene::get().shm, nullptr, 0); });
  add("msgsnd", SYS_msgsnd, EINVAL, [] {
    const long message[2] = {1, 0};
    return raw(SYS_msgsnd, Scene::get().msg, message, 1, IPC_NOWAIT);
  });
}

void add_net(std::vector<DenialRow>& rows) {
  DenialRow abstract = hidden_by("connect to an abstract socket", SYS_connect, ECONNREFUSED,
                                 Layer::kNet, CLONE_NEWNET, connect_abstract);
  abstract.prepare = [] { return (g_fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0; };
  rows.push_back(abstract);
  DenialRow tcp =
      hidden_by("connect to a port", SYS_connect, ENETUNREACH, Layer::kNet, CLONE_NEWNET, [] {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(static_cast<uint16_t>(Scene::get().tcp_port));
        return raw(SYS_connect, g_fd, &to, sizeof to);
      });
  tcp.prepare = [] { return (g_fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0; };
  rows.push_back(tcp);
}

// In the jail, or with something mounted over what is asked for.
DenialRow out_of_reach(const char* name, long nr, bool jail, std::function<int()> act) {
  DenialRow denial =
      hidden_by(name, nr, ENOENT, jail ? Layer::kRoot : Layer::kMnt, 0, std::move(act));
  if (jail) {
    denial.prepare = [] { return chroot(Scene::get().at("jail").c_str()) == 0 && chdir("/") == 0; };
  } else {
    denial.prepare = [] {
      return private_mounts() && mount("x", Scene::get().dir.c_str(), "tmpfs", 0, nullptr) == 0;
    };
  }
  return denial;
}

// Read-only, with more flags, and again in a user namespace of its own, where they are locked.
bool read_only_dir(unsigned long flags) {
  const auto& scene = Scene::get();
  return private_mounts() &&
         mount(scene.dir.c_str(), scene.dir.c_str(), "", MS_BIND, nullptr) == 0 &&
         mount("", scene.dir.c_str(), "", MS_BIND | MS_REMOUNT | flags, nullptr) == 0;
}

DenialRow read_only(const char* name, long nr, std::function<int()> act) {
  return {.name = name,
          .nr = nr,
          .err = EROFS,
          .layer = Layer::kReadOnly,
          .why = "EROFS",
          .prepare = [] { return read_only_dir(MS_RDONLY); },
          .act = std::move(act)};
}

DenialRow locked(const char* name, unsigned long had, unsigned long wanted, Layer layer) {
  return {
      .name = name,
      .nr = SYS_mount,
      .err = EPERM,
      .layer = layer,
      .why = "locked",
      .prepare = [had] { return read_only_dir(had) && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0; },
      .act =
          [wanted] {
            return raw(SYS_mount, "", Scene::get().dir.c_str(), "", MS_BIND | MS_REMOUNT | wanted,
                       nullptr);
          }};
}

}  // namespace

std::vector<DenialRow> namespace_denials() {
  std::vector<DenialRow> rows;
  add_user(rows);
  add_pid(rows);
  add_ipc(rows);
  add_net(rows);
  return rows;
}

std::vector<DenialRow> mount_denials() {
  const auto file = [] { return Scene::get().at("file"); };
  std::vector<DenialRow> rows;
  for (const bool jail : {true, false}) {
    rows.push_back(out_of_reach("openat", SYS_openat, jail, [=] {
      return raw(SYS_openat, AT_FDCWD, file().c_str(), O_RDONLY);
    }));
    rows.push_back(out_of_reach("truncate", SYS_truncate, jail,
                                [=] { return raw(SYS_truncate, file().c_str(), 0); }));
    rows.push_back(
        out_of_reach("unlink", SYS_unlink, jail, [=] { return raw(SYS_unlink, file().c_str()); }));
  }
  rows.push_back(read_only("open for writing", SYS_open,
                           [=] { return raw(SYS_open, file().c_str(), O_WRONLY); }));
  rows.push_back(read_only("mkdir", SYS_mkdir,
                           [] { return raw(SYS_mkdir, Scene::get().at("new").c_str(), 0755); }));
  rows.push_back(read_only("unlink", SYS_unlink, [=] { return raw(SYS_unlink, file().c_str()); }));
  rows.push_back(
      read_only("chmod", SYS_chmod, [=] { return raw(SYS_chmod, file().c_str(), 0600); }));
  rows.push_back(
      read_only("truncate", SYS_truncate, [=] { return raw(SYS_truncate, file().c_str(), 0); }));
  rows.push_back(read_only("rename", SYS_rename, [=] {
    return raw(SYS_rename, file().c_str(), Scene::get().at("renamed").c_str());
  }));
  rows.push_back(read_only("symlink", SYS_symlink,
                           [] { return raw(SYS_symlink, "x", Scene::get().at("link").c_str()); }));
  constexpr unsigned long kKinds = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  rows.push_back(
      locked("remount of a locked read-only mount", MS_RDONLY | kKinds, kKinds, Layer::kReadOnly));
  rows.push_back(locked("remount of a locked nosuid mount", MS_RDONLY | MS_NOSUID, MS_RDONLY,
                        Layer::kMountFlags));
  rows.push_back(
      locked("remount of a mount locked in more than one way", MS_RDONLY | kKinds, 0, kUndecided));
  // What noexec and nodev refuse looks like what an LSM refuses.
  rows.push_back({.name = "execve on a noexec mount",
                  .nr = SYS_execve,
                  .err = EACCES,
                  .layer = kUndecided,
                  .why = "EACCES without a capability asked for",
                  .prepare = [] { return read_only_dir(MS_NOEXEC); },
                  .act =
                      [] {
                        const char* none[] = {nullptr};
                        return raw(SYS_execve, Scene::get().at("script").c_str(), none, none);
                      }});
  rows.push_back(
      {.name = "mmap of a file on a noexec mount",
       .nr = SYS_mmap,
       .err = EPERM,
       .layer = kUndecided,
       .why = "",
       .prepare =
           [=] { return read_only_dir(MS_NOEXEC) && (g_fd = open(file().c_str(), O_RDONLY)) >= 0; },
       .act =
           [] {
             return raw(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, g_fd, 0);
           }});
  rows.push_back(
      {.name = "open of a device on a nodev mount",
       .nr = SYS_open,
       .err = EACCES,
       .layer = kUndecided,
       .why = "EACCES without a capability asked for",
       .prepare =
           [] {
             return mknod(Scene::get().at("device").c_str(), S_IFCHR | 0666, 0x103) == 0 &&
                    read_only_dir(MS_NODEV);
           },
       .act = [] { return raw(SYS_open, Scene::get().at("device").c_str(), O_RDONLY); }});
  return rows;
}

std::vector<DenialRow> limit_denials() {
  std::vector<DenialRow> rows;
  const auto files = [&](const char* name, long nr, std::function<int()> act) {
    rows.push_back({.name = name,
                    .nr = nr,
                    .err = EMFILE,
                    .layer = Layer::rlimit("NOFILE"),
                    .why = "EMFILE",
                    .prepare = [] { return set_limit(RLIMIT_NOFILE, 0); },
                    .act = std::move(act)});
  };
  files("open", SYS_open, [] { return raw(SYS_open, "/", O_RDONLY); });
  files("socket", SYS_socket, [] { return raw(SYS_socket, AF_UNIX, SOCK_STREAM, 0); });
  files("dup", SYS_dup, [] { return raw(SYS_dup, 2); });
  rows.push_back(
      {.name = "mq_open beyond its own limit",
       .nr = SYS_mq_open,
       .err = EMFILE,
       .layer = kUndecided,
       .why = "EMFILE from within",
       .prepare = [] { return set_limit(RLIMIT_MSGQUEUE, 0); },
       .act = [] { return raw(SYS_mq_open, "ringfence-denials", O_CREAT | O_RDWR, 0600, nullptr); },
       .clone_flags = CLONE_NEWIPC});
  const auto too_big = [&](const char* name, long nr, std::function<int()> act, bool limit) {
    rows.push_back({.name = name,
                    .nr = nr,
                    .err = EFBIG,
                    .layer = limit ? Layer::rlimit("FSIZE") : kUndecided,
                    .why = limit ? "SIGXFSZ" : "EFBIG from within",
                    .prepare =
                        [limit] {
                          signal(SIGXFSZ, SIG_IGN);
                          g_fd = memfd_create("x", MFD_CLOEXEC);
                          return g_fd >= 0 && (!limit || set_limit(RLIMIT_FSIZE, 0));
                        },
                    .act = std::move(act)});
  };
  too_big(
      "write", SYS_write, [] { return raw(SYS_write, g_fd, "x", 1); }, true);
  too_big(
      "ftruncate", SYS_ftruncate, [] { return raw(SYS_ftruncate, g_fd, 1); }, true);
  // The file system's own end, with no limit set.
  too_big(
      "truncate beyond what the file system knows", SYS_truncate,
      [] { return raw(SYS_truncate, Scene::get().at("file").c_str(), 1L << 62); }, false);
  rows.back().allowed_says = 0;  // a file system in memory knows no end
  rows.push_back({.name = "fork of a user with enough processes",
                  .nr = SYS_fork,
                  .err = EAGAIN,
                  .layer = Layer::rlimit("NPROC"),
                  .why = "CAP_SYS_RESOURCE",
                  .prepare = [] { return set_limit(RLIMIT_NPROC, 0) && become(4242); },
                  .act = [] { return raw(SYS_fork); }});
  rows.push_back(
      {.name = "mlock beyond the limit",
       .nr = SYS_mlock,
       .err = ENOMEM,
       .layer = Layer::rlimit("MEMLOCK"),
       .why = "CAP_IPC_LOCK",
       .prepare = [] { return set_limit(RLIMIT_MEMLOCK, 4096) && drop_cap(CAP_IPC_LOCK); },
       .act =
           [] {
             static char pages[32768];
             return raw(SYS_mlock, pages, sizeof pages);
           }});
  const auto no_more = [&](const char* name, long nr, std::function<int()> act) {
    rows.push_back({.name = name,
                    .nr = nr,
                    .err = EAGAIN,
                    .layer = Layer::kCgroupPids,
                    .why = "pids.max",
                    .prepare = [] { return true; },
                    .act = std::move(act),
                    .settings = {{"pids", "pids.max", "1"}}});
  };
  no_more("fork", SYS_fork, [] { return raw(SYS_fork); });
  no_more("clone", SYS_clone, [] { return raw(SYS_clone, SIGCHLD, 0, 0, 0, 0); });
  no_more("clone3", SYS_clone3, [] {
    clone_args args{};
    args.exit_signal = SIGCHLD;
    return raw(SYS_clone3, &args, sizeof args);
  });
  return rows;
}

std::vector<DenialRow> other_denials() {
  std::vector<DenialRow> rows;
  // Plain permission: what would override it is asked for, and named.
  const auto plain = [&](const char* name, long nr, const std::function<int()>& act) {
    for (const bool root : {true, false}) {
      rows.push_back({.name = name,
                      .nr = nr,
                      .err = EACCES,
                      .layer = Layer::cap("DAC_OVERRIDE"),
                      .why = "to override plain permission",
                      .prepare =
                          [root] {
                            return root ? drop_caps(1ULL << CAP_DAC_OVERRIDE |
                                                    1ULL << CAP_DAC_READ_SEARCH)
                                        : become(4242);
                          },
                      .act = act});
    }
  };
  plain("open", SYS_open,
        [] { return raw(SYS_open, Scene::get().at("private").c_str(), O_RDONLY); });
  plain("openat for writing", SYS_openat,
        [] { return raw(SYS_openat, AT_FDCWD, Scene::get().at("private").c_str(), O_WRONLY); });
  plain("mkdir", SYS_mkdir,
        [] { return raw(SYS_mkdir, Scene::get().at("closed/x").c_str(), 0755); });
  plain("unlink", SYS_unlink,
        [] { return raw(SYS_unlink, Scene::get().at("closed/file").c_str()); });
  plain("chdir", SYS_chdir, [] { return raw(SYS_chdir, Scene::get().at("closed").c_str()); });
  const Layer layer = module_layer("lsm_landlock", Layer{"lsm.landlock"});
  const auto by_landlock = [&](const char* name, long nr, std::function<int()> act) {
    rows.push_back({.name = name,
                    .nr = nr,
                    .err = EACCES,
                    .layer = layer,
                    .why = layer == kUndecided ? "an LSM" : "the security hook ",
                    .prepare =
                        [] {
                          landlock_ruleset_attr rules{};
                          rules.handled_access_fs =
                              LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR;
                          const auto fd = static_cast<int>(
                              syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0));
                          return fd >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                                 syscall(SYS_landlock_restrict_self, fd, 0) == 0;
                        },
                    .act = std::move(act)});
  };
  by_landlock("openat under landlock", SYS_openat,
              [] { return raw(SYS_openat, AT_FDCWD, Scene::get().at("file").c_str(), O_RDONLY); });
  by_landlock("mkdir under landlock", SYS_mkdir,
              [] { return raw(SYS_mkdir, Scene::get().at("new").c_str(), 0755); });
  rows.push_back({.name = "execve of what nobody may execute",
                  .nr = SYS_execve,
                  .err = EACCES,
                  .layer = kUndecided,
                  .why = "a file that nobody may execute",
                  .prepare = [] { return true; },
                  .act =
                      [] {
                        const char* none[] = {nullptr};
                        return raw(SYS_execve, Scene::get().at("no-x").c_str(), none, none);
                      }});
  // What has never been there, or no longer: include/uapi, sys_ni.c.
  for (const long nr : {SYS_uselib, SYS_nfsservctl, SYS_afs_syscall, 900}) {
    rows.push_back({.name = "a syscall that is not there",
                    .nr = nr,
                    .err = ENOSYS,
                    .layer = Layer::kKernel,
                    .why = "this kernel does not have it",
                    .prepare = [] { return true; },
                    .act = [nr] { return raw(nr, 0, 0, 0); }});
  }
  // A capability that was asked for, and had; then something else said no.
  rows.push_back({.name = "chroot to nowhere",
                  .nr = SYS_chroot,
                  .err = ENOENT,
                  .layer = kUndecided,
                  .why = "ENOENT",
                  .prepare = [] { return true; },
                  .act = [] { return raw(SYS_chroot, "/not-there"); }});
  rows.push_back({.name = "sethostname with a bad length",
                  .nr = SYS_sethostname,
                  .err = EINVAL,
                  .layer = kUndecided,
                  .why = "EINVAL",
                  .prepare = [] { return true; },
                  .act = [] { return raw(SYS_sethostname, "x", -1); }});
  return rows;
}

}  // namespace ringfence
