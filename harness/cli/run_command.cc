// ringfence run
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <thread>

#include <CLI/CLI.hpp>

#include "harness/base/facts.h"
#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/cli/commands.h"
#include "harness/cli/load.h"
#include "harness/cli/machines.h"
#include "harness/cli/reporter.h"
#include "harness/runner/runner.h"
#include "reports/console.h"
#include "reports/writer.h"

namespace ringfence::cli {
namespace {

std::atomic<bool> interrupted{false};

void on_interrupt(int /*signal*/) { interrupted = true; }

struct Arguments {
  std::vector<std::string> globs;
  std::string policy, rootfs, suite = "default", shard, expect_skips;
  std::vector<std::string> reports, require, probes;
  MachineArguments machine;
  std::string timeline = "normal";
  int jobs = 0;
  double timeout = 10;
  std::optional<uint64_t> seed;
  std::optional<int> min_held;
  bool disposable = false, shuffle = false, quiet = false, verbose = false, no_ebpf = false;
};

Status parse_shard(const std::string& text, RunOptions& options) {
  if (text.empty()) return {};
  const std::string_view words = text;
  const size_t slash = words.find('/');
  const auto index = parse_int(words.substr(0, slash));
  const auto count = slash == words.npos ? std::nullopt : parse_int(words.substr(slash + 1));
  if (!index || !count || *index < 1 || *count < *index) {
    return usage_error("--shard", text, "write I/N with 1 <= I <= N");
  }
  options.shard_index = *index;
  options.shard_count = *count;
  return {};
}

Status load_rules(const Arguments& args, const Facts& facts, ExitRules& rules) {
  rules.min_held = args.min_held;
  if (!args.expect_skips.empty()) {
    auto text = read_file(args.expect_skips);
    if (!text) {
      Error error = text.error();
      error.kind = Error::Kind::usage;
      error.what = "--expect-skips";
      error.hint = "a file of lines 'GLOB REASON'";
      return tl::unexpected(error);
    }
    auto skips = parse_expected_skips(*text, args.expect_skips);
    if (!skips) return tl::unexpected(skips.error());
    rules.expected_skips = std::move(*skips);
  }
  for (const auto& list : args.require) {
    const auto names = split(list, ',');
    if (names.empty()) return usage_error("--require", list, "names no facility");
    for (auto name : names) {
      if (auto ok = check_requirement(facts, name); !ok) return ok;
      // Of the machine, whose header tells.
      if (args.disposable) continue;
      if (!facts.satisfied(name)) rules.missing_facilities.emplace_back(name);
    }
  }
  return {};
}

Status load_options(const Arguments& args, RunOptions& options) {
  options.globs = args.globs;
  options.full = args.suite == "full";
  options.jobs = args.jobs > 0
                     ? args.jobs
                     : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  // What is no number is in no range, and CLI11 lets it pass.
  if (std::isnan(args.timeout)) return usage_error("--timeout", "nan", "must be a number");
  options.timeout = std::chrono::milliseconds(static_cast<int64_t>(args.timeout * 1000));
  options.seed = args.seed;
  options.shuffle = args.shuffle;
  options.kernel_witness = !args.no_ebpf;
  options.full_timeline = args.timeline == "full";
  options.interrupted = &interrupted;
  for (const auto& path : args.probes) {
    auto probe = read_probe(path);
    if (!probe) return tl::unexpected(probe.error());
    options.probes.push_back(std::move(*probe));
  }
  if (auto ok = parse_shard(args.shard, options); !ok) return ok;
  if (!args.policy.empty()) {
    auto loaded = load(args.policy, args.rootfs);
    if (!loaded) return tl::unexpected(loaded.error());
    options.policy = std::move(loaded->policy);
    options.rootfs = loaded->rootfs;
  } else if (!args.rootfs.empty()) {
    return usage_error("--rootfs", args.rootfs, "goes with --policy");
  }
  return {};
}

// What a disposable kernel has of what is asked for, by the header that it sent.
void require_of_machine(const Arguments& args, const RunResult& result, ExitRules& rules) {
  for (const auto& list : args.require) {
    for (const auto name : split(list, ',')) {
      const auto fact = result.header.facts.find(std::string(name));
      if (fact == result.header.facts.end() || !fact->second.starts_with("yes")) {
        rules.missing_facilities.emplace_back(name);
      }
    }
  }
}

// A machine for one run: the cases go there, and the way is that of `kernels run`.
class Disposable {
 public:
  static Result<std::unique_ptr<Disposable>> make(const Arguments& args) {
    for (const auto& [given, option] :
         {std::pair(!args.rootfs.empty(), "--rootfs"), std::pair(!args.probes.empty(), "--probe"),
          std::pair(args.timeline != "normal", "--timeline")}) {
      if (given) return usage_error("run", option, "does not go with --disposable");
    }
    MachineArguments machine = args.machine;
    if (machine.kernels.empty()) {
      auto image = running_image();
      if (!image) return tl::unexpected(image.error());
      machine.kernels = {std::move(*image)};
    }
    if (machine.kernels.size() > 1 || machine.kernels.front() == "running") {
      return usage_error("--kernel", machine.kernels.back(),
                         "--disposable boots one kernel: an image, a package or debian:PATTERN");
    }
    auto self = std::make_unique<Disposable>();
    auto targets = find_targets(machine, args.policy);
    if (!targets) return tl::unexpected(targets.error());
    self->targets_ = std::move(*targets);
    auto options = machine_of(machine, self->targets_, interrupted);
    if (!options) return tl::unexpected(options.error());
    self->options_.machine = std::move(*options);
    self->options_.case_timeout =
        std::chrono::milliseconds(static_cast<int64_t>(args.timeout * 1000));
    self->options_.jobs = args.jobs;
    self->options_.run_arguments = {"--timeout", fmt::format("{}", args.timeout)};
    if (args.no_ebpf) self->options_.run_arguments.emplace_back("--no-ebpf");
    return self;
  }
  Result<RunResult> run(const std::vector<const Case*>& cases, uint64_t seed, Observer& observer) {
    options_.cases = cases;
    options_.run_arguments.insert(options_.run_arguments.end(), {"--seed", std::to_string(seed)});
    auto results = run_on_kernels(targets_, options_, observer);
    return std::move(results.front());
  }
  // Complaints about the machine itself, which conclude() knows nothing of.
  static void conclude_again(RunResult& result, const ExitRules& rules) {
    std::vector<std::string> before = std::move(result.summary.complaints);
    const int code = result.summary.exit_code;
    result.summary.complaints.clear();
    conclude(result, rules);
    auto& complaints = result.summary.complaints;
    for (auto& complaint : before) {
      if (std::find(complaints.begin(), complaints.end(), complaint) == complaints.end()) {
        complaints.push_back(std::move(complaint));
      }
    }
    if (code == 2 && result.summary.exit_code != 1) result.summary.exit_code = 2;
  }

