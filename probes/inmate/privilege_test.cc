// Attempts on privilege, syscall filters, descriptors and limits: each where it gets through, and
// the important ones where one restriction must stop them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <pty.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <sstream>

#include "probes/inmate/abi.h"
#include "probes/inmate/testdata/cage.h"

namespace ringfence::testing {
namespace {

using Args = std::vector<std::string>;
using Restriction = std::function<void()>;

Restriction without(int capability) {
  return [capability] { drop_capability(capability); };
}
Restriction filtered(long nr, int err = ENOSYS) {
  return [nr, err] { deny_syscall(nr, err); };
}
std::string denied(int err) { return "denied " + std::to_string(err); }
bool killed_by(const Outcome& o, int signal) {
  return WIFSIGNALED(o.status) && WTERMSIG(o.status) == signal;
}
bool exited(const Outcome& o, int code) {
  return WIFEXITED(o.status) && WEXITSTATUS(o.status) == code;
}
void no_new_privs() { must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs"); }

// The effective uid and the effective capabilities of who waits to be inspected.
struct Identity {
  std::string euid;
  std::string capabilities;
};
Identity identity_of(Cage cage, Outcome* outcome = nullptr) {
  Identity who;
  cage.inspect = [&](int pid) {
    const std::string uids = status_field(pid, "Uid");
    const size_t from = uids.find('\t') + 1;
    who.euid = uids.substr(from, uids.find('\t', from) - from);
    who.capabilities = status_field(pid, "CapEff");
  };
  const Outcome o = run(cage);
  EXPECT_EQ(o.claim(), "achieved") << o.transcript();
  EXPECT_TRUE(exited(o, RF_EXIT_DONE)) << o.transcript();
  if (outcome != nullptr) *outcome = o;
  return who;
}

class Privilege : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make the cage";
  }
};

// --- Exec ---------------------------------------------------------------------------------------
TEST_F(Privilege, SetuidCopyGainsRootUnlessHeldBack) {
  const Args gain{"copy_exec", "/mnt", "04755", "1000"};
  EXPECT_EQ(identity_of({.args = {"copy_exec", "/mnt", "0755", "1000"}}).euid, "1000");
  EXPECT_EQ(identity_of({.args = gain}).euid, "0");
  EXPECT_EQ(identity_of({.args = gain, .restrict = no_new_privs}).euid, "1000");
  const auto nosuid = [](Cage&) {
    must(mount(nullptr, "/mnt", nullptr, MS_REMOUNT | MS_NOSUID, nullptr) == 0, "nosuid");
    return -1;
  };
  EXPECT_EQ(identity_of({.args = gain, .prepare = nosuid}).euid, "1000");
  Outcome direct;
  EXPECT_EQ(identity_of({.args = {"exec_as", "1000", "/mnt/rf_copy"},
                         .prepare =
                             [](Cage&) {
                               const auto image = inmate_image();
                               write_text("/mnt/rf_copy", std::string(image.begin(), image.end()));
                               must(chmod("/mnt/rf_copy", 04755) == 0, "chmod");
                               return -1;
                             }},
                        &direct)
                .euid,
            "0");
  EXPECT_THAT(direct.messages, ::testing::ElementsAre("B exec_as", "B exit", "R achieved", "W"));
}

TEST_F(Privilege, FileCapabilitiesGainUnlessHeldBack) {
  const Args gain{"copy_exec", "/mnt", "0755", "1000", "0x1"};
  EXPECT_EQ(identity_of({.args = gain}).capabilities, "0000000000000001");
  EXPECT_EQ(identity_of({.args = gain, .restrict = no_new_privs}).capabilities, "0000000000000000");
}

TEST_F(Privilege, NoexecHoldsACopyBack) {
  const auto o =
      run({.args = {"copy_exec", "/mnt", "0755"}, .prepare = [](Cage&) {
             must(mount(nullptr, "/mnt", nullptr, MS_REMOUNT | MS_NOEXEC, nullptr) == 0, "noexec");
             return -1;
           }});
  EXPECT_EQ(o.claim(), denied(EACCES)) << o.transcript();
  EXPECT_TRUE(o.called(SYS_execve, EACCES));
}

TEST_F(Privilege, ExecByDescriptorPathAndMemfd) {
  EXPECT_EQ(identity_of({.args = {"exec_fd"}}).euid, "0");
  EXPECT_EQ(identity_of({.args = {"memfd_exec"}}).euid, "0");
  EXPECT_EQ(run({.args = {"memfd_exec"}, .restrict = filtered(SYS_memfd_create)}).claim(),
            denied(ENOSYS));
  EXPECT_EQ(run({.args = {"exec", "/mnt/none", "exit"}}).claim(), denied(ENOENT));
  const auto o = run({.args = {"exec", "/bin/false"}});
  EXPECT_TRUE(exited(o, 1)) << o.transcript();
}

TEST_F(Privilege, AKilledAnswererShows) {
  // execve dies by the filter in the child, which was to answer.
  const auto o = run({.args = {"copy_exec", "/mnt", "0755"}, .restrict = [] {
                        rlimit none{0, 0};
                        must(setrlimit(RLIMIT_FSIZE, &none) == 0, "setrlimit");
                      }});
  EXPECT_TRUE(killed_by(o, SIGXFSZ)) << o.transcript();
  const auto child = run({.args = {"copy_exec", "/mnt", "0755", "1000"},
                          .restrict = [] { kill_syscall(SYS_execve); }});
  EXPECT_TRUE(exited(child, RF_EXIT_CHILD)) << child.transcript();
  EXPECT_TRUE(child.says("child killed by signal 31")) << child.transcript();
  EXPECT_EQ(child.claim(), "");
}

TEST_F(Privilege, DeviceNodes) {
  dev_t device = 0;
  const auto look = [&](int pid) {
    const std::string fds = "/proc/" + std::to_string(pid) + "/fd";
    for (const auto& e : std::filesystem::directory_iterator(fds)) {
      struct stat st {};
      if (stat(e.path().c_str(), &st) == 0 && S_ISCHR(st.st_mode) &&
          std::filesystem::read_symlink(e.path()).string().find("rf_dev") != std::string::npos) {
        device = st.st_rdev;
      }
    }
  };
  const auto o = run({.args = {"mknod_open", "/mnt", "1", "3"}, .inspect = look});
  EXPECT_EQ(o.claim(), "achieved") << o.transcript();
  EXPECT_EQ(device, makedev(1, 3));
  EXPECT_EQ(run({.args = {"mknod_open", "/mnt", "1", "3"}, .restrict = without(CAP_MKNOD)}).claim(),
            denied(EPERM));
  EXPECT_EQ(run({.args = {"mknod", "/mnt/b", "7", "300", "b"},
                 .after =
                     [] {
                       struct stat st {};
                       must(stat("/mnt/b", &st) == 0, "stat");
                       return std::to_string(S_ISBLK(st.st_mode)) + " " +
                              std::to_string(st.st_rdev == makedev(7, 300));
                     }})
                .after,
            "1 1");
  const auto nodev =
      run({.args = {"mknod_open", "/mnt", "1", "3"}, .prepare = [](Cage&) {
             must(mount(nullptr, "/mnt", nullptr, MS_REMOUNT | MS_NODEV, nullptr) == 0, "nodev");
             return -1;
           }});
  EXPECT_EQ(nodev.claim(), denied(EACCES)) << nodev.transcript();
}

// --- Capabilities -------------------------------------------------------------------------------
struct Gate {
  Args args;
  int capability;
  int err = EPERM;
};

TEST_F(Privilege, EachGatedOperationNeedsItsCapability) {
  const Gate gates[] = {
      {{"set_uid", "1000"}, CAP_SETUID},
      {{"set_gid", "1000"}, CAP_SETGID},
      {{"set_groups", "5", "6"}, CAP_SETGID},
      {{"set_groups"}, CAP_SETGID},
      {{"setpriority", "-5"}, CAP_SYS_NICE, EACCES},
      {{"setfcap", kSecretFile}, CAP_SETFCAP},
      {{"drop_bounding", "0"}, CAP_SETPCAP},
      {{"set_securebits", "1"}, CAP_SETPCAP},
      {{"timerfd", "9"}, CAP_WAKE_ALARM},
      {{"audit_listen"}, CAP_AUDIT_READ},
      {{"acct_off"}, CAP_SYS_PACCT},
      {{"vhangup"}, CAP_SYS_TTY_CONFIG},
      {{"chroot", "/mnt"}, CAP_SYS_CHROOT},
      {{"unshare", "0x04000000"}, CAP_SYS_ADMIN},
      {{"setns_path", "/proc/1/ns/uts"}, CAP_SYS_ADMIN},
      {{"setns_pidfd", kCanaryPid, "0x04000000"}, CAP_SYS_ADMIN},
      {{"raise_cap", "0"}, CAP_CHOWN},
      {{"raise_effective", "0"}, CAP_CHOWN},
      {{"raise_inheritable", "0"}, CAP_CHOWN},
      {{"syscall_expect", "22", "169"}, CAP_SYS_BOOT},  // reboot(2) with a wrong magic
  };
  for (const auto& gate : gates) {
    const auto with = run({.args = gate.args});
    EXPECT_EQ(with.claim(), "achieved") << with.transcript();
    const auto o = run({.args = gate.args, .restrict = [&] {
                          drop_capability(gate.capability);
                          // What is inheritable may be raised while CAP_SETPCAP is there.
                          if (gate.args[0] == "raise_inheritable") drop_capability(CAP_SETPCAP);
                        }});
    EXPECT_EQ(o.claim(), denied(gate.err)) << o.transcript();
  }
}

TEST_F(Privilege, OperationsWithATwoFoldGate) {
  // Its owner may take a lease; anybody may lock up to a limit, and lower limits.
  // (Not the secret: the canary has it open for writing, which no read lease may meet.)
  const auto foreign = [](Cage&) {
    write_text("/mnt/foreign", "text");
    must(chown("/mnt/foreign", 7, 7) == 0, "chown");
    return -1;
  };
  const Args lease{"lease", "/mnt/foreign"};
  EXPECT_EQ(run({.args = lease, .prepare = foreign}).claim(), "achieved");
  EXPECT_EQ(run({.args = lease, .prepare = foreign, .restrict = without(CAP_LEASE)}).claim(),
            denied(EACCES));
  const auto no_lock = [] {
    rlimit none{0, 0};
    must(setrlimit(RLIMIT_MEMLOCK, &none) == 0, "setrlimit");
  };
  EXPECT_EQ(run({.args = {"mlock", "64"}, .restrict = no_lock}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"mlock", "64"},
                 .restrict =
                     [&] {
                       no_lock();
                       drop_capability(CAP_IPC_LOCK);
                     }})
                .claim(),
            denied(EPERM));
  EXPECT_EQ(run({.args = {"set_rlimit", "7", "100", "100"}}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"set_rlimit", "7", "100", "100000000"}}).claim(), denied(EPERM));
  EXPECT_EQ(run({.args = {"clone_set_tid", "3000"}}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"clone_set_tid", "3000"},
                 .restrict =
                     [] {
                       drop_capability(CAP_SYS_ADMIN);
                       drop_capability(CAP_CHECKPOINT_RESTORE);
                     }})
                .claim(),
            denied(EPERM));
  EXPECT_EQ(run({.args = {"regain_cap", "0"}}).claim(), denied(EPERM));
  EXPECT_EQ(run({.args = {"raise_ambient", "0"}}).claim(), denied(EPERM)) << "not inheritable";
  // Dropped in silence without the capability; a kernel without suspend never has it.
  EXPECT_EQ(run({.args = {"epoll_wakeup"}, .restrict = without(CAP_BLOCK_SUSPEND)}).claim(),
            denied(EPERM));
}

