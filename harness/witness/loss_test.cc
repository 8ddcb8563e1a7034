// What the witness could not see or tell is counted, and what decides a verdict is not lost with
// the story.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>

#include <optional>

#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

constexpr int kNobody = 0x7ffffff0;
constexpr uint64_t kCalls = 2000;

struct Talk {
  size_t read = 0;
  KernelFacts facts;
};

// The same child in any case: `kCalls` denied calls, and one more.
Talk talk(const Witness& witness, const Witness::WatchOptions& options, bool reads) {
  Talk told;
  auto group = test_group();
  EXPECT_TRUE(group);
  auto watch = witness.watch(id_of(*group), options);
  EXPECT_TRUE(watch);
  if (!watch) return told;
  Actor actor(group->unified_fd(), 0, {}, [] {
    for (uint64_t i = 0; i < kCalls; ++i) syscall(SYS_kill, kNobody, 0);
    return errno_of(syscall(SYS_tkill, kNobody, 0));
  });
  EXPECT_TRUE(actor.ready());
  const rf_want wants[] = {want_call(SYS_kill), want_call(SYS_tkill)};
  EXPECT_TRUE(watch->look_for(wants));
  // What it did until here is no part of the count.
  (void)lines_of(*watch);
  EXPECT_TRUE(watch->look_for(wants));
  actor.finish();
  told.facts = *watch->facts();
  if (reads) told.read = lines_of(*watch).size();
  return told;
}

void expect_facts(const KernelFacts& facts) {
  ASSERT_EQ(facts.calls.size(), 2U);
  EXPECT_EQ(facts.calls[0].denied, kCalls);
  EXPECT_EQ(facts.calls[1].denied, 1U);
  EXPECT_EQ(facts.calls[1].last_denied.ret, -ESRCH);
  EXPECT_TRUE(facts.ended_in_denial());
  EXPECT_EQ(facts.lost, 0U) << facts.lost_what;
}

// The same through a ring buffer and through perf buffers.
class LossOfStory : public ::testing::TestWithParam<const char*> {
 protected:
  static bool perf() { return std::string(GetParam()) == "perf"; }
  static Result<Witness>& witness() { return witness_by(GetParam()); }
  void SetUp() override {
    RINGFENCE_NEEDS_WITNESS();
    ASSERT_TRUE(witness()) << witness().error().describe();
    EXPECT_EQ(story_transport(witness()->ladder()) == StoryTransport::perf, perf());
  }
};
INSTANTIATE_TEST_SUITE_P(By, LossOfStory, ::testing::Values("ringbuf", "perf"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(LossOfStory, IsCountedExactly) {
  const Talk whole = talk(*witness(), {.ring_bytes = size_t{1} << 20}, true);
  EXPECT_EQ(whole.facts.story_lost, 0U);
  EXPECT_GE(whole.read, kCalls + 1);
  expect_facts(whole.facts);
  const Talk page = talk(*witness(), {.ring_bytes = 4096}, true);
  EXPECT_GT(page.facts.story_lost, kCalls / 2);
  EXPECT_GT(page.read, 0U);
  EXPECT_EQ(page.facts.story_lost + page.read, whole.read);
  expect_facts(page.facts);
}

TEST_P(LossOfStory, ToAReaderThatNeverReadsCostsNoFact) {
  const Talk told = talk(*witness(), {.ring_bytes = 4096}, false);
  EXPECT_GT(told.facts.story_lost, kCalls / 2);
  expect_facts(told.facts);
  const Talk quiet = talk(*witness(), {.ring_bytes = size_t{1} << 20, .story = false}, true);
  EXPECT_EQ(quiet.facts.story_lost, 0U);
  EXPECT_GE(quiet.read, kCalls + 1);
  expect_facts(quiet.facts);
}

// A wakeup is dear: it comes where it is asked for, and without it the story is there all the same.
TEST_P(LossOfStory, OfSleepOnlyForAReaderWhoWaits) {
  for (const bool wakes : {true, false}) {
    auto group = test_group();
    ASSERT_TRUE(group);
    auto watch = witness()->watch(id_of(*group), {.wakes = wakes});
    ASSERT_TRUE(watch);
    Actor actor(group->unified_fd(), 0, {}, [] { return errno_of(syscall(SYS_kill, kNobody, 0)); });
    ASSERT_TRUE(actor.ready());
    actor.finish();
    pollfd waits{.fd = watch->story_fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&waits, 1, wakes ? 20000 : 100), wakes ? 1 : 0);
    EXPECT_FALSE(lines_of(*watch).empty());
  }
}

// Oldest first, whichever CPU they come from, and readable as soon as they are there.
TEST_P(LossOfStory, NoneAndInOrderFromSeveralCpus) {
  auto group = test_group();
  ASSERT_TRUE(group);
  auto watch = witness()->watch(id_of(*group), {.wakes = true});
  ASSERT_TRUE(watch);
  Actor actor(group->unified_fd(), 0, {}, [] {
    for (int i = 0; i < 40; ++i) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(i % 2, &one);
      (void)sched_setaffinity(0, sizeof one, &one);
      syscall(SYS_tkill, kNobody, i);
    }
    return 0;
  });
  ASSERT_TRUE(actor.ready());
  actor.finish();
  pollfd waits{.fd = watch->story_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&waits, 1, 5000), 1);
  uint64_t next = 0;
  int64_t last = 0;
  for (const StoryLine& line : lines_of(*watch)) {
    EXPECT_GE(line.at_ns, last);
    last = line.at_ns;
    if (!line.is_call || line.call.nr != SYS_tkill) continue;
    EXPECT_EQ(line.call.args[1], next++);
  }
  EXPECT_EQ(next, 40U);
  EXPECT_EQ(watch->facts()->story_lost, 0U);
}

