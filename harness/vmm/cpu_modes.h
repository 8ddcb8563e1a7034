#pragma once
// The states in which a guest can begin: real, protected (16 and 32 bit), long and compatibility
// mode, with the tables that they need, built into the guest's memory.
//
// Sources: Intel SDM volume 3, chapters 3 (segments), 4 (paging), 6 (interrupts), 7 (TSS); AMD APM
// volume 2. Where the tables go is Layout, above what guests use for themselves.
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "harness/vmm/memory.h"

namespace ringfence::vmm {

enum class CpuMode : uint8_t { real, protected16, protected32, long64, compat };
std::string_view mode_name(CpuMode mode);
std::optional<CpuMode> mode_by_name(std::string_view name);

enum class PageSize : uint8_t { k4, m2, g1 };

struct Layout {
  uint64_t gdt = 0x80000;
  uint64_t idt = 0x81000;
  uint64_t tss = 0x82000;
  uint64_t tables = 0x84000;  // page tables grow up from here
  uint64_t stack = 0x7ff0;    // top
};

// Selectors of the built GDT.
struct Selectors {
  static constexpr uint16_t kCode32 = 0x08;
  static constexpr uint16_t kData32 = 0x10;
  static constexpr uint16_t kCode16 = 0x18;
  static constexpr uint16_t kData16 = 0x20;
  static constexpr uint16_t kCode64 = 0x28;
  static constexpr uint16_t kUserData = 0x30;    // DPL 3
  static constexpr uint16_t kUserCode64 = 0x38;  // DPL 3
  static constexpr uint16_t kUserCode32 = 0x40;  // DPL 3
  static constexpr uint16_t kTss = 0x48;         // two entries wide in long mode
};

// A segment descriptor's 8 bytes. `access` is the byte with type, S, DPL and P; `flags` has G, D/B,
// L and AVL in its low four bits as 8, 4, 2, 1. A limit past 20 bits is in pages.
uint64_t segment_descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags);
// What a KVM segment register holds after loading `selector` with this descriptor.
kvm_segment loaded_segment(uint16_t selector, uint64_t descriptor);

// The GDT above; with a TSS at layout.tss of the mode's kind.
class Gdt {
 public:
  explicit Gdt(const Layout& layout, bool long_mode);
  [[nodiscard]] const std::vector<uint64_t>& entries() const { return entries_; }
  [[nodiscard]] kvm_segment segment(uint16_t selector) const;
  [[nodiscard]] kvm_dtable table() const;
  Status write(GuestMemory& memory) const;

 private:
  uint64_t address_;
  std::vector<uint64_t> entries_;
};

// An IDT of 256 gates, none present until set. Long mode gates have 16 bytes, the others 8.
class Idt {
 public:
  Idt(const Layout& layout, bool long_mode);
  // `type`: 0xE interrupt gate, 0xF trap gate (long and 32 bit); 6 and 7 those of 16 bit.
  void set(uint8_t vector, uint16_t selector, uint64_t offset, uint8_t type = 0xe, uint8_t dpl = 0,
           uint8_t ist = 0);
  [[nodiscard]] kvm_dtable table() const;
  Status write(GuestMemory& memory) const;

 private:
  uint64_t address_;
  size_t width_;
  std::vector<uint8_t> bytes_;
};

// A TSS with ring 0 stack `rsp0` and, in long mode, `ist1`: 104 bytes.
std::vector<uint8_t> task_state(bool long_mode, uint64_t rsp0, uint64_t ist1);

// Four-level tables that map [0, `size`) to itself in pages of one size, present, writable and for
// ring 3, too. Returns CR3. 4 KiB pages up to 64 MiB, the larger ones up to 512 GiB.
class PageTables {
 public:
  PageTables(GuestMemory& memory, uint64_t at) : memory_(memory), next_(at) {}
  Result<uint64_t> identity(uint64_t size, PageSize page);
  // Changes the flags (bits 0-11 and 63) of the entry that maps `linear`.
  Status set_flags(uint64_t cr3, uint64_t linear, uint64_t flags);
  // Where the entry that maps `linear` is, in guest-physical memory; EFAULT where nothing does.
  [[nodiscard]] Result<uint64_t> entry_of(uint64_t cr3, uint64_t linear) const;

 private:
  Result<uint64_t> new_table();
  GuestMemory& memory_;
  uint64_t next_;
};

struct StartState {
  CpuMode mode = CpuMode::real;
  PageSize pages = PageSize::m2;  // long64 and compat
  uint64_t mapped = 16ULL << 20;  // bytes, by identity
  uint64_t ip = 0;
  Layout layout{};
};

// Fills registers for `start` (what the vCPU has is in `sregs`) and writes the tables.
Status prepare(const StartState& start, GuestMemory& memory, kvm_regs& regs, kvm_sregs& sregs);

}  // namespace ringfence::vmm
