#pragma once
// Runs a shell script under a policy, for the tests of this directory.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <string>

#include "harness/base/file.h"
#include "harness/spawn/spawn.h"
#include "harness/spawn/test_policies.h"

namespace ringfence {

// What a shell script says and how it ends, under a policy.
struct Ran {
  std::string out;
  std::string end;
  std::string error;
};
inline Ran run(const Plan& plan, const std::string& script, const CgroupLeaf* cgroup = nullptr) {
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  UniqueFd in(fds[0]);
  UniqueFd out(fds[1]);
  SpawnRequest request;
  request.plan = &plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", script};
  request.env = {"PATH=/usr/bin:/bin"};
  request.fds = {{1, out.get()}, {2, out.get()}};
  request.cgroup = cgroup;
  Ran ran;
  auto child = spawn(request);
  out.reset();
  if (!child) {
    ran.error = child.error().describe();
    return ran;
  }
  char buffer[4096];
  for (ssize_t n; (n = read(in.get(), buffer, sizeof buffer)) > 0;) {
    ran.out.append(buffer, static_cast<size_t>(n));
  }
  auto end = child->wait(std::chrono::seconds(20));
  if (end && *end) ran.end = (*end)->describe();
  return ran;
}
inline Ran run(const Policy& policy, const std::string& script) {
  auto plan = compile(policy);
  if (!plan) return {{}, {}, plan.error().describe()};
  return run(*plan, script);
}

// How many descriptors this process has open.
inline size_t open_descriptors() {
  auto names = list_directory("/proc/self/fd");
  return names ? names->size() : 0;
}
// True when this process has no child left, dead or alive.
inline bool childless() { return waitpid(-1, nullptr, WNOHANG | __WALL) == -1 && errno == ECHILD; }

// A target that sleeps until its standard input ends, to be looked at from outside.
struct Waiting {
  UniqueFd input;  // closing it ends the target
  std::optional<Child> child;
  std::string error;
  [[nodiscard]] std::string proc(const std::string& file) const {
    return "/proc/" + std::to_string(child->pid()) + "/" + file;
  }
  [[nodiscard]] std::string status(const std::string& key) const {
    auto text = read_file(proc("status"));
    if (!text) return {};
    for (const auto line : split(*text, '\n')) {
      if (line.starts_with(key + ":")) return std::string(trim(line.substr(key.size() + 1)));
    }
    return {};
  }
  // The options of the mount at `point`, the last one there: "ro,nosuid,relatime".
  [[nodiscard]] std::string mount_options(const std::string& point) const {
    auto text = read_file(proc("mountinfo"));
    std::string options = "(no mount)";
    if (!text) return options;
    for (const auto line : split(*text, '\n')) {
      const auto words = split(line, ' ');
      if (words.size() > 5 && words[4] == point) options = "," + std::string(words[5]) + ",";
    }
    return options;
  }
};
inline Waiting wait_under(const Plan& plan, int netns_fd = -1) {
  Waiting waiting;
  int fds[2];
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd in(fds[0]);
  waiting.input = UniqueFd(fds[1]);
  EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd ready(fds[0]);
  UniqueFd says(fds[1]);
  SpawnRequest request;
  request.plan = &plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "echo; read x"};
  request.fds = {{0, in.get()}, {1, says.get()}};
  request.netns_fd = netns_fd;
  auto child = spawn(request);
  says.reset();
  if (child) {
    // Only the program itself can tell that the kernel is done with the exec.
    char byte = 0;
    EXPECT_EQ(read(ready.get(), &byte, 1), 1);
    waiting.child = std::move(*child);
  } else {
    waiting.error = child.error().describe();
  }
  return waiting;
}

}  // namespace ringfence
