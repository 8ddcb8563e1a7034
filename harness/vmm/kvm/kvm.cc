#include "harness/vmm/kvm/kvm.h"

#include <cstring>

#include "harness/vmm/kvm/capability.h"
#include "harness/vmm/kvm/vcpu.h"

namespace ringfence::vmm {
namespace {

constexpr int kApiVersion = 12;  // KVM API 4.1: the only one that there will ever be

template <typename T>
Result<int> ioctl_with(int fd, unsigned long request, T& argument, const char* name) {
  return ioctl_of(fd, request, sys::arg(&argument), name);
}

Status only(Result<int> r) {
  if (!r) return tl::unexpected(std::move(r.error()));
  return {};
}

// A request's number has the size of its structure. For those with a flexible array the kernel's
// macros give another size, and so another number, in C++, where the empty struct beside the array
// takes room.
constexpr unsigned long with_size(unsigned long request, unsigned long size) {
  constexpr unsigned long kMask = (1UL << _IOC_SIZEBITS) - 1;
  return (request & ~(kMask << _IOC_SIZESHIFT)) | size << _IOC_SIZESHIFT;
}
constexpr unsigned long kGetSupportedCpuid = with_size(KVM_GET_SUPPORTED_CPUID, 8);
constexpr unsigned long kSetCpuid2 = with_size(KVM_SET_CPUID2, 8);
constexpr unsigned long kGetCpuid2 = with_size(KVM_GET_CPUID2, 8);
constexpr unsigned long kGetMsrIndexList = with_size(KVM_GET_MSR_INDEX_LIST, 4);
constexpr unsigned long kGetMsrs = with_size(KVM_GET_MSRS, 8);
constexpr unsigned long kSetMsrs = with_size(KVM_SET_MSRS, 8);
constexpr unsigned long kSetSignalMask = with_size(KVM_SET_SIGNAL_MASK, 4);
constexpr unsigned long kGetXsave = with_size(KVM_GET_XSAVE, sizeof(XsaveArea));
constexpr unsigned long kSetXsave = with_size(KVM_SET_XSAVE, sizeof(XsaveArea));

// struct kvm_cpuid2 and struct kvm_msrs: a count, four bytes of nothing, the entries.
constexpr size_t kCountSize = 8;

template <typename T>
std::vector<uint8_t> counted(std::span<const T> entries) {
  std::vector<uint8_t> list(kCountSize + entries.size_bytes(), 0);
  const auto count = static_cast<uint32_t>(entries.size());
  std::memcpy(list.data(), &count, sizeof count);
  if (!entries.empty()) std::memcpy(list.data() + kCountSize, entries.data(), entries.size_bytes());
  return list;
}

Result<std::vector<kvm_cpuid_entry2>> cpuid_list(int fd, unsigned long request, const char* name) {
  constexpr uint32_t kMost = 256;  // KVM_MAX_CPUID_ENTRIES
  std::vector<kvm_cpuid_entry2> entries(kMost);
  auto list = counted(std::span<const kvm_cpuid_entry2>(entries));
  auto r = ioctl_of(fd, request, sys::arg(list.data()), name);
  if (!r) return tl::unexpected(r.error());
  uint32_t count = 0;
  std::memcpy(&count, list.data(), sizeof count);
  entries.resize(std::min(count, kMost));
  std::memcpy(entries.data(), list.data() + kCountSize, entries.size() * sizeof entries[0]);
  return entries;
}

std::string open_hint(int err) {
  switch (err) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return "no KVM here: load kvm_intel or kvm_amd; in a VM, turn nested virtualization on";
    case EACCES:
    case EPERM:
      return "join the group kvm, or run as root";
    default:
      return {};
  }
}

}  // namespace

Result<int> ioctl_of(int fd, unsigned long request, uint64_t argument, const char* name) {
  const int64_t r = sys::call(SYS_ioctl, fd, request, argument);
  if (r < 0) return system_error(name, {}, static_cast<int>(-r));
  return static_cast<int>(r);
}

