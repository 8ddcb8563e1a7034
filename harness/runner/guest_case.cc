#include "harness/runner/guest_case.h"

#include <fmt/format.h>
#include <linux/kvm.h>

#include <algorithm>
#include <numeric>

#include "guests/guests.h"
#include "harness/base/file.h"
#include "harness/vmm/board_platform.h"
#include "harness/vmm/report.h"
#include "harness/vmm/scenario.h"

namespace ringfence {
namespace {

using vmm::Entry;

constexpr size_t kLinesAround = 14;  // of the transcript, before what decided
constexpr size_t kReportLines = 40;  // of a dead guest
constexpr uint16_t kDebugPort = 0xe9;

std::optional<vmm::CpuMode> mode_of(vmm::CpuStart start) {
  switch (start) {
    case vmm::CpuStart::real:
      return vmm::CpuMode::real;
    case vmm::CpuStart::protected16:
      return vmm::CpuMode::protected16;
    case vmm::CpuStart::protected32:
      return vmm::CpuMode::protected32;
    case vmm::CpuStart::long64:
      return vmm::CpuMode::long64;
  }
  return std::nullopt;
}

class GuestTrial {
 public:
  GuestTrial(const Case& c, std::string name, std::chrono::milliseconds timeout,
             const KvmExits* kvm_exits)
      : case_(c),
        body_(*c.guest),
        name_(std::move(name)),
        timeout_(timeout),
        kvm_exits_(kvm_exits) {}

  GuestOutcome run() {
    const auto began = std::chrono::steady_clock::now();
    if (auto ok = run_machine(); !ok) {
      outcome_.error = ok.error().describe();
      outcome_.error_word = "vmm_failed";
    }
    outcome_.duration_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               std::chrono::steady_clock::now() - began)
                               .count();
    return std::move(outcome_);
  }

 private:
  [[nodiscard]] bool control() const { return name_ == "control"; }

  Status run_machine() {
    guest_ = vmm::find_guest(body_.image);
    if (guest_ == nullptr) return usage_error("find guest", body_.image, "no guest has this name");
    if (const std::string word = emulator_word(true); !word.empty()) {
      outcome_.lack = "emulator-lacks:" + word;
      outcome_.end = "not run: it would take this machine down";
      return {};
    }
    auto kvm = vmm::Kvm::open();
    if (!kvm) return tl::unexpected(kvm.error());
    vmm::Settings settings;
    settings.options.budget.time = timeout_;
    settings.options.whole_transcript = true;
    if (const auto mode = mode_of(guest_->start)) settings.options.start.mode = *mode;
    for (const std::string& word : control() ? body_.control : body_.confined) {
      if (auto ok = vmm::apply_setting(word, settings); !ok) return ok;
    }
    std::unique_ptr<vmm::Scenario> scenario;
    if (!body_.scenario.empty()) {
      auto made = vmm::make_scenario(body_.scenario, *kvm, control());
      if (!made) return tl::unexpected(made.error());
      scenario = std::move(*made);
      if (!scenario->lack().empty()) {
        outcome_.lack = scenario->lack();
        outcome_.end = "not run";
        return {};
      }
      scenario->options(settings.options);
    }
    settings.options.budget.time = guest_trial_time(settings.options.budget.time, vmm::emulator());
    auto platform =
        make_platform(control() ? body_.fault : std::string(), std::move(settings.inputs));
    if (!platform) return tl::unexpected(platform.error());
    auto machine = vmm::Machine::create(*kvm, guest_->flat, std::move(*platform), settings.options);
    if (!machine) return tl::unexpected(machine.error());
    if (auto ok = vmm::set_registers(**machine, settings); !ok) return ok;
    return run_guest_on(**machine, scenario.get());
  }

  [[nodiscard]] Result<std::unique_ptr<vmm::Platform>> make_platform(
      const std::string& fault, std::vector<vmm::Input> inputs) const {
    if (case_.expected == Layer::kDevice) {
      return vmm::make_board_platform(fault, std::move(inputs));
    }
    return std::unique_ptr<vmm::Platform>(std::make_unique<vmm::BarePlatform>());
  }

