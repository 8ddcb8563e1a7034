#pragma once
// What a spawn makes before it clones: all that the child reads, since between clone and exec it
// makes nothing itself. Internal to spawn/.
#include <memory>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/spawn/child.h"
#include "harness/spawn/hooks.h"
#include "harness/spawn/spawn.h"
#include "harness/spawn/terminal.h"

namespace ringfence {

inline constexpr size_t kChildStack = (size_t{128} << 10) + 4096;

// Anonymous memory that lives as long as one spawn.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();
  Status map(size_t size, int kind);
  [[nodiscard]] char* data() const { return address_; }

 private:
  char* address_ = nullptr;
  size_t size_ = 0;
};

struct Prepared {
  std::vector<ChildStep> steps;
  std::vector<const char*> bytes, argv, envp, paths;
  std::vector<std::string> path_texts;
  std::vector<UniqueFd> namespaces, trees;
  UniqueFd init;
  std::vector<std::string> init_args;
  UniqueFd self;
  UniqueFd unified_procs;
  TerminalEnds terminal;
  Memory stack;  // kChildStack bytes, the lowest page of them a guard
  Memory shared;
  ChildStart start{};
  std::unique_ptr<HookRunner> hooks;  // looks at `shared`
};

// Of each text, and a null at the end: what execve(2) takes. `texts` must stay as they are.
std::vector<const char*> pointers(const std::vector<std::string>& texts);

// Fails where the request cannot be carried out.
Status check_request(const SpawnRequest& request);
Status prepare_spawn(const SpawnRequest& request, Prepared& p);

}  // namespace ringfence
