#pragma once
// Mapping owns one mapping of memory, made and undone through the syscall seam.
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "harness/base/number.h"
#include "harness/base/result.h"
#include "harness/base/sys.h"

namespace ringfence::vmm {

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      reset();
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { reset(); }

  // mmap(2): of a descriptor, or anonymous where `fd` is -1. `what` names it in the error.
  static Result<Mapping> map(size_t size, int protection, int flags, int fd, std::string what) {
    const int64_t r = sys::call(SYS_mmap, 0, size, protection, flags, static_cast<uint64_t>(fd), 0);
    if (r < 0) return system_error("mmap", std::move(what), static_cast<int>(-r));
    Mapping made;
    made.data_ = address_of_result<uint8_t>(r);
    made.size_ = size;
    return made;
  }

  [[nodiscard]] uint8_t* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::span<uint8_t> bytes() const { return {data_, size_}; }

 private:
  void reset() {
    if (data_ != nullptr) (void)sys::call(SYS_munmap, sys::arg(data_), size_);
    data_ = nullptr;
  }
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ringfence::vmm
