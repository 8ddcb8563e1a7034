// ringfence-bench-spawn: what confinement costs at the start of a process.
//
// Start, exec and wait of a program that does nothing, by the spawner under a built-in profile,
// against two floors: the same by bare clone3(2) and execveat(2), and the same with the profile's
// namespaces. The first difference is what confinement costs, the second what ringfence's own
// steps (mounts, filters, capabilities, ids) cost beyond the kernel's namespaces. All in one
// process, warm, interleaved (bench/compare.h). Sources: clone(2), execveat(2), waitid(2).
#include <fmt/format.h>
#include <getopt.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>

#include "bench/compare.h"
#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/policy/read.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/child.h"
#include "harness/spawn/plan.h"
#include "harness/spawn/spawn.h"

extern "C" const unsigned char ringfence_true_begin[];
extern "C" const unsigned char ringfence_true_end[];

namespace ringfence::bench {
namespace {

constexpr std::array kProfiles = {"none", "docker-default", "hardened"};
constexpr int kSkipped = 77;

int complain(const Error& error) {
  fmt::print(stderr, "ringfence-bench-spawn: {}\n", error.describe());
  return error.kind == Error::Kind::usage         ? 64
         : error.kind == Error::Kind::unsupported ? kSkipped
                                                  : 2;
}

// The program in memory, so that no file system is measured.
Result<UniqueFd> make_program() {
  const int64_t fd = sys::call(SYS_memfd_create, sys::arg("true"), MFD_CLOEXEC);
  if (fd < 0) return system_error("memfd_create", "true", static_cast<int>(-fd));
  UniqueFd writable(static_cast<int>(fd));
  const auto size = static_cast<size_t>(ringfence_true_end - ringfence_true_begin);
  if (auto ok = sys::write_full(writable.get(), ringfence_true_begin, size); !ok) {
    return tl::unexpected(ok.error());
  }
  // A file that is open for writing is not executed (ETXTBSY).
  return sys::open(fmt::format("/proc/self/fd/{}", writable.get()).c_str(), O_RDONLY);
}

// --- The floors
// -----------------------------------------------------------------------------------
class Floor {
 public:
  // `flags`: CLONE_NEW*. With `shared` memory, as the spawner does where it can.
  Floor(int program, uint64_t flags, bool shared) : program_(program), stack_(kStack) {
    flags_ = flags | CLONE_PIDFD | CLONE_VFORK | (shared ? uint64_t{CLONE_VM} : 0);
  }

  Status run() {
    int pidfd = -1;
    clone_args args{};
    args.flags = flags_;
    args.pidfd = sys::arg(&pidfd);
    args.exit_signal = SIGCHLD;
    args.stack = sys::arg(stack_.data());
    args.stack_size = stack_.size();
    const long pid = clone_and_run(&args, sizeof args, execute, this);
    if (pid < 0) return system_error("clone3", "floor", static_cast<int>(-pid));
    const UniqueFd owned(pidfd);
    siginfo_t info{};
    const int64_t waited =
        sys::call(SYS_waitid, P_PIDFD, static_cast<uint64_t>(pidfd), sys::arg(&info), WEXITED);
    if (waited < 0) return system_error("waitid", "floor", static_cast<int>(-waited));
    if (info.si_code != CLD_EXITED || info.si_status != 0) {
      return system_error("floor", fmt::format("ended with {}", info.si_status), ENOEXEC);
    }
    return {};
  }

 private:
  static constexpr size_t kStack = size_t{64} << 10;

  // In the child, which may share our memory.
  static void execute(void* self) {
    static constexpr const char* kArgs[] = {"true", nullptr};
    static constexpr const char* kEnv[] = {nullptr};
    const auto* floor = static_cast<const Floor*>(self);
    sys::call(SYS_execveat, static_cast<uint64_t>(floor->program_), sys::arg(""), sys::arg(kArgs),
              sys::arg(kEnv), AT_EMPTY_PATH);
    for (;;) sys::call(SYS_exit_group, 127);
  }

  int program_;
  uint64_t flags_;
  std::vector<char> stack_;
};

// --- The profiles
// ---------------------------------------------------------------------------------
class Spawned {
 public:
  static Result<std::shared_ptr<Spawned>> make(const std::string& name, int program,
                                               const std::shared_ptr<CgroupRoot>& groups) {
    auto policy = profile(name);
    if (!policy) return tl::unexpected(policy.error());
    auto plan = compile(*policy);
    if (!plan) return tl::unexpected(plan.error());
    auto made = std::make_shared<Spawned>();
    for (const Namespace& ns : policy->namespaces) made->namespaces_ |= ns_clone_flag(ns.kind);
    made->plan_ = std::move(*plan);
    made->settings_ = made->plan_.settings();
    made->groups_ = groups;
    made->program_ = program;
    return made;
  }

  [[nodiscard]] uint64_t namespaces() const { return namespaces_; }
  [[nodiscard]] bool apart() const { return plan_.apart; }
  [[nodiscard]] bool limits() const { return !settings_.empty(); }

  Status prepare() {
    if (!limits()) return {};
    auto leaf = make_leaf();
    if (!leaf) return tl::unexpected(leaf.error());
    standing_ = std::move(*leaf);
    return {};
  }

  // Start and wait, with the group that prepare() made.
  Status start() { return start_in(standing_ ? &*standing_ : nullptr); }

  // The group alone: made, limits written, removed.
  Status group() {
    auto leaf = make_leaf();
    if (!leaf) return tl::unexpected(leaf.error());
    return leaf->destroy();
  }

