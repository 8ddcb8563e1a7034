// Each canary sings when its own resource is touched, and not before. In namespaces of the test's
// own; the process that touches is the test itself.
#include "harness/runner/canary.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <cstring>
#include <functional>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/runner/test_world.h"
#include "harness/runner/world.h"
#include "probes/inmate/image.h"

namespace ringfence {
namespace {

UniqueFd image() {
  UniqueFd fd(memfd_create("inmate", MFD_CLOEXEC));
  const auto bytes = inmate_image();
  const ssize_t written = write(fd.get(), bytes.data(), bytes.size());
  if (written != static_cast<ssize_t>(bytes.size())) fd.reset();
  return fd;
}

using Words = std::vector<std::string>;
using Act = std::function<bool(const Words&, Canaries&)>;

struct Touch {
  // A constructor, because GCC 12 warns falsely on temporaries of the aggregate.
  Touch(Goal goal_, Words parameters_, Act act_, bool ended_ = false)
      : goal(std::move(goal_)),
        parameters(std::move(parameters_)),
        act(std::move(act_)),
        ended(ended_) {}
  Goal goal;
  Words parameters;  // expanded before, handed to `act`
  Act act;
  bool ended;  // when to look
};

template <typename Address>
bool connects(int domain, const Address& address, size_t size) {
  const UniqueFd fd(socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(size)) == 0;
}

bool connects_unix(const std::string& name, bool abstract) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + (abstract ? 1 : 0), name.data(), name.size());
  return connects(AF_UNIX, address, offsetof(sockaddr_un, sun_path) + name.size() + 1);
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// The world of a decoy host, one canary set, one touch. "" when it was silent before and sang
// after.
std::string sings(const Touch& touch) {
  return in_world([&]() -> std::string {
    if (auto ok = build_world("", {}, true); !ok) return "skip: " + ok.error().describe();
    if (auto ok = raise_loopback(); !ok) return ok.error().describe();
    const UniqueFd inmate = image();
    Canaries canaries("the-secret", "0123456789ab", inmate.get());
    Words words;
    for (const auto& parameter : touch.parameters) {
      auto word = canaries.expand(parameter);
      if (!word) return word.error().describe();
      words.push_back(*word);
    }
    if (auto ok = canaries.prepare(touch.goal); !ok) return ok.error().describe();
    // A killed process can be asked once only.
    if (!touch.ended) {
      const auto before = canaries.look(touch.goal, false);
      if (!before) return "is no canary's";
      if (before->yes) return "sang before: " + before->says;
      if (before->witness != "canary" || before->says.empty()) return "said nothing";
    }
    if (!touch.act(words, canaries)) return std::string("the touch failed: ") + strerror(errno);
    const auto after = canaries.look(touch.goal, true);
    if (!after) return "is no canary's at the end";
    return after->yes ? "" : "did not sing: " + after->says;
  });
}

void expect_sings(const Touch& touch) {
  const std::string wrong = sings(touch);
  if (wrong.starts_with("skip: ")) GTEST_SKIP() << wrong;
  EXPECT_EQ(wrong, "") << sight_name(touch.goal.sight);
}

TEST(Canary, FileChanged) {
  expect_sings({{Sight::file_changed, "/canary/file", 0}, {}, [](const Words&, Canaries&) {
                  const UniqueFd fd(open("/canary/file", O_WRONLY | O_APPEND | O_CLOEXEC));
                  return write(fd.get(), "x", 1) == 1;
                }});
}
TEST(Canary, FileRemoved) {
  expect_sings({{Sight::file_changed, "/canary/file", 0}, {}, [](const Words&, Canaries&) {
                  return unlink("/canary/file") == 0;
                }});
}
TEST(Canary, FileExists) {
  expect_sings({{Sight::file_exists, "/canary/new", 0}, {}, [](const Words&, Canaries&) {
                  return mkdir("/canary/new", 0700) == 0;
                }});
}
TEST(Canary, FileOwnerModeAndCapabilities) {
  expect_sings({{Sight::file_owned_by, "/canary/file", 1000}, {}, [](const Words&, Canaries&) {
                  return chown("/canary/file", 1000, 0) == 0;
                }});
  expect_sings({{Sight::file_mode_has, "/canary/file", 04000}, {}, [](const Words&, Canaries&) {
                  return chmod("/canary/file", 04755) == 0;
                }});
  expect_sings({{Sight::file_capable, "/canary/file", 0}, {}, [](const Words&, Canaries&) {
                  vfs_cap_data caps{};
                  caps.magic_etc = VFS_CAP_REVISION_2;
                  return setxattr("/canary/file", "security.capability", &caps, XATTR_CAPS_SZ_2,
                                  0) == 0;
                }});
}
TEST(Canary, FileLinked) {
  expect_sings({{Sight::file_linked, "", 0}, {}, [](const Words&, Canaries& canaries) {
                  auto fd = canaries.pass_file(getpid());
                  if (!fd || canaries.look({Sight::file_linked, "", 0}, false)->yes) return false;
                  const std::string path = "/proc/self/fd/" + std::to_string(*fd);
                  return linkat(AT_FDCWD, path.c_str(), AT_FDCWD, "/linked", AT_SYMLINK_FOLLOW) ==
                         0;
                }});
}
TEST(Canary, Names) {
  expect_sings({{Sight::hostname_changed, "", 0}, {}, [](const Words&, Canaries&) {
                  return sethostname("x", 1) == 0;
                }});
  expect_sings({{Sight::domainname_changed, "", 0}, {}, [](const Words&, Canaries&) {
                  return setdomainname("x", 1) == 0;
                }});
}
TEST(Canary, SysvSegmentChangedOrGone) {
  const auto segment = [](const Words& words) { return shmget(std::stoi(words[0]), 0, 0); };
  expect_sings({{Sight::sysv_changed, "", 0}, {"{sysv_key}"}, [&](const Words& words, Canaries&) {
                  void* at = shmat(segment(words), nullptr, 0);
                  if (at == address_of_result(-1)) return false;
                  std::memcpy(at, "changed", 7);
                  return true;
                }});
  expect_sings({{Sight::sysv_changed, "", 0}, {"{sysv_key}"}, [&](const Words& words, Canaries&) {
                  return shmctl(segment(words), IPC_RMID, nullptr) == 0;
                }});
}
TEST(Canary, SysvSemaphoreSetOrGone) {
  const Goal goal{Sight::sysv_changed, "semaphore", 0};
  const auto semaphore = [](const Words& words) { return semget(std::stoi(words[0]), 0, 0); };
  expect_sings({goal, {"{sem_key}"}, [&](const Words& words, Canaries&) {
                  return semctl(semaphore(words), 0, SETVAL, 0) == 0;
                }});
  expect_sings({goal, {"{sem_key}"}, [&](const Words& words, Canaries&) {
                  return semctl(semaphore(words), 0, IPC_RMID) == 0;
                }});
}
TEST(Canary, KeyChangedOrGone) {
  const auto search = [](const Words& words) {
    return syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", words[0].c_str(),
                   0);
  };
  expect_sings({{Sight::key_changed, "", 0}, {"{key_desc}"}, [&](const Words& words, Canaries&) {
                  return syscall(SYS_keyctl, KEYCTL_UPDATE, search(words), "changed", 7) == 0;
                }});
  expect_sings({{Sight::key_changed, "", 0}, {"{key_desc}"}, [&](const Words& words, Canaries&) {
                  return syscall(SYS_keyctl, KEYCTL_REVOKE, search(words)) == 0;
                }});
}
TEST(Canary, PosixSemaphorePosted) {
  expect_sings(
      {{Sight::file_changed, "/dev/shm/sem.rf_canary", 0}, {}, [](const Words&, Canaries&) {
         const UniqueFd fd(open("/dev/shm/sem.rf_canary", O_RDWR | O_CLOEXEC));
         void* at = mmap(nullptr, sizeof(sem_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
         return at != MAP_FAILED && sem_post(static_cast<sem_t*>(at)) == 0;
       }});
}
TEST(Canary, Listeners) {
  expect_sings({{Sight::abstract_connected, "", 0},
                {"{abstract_name}"},
                [](const Words& w, Canaries&) { return connects_unix(w[0], true); }});
  expect_sings({{Sight::unix_connected, "", 0}, {"{unix_path}"}, [](const Words& w, Canaries&) {
                  return connects_unix(w[0], false);
                }});
  expect_sings({{Sight::loopback_connected, "", 0}, {"{tcp_port}"}, [](const Words& w, Canaries&) {
                  const auto address = loopback(std::stoi(w[0]));
                  return connects(AF_INET, address, sizeof address);
                }});
}
TEST(Canary, PortOpen) {
  expect_sings({{Sight::port_open, "", 20080}, {}, [](const Words&, Canaries&) {
                  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                  const auto address = loopback(20080);
                  return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                             0 &&
                         listen(fd, 1) == 0;
                }});
}
TEST(Canary, MountAndMtu) {
  expect_sings({{Sight::mount_appeared, "/tmp", 0}, {}, [](const Words&, Canaries&) {
                  return mount("none", "/tmp", "tmpfs", 0, nullptr) == 0;
                }});
  expect_sings({{Sight::mtu_changed, "", 0}, {}, [](const Words&, Canaries&) {
                  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                  ifreq request{};
                  std::strcpy(request.ifr_name, "lo");
                  request.ifr_mtu = 1400;
                  return ioctl(fd.get(), SIOCSIFMTU, &request) == 0;
                }});
}
TEST(Canary, ProcessKilled) {
  for (const char* kind : {"plain", "privileged", "other_uid"}) {
    const std::string name = kind == std::string("plain") ? "canary" : kind;
    expect_sings({{Sight::canary_killed, kind, 0},
                  {"{" + name + "_pid}"},
                  [](const Words& w, Canaries&) { return kill(std::stoi(w[0]), SIGKILL) == 0; },
                  true});
  }
}
TEST(Canary, ProcessLeftAloneIsNotKilled) {
  const std::string wrong = sings({{Sight::canary_killed, "plain", 0},
                                   {"{canary_pid}"},
                                   [](const Words&, Canaries&) { return true; },
                                   true});
  if (wrong.starts_with("skip: ")) GTEST_SKIP() << wrong;
  EXPECT_TRUE(wrong.starts_with("did not sing: ")) << wrong;
  EXPECT_NE(wrong.find("exit 0"), std::string::npos) << wrong;
}
TEST(Canary, ProcessTracedAndOverwritten) {
  expect_sings({{Sight::canary_traced, "", 0}, {"{canary_pid}"}, [](const Words& w, Canaries&) {
                  return ptrace(PTRACE_SEIZE, std::stoi(w[0]), nullptr, nullptr) == 0;
                }});
  expect_sings({{Sight::canary_memory_changed, "", 0},
                {"{canary_pid}", "{canary_env_addr}"},
                [](const Words& w, Canaries&) {
                  const UniqueFd fd(open(("/proc/" + w[0] + "/mem").c_str(), O_RDWR | O_CLOEXEC));
                  return pwrite(fd.get(), "OVERWRITTEN", 11,
                                static_cast<off_t>(std::stoull(w[1], nullptr, 16))) == 11;
                }});
}

TEST(Canary, HoldsTheSecretWhereItSays) {
  const std::string wrong = in_world([]() -> std::string {
    if (auto ok = build_world("", {}, true); !ok) return "skip: " + ok.error().describe();
    const UniqueFd inmate = image();
    Canaries canaries("the-secret", "0123456789ab", inmate.get());
    for (const char* name : {"{secret_file}", "{file}", "{file1000}", "{group_file}"}) {
      auto path = canaries.expand(name);
      if (!path) return path.error().describe();
      if (read_file(*path).value_or("") != "the-secret") return *path;
    }
    auto text = canaries.expand("pid={canary_pid}:{canary_marker}");
    if (!text) return text.error().describe();
    if (canaries.pids().size() != 1) return "one process for both words";
    const std::string pid = std::to_string(canaries.pids()[0]);
    if (*text != "pid=" + pid + ":canary-0123456789ab") return *text;
    const auto environment = read_file("/proc/" + pid + "/environ").value_or("");
    if (environment.find("SECRET=the-secret") == std::string::npos) return "environ";
    if (canaries.expand("{no_such_thing}")) return "an unknown placeholder is an error";
    if (canaries.expand("plain {").value_or("") != "plain {") return "a brace alone is a brace";
    return "";
  });
  if (wrong.starts_with("skip: ")) GTEST_SKIP() << wrong;
  EXPECT_EQ(wrong, "");
}

}  // namespace
}  // namespace ringfence
