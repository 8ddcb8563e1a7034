// ringfence kernels
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

#include <CLI/CLI.hpp>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/suggest.h"
#include "harness/base/sys.h"
#include "harness/cli/commands.h"
#include "harness/cli/machines.h"
#include "harness/cli/reporter.h"
#include "harness/kernels/kernels.h"

namespace ringfence::cli {
namespace {

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
  MachineArguments machine;
  std::vector<std::string> globs, axes, reports, expect_skips, command;
  std::string policy, suite = "default";
  int machines = 1, jobs = 0;
  double timeout = 10;
  std::optional<uint64_t> seed;
  std::optional<int> min_held;
  bool no_ebpf = false, quiet = false, verbose = false;
};

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

// The kernels in all their settings.
Result<std::vector<KernelTarget>> prepare(const Arguments& args) {
  auto targets = find_targets(args.machine, args.policy);
  if (!targets) return targets;
  targets = multiply(std::move(*targets), args.axes);
  if (!targets) return targets;
  if (auto ok = add_sysctls(args.machine, *targets); !ok) return tl::unexpected(ok.error());
  return targets;
}

// What `ringfence run` inside gets.
std::vector<std::string> arguments_inside(const Arguments& args) {
  std::vector<std::string> words = {"--timeout", fmt::format("{}", args.timeout)};
  if (args.seed) words.insert(words.end(), {"--seed", std::to_string(*args.seed)});
  if (args.no_ebpf) words.emplace_back("--no-ebpf");
  return words;
}

// --expect-skips: for all kernels, or, as KERNEL=FILE, for those whose release or SPEC matches.
Status load_rules(const Arguments& args, std::vector<KernelTarget>& targets) {
  for (auto& target : targets) target.rules.min_held = args.min_held;
  for (const auto& text : args.expect_skips) {
    std::string kernel = "*", file = text;
    if (const size_t equals = text.find('='); equals != std::string::npos) {
      kernel = text.substr(0, equals);
      file = text.substr(equals + 1);
    }
    auto content = read_file(file);
    if (!content) return usage_error("--expect-skips", file, errno_name(content.error().err));
    auto skips = parse_expected_skips(*content, file);
    if (!skips) return tl::unexpected(skips.error());
    bool meant = false;
    for (auto& target : targets) {
      const KernelSource& source = target.source;
      if (!glob_match(kernel, source.release) && !glob_match(kernel, source.spec)) continue;
      meant = true;
      auto& list = target.rules.expected_skips;
      if (!list) list.emplace();
      list->insert(list->end(), skips->begin(), skips->end());
    }
    if (meant) continue;
    std::string releases;
    for (const auto& target : targets) releases += " " + target.source.release;
    return usage_error("--expect-skips", text,
                       "no kernel of this run matches; there are" + releases);
  }
  return {};
}

int run_command(const Arguments& args, const Program& program) {
  end_in_order_on_signals();
  auto registry = program.registry();
  if (!registry) return complain(registry.error());
  KernelsOptions options;
  auto cases = registry->select(args.globs, args.suite == "full");
  if (!cases) return complain(cases.error());
  if (!args.policy.empty()) Registry::keep_for_a_policy(*cases);
  options.cases = std::move(*cases);
  auto targets = prepare(args);
  if (!targets) return complain(targets.error());
  if (auto ok = load_rules(args, *targets); !ok) return complain(ok.error());
  auto machine = machine_of(args.machine, *targets, interrupted);
  if (!machine) return complain(machine.error());
  options.machine = std::move(*machine);
  options.run_arguments = arguments_inside(args);
  options.case_timeout = seconds(args.timeout);
  options.jobs = args.jobs;
  options.machines = args.machines;
  options.program = this_program();
  auto consoles = Consoles::open(args.machine.console, *targets);
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
  KernelTarget& target = targets->front();
  auto machine = machine_of(args.machine, *targets, interrupted);
  if (!machine) return complain(machine.error());
  auto consoles = Consoles::open(args.machine.console, *targets);
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
  sinks.note = [](const std::string& text) {
    fmt::print(stderr, "ringfence: the machine: {}\n", text);
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

constexpr const char* kKernelHelp =
    "running; a vmlinuz, vmlinux or .deb; a directory with one; or debian:6.12.* (the newest that "
    "matches, fetched)";

void add_run_options(CLI::App& run, Arguments& args) {
  run.add_option("globs", args.globs, "Cases by id, with * and ?; without one, those of --suite")
      ->type_name("GLOB");
  add_kernel_option(run, args.machine, kKernelHelp);
  run.get_option("--kernel")->required();
  add_machine_options(run, args.machine);
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
                 "The skips that are known, lines 'GLOB REASON'; any other makes exit 3. KERNEL, a "
                 "glob on release or SPEC, says of which kernels; repeatable")
      ->type_name("[KERNEL=]FILE")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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

void add_kernels(CLI::App& app, Action& action, const Program& program) {
  CLI::App* kernels =
      app.add_subcommand("kernels", "The same cases under other kernels, in machines of their own");
  kernels->require_subcommand(1);
  auto run_args = std::make_shared<Arguments>();
  CLI::App* run = kernels->add_subcommand("run", "Run cases under each --kernel and compare");
  add_run_options(*run, *run_args);
  run->callback([run_args, program, &action] {
    action = [run_args, program] { return run_command(*run_args, program); };
  });

  auto exec_args = std::make_shared<Arguments>();
  CLI::App* exec = kernels->add_subcommand("exec", "Run one command under a kernel");
  add_kernel_option(*exec, exec_args->machine, kKernelHelp);
  exec->get_option("--kernel")->required();
  add_machine_options(*exec, exec_args->machine);
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
