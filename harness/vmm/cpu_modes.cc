#include "harness/vmm/cpu_modes.h"

#include <fmt/format.h>

#include <array>

namespace ringfence::vmm {
namespace {

constexpr std::array<std::string_view, 5> kModes = {"real", "protected16", "protected32", "long",
                                                    "compat"};

// CR0, CR4 and EFER: SDM volume 3, 2.5 and 2.2.1.
constexpr uint64_t kCr0Pe = 1;
constexpr uint64_t kCr0Et = 1 << 4;
constexpr uint64_t kCr0Ne = 1 << 5;
constexpr uint64_t kCr0Pg = 1ULL << 31;
constexpr uint64_t kCr4Pae = 1 << 5;
constexpr uint64_t kEferLme = 1 << 8;
constexpr uint64_t kEferLma = 1 << 10;
// Page table entries: SDM volume 3, table 4-15 and following.
constexpr uint64_t kPresent = 1;
constexpr uint64_t kWrite = 2;
constexpr uint64_t kUser = 4;
constexpr uint64_t kLarge = 1 << 7;
constexpr uint64_t kAddress = 0x000ffffffffff000;
constexpr uint64_t kFlags = 0x8000000000000fff;
constexpr size_t kEntries = 512;

// Access bytes: present, S, DPL, type. SDM volume 3, 3.4.5.
constexpr uint8_t kCode = 0x9b;      // execute, read, accessed
constexpr uint8_t kData = 0x93;      // read, write, accessed
constexpr uint8_t kUserBits = 0x60;  // DPL 3
constexpr uint8_t kTssBusy = 0x8b;   // 32-bit or 64-bit TSS, busy: as LTR leaves it
constexpr uint8_t kG = 8, kD = 4, kL = 2;

size_t index_of(uint64_t linear, int level) {
  return (linear >> (12 + 9 * (level - 1))) % kEntries;
}

}  // namespace

std::string_view mode_name(CpuMode mode) { return kModes.at(static_cast<size_t>(mode)); }

std::optional<CpuMode> mode_by_name(std::string_view name) {
  for (size_t i = 0; i < kModes.size(); ++i) {
    if (kModes.at(i) == name) return static_cast<CpuMode>(i);
  }
  return std::nullopt;
}

uint64_t segment_descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags) {
  if (limit > 0xfffff) {
    limit >>= 12;
    flags |= kG;
  }
  return (limit & 0xffffULL) | (base & 0xffffffULL) << 16 | static_cast<uint64_t>(access) << 40 |
         (limit >> 16 & 0xfULL) << 48 | (flags & 0xfULL) << 52 |
         static_cast<uint64_t>(base >> 24) << 56;
}

kvm_segment loaded_segment(uint16_t selector, uint64_t d) {
  kvm_segment s{};
  s.selector = selector;
  s.base = (d >> 16 & 0xffffff) | (d >> 56) << 24;
  s.limit = static_cast<uint32_t>((d & 0xffff) | (d >> 48 & 0xf) << 16);
  s.type = d >> 40 & 0xf;
  s.s = d >> 44 & 1;
  s.dpl = d >> 45 & 3;
  s.present = d >> 47 & 1;
  s.avl = d >> 52 & 1;
  s.l = d >> 53 & 1;
  s.db = d >> 54 & 1;
  s.g = d >> 55 & 1;
  if (s.g != 0) s.limit = s.limit << 12 | 0xfff;
  s.unusable = s.present == 0 ? 1 : 0;
  return s;
}

Gdt::Gdt(const Layout& layout, bool long_mode) : address_(layout.gdt) {
  constexpr uint32_t kFlat = 0xffffffff;
  constexpr uint32_t k64K = 0xffff;
  constexpr uint32_t kTssLimit = 103;
  entries_ = {0,
              segment_descriptor(0, kFlat, kCode, kD),
              segment_descriptor(0, kFlat, kData, kD),
              segment_descriptor(0, k64K, kCode, 0),
              segment_descriptor(0, k64K, kData, 0),
              segment_descriptor(0, kFlat, kCode, kL),
              segment_descriptor(0, kFlat, kData | kUserBits, kD),
              segment_descriptor(0, kFlat, kCode | kUserBits, kL),
              segment_descriptor(0, kFlat, kCode | kUserBits, kD),
              segment_descriptor(static_cast<uint32_t>(layout.tss), kTssLimit, kTssBusy, 0)};
  if (long_mode) entries_.push_back(layout.tss >> 32);
}

