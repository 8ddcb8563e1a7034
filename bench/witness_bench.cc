// ringfence-bench-witness: what the eBPF witness costs those whom it watches and those whom it does
// not, and how much it can tell before it loses something.
//
// One process per way of being seen makes the same syscalls, a burst at a time, in rounds that
// interleave (bench/compare.h): with nothing attached; with empty programs on the same hooks, the
// floor of any witness; with the witness and not watched; watched, with the whole story or with
// denials only; and under strace, where there is one. Then a process that is refused as fast as it
// can, on one CPU, and a reader on another. What another program has attached to this machine
// disturbs all of it: such rounds are thrown away, and counted.
#include <fmt/format.h>
#include <getopt.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <optional>

#include "bench/attached.h"
#include "bench/capacity.h"
#include "bench/compare.h"
#include "bench/worker.h"
#include "harness/base/sys.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/witness/witness.h"
#include "probes/bpf/abi.h"

namespace ringfence::bench {
namespace {

constexpr int kSkipped = 77;
constexpr int kWrong = 1;
constexpr size_t kBursts = 5;
constexpr size_t kThousand = 1000;  // costs are of so many calls
constexpr size_t kStoryBytes = size_t{8} << 20;
constexpr size_t kTraced = 20;  // a tracer gets that many times fewer calls
constexpr std::array kCalls = {Call::getppid, Call::openat, Call::sethostname};

struct Arguments {
  size_t samples = 30;
  size_t calls = 2000;
  double seconds = 2;
  std::string json;
  bool strace = true;
};

int complain(const Error& error) {
  fmt::print(stderr, "ringfence-bench-witness: {}\n", error.describe());
  return error.kind == Error::Kind::usage         ? 64
         : error.kind == Error::Kind::unsupported ? kSkipped
                                                  : 2;
}

// --- The contestants
// ------------------------------------------------------------------------------
enum class Attached { nothing, empty, witness };

struct Seen {
  std::string name;
  Attached state = Attached::nothing;
  size_t worker = 0;
  bool traced = false;
};

enum Workers : size_t { kUnwatched, kStory, kDenials, kStrace, kStraceOfOne };

class Stage {
 public:
  static Result<std::unique_ptr<Stage>> make(const Arguments& args);

  [[nodiscard]] const std::vector<Seen>& contestants() const { return contestants_; }
  // Links of ours: now, and all that there were.
  [[nodiscard]] const Links& own() const { return own_; }
  [[nodiscard]] const Links& ever() const { return ever_; }
  [[nodiscard]] const std::string& no_peer() const { return no_peer_; }

  Status be(Attached state);
  // The cost of a thousand calls, in nanoseconds.
  Result<int64_t> cost(const Seen& seen, Call call, size_t calls);

 private:
  Status watch();

