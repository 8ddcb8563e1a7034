#pragma once
// Probes: users' own BPF objects, loaded and attached once, beside a Witness. Their lines are in
// the story of each watch (StoryLine::probe), what they counted is read here. No fact of a trial is
// in a map that they share, so no verdict rests on them.
//
// Needs what the Witness needs, and of the kernel the hooks that the probe names: where it has
// them not, or its verifier refuses a program, attach() is `unsupported` with the program, its
// section and the verifier's last lines. A uprobe's path or symbol that is not there is `usage`.
// Everything is held by descriptors: nothing stays when the object is gone.
//
// Sources: docs/recipes/probe.md, Documentation/bpf/libbpf/, bpf(2).
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/witness/probe_file.h"
#include "harness/witness/witness.h"

struct bpf_object;

namespace ringfence {

struct ProbeCount {
  std::string probe;  // ProbeFile::name
  std::string name;   // any bytes
  uint64_t value = 0;
};

class Probes {
 public:
  // All or none. The Witness must live longer. The process `left_out` is not looked at, though it
  // is watched (0: none).
  static Result<Probes> attach(const Witness& witness, std::span<const ProbeFile> files,
                               int left_out = 0);
  Probes(Probes&&) noexcept;
  Probes& operator=(Probes&&) noexcept;
  ~Probes();

  // The name of the probe that told a line; its number when there is none.
  [[nodiscard]] std::string name(uint32_t probe) const;
  // What was counted for a watch (Watch::id()), by probe and name; and makes room for others. May
  // be called in a process forked from the one that attached.
  [[nodiscard]] Result<std::vector<ProbeCount>> take_counts(uint64_t watch) const;

 private:
  struct Loaded;
  explicit Probes(std::vector<Loaded> loaded);
  std::vector<Loaded> loaded_;
};

// Puts the Witness's maps in place of those that probes/bpf/probe.h declares, in an object that is
// not yet loaded, and tells it which probe it is.
Status share_maps(const Witness& witness, bpf_object* object, uint32_t probe, int left_out = 0);

}  // namespace ringfence
