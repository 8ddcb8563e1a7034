// ringfence vm run: one guest on one VMM, for a person.
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include <CLI/CLI.hpp>

#include "guests/guests.h"
#include "harness/base/file.h"
#include "harness/base/suggest.h"
#include "harness/base/sys.h"
#include "harness/cli/commands.h"
#include "harness/cli/vm_debug.h"
#include "harness/kernels/program.h"
#include "harness/vmm/board_platform.h"
#include "harness/vmm/qemu_trace.h"
#include "harness/vmm/scenario.h"
#include "harness/witness/kvm_devices.h"

namespace ringfence::cli {
namespace {

constexpr double kTimeout = 10;  // seconds
constexpr double kLongest = 86400;
constexpr double kPatience = 600;     // for a gdb to come
constexpr uint8_t kIsaDebugExit = 1;  // QEMU's isa-debug-exit ends with (value << 1) | 1

struct VmArguments {
  std::string guest;
  std::string vmm = "ringfence";
  std::string transcript;
  std::string fault;
  bool firmware = false;
  std::vector<std::string> set;
  std::optional<double> timeout;
  VmDebugOptions debug;
};

std::chrono::milliseconds timeout_of(const VmArguments& args, double otherwise) {
  return std::chrono::milliseconds(static_cast<int64_t>(args.timeout.value_or(otherwise) * 1000));
}

// An image of guests/ by its name, else a file.
struct Image {
  std::string name;
  std::vector<uint8_t> flat;
  std::vector<uint8_t> firmware;
  vmm::CpuMode mode = vmm::CpuMode::real;
  bool local_apic = false;
};

Result<Image> find_image(const VmArguments& args) {
  Image image;
  image.name = args.guest;
  if (const vmm::Guest* guest = vmm::find_guest(args.guest)) {
    image.flat.assign(guest->flat.begin(), guest->flat.end());
    image.firmware.assign(guest->firmware.begin(), guest->firmware.end());
    image.local_apic = guest->local_apic;
    if (guest->start == vmm::CpuStart::long64) image.mode = vmm::CpuMode::long64;
    if (guest->start == vmm::CpuStart::protected32) image.mode = vmm::CpuMode::protected32;
    if (guest->start == vmm::CpuStart::protected16) image.mode = vmm::CpuMode::protected16;
    return image;
  }
  const auto bytes = read_file(args.guest);
  if (!bytes) {
    std::vector<std::string> names;
    for (const vmm::Guest& g : vmm::guests()) names.emplace_back(g.name);
    const std::string near = nearest(args.guest, names);
    std::string hint = near.empty() ? "neither a guest nor a file that can be read"
                                    : "neither a guest nor a file; did you mean '" + near + "'?";
    return usage_error("vm run", args.guest, std::move(hint));
  }
  image.flat.assign(bytes->begin(), bytes->end());
  if (args.firmware) image.firmware = image.flat;
  return image;
}

void put(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  (void)sys::write_full(STDOUT_FILENO, bytes.data(), bytes.size());
}

// What a person types goes to the first serial port.
void take_input(vmm::Machine& machine, bool& open) {
  std::array<uint8_t, 64> bytes{};
  const int64_t n = sys::call(SYS_read, STDIN_FILENO, sys::arg(bytes.data()), bytes.size());
  if (n <= 0) {
    open = false;
    return;
  }
  machine.platform().serial_input(std::span(bytes).first(static_cast<size_t>(n)), machine.now());
}

// Waits a little, where asked to, for input or for the debugger, and takes it. False when nothing
// can come any more.
bool idle(vmm::Machine& machine, VmDebugger& debugger, bool& open, bool wait) {
  constexpr uint64_t kWaitMs = 50;
  std::vector<pollfd> list;
  for (const int fd : debugger.fds()) list.push_back({fd, POLLIN, 0});
  if (open) list.push_back({STDIN_FILENO, POLLIN, 0});
  const bool worth = open || debugger.attached();
  (void)sys::call(SYS_poll, sys::arg(list.data()), list.size(), wait && worth ? kWaitMs : 0);
  if (open && list.back().revents != 0) take_input(machine, open);
  debugger.look(machine);
  return open || debugger.attached();
}

int status_of(const vmm::End& end) {
  switch (end.kind) {
    case vmm::End::Kind::exited:
      return static_cast<int>(end.code & 0xff);
    case vmm::End::Kind::halted:
      return 0;
    default:
      return kExitFailed;
  }
}

Status write_transcript(const std::string& path, const std::vector<vmm::Entry>& entries) {
  const std::string text = vmm::render_transcript(entries);
  auto file = sys::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!file) return tl::unexpected(file.error());
  return sys::write_full(file->get(), text.data(), text.size());
}

// The kernel's PIC, PIT and speaker gate; its APICs are in memory. What the guest does to them goes
// into the transcript by way of an eBPF program at KVM's tracepoints.
constexpr std::array<uint16_t, 11> kKernelPorts = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1,
                                                   0x40, 0x41, 0x42, 0x43, 0x61};