TEST_F(Privilege, RaisedCapabilityShowsOutside) {
  Cage cage{.args = {"raise_cap", "0"}, .restrict = become_nobody};
  EXPECT_EQ(run(cage).claim(), denied(EPERM));
  EXPECT_NE(identity_of({.args = {"set_uid", "0"}}).capabilities, "0000000000000000");
  EXPECT_EQ(identity_of({.args = {"set_uid", "1000"}}).capabilities, "0000000000000000");
}

TEST_F(Privilege, FileByHandle) {
  const auto take = [](Cage& cage) {
    std::vector<unsigned char> space(sizeof(file_handle) + 128);
    auto* handle = reinterpret_cast<file_handle*>(space.data());
    handle->handle_bytes = 128;
    int mount = 0;
    must(name_to_handle_at(AT_FDCWD, kSecretFile, handle, &mount, 0) == 0, "handle");
    std::string hex;
    for (unsigned i = 0; i < handle->handle_bytes; ++i) {
      char two[3];
      std::snprintf(two, sizeof two, "%02x", space[sizeof(file_handle) + i]);
      hex += two;
    }
    cage.args = {"open_by_handle", "/mnt", std::to_string(handle->handle_type), hex};
    return -1;
  };
  EXPECT_EQ(run({.args = {}, .prepare = take}).secret(), kSecret);
  EXPECT_EQ(run({.args = {}, .prepare = take, .restrict = without(CAP_DAC_READ_SEARCH)}).claim(),
            denied(EPERM));
}

