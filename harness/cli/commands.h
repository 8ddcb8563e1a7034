#pragma once
// The commands of `ringfence`, thin over the library. Each adds its subcommand to the app; what it
// parsed lives in the closure. Exit codes: docs/architecture.md.
#include <functional>
#include <string_view>

#include "harness/base/result.h"

namespace CLI {
class App;
}

namespace ringfence::cli {

inline constexpr int kExitUsage = 64;
inline constexpr int kExitFailed = 2;

// What the chosen subcommand does; its value is the exit code.
using Action = std::function<int()>;

void add_run(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_spawn(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_policy(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_diff(CLI::App& app, Action& action);
void add_trace(CLI::App& app, Action& action);
void add_kernels(CLI::App& app, Action& action);
void add_vm(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

// Prints the error on standard error; 64 for usage, 2 for the rest.
int complain(const Error& error);
void print(std::string_view text);

}  // namespace ringfence::cli
