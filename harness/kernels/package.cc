#include "harness/kernels/package.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "harness/base/file.h"
#include "harness/base/suggest.h"
#include "harness/kernels/archive.h"
#include "harness/kernels/initramfs.h"
#include "harness/kernels/program.h"

namespace ringfence {
namespace {

namespace fs = std::filesystem;

// A directory that goes when it is not kept.
class Scratch {
 public:
  static Result<Scratch> below(const std::string& directory) {
    std::error_code failed;
    fs::create_directories(directory, failed);
    if (failed) return system_error("create", directory, failed.value());
    std::string path = directory + "/.new.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return system_error("mkdtemp", path);
    (void)::chmod(path.c_str(), 0755);  // apt's own user fetches into it
    return Scratch(std::move(path));
  }
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  // Under its final name; somebody who was quicker has made the same.
  Status keep_as(const std::string& name) {
    std::error_code failed;
    fs::rename(path_, name, failed);
    if (!failed) {
      path_.clear();
      return {};
    }
    if (fs::exists(name)) return {};
    return system_error("rename", name, failed.value());
  }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

std::string place(const std::string& cache) { return cache + "/packages"; }

Result<std::string> unpack_as(const std::string& package, const std::string& name,
                              const std::string& cache) {
  std::string directory = place(cache) + "/" + name;
  if (fs::is_directory(directory)) return directory;
  auto scratch = Scratch::below(place(cache));
  if (!scratch) return tl::unexpected(scratch.error());
  if (auto ok = unpack_package(package, scratch->path()); !ok) return tl::unexpected(ok.error());
  if (auto ok = scratch->keep_as(directory); !ok) return tl::unexpected(ok.error());
  return directory;
}

std::vector<std::string> cached(const std::string& cache) {
  auto names = list_directory(place(cache));
  return names ? std::move(*names) : std::vector<std::string>{};
}

}  // namespace

bool version_before(const std::string& a, const std::string& b) {
  return ::strverscmp(a.c_str(), b.c_str()) < 0;
}

Result<std::string> unpacked_package(const std::string& name, const std::string& cache) {
  // A kernel's package has its version in its name and never changes.
  std::string directory = place(cache) + "/" + name;
  if (fs::is_directory(directory)) return directory;
  auto scratch = Scratch::below(place(cache));
  if (!scratch) return tl::unexpected(scratch.error());
  auto fetched = output_of({"apt-get", "download", "-q", name}, scratch->path());
  if (!fetched) {
    Error error = fetched.error();
    error.what = "fetch Debian package";
    error.object = name;
    return tl::unexpected(error);
  }
  auto files = list_directory(scratch->path());
  if (!files) return tl::unexpected(files.error());
  for (const auto& file : *files) {
    if (file.ends_with(".deb")) return unpack_as(scratch->path() + "/" + file, name, cache);
  }
  return system_error("fetch Debian package", name, ENOENT, "apt-get left no file");
}

Result<std::string> unpacked_file(const std::string& path, const std::string& cache) {
  auto bytes = read_file(path, size_t{1} << 30);
  if (!bytes) return bytes;
  auto digest = sha256(*bytes);
  if (!digest) return digest;
  return unpack_as(path, "file-" + *digest, cache);
}

Result<std::vector<std::string>> package_names(const std::string& prefix,
                                               const std::string& cache) {
  std::set<std::string> names;
  for (const auto& name : cached(cache)) {
    if (name.starts_with(prefix)) names.insert(name);
  }
  auto known = output_of({"apt-cache", "pkgnames", prefix});
  if (known) {
    for (const auto name : split(*known, '\n')) names.emplace(name);
  } else if (names.empty()) {
    return tl::unexpected(known.error());
  }
  return std::vector<std::string>(names.begin(), names.end());
}

Status add_package(Initramfs& files, const std::string& name, const std::string& cache) {
  auto directory = unpacked_package(name, cache);
  if (!directory) {
    Error error = directory.error();
    error.kind = Error::Kind::usage;
    error.hint =
        "neither a file, nor a program in PATH, nor a package that could be fetched: " + error.hint;
    return tl::unexpected(error);
  }
  std::error_code failed;
  for (fs::recursive_directory_iterator at(*directory, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::string source = at->path().string();
    const std::string path = source.substr(directory->size());
    if (path.starts_with("/usr/share/doc") || path.starts_with("/usr/share/man")) continue;
    if (at->is_symlink(failed)) {
      files.add_link(path, fs::read_symlink(at->path(), failed).string());
      continue;
    }
    if (!at->is_regular_file(failed)) continue;
    const bool program = ::access(source.c_str(), X_OK) == 0;
    if (auto ok = program ? files.add_program(path, source) : files.add_file(path, source); !ok) {
      return ok;
    }
  }
  if (failed) return system_error("read package", name, failed.value());
  return {};
}

}  // namespace ringfence
