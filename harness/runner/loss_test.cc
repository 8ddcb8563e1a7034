// Loss that is injected into whole runs: what the witness failed to keep makes `held` unproven
// (`evidence_lost`), every time, and takes nothing from `breached`. What only the story lost
// changes no verdict, since none is taken from it.
//
// Each injection is a real one, is counted to have happened, and is set against the same cases
// without it: more than 200 of them under each.
#include <bpf/bpf.h>
#include <gmock/gmock.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/policy/read.h"
#include "harness/runner/runner.h"
#include "harness/spawn/cgroup_leaf.h"
#include "probes/inmate/testdata/liars.h"
#include "suites/suite.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

constexpr size_t kRuns = 200;
constexpr size_t kPage = 4096;

const Facts& facts() {
  static const Facts known = Facts::probe();
  return known;
}
const Registry& registry() {
  static const Registry known = suites::attempts().value();
  return known;
}

std::vector<CaseRecord> judged(const Witness& witness, RunOptions options) {
  Observer nobody;
  options.opened_witness = &witness;
  options.jobs = 2;
  options.seed = 1;  // names that come of it are the same in each run
  auto result = run(registry(), facts(), options, nobody);
  EXPECT_TRUE(result) << result.error().describe();
  return result ? std::move(result->cases) : std::vector<CaseRecord>{};
}

// No confinement at all: what must be breached, whatever is lost.
RunOptions unconfined(RunOptions options = {}) {
  options.policy = profile("none").value();
  return options;
}

std::map<std::string, CaseRecord> by_id(std::vector<CaseRecord> records, Verdict verdict) {
  std::map<std::string, CaseRecord> found;
  for (CaseRecord& record : records) {
    if (record.verdict == verdict) found.emplace(record.id, std::move(record));
  }
  return found;
}

const WitnessRecord& ebpf_of(const CaseRecord& record) {
  static const WitnessRecord none{};
  const auto at = std::find_if(record.witnesses.begin(), record.witnesses.end(),
                               [](const WitnessRecord& w) { return w.name == "ebpf"; });
  EXPECT_NE(at, record.witnesses.end()) << record.id;
  return at != record.witnesses.end() ? *at : none;
}

// Makes more calls than a ring has room for, however undisturbed: two tasks race for a path.
constexpr std::string_view kRace = "mnt.rename_race";

// How many events of its confined trial the story lost, as the timeline says it.
uint64_t story_lost(const CaseRecord& record) {
  for (const EvidenceLine& line : record.evidence) {
    if (line.trial != "confined" || line.source != "ebpf") continue;
    if (line.text.find(" events had no room in the ring") != std::string::npos) {
      return std::stoull(line.text);
    }
  }
  return 0;
}

// A process that does one thing until it is ended.
class Disturber {
 public:
  explicit Disturber(const std::function<void()>& once, int group_fd = -1) {
    clone_args args{};
    args.exit_signal = SIGCHLD;
    if (group_fd >= 0) {
      args.flags = CLONE_INTO_CGROUP;
      args.cgroup = static_cast<uint64_t>(group_fd);
    }
    pid_ = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      errno = 0;
      (void)nice(5);  // the runs come first
      for (;;) once();
    }
    EXPECT_GT(pid_, 0);
  }
  Disturber(const Disturber&) = delete;
  Disturber& operator=(const Disturber&) = delete;
  ~Disturber() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_ = -1;
};

// The descriptor of a map or a program of the witness that this process opened last, by its name.
template <typename Info>
int object_named(const std::string& kind, const std::string& name) {
  int found = -1;
  uint32_t last = 0;
  for (int fd = 3; fd < 1024; ++fd) {
    Info info{};
    uint32_t size = sizeof info;
    std::array<char, 64> target{};
    const auto link = "/proc/self/fd/" + std::to_string(fd);
    if (readlink(link.c_str(), target.data(), target.size() - 1) < 0) continue;
    if (std::string(target.data()).find(kind) == std::string::npos) continue;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0 || info.name != name) continue;
    if (info.id > last) found = fd;
    last = std::max(last, info.id);
  }
  return found;
}
int map_named(const std::string& name) { return object_named<bpf_map_info>("bpf-map", name); }
int program_named(const std::string& name) { return object_named<bpf_prog_info>("bpf-prog", name); }

