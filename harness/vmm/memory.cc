#include "harness/vmm/memory.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringfence::vmm {
namespace {

bool is_aligned(uint64_t value) { return value % kPage == 0; }

std::string range(uint64_t address, uint64_t size) {
  return fmt::format("{:#x}, {:#x} bytes", address, size);
}

}  // namespace

Status GuestMemory::check_place(uint64_t address, uint64_t size) const {
  if (size == 0 || !is_aligned(address) || !is_aligned(size) || address + size < address) {
    return usage_error("add guest memory", range(address, size),
                       "whole pages of 4096 bytes, at least one");
  }
  for (const Region& r : regions_) {
    if (r.size != 0 && address < r.address + r.size && r.address < address + size) {
      return usage_error("add guest memory", range(address, size),
                         "overlaps the region at " + range(r.address, r.size));
    }
  }
  return {};
}

Status GuestMemory::apply(const Vm& vm, const Region& region) const {
  const uint32_t flags =
      (region.read_only ? KVM_MEM_READONLY : 0U) | (region.logged ? KVM_MEM_LOG_DIRTY_PAGES : 0U);
  return vm.set_memory(region.slot, region.address, bytes_of(region), flags);
}

std::span<uint8_t> GuestMemory::bytes_of(const Region& region) const {
  return backings_[region.backing].bytes().subspan(region.offset, region.size);
}

Result<size_t> GuestMemory::add(const Vm& vm, uint64_t address, uint64_t size,
                                const Options& options) {
  if (auto ok = check_place(address, size); !ok) return tl::unexpected(ok.error());
  auto memory = Mapping::map(size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, "guest memory");
  if (!memory) return tl::unexpected(memory.error());
  backings_.push_back(std::move(*memory));
  Region region{address,
                size,
                backings_.size() - 1,
                0,
                options.read_only,
                options.log_dirty,
                static_cast<uint32_t>(regions_.size()),
                backings_.size() - 1,
                0};
  if (auto ok = apply(vm, region); !ok) return tl::unexpected(ok.error());
  regions_.push_back(region);
  return regions_.size() - 1;
}

Result<size_t> GuestMemory::add_alias(const Vm& vm, uint64_t address, uint64_t size, size_t of,
                                      uint64_t from, const Options& options) {
  if (auto ok = check_place(address, size); !ok) return tl::unexpected(ok.error());
  const Region& source = regions_.at(of);
  if (!is_aligned(from) || source.offset + from + size > backings_[source.backing].size()) {
    return usage_error("alias guest memory", range(from, size), "past the end of what it shows");
  }
  Region region{address,
                size,
                source.backing,
                source.offset + from,
                options.read_only,
                options.log_dirty,
                static_cast<uint32_t>(regions_.size()),
                source.backing,
                source.offset + from};
  if (auto ok = apply(vm, region); !ok) return tl::unexpected(ok.error());
  regions_.push_back(region);
  return regions_.size() - 1;
}

// A slot cannot change what it is: it goes and comes again, and its dirty log goes with it.
Status GuestMemory::change(const Vm& vm, const Region& from, const Region& to) {
  if (!kept_.empty()) {
    if (auto ok = harvest(vm, from); !ok) return ok;
  }
  if (auto ok = vm.set_memory(from.slot, from.address, {}, 0); !ok) return ok;
  regions_[from.slot] = to;
  return to.size == 0 ? Status() : apply(vm, to);
}

Status GuestMemory::show(const Vm& vm, size_t region, size_t of, uint64_t from) {
  Region target = regions_.at(region);
  const Region& source = regions_.at(of);
  const uint64_t offset = source.offset + from;
  if (!is_aligned(from) || offset + target.size > backings_[source.backing].size()) {
    return usage_error("show guest memory", range(from, target.size),
                       "past the end of what it shows");
  }
  target.backing = source.backing;
  target.offset = offset;
  return change(vm, Region(regions_[region]), target);
}

Status GuestMemory::show_own(const Vm& vm, size_t region) {
  Region target = regions_.at(region);
  target.backing = target.own_backing;
  target.offset = target.own_offset;
  return change(vm, Region(regions_[region]), target);
}

Status GuestMemory::protect(const Vm& vm, size_t region, bool read_only) {
  Region target = regions_.at(region);
  target.read_only = read_only;
  return change(vm, Region(regions_[region]), target);
}

Status GuestMemory::remove(const Vm& vm, size_t region) {
  Region target = regions_.at(region);
  target.size = 0;
  return change(vm, Region(regions_[region]), target);
}

