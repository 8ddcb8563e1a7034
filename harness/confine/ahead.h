#pragma once
// Step::ahead for what is mounted: which steps of a new root can be made before the target is
// there. All that shows nothing of the target's pid and ipc namespaces, where the order does not
// matter, at paths that lead by no link of somebody else's. Internal to confine/.
#include <string>
#include <vector>

#include "harness/confine/assembler.h"
#include "harness/policy/policy.h"

namespace ringfence {

// Each call says what holds for the steps that follow it.
class Ahead {
 public:
  // `fresh`: the root is a tmpfs that nobody has put anything into. Otherwise nothing is ahead.
  Ahead(Assembler& plan, bool fresh) : plan_(plan), fresh_(fresh) {}
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;
  ~Ahead() { plan_.ahead(false); }

  // `file`: what is bound is none that has paths below it.
  void mount(const Mount& mount, bool file);
  // What is done at a path; `bound`: with what the spawner has at one.
  void path(const std::string& path, bool bound);
  void default_devices();
  void others(bool ahead) { plan_.ahead(ahead && fresh_); }

  // The first place for which something is taken from a path of the spawner's, late: in a root that
  // was entered before, there is no such path. Empty for none.
  [[nodiscard]] const std::string& bound_late() const { return bound_late_; }

 private:
  [[nodiscard]] bool free(const std::string& path) const;
  void set(bool ahead, bool bound, const std::string& path);

  Assembler& plan_;
  bool fresh_;
  std::vector<std::string> late_;     // where something is mounted late
  std::vector<std::string> foreign_;  // where a directory of somebody else's is bound
  std::string bound_late_;
};

}  // namespace ringfence