// --- User namespaces ----------------------------------------------------------------------------
TEST_F(Privilege, UserNamespacesByEachWay) {
  const std::string ours = std::filesystem::read_symlink("/proc/self/ns/user").string();
  for (const auto& args :
       {Args{"unshare", "0x10000000"}, Args{"clone_userns"}, Args{"clone3_userns"}}) {
    std::string theirs;
    const auto o = run(
        {.args = args, .restrict = become_nobody, .inspect = [&](int pid) {
           theirs =
               std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/ns/user").string();
         }});
    EXPECT_EQ(o.claim(), "achieved") << o.transcript();
    EXPECT_FALSE(theirs.empty());
    EXPECT_NE(theirs, ours);
  }
  EXPECT_EQ(run({.args = {"clone3_userns"}, .restrict = filtered(SYS_clone3)}).claim(),
            denied(ENOSYS));
  EXPECT_EQ(
      run({.args = {"unshare", "0x10000000"}, .restrict = filtered(SYS_unshare, EPERM)}).claim(),
      denied(EPERM));
}

TEST_F(Privilege, WhatAUserNamespaceBringsBack) {
  const auto directory = [](Cage&) {
    must(mkdir("/mnt/d", 0755) == 0, "mkdir");
    return -1;
  };
  const auto nobody_mounts = [&](Args args) {
    return run({.args = std::move(args), .prepare = directory, .restrict = become_nobody});
  };
  EXPECT_EQ(nobody_mounts({"mount_tmpfs", "/mnt/d"}).claim(), denied(EPERM));
  EXPECT_EQ(nobody_mounts({"userns_mount", "/mnt/d"}).claim(), "achieved");
  EXPECT_NE(nobody_mounts({"userns_mount_proc", "/mnt/d", "uptime"}).secret(), "");
  EXPECT_EQ(nobody_mounts({"userns_write", "setgroups", "deny"}).claim(), "achieved");
  // gid_map before setgroups is denied; and a mapping of what is not ours.
  EXPECT_EQ(nobody_mounts({"userns_write", "gid_map", "0 1000 1"}).claim(), denied(EPERM));
  EXPECT_EQ(nobody_mounts({"userns_write", "uid_map", "0 0 1"}).claim(), denied(EPERM));
}

