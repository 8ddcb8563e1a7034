// Each attempt where it can get through, as seen from outside it, and the important ones where one
// restriction must stop them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "probes/inmate/abi.h"
#include "probes/inmate/testdata/cage.h"

namespace ringfence::testing {
namespace {

using ::testing::HasSubstr;
using Args = std::vector<std::string>;
using Restriction = std::function<void()>;

Restriction without(int capability) {
  return [capability] { drop_capability(capability); };
}
Restriction filtered(long nr, int err = ENOSYS) {
  return [nr, err] { deny_syscall(nr, err); };
}
std::function<std::string()> text_of(const std::string& path) {
  return [path] { return read_text(path); };
}
std::string denied(int err) { return "denied " + std::to_string(err); }
bool killed_by(const Outcome& o, int signal) {
  return WIFSIGNALED(o.status) && WTERMSIG(o.status) == signal;
}

class Attempts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make the cage";
  }
};

// --- Processes ----------------------------------------------------------------------------------
TEST_F(Attempts, KillAndItsDenial) {
  for (const char* how : {"kill", "pidfd_kill"}) {
    const auto o = run({.args = {how, kCanaryPid, "9"}});
    EXPECT_EQ(o.claim(), "achieved") << o.transcript();
    EXPECT_EQ(o.canary_died, SIGKILL) << o.transcript();
    const auto refused = run({.args = {how, kCanaryPid, "9"}, .restrict = become_nobody});
    EXPECT_EQ(refused.claim(), denied(EPERM)) << refused.transcript();
    EXPECT_EQ(refused.canary_died, 0);
  }
}

TEST_F(Attempts, KillGroupReachesWhatIsInThePidNamespace) {
  const auto o = run({.args = {"kill_group", "9"}});
  EXPECT_EQ(o.canary_died, SIGKILL) << o.transcript();
  const auto alone = run({.args = {"kill_group", "9"}, .restrict = [] {
                            // Nobody else: the call then reaches no process.
                            must(unshare(CLONE_NEWPID) == 0, "unshare");
                            const int child = fork();
                            if (child == 0) return;
                            int status = 0;
                            waitpid(child, &status, 0);
                            _exit(WEXITSTATUS(status));
                          }});
  EXPECT_EQ(alone.claim(), denied(ESRCH)) << alone.transcript();
  EXPECT_EQ(alone.canary_died, 0);
}

TEST_F(Attempts, KillOwnChildWorksWhereOthersAreOutOfReach) {
  EXPECT_EQ(run({.args = {"kill_own_child"}, .restrict = become_nobody}).claim(), "achieved");
  const auto o = run({.args = {"kill_own_child"}, .restrict = filtered(SYS_kill, EPERM)});
  EXPECT_EQ(o.claim(), denied(EPERM)) << o.transcript();
}

TEST_F(Attempts, RaiseEndsTheInmate) {
  EXPECT_TRUE(killed_by(run({.args = {"raise", "15"}}), SIGTERM));
}

TEST_F(Attempts, FindProcReadsOfWhoHasTheMarker) {
  const auto o = run({.args = {"find_proc", "rf-canary", "cmdline"}});
  EXPECT_EQ(o.secret(), std::string("rf-canary\0hold\0", 15)) << o.transcript();
  EXPECT_TRUE(o.says("found pid 2"));
  const auto by_root = run({.args = {"find_proc", "rf-canary", "root/mnt/secret"}});
  EXPECT_EQ(by_root.secret(), kSecret) << by_root.transcript();
  const auto refused =
      run({.args = {"find_proc", "rf-canary", "root/mnt/secret"}, .restrict = become_nobody});
  EXPECT_EQ(refused.claim(), denied(EACCES)) << refused.transcript();
  // Its own command line has the marker too, and does not count.
  const auto none = run({.args = {"find_proc", "no-such-marker", "cmdline"}});
  EXPECT_EQ(none.claim(), denied(ESRCH)) << none.transcript();
}

