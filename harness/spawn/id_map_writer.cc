#include "harness/spawn/id_map_writer.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <ctime>
#include <system_error>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/network.h"

namespace ringfence {

Status IdMapWriter::start() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return system_error("start the thread that writes id maps", {}, error.code().value());
  }
  return {};
}

void IdMapWriter::finish() {
  if (!thread_.joinable()) return;
  uint32_t nobody = 0;
  __atomic_compare_exchange_n(&report_->waiting, &nobody, uint32_t{kOver}, false, __ATOMIC_ACQ_REL,
                              __ATOMIC_ACQUIRE);
  sys::call(SYS_futex, sys::arg(&report_->waiting), FUTEX_WAKE, 1);
  thread_.join();
}

void IdMapWriter::run() {
  for (;;) {
    const uint32_t waiting = __atomic_load_n(&report_->waiting, __ATOMIC_ACQUIRE);
    if (waiting == kOver) return;  // no child, or it ended before it asked
    if (waiting == kWaiting) break;
    timespec brief{0, 20'000'000};
    sys::call(SYS_futex, sys::arg(&report_->waiting), FUTEX_WAIT, 0, sys::arg(&brief));
  }
  write_maps();
  make_network();
  __atomic_store_n(&report_->go, uint32_t{failure_ ? kNoGo : kGo}, __ATOMIC_RELEASE);
  sys::call(SYS_futex, sys::arg(&report_->go), FUTEX_WAKE, 1);
}

void IdMapWriter::write_maps() {
  const std::string directory = fmt::format("/proc/{}/", *pid_);
  const auto write = [&](const char* key, const char* file, const std::string& text) {
    if (failure_ || text.empty()) return;
    if (auto written = write_file(directory + file, text); !written) {
      failure_ = Failure{key, written.error()};
    }
  };
  if (plan_.deny_setgroups) write("userns.gid_map", "setgroups", "deny");
  write("userns.uid_map", "uid_map", plan_.uid_map);
  write("userns.gid_map", "gid_map", plan_.gid_map);
}

// This thread ends in the target's network namespace; nobody else goes along.
void IdMapWriter::make_network() {
  std::optional<NetworkMaker> maker;
  for (const Step& step : plan_.steps) {
    if (failure_) return;
    if (step.network.effect == Step::Network::Effect::none) continue;
    if (!maker) {
      auto opened = NetworkMaker::open(plan_.network, *pid_);
      if (!opened) {
        failure_ = Failure{step.key, opened.error()};
        return;
      }
      maker.emplace(std::move(*opened));
      maker->count_with(port_program_);
    }
    if (auto made = maker->make(step.network); !made) failure_ = Failure{step.key, made.error()};
    counted_ports_ = maker->counted();
  }
}

}  // namespace ringfence
