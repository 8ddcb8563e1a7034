#include "harness/kernels/accelerator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/kernels/program.h"

extern "C" const unsigned char ringfence_accelerator_trial_begin[];
extern "C" const unsigned char ringfence_accelerator_trial_end[];

namespace ringfence {
namespace {

// What isa-debug-exit makes of a code (2 * code + 1), the codes being accelerator_trial.asm's.
constexpr int kCarries = 0x10 * 2 + 1;
constexpr int kTooSlow = 0x11 * 2 + 1;
// The number of the image's descriptor in QEMU.
constexpr int kImage = 3;

Result<UniqueFd> in_memory(const char* name, const unsigned char* begin, const unsigned char* end) {
  const int64_t fd = sys::call(SYS_memfd_create, sys::arg(name), MFD_CLOEXEC);
  if (fd < 0) return system_error("memfd_create", name, static_cast<int>(-fd));
  UniqueFd file(static_cast<int>(fd));
  if (end > begin) {
    const auto size = static_cast<size_t>(end - begin);
    if (auto ok = sys::write_full(file.get(), begin, size); !ok) return tl::unexpected(ok.error());
  }
  return file;
}

std::string last_line(int file) {
  std::array<char, 4096> bytes{};
  const int64_t n =
      sys::call(SYS_pread64, static_cast<uint64_t>(file), sys::arg(bytes.data()), bytes.size(), 0);
  std::string text(bytes.data(), n > 0 ? static_cast<size_t>(n) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

Status try_accelerator(const AcceleratorTrial& trial) {
  auto nothing = sys::open("/dev/null", O_RDWR);
  if (!nothing) return tl::unexpected(nothing.error());
  auto image = in_memory("accelerator-trial", ringfence_accelerator_trial_begin,
                         ringfence_accelerator_trial_end);
  if (!image) return tl::unexpected(image.error());
  auto complaint = in_memory("accelerator-complaint", nullptr, nullptr);
  if (!complaint) return tl::unexpected(complaint.error());
  ProgramRequest request;
  request.argv = {trial.program,
                  "-nodefaults",
                  "-no-user-config",
                  "-display",
                  "none",
                  "-machine",
                  "q35",
                  "-accel",
                  trial.accelerator,
                  "-cpu",
                  trial.accelerator == "kvm" ? "host" : "max",
                  "-bios",
                  fmt::format("/proc/self/fd/{}", kImage),
                  "-device",
                  "isa-debug-exit,iobase=0xf4,iosize=1",
                  "-no-reboot"};
  request.argv.insert(request.argv.end(), trial.more.begin(), trial.more.end());
  request.environment = {{"LC_ALL", "C"}};
  request.fds = {
      {0, nothing->get()}, {1, nothing->get()}, {2, complaint->get()}, {kImage, image->get()}};
  auto child = start_program(request);
  if (!child) return tl::unexpected(child.error());
  auto ended = child->wait(trial.patience);
  if (!ended) return tl::unexpected(ended.error());
  const auto refused = [&](const std::string& why) -> Status {
    return unsupported_error("try an accelerator", trial.accelerator, ENOTSUP, why);
  };
  if (!*ended) {
    return refused(fmt::format("a trial of some thousand instructions did not end within {} ms",
                               trial.patience.count()));
  }
  if (!(*ended)->signaled && (*ended)->code == kCarries) return {};
  if (!(*ended)->signaled && (*ended)->code == kTooSlow) {
    return refused("it takes more than 100 ns an instruction of a kernel");
  }
  const std::string said = last_line(complaint->get());
  return refused(said.empty() ? "the trial ended with " + (*ended)->describe() : said);
}

}  // namespace ringfence