TEST_F(Attempts, PtraceHoldsTheCanaryDuringTheInspection) {
  for (const char* how : {"ptrace_attach", "ptrace_seize"}) {
    std::string tracer;
    int sender = 0;
    const auto o = run({.args = {how, kCanaryPid}, .inspect = [&](int pid) {
                          sender = pid;
                          // The canary is the sender's elder sibling in this pid namespace.
                          for (int p = pid - 1; p > pid - 10 && tracer.empty(); --p) {
                            const std::string by = status_field(p, "TracerPid");
                            if (by == std::to_string(pid)) tracer = by;
                          }
                        }});
    EXPECT_EQ(o.claim(), "achieved") << o.transcript();
    EXPECT_EQ(tracer, std::to_string(sender));
    EXPECT_EQ(o.canary_died, 0);
    const auto refused = run({.args = {how, kCanaryPid}, .restrict = become_nobody});
    EXPECT_EQ(refused.claim(), denied(EPERM)) << refused.transcript();
  }
}

TEST_F(Attempts, MemoryOfAnotherProcess) {
  const std::string magic =
      "\x7f"
      "ELF";
  const auto o = run({.args = {"vm_read", kCanaryPid, "0x400000", "4"}});
  EXPECT_EQ(o.secret(), magic) << o.transcript();
  const auto by_file = run({.args = {"proc_mem_read", kCanaryPid, "0x400000", "4"}});
  EXPECT_EQ(by_file.secret(), magic) << by_file.transcript();
  for (const char* how : {"vm_read", "proc_mem_read"}) {
    const auto refused =
        run({.args = {how, kCanaryPid, "0x400000", "4"}, .restrict = become_nobody});
    EXPECT_EQ(refused.claim(), denied(how[0] == 'v' ? EPERM : EACCES)) << refused.transcript();
    EXPECT_EQ(refused.secret(), "");
  }
}

TEST_F(Attempts, VmWriteChangesTheCanary) {
  // The canary's stack is found through its own maps.
  const auto aim = [](Cage& cage) {
    std::string maps = read_text("/proc/2/maps");
    const size_t line = maps.rfind('\n', maps.find("[stack]")) + 1;
    cage.args = {"vm_write", kCanaryPid, "0x" + maps.substr(line, maps.find('-', line) - line),
                 "written"};
    return -1;
  };
  const auto look = [] {
    std::string maps = read_text("/proc/2/maps");
    const size_t line = maps.rfind('\n', maps.find("[stack]")) + 1;
    char text[8] = {};
    const int fd = open("/proc/2/mem", O_RDONLY | O_CLOEXEC);
    must(pread(fd, text, 7, static_cast<off_t>(std::stoul(maps.substr(line), nullptr, 16))) == 7,
         "mem");
    return std::string(text);
  };
  EXPECT_EQ(run({.args = {}, .prepare = aim, .after = look}).after, "written");
  const auto refused = run({.args = {}, .prepare = aim, .restrict = become_nobody, .after = look});
  EXPECT_EQ(refused.claim(), denied(EPERM)) << refused.transcript();
  EXPECT_NE(refused.after, "written");
}

TEST_F(Attempts, PidfdGetfdTakesTheSecret) {
  const auto o = run({.args = {"pidfd_getfd", kCanaryPid, "5"}});
  EXPECT_EQ(o.secret(), kSecret) << o.transcript();
  const auto refused = run({.args = {"pidfd_getfd", kCanaryPid, "5"}, .restrict = become_nobody});
  EXPECT_EQ(refused.claim(), denied(EPERM)) << refused.transcript();
}

