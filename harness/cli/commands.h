#pragma once
// The commands of `ringfence`, thin over the library. Each adds its subcommand to the app; what it
// parsed lives in the closure. Exit codes: docs/architecture.md.
#include <functional>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/runner/registry.h"

namespace CLI {
class App;
}

namespace ringfence::cli {

inline constexpr int kExitUsage = 64;
inline constexpr int kExitFailed = 2;

// What the chosen subcommand does; its value is the exit code.
using Action = std::function<int()>;

// What tells a program from `ringfence`: the tests have one whose cases end kernels.
struct Program {
  Result<Registry> (*registry)();       // the cases that it knows
  std::vector<unsigned char> inmate{};  // empty: ringfence's own
};
// The whole of main(): the agent of a machine, its modprobe, or the command line.
int main_of(int argc, char** argv, const Program& program);

void add_run(CLI::App& app, Action& action, const Program& program);
void add_list(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_spawn(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_policy(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_diff(CLI::App& app, Action& action);
void add_trace(CLI::App& app, Action& action);
void add_vm(CLI::App& app, Action& action);
void add_kernels(CLI::App& app, Action& action, const Program& program);
void add_completion(CLI::App& app, Action& action);

// Prints the error on standard error; 64 for usage, 2 for the rest.
int complain(const Error& error);
void print(std::string_view text);

}  // namespace ringfence::cli
