// ringfence kernels
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>

#include <CLI/CLI.hpp>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/cli/commands.h"
#include "harness/cli/reporter.h"
#include "harness/kernels/initramfs.h"
#include "harness/kernels/kernels.h"
#include "suites/suite.h"

namespace ringfence::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPolicyInside = "/etc/ringfence/policy.json";
constexpr int kSignalBase = 128;  // as shells say it

std::atomic<bool> interrupted{false};

void on_interrupt(int /*signal*/) { interrupted = true; }

void end_in_order_on_signals() {
  struct sigaction on_signal {};
  on_signal.sa_handler = on_interrupt;
  sigaction(SIGINT, &on_signal, nullptr);
  sigaction(SIGTERM, &on_signal, nullptr);
}

struct Arguments {
  std::vector<std::string> globs, kernels, axes, sysctls, with, modules, reports, command;
  std::string vmm = "auto", command_line, policy, suite = "default", expect_skips, console;
  int memory_mib = 1024, cpus = 2, machines = 1, jobs = 0;
  double timeout = 10, hang_after = 8, boot_timeout = 60;
  std::optional<uint64_t> seed;
  std::optional<int> min_held;
  bool no_ebpf = false, quiet = false, verbose = false;
};

std::chrono::milliseconds seconds(double value) {
  return std::chrono::milliseconds(static_cast<int64_t>(value * 1000));
}