// --- Files --------------------------------------------------------------------------------------
TEST_F(Attempts, ReadsTheFirstFileThatOpens) {
  const auto o = run({.args = {"read_file", "/mnt/none", kSecretFile}});
  EXPECT_EQ(o.secret(), kSecret) << o.transcript();
  EXPECT_TRUE(o.called(SYS_openat, ENOENT) && o.called(SYS_openat) && o.called(SYS_read));
  const auto secret_mode = [](Cage&) {
    must(chmod(kSecretFile, 0600) == 0, "chmod");
    return -1;
  };
  const auto refused = run({.args = {"read_file", "/mnt/none", kSecretFile, "/mnt/none"},
                            .prepare = secret_mode,
                            .restrict = become_nobody});
  EXPECT_EQ(refused.claim(), denied(EACCES)) << "EACCES says more than ENOENT";
  EXPECT_EQ(run({.args = {"read_relative", "/secret"}}).secret(), kSecret);
  EXPECT_THAT(run({.args = {"read_self_file"}}).secret(), HasSubstr("State:"));
}

TEST_F(Attempts, WalksADirectoryForAFileThatOpens) {
  const auto furnish = [](Cage&) {
    for (const char* d : {"/mnt/w", "/mnt/w/1", "/mnt/w/1/2"}) must(mkdir(d, 0755) == 0, "mkdir");
    write_text("/mnt/w/1/empty", "");
    write_text("/mnt/w/1/2/full", "deep");
    return -1;
  };
  const auto read = run({.args = {"read_below", "/mnt/w"}, .prepare = furnish});
  EXPECT_EQ(read.secret(), "deep") << read.transcript();
  EXPECT_TRUE(read.says("/mnt/w/1/2/full"));
  std::string held;
  const auto write = run({.args = {"open_write_below", "/mnt/w"},
                          .prepare = furnish,
                          .inspect =
                              [&](int pid) {
                                for (const auto& e : std::filesystem::directory_iterator(
                                         "/proc/" + std::to_string(pid) + "/fd")) {
                                  held += std::filesystem::read_symlink(e.path()).string() + "\n";
                                }
                              },
                          .after = text_of("/mnt/w/1/2/full")});
  EXPECT_EQ(write.claim(), "achieved") << write.transcript();
  EXPECT_THAT(held, HasSubstr("/mnt/w/1/")) << "the file stays open";
  EXPECT_EQ(write.after, "deep") << "nothing is written or cut off";
  for (const char* how : {"read_below", "open_write_below"}) {
    const auto refused = run({.args = {how, "/mnt/w"},
                              .prepare =
                                  [&](Cage& cage) {
                                    furnish(cage);
                                    chmod("/mnt/w/1/empty", 0);
                                    chmod("/mnt/w/1/2/full", 0);
                                    return -1;
                                  },
                              .restrict = become_nobody});
    EXPECT_EQ(refused.claim(), denied(EACCES)) << refused.transcript();
    EXPECT_TRUE(refused.called(SYS_openat, EACCES));
    EXPECT_EQ(run({.args = {how, "/mnt/none"}}).claim(), denied(ENOENT));
  }
}

TEST_F(Attempts, TheWalkEndsInATreeThatIsTooDeep) {
  const auto o = run({.args = {"read_below", "/mnt/d"}, .prepare = [](Cage&) {
                        std::string path = "/mnt/d";
                        for (int i = 0; i < 8; ++i, path += "/d") mkdir(path.c_str(), 0755);
                        write_text("/mnt/d/d/d/d/d/file", "too deep");
                        return -1;
                      }});
  EXPECT_EQ(o.claim(), denied(ENOENT)) << o.transcript();
}