Result<Kvm> Kvm::open(const char* path) {
  auto fd = sys::open(path, O_RDWR);
  if (!fd) {
    const int err = fd.error().err;
    return unsupported_error("open KVM", path, err, open_hint(err));
  }
  auto version = ioctl_of(fd->get(), KVM_GET_API_VERSION, 0, "KVM_GET_API_VERSION");
  if (!version) {
    return unsupported_error("open KVM", path, version.error().err, "this is not KVM's device");
  }
  if (*version != kApiVersion) {
    return unsupported_error("open KVM", path, 0,
                             "API version " + std::to_string(*version) + ", 12 is needed");
  }
  for (const Capability& needed : capabilities()) {
    if (!needed.required) continue;
    auto has = ioctl_of(fd->get(), KVM_CHECK_EXTENSION, static_cast<uint64_t>(needed.number),
                        "KVM_CHECK_EXTENSION");
    if (!has) return tl::unexpected(has.error());
    if (*has == 0) {
      return unsupported_error(
          "open KVM", path, 0,
          std::string(needed.name) + " is missing: " + std::string(needed.purpose));
    }
  }
  auto size = ioctl_of(fd->get(), KVM_GET_VCPU_MMAP_SIZE, 0, "KVM_GET_VCPU_MMAP_SIZE");
  if (!size) return tl::unexpected(size.error());
  return Kvm(std::move(*fd), static_cast<size_t>(*size));
}

Result<int> Kvm::check(int capability) const {
  return ioctl_of(fd_.get(), KVM_CHECK_EXTENSION, static_cast<uint64_t>(capability),
                  "KVM_CHECK_EXTENSION");
}

Result<Vm> Kvm::create_vm() const {
  auto r = ioctl_of(fd_.get(), KVM_CREATE_VM, 0, "KVM_CREATE_VM");
  if (!r) return tl::unexpected(r.error());
  return Vm(UniqueFd(*r), run_size_);
}

Result<std::vector<kvm_cpuid_entry2>> Kvm::supported_cpuid() const {
  return cpuid_list(fd_.get(), kGetSupportedCpuid, "KVM_GET_SUPPORTED_CPUID");
}

Result<std::vector<uint32_t>> Kvm::msr_list() const {
  constexpr uint32_t kMost = 1024;
  std::vector<uint32_t> memory(1 + kMost);
  memory[0] = kMost;
  auto r = ioctl_of(fd_.get(), kGetMsrIndexList, sys::arg(memory.data()), "KVM_GET_MSR_INDEX_LIST");
  if (!r) return tl::unexpected(r.error());
  return std::vector<uint32_t>(memory.begin() + 1, memory.begin() + 1 + memory[0]);
}

namespace {
// struct kvm_msrs with one entry. The kernel's own declaration is not its layout in C++, where the
// empty struct beside a flexible array has a size.
struct OneMsr {
  uint32_t nmsrs;
  uint32_t pad;
  kvm_msr_entry entry;
};
static_assert(sizeof(OneMsr) == 8 + sizeof(kvm_msr_entry));

Result<uint64_t> read_msr(int fd, uint32_t index) {
  OneMsr one{};
  one.nmsrs = 1;
  one.entry.index = index;
  auto r = ioctl_with(fd, kGetMsrs, one, "KVM_GET_MSRS");
  if (!r) return tl::unexpected(r.error());
  if (*r != 1) return system_error("KVM_GET_MSRS", "MSR " + std::to_string(index), EINVAL);
  return one.entry.data;
}
}  // namespace

Result<uint64_t> Kvm::feature_msr(uint32_t index) const { return read_msr(fd_.get(), index); }

// ---- Vm ---------------------------------------------------------------------------------------

Result<int> Vm::check(int capability) const {
  return ioctl_of(fd_.get(), KVM_CHECK_EXTENSION, static_cast<uint64_t>(capability),
                  "KVM_CHECK_EXTENSION");
}

Status Vm::enable(int capability, uint64_t arg0) const {
  kvm_enable_cap cap{};
  cap.cap = static_cast<uint32_t>(capability);
  cap.args[0] = arg0;
  return only(ioctl_with(fd_.get(), KVM_ENABLE_CAP, cap, "KVM_ENABLE_CAP"));
}