TEST_F(Privilege, SetnsIntoAPidNamespaceIsAnsweredFromWithin) {
  const auto o = run({.args = {"setns_pidfd", kCanaryPid, "0x20000000"}});
  EXPECT_EQ(o.claim(), "achieved") << o.transcript();
  const auto by_fd = run({.args = {"setns_fd", "5", "0x04000000"}, .prepare = [](Cage&) {
                            return open("/proc/1/ns/uts", O_RDONLY | O_CLOEXEC);
                          }});
  EXPECT_EQ(by_fd.claim(), "achieved") << by_fd.transcript();
}

// --- Seccomp ------------------------------------------------------------------------------------
TEST_F(Privilege, OtherEntriesPassAFilterThatDoesNotLook) {
  const auto no_hostname = filtered(SYS_sethostname, EPERM);
  EXPECT_EQ(run({.args = {"sethostname", "changed"}, .restrict = no_hostname}).claim(),
            denied(EPERM));
  const auto by_int80 =
      run({.args = {"i386_sethostname", "changed"}, .restrict = no_hostname, .after = hostname});
  EXPECT_EQ(by_int80.after, "changed") << by_int80.transcript();
  EXPECT_TRUE(by_int80.says("int80"));
  const auto looked_at = run({.args = {"i386_sethostname", "changed"},
                              .restrict = kill_foreign_architectures,
                              .after = hostname});
  EXPECT_TRUE(killed_by(looked_at, SIGSYS)) << looked_at.transcript();
  EXPECT_NE(looked_at.after, "changed");
  EXPECT_TRUE(run({.args = {"syscall_i386", "20"}}).called(20));  // getpid of that table
}