TEST_F(Attempts, WritesAndMakesFiles) {
  EXPECT_EQ(run({.args = {"write_file", kSecretFile, "new"}, .after = text_of(kSecretFile)}).after,
            "new");
  const auto refused = run({.args = {"write_file", kSecretFile, "new"},
                            .restrict = become_nobody,
                            .after = text_of(kSecretFile)});
  EXPECT_EQ(refused.claim(), denied(EACCES));
  EXPECT_EQ(refused.after, kSecret);
  EXPECT_EQ(
      run({.args = {"open_write", "/mnt/none", kSecretFile}, .after = text_of(kSecretFile)}).after,
      kSecret);
  EXPECT_EQ(run({.args = {"open_write", kSecretFile}, .restrict = become_nobody}).claim(),
            denied(EACCES));
  const auto mode_of = [](const char* path) {
    return [path] {
      struct stat st {};
      return stat(path, &st) == 0
                 ? std::to_string(st.st_mode & 07777) + " " + std::to_string(st.st_uid)
                 : std::string("none");
    };
  };
  EXPECT_EQ(run({.args = {"create_file", "/mnt/new", "04722"}, .after = mode_of("/mnt/new")}).after,
            std::to_string(04722) + " 0");
  EXPECT_EQ(run({.args = {"create_file", kSecretFile}}).claim(), denied(EEXIST));
  EXPECT_EQ(run({.args = {"chmod", kSecretFile, "0"}, .after = mode_of(kSecretFile)}).after, "0 0");
  EXPECT_EQ(run({.args = {"chown", kSecretFile, "7"}, .after = mode_of(kSecretFile)}).after,
            std::to_string(0644) + " 7");
  EXPECT_EQ(run({.args = {"chown", kSecretFile, "7"}, .restrict = without(CAP_CHOWN)}).claim(),
            denied(EPERM));
  EXPECT_EQ(run({.args = {"unlink", kSecretFile}, .after = mode_of(kSecretFile)}).after, "none");
  EXPECT_EQ(run({.args = {"unlink", kSecretFile}, .restrict = become_nobody}).claim(),
            denied(EACCES));
  EXPECT_EQ(
      run({.args = {"chattr_immutable", kSecretFile}, .restrict = without(CAP_LINUX_IMMUTABLE)})
          .claim(),
      denied(EPERM));
  EXPECT_EQ(run({.args = {"chattr_immutable", kSecretFile}}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"setxattr", kSecretFile, "trusted.x", "v"}}).claim(), "achieved");
  EXPECT_EQ(
      run({.args = {"setxattr", kSecretFile, "trusted.x", "v"}, .restrict = without(CAP_SYS_ADMIN)})
          .claim(),
      denied(EPERM));
  EXPECT_TRUE(run({.args = {"stat_dev", kSecretFile}}).says("dev_major 0"));
}

// --- Mounts -------------------------------------------------------------------------------------
TEST_F(Attempts, Mounts) {
  for (const auto& args : {Args{"mount_tmpfs", "/mnt"}, Args{"mount_bind", "/proc", "/mnt"}}) {
    // The inmate shares pid 1's mount namespace here.
    const auto o = run({.args = args, .after = text_of(kSecretFile)});
    EXPECT_EQ(o.claim(), "achieved") << o.transcript();
    EXPECT_EQ(o.after, "") << "the secret is covered";
    EXPECT_EQ(run({.args = args, .restrict = without(CAP_SYS_ADMIN)}).claim(), denied(EPERM));
  }
  EXPECT_EQ(run({.args = {"umount", "/mnt"}, .after = text_of(kSecretFile)}).after, "");
  EXPECT_EQ(run({.args = {"umount", "/mnt"}, .restrict = without(CAP_SYS_ADMIN)}).claim(),
            denied(EPERM));
}

