// ringfence-bench-spawn: what confinement costs at the start of a process.
//
// Start, exec and wait of a program that does nothing, by the spawner under a built-in profile,
// against two floors (start_floor.h): clone3 with the profile's namespaces, and the bare list of
// the syscalls that the profile's plan makes; against the container runtimes on the same bundle;
// in a parent of much memory; and many at a time. Each comparison is in one process, warm,
// interleaved (bench/compare.h). Sources: clone(2), execveat(2), waitid(2).
#include <fcntl.h>
#include <fmt/format.h>
#include <getopt.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "bench/compare.h"
#include "bench/servant.h"
#include "bench/start_floor.h"
#include "bench/start_target.h"
#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/policy/read.h"
#include "harness/spawn/plan.h"

namespace ringfence::bench {
namespace {

constexpr int kSkipped = 77;
constexpr const char* kProfile = "docker-default";  // of the parts after the first
constexpr size_t kMuch = size_t{1} << 30;
constexpr size_t kCrowd = 64;

int complain(const Error& error) {
  fmt::print(stderr, "ringfence-bench-spawn: {}\n", error.describe());
  return error.kind == Error::Kind::usage         ? 64
         : error.kind == Error::Kind::unsupported ? kSkipped
                                                  : 2;
}

struct Arguments {
  size_t samples = 200;
  std::string json;
  std::set<std::string> parts;
};

struct Bench {
  Arguments args;
  UniqueFd program;
  std::shared_ptr<CgroupRoot> groups;
  std::vector<std::string> json;  // of each comparison, one line