  Status run_guest_on(vmm::Machine& machine, vmm::Scenario* scenario) {
    const auto stats = machine.vcpu().stats();
    const auto before = stats ? stats->read() : Result<std::map<std::string, uint64_t>>({});
    if (scenario != nullptr) {
      if (auto ok = scenario->before(machine); !ok) return ok;
      machine.on_exit(
          [scenario](vmm::Machine& m, vmm::Exit& exit) { return scenario->exit(m, exit); });
    }
    // Where it cannot be counted, in another pid namespace than the run's, the rest still judges.
    std::optional<KvmExits::Count> traced;
    if (kvm_exits_ != nullptr) {
      if (auto count = kvm_exits_->begin()) traced.emplace(std::move(*count));
    }
    const vmm::End end = machine.run();
    if (traced) count_returns(*traced);
    if (end.kind == vmm::End::Kind::failed) return tl::unexpected(*end.error);
    if (stats && before) {
      if (const auto after = stats->read()) count_exits(*before, *after);
    }
    outcome_.exits = ports_of(machine.exits());
    outcome_.returns = {all_of(machine.exits()) + all_of(machine.other_exits()),
                        ports_of(machine.exits()) + ports_of(machine.other_exits())};
    outcome_.end = end.text;
    read_report(machine);
    if (scenario != nullptr) {
      std::vector<vmm::Finding> seen;
      scenario->after(machine, end, seen);
      for (vmm::Finding& f : seen) {
        outcome_.reports.push_back(
            {f.held ? GuestOutcome::Report::Kind::held : GuestOutcome::Report::Kind::failed, true,
             body_.clause + ": " + f.text});
      }
    }
    outcome_.ended = scenario != nullptr ? scenario->right_end(end)
                                         : end.kind == vmm::End::Kind::exited && report_.ended;
    find_lack(machine, end);
    tell(machine, end);
    return {};
  }

  void count_exits(const std::map<std::string, uint64_t>& before,
                   const std::map<std::string, uint64_t>& after) {
    const auto grew = [&](const char* name) -> uint64_t {
      const auto a = after.find(name);
      const auto b = before.find(name);
      return a == after.end() || b == before.end() ? 0 : a->second - b->second;
    };
    if (!vmm::hardware_virtualization()) return;  // a KVM that emulates counts none of them
    outcome_.kernel_exits = grew("io_exits");
  }

  void count_returns(const KvmExits::Count& traced) {
    const auto counts = traced.so_far();
    if (!counts) return;
    outcome_.traced = {all_returns(*counts), counts->returns[KVM_EXIT_IO]};
  }

  using Exits = std::array<uint64_t, std::variant_size_v<vmm::Exit>>;
  static uint64_t ports_of(const Exits& exits) {
    return exits.at(vmm::Exit(vmm::IoIn{}).index()) + exits.at(vmm::Exit(vmm::IoOut{}).index());
  }
  // A signal's is none: KVM_RUN fails.
  static uint64_t all_of(const Exits& exits) {
    return std::accumulate(exits.begin(), exits.end(), uint64_t{0}) -
           exits.at(vmm::Exit(vmm::Intr{}).index());
  }

  void read_report(vmm::Machine& machine) {
    const std::string& text = machine.debug_text();
    report_ = vmm::parse_guest_report(text);
    size_t at = 0;
    for (const std::string_view line : split(text, '\n')) {
      const size_t begin = at;
      at += line.size() + 1;
      const auto parsed = vmm::parse_guest_line(line);
      if (!parsed || parsed->name != body_.clause) continue;
      add_report(*parsed, begin);
    }
  }

  void add_report(const vmm::GuestLine& line, size_t offset) {
    using Kind = GuestOutcome::Report::Kind;
    GuestOutcome::Report report;
    const std::string where = fmt::format("{}, {}:{}", line.name, guest_->source, line.line);
    if (line.kind == vmm::GuestLine::Kind::held) {
      report.kind = Kind::held;
      report.text = where;
    } else if (line.kind == vmm::GuestLine::Kind::failed) {
      report.kind = Kind::failed;
      const std::string port = line.port != 0 ? fmt::format("port {:#x}, ", line.port) : "";
      report.text = fmt::format("{}: {}mask {:#x}, expected {:#x}, seen {:#x}", where, port,
                                line.mask, line.expected, line.seen);
    } else if (line.kind == vmm::GuestLine::Kind::not_judged) {
      report.kind = Kind::not_judged;
      report.text = line.word;
    } else {
      return;
    }
    const bool first_failure = report.kind == Kind::failed &&
                               std::none_of(outcome_.reports.begin(), outcome_.reports.end(),
                                            [](const auto& r) { return r.kind == Kind::failed; });
    if (outcome_.reports.empty() || first_failure) decisive_offset_ = offset;
    outcome_.reports.push_back(std::move(report));
  }

  // What the case says of the emulator that this machine is: its word, empty where there is none.
  // `unsafe`: only what must not be tried.
  [[nodiscard]] std::string emulator_word(bool unsafe) const {
    const std::string_view kind = vmm::emulator();
    if (kind.empty()) return {};
    for (const std::string& entry : body_.emulators) {
      const std::string_view rest = std::string_view(entry).substr(
          std::min(entry.size(), entry.starts_with(kind) ? kind.size() : entry.size()));
      if (rest.starts_with("!:")) return std::string(rest.substr(2));
      if (!unsafe && rest.starts_with(":")) return std::string(rest.substr(1));
    }
    return {};
  }

