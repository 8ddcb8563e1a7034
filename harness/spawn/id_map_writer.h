#pragma once
// Writes the id maps of a child, and makes its interfaces, while the thread that clones it is
// suspended. Internal to spawn/. Sources: user_namespaces(7), rtnetlink(7).
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

  // `pid` is where clone3 puts the child's id (CLONE_PARENT_SETTID). `port_program`: see
  // SpawnRequest.
  IdMapWriter(const Plan& plan, ChildReport* report, const int* pid, int port_program = -1)
      : plan_(plan), report_(report), pid_(pid), port_program_(port_program) {}
  IdMapWriter(const IdMapWriter&) = delete;
  IdMapWriter& operator=(const IdMapWriter&) = delete;
  ~IdMapWriter() { finish(); }

  Status start();
  // Once clone3 has returned, whatever it said. Joins the thread.
  void finish();
  [[nodiscard]] int counted_ports() const { return counted_ports_; }
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }

 private:
  void run();
  void write_maps();
  void make_network();
  const Plan& plan_;
  ChildReport* report_;
  const int* pid_;
  int port_program_;
  int counted_ports_ = 0;
  std::thread thread_;
  std::optional<Failure> failure_;
};

}  // namespace ringfence