TEST_F(Privilege, X32NumbersReachTheFilterAsTheyAre) {
  const auto o = run({.args = {"x32_sethostname", "changed"},
                      .restrict = filtered(SYS_sethostname | 0x40000000, EXFULL)});
  EXPECT_EQ(o.claim(), denied(EXFULL)) << o.transcript();
}

TEST_F(Privilege, LaterFiltersAndThreadsChangeNothing) {
  for (const char* how : {"install_filter_allow", "thread_sethostname"}) {
    EXPECT_EQ(run({.args = {how, "changed"}, .after = hostname}).after, "changed") << how;
    const auto o = run({.args = {how, "changed"},
                        .restrict = filtered(SYS_sethostname, EACCES),
                        .after = hostname});
    EXPECT_EQ(o.claim(), denied(EACCES)) << o.transcript();
    EXPECT_NE(o.after, "changed");
  }
  EXPECT_EQ(run({.args = {"no_nnp_filter"}}).claim(), "achieved") << "with CAP_SYS_ADMIN";
  EXPECT_EQ(run({.args = {"no_nnp_filter"}, .restrict = become_nobody}).claim(), denied(EACCES));
}

TEST_F(Privilege, RingOpensWhatTheFilterOfOpenatDenies) {
  const auto no_open = filtered(SYS_openat, EPERM);
  EXPECT_EQ(run({.args = {"read_file", kSecretFile}, .restrict = no_open}).claim(), denied(EPERM));
  const auto o = run({.args = {"io_uring_open", kSecretFile}, .restrict = no_open});
  EXPECT_EQ(o.secret(), kSecret) << o.transcript();
  for (const char* how : {"io_uring_open", "io_uring_setup"}) {
    EXPECT_EQ(run({.args = {how, kSecretFile}, .restrict = filtered(SYS_io_uring_setup)}).claim(),
              denied(ENOSYS));
  }
  EXPECT_EQ(run({.args = {"io_uring_open", "/mnt/none"}}).claim(), denied(ENOENT));
}

TEST_F(Privilege, SyscallsThatProfilesClose) {
  const std::pair<Args, long> closed[] = {
      {{"userfaultfd"}, SYS_userfaultfd},
      {{"perf_event_open"}, SYS_perf_event_open},
      {{"bpf_map"}, SYS_bpf},
      {{"personality"}, SYS_personality},
      {{"add_key", "rf", "text"}, SYS_add_key},
      {{"io_uring_setup"}, SYS_io_uring_setup},
      {{"syscall", "170", "s:name", "4"}, SYS_sethostname},
      {{"syscall", "63", "z:390"}, SYS_uname},
      {{"syslog_size"}, SYS_syslog},
  };
  for (const auto& [args, nr] : closed) {
    const auto open = run({.args = args});
    EXPECT_EQ(open.claim(), "achieved") << open.transcript();
    const auto o = run({.args = args, .restrict = filtered(nr, EXFULL)});
    EXPECT_EQ(o.claim(), denied(EXFULL)) << o.transcript();
    EXPECT_TRUE(o.called(nr, EXFULL));
  }
  // vsyscall pages differ by kernel; where it is emulated, it is a call as any other.
  const auto time = run({.args = {"vsyscall_time"}});
  EXPECT_TRUE(time.claim() == "achieved" || killed_by(time, SIGSEGV)) << time.transcript();
}

TEST_F(Privilege, KeysOfTheSession) {
  const auto add = [](Cage&) {
    must(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0, "session keyring");
    must(syscall(SYS_add_key, "user", "rf-key", kSecret, std::strlen(kSecret),
                 KEY_SPEC_SESSION_KEYRING) >= 0,
         "add_key");
    return -1;
  };
  EXPECT_EQ(run({.args = {"keyctl_read", "rf-key"}, .prepare = add}).secret(), kSecret);
  const auto apart = run({.args = {"keyctl_read", "rf-key"}, .prepare = add, .restrict = [] {
                            must(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) >= 0,
                                 "session keyring");
                          }});
  EXPECT_EQ(apart.claim(), denied(ENOKEY)) << apart.transcript();
}