class Loss : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!facts().satisfied("root")) GTEST_SKIP() << facts().why_not("root");
    if (!plain()) {
      ASSERT_EQ(plain().error().kind, Error::Kind::unsupported) << plain().error().describe();
      GTEST_SKIP() << "needs:bpf: " << plain().error().describe();
    }
  }
  static Result<Witness>& plain() {
    static Result<Witness> witness = Witness::open({.rings = 2});
    return witness;
  }
  // What is held, and what is breached without confinement, when nothing is lost.
  static const std::map<std::string, CaseRecord>& held() {
    static const auto known = by_id(judged(*plain(), {}), Verdict::held);
    EXPECT_GE(known.size(), 80U);
    return known;
  }
  static const std::map<std::string, CaseRecord>& breached() {
    static const auto known = by_id(judged(*plain(), unconfined()), Verdict::breached);
    EXPECT_GE(known.size(), 40U);
    return known;
  }

  // The counter-check: this witness, with these options, holds and breaches the same as the plain
  // one, as long as nobody disturbs it.
  static void expect_undisturbed(const Witness& witness, RunOptions options) {
    options.globs = {"pid.*", "uts.*"};
    for (const CaseRecord& record : judged(witness, options)) {
      if (!held().count(record.id)) continue;
      EXPECT_EQ(record.verdict, Verdict::held) << record.id << ": " << record.detail;
    }
    for (const CaseRecord& record : judged(witness, unconfined(options))) {
      if (!breached().count(record.id)) continue;
      EXPECT_EQ(record.verdict, Verdict::breached) << record.id << ": " << record.detail;
    }
  }

  // Under an injection, until it has hit more than 200 cases that are held without it. One that it
  // missed, by chance, may be held: with no loss to tell of. `what` is said of what was lost.
  static void expect_unproven(const Witness& witness, const RunOptions& options,
                              const std::string& what) {
    size_t hit = 0;
    size_t missed = 0;
    size_t still_breached = 0;
    for (int pass = 0; pass < 8 && (hit <= kRuns || still_breached <= kRuns / 2); ++pass) {
      for (const CaseRecord& record : judged(witness, options)) {
        if (!held().count(record.id)) continue;
        if (record.verdict == Verdict::held && ebpf_of(record).lost == 0) {
          ++missed;
          continue;
        }
        ++hit;
        EXPECT_EQ(record.verdict, Verdict::unproven) << record.id << ": " << record.detail;
        EXPECT_EQ(record.reason, "evidence_lost") << record.id << ": " << record.detail;
        EXPECT_THAT(record.detail, HasSubstr(what)) << record.id;
      }
      for (const CaseRecord& record : judged(witness, unconfined(options))) {
        if (breached().count(record.id)) {
          EXPECT_EQ(record.verdict, Verdict::breached) << record.id << ": " << record.detail;
          ++still_breached;
        } else {
          EXPECT_NE(record.verdict, Verdict::breached) << record.id;
        }
      }
    }
    EXPECT_GT(hit, kRuns) << "the injection missed " << missed;
    EXPECT_GT(still_breached, kRuns / 2);
    RecordProperty("hit", static_cast<int>(hit));
    RecordProperty("missed", static_cast<int>(missed));
    printf("%zu unproven, %zu breached, %zu not hit\n", hit, still_breached, missed);
  }

  // The story is lost, and no fact: verdict, layer and the kernel's own words stay what they are.
  static void expect_untouched(const Witness& witness, const RunOptions& options) {
    size_t runs = 0;
    uint64_t lost = 0;
    const auto check = [&](const RunOptions& how, const std::map<std::string, CaseRecord>& known) {
      for (const CaseRecord& record : judged(witness, how)) {
        const auto before = known.find(record.id);
        if (before == known.end()) continue;
        ++runs;
        EXPECT_EQ(record.verdict, before->second.verdict) << record.id << ": " << record.detail;
        EXPECT_EQ(record.decided_by, before->second.decided_by) << record.id;
        EXPECT_EQ(ebpf_of(record).lost, 0U) << record.id;
        EXPECT_GT(story_lost(record), 0U) << record.id;
        if (record.id != kRace) {
          EXPECT_EQ(story_lost(before->second), 0U) << record.id;
        }
        lost += story_lost(record);
        // The path that the decisive call was given is in it, and that came by the ring once.
        const auto path_in = [](const std::string& says) {
          const size_t from = says.find('"');
          return from == std::string::npos ? ""
                                           : says.substr(from, says.find('"', from + 1) - from);
        };
        EXPECT_EQ(path_in(ebpf_of(record).says), path_in(ebpf_of(before->second).says))
            << record.id;
      }
    };
    for (int pass = 0; pass < 2; ++pass) {
      check(options, held());
      check(unconfined(options), breached());
    }
    EXPECT_GT(runs, kRuns);
    printf("%zu runs, %llu events of the story lost\n", runs,
           static_cast<unsigned long long>(lost));
  }
};