TEST_F(Attempts, RemountAndUnmask) {
  const auto read_only = [](Cage&) {
    must(mkdir("/mnt/ro", 0755) == 0, "mkdir");
    must(mount("/mnt/ro", "/mnt/ro", nullptr, MS_BIND, nullptr) == 0, "bind");
    must(mount(nullptr, "/mnt/ro", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0, "ro");
    return -1;
  };
  const Args remount{"remount_rw", "/mnt/ro", "/mnt/ro/file"};
  EXPECT_EQ(run({.args = {"create_file", "/mnt/ro/file"}, .prepare = read_only}).claim(),
            denied(EROFS));
  EXPECT_EQ(run({.args = remount, .prepare = read_only}).claim(), "achieved");
  EXPECT_EQ(
      run({.args = remount, .prepare = read_only, .restrict = without(CAP_SYS_ADMIN)}).claim(),
      denied(EPERM));
  const auto mask = [](Cage&) {
    must(mount("/dev/null", kSecretFile, nullptr, MS_BIND, nullptr) == 0, "mask");
    return -1;
  };
  EXPECT_EQ(run({.args = {"read_file", kSecretFile}, .prepare = mask}).secret(), "");
  EXPECT_EQ(run({.args = {"umount_then_read", kSecretFile, kSecretFile}, .prepare = mask}).secret(),
            kSecret);
  const auto locked = run({.args = {"userns_umount", kSecretFile, kSecretFile}, .prepare = mask});
  EXPECT_EQ(locked.claim(), denied(EINVAL)) << locked.transcript();
  EXPECT_TRUE(locked.called(SYS_umount2, EINVAL));
}

Restriction in_jail(bool by_pivot) {
  return [by_pivot] {
    must(mkdir("/mnt/jail", 0755) == 0, "mkdir");
    if (by_pivot) {
      must(unshare(CLONE_NEWNS) == 0, "unshare");
      must(mount("/mnt/jail", "/mnt/jail", nullptr, MS_BIND, nullptr) == 0, "bind");
      must(chdir("/mnt/jail") == 0, "chdir");
      must(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
      must(umount2(".", MNT_DETACH) == 0, "umount");
    } else {
      must(chroot("/mnt/jail") == 0, "chroot");
    }
    must(chdir("/") == 0, "chdir");
  };
}

TEST_F(Attempts, ChrootEscapeLeavesAChrootAndNotAPivotedRoot) {
  const Args escape{"chroot_escape", kSecretFile};
  EXPECT_EQ(run({.args = {"read_file", kSecretFile}, .restrict = in_jail(false)}).claim(),
            denied(ENOENT));
  EXPECT_EQ(run({.args = escape, .restrict = in_jail(false)}).secret(), kSecret);
  const auto held = run({.args = escape, .restrict = in_jail(true)});
  EXPECT_EQ(held.claim(), denied(ENOENT)) << held.transcript();
  const auto refused = run({.args = escape, .restrict = [] {
                              in_jail(false)();
                              drop_capability(CAP_SYS_CHROOT);
                            }});
  EXPECT_EQ(refused.claim(), denied(EPERM)) << refused.transcript();
  EXPECT_EQ(run({.args = {"chroot", "/mnt"}}).claim(), "achieved");
}

TEST_F(Attempts, OldRootIsFoundByADescriptorThatWasLeftOpen) {
  const Args way{"old_root", kSecretFile};
  EXPECT_EQ(run({.args = way, .restrict = in_jail(true)}).claim(), denied(ENOENT));
  const auto by_fd = run({.args = way,
                          .prepare = [](Cage&) { return open("/", O_PATH | O_CLOEXEC); },
                          .restrict = in_jail(true)});
  EXPECT_EQ(by_fd.secret(), kSecret) << by_fd.transcript();
  const auto by_put_old =
      run({.args = way, .restrict = [] {
             must(unshare(CLONE_NEWNS) == 0, "unshare");
             must(mkdir("/mnt/jail", 0755) == 0, "mkdir");
             must(mount("jail", "/mnt/jail", "tmpfs", 0, nullptr) == 0, "m");
             must(mkdir("/mnt/jail/oldroot", 0755) == 0, "mkdir");
             must(syscall(SYS_pivot_root, "/mnt/jail", "/mnt/jail/oldroot") == 0, "pivot_root");
             must(chdir("/") == 0, "chdir");
           }});
  EXPECT_EQ(by_put_old.secret(), kSecret) << by_put_old.transcript();
  EXPECT_TRUE(by_put_old.says("/oldroot/"));
}

TEST_F(Attempts, PivotRootAndNewProc) {
  const auto directory = [](Cage&) {
    must(mkdir("/mnt/d", 0755) == 0, "mkdir");
    return -1;
  };
  EXPECT_EQ(run({.args = {"pivot_root", "/mnt/d", "/mnt/d"}, .prepare = directory}).claim(),
            denied(EINVAL));
  EXPECT_EQ(
      run({.args = {"mount_proc", "/mnt/d", "2/root/mnt/secret"}, .prepare = directory}).secret(),
      kSecret);
  EXPECT_EQ(run({.args = {"mount_proc", "/mnt/d", "uptime"},
                 .prepare = directory,
                 .restrict = without(CAP_SYS_ADMIN)})
                .claim(),
            denied(EPERM));
}

// --- Network and IPC ----------------------------------------------------------------------------
int listener(const void* address, socklen_t size, int domain) {
  const int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(bind(fd, static_cast<const sockaddr*>(address), size) == 0 && listen(fd, 4) == 0, "listen");
  return fd;
}

// Whether somebody connected to `fd` and said "x".
std::string said(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  const int peer = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
  char byte = '-';
  return peer >= 0 && read(peer, &byte, 1) == 1 ? std::string(1, byte) : "nobody";
}

TEST_F(Attempts, Connects) {
  static int fd = -1;  // of pid 1, which is a process of its own in each run
  for (const bool abstract : {true, false}) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = abstract ? std::string("\0rf-canary", 10) : "/mnt/socket";
    std::memcpy(address.sun_path, name.data(), name.size());
    const auto size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1));
    const Args args =
        abstract ? Args{"connect_abstract", "rf-canary"} : Args{"connect_unix", "/mnt/socket"};
    const auto listening = [&](Cage&) {
      fd = listener(&address, size, AF_UNIX);
      return -1;
    };
    const auto o = run({.args = args, .prepare = listening, .after = [] { return said(fd); }});
    EXPECT_EQ(o.after, "x") << o.transcript();
    const auto refused = run({.args = args,
                              .prepare = listening,
                              .restrict = filtered(SYS_connect, EACCES),
                              .after = [] { return said(fd); }});
    EXPECT_EQ(refused.claim(), denied(EACCES));
    EXPECT_EQ(refused.after, "nobody");
    EXPECT_EQ(run({.args = args}).claim(), denied(abstract ? ECONNREFUSED : ENOENT));
  }
}

