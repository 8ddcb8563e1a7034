#pragma once
// A cage for the inmate's own tests: pid, mount, net, uts and ipc namespaces of their own, so that
// nothing an attempt does reaches the host, with a canary process and a secret file in it. Built
// from bare syscalls: it tests the inmate, not the harness's spawner. Needs root.
//
//   test process -> keeper (30 s alarm) -> pid 1 of the cage -> canary, inmate
//
// Inside: pid 2 is the canary, command line "rf-canary hold", with kSecretFile open as fd 5; /mnt
// is a tmpfs; lo is up.
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "probes/inmate/image.h"

namespace ringfence::testing {

inline constexpr char kSecret[] = "rf-secret-4711";
inline constexpr char kSecretFile[] = "/mnt/secret";
inline constexpr char kCanaryPid[] = "2";

struct Cage {
  std::vector<std::string> args = {};  // the attempt and its parameters
  std::span<const unsigned char> image = inmate_image();
  // In pid 1, before the inmate: may change `args`; returns what to pass as RF_GIVEN_FD, or -1.
  std::function<int(Cage&)> prepare = {};
  // In the inmate's process, just before exec.
  std::function<void()> restrict = {};
  // In the test process, while the sender waits; `pid` is the sender's, as the host sees it.
  std::function<void(int pid)> inspect = {};
  // In pid 1, once the inmate has ended; what it returns is Outcome::after.
  std::function<std::string()> after = {};
  bool release_by_close = false;  // end the wait by closing the socket, not by a byte
};

struct Outcome {
  std::vector<std::string> messages;
  int status = -1;       // the inmate's wait status
  int canary_died = -1;  // the canary's wait status, 0 while it lives, -1 unknown
  std::string after;

  [[nodiscard]] std::string claim() const;   // "achieved", "denied 1", ...: the last R, or empty
  [[nodiscard]] std::string secret() const;  // all S, one after the other
  [[nodiscard]] bool says(const std::string& text) const;  // a T contains the text
  // A C of this number whose value satisfies: ret >= 0, or ret == -err.
  [[nodiscard]] bool called(long nr, int err = 0) const;
  [[nodiscard]] std::string transcript() const;
};

Outcome run(Cage cage);

// Restrictions, for the inmate's process. Each ends it with exit 97 when it cannot be made.
void drop_capability(int capability);  // from the bounding set; so exec does not bring it back
void become_nobody();                  // uid and gid 1000, no capability
void deny_syscall(long nr, int err);   // by seccomp, with no look at the architecture
void kill_syscall(long nr);            // by seccomp
void kill_foreign_architectures();     // by seccomp
void allow_only_answer_and_exit(int exe_fd);  // by seccomp; all else kills
void must(bool done, const char* what);       // or _exit(97)

// Small helpers.
std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);
std::string status_field(int pid, const std::string& field);  // of /proc/PID/status
std::string hostname();

}  // namespace ringfence::testing