class KernelDevices {
 public:
  // Without the privilege the transcript has what the event loop saw, and a note says so.
  explicit KernelDevices(vmm::Machine& machine) {
    auto devices = KvmDevices::attach(kKernelPorts);
    if (!devices) {
      fmt::print(stderr, "ringfence: the kernel's devices are not in the transcript: {}\n",
                 devices.error().describe());
      return;
    }
    devices_ = std::move(*devices);
    machine.on_return([this](vmm::Machine& m) { take(m); });
  }
  // What the transcript lacks is an error of it.
  [[nodiscard]] Status status() const {
    if (!status_) return status_;
    if (devices_ && devices_->lost() != 0) {
      return system_error("keep transcript",
                          fmt::format("{} accesses of the kernel's devices had no "
                                      "room",
                                      devices_->lost()),
                          ENOBUFS);
    }
    return {};
  }

 private:
  void take(vmm::Machine& machine) {
    auto taken = devices_->take([&](const rf_kvm_access& access) {
      using Kind = vmm::Entry::Kind;
      if (access.kind == RF_KVM_INTERRUPT || access.kind == RF_KVM_ACCEPTED) {
        const Kind kind = access.kind == RF_KVM_INTERRUPT ? Kind::interrupt : Kind::accepted;
        machine.transcript().add(machine.now(), kind, access.value, 0, 0, "");
        return;
      }
      const bool pit = access.address >= 0x40 && access.address <= 0x61;
      const bool write = access.kind == RF_KVM_OUT || access.kind == RF_KVM_MMIO_WRITE;
      const bool port = access.kind == RF_KVM_OUT || access.kind == RF_KVM_IN;
      const Kind kind =
          port ? (write ? Kind::out : Kind::in) : (write ? Kind::mmio_write : Kind::mmio_read);
      machine.transcript().add(machine.now(), kind, access.address, access.width, access.value,
                               !port ? ""
                               : pit ? "pit"
                                     : "pic");
    });
    if (status_ && !taken) status_ = taken;
  }
  std::optional<KvmDevices> devices_;
  Status status_;
};

Result<int> run_here(const VmArguments& args, const Image& image) {
  auto kvm = vmm::Kvm::open();
  if (!kvm) return tl::unexpected(kvm.error());
  vmm::Settings settings;
  settings.options.start.mode = image.mode;
  settings.options.whole_transcript = !args.transcript.empty();
  settings.options.budget.exits = ~0ULL;
  settings.options.budget.time = timeout_of(args, args.debug.gdb.empty() ? kTimeout : kLongest);
  settings.options.irqchip = args.vmm == "kvm-irqchip";
  // KVM's own timer runs by the host's clock.
  if (settings.options.irqchip) settings.options.clock = vmm::ClockKind::real;
  // The other form takes time for what it asks of the device. A file has the form that it has.
  const bool firmware = args.firmware || (settings.options.irqchip && !image.firmware.empty());
  if (firmware) settings.options.form = vmm::Form::firmware;
  for (const std::string& word : args.set) {
    if (auto ok = vmm::apply_setting(word, settings); !ok) return tl::unexpected(ok.error());
  }
  auto platform =
      vmm::make_board_platform(args.fault, std::move(settings.inputs), settings.options.irqchip);
  if (!platform) return tl::unexpected(platform.error());
  auto machine = vmm::Machine::create(*kvm, firmware ? image.firmware : image.flat,
                                      std::move(*platform), settings.options);
  if (!machine) return tl::unexpected(machine.error());
  if (auto ok = vmm::set_registers(**machine, settings); !ok) return tl::unexpected(ok.error());
  (*machine)->on_output([](std::span<const uint8_t> debug, std::span<const uint8_t> serial) {
    put(debug);
    put(serial);
  });
  auto debugger = VmDebugger::start(*kvm, **machine, args.debug, timeout_of(args, kPatience));
  if (!debugger) return tl::unexpected(debugger.error());
  if (args.debug.any()) {
    (*machine)->on_exit(
        [&](vmm::Machine& m, vmm::Exit& exit) { return (*debugger)->exit(m, exit); });
  }
  bool open = true;
  (*machine)->on_idle([&](vmm::Machine& m, bool wait) { return idle(m, **debugger, open, wait); });
  std::optional<KernelDevices> kernel_devices;
  if (settings.options.irqchip && settings.options.whole_transcript) {
    kernel_devices.emplace(**machine);
  }
  const vmm::End end = (*machine)->run();
  (*debugger)->ended(**machine, end);
  if (!args.transcript.empty()) {
    if (auto ok = write_transcript(args.transcript, (*machine)->transcript().entries()); !ok) {
      return tl::unexpected(ok.error());
    }
    if (kernel_devices && !kernel_devices->status()) {
      return tl::unexpected(kernel_devices->status().error());
    }
  }
  if ((*debugger)->error()) return tl::unexpected(*(*debugger)->error());
  if ((*debugger)->killed()) {
    fmt::print(stderr, "ringfence: the guest was ended by gdb\n");
    return kExitFailed;
  }
  if (end.kind == vmm::End::Kind::failed) return tl::unexpected(*end.error);
  if (end.kind != vmm::End::Kind::exited && end.kind != vmm::End::Kind::halted) {
    fmt::print(stderr, "ringfence: the guest ended: {}: {}\n{}", vmm::end_name(end.kind), end.text,
               (*machine)->report());
  }
  return status_of(end);
}

