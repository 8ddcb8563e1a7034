#pragma once
// The initramfs of a machine: the ringfence program as its agent, the libraries that it needs, a
// busybox where there is one, kernel modules, and whatever else is asked for. Made without root;
// the same contents give the same bytes, and a cache keeps them by their digest.
//
// Source: Documentation/filesystems/ramfs-rootfs-initramfs.rst.
#include <map>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/kernels/archive.h"

namespace ringfence {

class Initramfs {
 public:
  // A file of this host, as it is. `mode` 0: its own permissions.
  Status add_file(const std::string& path, const std::string& source, uint32_t mode = 0);
  void add_text(const std::string& path, std::string content, uint32_t mode = 0644);
  void add_link(const std::string& path, std::string target);
  void add_directory(const std::string& path, uint32_t mode = 0755);
  // A program of this host with its interpreter and the libraries that the interpreter says it
  // loads, at their own paths. A script brings nothing but itself.
  Status add_program(const std::string& path, const std::string& source);
  // The modules of `directory` (lib/modules/RELEASE) with these names and what they depend on;
  // of `wanted` those that there are, `needed` all (unsupported error, with the name).
  Status add_modules(const std::string& directory, const std::vector<std::string>& wanted,
                     const std::vector<std::string>& needed);

  // SHA-256 over everything, in hex.
  [[nodiscard]] Result<std::string> digest() const;
  // Path of the archive below `cache` (created when it is not there). Safe for several at once.
  [[nodiscard]] Result<std::string> write(const std::string& cache) const;

 private:
  void put(const std::string& path, CpioEntry entry);
  std::map<std::string, CpioEntry> entries_;
};

// What a machine gets for a run.
struct InitramfsPlan {
  std::string program;  // the ringfence program of this host, which becomes the agent
  std::string modules;  // lib/modules/RELEASE, or empty
  std::vector<std::string> needed_modules;
  // Further programs and files: a path (goes to the same path), a program in PATH, or the name of a
  // Debian package, whose files go in with the libraries that its programs need.
  std::vector<std::string> with;
  std::map<std::string, std::string> texts;  // path in the guest -> content
};
Result<Initramfs> plan_initramfs(const InitramfsPlan& plan, const std::string& cache);

// Where kernels and archives are kept between runs: $RINGFENCE_CACHE, $XDG_CACHE_HOME/ringfence,
// ~/.cache/ringfence, or /var/cache/ringfence.
std::string cache_directory();
// SHA-256 in hex.
Result<std::string> sha256(std::string_view bytes);
// Writes a file whole or not at all: into `path` + a suffix of its own, then rename(2).
Status write_whole(const std::string& path, std::string_view bytes);

}  // namespace ringfence