TEST_P(LossOfStory, WithoutARingThereIsNoWatch) {
  auto group = test_group();
  ASSERT_TRUE(group);
  auto watch = witness()->watch(id_of(*group), {.ring_bytes = 1000});
  ASSERT_FALSE(watch);
  EXPECT_EQ(watch.error().err, EINVAL);
  EXPECT_THAT(watch.error().describe(), HasSubstr(perf() ? "perf buffers" : "ring buffer"));
}

// Takes all the room of a map that there still is, in the witness that was opened last.
class FullMap {
 public:
  explicit FullMap(const std::string& name) : map_(own_map(name, true)) {
    EXPECT_TRUE(map_) << name;
    bpf_map_info info{};
    uint32_t size = sizeof info;
    EXPECT_EQ(bpf_obj_get_info_by_fd(map_.get(), &info, &size), 0);
    const std::vector<char> nothing(info.value_size);
    for (uint64_t key = 0x70000000;; ++key) {
      if (bpf_map_update_elem(map_.get(), &key, nothing.data(), BPF_NOEXIST) != 0) break;
      keys_.push_back(key);
    }
    EXPECT_EQ(errno, E2BIG);
    EXPECT_FALSE(keys_.empty());
  }
  FullMap(const FullMap&) = delete;
  FullMap& operator=(const FullMap&) = delete;
  ~FullMap() {
    for (const uint64_t& key : keys_) (void)bpf_map_delete_elem(map_.get(), &key);
  }

 private:
  UniqueFd map_;
  std::vector<uint64_t> keys_;
};

// A group made below, which could be gone to unseen; a process forked by one that is watched by its
// number. With room there is nothing to tell of.
TEST(Loss, OfWhomAFactBelongsTo) {
  RINGFENCE_NEEDS_WITNESS();
  auto own = Witness::open();
  ASSERT_TRUE(own);
  for (const bool full : {false, true}) {
    auto group = test_group();
    ASSERT_TRUE(group);
    auto watch = own->watch(id_of(*group));
    ASSERT_TRUE(watch);
    Actor maker(group->unified_fd(), 0, {},
                [&] { return errno_of(mkdirat(group->unified_fd(), "below", 0700)); });
    Actor forker(-1, 0, {}, [] {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      return errno_of(waitpid(child, nullptr, 0) == child ? 0 : -1);
    });
    ASSERT_TRUE(maker.ready() && forker.ready());
    auto process = own->watch_process(forker.pid(), {});
    ASSERT_TRUE(process);
    std::optional<FullMap> scopes;
    std::optional<FullMap> tgids;
    if (full) {
      scopes.emplace("scopes");
      tgids.emplace("by_tgid");
    }
    maker.finish();
    forker.finish();
    EXPECT_EQ(maker.said(), 0);
    EXPECT_EQ(forker.said(), 0);
    EXPECT_EQ(unlinkat(group->unified_fd(), "below", AT_REMOVEDIR), 0);
    auto made = watch->facts();
    auto forked = process->facts();
    ASSERT_TRUE(made && forked);
    EXPECT_EQ(made->lost, full ? 1U : 0U) << made->lost_what;
    // What it was in when it came into the scope began unseen.
    EXPECT_EQ(forked->lost, full ? 2U : 1U) << forked->lost_what;
    for (const KernelFacts& facts : {*made, *forked}) {
      EXPECT_EQ(facts.lost_what.find("a map had no room for") != std::string::npos, full);
    }
  }
}