  [[nodiscard]] CompareOptions options(size_t divided_by = 1) const {
    CompareOptions options;
    options.rounds = std::max<size_t>(args.samples / divided_by, 2);
    return options;
  }
  Result<std::shared_ptr<StartTarget>> target(const std::string& name) const {
    auto policy = profile(name);
    if (!policy) return tl::unexpected(policy.error());
    return StartTarget::make(*policy, {program.get()}, groups);
  }
};

// --- Against the floors
// ---------------------------------------------------------------------------
struct Pair {
  std::string baseline, other;
  std::string goal{};
};

const Series& find(const Comparison& comparison, const std::string& name) {
  return *std::find_if(comparison.series.begin(), comparison.series.end(),
                       [&](const Series& series) { return series.name == name; });
}

Status show(Bench& bench, const std::string& title, const std::string& group,
            const std::vector<Contestant>& contestants, const std::vector<Pair>& pairs,
            const CompareOptions& options) {
  auto comparison = compare(contestants, options);
  if (!comparison) return tl::unexpected(comparison.error());
  const size_t standard = comparison->ratios.size();
  for (const Pair& pair : pairs) {
    comparison->ratios.push_back(
        ratio(find(*comparison, pair.baseline), find(*comparison, pair.other), options));
  }
  fmt::print("{}\n{}", title, render(*comparison));
  for (size_t i = 0; i < pairs.size(); ++i) {
    const Ratio& r = comparison->ratios[standard + i];
    fmt::print("{} over {}: {:.2f} [{:.2f}, {:.2f}]{}\n", r.name, r.baseline, r.ratio, r.low,
               r.high, pairs[i].goal.empty() ? "" : "  (goal: " + pairs[i].goal + ")");
  }
  fmt::print("\n");
  bench.json.push_back(to_json(*comparison, group));
  return {};
}

Status starts(Bench& bench) {
  auto bare = std::make_shared<NamespacesAlone>(bench.program.get(), 0, true);
  std::vector<Contestant> contestants = {{"clone3 and exec", [bare] { return bare->run(); }}};
  std::vector<Pair> pairs;
  for (const std::string name : {"none", "docker-default", "hardened"}) {
    auto made = bench.target(name);
    if (!made) return tl::unexpected(made.error());
    auto target = *made;
    const Plan& plan = target->plan();
    const std::string floor_a = name + ": namespaces alone";
    const std::string floor_b = name + ": bare list";
    if (plan.clone_flags != 0) {
      auto floor =
          std::make_shared<NamespacesAlone>(bench.program.get(), plan.clone_flags, !plan.apart);
      contestants.push_back({floor_a, [floor] { return floor->run(); }});
      pairs.push_back({floor_a, name});
    }
    if (auto list = BarePlan::make(plan, bench.program.get()); list && plan.clone_flags != 0) {
      contestants.push_back({floor_b, [list = *list, target] { return list->run(); }});
      pairs.push_back({floor_b, name, "1.1"});
      pairs.push_back({floor_a, floor_b});
    }
    if (!target->limits()) {
      contestants.push_back({name, [target] { return target->start(); }});
    } else {
      contestants.push_back({name, [target] { return target->start_in_own_group(); }});
      contestants.push_back({name + ": group alone", [target] { return target->group(); }});
    }
    if (name == std::string("none")) continue;
    if (auto ok = target->prepare_group(); !ok) return ok;
    if (target->limits()) {
      const std::string standing = name + ": group made before";
      contestants.push_back({standing, [target] { return target->start_in_standing_group(); }});
      pairs.push_back({floor_a, standing});
    }
    if (!plan.not_ahead.empty()) continue;
    const std::string pool = name + ": from a pool";
    contestants.push_back({pool, [target] { return target->start_from_pool(); },
                           [target] { return target->prepare_sandbox(); }});
    pairs.push_back({floor_a, pool, "1.5"});
  }
  return show(bench, "start, exec and wait of a freestanding program that ends at once", "spawn",
              contestants, pairs, bench.options());
}

// --- Step by step
// ---------------------------------------------------------------------------------
Status steps(Bench& bench) {
  auto target = bench.target(kProfile);
  if (!target) return tl::unexpected(target.error());
  auto list = BarePlan::make((*target)->plan(), bench.program.get());
  if (!list) return tl::unexpected(list.error());
  std::vector<std::string> order;
  std::map<std::string, std::vector<int64_t>> costs;
  for (size_t i = 0; i < bench.args.samples; ++i) {
    auto once = (*list)->run_by_steps();
    if (!once) return tl::unexpected(once.error());
    for (const auto& cost : *once) {
      auto& samples = costs[cost.step];
      if (samples.empty()) order.push_back(cost.step);
      samples.push_back(static_cast<int64_t>(cost.ns));
    }
  }
  double all = 0;
  for (const auto& step : order) all += spread(costs[step]).median;
  fmt::print("{}: the bare list, step by step (medians; the clock is read after each call)\n",
             kProfile);
  for (const auto& step : order) {
    const double ns = spread(costs[step]).median;
    fmt::print("{:>10.1f} us {:5.1f} %  {}\n", ns / 1e3, 100 * ns / all, step);
  }
  fmt::print("{:>10.1f} us          sum\n\n", all / 1e3);
  return {};
}

// --- A parent of much memory
// ----------------------------------------------------------------------
Status memory(Bench& bench) {
  auto made = bench.target(kProfile);
  if (!made) return tl::unexpected(made.error());
  const auto work = [target = *made] { return target->start(); };
  auto small = Servant::start(Servant::Kind::process, work);
  if (!small) return tl::unexpected(small.error());
  // Stays until the servant ends.
  const auto grow = [] {
    void* much = ::mmap(nullptr, kMuch, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (much == MAP_FAILED) ::_exit(1);
  };
  auto large = Servant::start(Servant::Kind::process, work, grow);
  if (!large) return tl::unexpected(large.error());
  const auto once = [](Servant& servant) -> Status {
    if (auto ok = servant.ask(); !ok) return ok;
    return servant.wait_answer();
  };
  return show(bench, fmt::format("{} from a parent with 1 GiB of its own, dirty", kProfile),
              "spawn-memory",
              {{"small parent", [&] { return once(*small); }},
               {"parent of 1 GiB", [&] { return once(*large); }}},
              {{"small parent", "parent of 1 GiB", "1.1"}}, bench.options());
}

// --- Many at a time
// -------------------------------------------------------------------------------
// A lock of ours would make the threads of one process slower than as many processes, which share
// none; so would the kernel's lock of the memory that threads share.
Status crowd(Bench& bench) {
  auto made = bench.target(kProfile);
  if (!made) return tl::unexpected(made.error());
  const auto work = [target = *made] { return target->start(); };
  std::vector<Servant> threads, processes;
  for (size_t i = 0; i < kCrowd; ++i) {
    auto process = Servant::start(Servant::Kind::process, work);
    if (!process) return tl::unexpected(process.error());
    processes.push_back(std::move(*process));
  }
  for (size_t i = 0; i < kCrowd; ++i) {
    auto thread = Servant::start(Servant::Kind::thread, work);
    if (!thread) return tl::unexpected(thread.error());
    threads.push_back(std::move(*thread));
  }
  const auto all = [](std::vector<Servant>& servants) -> Status {
    for (auto& servant : servants) {
      if (auto ok = servant.ask(); !ok) return ok;
    }
    for (auto& servant : servants) {
      if (auto ok = servant.wait_answer(); !ok) return ok;
    }
    return {};
  };
  return show(bench, fmt::format("{} starts under {} at a time", kCrowd, kProfile), "spawn-crowd",
              {{"by as many processes", [&] { return all(processes); }},
               {"by threads of one", [&] { return all(threads); }}},
              {}, bench.options(10));
}

// --- The runtimes
// ---------------------------------------------------------------------------------
// A bundle that goes with the object.
class Bundle {
 public:
  static Result<Bundle> make(int program) {
    std::string path = "/tmp/ringfence-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return system_error("mkdtemp", path);
    Bundle bundle;
    bundle.path_ = path;
    auto policy = profile(kProfile);
    if (!policy) return tl::unexpected(policy.error());
    policy->args = {"/true"};
    std::error_code error;
    std::filesystem::create_directory(path + "/rootfs", error);
    std::filesystem::copy_file(fmt::format("/proc/self/fd/{}", program), path + "/rootfs/true",
                               error);
    if (error) return system_error("copy", path + "/rootfs/true", error.value());
    std::filesystem::permissions(path + "/rootfs/true", std::filesystem::perms(0755), error);
    const std::string text = write_oci_policy(*policy);
    auto file = sys::open((path + "/config.json").c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (!file) return tl::unexpected(file.error());
    if (auto ok = sys::write_full(file->get(), text.data(), text.size()); !ok) {
      return tl::unexpected(ok.error());
    }
    return bundle;
  }
  Bundle(Bundle&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Bundle& operator=(Bundle&&) = delete;
  ~Bundle() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Bundle() = default;
  std::string path_;
};

bool in_path(const std::string& program) {
  return std::ranges::any_of(
      std::array{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"},
      [&](const char* directory) { return ::access((directory + program).c_str(), X_OK) == 0; });
}

Status peers(Bench& bench) {
  auto bundle = Bundle::make(bench.program.get());
  if (!bundle) return tl::unexpected(bundle.error());
  auto read = read_oci_policy(bundle->path() + "/config.json");
  if (!read) return tl::unexpected(read.error());
  auto nothing = sys::open("/dev/null", O_RDWR);
  if (!nothing) return tl::unexpected(nothing.error());
  if (read->policy.root) read->policy.root->path = bundle->path() + "/rootfs";
  StartTarget::Program inside{-1, "/true"};
  auto ours = StartTarget::make(read->policy, inside, bench.groups);
  if (!ours) return tl::unexpected(ours.error());
  std::vector<Contestant> contestants = {
      {"ringfence", [target = *ours] { return target->start_in_own_group(); }}};
  for (const std::string name : {"crun", "runc", "youki"}) {
    if (!in_path(name)) continue;
    auto nobody = profile("none");
    if (!nobody) return tl::unexpected(nobody.error());
    const std::string id = fmt::format("ringfence-bench-{}", ::getpid());
    StartTarget::Program program{-1, name, {name, "run", "--bundle", bundle->path(), id}};
    program.fds = {{0, nothing->get()}, {1, nothing->get()}, {2, nothing->get()}};
    auto peer = StartTarget::make(*nobody, program, bench.groups);
    if (!peer) return tl::unexpected(peer.error());
    if (auto runs = (*peer)->start(); !runs) {
      fmt::print("{} does not run the bundle here: {}\n", name, runs.error().describe());
      continue;
    }
    contestants.push_back({name + " run", [target = *peer] { return target->start(); }});
  }
  if (contestants.size() < 2) {
    fmt::print("no runtime to compare with (crun, runc or youki)\n\n");
    return {};
  }
  return show(bench,
              fmt::format("{} as a bundle, each in a group of its own; a runtime's own start is in "
                          "its figure",
                          kProfile),
              "spawn-peers", contestants, {}, bench.options(10));
}

// --- The command line
// -----------------------------------------------------------------------------
struct Part {
  const char* name;
  Status (*run)(Bench&);
};
constexpr std::array kParts = {Part{"starts", starts}, Part{"steps", steps}, Part{"memory", memory},
                               Part{"crowd", crowd}, Part{"peers", peers}};

constexpr const char* kUsage =
    "usage: ringfence-bench-spawn [--samples N] [--part NAME]... [--json FILE]\n"
    "What a start costs. Parts, all by default:\n"
    "  starts   under none, docker-default and hardened, against bare clone3 and exec, against\n"
    "           the profile's namespaces alone (floor A), against the bare list of its plan's\n"
    "           syscalls (floor B), and from a pool of prepared sandboxes\n"
    "  steps    what each step of docker-default costs\n"
    "  memory   from a parent with 1 GiB of dirty memory\n"
    "  crowd    64 at a time, by threads and by processes\n"
    "  peers    the same bundle by crun, runc and youki, where they are installed\n"
    "N rounds (at least 2, default 200; a tenth of it for crowd and peers); FILE gets a JSON\n"
    "object a line for each comparison, with every sample, in nanoseconds.\n";

Result<Arguments> parse(int argc, char** argv) {
  static constexpr option kOptions[] = {{"samples", required_argument, nullptr, 's'},
                                        {"json", required_argument, nullptr, 'j'},
                                        {"part", required_argument, nullptr, 'p'},
                                        {"help", no_argument, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  Arguments args;
  opterr = 0;
  for (int c = 0; (c = getopt_long(argc, argv, "s:j:p:h", kOptions, nullptr)) != -1;) {
    if (c == 'h') {
      fmt::print("{}", kUsage);
      std::exit(0);
    } else if (c == 'j') {
      args.json = optarg;
    } else if (c == 'p') {
      if (std::ranges::none_of(kParts,
                               [](const Part& part) { return part.name == std::string(optarg); })) {
        return usage_error("--part", optarg, "starts, steps, memory, crowd or peers");
      }
      args.parts.insert(optarg);
    } else if (c == 's') {
      const std::string text = optarg;
      const auto [end, error] =
          std::from_chars(text.data(), text.data() + text.size(), args.samples);
      if (error != std::errc{} || end != text.data() + text.size() || args.samples < 2) {
        return usage_error("--samples", text, "a number, at least 2");
      }
    } else {
      return usage_error("option", argv[optind - 1], "unknown, or without its value; see --help");
    }
  }
  if (optind < argc) return usage_error("argument", argv[optind], "none is taken; see --help");
  return args;
}

Status run(Bench& bench) {
  auto program = make_true();
  if (!program) return tl::unexpected(program.error());
  bench.program = std::move(*program);
  auto groups = CgroupRoot::create(CgroupLayout::probe());
  if (!groups) return tl::unexpected(groups.error());
  bench.groups = *groups;
  for (const Part& part : kParts) {
    if (!bench.args.parts.empty() && !bench.args.parts.contains(part.name)) continue;
    if (auto ok = part.run(bench); !ok) return ok;
    std::fflush(stdout);
  }
  if (bench.args.json.empty()) return {};
  std::string text;
  for (const auto& line : bench.json) text += line + "\n";
  auto file = sys::open(bench.args.json.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!file) return tl::unexpected(file.error());
  return sys::write_full(file->get(), text.data(), text.size());
}

int bench_main(int argc, char** argv) {
  auto args = parse(argc, argv);
  if (!args) return complain(args.error());
  if (geteuid() != 0) {
    fmt::print(stderr,
               "ringfence-bench-spawn: needs:root, for namespaces without a user namespace\n");
    return kSkipped;
  }
  Bench bench{.args = std::move(*args), .program = {}, .groups = {}, .json = {}};
  if (auto ok = run(bench); !ok) return complain(ok.error());
  return 0;
}

}  // namespace
}  // namespace ringfence::bench

int main(int argc, char** argv) { return ringfence::bench::bench_main(argc, argv); }