GuestMemory::Piece GuestMemory::at(uint64_t address) const {
  for (const Region& r : regions_) {
    if (address < r.address || address - r.address >= r.size) continue;
    const uint64_t inside = address - r.address;
    return {bytes_of(r).data() + inside, r.size - inside};
  }
  return {};
}

bool GuestMemory::contains(uint64_t address, uint64_t size) const {
  while (size > 0) {
    const Piece piece = at(address);
    if (piece.size == 0) return false;
    const uint64_t step = std::min(size, piece.size);
    address += step;
    size -= step;
  }
  return true;
}

Status GuestMemory::write(uint64_t address, std::span<const uint8_t> bytes) {
  if (!contains(address, bytes.size())) {
    return system_error("write guest memory", range(address, bytes.size()), EFAULT,
                        "outside of every region");
  }
  while (!bytes.empty()) {
    const Piece piece = at(address);
    const size_t step = std::min<uint64_t>(bytes.size(), piece.size);
    std::memcpy(piece.data, bytes.data(), step);
    if (!kept_.empty()) note_write(address, step);
    address += step;
    bytes = bytes.subspan(step);
  }
  return {};
}

void GuestMemory::note_write(uint64_t address, uint64_t size) {
  for (uint64_t page = address / kPage; page <= (address + size - 1) / kPage; ++page) {
    for (const Region& r : regions_) {
      const uint64_t at = page * kPage;
      if (at >= r.address && at - r.address < r.size) {
        dirty_.push_back({r.backing, r.offset + (at - r.address)});
      }
    }
  }
}

Status GuestMemory::read(uint64_t address, std::span<uint8_t> bytes) const {
  if (!contains(address, bytes.size())) {
    return system_error("read guest memory", range(address, bytes.size()), EFAULT,
                        "outside of every region");
  }
  while (!bytes.empty()) {
    const Piece piece = at(address);
    const size_t step = std::min<uint64_t>(bytes.size(), piece.size);
    std::memcpy(bytes.data(), piece.data, step);
    address += step;
    bytes = bytes.subspan(step);
  }
  return {};
}

namespace {
template <typename F>
void for_each_bit(const std::vector<uint64_t>& bits, F&& f) {
  for (size_t word = 0; word < bits.size(); ++word) {
    for (uint64_t left = bits[word]; left != 0; left &= left - 1) {
      f(word * 64 + static_cast<uint64_t>(__builtin_ctzll(left)));
    }
  }
}
}  // namespace

Status GuestMemory::harvest(const Vm& vm, const Region& region) {
  if (!region.logged || region.size == 0) return {};
  auto bits = vm.dirty_log(region.slot, region.size / kPage);
  if (!bits) return tl::unexpected(bits.error());
  for_each_bit(*bits, [&](uint64_t page) {
    dirty_.push_back({region.backing, region.offset + page * kPage});
  });
  return {};
}

Result<std::vector<uint64_t>> GuestMemory::take_dirty(const Vm& vm) {
  std::vector<uint64_t> pages;
  for (const Region& r : regions_) {
    if (!r.logged || r.size == 0) continue;
    auto bits = vm.dirty_log(r.slot, r.size / kPage);
    if (!bits) return tl::unexpected(bits.error());
    for_each_bit(*bits, [&](uint64_t page) { pages.push_back(r.address / kPage + page); });
  }
  std::sort(pages.begin(), pages.end());
  return pages;
}

Status GuestMemory::keep(const Vm& vm) {
  if (auto dirty = take_dirty(vm); !dirty) return tl::unexpected(dirty.error());
  kept_.clear();
  dirty_.clear();
  for (const Mapping& m : backings_) {
    const auto bytes = m.bytes();
    kept_.emplace_back(bytes.begin(), bytes.end());
  }
  return {};
}

Result<size_t> GuestMemory::rewind(const Vm& vm) {
  if (kept_.empty()) return usage_error("rewind guest memory", {}, "nothing was kept");
  for (const Region& r : regions_) {
    if (auto ok = harvest(vm, r); !ok) return tl::unexpected(ok.error());
  }
  for (const DirtyPage& page : dirty_) {
    std::memcpy(backings_[page.backing].data() + page.offset,
                kept_[page.backing].data() + page.offset, kPage);
  }
  const size_t count = dirty_.size();
  dirty_.clear();
  return count;
}

}  // namespace ringfence::vmm