  std::shared_ptr<CgroupRoot> groups_;
  std::vector<CgroupLeaf> leaves_;  // of the watched
  std::vector<Worker> workers_;
  std::vector<Seen> contestants_;
  std::string no_peer_;
  std::optional<EmptyPrograms> empty_;
  std::optional<Witness> witness_;
  std::vector<Watch> watches_;
  Attached state_ = Attached::nothing;
  Links own_, ever_;
};

Result<uint64_t> id_of(const CgroupLeaf& group) {
  struct stat st {};
  const int64_t r = sys::call(SYS_fstat, static_cast<uint64_t>(group.unified_fd()), sys::arg(&st));
  if (r < 0) return system_error("fstat", "group", static_cast<int>(-r));
  return st.st_ino;
}

Result<std::unique_ptr<Stage>> Stage::make(const Arguments& args) {
  auto stage = std::make_unique<Stage>();
  auto groups = CgroupRoot::create(CgroupLayout::probe());
  if (!groups) return tl::unexpected(groups.error());
  stage->groups_ = *groups;
  if ((*groups)->layout().unified.empty()) {
    return unsupported_error("watch a group", "cgroup v2", ENOENT, "no hierarchy is mounted");
  }
  auto witness = Witness::open();
  if (!witness) return tl::unexpected(witness.error());
  std::vector<std::string> programs;
  for (const Rung& rung : witness->ladder()) {
    // How the story travels is no program.
    if (rung.taken && !rung.section.empty()) programs.push_back(rung.program());
  }
  auto empty = EmptyPrograms::load(programs);
  if (!empty) return tl::unexpected(empty.error());
  stage->empty_ = std::move(*empty);

  // We read on the first CPU, they work on the last.
  const int cpu = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) - 1;
  const auto add = [&](WorkerOptions options) -> Status {
    options.cpu = cpu;
    auto worker = Worker::start(options);
    if (!worker) return tl::unexpected(worker.error());
    stage->workers_.push_back(std::move(*worker));
    return {};
  };
  if (auto ok = add({}); !ok) return tl::unexpected(ok.error());
  for (const char* name : {"story", "denials"}) {
    auto leaf = CgroupLeaf::create(stage->groups_, {}, name);
    if (!leaf) return tl::unexpected(leaf.error());
    stage->leaves_.push_back(std::move(*leaf));
    if (auto ok = add({.group = stage->leaves_.back().unified_fd()}); !ok) {
      return tl::unexpected(ok.error());
    }
  }
  stage->contestants_ = {{"nothing attached", Attached::nothing, kUnwatched},
                         {"empty programs", Attached::empty, kUnwatched},
                         {"witness, unwatched", Attached::witness, kUnwatched},
                         {"watched, whole story", Attached::witness, kStory},
                         {"watched, denials only", Attached::witness, kDenials},
                         {"after detaching", Attached::nothing, kUnwatched}};
  if (!args.strace) {
    stage->no_peer_ = "--no-strace";
    return stage;
  }
  const std::vector<std::string> all = {"strace", "-f", "-qq", "-o", "/dev/null"};
  std::vector<std::string> one = all;
  one.insert(one.end(), {"--seccomp-bpf", "-e", "trace=openat"});
  for (const auto& command : {all, one}) {
    if (auto ok = add({.under = command}); !ok) {
      stage->no_peer_ = ok.error().describe();
      return stage;
    }
  }
  stage->contestants_.push_back({"strace -f", Attached::nothing, kStrace, true});
  stage->contestants_.push_back(
      {"strace -f --seccomp-bpf -e trace=openat", Attached::nothing, kStraceOfOne, true});
  return stage;
}

Status Stage::watch() {
  for (size_t i = 0; i < leaves_.size(); ++i) {
    auto id = id_of(leaves_[i]);
    if (!id) return tl::unexpected(id.error());
    auto watch = witness_->watch(*id, {.ring_bytes = kStoryBytes, .story = i == 0});
    if (!watch) return tl::unexpected(watch.error());
    // As many as a case has.
    std::array<rf_want, 2> wants{};
    wants[0].nr = SYS_kill;
    wants[1].nr = SYS_write;
    wants[1].args = 1;
    wants[1].mask[0] = wants[1].value[0] = 0xffffffff;
    wants[0].path = wants[1].path = -1;
    if (auto ok = watch->look_for(wants); !ok) return ok;
    watches_.push_back(std::move(*watch));
  }
  return {};
}

Status Stage::be(Attached state) {
  if (state == state_) return {};
  watches_.clear();
  witness_.reset();
  empty_->detach();
  state_ = state;
  if (state == Attached::empty) {
    if (auto ok = empty_->attach(); !ok) return ok;
  } else if (state == Attached::witness) {
    auto opened = Witness::open();
    if (!opened) return tl::unexpected(opened.error());
    witness_ = std::move(*opened);
    if (auto ok = watch(); !ok) return ok;
  }
  auto held = own_links();
  if (!held) return tl::unexpected(held.error());
  own_ = std::move(*held);
  ever_.insert(own_.begin(), own_.end());
  return {};
}

Result<int64_t> Stage::cost(const Seen& seen, Call call, size_t calls) {
  if (seen.traced) calls = std::max<size_t>(calls / kTraced, 2);
  auto took = workers_[seen.worker].time(call, calls, kBursts);
  if (!took) return tl::unexpected(took.error());
  for (Watch& watch : watches_) {
    if (auto read = watch.story([](const rf_event&, size_t) {}); !read) {
      return tl::unexpected(read.error());
    }
  }
  return took->fastest * static_cast<int64_t>(kThousand) / static_cast<int64_t>(calls);
}

// --- The rounds
// -----------------------------------------------------------------------------------
struct Measured {
  std::array<Comparison, kCalls.size()> by_call;
  size_t thrown_away = 0;
  size_t disturbed = 0;  // of those that were kept
};

// One round's costs, by contestant and call; `others`: programs that are not ours.
struct Round {
  std::vector<std::array<int64_t, kCalls.size()>> costs;
  size_t others = 0;
};

Result<Round> run_round(Stage& stage, bool backwards, size_t calls, const Links& before) {
  const auto& contestants = stage.contestants();
  Round round;
  round.costs.resize(contestants.size());
  // What comes after detaching is measured after it, whichever way round.
  std::vector<size_t> order;
  constexpr size_t kAfter = 5;
  for (size_t i = 0; i < contestants.size(); ++i) order.push_back(i);
  if (backwards) {
    std::reverse(order.begin(), order.end());
    std::erase(order, kAfter);
    order.insert(std::find(order.begin(), order.end(), size_t{1}), kAfter);
  }
  const auto look = [&]() -> Status {
    auto attached = attached_links();
    if (!attached) return tl::unexpected(attached.error());
    round.others = std::max(round.others, without(without(*attached, stage.own()), before).size());
    return {};
  };
  for (const size_t index : order) {
    if (auto ok = stage.be(contestants[index].state); !ok) return tl::unexpected(ok.error());
    if (auto ok = look(); !ok) return tl::unexpected(ok.error());
    for (size_t c = 0; c < kCalls.size(); ++c) {
      auto cost = stage.cost(contestants[index], kCalls[c], calls);
      if (!cost) return tl::unexpected(cost.error());
      round.costs[index][c] = *cost;
    }
    if (auto ok = look(); !ok) return tl::unexpected(ok.error());
  }
  return round;
}

Result<Measured> measure(Stage& stage, const Arguments& args, const Links& before) {
  Measured measured;
  CompareOptions options;
  options.warmup = 1;
  options.rounds = args.samples;
  for (Comparison& comparison : measured.by_call) {
    comparison.options = options;
    for (const Seen& seen : stage.contestants()) comparison.series.push_back({seen.name, {}});
  }
  size_t kept = 0;
  for (size_t i = 0; kept < options.rounds; ++i) {
    auto round = run_round(stage, i % 2 == 1, args.calls, before);
    if (!round) return tl::unexpected(round.error());
    if (i < options.warmup) continue;
    if (round->others > 0) {
      // Another's programs cost everybody something. But it may never go.
      if (measured.thrown_away < 2 * options.rounds) {
        ++measured.thrown_away;
        continue;
      }
      ++measured.disturbed;
    }
    ++kept;
    for (size_t c = 0; c < kCalls.size(); ++c) {
      for (size_t s = 0; s < round->costs.size(); ++s) {
        measured.by_call[c].series[s].samples.push_back(round->costs[s][c]);
      }
    }
  }
  for (Comparison& comparison : measured.by_call) {
    for (size_t s = 1; s < comparison.series.size(); ++s) {
      comparison.ratios.push_back(ratio(comparison.series[0], comparison.series[s], options));
    }
  }
  return measured;
}

// --- What came of it
// ------------------------------------------------------------------------------
std::string over(const Comparison& comparison, size_t other, size_t baseline) {
  const Ratio r = ratio(comparison.series[baseline], comparison.series[other], comparison.options);
  const double least = static_cast<double>(spread(comparison.series[other].samples).min) /
                       static_cast<double>(spread(comparison.series[baseline].samples).min);
  return fmt::format("{} over {}: {:.2f} [{:.2f}, {:.2f}], of the least {:.2f}\n", r.name,
                     r.baseline, r.ratio, r.low, r.high, least);
}

// What one adds to the cost of nothing, by what another does; of the least, which others disturb
// the least.
std::string adds(const Comparison& comparison, size_t other, size_t baseline) {
  const auto added = [&](size_t index) {
    return static_cast<double>(spread(comparison.series[index].samples).min -
                               spread(comparison.series[0].samples).min);
  };
  return fmt::format("{} adds {:.1f} times what {} adds\n", comparison.series[other].name,
                     added(other) / added(baseline), comparison.series[baseline].name);
}

void show(const Measured& measured, const Stage& stage) {
  for (size_t c = 0; c < kCalls.size(); ++c) {
    const Comparison& comparison = measured.by_call[c];
    fmt::print("{} calls of {}, the fastest of {} bursts\n{}", kThousand, call_name(kCalls[c]),
               kBursts, render(comparison));
    fmt::print("{}{}{}", over(comparison, 2, 1), over(comparison, 3, 1), over(comparison, 4, 1));
    if (comparison.series.size() > 6) {
      fmt::print("{}{}", over(comparison, 6, 3), over(comparison, 7, 3));
      fmt::print("{}{}", adds(comparison, 6, 3), adds(comparison, 6, 4));
    }
    fmt::print("\n");
  }
  if (!stage.no_peer().empty()) fmt::print("strace left out: {}\n", stage.no_peer());
  if (measured.thrown_away > 0) {
    fmt::print("{} rounds thrown away: somebody else had programs attached\n",
               measured.thrown_away);
  }
  if (measured.disturbed > 0) {
    fmt::print("{} rounds kept in which somebody else had programs attached\n", measured.disturbed);
  }
}

constexpr const char* kUsage =
    "usage: ringfence-bench-witness [--samples N] [--calls N] [--seconds S] [--no-strace]\n"
    "                               [--json FILE]\n"
    "What a syscall costs with nothing attached, with empty eBPF programs, with the witness when\n"
    "it does not watch and when it does, and under strace; and how many events a second the\n"
    "witness tells before it loses one, and whether it counts what it loses. N rounds (at least "
    "2,\n"
    "default 30) of bursts of N calls (at least 20, default 2000); about S seconds (default 2) "
    "for\n"
    "each flood of events. FILE gets a line of JSON for each call, with every sample, in\n"
    "nanoseconds for 1000 calls.\n"
    "Exit: 0; 1 when events and losses do not add up, or something stayed attached; 77 when this\n"
    "machine cannot have the witness.\n";

template <typename T>
bool number(const char* text, T least, T& value) {
  const std::string_view all = text;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  return error == std::errc{} && end == all.data() + all.size() && value >= least;
}

Result<Arguments> parse(int argc, char** argv) {
  static constexpr option kOptions[] = {{"samples", required_argument, nullptr, 's'},
                                        {"calls", required_argument, nullptr, 'c'},
                                        {"seconds", required_argument, nullptr, 't'},
                                        {"json", required_argument, nullptr, 'j'},
                                        {"no-strace", no_argument, nullptr, 'n'},
                                        {"help", no_argument, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  Arguments args;
  opterr = 0;
  for (int c = 0; (c = getopt_long(argc, argv, "s:c:t:j:nh", kOptions, nullptr)) != -1;) {
    if (c == 'h') {
      fmt::print("{}", kUsage);
      std::exit(0);
    } else if (c == 'j') {
      args.json = optarg;
    } else if (c == 'n') {
      args.strace = false;
    } else if (c == 's') {
      if (!number(optarg, size_t{2}, args.samples)) {
        return usage_error("--samples", optarg, "a number, at least 2");
      }
    } else if (c == 'c') {
      // The ring has to hold what the bursts say.
      if (!number(optarg, size_t{20}, args.calls) || args.calls > 5000) {
        return usage_error("--calls", optarg, "a number, 20 to 5000");
      }
    } else if (c == 't') {
      if (!number(optarg, 0.001, args.seconds) || args.seconds > 600) {
        return usage_error("--seconds", optarg, "a number, 0.001 to 600");
      }
    } else {
      return usage_error("option", argv[optind - 1], "unknown, or without its value; see --help");
    }
  }
  if (optind < argc) return usage_error("argument", argv[optind], "none is taken; see --help");
  return args;
}

Status write_json(const Measured& measured, const std::string& path) {
  std::string text;
  for (size_t c = 0; c < kCalls.size(); ++c) {
    text += to_json(measured.by_call[c], fmt::format("witness, 1000 {}", call_name(kCalls[c])));
    text += '\n';
  }
  auto file = sys::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!file) return tl::unexpected(file.error());
  return sys::write_full(file->get(), text.data(), text.size());
}

// Whether all of it adds up.
Result<bool> floods(const Arguments& args) {
  auto witness = Witness::open();
  if (!witness) return tl::unexpected(witness.error());
  auto groups = CgroupRoot::create(CgroupLayout::probe());
  if (!groups) return tl::unexpected(groups.error());
  auto leaf = CgroupLeaf::create(*groups, {}, "flood");
  if (!leaf) return tl::unexpected(leaf.error());
  auto id = id_of(*leaf);
  if (!id) return tl::unexpected(id.error());
  auto worker = Worker::start(
      {.cpu = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) - 1, .group = leaf->unified_fd()});
  if (!worker) return tl::unexpected(worker.error());
  // How many calls the time is enough for.
  const Flood short_one{"", size_t{1} << 20, true};
  auto pace = flood(*witness, *id, *worker, short_one, 2000);
  if (!pace) return tl::unexpected(pace.error());
  const auto calls = static_cast<uint64_t>(std::max(pace->per_second() * args.seconds, 2000.0));
  bool exact = pace->exact();
  const std::array<Flood, 4> all = {
      Flood{"reading along, a ring of 8 MiB", size_t{8} << 20, true},
      Flood{"reading along, a ring of 512 KiB", size_t{512} << 10, true},
      Flood{"reading along, a ring of 4 KiB", size_t{4} << 10, true},
      Flood{"read when all is over, a ring of 512 KiB", size_t{512} << 10, false}};
  for (const Flood& each : all) {
    auto told = flood(*witness, *id, *worker, each, calls);
    if (!told) return tl::unexpected(told.error());
    fmt::print("{}", render(*told));
    exact = exact && told->exact();
  }
  return exact;
}

int bench_main(int argc, char** argv) {
  int fd = -1;
  int cpu = -1;
  if (argc == 4 && std::string_view(argv[1]) == "--worker" && number(argv[2], 0, fd) &&
      number(argv[3], -1, cpu)) {
    serve_worker(fd, cpu);
  }
  signal(SIGPIPE, SIG_IGN);  // a worker that ended is an error of ours
  auto args = parse(argc, argv);
  if (!args) return complain(args.error());
  auto before = attached_links();
  if (!before) {
    fmt::print(stderr, "ringfence-bench-witness: needs:bpf: {}\n", before.error().describe());
    return kSkipped;
  }
  if (!before->empty()) {
    fmt::print("{} programs of others are attached, and part of every figure\n", before->size());
  }
  if (auto ok = pin_to_cpu(0); !ok) return complain(ok.error());
  Links ours;
  {
    auto stage = Stage::make(*args);
    if (!stage) return complain(stage.error());
    auto measured = measure(**stage, *args, *before);
    if (!measured) return complain(measured.error());
    show(*measured, **stage);
    if (!args->json.empty()) {
      if (auto ok = write_json(*measured, args->json); !ok) return complain(ok.error());
    }
    ours = (*stage)->ever();
  }
  auto exact = floods(*args);
  if (!exact) return complain(exact.error());
  auto after = attached_links();
  if (!after) return complain(after.error());
  const size_t left = ours.size() - without(ours, *after).size();
  fmt::print("of {} links that were made {} are left\n", ours.size(), left);
  return *exact && left == 0 ? 0 : kWrong;
}

}  // namespace
}  // namespace ringfence::bench

int main(int argc, char** argv) { return ringfence::bench::bench_main(argc, argv); }