// What fails without harm was not learned: from then on a failed check may mean nothing.
TEST(Loss, OfWhatIsHarmless) {
  RINGFENCE_NEEDS_WITNESS();
  auto own = Witness::open();
  ASSERT_TRUE(own);
  if (!own->offers("cap")) GTEST_SKIP() << "no capability checks on this kernel";
  for (const bool full : {false, true}) {
    std::optional<FullMap> noise;
    if (full) noise.emplace("noise");
    auto group = test_group();
    ASSERT_TRUE(group);
    auto watch = own->watch(id_of(*group));
    ASSERT_TRUE(watch);
    // Without CAP_SYS_ADMIN memory is given all the same; another call for each of the two.
    Actor actor(
        group->unified_fd(), 0, [] { return syscall(SYS_setresuid, 4242, 4242, 4242) == 0; },
        [full] {
          const auto end = static_cast<unsigned long>(syscall(SYS_brk, 0));
          if (!full)
            return errno_of(syscall(SYS_brk, end + 8192) == static_cast<long>(end) ? -1 : 0);
          void* at =
              mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return mremap(at, 8192, 65536, MREMAP_MAYMOVE) == MAP_FAILED ? errno : 0;
        });
    ASSERT_TRUE(actor.ready()) << actor.trouble();
    actor.finish();
    auto facts = watch->facts();
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->lost > 0, full) << facts->lost_what;
    EXPECT_EQ(facts->lost_what.find("harmless") != std::string::npos, full) << facts->lost_what;
  }
}

// Fills the map of tasks beyond what it holds, as so many tasks would. What the kernel still keeps
// of the real ones, which were used of late, is taken out by hand: to the programs there is no
// difference.
void crowd_out_tasks() {
  const UniqueFd map(own_map("tasks"));
  ASSERT_TRUE(map);
  bpf_map_info info{};
  uint32_t size = sizeof info;
  ASSERT_EQ(bpf_obj_get_info_by_fd(map.get(), &info, &size), 0);
  const std::vector<char> state(info.value_size);
  for (uint64_t key = 1; key <= uint64_t{info.max_entries} + 1000; ++key) {
    ASSERT_EQ(bpf_map_update_elem(map.get(), &key, state.data(), BPF_ANY), 0);
  }
  EXPECT_LE(keys_of(map.get()), info.max_entries);
  // A task's key is an address in the kernel's half; those above are not.
  std::vector<uint64_t> tasks;
  uint64_t key = 0;
  for (int more = bpf_map_get_next_key(map.get(), nullptr, &key); more == 0;
       more = bpf_map_get_next_key(map.get(), &key, &key)) {
    if (key >> 63 != 0) tasks.push_back(key);
  }
  for (const uint64_t& task : tasks) EXPECT_EQ(bpf_map_delete_elem(map.get(), &task), 0);
}

TEST(Loss, OfATasksStateIsAFactLostAndTheRestStaysRight) {
  RINGFENCE_NEEDS_WITNESS();
  auto group = test_group();
  ASSERT_TRUE(group);
  auto watch = shared_witness()->watch(id_of(*group));
  ASSERT_TRUE(watch);
  Actor actor(group->unified_fd(), 0, {}, [] {
    syscall(SYS_tkill, kNobody, 0);
    return errno_of(syscall(SYS_kill, kNobody, 0));
  });
  ASSERT_TRUE(actor.ready());
  const rf_want wants[] = {want_call(SYS_read), want_call(SYS_kill), want_call(SYS_tkill)};
  ASSERT_TRUE(watch->look_for(wants));
  usleep(50000);  // it is in read(2) by now
  crowd_out_tasks();
  actor.finish();
  auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->lost, 1U);
  EXPECT_THAT(facts->lost_what, HasSubstr("without a beginning"));
  EXPECT_EQ(facts->calls[0].count, 0U);
  EXPECT_EQ(facts->calls[1].denied, 1U);
  EXPECT_EQ(facts->calls[2].denied, 1U);
}

// A refusal at the gate of a task whose state is gone looks like the end of a call that began
// unseen: a fact lost, and no denial made up.
TEST(Loss, OfTheStateBeforeARefusal) {
  RINGFENCE_NEEDS_WITNESS();
  auto group = test_group();
  ASSERT_TRUE(group);
  auto watch = shared_witness()->watch(id_of(*group));
  ASSERT_TRUE(watch);
  auto* flag = static_cast<volatile int*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  Actor actor(
      group->unified_fd(), 0,
      [] { return put_on(filter_on(SYS_getppid, SECCOMP_RET_ERRNO | EPERM)); },
      [flag] {
        *flag = 1;
        while (*flag != 2) {
        }
        return errno_of(syscall(SYS_getppid));
      });
  ASSERT_TRUE(actor.ready());
  const rf_want wants[] = {want_call(SYS_getppid)};
  ASSERT_TRUE(watch->look_for(wants));
  actor.go();
  while (*flag != 1) usleep(1000);
  crowd_out_tasks();
  *flag = 2;
  actor.wait_end();
  EXPECT_EQ(actor.said(), EPERM);
  auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->calls[0].count, 0U);
  EXPECT_EQ(facts->lost, 1U);
  munmap(const_cast<int*>(flag), 4096);
}

}  // namespace
}  // namespace ringfence
