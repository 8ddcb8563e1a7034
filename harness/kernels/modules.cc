#include "harness/kernels/modules.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include "harness/base/file.h"
#include "harness/base/suggest.h"
#include "harness/kernels/archive.h"
#include "harness/kernels/elf.h"

namespace ringfence {
namespace {

namespace fs = std::filesystem;

// "kernel/arch/x86/kvm/kvm-amd.ko.xz": "kvm_amd"; empty for what is no module.
std::string name_of_file(const std::string& path) {
  const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
  const size_t dot = file.find(".ko");
  if (dot == std::string_view::npos) return {};
  const auto suffix = file.substr(dot);
  for (const std::string_view known : {".ko", ".ko.gz", ".ko.xz", ".ko.zst"}) {
    if (suffix == known) return module_name(file.substr(0, dot));
  }
  return {};
}

void add_words(std::vector<std::string>& to, std::string_view text, char separator) {
  for (const auto word : split(text, separator)) to.push_back(module_name(word));
}

}  // namespace

std::string module_name(std::string_view name) {
  std::string plain(name);
  std::replace(plain.begin(), plain.end(), '-', '_');
  return plain;
}

Result<ModuleTree> ModuleTree::open(const std::string& directory) {
  ModuleTree tree;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(directory, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::string path = at->path().string();
    std::string name = name_of_file(path);
    if (!name.empty()) tree.files_.emplace(std::move(name), path);
  }
  if (failed) return system_error("read modules", directory, failed.value());
  auto list = read_file(directory + "/modules.builtin");
  if (list) {
    for (const auto line : split(*list, '\n')) {
      tree.builtin_.emplace(name_of_file(std::string(line)), line);
    }
  }
  return tree;
}

bool ModuleTree::has(std::string_view name) const { return files_.contains(module_name(name)); }

bool ModuleTree::builtin(std::string_view name) const {
  return builtin_.contains(module_name(name));
}

Result<std::vector<KernelModule>> ModuleTree::closure(const std::vector<std::string>& names) const {
  std::vector<KernelModule> order;
  std::set<std::string> done, open;
  std::function<Status(const std::string&, bool, const std::string&)> visit =
      [&](const std::string& name, bool optional, const std::string& for_whom) -> Status {
    if (done.contains(name) || builtin(name)) return {};
    const auto file = files_.find(name);
    if (file == files_.end()) {
      if (optional) return {};
      std::vector<std::string> known;
      for (const auto& [other, path] : files_) known.push_back(other);
      const std::string near = nearest(name, known);
      return unsupported_error("load kernel module", name, ENOENT,
                               (for_whom.empty() ? "" : "needed by " + for_whom + "; ") +
                                   "this kernel has no such module" +
                                   (near.empty() ? "" : "; the nearest is " + near));
    }
    if (!open.insert(name).second) {
      return unsupported_error("load kernel module", name, ELOOP, "it depends on itself");
    }
    KernelModule module{name, file->second, {}, {}, {}};
    auto bytes = read_packed(module.path);
    if (!bytes) return tl::unexpected(bytes.error());
    module.bytes = std::move(*bytes);
    auto info = module_info(module.bytes, module.path);
    if (!info) return tl::unexpected(info.error());
    std::vector<std::string> before;
    for (const std::string_view line : *info) {
      constexpr std::string_view kDepends = "depends=", kSoft = "softdep=pre: ", kAlias = "alias=";
      if (line.starts_with(kDepends)) add_words(module.depends, line.substr(kDepends.size()), ',');
      if (line.starts_with(kAlias)) module.aliases.emplace_back(line.substr(kAlias.size()));
      if (line.starts_with(kSoft)) {
        const auto rest = line.substr(kSoft.size());
        add_words(before, rest.substr(0, rest.find(" post:")), ' ');
      }
    }
    for (const auto& other : before) {
      if (auto ok = visit(other, true, name); !ok) return ok;
    }
    for (const auto& other : module.depends) {
      if (auto ok = visit(other, false, name); !ok) return ok;
    }
    open.erase(name);
    done.insert(name);
    order.push_back(std::move(module));
    return {};
  };
  for (const auto& name : names) {
    if (auto ok = visit(module_name(name), false, {}); !ok) return tl::unexpected(ok.error());
  }
  return order;
}

}  // namespace ringfence