TEST_F(Attempts, LoopbackNeedsTheSameNetworkNamespace) {
  static int fd = -1;
  const auto listening = [](Cage&) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(4711);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = listener(&address, sizeof address, AF_INET);
    return -1;
  };
  const auto who = [] { return said(fd); };
  EXPECT_EQ(run({.args = {"connect_tcp", "4711"}, .prepare = listening, .after = who}).after, "x");
  const auto apart = run({.args = {"connect_tcp", "4711"},
                          .prepare = listening,
                          .restrict = [] { must(unshare(CLONE_NEWNET) == 0, "unshare"); },
                          .after = who});
  EXPECT_EQ(apart.claim(), denied(ENETUNREACH)) << apart.transcript();
  EXPECT_EQ(apart.after, "nobody");
}

TEST_F(Attempts, NetworkConfigurationAndSockets) {
  EXPECT_EQ(run({.args = {"set_lo_mtu", "1400"}}).claim(), "achieved");

  EXPECT_EQ(run({.args = {"set_lo_mtu", "1400"}, .restrict = without(CAP_NET_ADMIN)}).claim(),
            denied(EPERM));
  EXPECT_TRUE(run({.args = {"get_lo_mtu"}, .restrict = without(CAP_NET_ADMIN)}).says("mtu 65536"));
  EXPECT_EQ(run({.args = {"set_lo_up"}, .restrict = without(CAP_NET_ADMIN)}).claim(),
            denied(EPERM));
  EXPECT_EQ(run({.args = {"listen_tcp", "81"}}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"listen_tcp", "81"}, .restrict = without(CAP_NET_BIND_SERVICE)}).claim(),
            denied(EACCES));
  EXPECT_EQ(run({.args = {"socket", "17", "3", "0"}}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"socket", "17", "3", "0"}, .restrict = without(CAP_NET_RAW)}).claim(),
            denied(EPERM));
}

