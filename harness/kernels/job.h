#pragma once
// What the harness and the agent in a booted machine tell each other, as values and as JSON, the
// bodies of the frames `job`, `hello` and `done` (channel.h).
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

// What to do in the machine.
struct Job {
  std::vector<std::string> argv;  // argv[0] is searched in PATH
  std::map<std::string, std::string> environment;
  // "kernel.unprivileged_bpf_disabled" -> "0": written to /proc/sys before the command starts.
  std::map<std::string, std::string> sysctls;
  std::vector<std::string> modules;  // loaded before the command starts
};
// The command has this descriptor, a pipe, for what has to come back apart from its output.
inline constexpr int kResultFd = 3;

// What was booted.
struct Hello {
  std::string release;  // uname -r
  int cpus = 0;
  int64_t up_ms = 0;                    // since the kernel's start
  std::vector<std::string> complaints;  // what the agent could not set up
};

// How the command ended: one of the three.
struct Done {
  std::optional<int> exit_code;
  std::optional<int> signal;
  std::string error;  // it did not start: why
};

std::string to_json(const Job& job);
std::string to_json(const Hello& hello);
std::string to_json(const Done& done);
// Usage errors say what is wrong and where; the text comes from a machine that may be broken.
Result<Job> parse_job(std::string_view text);
Result<Hello> parse_hello(std::string_view text);
Result<Done> parse_done(std::string_view text);

// "0:17 1:16", a counter for each CPU.
std::string beat_text(const std::map<int, uint64_t>& beats);
std::optional<std::map<int, uint64_t>> parse_beat(std::string_view text);

}  // namespace ringfence
