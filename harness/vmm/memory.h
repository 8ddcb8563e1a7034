#pragma once
// GuestMemory: the guest's physical memory as regions, each one a KVM slot. Regions may be
// read-only for the guest, may show memory that another region shows, too (firmware in two places,
// the wrap at 1 MiB with A20 off), and leave holes, which the guest reaches as MMIO.
//
// Owns the memory; has to outlive the Vm's last run. Addresses are guest-physical, sizes in bytes.
// Accesses from the harness are bounds-checked and may cross regions; they write read-only regions
// as well. Errors: usage for a region that cannot be, EFAULT for an access outside.
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "harness/vmm/kvm/kvm.h"

namespace ringfence::vmm {

inline constexpr uint64_t kPage = 4096;

class GuestMemory {
 public:
  struct Region {
    uint64_t address = 0;
    uint64_t size = 0;
    size_t backing = 0;   // which memory
    uint64_t offset = 0;  // where in it
    bool read_only = false;
    bool logged = false;  // its writes are in the dirty log
    uint32_t slot = 0;
    size_t own_backing = 0;  // what it shows but for show()
    uint64_t own_offset = 0;
  };
  struct Options {
    bool read_only = false;
    bool log_dirty = false;
  };

  GuestMemory() = default;
  GuestMemory(GuestMemory&&) = default;
  GuestMemory& operator=(GuestMemory&&) = default;

  // Zeroed memory of its own at `address`; the region's index. Page-aligned, not over another.
  Result<size_t> add(const Vm& vm, uint64_t address, uint64_t size, const Options& options);
  Result<size_t> add(const Vm& vm, uint64_t address, uint64_t size) {
    return add(vm, address, size, Options{});
  }
  // `size` bytes of the memory of region `of`, from its offset `from` on, also at `address`.
  Result<size_t> add_alias(const Vm& vm, uint64_t address, uint64_t size, size_t of, uint64_t from,
                           const Options& options);
  // Lets a region show other memory: that of region `of` from `from` on.
  Status show(const Vm& vm, size_t region, size_t of, uint64_t from);
  // ... and its own again.
  Status show_own(const Vm& vm, size_t region);
  // Changes what the guest may do with a region.
  Status protect(const Vm& vm, size_t region, bool read_only);
  // Takes the region out of the guest's sight; its memory stays.
  Status remove(const Vm& vm, size_t region);

  [[nodiscard]] const std::vector<Region>& regions() const { return regions_; }
  [[nodiscard]] bool contains(uint64_t address, uint64_t size) const;

  Status write(uint64_t address, std::span<const uint8_t> bytes);
  Status read(uint64_t address, std::span<uint8_t> bytes) const;
  template <typename T>
  [[nodiscard]] Result<T> load(uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    auto ok = read(address, {reinterpret_cast<uint8_t*>(&value), sizeof value});
    if (!ok) return tl::unexpected(ok.error());
    return value;
  }
  template <typename T>
  Status store(uint64_t address, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    return write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }

  // Numbers of the pages in logged regions that the guest wrote since the last call
  // (KVM_GET_DIRTY_LOG, which also has the writes of the kernel on the guest's behalf).
  Result<std::vector<uint64_t>> take_dirty(const Vm& vm);

  // Keeps a copy of all logged regions; rewind() then writes back the pages that are dirty since.
  Status keep(const Vm& vm);
  Result<size_t> rewind(const Vm& vm);

 private:
  struct Piece {  // of a region, contiguous in this process
    uint8_t* data = nullptr;
    uint64_t size = 0;
  };
  [[nodiscard]] Piece at(uint64_t address) const;
  [[nodiscard]] std::span<uint8_t> bytes_of(const Region& region) const;
  Status change(const Vm& vm, const Region& from, const Region& to);
  // Notes which pages of the memory behind a region are dirty.
  Status harvest(const Vm& vm, const Region& region);
  void note_write(uint64_t address, uint64_t size);
  struct DirtyPage {
    size_t backing = 0;
    uint64_t offset = 0;
  };
  Status check_place(uint64_t address, uint64_t size) const;
  Status apply(const Vm& vm, const Region& region) const;

  std::vector<Mapping> backings_;
  std::vector<std::vector<uint8_t>> kept_;  // by backing
  std::vector<Region> regions_;
  std::vector<DirtyPage> dirty_;  // since keep()
};

}  // namespace ringfence::vmm