Status Vm::set_memory(uint32_t slot, uint64_t guest_address, std::span<const uint8_t> memory,
                      uint32_t flags) const {
  kvm_userspace_memory_region region{};
  region.slot = slot;
  region.flags = flags;
  region.guest_phys_addr = guest_address;
  region.memory_size = memory.size();
  region.userspace_addr = reinterpret_cast<uint64_t>(memory.data());
  return only(
      ioctl_with(fd_.get(), KVM_SET_USER_MEMORY_REGION, region, "KVM_SET_USER_MEMORY_REGION"));
}

Result<std::vector<uint64_t>> Vm::dirty_log(uint32_t slot, size_t pages) const {
  constexpr size_t kBits = 64;
  std::vector<uint64_t> bits((pages + kBits - 1) / kBits);
  kvm_dirty_log log{};
  log.slot = slot;
  log.dirty_bitmap = bits.data();
  auto r = ioctl_with(fd_.get(), KVM_GET_DIRTY_LOG, log, "KVM_GET_DIRTY_LOG");
  if (!r) return tl::unexpected(r.error());
  return bits;
}

Status Vm::set_tss_address(uint64_t address) const {
  return only(ioctl_of(fd_.get(), KVM_SET_TSS_ADDR, address, "KVM_SET_TSS_ADDR"));
}

Status Vm::set_identity_map_address(uint64_t address) const {
  return only(
      ioctl_with(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, address, "KVM_SET_IDENTITY_MAP_ADDR"));
}

Status Vm::create_irqchip() const {
  return only(ioctl_of(fd_.get(), KVM_CREATE_IRQCHIP, 0, "KVM_CREATE_IRQCHIP"));
}

Status Vm::create_pit(bool speaker) const {
  kvm_pit_config config{};
  config.flags = speaker ? KVM_PIT_SPEAKER_DUMMY : 0;
  return only(ioctl_with(fd_.get(), KVM_CREATE_PIT2, config, "KVM_CREATE_PIT2"));
}

Status Vm::set_irq(uint32_t gsi, bool level) const {
  kvm_irq_level line{};
  line.irq = gsi;
  line.level = level ? 1 : 0;
  return only(ioctl_with(fd_.get(), KVM_IRQ_LINE, line, "KVM_IRQ_LINE"));
}

Result<kvm_ioapic_state> Vm::ioapic() const {
  kvm_irqchip chip{};
  chip.chip_id = KVM_IRQCHIP_IOAPIC;
  auto ok = only(ioctl_with(fd_.get(), KVM_GET_IRQCHIP, chip, "KVM_GET_IRQCHIP"));
  if (!ok) return tl::unexpected(ok.error());
  return chip.chip.ioapic;
}

Status Vm::irqfd(int event, uint32_t gsi, bool remove) const {
  kvm_irqfd irq{};
  irq.fd = static_cast<uint32_t>(event);
  irq.gsi = gsi;
  irq.flags = remove ? KVM_IRQFD_FLAG_DEASSIGN : 0;
  return only(ioctl_with(fd_.get(), KVM_IRQFD, irq, "KVM_IRQFD"));
}