  // All of it: what one target costs.
  Status whole() {
    if (!limits()) return start_in(nullptr);
    auto leaf = make_leaf();
    if (!leaf) return tl::unexpected(leaf.error());
    if (auto ok = start_in(&*leaf); !ok) return ok;
    return leaf->destroy();
  }

 private:
  Result<CgroupLeaf> make_leaf() {
    return CgroupLeaf::create(groups_, settings_, fmt::format("bench-{}", leaves_++));
  }

  Status start_in(const CgroupLeaf* leaf) {
    SpawnRequest request;
    request.plan = &plan_;
    request.exe_fd = program_;
    request.args = {"true"};
    request.cgroup = leaf;
    auto child = spawn(request);
    if (!child) return tl::unexpected(child.error());
    auto ended = child->wait();
    if (!ended) return tl::unexpected(ended.error());
    if ((*ended)->signaled || (*ended)->code != 0) {
      return system_error("spawn", (*ended)->describe(), ENOEXEC);
    }
    return {};
  }

  Plan plan_;
  uint64_t namespaces_ = 0;
  std::vector<Step::Setting> settings_;
  std::shared_ptr<CgroupRoot> groups_;
  std::optional<CgroupLeaf> standing_;
  int program_ = -1;
  size_t leaves_ = 0;
};

// --- The comparison
// -------------------------------------------------------------------------------
struct Pair {
  std::string baseline;
  std::string other;
};

const Series* find(const Comparison& comparison, const std::string& name) {
  for (const Series& series : comparison.series) {
    if (series.name == name) return &series;
  }
  return nullptr;
}

Result<Comparison> measure(size_t samples) {
  auto program = make_program();
  if (!program) return tl::unexpected(program.error());
  auto groups = CgroupRoot::create(CgroupLayout::probe());
  if (!groups) return tl::unexpected(groups.error());

  auto bare = std::make_shared<Floor>(program->get(), 0, true);
  std::vector<Contestant> contestants = {{"clone3 and exec", [bare] { return bare->run(); }}};
  std::vector<Pair> pairs;
  for (const std::string name : kProfiles) {
    auto made = Spawned::make(name, program->get(), *groups);
    if (!made) return tl::unexpected(made.error());
    auto target = *made;
    if (auto ok = target->prepare(); !ok) return tl::unexpected(ok.error());
    if (target->namespaces() != 0) {
      auto floor = std::make_shared<Floor>(program->get(), target->namespaces(), !target->apart());
      contestants.push_back({name + ": namespaces alone", [floor] { return floor->run(); }});
      pairs.push_back({name + ": namespaces alone", name});
    }
    contestants.push_back({name, [target] { return target->whole(); }});
    if (target->limits()) {
      contestants.push_back({name + ": group alone", [target] { return target->group(); }});
      contestants.push_back({name + ": group made before", [target] { return target->start(); }});
      pairs.push_back({name + ": namespaces alone", name + ": group made before"});
    }
  }

  CompareOptions options;
  options.rounds = samples;
  auto comparison = compare(contestants, options);
  if (!comparison) return comparison;
  for (const Pair& pair : pairs) {
    const Series* baseline = find(*comparison, pair.baseline);
    const Series* other = find(*comparison, pair.other);
    comparison->ratios.push_back(ratio(*baseline, *other, options));
  }
  return comparison;
}

void show(const Comparison& comparison) {
  fmt::print("start, exec and wait of a freestanding program that ends at once\n{}",
             render(comparison));
  // render() has the ratios over the first contestant; the further ones are ours.
  for (size_t i = comparison.series.size() - 1; i < comparison.ratios.size(); ++i) {
    const Ratio& r = comparison.ratios[i];
    fmt::print("{} over {}: {:.2f} [{:.2f}, {:.2f}]\n", r.name, r.baseline, r.ratio, r.low, r.high);
  }
}

struct Arguments {
  size_t samples = 200;
  std::string json;
};

constexpr const char* kUsage =
    "usage: ringfence-bench-spawn [--samples N] [--json FILE]\n"
    "What a start under none, docker-default and hardened costs, against bare clone3 and exec and\n"
    "against the profile's namespaces alone. N rounds (at least 2, default 200); FILE gets one\n"
    "JSON object with every sample, in nanoseconds.\n";

Result<Arguments> parse(int argc, char** argv) {
  static constexpr option kOptions[] = {{"samples", required_argument, nullptr, 's'},
                                        {"json", required_argument, nullptr, 'j'},
                                        {"help", no_argument, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  Arguments args;
  opterr = 0;
  for (int c = 0; (c = getopt_long(argc, argv, "s:j:h", kOptions, nullptr)) != -1;) {
    if (c == 'h') {
      fmt::print("{}", kUsage);
      std::exit(0);
    } else if (c == 'j') {
      args.json = optarg;
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

int bench_main(int argc, char** argv) {
  auto args = parse(argc, argv);
  if (!args) return complain(args.error());
  if (geteuid() != 0) {
    fmt::print(stderr,
               "ringfence-bench-spawn: needs:root, for namespaces without a user namespace\n");
    return kSkipped;
  }
  auto comparison = measure(args->samples);
  if (!comparison) return complain(comparison.error());
  show(*comparison);
  if (args->json.empty()) return 0;
  const std::string text = to_json(*comparison, "spawn") + "\n";
  auto file = sys::open(args->json.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!file) return complain(file.error());
  if (auto ok = sys::write_full(file->get(), text.data(), text.size()); !ok) {
    return complain(ok.error());
  }
  return 0;
}

}  // namespace
}  // namespace ringfence::bench

int main(int argc, char** argv) { return ringfence::bench::bench_main(argc, argv); }
