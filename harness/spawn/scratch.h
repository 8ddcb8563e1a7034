#pragma once
// A directory of a test's own, in /var/tmp (tests mount their roots on /tmp), that goes with it.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace ringfence {

class Scratch {
 public:
  Scratch() {
    char name[] = "/var/tmp/ringfence-test-XXXXXX";
    if (mkdtemp(static_cast<char*>(name)) != nullptr) path_ = static_cast<char*>(name);
    if (ok()) chmod(path_.c_str(), 0755);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    for (auto it = mounted_.rbegin(); it != mounted_.rend(); ++it) umount2(it->c_str(), MNT_DETACH);
    if (ok()) {
      std::error_code ignored;
      std::filesystem::remove_all(path_, ignored);
    }
  }
  [[nodiscard]] bool ok() const { return !path_.empty(); }
  [[nodiscard]] std::string path(const std::string& below) const { return path_ + "/" + below; }
  void write(const std::string& below, const std::string& text) const {
    std::ofstream(path(below)) << text;
  }
  void link(const std::string& to, const std::string& below) const {
    std::filesystem::create_symlink(to, path(below));
  }
  // A file system of its own there; false for who may not mount.
  [[nodiscard]] bool tmpfs(const std::string& below, unsigned long flags = 0) const {
    if (mount("tmpfs", path(below).c_str(), "tmpfs", flags, "mode=755,size=4m") != 0) return false;
    mounted_.push_back(path(below));
    return true;
  }

 private:
  std::string path_;
  mutable std::vector<std::string> mounted_;
};

}  // namespace ringfence