Status Vm::ioeventfd(int event, const IoEvent& where, bool remove) const {
  kvm_ioeventfd io{};
  io.addr = where.address;
  io.len = where.size;
  io.fd = event;
  io.datamatch = where.match.value_or(0);
  io.flags = (where.port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
             (where.match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
             (remove ? KVM_IOEVENTFD_FLAG_DEASSIGN : 0);
  return only(ioctl_with(fd_.get(), KVM_IOEVENTFD, io, "KVM_IOEVENTFD"));
}

Status Vm::coalesce(uint64_t address, uint32_t size, bool port) const {
  kvm_coalesced_mmio_zone zone{};
  zone.addr = address;
  zone.size = size;
  zone.pio = port ? 1 : 0;
  return only(
      ioctl_with(fd_.get(), KVM_REGISTER_COALESCED_MMIO, zone, "KVM_REGISTER_COALESCED_MMIO"));
}

Status Vm::deny_msrs(uint32_t first, uint32_t count) const {
  std::vector<uint8_t> bits(count / 8 + 1, 0);  // a bit that is clear denies
  kvm_msr_filter filter{};
  filter.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
  filter.ranges[0].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
  filter.ranges[0].base = first;
  filter.ranges[0].nmsrs = count;
  filter.ranges[0].bitmap = bits.data();
  return only(ioctl_with(fd_.get(), KVM_X86_SET_MSR_FILTER, filter, "KVM_X86_SET_MSR_FILTER"));
}

Result<Vcpu> Vm::create_vcpu(uint32_t id) const {
  auto r = ioctl_of(fd_.get(), KVM_CREATE_VCPU, id, "KVM_CREATE_VCPU");
  if (!r) return tl::unexpected(r.error());
  UniqueFd fd(*r);
  auto shared = Mapping::map(run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), "kvm_run");
  if (!shared) return tl::unexpected(shared.error());
  return Vcpu(std::move(fd), std::move(*shared));
}

// ---- Stats ------------------------------------------------------------------------------------

Result<Stats> Stats::open(int of_fd, const char* what) {
  auto r = ioctl_of(of_fd, KVM_GET_STATS_FD, 0, "KVM_GET_STATS_FD");
  if (!r) {
    return unsupported_error("KVM_GET_STATS_FD", what, r.error().err, "needs Linux 5.14");
  }
  Stats stats;
  stats.fd_ = UniqueFd(*r);
  kvm_stats_header header{};
  const auto read_at = [&](void* to, size_t size, uint64_t offset) -> Status {
    const int64_t n = sys::call(SYS_pread64, stats.fd_.get(), sys::arg(to), size, offset);
    if (n < 0) return system_error("read KVM stats", what, static_cast<int>(-n));
    if (static_cast<size_t>(n) != size) return system_error("read KVM stats", what, EIO);
    return {};
  };
  if (auto ok = read_at(&header, sizeof header, 0); !ok) return tl::unexpected(ok.error());
  constexpr uint32_t kMostNames = 4096;
  constexpr uint32_t kLongestName = 256;
  if (header.num_desc > kMostNames || header.name_size > kLongestName) {
    return system_error("read KVM stats", what, EINVAL);
  }
  struct Desc {  // struct kvm_stats_desc, up to its name
    uint32_t flags;
    int16_t exponent;
    uint16_t size;
    uint32_t offset;
    uint32_t bucket_size;
  };
  const size_t entry = sizeof(Desc) + header.name_size;
  std::vector<char> table(entry * header.num_desc);
  if (auto ok = read_at(table.data(), table.size(), header.desc_offset); !ok) {
    return tl::unexpected(ok.error());
  }
  for (uint32_t i = 0; i < header.num_desc; ++i) {
    Desc desc{};
    std::memcpy(&desc, table.data() + i * entry, sizeof desc);
    const char* name = table.data() + i * entry + sizeof desc;
    stats.entries_.push_back({std::string(name, strnlen(name, header.name_size)), desc.offset});
    stats.data_size_ = std::max<uint32_t>(stats.data_size_, desc.offset + 8U * desc.size);
  }
  stats.data_offset_ = header.data_offset;
  return stats;
}

Result<std::map<std::string, uint64_t>> Stats::read() const {
  std::vector<char> data(data_size_);
  const int64_t n =
      sys::call(SYS_pread64, fd_.get(), sys::arg(data.data()), data.size(), data_offset_);
  if (n < 0) return system_error("read KVM stats", {}, static_cast<int>(-n));
  std::map<std::string, uint64_t> values;
  for (const Entry& e : entries_) {
    uint64_t value = 0;
    if (e.offset + sizeof value > static_cast<size_t>(n)) continue;
    std::memcpy(&value, data.data() + e.offset, sizeof value);
    values[e.name] = value;
  }
  return values;
}

// ---- Vcpu -------------------------------------------------------------------------------------

Vcpu::Vcpu(UniqueFd fd, Mapping shared)
    : fd_(std::move(fd)),
      shared_(std::move(shared)),
      page_(reinterpret_cast<kvm_run*>(shared_.data())) {}

Result<Exit> Vcpu::run() {
  const int64_t r = run_raw();
  if (r == -EINTR || r == -EAGAIN) return Exit(Intr{});
  if (r < 0) return system_error("KVM_RUN", {}, static_cast<int>(-r));
  return exit();
}

Exit Vcpu::exit() noexcept {
  kvm_run& p = *page_;
  switch (p.exit_reason) {
    case KVM_EXIT_IO:
      if (p.io.direction == KVM_EXIT_IO_IN) return io_in();
      return io_out();
    case KVM_EXIT_MMIO: {
      const size_t size = std::min<size_t>(p.mmio.len, sizeof p.mmio.data);
      if (p.mmio.is_write != 0) return MmioWrite{p.mmio.phys_addr, {p.mmio.data, size}};
      return MmioRead{p.mmio.phys_addr, {p.mmio.data, size}};
    }
    case KVM_EXIT_HLT:
      return Hlt{};
    case KVM_EXIT_SHUTDOWN:
      return Shutdown{};
    case KVM_EXIT_INTR:
      return Intr{};
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return IrqWindowOpen{};
    case KVM_EXIT_FAIL_ENTRY:
      return FailEntry{p.fail_entry.hardware_entry_failure_reason, p.fail_entry.cpu};
    case KVM_EXIT_INTERNAL_ERROR: {
      InternalError e;
      e.suberror = p.internal.suberror;
      e.words = std::min<uint32_t>(p.internal.ndata, e.data.size());
      for (uint32_t i = 0; i < e.words; ++i) e.data.at(i) = p.internal.data[i];
      return e;
    }
    case KVM_EXIT_HYPERCALL: {
      Hypercall h;
      h.nr = p.hypercall.nr;
      for (size_t i = 0; i < h.args.size(); ++i) h.args.at(i) = p.hypercall.args[i];
      // The member is packed, the union it is in is aligned to 8, and so is its offset.
      h.result = reinterpret_cast<uint64_t*>(reinterpret_cast<uint8_t*>(&p.hypercall) +
                                             offsetof(decltype(p.hypercall), ret));
      h.long_mode = p.hypercall.longmode != 0;
      return h;
    }
    case KVM_EXIT_DEBUG:
      return Debug{p.debug.arch.exception, p.debug.arch.pc, p.debug.arch.dr6, p.debug.arch.dr7};
    case KVM_EXIT_SYSTEM_EVENT:
      return SystemEvent{p.system_event.type,
                         p.system_event.ndata > 0 ? p.system_event.data[0] : 0};
    case KVM_EXIT_X86_RDMSR:
      return MsrRead{p.msr.index, p.msr.reason, reinterpret_cast<uint64_t*>(&p.msr.data),
                     &p.msr.error};
    case KVM_EXIT_X86_WRMSR:
      return MsrWrite{p.msr.index, p.msr.reason, p.msr.data, &p.msr.error};
    default:
      return UnknownExit{p.exit_reason,
                         p.exit_reason == KVM_EXIT_UNKNOWN ? p.hw.hardware_exit_reason : 0};
  }
}

#define RINGFENCE_GET(type, name, request, text)                               \
  Result<type> Vcpu::name() const {                                            \
    if (auto ok = settle(); !ok) return tl::unexpected(std::move(ok.error())); \
    type value{};                                                              \
    auto r = ioctl_with(fd_.get(), request, value, text);                      \
    if (!r) return tl::unexpected(std::move(r.error()));                       \
    return value;                                                              \
  }
#define RINGFENCE_SET(type, name, request, text)                       \
  Status Vcpu::set_##name(const type& value) const {                   \
    if (auto ok = settle(); !ok) return ok;                            \
    return only(ioctl_of(fd_.get(), request, sys::arg(&value), text)); \
  }
