#include "harness/cli/machines.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include <CLI/CLI.hpp>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/kernels/initramfs.h"

namespace ringfence::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPolicyInside = "/etc/ringfence/policy.json";

// All names of comma-separated lists.
std::vector<std::string> words_of(const std::vector<std::string>& lists) {
  std::vector<std::string> words;
  for (const auto& list : lists) {
    for (const auto word : split(list, ',')) words.emplace_back(word);
  }
  return words;
}

bool any_machine(const std::vector<KernelTarget>& targets) {
  return std::any_of(targets.begin(), targets.end(),
                     [](const KernelTarget& t) { return !t.source.running; });
}

}  // namespace

std::chrono::milliseconds seconds(double value) {
  return std::chrono::milliseconds(static_cast<int64_t>(value * 1000));
}

Result<std::pair<std::string, std::string>> parse_pair(const char* option,
                                                       const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return usage_error(option, text, "write NAME=VALUE");
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

std::string this_program() {
  std::error_code failed;
  return fs::read_symlink("/proc/self/exe", failed).string();
}

Result<std::vector<KernelTarget>> find_targets(const MachineArguments& args,
                                               const std::string& policy) {
  const std::string cache = cache_directory();
  std::error_code failed;
  const std::string program = this_program();
  std::vector<KernelTarget> targets;
  for (const auto& spec : args.kernels) {
    auto source = find_kernel(spec, cache);
    if (!source) return tl::unexpected(source.error());
    KernelTarget target;
    target.source = std::move(*source);
    targets.push_back(std::move(target));
  }
  for (auto& target : targets) {
    if (target.source.running) continue;
    InitramfsPlan plan;
    plan.program = program;
    plan.modules = target.source.modules;
    plan.needed_modules = words_of(args.modules);
    plan.with = words_of(args.with);
    if (plan.modules.empty() && !plan.needed_modules.empty()) {
      return usage_error("--modules", plan.needed_modules.front(),
                         "no lib/modules is known for " + target.source.spec);
    }
    if (!policy.empty() && fs::exists(policy, failed)) {
      auto text = read_file(policy);
      if (!text) return tl::unexpected(text.error());
      plan.texts[kPolicyInside] = std::move(*text);
    }
    auto files = plan_initramfs(plan, cache);
    if (!files) return tl::unexpected(files.error());
    auto path = files->write(cache);
    if (!path) return tl::unexpected(path.error());
    target.initramfs = std::move(*path);
  }
  for (auto& target : targets) {
    if (policy.empty()) continue;
    const bool inside = !target.source.running && fs::exists(policy, failed);
    target.run_arguments = {"--policy", inside ? kPolicyInside : policy};
  }
  return targets;
}

Result<MachineOptions> machine_of(const MachineArguments& args,
                                  const std::vector<KernelTarget>& targets,
                                  const std::atomic<bool>& interrupted) {
  MachineOptions machine;
  machine.memory_mib = args.memory_mib;
  machine.cpus = args.cpus;
  machine.command_line = args.command_line;
  machine.hang_after = seconds(args.hang_after);
  machine.boot_timeout = seconds(args.boot_timeout);
  machine.interrupted = &interrupted;
  const auto wanted = vmm_by_name(args.vmm);
  if (!wanted) return usage_error("--vmm", args.vmm, "auto, qemu-kvm or qemu-tcg");
  if (any_machine(targets)) {
    auto choice = choose_vmm(*wanted);
    if (!choice) return tl::unexpected(choice.error());
    machine.vmm = std::move(*choice);
  }
  return machine;
}

Status add_sysctls(const MachineArguments& args, std::vector<KernelTarget>& targets) {
  for (const auto& text : args.sysctls) {
    auto parsed = parse_pair("--sysctl", text);
    if (!parsed) return tl::unexpected(parsed.error());
    for (auto& target : targets) {
      if (target.source.running) {
        return usage_error("--sysctl", text, "the running kernel's settings are not changed");
      }
      // An axis says it more exactly.
      target.sysctls.emplace(parsed->first, parsed->second);
    }
  }
  return {};
}

Result<Consoles> Consoles::open(const std::string& directory,
                                const std::vector<KernelTarget>& targets) {
  Consoles consoles;
  std::error_code failed;
  if (!directory.empty()) fs::create_directories(directory, failed);
  if (failed) return usage_error("--console", directory, failed.message());
  for (size_t i = 0; !directory.empty() && i < targets.size(); ++i) {
    const std::string path =
        fmt::format("{}/{}-{}.log", directory, i + 1, targets[i].source.release);
    auto fd = sys::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (!fd) return usage_error("--console", path, errno_name(fd.error().err));
    consoles.files_.push_back(std::move(*fd));
  }
  return consoles;
}

void Consoles::write(size_t target, std::string_view bytes) const {
  if (target < files_.size()) {
    (void)sys::write_full(files_[target].get(), bytes.data(), bytes.size());
  }
}

void add_kernel_option(CLI::App& command, MachineArguments& args, const char* help) {
  command.add_option("--kernel", args.kernels, help)
      ->type_name("SPEC")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_machine_options(CLI::App& command, MachineArguments& args) {
  const auto list = [&](const char* name, std::vector<std::string>& to, const char* help,
                        const char* type) {
    return command.add_option(name, to, help)
        ->type_name(type)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  command.add_option("--vmm", args.vmm, "auto, qemu-kvm or qemu-tcg")
      ->check(CLI::IsMember({"auto", "qemu-kvm", "qemu-tcg"}));
  command.add_option("--memory", args.memory_mib, "Of a machine; 1024 by default")
      ->type_name("MIB")
      ->check(CLI::Range(128, 1 << 20));
  command.add_option("--cpus", args.cpus, "Of a machine; 2 by default")->check(CLI::Range(1, 255));
  command.add_option("--cmdline", args.command_line, "Further words for the kernel")
      ->type_name("TEXT");
  list("--sysctl", args.sysctls, "Set in the machine before anything runs", "NAME=VALUE");
  list("--with", args.with,
       "Further programs (by PATH), files, or Debian packages in the machine, with the libraries "
       "that they need",
       "NAME,...");
  list("--modules", args.modules, "Kernel modules that have to be there", "NAME,...");
  command.add_option("--console", args.console, "Keep each machine's console in a file there")
      ->type_name("DIR");
  command
      .add_option(
          "--boot-timeout", args.boot_timeout,
          "Seconds for a machine to come up, under TCG once more for a second try; 60 by default")
      ->check(CLI::Range(1.0, 86400.0));
  command
      .add_option("--hang-after", args.hang_after,
                  "Seconds without a beat of some CPU that make a hang; 8 by default")
      ->check(CLI::Range(1.0, 86400.0));
}

}  // namespace ringfence::cli