// --- Descriptors and terminals ------------------------------------------------------------------
TEST_F(Privilege, TerminalInput) {
  static int slave = -1;
  const auto terminal = [](Cage&) {
    int master = -1;
    must(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0, "openpty");
    return slave;
  };
  const auto pending = [] {
    int count = 0;
    must(ioctl(slave, FIONREAD, &count) == 0, "FIONREAD");
    return std::to_string(count);
  };
  const auto control = [] {
    must(setsid() > 0 && ioctl(RF_GIVEN_FD, TIOCSCTTY, 0) == 0, "TIOCSCTTY");
  };
  for (const char* command : {"0x5412", "0x100005412"}) {
    const Args push{"tiocsti", "5", "\n", command};
    const auto o = run({.args = push, .prepare = terminal, .restrict = control, .after = pending});
    EXPECT_EQ(o.after, "1") << o.transcript();
  }
  const auto o = run({.args = {"tiocsti", "5", "\n"},
                      .prepare = terminal,
                      .restrict = [] { drop_capability(CAP_SYS_ADMIN); },
                      .after = pending});
  EXPECT_EQ(o.claim(), denied(EPERM)) << "not its controlling terminal: " << o.transcript();
  EXPECT_EQ(o.after, "0");
  std::string tty = "0";
  const auto taken = run({.args = {"tiocsctty", "5"}, .prepare = terminal, .inspect = [&](int pid) {
                            const std::string stat =
                                read_text("/proc/" + std::to_string(pid) + "/stat");
                            // Behind the name: state, ppid, pgrp, session, tty_nr.
                            std::istringstream fields(stat.substr(stat.rfind(')') + 1));
                            for (int i = 0; i < 5; ++i) fields >> tty;
                          }});
  EXPECT_EQ(taken.claim(), "achieved") << taken.transcript();
  EXPECT_NE(tty, "0");
}

TEST_F(Privilege, DescriptorsFromOutside) {
  const auto give = [](int flags) {
    return [flags](Cage&) { return open(kSecretFile, flags | O_CLOEXEC); };
  };
  EXPECT_EQ(run({.args = {"list_fds"}}).claim(), denied(EBADF));
  const auto found = run({.args = {"list_fds"}, .prepare = give(O_RDONLY)});
  EXPECT_EQ(found.claim(), "achieved") << found.transcript();
  EXPECT_TRUE(found.says("fd 5 /mnt/secret"));
  EXPECT_EQ(found.secret(), kSecret);
  EXPECT_EQ(run({.args = {"read_fd", "5"}, .prepare = give(O_RDONLY)}).secret(), kSecret);
  const auto write_only = run({.args = {"read_fd", "5"}, .prepare = give(O_WRONLY)});
  EXPECT_EQ(write_only.claim(), denied(EBADF)) << write_only.transcript();
  const auto text = [] { return read_text(kSecretFile); };
  EXPECT_EQ(run({.args = {"write_fd", "5", "W"}, .prepare = give(O_WRONLY), .after = text}).after,
            std::string("W") + (kSecret + 1));
  EXPECT_EQ(run({.args = {"write_fd", "5", "W"}, .prepare = give(O_RDONLY), .after = text}).after,
            kSecret);
  const auto directory = [](Cage&) { return open("/mnt", O_PATH | O_CLOEXEC); };
  EXPECT_EQ(run({.args = {"fchdir_read", "5", "secret"}, .prepare = directory}).secret(), kSecret);
  EXPECT_EQ(run({.args = {"fchdir_read", "5", "secret"}}).claim(), denied(EBADF));
  const auto linked = [] { return std::to_string(access("/mnt/linked", F_OK)); };
  const Args link{"link_fd", "/mnt/linked"};
  EXPECT_EQ(run({.args = link, .prepare = give(O_RDONLY), .after = linked}).after, "0");
  EXPECT_EQ(run({.args = link,
                 .prepare = give(O_RDONLY),
                 .restrict = filtered(SYS_linkat, EPERM),
                 .after = linked})
                .after,
            "-1");
}