kvm_segment Gdt::segment(uint16_t selector) const {
  return loaded_segment(selector, entries_.at(selector / 8));
}

kvm_dtable Gdt::table() const {
  kvm_dtable t{};
  t.base = address_;
  t.limit = static_cast<uint16_t>(entries_.size() * 8 - 1);
  return t;
}

Status Gdt::write(GuestMemory& memory) const {
  return memory.write(address_, {reinterpret_cast<const uint8_t*>(entries_.data()),
                                 entries_.size() * sizeof(uint64_t)});
}

Idt::Idt(const Layout& layout, bool long_mode)
    : address_(layout.idt), width_(long_mode ? 16 : 8), bytes_(256 * width_, 0) {}

void Idt::set(uint8_t vector, uint16_t selector, uint64_t offset, uint8_t type, uint8_t dpl,
              uint8_t ist) {
  const uint64_t low = (offset & 0xffff) | static_cast<uint64_t>(selector) << 16 |
                       (width_ == 16 ? (ist & 7ULL) << 32 : 0) |
                       static_cast<uint64_t>(0x80 | dpl << 5 | type) << 40 |
                       (offset >> 16 & 0xffff) << 48;
  std::memcpy(bytes_.data() + vector * width_, &low, sizeof low);
  if (width_ < 16) return;
  const uint64_t high = offset >> 32;
  std::memcpy(bytes_.data() + vector * width_ + 8, &high, sizeof high);
}

kvm_dtable Idt::table() const {
  kvm_dtable t{};
  t.base = address_;
  t.limit = static_cast<uint16_t>(bytes_.size() - 1);
  return t;
}

Status Idt::write(GuestMemory& memory) const { return memory.write(address_, bytes_); }

std::vector<uint8_t> task_state(bool long_mode, uint64_t rsp0, uint64_t ist1) {
  constexpr size_t kSize = 104;
  std::vector<uint8_t> tss(kSize, 0);
  const auto put = [&](size_t at, uint64_t value, size_t width) {
    std::memcpy(tss.data() + at, &value, width);
  };
  put(4, rsp0, long_mode ? 8 : 4);
  if (long_mode) {
    put(36, ist1, 8);
  } else {
    put(8, Selectors::kData32, 2);  // SS0
  }
  put(102, kSize, 2);  // no I/O bitmap
  return tss;
}

Result<uint64_t> PageTables::new_table() {
  const uint64_t at = next_;
  const std::array<uint8_t, kPage> zero{};
  if (auto ok = memory_.write(at, zero); !ok) return tl::unexpected(ok.error());
  next_ += kPage;
  return at;
}

Result<uint64_t> PageTables::identity(uint64_t size, PageSize page) {
  const int leaf = page == PageSize::k4 ? 1 : page == PageSize::m2 ? 2 : 3;
  const uint64_t step = kPage << (9 * (leaf - 1));
  constexpr uint64_t kMostSmall = 64ULL << 20;
  constexpr uint64_t kMost = 512ULL << 30;
  if (size == 0 || size > (page == PageSize::k4 ? kMostSmall : kMost)) {
    return usage_error("build page tables", fmt::format("{:#x} bytes", size),
                       "from one page to 64 MiB (4 KiB pages) or 512 GiB");
  }
  auto root = new_table();
  if (!root) return root;
  for (uint64_t linear = 0; linear < size; linear += step) {
    uint64_t table = *root;
    for (int level = 4; level > leaf; --level) {
      const uint64_t slot = table + 8 * index_of(linear, level);
      auto entry = memory_.load<uint64_t>(slot);
      if (!entry) return entry;
      if ((*entry & kPresent) == 0) {
        auto next = new_table();
        if (!next) return next;
        entry = *next | kPresent | kWrite | kUser;
        if (auto ok = memory_.store(slot, *entry); !ok) return tl::unexpected(ok.error());
      }
      table = *entry & kAddress;
    }
    const uint64_t flags = kPresent | kWrite | kUser | (leaf > 1 ? kLarge : 0);
    auto ok = memory_.store(table + 8 * index_of(linear, leaf), linear | flags);
    if (!ok) return tl::unexpected(ok.error());
  }
  return root;
}

