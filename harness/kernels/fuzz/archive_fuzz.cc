// libFuzzer: no bytes may crash the reader of packages and packed modules, and none of them may
// come to lie outside of the directory that they are unpacked into. It works in a directory of its
// own below TMPDIR, which should be in memory.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "harness/kernels/archive.h"

namespace {

namespace fs = std::filesystem;

// Removed when the process ends.
class Scratch {
 public:
  Scratch() : path_((fs::temp_directory_path() / "ringfence-fuzz-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const fs::path path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Scratch scratch;
  const fs::path file = scratch.path() / "file", to = scratch.path() / "to";
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  fs::create_directory(to);
  (void)ringfence::read_packed(file.string());
  (void)ringfence::unpack_package(file.string(), to.string());
  std::error_code ignored;
  fs::remove_all(to, ignored);
  // Nothing beside what was made here.
  for (const auto& entry : fs::directory_iterator(scratch.path())) {
    if (entry.path() != file) std::abort();
  }
  return 0;
}
