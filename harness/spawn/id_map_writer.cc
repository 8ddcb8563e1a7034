#include "harness/spawn/id_map_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <cerrno>
#include <ctime>
#include <system_error>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/network.h"
#include "harness/spawn/spawn.h"

namespace ringfence {
namespace {

// "newuid_map" is called newuidmap. Sources: newuidmap(1), subuid(5).
Status write_by_helper(std::string program, int pid, const std::string& map) {
  std::erase(program, '_');
  Policy policy;
  policy.name = program;
  policy.new_session = policy.set_user = false;
  auto plan = compile(policy);
  if (!plan) return tl::unexpected(plan.error());
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = program;
  request.args = {program, std::to_string(pid)};
  for (const auto line : split(map, '\n')) {
    for (const auto number : split(line, ' ')) request.args.emplace_back(number);
  }
  auto nothing = sys::open("/dev/null", O_RDWR);
  if (!nothing) return tl::unexpected(nothing.error());
  request.fds = {{0, nothing->get()}, {1, nothing->get()}, {2, nothing->get()}};
  const char* hint =
      "without CAP_SETUID only one's own id can be mapped, or by newuidmap and newgidmap what "
      "/etc/subuid and /etc/subgid grant";
  auto child = spawn(request);
  if (!child) return system_error("map ids by " + program, {}, EPERM, hint);
  auto end = child->wait();
  if (!end) return tl::unexpected(end.error());
  if (!*end || (*end)->signaled || (*end)->code != 0) {
    return system_error("map ids by " + program, std::string(trim(map)), EPERM, hint);
  }
  return {};
}

}  // namespace

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
    auto written = write_file(directory + file, text);
    // More than one's own id takes a privilege, which these programs have.
    if (!written && written.error().err == EPERM && text != "deny") {
      written = write_by_helper(std::string("new") + file, *pid_, text);
    }
    if (!written) failure_ = Failure{key, written.error()};
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
      auto opened = NetworkMaker::open(plan_.network, plan_.net_devices, *pid_);
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