// States of tasks that are put out between a syscall's enter and its exit: the map has room for
// two, and the tasks of another watch, which hand the CPU to one another with each call, crowd it.
TEST_F(Loss, OfTasksStates) {
  auto witness = Witness::open({.rings = 2, .tasks = 2});
  ASSERT_TRUE(witness) << witness.error().describe();
  const auto root = CgroupRoot::create(CgroupLayout::probe());
  ASSERT_TRUE(root) << root.error().describe();
  auto group = CgroupLeaf::create(*root, {}, "crowd");
  ASSERT_TRUE(group) << group.error().describe();
  struct stat st {};
  ASSERT_EQ(fstat(group->unified_fd(), &st), 0);
  auto watch = witness->watch(st.st_ino, {.ring_bytes = kPage});
  ASSERT_TRUE(watch) << watch.error().describe();
  std::vector<std::unique_ptr<Disturber>> crowd;
  for (int i = 0; i < 8; ++i) {
    crowd.push_back(
        std::make_unique<Disturber>([] { syscall(SYS_sched_yield); }, group->unified_fd()));
  }
  expect_unproven(*witness, {}, "without a beginning");
  const auto crowded = watch->facts();
  ASSERT_TRUE(crowded);
  EXPECT_GT(crowded->lost, kRuns);
  // The counter-check: with room for all of them, the same crowd costs nothing.
  auto roomy = Witness::open({.rings = 2});
  ASSERT_TRUE(roomy) << roomy.error().describe();
  auto same = roomy->watch(st.st_ino, {.ring_bytes = kPage});
  ASSERT_TRUE(same) << same.error().describe();
  expect_undisturbed(*roomy, {});
}

// Nested programs: one that runs is not begun again on the same CPU, and the kernel counts that it
// left it out (recursion_misses). Here the witness's program of group changes gets two tracepoints
// more: capability checks, which a process makes all the time, and signals, which a timer's
// interrupt sends to it in the middle of that. There it finds nobody to keep facts of, and nests.
//
// What decides does not nest by itself on a kernel like this: no interrupt makes a syscall, checks
// a capability, forks, executes or makes a group, signals are sent and tasks moved with interrupts
// off, and tracepoints run without preemption. Where a kernel preempts them it does, and on the
// last rung of enter and exit so does a bpf(2) on a map that is preempted (trace_call_bpf()).
TEST_F(Loss, OfRunsOfNestedPrograms) {
  auto witness = Witness::open({.avoid = {"tp_btf"}, .rings = 2});
  ASSERT_TRUE(witness) << witness.error().describe();
  const int program = program_named("attach__raw_tp");
  ASSERT_GE(program, 0);
  const UniqueFd checks(bpf_raw_tracepoint_open("cap_capable", program));
  const UniqueFd signals(bpf_raw_tracepoint_open("signal_generate", program));
  if (!checks || !signals) GTEST_SKIP() << "host-lacks:tracepoints";
  expect_undisturbed(*witness, {});
  const auto nest = [] {
    static const bool ready = [] {
      struct sigaction action {};
      action.sa_handler = [](int) {};
      sigaction(SIGALRM, &action, nullptr);
      const itimerval often{{0, 20}, {0, 20}};
      return setitimer(ITIMER_REAL, &often, nullptr) == 0;
    }();
    if (ready) syscall(SYS_setgroups, 0, nullptr);
  };
  const auto before = witness->misses_of("attach");
  ASSERT_TRUE(before);
  const Disturber first(nest);
  const Disturber second(nest);
  expect_unproven(*witness, {}, "runs of the attach program left out by the kernel");
  const auto after = witness->misses_of("attach");
  ASSERT_TRUE(after);
  EXPECT_GT(*after, *before + kRuns);
  printf("%llu runs left out\n", static_cast<unsigned long long>(*after - *before));
}