  // An instruction that KVM's emulator does not have ends the run; what else an emulator lacks, the
  // case names. On real hardware nothing is lacking.
  void find_lack(const vmm::Machine& machine, const vmm::End& end) {
    if (vmm::emulator().empty()) return;
    const bool failed =
        std::any_of(outcome_.reports.begin(), outcome_.reports.end(),
                    [](const auto& r) { return r.kind == GuestOutcome::Report::Kind::failed; });
    const bool right = control() ? failed : outcome_.ended && !failed && !outcome_.reports.empty();
    if (right) return;
    if (const std::string word = emulator_word(false); !word.empty()) {
      outcome_.lack = "emulator-lacks:" + word;
    } else if (vmm::emulator() == "kvm" && end.kind == vmm::End::Kind::internal_error && !failed) {
      outcome_.lack = "emulator-lacks:" + instruction(machine);
    }
  }

  // "iret32": what the guest was at, and in which width.
  static std::string instruction(const vmm::Machine& machine) {
    const std::string report = machine.report();
    const auto sregs = machine.vcpu().sregs();
    const int bits = sregs ? vmm::code_bits(*sregs) : 0;
    const size_t code = report.find("code:\n");
    if (code == std::string::npos) return "unknown";
    const size_t colon = report.find(": ", code);
    if (colon == std::string::npos) return "unknown";
    std::string word = report.substr(colon + 2);
    word = word.substr(0, word.find_first_of(" \n"));
    return fmt::format("{}{}", word, bits);
  }

  void line(int64_t ns, const char* source, std::string text, bool decided = false) {
    outcome_.evidence.push_back({name_, ns / 1000, source, std::move(text), decided});
  }

  // The transcript before the report that decides, without the report's own letters.
  void tell(vmm::Machine& machine, const vmm::End& end) {
    const auto entries = machine.transcript().entries();
    outcome_.transcript_lost = machine.transcript().lost();
    // The first word of a fault's id is the device's name.
    const std::string_view device =
        std::string_view(body_.fault)
            .substr(0, std::min(body_.fault.find('.'), body_.fault.size()));
    size_t letters = 0;
    size_t decided = entries.size();
    for (size_t i = 0; i < entries.size(); ++i) {
      const Entry& e = entries[i];
      const bool access = e.width != 0;
      if (!access) continue;
      ++outcome_.accesses;
      if (e.device == device) ++outcome_.device_accesses;
      if (e.kind != Entry::Kind::out || e.address != kDebugPort) continue;
      if (letters++ == decisive_offset_) decided = std::min(decided, i);
    }
    std::vector<const Entry*> shown;
    for (size_t i = decided; i-- > 0 && shown.size() < kLinesAround;) {
      const Entry& e = entries[i];
      if (e.kind != Entry::Kind::out || e.address != kDebugPort) shown.push_back(&e);
    }
    for (auto it = shown.rbegin(); it != shown.rend(); ++it) {
      line(static_cast<int64_t>((*it)->now), "transcript", vmm::render(**it));
    }
    if (!outcome_.reports.empty()) {
      const auto* decisive = &outcome_.reports.front();
      for (const auto& r : outcome_.reports) {
        if (r.kind == GuestOutcome::Report::Kind::failed) {
          decisive = &r;
          break;
        }
      }
      const int64_t at = decided < entries.size() ? static_cast<int64_t>(entries[decided].now)
                                                  : static_cast<int64_t>(machine.now());
      line(at, decisive->by_host ? "kvm" : "guest", decisive->text, name_ == "confined");
    }
    line(static_cast<int64_t>(machine.now()), "kvm", "end: " + end.text);
    if (outcome_.ended || control()) return;
    const std::string report = machine.report();
    size_t n = 0;
    for (const std::string_view text : split(report, '\n')) {
      if (text.empty() || n++ >= kReportLines) continue;
      line(static_cast<int64_t>(machine.now()), "kvm", std::string(text));
    }
  }

  const Case& case_;
  const GuestBody& body_;
  std::string name_;
  std::chrono::milliseconds timeout_;
  const KvmExits* kvm_exits_;
  const vmm::Guest* guest_ = nullptr;
  vmm::GuestReport report_;
  size_t decisive_offset_ = ~size_t{0};
  GuestOutcome outcome_;
};

}  // namespace

std::chrono::milliseconds guest_trial_time(std::chrono::milliseconds timeout,
                                           std::string_view emulator) {
  constexpr int kTcg = 6;
  return emulator == "tcg" ? timeout * kTcg : timeout;
}

GuestOutcome run_guest(const Case& c, const std::string& name, std::chrono::milliseconds timeout,
                       const KvmExits* kvm_exits) {
  return GuestTrial(c, name, timeout, kvm_exits).run();
}

CaseRecord run_guest_case(const Case& c, const RunContext& context) {
  const GuestOutcome control = run_guest(c, "control", context.timeout, context.kvm_exits);
  const GuestOutcome confined = run_guest(c, "confined", context.timeout, context.kvm_exits);
  return make_guest_record(c, control, confined, judge_guest(c, control, confined));
}

}  // namespace ringfence