// "name=value", the name up to the first '='.
Result<std::pair<std::string, std::string>> parse_pair(const char* option,
                                                       const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return usage_error(option, text, "write NAME=VALUE");
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

// Not split(): an empty value is one.
std::vector<std::string> values_of(const std::string& text) {
  std::vector<std::string> values;
  size_t from = 0;
  for (size_t bar = text.find('|'); bar != std::string::npos; bar = text.find('|', from)) {
    values.push_back(text.substr(from, bar - from));
    from = bar + 1;
  }
  values.push_back(text.substr(from));
  return values;
}

// Sets one value of an axis.
Status set_axis(KernelTarget& target, const std::string& name, const std::string& value) {
  constexpr std::string_view kSysctl = "sysctl.";
  const std::string spec = name + "=" + value;
  target.axes[name] = value;
  if (name == "cmdline") {
    target.command_line += (target.command_line.empty() ? "" : " ") + value;
    return {};
  }
  if (name.starts_with(kSysctl)) {
    target.sysctls[name.substr(kSysctl.size())] = value;
    return {};
  }
  if (name == "cpus" || name == "memory") {
    const auto number = parse_int(value);
    if (!number || *number < 1) return usage_error("--axis", spec, "the value is a number from 1");
    (name == "cpus" ? target.cpus : target.memory_mib) = *number;
    return {};
  }
  return usage_error("--axis", spec, "an axis is cmdline, cpus, memory (MiB) or sysctl.NAME");
}

Result<std::vector<KernelTarget>> multiply(std::vector<KernelTarget> targets,
                                           const std::vector<std::string>& axes) {
  for (const auto& axis : axes) {
    auto parsed = parse_pair("--axis", axis);
    if (!parsed) return tl::unexpected(parsed.error());
    std::vector<KernelTarget> product;
    for (const auto& target : targets) {
      if (target.source.running) {
        return usage_error("--axis", axis, "the running kernel cannot be booted in another way");
      }
      for (const auto& value : values_of(parsed->second)) {
        product.push_back(target);
        if (auto ok = set_axis(product.back(), parsed->first, value); !ok) {
          return tl::unexpected(ok.error());
        }
      }
    }
    targets = std::move(product);
  }
  return targets;
}

// All names of comma-separated lists.
std::vector<std::string> words_of(const std::vector<std::string>& lists) {
  std::vector<std::string> words;
  for (const auto& list : lists) {
    for (const auto word : split(list, ',')) words.emplace_back(word);
  }
  return words;
}

// Finds the kernels, packs a machine for each, and multiplies by the axes.
Result<std::vector<KernelTarget>> prepare(const Arguments& args) {
  const std::string cache = cache_directory();
  std::error_code failed;
  const std::string program = fs::read_symlink("/proc/self/exe", failed).string();
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
    if (!args.policy.empty() && fs::exists(args.policy, failed)) {
      auto text = read_file(args.policy);
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
    if (args.policy.empty()) continue;
    const bool inside = !target.source.running && fs::exists(args.policy, failed);
    target.run_arguments = {"--policy", inside ? kPolicyInside : args.policy};
  }
  return multiply(std::move(targets), args.axes);
}

Result<MachineOptions> machine_of(const Arguments& args, bool any) {
  MachineOptions machine;
  machine.memory_mib = args.memory_mib;
  machine.cpus = args.cpus;
  machine.command_line = args.command_line;
  machine.hang_after = seconds(args.hang_after);
  machine.boot_timeout = seconds(args.boot_timeout);
  machine.interrupted = &interrupted;
  const auto wanted = vmm_by_name(args.vmm);
  if (!wanted) return usage_error("--vmm", args.vmm, "auto, qemu-kvm or qemu-tcg");
  if (any) {
    auto choice = choose_vmm(*wanted);
    if (!choice) return tl::unexpected(choice.error());
    machine.vmm = std::move(*choice);
  }
  return machine;
}

bool any_machine(const std::vector<KernelTarget>& targets) {
  return std::any_of(targets.begin(), targets.end(),
                     [](const KernelTarget& t) { return !t.source.running; });
}

Status add_sysctls(const Arguments& args, std::vector<KernelTarget>& targets) {
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

// What `ringfence run` inside gets.
std::vector<std::string> arguments_inside(const Arguments& args) {
  std::vector<std::string> words = {"--timeout", fmt::format("{}", args.timeout)};
  if (args.seed) words.insert(words.end(), {"--seed", std::to_string(*args.seed)});
  if (args.no_ebpf) words.emplace_back("--no-ebpf");
  return words;
}

// A file for each machine's console, below the directory of --console.
class Consoles {
 public:
  static Result<Consoles> open(const std::string& directory,
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
  void write(size_t target, std::string_view bytes) const {
    if (target < files_.size()) {
      (void)sys::write_full(files_[target].get(), bytes.data(), bytes.size());
    }
  }

 private:
  std::vector<UniqueFd> files_;
};

int run_command(const Arguments& args) {
  end_in_order_on_signals();
  auto registry = suites::builtin();
  if (!registry) return complain(registry.error());
  KernelsOptions options;
  auto cases = registry->select(args.globs, args.suite == "full");
  if (!cases) return complain(cases.error());
  options.cases = std::move(*cases);
  if (!args.expect_skips.empty()) {
    auto text = read_file(args.expect_skips);
    if (!text) {
      return complain(
          usage_error("--expect-skips", args.expect_skips, errno_name(text.error().err)).value());
    }
    auto skips = parse_expected_skips(*text, args.expect_skips);
    if (!skips) return complain(skips.error());
    options.rules.expected_skips = std::move(*skips);
  }
  options.rules.min_held = args.min_held;
  auto targets = prepare(args);
  if (!targets) return complain(targets.error());
  if (auto ok = add_sysctls(args, *targets); !ok) return complain(ok.error());
  auto machine = machine_of(args, any_machine(*targets));
  if (!machine) return complain(machine.error());
  options.machine = std::move(*machine);
  options.run_arguments = arguments_inside(args);
  options.case_timeout = seconds(args.timeout);
  options.jobs = args.jobs;
  options.machines = args.machines;
  std::error_code failed;
  options.program = fs::read_symlink("/proc/self/exe", failed).string();
  auto consoles = Consoles::open(args.console, *targets);
  if (!consoles) return complain(consoles.error());
  options.console = [&](size_t target, std::string_view bytes) { consoles->write(target, bytes); };

  const int console_fd = report_on_stdout(args.reports) ? STDERR_FILENO : STDOUT_FILENO;
  const Detail detail = args.quiet     ? Detail::quiet
                        : args.verbose ? Detail::verbose
                                       : Detail::normal;
  Console console(console_fd, style_for(console_fd, detail));
  Reporter reporter(console);
  if (auto ok = reporter.open(args.reports); !ok) return complain(ok.error());
  const auto results = run_on_kernels(*targets, options, reporter);
  const auto written = reporter.end(results);
  (void)console.end(results, reporter.places());
  if (!written) return complain(written.error());
  return worst_exit_code(results);
}

int exec_command(const Arguments& args) {
  end_in_order_on_signals();
  auto targets = prepare(args);
  if (!targets) return complain(targets.error());
  if (targets->size() != 1) {
    return complain(usage_error("kernels exec", fmt::format("{} kernels", targets->size()),
                                "one --kernel, and no axis with several values")
                        .value());
  }
  if (auto ok = add_sysctls(args, *targets); !ok) return complain(ok.error());
  KernelTarget& target = targets->front();
  auto machine = machine_of(args, !target.source.running);
  if (!machine) return complain(machine.error());
  auto consoles = Consoles::open(args.console, *targets);
  if (!consoles) return complain(consoles.error());
  machine->image = target.source.image;
  machine->initramfs = target.initramfs;
  machine->command_line += (machine->command_line.empty() ? "" : " ") + target.command_line;
  if (target.cpus > 0) machine->cpus = target.cpus;
  if (target.memory_mib > 0) machine->memory_mib = target.memory_mib;
  Job job;
  job.argv = args.command;
  job.sysctls = target.sysctls;
  const auto to = [](int fd) {
    return [fd](std::string_view bytes) { (void)sys::write_full(fd, bytes.data(), bytes.size()); };
  };
  MachineSinks sinks;
  sinks.out = to(STDOUT_FILENO);
  sinks.err = to(STDERR_FILENO);
  sinks.console = [&](std::string_view bytes) { consoles->write(0, bytes); };
  sinks.hello = [&](const Hello& hello) {
    for (const auto& complaint : hello.complaints) {
      fmt::print(stderr, "ringfence: the machine's agent: {}\n", complaint);
    }
  };
  const MachineEnd end = target.source.running ? run_here(job, sinks, &interrupted)
                                               : run_machine(*machine, job, sinks);
  if (!end.failure.empty()) {
    fmt::print(stderr, "ringfence: {}: {}\n{}", end.failure, end.detail, end.last_words);
    if (!end.last_words.empty() && !end.last_words.ends_with('\n')) fmt::print(stderr, "\n");
    return kExitFailed;
  }
  if (!end.done.error.empty()) {
    fmt::print(stderr, "ringfence: {}\n", end.done.error);
    return kExitFailed;
  }
  return end.done.signal ? kSignalBase + *end.done.signal
                         : end.done.exit_code.value_or(kExitFailed);
}

void add_machine_options(CLI::App& command, Arguments& args) {
  const auto list = [&](const char* name, std::vector<std::string>& to, const char* help,
                        const char* type) {
    return command.add_option(name, to, help)
        ->type_name(type)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  list("--kernel", args.kernels,
       "running; a vmlinuz, vmlinux or .deb; a directory with one; or debian:6.12.* (the newest "
       "that matches, fetched)",
       "SPEC")
      ->required();
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
      .add_option("--boot-timeout", args.boot_timeout,
                  "Seconds for a machine to come up; 60 by default")
      ->check(CLI::Range(1.0, 86400.0));
  command
      .add_option("--hang-after", args.hang_after,
                  "Seconds without a beat of some CPU that make a hang; 8 by default")
      ->check(CLI::Range(1.0, 86400.0));
}

void add_run_options(CLI::App& run, Arguments& args) {
  run.add_option("globs", args.globs, "Cases by id, with * and ?; without one, those of --suite")
      ->type_name("GLOB");
  add_machine_options(run, args);
  run.add_option("--axis", args.axes,
                 "Each kernel in each of these settings: NAME is cmdline, cpus, memory or "
                 "sysctl.NAME; repeatable, they multiply")
      ->type_name("NAME=A|B")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run.add_option("--machines", args.machines, "Machines at a time; 1 by default")
      ->check(CLI::Range(1, 1024));
  run.add_option("--policy", args.policy,
                 "Judge this policy: an OCI config.json or a built-in profile")
      ->type_name("FILE|NAME");
  run.add_option("--suite", args.suite, "full adds the cases that need seconds")
      ->check(CLI::IsMember({"default", "full"}));
  run.add_option("--jobs,-j", args.jobs, "Cases at a time in a machine; one per CPU of it")
      ->check(CLI::Range(1, 4096));
  run.add_option("--timeout", args.timeout, "Seconds for one trial; 10 by default")
      ->check(CLI::Range(0.01, 86400.0));
  run.add_option("--report", args.reports,
                 "jsonl, junit, ktap or live; repeatable; PATH - is stdout")
      ->type_name("FORMAT=PATH")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run.add_option("--expect-skips", args.expect_skips,
                 "The skips that are known, lines 'GLOB REASON'; any other makes exit 3")
      ->type_name("FILE");
  run.add_option("--min-held", args.min_held, "How many must hold under each; fewer make exit 3")
      ->check(CLI::Range(0, 1000000));
  run.add_option("--seed", args.seed, "What the canaries' names come from");
  run.add_flag("--no-ebpf", args.no_ebpf, "Without the eBPF witness");
  auto* quiet = run.add_flag("--quiet,-q", args.quiet, "Only the end of the run");
  run.add_flag("--verbose,-v", args.verbose, "Every case as it ends")->excludes(quiet);
  run.footer(
      "Exits with the worst of its runs: 64, 1, 2, 3, 4, 0 (see 'ringfence run --help').\n"
      "A kernel that panics, hangs or does not boot makes the case that was running broken,\n"
      "and leaves a finding with its last words; the other cases go on in a fresh machine.");
}

}  // namespace

void add_kernels(CLI::App& app, Action& action) {
  CLI::App* kernels =
      app.add_subcommand("kernels", "The same cases under other kernels, in machines of their own");
  kernels->require_subcommand(1);
  auto run_args = std::make_shared<Arguments>();
  CLI::App* run = kernels->add_subcommand("run", "Run cases under each --kernel and compare");
  add_run_options(*run, *run_args);
  run->callback([run_args, &action] { action = [run_args] { return run_command(*run_args); }; });

  auto exec_args = std::make_shared<Arguments>();
  CLI::App* exec = kernels->add_subcommand("exec", "Run one command under a kernel");
  add_machine_options(*exec, *exec_args);
  exec->add_option("command", exec_args->command,
                   "The command; programs of this host go in by --with")
      ->type_name("CMD ...")
      ->required();
  exec->positionals_at_end();
  exec->footer(
      "Exits as the command does; 128 + N when signal N ended it; 2 when the machine failed.");
  exec->callback(
      [exec_args, &action] { action = [exec_args] { return exec_command(*exec_args); }; });
}

}  // namespace ringfence::cli
