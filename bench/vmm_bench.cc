// The mini-VMM against bare ioctls with the same guest: what the event loop adds to each exit, what
// it adds to the way from nothing to the first exit, and what a reset saves over a cold start.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "bench/compare.h"
#include "harness/vmm/machine.h"

namespace ringfence::bench {
namespace {

constexpr uint64_t kExits = 1000;
constexpr int kSkip = 77;

// out 0x30, al; jmp back: exits for ever.
const std::array<uint8_t, 4> kForever = {0xe6, 0x30, 0xeb, 0xfc};
// out 0xf4, al
const std::array<uint8_t, 2> kOnce = {0xe6, 0xf4};

std::unique_ptr<vmm::Platform> platform() { return std::make_unique<vmm::BarePlatform>(); }

vmm::MachineOptions plain() {
  vmm::MachineOptions options;
  options.budget.exits = kExits - 1;
  return options;
}

// The same machine by ioctls alone, as short as it can be.
class Bare {
 public:
  static Result<std::unique_ptr<Bare>> make(const vmm::Kvm& kvm, std::span<const uint8_t> image,
                                            std::vector<kvm_cpuid_entry2>& cpuid) {
    auto bare = std::make_unique<Bare>();
    auto vm = kvm.create_vm();
    if (!vm) return tl::unexpected(vm.error());
    bare->vm_.emplace(std::move(*vm));
    if (auto ok = bare->vm_->set_tss_address(0xfffbd000); !ok) return tl::unexpected(ok.error());
    if (auto ok = bare->vm_->set_identity_map_address(0xfffbc000); !ok) {
      return tl::unexpected(ok.error());
    }
    // The same slots as the machine has: low memory, what A20 moves, the rest.
    constexpr std::array<std::pair<uint64_t, uint64_t>, 3> kSlots = {
        {{0, 0x100000}, {0x100000, 0x10000}, {0x110000, 0xf0000}}};
    for (uint32_t i = 0; i < kSlots.size(); ++i) {
      auto memory = vmm::Mapping::map(kSlots.at(i).second, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, "memory");
      if (!memory) return tl::unexpected(memory.error());
      bare->memory_.at(i) = std::move(*memory);
      auto ok = bare->vm_->set_memory(i, kSlots.at(i).first, bare->memory_.at(i).bytes(), 0);
      if (!ok) return tl::unexpected(ok.error());
    }
    std::memcpy(bare->memory_[0].data(), image.data(), image.size());
    auto vcpu = bare->vm_->create_vcpu(0);
    if (!vcpu) return tl::unexpected(vcpu.error());
    bare->vcpu_.emplace(std::move(*vcpu));
    auto offered = kvm.supported_cpuid();
    if (!offered) return tl::unexpected(offered.error());
    cpuid = std::move(*offered);
    if (auto ok = bare->vcpu_->set_cpuid(cpuid); !ok) return tl::unexpected(ok.error());
    auto sregs = bare->vcpu_->sregs();
    if (!sregs) return tl::unexpected(sregs.error());
    sregs->cs.base = sregs->cs.selector = 0;
    if (auto ok = bare->vcpu_->set_sregs(*sregs); !ok) return tl::unexpected(ok.error());
    kvm_regs regs{};
    regs.rflags = 2;
    if (auto ok = bare->vcpu_->set_regs(regs); !ok) return tl::unexpected(ok.error());
    return bare;
  }
  Status run(uint64_t exits) {
    for (uint64_t i = 0; i < exits; ++i) {
      const int64_t r = vcpu_->run_raw();
      if (r < 0 || vcpu_->page().exit_reason != KVM_EXIT_IO) {
        return system_error("KVM_RUN", "bare loop", r < 0 ? static_cast<int>(-r) : EIO);
      }
    }
    return {};
  }

 private:
  std::array<vmm::Mapping, 3> memory_;
  std::optional<vmm::Vm> vm_;
  std::optional<vmm::Vcpu> vcpu_;
};

Status expect(const vmm::End& end, vmm::End::Kind kind) {
  if (end.kind == kind) return {};
  return system_error("run guest", end.text, EIO);
}

int report(const char* group, const std::vector<Contestant>& contestants, size_t rounds) {
  CompareOptions options;
  options.rounds = rounds;
  const auto result = compare(contestants, options);
  if (!result) {
    fmt::print(stderr, "{}: {}\n", group, result.error().describe());
    return 1;
  }
  fmt::print("{}\n{}{}\n", group, render(*result), to_json(*result, group));
  return 0;
}

int dispatch(const vmm::Kvm& kvm, size_t rounds) {
  std::vector<kvm_cpuid_entry2> cpuid;
  auto bare = Bare::make(kvm, kForever, cpuid);
  auto machine = vmm::Machine::create(kvm, kForever, platform(), plain());
  if (!bare || !machine) return 1;
  return report(
      "vmm.dispatch (1000 exits)",
      {{"bare KVM_RUN loop", [&] { return (*bare)->run(kExits); }},
       {"Machine", [&] { return expect((*machine)->run(), vmm::End::Kind::out_of_exits); }}},
      rounds);
}

int first_exit(const vmm::Kvm& kvm, size_t rounds) {
  return report("vmm.first_exit",
                {{"bare ioctls",
                  [&]() -> Status {
                    std::vector<kvm_cpuid_entry2> cpuid;
                    auto bare = Bare::make(kvm, kOnce, cpuid);
                    if (!bare) return tl::unexpected(bare.error());
                    return (*bare)->run(1);
                  }},
                 {"Machine",
                  [&]() -> Status {
                    auto machine = vmm::Machine::create(kvm, kOnce, platform(), {});
                    if (!machine) return tl::unexpected(machine.error());
                    return expect((*machine)->run(), vmm::End::Kind::exited);
                  }}},
                rounds);
}

int reset(const vmm::Kvm& kvm, size_t rounds) {
  vmm::MachineOptions options;
  options.resettable = true;
  auto machine = vmm::Machine::create(kvm, kOnce, platform(), options);
  if (!machine || !(*machine)->remember()) return 1;
  return report("vmm.reset (to the exit)",
                {{"rewind",
                  [&]() -> Status {
                    if (auto ok = (*machine)->rewind(); !ok) return ok;
                    return expect((*machine)->run(), vmm::End::Kind::exited);
                  }},
                 {"cold start",
                  [&]() -> Status {
                    auto cold = vmm::Machine::create(kvm, kOnce, platform(), {});
                    if (!cold) return tl::unexpected(cold.error());
                    return expect((*cold)->run(), vmm::End::Kind::exited);
                  }}},
                rounds);
}

}  // namespace
}  // namespace ringfence::bench

int main(int argc, char** argv) {
  using namespace ringfence;
  size_t rounds = 200;
  if (argc == 3 && std::strcmp(argv[1], "--samples") == 0) {
    rounds = std::strtoul(argv[2], nullptr, 10);
  } else if (argc != 1) {
    fmt::print(stderr, "usage: ringfence-bench-vmm [--samples N]\n");
    return 64;
  }
  const auto kvm = vmm::Kvm::open();
  if (!kvm) {
    fmt::print(stderr, "{}\n", kvm.error().describe());
    return bench::kSkip;
  }
  return bench::dispatch(*kvm, rounds) | bench::first_exit(*kvm, rounds) |
         bench::reset(*kvm, rounds);
}