// A file for another VMM: the image, or what it writes; gone with this object.
class TemporaryFile {
 public:
  static Result<TemporaryFile> make(const std::vector<uint8_t>& bytes) {
    TemporaryFile file;
    file.path_ = "/tmp/ringfence-guest-XXXXXX";
    const int fd = ::mkostemp(file.path_.data(), O_CLOEXEC);
    if (fd < 0) return system_error("mkostemp", file.path_);
    const UniqueFd owned(fd);
    if (auto ok = sys::write_full(fd, bytes.data(), bytes.size()); !ok) {
      return tl::unexpected(ok.error());
    }
    return file;
  }
  TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!path_.empty()) (void)sys::call(SYS_unlink, sys::arg(path_.c_str()));
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  TemporaryFile() = default;
  std::string path_;
};

Status keep_qemu_transcript(const std::string& trace, const std::string& path) {
  const auto text = read_file(trace);
  if (!text) return tl::unexpected(text.error());
  const auto entries = vmm::parse_qemu_trace(*text, "trace of QEMU");
  if (!entries) return tl::unexpected(entries.error());
  if (entries->empty()) {
    return unsupported_error("vm run", "--transcript", 0,
                             "this QEMU wrote no trace: it has to have the 'log' trace backend");
  }
  return write_transcript(path, *entries);
}

Result<int> run_elsewhere(const VmArguments& args, const Image& image) {
  const std::vector<uint8_t>& bytes = image.firmware;
  if (bytes.empty()) {
    return usage_error("vm run", image.name,
                       "has no firmware form, which --vmm " + args.vmm + " needs");
  }
  auto file = TemporaryFile::make(bytes);
  if (!file) return tl::unexpected(file.error());
  ProgramRequest request;
  request.fds = {{0, 0}, {1, 1}, {2, 2}};
  if (args.vmm == "qemu") {
    // Without firmware nobody lets the PIC's interrupts through a local APIC.
    request.argv = {"qemu-system-x86_64", "-accel", "tcg", "-cpu",
                    image.local_apic ? "qemu64" : "qemu64,-apic", "-display", "none", "-no-reboot",
                    "-nodefaults", "-bios", file->path(), "-monitor", "none", "-chardev",
                    "stdio,id=out,mux=on,signal=off",
                    // Not a file /dev/stdout, which QEMU would truncate.
                    "-serial", "chardev:out", "-device", "isa-debugcon,chardev=out", "-device",
                    "isa-debug-exit,iobase=0xf4,iosize=4"};
  } else {
    std::string command = args.vmm.substr(std::string_view("exec:").size());
    const size_t place = command.find("{image}");
    if (place == std::string::npos) {
      return usage_error("vm run", "--vmm " + args.vmm, "the command has to name {image}");
    }
    command.replace(place, std::string_view("{image}").size(), file->path());
    request.argv = {"sh", "-c", command};
  }
  std::optional<TemporaryFile> trace;
  if (!args.transcript.empty()) {
    auto made = TemporaryFile::make({});
    if (!made) return tl::unexpected(made.error());
    trace.emplace(std::move(*made));
    for (const auto& word : {std::string("-trace"), std::string("memory_region_ops_*"),
                             std::string("-D"), trace->path()}) {
      request.argv.push_back(word);
    }
  }
  auto child = start_program(request);
  if (!child) return tl::unexpected(child.error());
  auto status = child->wait(timeout_of(args, kTimeout));
  if (!status) return tl::unexpected(status.error());
  if (!*status) {  // the handle ends it
    return system_error("vm run", args.vmm, ETIMEDOUT, "the guest did not end; see --timeout");
  }
  const ExitStatus& ended = **status;
  if (trace) {
    if (auto ok = keep_qemu_transcript(trace->path(), args.transcript); !ok) {
      return tl::unexpected(ok.error());
    }
  }
  if (ended.signaled) return kExitFailed;
  if (args.vmm == "qemu" && (ended.code & kIsaDebugExit) != 0) return ended.code >> 1;
  return ended.code;
}

