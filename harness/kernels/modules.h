#pragma once
// Kernel modules: which files a set of modules needs, in the order in which they have to be loaded.
// Read from the modules' own .modinfo (depends=, softdep=pre:, alias=), since a kernel package has
// no modules.dep before it is installed. Source: modules.dep(5), include/linux/module.h.
#include <map>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

struct KernelModule {
  std::string name;   // with underscores: "kvm_amd"
  std::string path;   // of the file: .ko, .ko.gz, .ko.xz, .ko.zst
  std::string bytes;  // unpacked
  std::vector<std::string> depends;
  std::vector<std::string> aliases;  // fnmatch patterns: "fs-overlay"
};

class ModuleTree {
 public:
  // Of a directory with kernel/ and modules.builtin in it, or below it: lib/modules/RELEASE.
  static Result<ModuleTree> open(const std::string& directory);

  [[nodiscard]] bool has(std::string_view name) const;
  // Compiled in: there is nothing to load.
  [[nodiscard]] bool builtin(std::string_view name) const;
  // The modules and what they depend on, dependencies first. A name that is neither a file nor
  // compiled in is an error (unsupported) with the nearest name; so is a circle.
  [[nodiscard]] Result<std::vector<KernelModule>> closure(
      const std::vector<std::string>& names) const;

 private:
  std::map<std::string, std::string, std::less<>> files_;    // name -> path
  std::map<std::string, std::string, std::less<>> builtin_;  // name -> path in modules.builtin
};

// "kvm-amd" and "kvm_amd" are one module.
std::string module_name(std::string_view name);

}  // namespace ringfence