// --- Limits -------------------------------------------------------------------------------------
// Processes in the cage besides pid 1 and the canary.
size_t others() {
  size_t count = 0;
  for (const auto& e : std::filesystem::directory_iterator("/proc")) {
    const std::string name = e.path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos && name != "1" && name != "2") {
      ++count;
    }
  }
  return count;
}

TEST_F(Privilege, ForkBombIsBoundedAndLeavesNothing) {
  const auto o =
      run({.args = {"fork_bomb", "40"}, .after = [] { return std::to_string(others()); }});
  EXPECT_EQ(o.claim(), "achieved");
  EXPECT_TRUE(o.says("children 40")) << o.transcript();
  EXPECT_EQ(o.after, "0");
  const auto limited = run({.args = {"fork_bomb", "40"}, .restrict = [] {
                              become_nobody();
                              rlimit few{10, 10};
                              must(setrlimit(RLIMIT_NPROC, &few) == 0, "setrlimit");
                            }});
  EXPECT_EQ(limited.claim(), denied(EAGAIN)) << limited.transcript();
  EXPECT_TRUE(limited.says("children 9")) << limited.transcript();
  EXPECT_TRUE(limited.called(SYS_clone, EAGAIN));
  EXPECT_EQ(run({.args = {"fork_bomb", "1000000"}}).claim(), "unable 7");
}

TEST_F(Privilege, AllocationsAreTouched) {
  long resident = 0;
  const auto o = run({.args = {"alloc", "8"}, .inspect = [&](int pid) {
                        resident = std::stol(status_field(pid, "VmRSS"));
                      }});
  EXPECT_EQ(o.claim(), "achieved") << o.transcript();
  EXPECT_GE(resident, 8 * 1024);
  EXPECT_TRUE(o.says("touched MiB 8"));
  const auto limited = run({.args = {"alloc", "8"}, .restrict = [] {
                              rlimit few{4 << 20, 4 << 20};
                              must(setrlimit(RLIMIT_AS, &few) == 0, "setrlimit");
                            }});
  EXPECT_EQ(limited.claim(), denied(ENOMEM)) << limited.transcript();
  EXPECT_EQ(run({.args = {"alloc_memfd", "2"}}).claim(), "achieved");
  EXPECT_EQ(run({.args = {"alloc_file", "/mnt/big", "4"},
                 .after = [] { return std::to_string(std::filesystem::file_size("/mnt/big")); }})
                .after,
            std::to_string(4 << 20));
  const auto full = run({.args = {"alloc_file", "/mnt/big", "32"}});
  EXPECT_EQ(full.claim(), denied(ENOSPC)) << full.transcript();
}

TEST_F(Privilege, DescriptorsUpToTheLimit) {
  const auto limited = run({.args = {"open_fds", "100"}, .restrict = [] {
                              rlimit few{20, 20};
                              must(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
                            }});
  EXPECT_EQ(limited.claim(), denied(EMFILE)) << limited.transcript();
  EXPECT_TRUE(limited.says("descriptors 15")) << limited.transcript();
  EXPECT_EQ(run({.args = {"open_fds", "100"}}).claim(), "achieved");
}

TEST_F(Privilege, OrphanOutlivesItsParentWithinTheNamespace) {
  const auto o = run({.args = {"orphan"}, .after = [] { return std::to_string(others()); }});
  EXPECT_EQ(o.claim(), "achieved") << o.transcript();
  EXPECT_EQ(o.after, "1");
  EXPECT_TRUE(exited(o, RF_EXIT_DONE));
}

TEST_F(Privilege, ClocksAndSpinning) {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  const auto o = run({.args = {"clock", "BOOTTIME"}});
  EXPECT_NEAR(std::stod(o.secret()), static_cast<double>(now.tv_sec), 5) << o.transcript();
  EXPECT_EQ(run({.args = {"clock", "SUNDIAL"}}).claim(), "unable 22");
  timespec start{};
  timespec end{};
  clock_gettime(CLOCK_MONOTONIC, &start);
  EXPECT_EQ(run({.args = {"spin", "60"}}).claim(), "achieved");
  clock_gettime(CLOCK_MONOTONIC, &end);
  EXPECT_GE((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000, 60);
}

}  // namespace
}  // namespace ringfence::testing