int vm_run(const VmArguments& args) {
  const bool here = args.vmm == "ringfence" || args.vmm == "kvm-irqchip";
  if (!here && args.vmm != "qemu" && !args.vmm.starts_with("exec:")) {
    return complain(usage_error("vm run", "--vmm " + args.vmm,
                                "ringfence, kvm-irqchip, qemu, or exec:'CMD {image}'")
                        .value());
  }
  if (args.timeout && (*args.timeout <= 0 || *args.timeout > kLongest)) {
    return complain(usage_error("vm run", "--timeout", "more than 0 and at most 86400 s").value());
  }
  if (auto ok = check_debug_options(args.debug); !ok) return complain(ok.error());
  if (!here && (args.debug.any() || args.debug.registers)) {
    return complain(
        usage_error("vm run", "--gdb, --break, --step, --registers", "only of our own VMM")
            .value());
  }
  const auto image = find_image(args);
  if (!image) return complain(image.error());
  if (!here && args.vmm != "qemu" && !args.transcript.empty()) {
    return complain(usage_error("vm run", "--transcript", "only of our own VMM and QEMU").value());
  }
  if (args.firmware && image->firmware.empty()) {
    return complain(usage_error("vm run", args.guest, "has no firmware form").value());
  }
  const auto code = here ? run_here(args, *image) : run_elsewhere(args, *image);
  return code ? *code : complain(code.error());
}

}  // namespace

void add_vm(CLI::App& app, Action& action) {
  CLI::App* vm = app.add_subcommand("vm", "Guests in the mini-VMM");
  vm->require_subcommand(1);
  auto args = std::make_shared<VmArguments>();
  CLI::App* run = vm->add_subcommand("run", "Run a guest; its exit port gives the exit status");
  run->add_option("guest", args->guest, "A guest by name, or a flat image at address 0")
      ->type_name("GUEST|FILE")
      ->required();
  run->add_option(
         "--vmm", args->vmm,
         "ringfence, kvm-irqchip (the kernel's PIC, PIT and APICs), qemu, or exec:'CMD {image}'")
      ->capture_default_str();
  run->add_option("--transcript", args->transcript, "Write what the guest did to this file")
      ->type_name("PATH");
  run->add_flag("--firmware", args->firmware, "The firmware form: 64 KiB with a reset vector");
  run->add_option("--fault", args->fault, "A seeded fault in one of the devices")->type_name("ID");
  run->add_option("--set", args->set,
                  "mode=long, rbx=1, clock=real, input=0:key:1c, ... (repeatable)")
      ->type_name("WORD");
  run->add_option(
         "--timeout", args->timeout,
         "Seconds until the guest is ended [10; with --gdb a day, and 600 for gdb to come]")
      ->type_name("S");
  run->add_option("--gdb", args->debug.gdb,
                  "Let gdb debug the guest: 'target remote' on a loopback port or a Unix socket")
      ->type_name("[HOST:]PORT|PATH");
  run->add_option("--break", args->debug.breaks,
                  "Print registers and code when the guest comes to this address")
      ->type_name("ADDR")
      ->allow_extra_args(false);
  run->add_option("--step", args->debug.step,
                  "Print so many instructions, from the start or from each --break on")
      ->type_name("N");
  run->add_flag("--registers", args->debug.registers,
                "Print registers and code at the end; SIGQUIT does so at any time");
  run->callback([args, &action] { action = [args] { return vm_run(*args); }; });
}

}  // namespace ringfence::cli
