#pragma once
// Typed, move-only owners of the three descriptors of KVM: the system (Kvm), a virtual machine (Vm)
// and a virtual CPU (Vcpu, vcpu.h). Nothing but ioctls: no policy, no event loop.
//
// Each function is one ioctl; the comment has its section in the KVM API
// (Documentation/virt/kvm/api.rst). Errors keep errno and name the ioctl. All need Linux 5.11 or
// later and x86-64.
#include <linux/kvm.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/vmm/kvm/mapping.h"

namespace ringfence::vmm {

class Vcpu;

// One ioctl through the seam; EINTR is an error like any other.
Result<int> ioctl_of(int fd, unsigned long request, uint64_t argument, const char* name);

// Counters of a VM or a vCPU: KVM_GET_STATS_FD (4.134), binary. Reads are system calls on a
// descriptor, not ioctls, and need no debugfs.
class Stats {
 public:
  // The descriptor's header and names are read once; later kernels may have more of them.
  static Result<Stats> open(int of_fd, const char* what);
  // name -> value (the first one of a histogram).
  [[nodiscard]] Result<std::map<std::string, uint64_t>> read() const;

 private:
  UniqueFd fd_;
  struct Entry {
    std::string name;
    uint32_t offset = 0;
  };
  std::vector<Entry> entries_;
  uint32_t data_offset_ = 0;
  uint32_t data_size_ = 0;
};

class Vm {
 public:
  Vm(Vm&&) = default;
  Vm& operator=(Vm&&) = default;

  [[nodiscard]] int fd() const { return fd_.get(); }

  // KVM_CHECK_EXTENSION (4.4) on the VM; 0 when absent.
  [[nodiscard]] Result<int> check(int capability) const;
  // KVM_ENABLE_CAP (4.37) on the VM.
  [[nodiscard]] Status enable(int capability, uint64_t arg0 = 0) const;

  // KVM_SET_USER_MEMORY_REGION (4.35). `flags`: KVM_MEM_READONLY, KVM_MEM_LOG_DIRTY_PAGES. The
  // memory stays the caller's and has to outlive the VM. Size 0 removes the slot.
  [[nodiscard]] Status set_memory(uint32_t slot, uint64_t guest_address,
                                  std::span<const uint8_t> memory, uint32_t flags) const;
  // KVM_GET_DIRTY_LOG (4.8): one bit for each page of the slot, cleared by reading.
  [[nodiscard]] Result<std::vector<uint64_t>> dirty_log(uint32_t slot, size_t pages) const;

  // KVM_SET_TSS_ADDR (4.36) and KVM_SET_IDENTITY_MAP_ADDR (4.41): three pages and one that VMX
  // without unrestricted guest needs; before the first vCPU.
  [[nodiscard]] Status set_tss_address(uint64_t address) const;
  [[nodiscard]] Status set_identity_map_address(uint64_t address) const;

  [[nodiscard]] Status create_irqchip() const;                   // KVM_CREATE_IRQCHIP (4.24)
  [[nodiscard]] Status create_pit(bool speaker) const;           // KVM_CREATE_PIT2 (4.71)
  [[nodiscard]] Status set_irq(uint32_t gsi, bool level) const;  // KVM_IRQ_LINE (4.25)

  [[nodiscard]] Result<kvm_ioapic_state> ioapic() const;  // KVM_GET_IRQCHIP (4.26)

  // KVM_IRQFD (4.75): a write to `event` raises `gsi` of the in-kernel chip.
  [[nodiscard]] Status irqfd(int event, uint32_t gsi, bool remove = false) const;
  // KVM_IOEVENTFD (4.59): a write of `size` bytes to the port or address signals `event`, and the
  // guest goes on. With `match` only a write of that value.
  struct IoEvent {
    uint64_t address = 0;
    uint32_t size = 0;  // 0 (any; MMIO only), 1, 2, 4, 8
    bool port = false;
    std::optional<uint64_t> match{};
  };
  [[nodiscard]] Status ioeventfd(int event, const IoEvent& where, bool remove = false) const;
  // KVM_REGISTER_COALESCED_MMIO (4.116): writes gather in a ring and come with the next exit.
  [[nodiscard]] Status coalesce(uint64_t address, uint32_t size, bool port) const;

  // KVM_X86_SET_MSR_FILTER (4.97): the guest's reads and writes of `count` MSRs from `first` on are
  // refused; everything else is allowed.
  [[nodiscard]] Status deny_msrs(uint32_t first, uint32_t count) const;

  // KVM_CREATE_VCPU (4.7).
  [[nodiscard]] Result<Vcpu> create_vcpu(uint32_t id) const;

  [[nodiscard]] Result<Stats> stats() const { return Stats::open(fd_.get(), "vm"); }

 private:
  friend class Kvm;
  Vm(UniqueFd fd, size_t run_size) : fd_(std::move(fd)), run_size_(run_size) {}
  UniqueFd fd_;
  size_t run_size_ = 0;
};

class Kvm {
 public:
  Kvm(Kvm&&) = default;
  Kvm& operator=(Kvm&&) = default;

  // Opens the device and checks what no guest can do without: API version 12 (4.1) and the
  // required capabilities. What is missing is `unsupported`, with what to do about it.
  static Result<Kvm> open(const char* path = "/dev/kvm");

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] Result<int> check(int capability) const;  // KVM_CHECK_EXTENSION (4.4)
  [[nodiscard]] Result<Vm> create_vm() const;             // KVM_CREATE_VM (4.2), type 0
  // KVM_GET_SUPPORTED_CPUID (4.46): what this host can give a guest.
  [[nodiscard]] Result<std::vector<kvm_cpuid_entry2>> supported_cpuid() const;
  // KVM_GET_MSR_INDEX_LIST (4.3), and the value of a feature MSR by KVM_GET_MSRS on the system
  // descriptor (4.18).
  [[nodiscard]] Result<std::vector<uint32_t>> msr_list() const;
  [[nodiscard]] Result<uint64_t> feature_msr(uint32_t index) const;

 private:
  Kvm(UniqueFd fd, size_t run_size) : fd_(std::move(fd)), run_size_(run_size) {}
  UniqueFd fd_;
  size_t run_size_ = 0;  // KVM_GET_VCPU_MMAP_SIZE (4.5)
};

}  // namespace ringfence::vmm