 private:
  // Where distributions put the image of the kernel that runs.
  static Result<std::string> running_image() {
    utsname names{};
    (void)sys::call(SYS_uname, sys::arg(&names));
    const std::string release = names.release;
    std::string looked;
    for (const std::string& path :
         {"/boot/vmlinuz-" + release, "/lib/modules/" + release + "/vmlinuz",
          "/usr/lib/modules/" + release + "/vmlinuz"}) {
      if (sys::call(SYS_faccessat, AT_FDCWD, sys::arg(path.c_str()), R_OK) == 0) return path;
      looked += (looked.empty() ? "" : ", ") + path;
    }
    return usage_error("run --disposable", release,
                       "no image of the running kernel (looked for " + looked +
                           "); say which to boot: --kernel SPEC, such as debian:6.12.*");
  }

  std::vector<KernelTarget> targets_;
  KernelsOptions options_;
};

int run_command(const Arguments& args, const Program& program) {
  // First of all: an end in order includes what facts are found out by.
  struct sigaction on_signal {};
  on_signal.sa_handler = on_interrupt;
  sigaction(SIGINT, &on_signal, nullptr);
  sigaction(SIGTERM, &on_signal, nullptr);
  auto registry = program.registry();
  if (!registry) return complain(registry.error());
  RunOptions options;
  options.inmate = program.inmate;
  if (auto ok = load_options(args, options); !ok) return complain(ok.error());
  const Facts facts = Facts::probe();
  ExitRules rules;
  if (auto ok = load_rules(args, facts, rules); !ok) return complain(ok.error());
  // Before a report is opened, so that a typo truncates nothing.
  if (auto chosen = registry->select(options.globs, options.full); !chosen) {
    return complain(chosen.error());
  }
  std::unique_ptr<Disposable> disposable;
  if (args.disposable) {
    auto made = Disposable::make(args);
    if (!made) return complain(made.error());
    disposable = std::move(*made);
    options.elsewhere = [&](const std::vector<const Case*>& cases, uint64_t seed, Observer& to) {
      return disposable->run(cases, seed, to);
    };
  } else if (!args.machine.kernels.empty()) {
    return complain(usage_error("--kernel", args.machine.kernels.front(),
                                "goes with --disposable; to compare kernels: ringfence kernels run")
                        .value());
  }

  const int console_fd = report_on_stdout(args.reports) ? STDERR_FILENO : STDOUT_FILENO;
  const Detail detail = args.quiet     ? Detail::quiet
                        : args.verbose ? Detail::verbose
                                       : Detail::normal;
  Console console(console_fd, style_for(console_fd, detail));
  Reporter reporter(console);
  if (auto ok = reporter.open(args.reports); !ok) return complain(ok.error());

  if (auto swept = janitor(); swept && *swept > 0) {
    fmt::print(stderr, "ringfence: {}\n", swept_text(*swept));
  }
  auto result = run(*registry, facts, options, reporter);
  if (!result) {
    if (result.error().kind != Error::Kind::system) reporter.discard();
    return complain(result.error());
  }
  // He asked for it: without it the run is no success, as with --require.
  const auto witness = result->header.facts.find("witness");
  if (witness != result->header.facts.end() && witness->second.starts_with("absent: ")) {
    for (const auto& path : args.probes) {
      rules.missing_facilities.push_back(
          fmt::format("--probe {} (no eBPF witness, {})", path, witness->second));
    }
  }
  if (disposable) {
    require_of_machine(args, *result, rules);
    Disposable::conclude_again(*result, rules);
  } else {
    conclude(*result, rules);
  }
  const auto written = reporter.end({*result});
  (void)console.end({*result}, reporter.places());
  if (!written) return complain(written.error());
  return result->summary.exit_code;
}

}  // namespace

void add_run(CLI::App& app, Action& action, const Program& program) {
  auto args = std::make_shared<Arguments>();
  CLI::App* run = app.add_subcommand("run", "Run cases and judge what held");
  run->add_option("globs", args->globs, "Cases by id, with * and ?; without one, those of --suite")
      ->type_name("GLOB");
  run->add_option("--policy", args->policy,
                  "Judge this policy: an OCI config.json or a built-in profile")
      ->type_name("FILE|NAME");
  run->add_option("--rootfs", args->rootfs, "Directory that targets get as root, with --policy")
      ->type_name("DIR");
  run->add_option("--suite", args->suite,
                  "full adds the cases that need seconds; a GLOB finds those, too")
      ->check(CLI::IsMember({"default", "full"}));
  run->add_option("--jobs,-j", args->jobs, "Cases at a time; one per CPU by default")
      ->check(CLI::Range(1, 4096));
  run->add_option("--timeout", args->timeout, "Seconds for one trial; 10 by default")
      ->check(CLI::Range(0.01, 86400.0));
  run->add_option("--report", args->reports,
                  "jsonl, junit, ktap or live; repeatable; PATH - is stdout")
      ->type_name("FORMAT=PATH")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run->add_option("--require", args->require, "Facilities that must be there, by doctor's names")
      ->type_name("NAME,...")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  run->add_option("--expect-skips", args->expect_skips,
                  "The skips that are known, lines 'GLOB REASON'; any other makes exit 3")
      ->type_name("FILE");
  run->add_option("--min-held", args->min_held, "How many must hold; fewer make exit 3")
      ->check(CLI::Range(0, 1000000));
  run->add_option("--seed", args->seed,
                  "What --shuffle and the canaries' names come from; reports have it");
  run->add_option("--shard", args->shard, "Run the I-th of N parts")->type_name("I/N");
  run->add_flag("--shuffle", args->shuffle, "In random order; --seed repeats it");
  run->add_flag("--no-ebpf", args->no_ebpf,
                "Without the eBPF witness: everything runs, on weaker evidence");
  run->get_option("--no-ebpf")
      ->excludes(run->add_option("--probe", args->probes,
                                 "Load this BPF object of yours beside the witness; repeatable")
                     ->type_name("FILE.bpf.o")
                     ->allow_extra_args(false)
                     ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
  run->add_option("--timeline", args->timeline,
                  "full leaves no line out, and shows each attempt begin and end")
      ->check(CLI::IsMember({"normal", "full"}));
  run->add_flag("--disposable", args->disposable,
                "In a machine of its own, whose kernel may come to harm: the running kernel's "
                "image, or --kernel");
  add_kernel_option(*run, args->machine,
                    "With --disposable: which kernel, as for 'ringfence kernels run'");
  run->add_option("--vmm", args->machine.vmm, "With --disposable: auto, qemu-kvm or qemu-tcg")
      ->check(CLI::IsMember({"auto", "qemu-kvm", "qemu-tcg"}));
  auto* quiet = run->add_flag("--quiet,-q", args->quiet, "Only the end of the run");
  run->add_flag("--verbose,-v", args->verbose, "Every case as it ends")->excludes(quiet);
  // An empty value is a variable that somebody's script forgot to set, and not the default.
  const CLI::Validator not_empty(
      [](const std::string& value) {
        return value.empty() ? std::string("a value is missing") : std::string();
      },
      "");
  for (const char* name :
       {"--policy", "--rootfs", "--expect-skips", "--shard", "--require", "--probe"}) {
    run->get_option(name)->check(not_empty);
  }
  run->footer(
      "Exit codes, the first that applies: 64 usage or unreadable input; 1 something breached;\n"
      "2 something unproven or broken, or a facility of --require missing; 3 a skip that\n"
      "--expect-skips does not list, or fewer held than --min-held; 4 nothing ran; 0 otherwise.");
  run->callback([args, program, &action] {
    action = [args, program] { return run_command(*args, program); };
  });
}

}  // namespace ringfence::cli