Result<uint64_t> PageTables::entry_of(uint64_t cr3, uint64_t linear) const {
  uint64_t table = cr3 & kAddress;
  for (int level = 4; level >= 1; --level) {
    const uint64_t slot = table + 8 * index_of(linear, level);
    auto entry = memory_.load<uint64_t>(slot);
    if (!entry) return entry;
    if (level == 1 || (*entry & kLarge) != 0) return slot;
    if ((*entry & kPresent) == 0) break;
    table = *entry & kAddress;
  }
  return system_error("find page table entry", fmt::format("{:#x}", linear), EFAULT);
}

Status PageTables::set_flags(uint64_t cr3, uint64_t linear, uint64_t flags) {
  auto slot = entry_of(cr3, linear);
  if (!slot) return tl::unexpected(slot.error());
  auto entry = memory_.load<uint64_t>(*slot);
  if (!entry) return tl::unexpected(entry.error());
  return memory_.store(*slot, (*entry & ~kFlags) | (flags & kFlags));
}

namespace {

void set_data_segments(kvm_sregs& sregs, const kvm_segment& data) {
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
}

void set_real_mode(kvm_sregs& sregs) {
  constexpr uint16_t k64K = 0xffff;
  const kvm_segment code = loaded_segment(0, segment_descriptor(0, k64K, kCode, 0));
  const kvm_segment data = loaded_segment(0, segment_descriptor(0, k64K, kData, 0));
  sregs.cs = code;
  set_data_segments(sregs, data);
  sregs.cr0 = kCr0Et;
  sregs.cr4 = 0;
  sregs.efer = 0;
  sregs.idt.base = 0;
  sregs.idt.limit = 0x3ff;
}

}  // namespace

Status prepare(const StartState& start, GuestMemory& memory, kvm_regs& regs, kvm_sregs& sregs) {
  const Layout& at = start.layout;
  regs = {};
  regs.rip = start.ip;
  regs.rflags = 2;
  regs.rsp = at.stack;
  if (start.mode == CpuMode::real) {
    set_real_mode(sregs);
    return {};
  }
  const bool long_mode = start.mode == CpuMode::long64 || start.mode == CpuMode::compat;
  const Gdt gdt(at, long_mode);
  const Idt idt(at, long_mode);
  if (auto ok = gdt.write(memory); !ok) return ok;
  if (auto ok = idt.write(memory); !ok) return ok;
  if (auto ok = memory.write(at.tss, task_state(long_mode, at.stack, at.stack)); !ok) return ok;
  sregs.gdt = gdt.table();
  sregs.idt = idt.table();
  sregs.tr = gdt.segment(Selectors::kTss);
  if (long_mode) sregs.tr.base |= at.tss & ~0xffffffffULL;
  sregs.cr0 = kCr0Pe | kCr0Et | kCr0Ne;
  sregs.cr4 = 0;
  sregs.efer = 0;
  set_data_segments(sregs, gdt.segment(Selectors::kData32));
  switch (start.mode) {
    case CpuMode::protected16:
      sregs.cs = gdt.segment(Selectors::kCode16);
      set_data_segments(sregs, gdt.segment(Selectors::kData16));
      return {};
    case CpuMode::protected32:
      sregs.cs = gdt.segment(Selectors::kCode32);
      return {};
    case CpuMode::compat:
      sregs.cs = gdt.segment(Selectors::kCode32);
      break;
    default:
      sregs.cs = gdt.segment(Selectors::kCode64);
      break;
  }
  PageTables tables(memory, at.tables);
  auto cr3 = tables.identity(start.mapped, start.pages);
  if (!cr3) return tl::unexpected(cr3.error());
  sregs.cr3 = *cr3;
  sregs.cr4 = kCr4Pae;
  sregs.efer = kEferLme | kEferLma;
  sregs.cr0 |= kCr0Pg;
  return {};
}

}  // namespace ringfence::vmm
