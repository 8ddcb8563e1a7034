#pragma once
// Writes the id maps of a child while the thread that clones it is suspended. Internal to spawn/.
// Sources: user_namespaces(7).
#include <atomic>
#include <optional>
#include <string>
#include <thread>

#include "harness/base/result.h"
#include "harness/spawn/child.h"
#include "harness/spawn/plan.h"

namespace ringfence {

class IdMapWriter {
 public:
  struct Failure {
    std::string key;  // the step: "userns.uid_map"
    Error error;
  };

  // `pid` is where clone3 puts the child's id (CLONE_PARENT_SETTID).
  IdMapWriter(const Plan& plan, ChildReport* report, const int* pid)
      : plan_(plan), report_(report), pid_(pid) {}
  IdMapWriter(const IdMapWriter&) = delete;
  IdMapWriter& operator=(const IdMapWriter&) = delete;
  ~IdMapWriter() { finish(); }

  Status start();
  // Once clone3 has returned, whatever it said. Joins the thread.
  void finish();
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }

 private:
  void run();
  void write_maps();
  const Plan& plan_;
  ChildReport* report_;
  const int* pid_;
  std::thread thread_;
  std::optional<Failure> failure_;
};

}  // namespace ringfence
