#pragma once
// A loop device of one's own, for tests of limits on block I/O.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

#include "harness/base/unique_fd.h"

namespace ringfence {

// A block device over a file without a name. It goes with its last descriptor.
class LoopDevice {
 public:
  static std::optional<LoopDevice> make() {
    const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    LoopDevice made;
    made.file_ = UniqueFd(open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!control || !made.file_ || ftruncate(made.file_.get(), kSize) < 0) return {};
    for (int tries = 0; tries < 10; ++tries) {  // somebody else may take the same number
      const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
      if (number < 0) return {};
      made.path_ = fmt::format("/dev/loop{}", number);
      made.device_ = UniqueFd(open(made.path_.c_str(), O_RDWR | O_CLOEXEC));
      if (!made.device_) return {};
      loop_config config{};
      config.fd = static_cast<uint32_t>(made.file_.get());
      config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
      if (ioctl(made.device_.get(), LOOP_CONFIGURE, &config) == 0) return made;
    }
    return {};
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::pair<int64_t, int64_t> number() const {
    struct stat st {};
    fstat(device_.get(), &st);
    return {major(st.st_rdev), minor(st.st_rdev)};
  }

 private:
  static constexpr off_t kSize = 16 << 20;
  std::string path_;
  UniqueFd file_;
  UniqueFd device_;
};

}  // namespace ringfence
