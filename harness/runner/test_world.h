#pragma once
// For tests that change what they look at: a process that is pid 1 of namespaces of its own, so
// that whatever `body` does ends with it.
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

namespace ringfence {

// Runs `body` (which returns "" or what is wrong) as init of fresh pid, mount, net, ipc and uts
// namespaces, with a private /proc. "skip: ..." where they cannot be made.
template <typename Body>
std::string in_world(Body body) {
  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) return "pipe2";
  const pid_t outer = fork();
  if (outer == 0) {
    const auto say = [&](const std::string& text) {
      (void)!write(pipe_ends[1], text.data(), text.size());
    };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
      say("skip: namespaces cannot be made");
      _exit(0);
    }
    const pid_t inner = fork();
    if (inner == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount("proc", "/proc", "proc", 0, nullptr) != 0) {
        say("skip: /proc cannot be mounted");
        _exit(0);
      }
      const std::string wrong = body();
      say(wrong.empty() ? "fine" : wrong);
      _exit(0);
    }
    int status = 0;
    waitpid(inner, &status, 0);
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t n = read(pipe_ends[0], buffer.data(), buffer.size());
    if (n <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(n));
  }
  close(pipe_ends[0]);
  int status = 0;
  waitpid(outer, &status, 0);
  if (text.empty()) return "the world ended without a word";
  return text == "fine" ? "" : text;
}

}  // namespace ringfence