RINGFENCE_GET(kvm_regs, regs, KVM_GET_REGS, "KVM_GET_REGS")
RINGFENCE_SET(kvm_regs, regs, KVM_SET_REGS, "KVM_SET_REGS")
RINGFENCE_GET(kvm_sregs, sregs, KVM_GET_SREGS, "KVM_GET_SREGS")
RINGFENCE_SET(kvm_sregs, sregs, KVM_SET_SREGS, "KVM_SET_SREGS")
RINGFENCE_GET(kvm_fpu, fpu, KVM_GET_FPU, "KVM_GET_FPU")
RINGFENCE_SET(kvm_fpu, fpu, KVM_SET_FPU, "KVM_SET_FPU")
RINGFENCE_GET(kvm_debugregs, debugregs, KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS")
RINGFENCE_SET(kvm_debugregs, debugregs, KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS")
RINGFENCE_GET(kvm_vcpu_events, events, KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS")
RINGFENCE_SET(kvm_vcpu_events, events, KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS")
RINGFENCE_GET(kvm_xcrs, xcrs, KVM_GET_XCRS, "KVM_GET_XCRS")
RINGFENCE_SET(kvm_xcrs, xcrs, KVM_SET_XCRS, "KVM_SET_XCRS")
RINGFENCE_GET(XsaveArea, xsave, kGetXsave, "KVM_GET_XSAVE")
RINGFENCE_SET(XsaveArea, xsave, kSetXsave, "KVM_SET_XSAVE")
RINGFENCE_GET(kvm_lapic_state, lapic, KVM_GET_LAPIC, "KVM_GET_LAPIC")
#undef RINGFENCE_GET
#undef RINGFENCE_SET

Result<uint32_t> Vcpu::mp_state() const {
  if (auto ok = settle(); !ok) return tl::unexpected(ok.error());
  kvm_mp_state state{};
  auto r = ioctl_with(fd_.get(), KVM_GET_MP_STATE, state, "KVM_GET_MP_STATE");
  if (!r) return tl::unexpected(r.error());
  return state.mp_state;
}

Status Vcpu::set_mp_state(uint32_t value) const {
  if (auto ok = settle(); !ok) return ok;
  kvm_mp_state state{};
  state.mp_state = value;
  return only(ioctl_with(fd_.get(), KVM_SET_MP_STATE, state, "KVM_SET_MP_STATE"));
}

void Vcpu::synchronize(bool wanted) noexcept {
  page_->kvm_valid_regs = wanted ? KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS : 0;
}

void Vcpu::enter_with(const kvm_regs& regs) noexcept {
  page_->s.regs.regs = regs;
  page_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

void Vcpu::enter_with(const kvm_sregs& sregs) noexcept {
  page_->s.regs.sregs = sregs;
  page_->kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
}

void Vcpu::enter_with(const kvm_vcpu_events& events) noexcept {
  page_->s.regs.events = events;
  page_->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
}

// In the order in which KVM_RUN takes them.
Status Vcpu::settle() const {
  const uint64_t waiting = page_->kvm_dirty_regs;
  if (waiting == 0) return {};
  page_->kvm_dirty_regs = 0;
  const kvm_sync_regs& from = page_->s.regs;
  if ((waiting & KVM_SYNC_X86_REGS) != 0) {
    if (auto ok = set_regs(from.regs); !ok) return ok;
  }
  if ((waiting & KVM_SYNC_X86_SREGS) != 0) {
    if (auto ok = set_sregs(from.sregs); !ok) return ok;
  }
  return (waiting & KVM_SYNC_X86_EVENTS) != 0 ? set_events(from.events) : Status{};
}

Result<uint64_t> Vcpu::msr(uint32_t index) const {
  if (auto ok = settle(); !ok) return tl::unexpected(ok.error());
  return read_msr(fd_.get(), index);
}

Status Vcpu::set_msr(uint32_t index, uint64_t value) const {
  if (auto ok = settle(); !ok) return ok;
  OneMsr one{};
  one.nmsrs = 1;
  one.entry.index = index;
  one.entry.data = value;
  auto r = ioctl_with(fd_.get(), kSetMsrs, one, "KVM_SET_MSRS");
  if (!r) return tl::unexpected(r.error());
  if (*r != 1) return system_error("KVM_SET_MSRS", "MSR " + std::to_string(index), EINVAL);
  return {};
}

Result<size_t> Vcpu::set_msrs(std::span<const kvm_msr_entry> entries) const {
  if (auto ok = settle(); !ok) return tl::unexpected(ok.error());
  const auto list = counted(entries);
  auto r = ioctl_of(fd_.get(), kSetMsrs, sys::arg(list.data()), "KVM_SET_MSRS");
  if (!r) return tl::unexpected(r.error());
  return static_cast<size_t>(*r);
}

Status Vcpu::set_cpuid(std::span<const kvm_cpuid_entry2> entries) const {
  const auto list = counted(entries);
  return only(ioctl_of(fd_.get(), kSetCpuid2, sys::arg(list.data()), "KVM_SET_CPUID2"));
}

Result<std::vector<kvm_cpuid_entry2>> Vcpu::cpuid() const {
  return cpuid_list(fd_.get(), kGetCpuid2, "KVM_GET_CPUID2");
}

Status Vcpu::interrupt(uint8_t vector) const {
  if (auto ok = settle(); !ok) return ok;
  kvm_interrupt irq{};
  irq.irq = vector;
  return only(ioctl_with(fd_.get(), KVM_INTERRUPT, irq, "KVM_INTERRUPT"));
}

Status Vcpu::nmi() const {
  if (auto ok = settle(); !ok) return ok;
  return only(ioctl_of(fd_.get(), KVM_NMI, 0, "KVM_NMI"));
}

Result<uint32_t> Vcpu::tsc_khz() const {
  auto r = ioctl_of(fd_.get(), KVM_GET_TSC_KHZ, 0, "KVM_GET_TSC_KHZ");
  if (!r) return tl::unexpected(r.error());
  return static_cast<uint32_t>(*r);
}

Status Vcpu::debug(uint32_t control, const std::array<uint64_t, 8>& registers) const {
  if (auto ok = settle(); !ok) return ok;
  kvm_guest_debug request{};
  request.control = control;
  for (size_t i = 0; i < registers.size(); ++i) request.arch.debugreg[i] = registers.at(i);
  return only(ioctl_with(fd_.get(), KVM_SET_GUEST_DEBUG, request, "KVM_SET_GUEST_DEBUG"));
}

Status Vcpu::set_signal_mask(uint64_t mask) const {
  struct {  // struct kvm_signal_mask with its set
    uint32_t len;
    std::array<uint8_t, 8> set;
  } request{};
  request.len = sizeof request.set;
  std::memcpy(request.set.data(), &mask, sizeof mask);
  return only(ioctl_with(fd_.get(), kSetSignalMask, request, "KVM_SET_SIGNAL_MASK"));
}

std::optional<uint64_t> Vcpu::translate(uint64_t linear) const {
  if (!settle()) return std::nullopt;
  kvm_translation t{};
  t.linear_address = linear;
  auto r = ioctl_with(fd_.get(), KVM_TRANSLATE, t, "KVM_TRANSLATE");
  if (!r || t.valid == 0) return std::nullopt;
  return t.physical_address;
}

std::vector<kvm_coalesced_mmio> Vcpu::take_coalesced() const {
  // KVM_CAP_COALESCED_MMIO is the ring's page within the vCPU's mapping: 2 pages after kvm_run
  // (KVM_COALESCED_MMIO_PAGE_OFFSET on x86).
  constexpr size_t kPage = 4096;
  constexpr size_t kRingPage = 2;
  std::vector<kvm_coalesced_mmio> taken;
  if (shared_.size() < (kRingPage + 1) * kPage) return taken;
  struct Ring {  // struct kvm_coalesced_mmio_ring, up to its entries
    uint32_t first;
    uint32_t last;
  };
  uint8_t* page = shared_.data() + kRingPage * kPage;
  auto* ring = reinterpret_cast<Ring*>(page);
  constexpr uint32_t kPlaces = (kPage - sizeof(Ring)) / sizeof(kvm_coalesced_mmio);
  uint32_t first = ring->first;
  const uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
  while (first != last && first < kPlaces && taken.size() < kPlaces) {
    std::memcpy(&taken.emplace_back(), page + sizeof(Ring) + first * sizeof taken[0],
                sizeof taken[0]);
    first = (first + 1) % kPlaces;
  }
  __atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
  return taken;
}

}  // namespace ringfence::vmm
