// Rows: denials in which a capability check failed last, or something else points to a layer, that
// did not decide.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

template <typename... A>
int raw(long nr, A... args) {
  return errno_of(syscall(nr, args...));
}

int g_fd = -1;
char* g_pages = nullptr;
constexpr size_t kPage = 4096;

// A page of its own that may become writable, and after it one of a file that was opened to read.
bool two_pages() {
  const int file = open(Scene::get().at("file").c_str(), O_RDONLY | O_CLOEXEC);
  void* at = mmap(nullptr, 2 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (file < 0 || at == MAP_FAILED) return false;
  g_pages = static_cast<char*>(at);
  return mmap(g_pages + kPage, kPage, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED &&
         drop_all();
}

// Whoever writes to it takes the setuid bit away, if the seal lets him write.
bool sealed_setuid_file() {
  g_fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  return g_fd >= 0 && ftruncate(g_fd, kPage) == 0 && fchmod(g_fd, 04755) == 0 &&
         fcntl(g_fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 && drop_cap(CAP_FSETID);
}

int raise_permitted(int cap) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  data[cap / 32].permitted |= 1U << (cap % 32);
  return raw(SYS_capset, &header, data);
}

}  // namespace

std::vector<DenialRow> misleading_denials() {
  constexpr auto kUndecided = Layer::kUnattributed;
  std::vector<DenialRow> rows;
  rows.push_back({.name = "access(2), which asks for the real user's capabilities",
                  .nr = SYS_access,
                  .err = EACCES,
                  .layer = kUndecided,
                  .why = "of other credentials",
                  .prepare =
                      [] {
                        return syscall(SYS_setgroups, 0, nullptr) == 0 &&
                               syscall(SYS_setresgid, 4242, -1, -1) == 0 &&
                               syscall(SYS_setresuid, 4242, -1, -1) == 0;
                      },
                  .act = [] { return raw(SYS_access, Scene::get().at("private").c_str(), R_OK); }});
  rows.push_back({.name = "a script whose interpreter nobody may execute",
                  .nr = SYS_execve,
                  .err = EACCES,
                  .layer = kUndecided,
                  .why = "",
                  .prepare = [] { return become(4242); },
                  .act =
                      [] {
                        const char* none[] = {nullptr};
                        return raw(SYS_execve, Scene::get().at("bad-script").c_str(), none, none);
                      }});
  rows.push_back(
      {.name = "mprotect of a page that may not be written, after one that may",
       .nr = SYS_mprotect,
       .err = EACCES,
       .layer = kUndecided,
       .why = "",
       .prepare = two_pages,
       .act = [] { return raw(SYS_mprotect, g_pages, 2 * kPage, PROT_READ | PROT_WRITE); }});
  rows.push_back({.name = "capset that asks for more than is permitted",
                  .nr = SYS_capset,
                  .err = EPERM,
                  .layer = kUndecided,
                  .why = "",
                  .prepare = [] { return drop_caps(1ULL << CAP_SETPCAP | 1ULL << CAP_SYS_TIME); },
                  .act = [] { return raise_permitted(CAP_SYS_TIME); }});
  rows.push_back({.name = "a write that a seal refuses",
                  .nr = SYS_write,
                  .err = EPERM,
                  .layer = kUndecided,
                  .why = "",
                  .prepare = sealed_setuid_file,
                  .act = [] { return raw(SYS_write, g_fd, "x", 1); }});
  // The other way round: no error that speaks of permission, and a capability decided all the same.
  rows.push_back({.name = "linkat of a descriptor",
                  .nr = SYS_linkat,
                  .err = ENOENT,
                  .layer = Layer::cap("DAC_READ_SEARCH"),
                  .why = "was asked for last",
                  .prepare =
                      [] {
                        g_fd = open(Scene::get().at("file").c_str(), O_RDONLY | O_CLOEXEC);
                        return g_fd >= 0 && drop_cap(CAP_DAC_READ_SEARCH);
                      },
                  .act =
                      [] {
                        return raw(SYS_linkat, g_fd, "", AT_FDCWD,
                                   Scene::get().at("linked").c_str(), AT_EMPTY_PATH);
                      },
                  .in_force = {Layer::kRoot},
                  .exists = true});
  return rows;
}

}  // namespace ringfence
