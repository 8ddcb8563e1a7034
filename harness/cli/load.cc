#include "harness/cli/load.h"

#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>

#include "harness/policy/read.h"

namespace ringfence::cli {
namespace {

bool is_directory(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string absolute(const std::string& path) {
  std::error_code failed;
  const auto full = std::filesystem::canonical(path, failed);
  return failed ? path : full.string();
}

}  // namespace

Result<Loaded> load(const std::string& name_or_file, const std::string& rootfs) {
  auto read = load_policy(name_or_file);
  if (!read) return tl::unexpected(read.error());
  for (const Warning& w : read->warnings) {
    fmt::print(stderr, "ringfence: warning: {}: {}: {}\n", w.file, w.pointer, w.text);
  }
  Loaded loaded{std::move(read->policy), {}};
  if (!rootfs.empty()) {
    if (!is_directory(rootfs)) {
      return usage_error("--rootfs", rootfs, "must be an existing directory");
    }
    loaded.rootfs = absolute(rootfs);
    if (!loaded.policy.root) loaded.policy.root = Policy::Root{};
  } else if (loaded.policy.root && !loaded.policy.root->path.empty()) {
    // The reader has put the bundle before it.
    const std::string& path = loaded.policy.root->path;
    if (is_directory(path)) loaded.rootfs = absolute(path);
  }
  // A decoy host stands elsewhere.
  for (Mount& mount : loaded.policy.mounts) {
    if ((mount.flags & MS_BIND) != 0) mount.source = absolute(mount.source);
  }
  return loaded;
}

}  // namespace ringfence::cli
