#pragma once
// Running programs of this host: they end with the thread that started them.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "harness/base/result.h"
#include "harness/spawn/spawn.h"

namespace ringfence {

struct ProgramRequest {
  std::vector<std::string> argv;                     // argv[0] by PATH when it has no slash
  std::map<std::string, std::string> environment{};  // in addition to, and instead of, our own
  std::vector<std::pair<int, int>> fds{};            // {number inside, descriptor here}; no others
  std::string directory{};                           // to start in; empty: the present one
};
Result<Child> start_program(const ProgramRequest& request);

// What `argv` (argv[0] by PATH when it has no slash) writes on standard output. Fails when it does
// not exit 0, with the end of what it wrote on standard error.
Result<std::string> output_of(const std::vector<std::string>& argv,
                              const std::string& directory = {});

}  // namespace ringfence
