#include "harness/witness/test_denials.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <bit>
#include <cstddef>
#include <cstdlib>
#include <filesystem>

namespace ringfence {
namespace {

int sleeper(uint32_t uid) {
  const int pid = fork();
  if (pid == 0) {
    if (uid != 0 && !become(uid)) _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // other ids clear it
    for (;;) pause();
  }
  return pid;
}

void file_of(const std::string& path, mode_t mode, uint32_t owner,
             const std::string& text = "#!/bin/true\n") {
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, mode);
  EXPECT_GE(fd, 0) << path;
  EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(fchmod(fd, mode), 0);
  EXPECT_EQ(fchown(fd, owner, owner), 0);
  close(fd);
}

}  // namespace

Scene::Scene() {
  char name[] = "/tmp/ringfence-denials-XXXXXX";
  dir = mkdtemp(name);
  EXPECT_EQ(chmod(dir.c_str(), 0755), 0);
  file_of(at("file"), 0644, 0);
  file_of(at("private"), 0600, 1);
  file_of(at("script"), 0755, 0);
  file_of(at("no-x"), 0644, 0);
  file_of(at("bad-script"), 0755, 0, "#!" + at("no-x") + "\n");
  for (const char* sub : {"closed", "jail", "mnt"}) {
    EXPECT_EQ(mkdir(at(sub).c_str(), 0755), 0);
  }
  file_of(at("closed/file"), 0644, 1);
  EXPECT_EQ(mkdir(at("closed/sub").c_str(), 0755), 0);
  EXPECT_EQ(chown(at("closed").c_str(), 1, 1), 0);
  EXPECT_EQ(chmod(at("closed").c_str(), 0700), 0);
  process = sleeper(0);
  other_user = sleeper(1);
  shm = shmget(0x52460001, 4096, IPC_CREAT | 0666);
  msg = msgget(0x52460002, IPC_CREAT | 0666);
  sem = semget(0x52460003, 1, IPC_CREAT | 0666);
  // Its maker counts as its owner, too.
  const int maker = fork();
  if (maker == 0) _exit(become(1) && shmget(0x52460004, 4096, IPC_CREAT | 0600) >= 0 ? 0 : 1);
  int status = 1;
  EXPECT_EQ(waitpid(maker, &status, 0), maker);
  EXPECT_EQ(status, 0);
  owned_shm = shmget(0x52460004, 0, 0);
  EXPECT_GE(owned_shm, 0);

  socket_name = "ringfence-denials-" + std::to_string(getpid());
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, socket_name.data(), socket_name.size());
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + socket_name.size())),
            0);
  EXPECT_EQ(listen(listener, 1), 0);
  tcp_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(tcp_listener, reinterpret_cast<sockaddr*>(&here), sizeof here), 0);
  EXPECT_EQ(listen(tcp_listener, 1), 0);
  socklen_t size = sizeof here;
  EXPECT_EQ(getsockname(tcp_listener, reinterpret_cast<sockaddr*>(&here), &size), 0);
  tcp_port = ntohs(here.sin_port);
}

Scene::~Scene() {
  for (const int pid : {process, other_user}) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  shmctl(shm, IPC_RMID, nullptr);
  shmctl(owned_shm, IPC_RMID, nullptr);
  msgctl(msg, IPC_RMID, nullptr);
  semctl(sem, 0, IPC_RMID);
  close(listener);
  close(tcp_listener);
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
}

const Scene& Scene::get() {
  static const Scene scene;
  return scene;
}

FilterCode filter_on(long nr, uint32_t action, bool compat) {
  const uint32_t arch = compat ? 0x40000003 : 0xc000003e;
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 3),
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(nr), 0, 1),
          BPF_STMT(BPF_RET | BPF_K, action),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

FilterCode filter_on_argument(long nr, uint32_t index, uint32_t value, uint32_t action) {
  const auto offset = static_cast<uint32_t>(offsetof(seccomp_data, args)) + 8 * index;
  return {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(nr), 0, 3),
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, action),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
}

bool put_on(const FilterCode& filter) {
  sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                     .filter = const_cast<sock_filter*>(filter.data())};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

std::vector<uint64_t> words_of(const FilterCode& filter) {
  std::vector<uint64_t> words;
  words.reserve(filter.size());
  for (const sock_filter& line : filter) words.push_back(std::bit_cast<uint64_t>(line));
  return words;
}

bool drop_caps(uint64_t caps) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return false;
  for (int half = 0; half < 2; ++half) {
    const auto keep = ~static_cast<uint32_t>(caps >> (32 * half));
    data[half].effective &= keep;
    data[half].permitted &= keep;
    data[half].inheritable &= keep;
  }
  return syscall(SYS_capset, &header, data) == 0;
}

bool become(uint32_t uid) {
  return syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, uid, uid, uid) == 0 &&
         syscall(SYS_setresuid, uid, uid, uid) == 0;
}

long int80(long nr, uint32_t a, uint32_t b, uint32_t c) {
  long result = nr;
  asm volatile("int $0x80"
               : "+a"(result)
               : "b"(a), "c"(b), "d"(c), "S"(0), "D"(0)
               : "memory", "r8", "r9", "r10", "r11");
  return static_cast<int32_t>(result);
}

uint32_t low_string(const char* text) {
  void* low =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) return 0;
  std::memcpy(low, text, std::strlen(text) + 1);
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(low));
}

bool private_mounts() {
  return unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0;
}

bool set_limit(int resource, uint64_t value) {
  const rlimit limit{value, value};
  return setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
}

int own_map(const std::string& name, bool of_last) {
  int found = -1;
  uint32_t id = 0;
  for (int fd = 3; fd < 1024; ++fd) {
    bpf_map_info info{};
    uint32_t size = sizeof info;
    char target[64] = {};
    const auto link = "/proc/self/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), target, sizeof target - 1) < 0) continue;
    if (std::string(target).find("bpf-map") == std::string::npos) continue;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0 || info.name != name) continue;
    if (found != -1 && of_last != (info.id > id)) continue;
    found = fd;
    id = info.id;
  }
  return found != -1 ? dup(found) : -1;
}

size_t keys_of(int map) {
  uint64_t key = 0;
  size_t count = 0;
  for (int more = bpf_map_get_next_key(map, nullptr, &key); more == 0;
       more = bpf_map_get_next_key(map, &key, &key)) {
    ++count;
  }
  return count;
}

}  // namespace ringfence