TEST_F(Attempts, NamesOfTheHost) {
  for (const auto& [args, file] :
       {std::pair{Args{"sethostname", "changed"}, "/proc/sys/kernel/hostname"},
        std::pair{Args{"setdomainname", "changed"}, "/proc/sys/kernel/domainname"}}) {
    EXPECT_EQ(run({.args = args, .after = text_of(file)}).after, "changed\n");
    const auto refused =
        run({.args = args, .restrict = without(CAP_SYS_ADMIN), .after = text_of(file)});
    EXPECT_EQ(refused.claim(), denied(EPERM));
    EXPECT_NE(refused.after, "changed\n");
    const auto apart = run({.args = args,
                            .restrict = [] { must(unshare(CLONE_NEWUTS) == 0, "unshare"); },
                            .after = text_of(file)});
    EXPECT_EQ(apart.claim(), "achieved");
    EXPECT_NE(apart.after, "changed\n");
  }
}

constexpr key_t kKey = 0x5246;
const std::string kKeyText = "0x5246";

TEST_F(Attempts, SystemVObjects) {
  const auto make = [](Cage&) {
    const int segment = shmget(kKey, 4096, IPC_CREAT | 0600);
    char* at = static_cast<char*>(shmat(segment, nullptr, 0));
    must(segment >= 0 && at != nullptr, "shm");
    std::memcpy(at, kSecret, sizeof kSecret);
    must(semget(kKey, 1, IPC_CREAT | 0600) >= 0, "sem");
    const int queue = msgget(kKey, IPC_CREAT | 0600);
    struct {
      long type = 1;
      char text[16];
    } message;
    static_assert(sizeof message.text >= sizeof kSecret);
    std::memcpy(message.text, kSecret, sizeof kSecret);
    must(msgsnd(queue, &message, std::strlen(kSecret), 0) == 0, "msgsnd");
    return -1;
  };
  const auto content = [] {
    const char* at = static_cast<char*>(shmat(shmget(kKey, 0, 0), nullptr, SHM_RDONLY));
    return std::string(at);
  };
  EXPECT_THAT(run({.args = {"shm_read", kKeyText, "14"}, .prepare = make}).secret(), kSecret);
  EXPECT_EQ(run({.args = {"shm_write", kKeyText, "new"}, .prepare = make, .after = content})
                .after.substr(0, 3),
            "new");
  EXPECT_EQ(run({.args = {"sem_get", kKeyText}, .prepare = make}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"msgq_read", kKeyText}, .prepare = make}).secret(), kSecret);
  for (const auto& args : {Args{"shm_read", kKeyText}, Args{"shm_write", kKeyText, "x"},
                           Args{"sem_get", kKeyText}, Args{"msgq_read", kKeyText}}) {
    const auto apart = run({.args = args, .prepare = make, .restrict = [] {
                              must(unshare(CLONE_NEWIPC) == 0, "unshare");
                            }});
    EXPECT_EQ(apart.claim(), denied(ENOENT)) << apart.transcript();
  }
}

TEST_F(Attempts, MessageQueueByName) {
  const auto make = [](Cage&) {
    const int queue = mq_open("/rf", O_CREAT | O_RDWR, 0600, nullptr);
    must(queue >= 0 && mq_send(queue, kSecret, std::strlen(kSecret), 0) == 0, "mq_send");
    return -1;
  };
  EXPECT_EQ(run({.args = {"mq_read", "/rf"}, .prepare = make}).secret(), kSecret);
  const auto apart = run({.args = {"mq_read", "/rf"}, .prepare = make, .restrict = [] {
                            must(unshare(CLONE_NEWIPC) == 0, "unshare");
                          }});
  EXPECT_EQ(apart.claim(), denied(ENOENT)) << apart.transcript();
}

}  // namespace
}  // namespace ringfence::testing