// The sentinels: more answers arrive than the kernel saw to be sent.
TEST_F(Loss, OfAnswersThatArrived) {
  const auto image = liar_whispers_image();
  RunOptions options;
  options.inmate.assign(image.begin(), image.end());
  expect_undisturbed(*plain(), {});
  expect_unproven(*plain(), options, "answers that arrived and were not seen to be sent");
}

// No room for another trial: nothing that happens in it is kept.
TEST_F(Loss, OfWholeTrials) {
  expect_undisturbed(*plain(), {});
  (void)held();
  (void)breached();
  auto witness = Witness::open({.rings = 2});
  ASSERT_TRUE(witness) << witness.error().describe();
  const int map = map_named("trials");
  ASSERT_GE(map, 0);
  bpf_map_info info{};
  uint32_t size = sizeof info;
  ASSERT_EQ(bpf_obj_get_info_by_fd(map, &info, &size), 0);
  const std::vector<char> trial(info.value_size);
  for (uint64_t key = 1; key <= info.max_entries; ++key) {
    ASSERT_EQ(bpf_map_update_elem(map, &key, trial.data(), BPF_NOEXIST), 0);
  }
  expect_unproven(*witness, {}, "E2BIG");
}

class LossOfTheStory : public Loss, public ::testing::WithParamInterface<const char*> {
 protected:
  static WitnessOptions options(size_t slot_bytes) {
    WitnessOptions options{.rings = 2, .slot_bytes = slot_bytes};
    if (std::string(GetParam()) == "perf") options.avoid = {"ringbuf"};
    return options;
  }
};

TEST_P(LossOfTheStory, ARingOfOnePage) {
  auto witness = Witness::open(options(kPage));
  ASSERT_TRUE(witness) << witness.error().describe();
  EXPECT_EQ(story_transport(witness->ladder()) == StoryTransport::perf,
            std::string(GetParam()) == "perf");
  expect_untouched(*witness, {});
}

TEST_P(LossOfTheStory, AReaderThatHasStopped) {
  auto witness = Witness::open(options(kPage));
  ASSERT_TRUE(witness) << witness.error().describe();
  RunOptions deaf;
  deaf.watch.reads = false;
  for (const CaseRecord& record : judged(*witness, deaf)) {
    for (const EvidenceLine& line : record.evidence) {
      if (line.source != "ebpf") continue;
      // What a port counts is in a map of its own, not in the story.
      EXPECT_THAT(line.text, testing::AnyOf(HasSubstr("had no room in the ring"),
                                            testing::StartsWith("came out of the target")))
          << record.id;
    }
  }
  expect_untouched(*witness, deaf);
}

// With room for all of it, the perf buffers tell the same story as the ring.
TEST_P(LossOfTheStory, NoneWhereThereIsRoom) {
  auto witness = Witness::open(options(size_t{1} << 18));
  ASSERT_TRUE(witness) << witness.error().describe();
  size_t compared = 0;
  for (const CaseRecord& record : judged(*witness, {})) {
    const auto before = held().find(record.id);
    if (before == held().end()) continue;
    ++compared;
    EXPECT_EQ(record.verdict, Verdict::held) << record.id << ": " << record.detail;
    if (record.id == kRace) continue;
    EXPECT_EQ(story_lost(record), 0U) << record.id;
    const auto decided = [](const CaseRecord& r) {
      const auto line = std::find_if(r.evidence.begin(), r.evidence.end(),
                                     [](const EvidenceLine& each) { return each.decided; });
      return line != r.evidence.end() ? line->source : "none";
    };
    EXPECT_EQ(decided(record), decided(before->second)) << record.id;
    const auto executes = [](const CaseRecord& r) {
      return std::count_if(r.evidence.begin(), r.evidence.end(), [](const EvidenceLine& line) {
        return line.source == "ebpf" && line.text.find("executes ") != std::string::npos;
      });
    };
    EXPECT_GE(executes(record), 3) << record.id;
  }
  EXPECT_EQ(compared, held().size());
}

INSTANTIATE_TEST_SUITE_P(Story, LossOfTheStory, ::testing::Values("ringbuf", "perf"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace ringfence
