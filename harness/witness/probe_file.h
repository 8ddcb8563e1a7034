#pragma once
// ProbeFile: a user's own BPF object (`--probe FILE.bpf.o`), read and checked before anything is
// loaded: that it is a BPF object for this machine, made with probes/bpf/probe.h, whose programs
// only look and can be attached by their section's name. See probes/bpf/probe.h for what is
// allowed.
//
// libbpf reads the object in a child first, since the file may be damaged and libbpf may not
// survive it. Needs no privilege. Sources: elf(5), Documentation/bpf/libbpf/program_types.rst.
#include <functional>
#include <string>
#include <string_view>

#include "harness/base/result.h"

struct bpf_object;

namespace ringfence {

struct ProbeFile {
  std::string path;
  std::string name;   // of the file, without .bpf.o: what its lines are told under
  std::string bytes;  // the object
};

// Errors are of kind usage, with the file and its section.
Result<ProbeFile> read_probe(const std::string& path);

// Whether a program in this section of an object can be attached by its name, and only looks.
bool is_probe_section(std::string_view section);

// Runs `body` in a child and hands back what it returned; a child that dies, or that takes longer
// than ten seconds, is an error `damaged`. The child's copies of the harness's objects are dropped
// without their destructors. The calling process must have one thread.
Status in_sacrificial_child(const std::function<Status()>& body, const Error& damaged);

// What libbpf says while this object lives, and does not print: its warnings, the last ones.
class LibbpfWords {
 public:
  LibbpfWords();
  ~LibbpfWords();
  LibbpfWords(const LibbpfWords&) = delete;
  LibbpfWords& operator=(const LibbpfWords&) = delete;
  [[nodiscard]] std::string last() const;

 private:
  void* before_;
};

}  // namespace ringfence
