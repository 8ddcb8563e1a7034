#include "harness/witness/probe.h"

#include <elf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <random>

#include "harness/base/sys.h"
#include "harness/witness/test_watch.h"
#include "probes/bpf/probe_abi.h"
// clang-format off: it needs the types above
#include "probe_refused_test.skel.h"
#include "probe_test.skel.h"
// clang-format on

extern "C" {
// What the test's uprobe is attached to, by its name.
[[gnu::noinline, gnu::used]] void rf_probe_test_function(const char* text) {
  asm volatile("" : : "r"(text) : "memory");
}
}

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string good_object() {
  size_t size = 0;
  const void* bytes = probe_test_bpf__elf_bytes(&size);
  return {static_cast<const char*>(bytes), size};
}

// A file that goes with the test.
class ObjectFile {
 public:
  explicit ObjectFile(const std::string& bytes, const std::string& name = "mine.bpf.o")
      : path_(testing::TempDir() + fmt::format("probe-{}-{}", getpid(), name)) {
    auto file = sys::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_TRUE(file && sys::write_full(file->get(), bytes.data(), bytes.size()));
  }
  ObjectFile(const ObjectFile&) = delete;
  ObjectFile& operator=(const ObjectFile&) = delete;
  ~ObjectFile() { unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string replaced(std::string bytes, const std::string& what, const std::string& by) {
  EXPECT_EQ(what.size(), by.size());
  size_t count = 0;
  for (size_t at = bytes.find(what); at != std::string::npos; at = bytes.find(what, at + 1)) {
    bytes.replace(at, what.size(), by);
    ++count;
  }
  EXPECT_GT(count, 0U) << what;
  return bytes;
}

std::string with_byte(std::string bytes, size_t at, char value) {
  bytes.at(at) = value;
  return bytes;
}

// The good object, and nothing else: what follows it changes one thing.
TEST(ProbeFile, IsReadByItsName) {
  const ObjectFile file(good_object(), "opens.bpf.o");
  const auto probe = read_probe(file.path());
  ASSERT_TRUE(probe) << probe.error().describe();
  EXPECT_EQ(probe->name, fmt::format("probe-{}-opens", getpid()));
  EXPECT_EQ(probe->bytes, good_object());
}

TEST(ProbeFile, SaysWhatIsWrongAndWhere) {
  const std::string good = good_object();
  // A call of bpf_get_current_comm, of which every probe has one: code, registers, offset, number.
  const std::string comm("\x85\0\0\0\x10\0\0\0", 8);
  const std::string send_signal("\x85\0\0\0\x6d\0\0\0", 8);
  const std::string abi("\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
  const auto other_abi = [&] {
    // Where the section .rodata.ringfence is: no other 16 bytes hold the version alone.
    Elf64_Ehdr header;
    std::memcpy(&header, good.data(), sizeof header);
    std::string bytes = good;
    for (int i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr section;
      std::memcpy(&section, good.data() + header.e_shoff + static_cast<size_t>(i) * sizeof section,
                  sizeof section);
      if (section.sh_size == abi.size() && good.substr(section.sh_offset, abi.size()) == abi) {
        bytes[section.sh_offset] = 9;
      }
    }
    return bytes;
  };
  struct Row {
    const char* what;
    std::string bytes;
    const char* where;
    const char* hint;
  };
  const std::vector<Row> rows = {
      {"empty", "", "", "is no ELF object; compile it with clang -target bpf"},
      {"text", "int x;\n", "", "is no ELF object"},
      {"cut in its header", good.substr(0, 40), "", "is cut off within its ELF header"},
      {"cut in its middle", good.substr(0, good.size() / 2), "", "is cut off"},
      {"another machine", with_byte(good, 18, EM_X86_64), "", "is for x86-64, not for BPF"},
      {"big-endian", with_byte(good, EI_DATA, ELFDATA2MSB), "", "is big-endian"},
      {"32 bits", with_byte(good, EI_CLASS, ELFCLASS32), "", "is no 64-bit ELF object"},
      {"linked", with_byte(good, 16, ET_EXEC), "", "is no object file but linked"},
      {"another program type", replaced(good, "raw_tp/sys_enter", "cgroup_skb/egres"),
       ", section cgroup_skb/egres", "a probe may have tp/, raw_tp/"},
      {"one that decides", replaced(good, "raw_tp/sys_enter", "fmod_ret/bpf_any"),
       ", section fmod_ret/bpf_any", "and no other"},
      {"one that libbpf does not attach", replaced(good, "raw_tp/sys_enter", "perf_event/abcde"),
       ", section perf_event/abcde", "and no other"},
      {"a hook without a name",
       replaced(good, "raw_tp/sys_enter", std::string("raw_tp/\0sys_ente", 16)),
       ", section raw_tp/", "with what it attaches to"},
      {"a map is missing", replaced(good, "rf_scopes", "my_scopes"), ", section .maps",
       "has no map rf_scopes; include probes/bpf/probe.h"},
      {"another version", other_abi(), ", section .rodata.ringfence",
       "was compiled for version 9 of probes/bpf/probe.h, this is 1"},
      {"a helper that changes what it watches", replaced(good, comm, send_signal),
       ", section raw_tp/sys_enter", "calls bpf_send_signal, which changes what it watches"},
  };
  for (const Row& row : rows) {
    const ObjectFile file(row.bytes);
    const auto probe = read_probe(file.path());
    ASSERT_FALSE(probe) << row.what;
    EXPECT_EQ(probe.error().kind, Error::Kind::usage) << row.what;
    EXPECT_EQ(probe.error().object, file.path() + row.where) << row.what;
    EXPECT_THAT(probe.error().hint, HasSubstr(row.hint)) << row.what;
  }
}

TEST(ProbeFile, ThatIsNoneIsUsage) {
  for (const char* path : {"/nowhere/x.bpf.o", "/proc/self"}) {
    const auto probe = read_probe(path);
    ASSERT_FALSE(probe);
    EXPECT_EQ(probe.error().kind, Error::Kind::usage);
    EXPECT_EQ(probe.error().object, path);
    EXPECT_NE(probe.error().err, 0);
  }
}

TEST(ProbeFile, AChildThatDiesOrHangsIsADamagedObject) {
  const Error damaged{Error::Kind::usage, "damaged", 0, {}, {}};
  const auto dies = in_sacrificial_child(
      []() -> Status {
        const rlimit none{0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)raise(SIGSEGV);
        return {};
      },
      damaged);
  ASSERT_FALSE(dies);
  EXPECT_EQ(dies.error().what, "damaged");
  const auto says = in_sacrificial_child(
      []() -> Status { return system_error("what", "object", ENOENT, "hint"); }, damaged);
  ASSERT_FALSE(says);
  EXPECT_EQ(says.error().describe(), "what: object: No such file or directory (ENOENT): hint");
  EXPECT_TRUE(in_sacrificial_child([]() -> Status { return {}; }, damaged));
}

// --- Loaded -------------------------------------------------------------------------------------

Result<Probes> attach(const std::string& object, const Witness& witness = *shared_witness()) {
  const ObjectFile file(object);
  auto probe = read_probe(file.path());
  if (!probe) return tl::unexpected(probe.error());
  return Probes::attach(witness, std::span(&*probe, 1));
}

// The same through a ring buffer and through perf buffers.
class ProbeBy : public ::testing::TestWithParam<const char*> {
 protected:
  static const Witness& witness() { return *witness_by(GetParam()); }
  void SetUp() override {
    RINGFENCE_NEEDS_WITNESS();
    ASSERT_TRUE(witness_by(GetParam())) << witness_by(GetParam()).error().describe();
  }
};
INSTANTIATE_TEST_SUITE_P(By, ProbeBy, ::testing::Values("ringbuf", "perf"),
                         [](const auto& test) { return std::string(test.param); });

void ask_three_times() {
  for (const int pid : {5, 6, 7}) (void)syscall(SYS_getpgid, pid);
  // On the stack: a program that may not sleep reads no page that is not in memory.
  std::array<char, 8> text{"a text"};
  rf_probe_test_function(text.data());
}

TEST_P(ProbeBy, TellsAndCountsOfWatchedTasksAlone) {
  auto probes = attach(good_object(), witness());
  ASSERT_TRUE(probes) << probes.error().describe();
  auto group = test_group();
  auto other = test_group();
  ASSERT_TRUE(group && other);
  auto watch = witness().watch(id_of(*group));
  ASSERT_TRUE(watch);
  const auto act = [] {
    ask_three_times();
    return 0;
  };
  Actor unwatched(other->unified_fd(), 0, nullptr, act);
  constexpr uint32_t kUser = 4242;
  const auto become_user = [] { return syscall(SYS_setresuid, kUser, kUser, kUser) == 0; };
  Actor actor(group->unified_fd(), 0, become_user, act);
  ASSERT_TRUE(unwatched.ready() && actor.ready());
  EXPECT_EQ(unwatched.finish(), 0);
  EXPECT_EQ(actor.finish(), 0);
  ask_three_times();

  std::vector<std::string> told;
  for (const StoryLine& line : lines_of(*watch)) {
    if (line.probe < 0) continue;
    EXPECT_EQ(line.probe, 0);
    EXPECT_EQ(line.tgid, actor.pid());
    EXPECT_EQ(line.uid, kUser);
    told.push_back(line.text);
  }
  EXPECT_THAT(told,
              ElementsAre("getpgid: 5", "no number", "four: 1, -2, 3, 5", "getpgid: 6", "no number",
                          "four: 1, -2, 3, 6", "getpgid: 7", "no number", "four: 1, -2, 3, 7",
                          "called with: \"a text\"", "called with: \"?\""));
  const auto counts = probes->take_counts(watch->id());
  ASSERT_TRUE(counts);
  std::vector<std::string> counted;
  for (const auto& count : *counts)
    counted.push_back(fmt::format("{} {}", count.name, count.value));
  EXPECT_THAT(counted, ElementsAre("calls 3", "sum 18"));
  EXPECT_EQ(counts->front().probe, probes->name(0));
  // They are taken once, and nothing of the others was counted.
  EXPECT_THAT(*probes->take_counts(watch->id()), IsEmpty());
  // The witness's own facts are what they were.
  const auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->lost, 0U);
  EXPECT_EQ(facts->story_lost, 0U);
}

TEST_P(ProbeBy, LinesThatHaveNoRoomAreCountedAsLost) {
  auto probes = attach(good_object(), witness());
  ASSERT_TRUE(probes) << probes.error().describe();
  auto group = test_group();
  ASSERT_TRUE(group);
  Witness::WatchOptions small;
  small.ring_bytes = 4096;
  small.story = false;
  auto watch = witness().watch(id_of(*group), small);
  ASSERT_TRUE(watch);
  constexpr uint64_t kCalls = 100;
  Actor actor(group->unified_fd(), 0, nullptr, [] {
    for (uint64_t i = 0; i < kCalls; ++i) (void)syscall(SYS_getpgid, 0);
    return 0;
  });
  ASSERT_TRUE(actor.ready());
  EXPECT_EQ(actor.finish(), 0);
  uint64_t told = 0;
  for (const StoryLine& line : lines_of(*watch)) told += line.probe >= 0 ? 1 : 0;
  const auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_LT(told, 3 * kCalls);
  // Three lines for each call; of the witness's own only the exit may be among the lost.
  EXPECT_GE(told + facts->story_lost, 3 * kCalls);
  EXPECT_LE(told + facts->story_lost, 3 * kCalls + 2);
  EXPECT_EQ(facts->lost, 0U);
  const auto counts = probes->take_counts(watch->id());
  ASSERT_TRUE(counts && !counts->empty());
  EXPECT_EQ(counts->front().value, kCalls);
}

// Of a probe's line, too, a reader is told who asked for it, and no other.
TEST_P(ProbeBy, ALineWakesOnlyAReaderWhoWaits) {
  auto probes = attach(good_object(), witness());
  ASSERT_TRUE(probes) << probes.error().describe();
  for (const bool wakes : {true, false}) {
    auto group = test_group();
    ASSERT_TRUE(group);
    auto watch = witness().watch(id_of(*group), {.story = false, .wakes = wakes});
    ASSERT_TRUE(watch);
    std::array<int, 2> last{};
    ASSERT_EQ(pipe2(last.data(), O_CLOEXEC), 0);
    Actor actor(group->unified_fd(), 0, nullptr, [&last] {
      (void)syscall(SYS_getpgid, 0);
      char byte = 0;
      return errno_of(read(last[0], &byte, 1));  // the witness's own line is that of its end
    });
    ASSERT_TRUE(actor.ready());
    (void)lines_of(*watch);
    actor.go();
    pollfd waits{.fd = watch->story_fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&waits, 1, wakes ? 20000 : 100), wakes ? 1 : 0);
    EXPECT_EQ(write(last[1], "", 1), 1);
    EXPECT_EQ(actor.wait_end(), 0);
    EXPECT_GE(lines_of(*watch).size(), 3U);
    for (const int fd : last) close(fd);
  }
}

TEST(Probe, ThatTheVerifierRefusesIsSaidWithItsLastLines) {
  RINGFENCE_NEEDS_WITNESS();
  size_t size = 0;
  const void* bytes = probe_refused_test_bpf__elf_bytes(&size);
  const auto probes = attach({static_cast<const char*>(bytes), size});
  ASSERT_FALSE(probes);
  EXPECT_EQ(probes.error().kind, Error::Kind::unsupported);
  EXPECT_THAT(probes.error().object, HasSubstr("section raw_tp/sys_exit, program careless"));
  EXPECT_THAT(probes.error().hint, HasSubstr("invalid mem access 'map_value_or_null'"));
}

TEST(Probe, AHookThatIsNotThereIsSaid) {
  RINGFENCE_NEEDS_WITNESS();
  const auto symbol =
      attach(replaced(good_object(), "rf_probe_test_function", "rf_probe_none_function"));
  ASSERT_FALSE(symbol);
  EXPECT_EQ(symbol.error().kind, Error::Kind::usage);
  EXPECT_THAT(symbol.error().object,
              HasSubstr("section uprobe//proc/self/exe:rf_probe_none_function"));
  const auto hook = attach(replaced(good_object(), "raw_tp/sys_enter", "raw_tp/sys_never"));
  ASSERT_FALSE(hook);
  EXPECT_EQ(hook.error().kind, Error::Kind::unsupported);
  EXPECT_THAT(hook.error().object, HasSubstr("section raw_tp/sys_never"));
}

// Whatever the bytes, the harness says so, or loads what the verifier lets through. Each in a child
// of its own, whose end is looked at.
TEST(Probe, ADamagedObjectNeverEndsTheHarness) {
  const std::string good = good_object();
  const bool load = static_cast<bool>(shared_witness());
  constexpr unsigned kObjects = 400;
  unsigned refused = 0;
  unsigned loaded = 0;
  unsigned crashed = 0;
  for (unsigned seed = 0; seed < kObjects; ++seed) {
    std::mt19937 random(seed);
    std::string bytes = good;
    if (seed % 4 == 0) {
      bytes.resize(random() % bytes.size());
    } else {
      // Half of them where it hurts: headers, symbols, relocations and types are at the end.
      const size_t flips = 1 + random() % 8;
      for (size_t i = 0; i < flips; ++i) {
        const size_t at = seed % 2 == 0 ? random() % bytes.size()
                                        : bytes.size() - 1 - random() % (bytes.size() / 2);
        bytes[at] = static_cast<char>(random());
      }
    }
    const ObjectFile file(bytes);
    const pid_t pid = fork();
    if (pid == 0) {
      auto probe = read_probe(file.path());
      if (!probe) {
        const bool hurt = probe.error().hint.find("does not survive") != std::string::npos;
        _exit(probe.error().kind != Error::Kind::usage ? 90 : hurt ? 3 : 1);
      }
      // An attach is slow, and a uprobe's detach slower: not each of them.
      if (!load || seed % 8 != 1) _exit(2);
      const auto attached = Probes::attach(*shared_witness(), std::span(&*probe, 1));
      _exit(attached ? 2 : attached.error().hint.find("survive") != std::string::npos ? 3 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status)) << "seed " << seed << " ends it by signal " << WTERMSIG(status);
    refused += WEXITSTATUS(status) == 1 ? 1 : 0;
    loaded += WEXITSTATUS(status) == 2 ? 1 : 0;
    crashed += WEXITSTATUS(status) == 3 ? 1 : 0;
  }
  EXPECT_EQ(refused + loaded + crashed, kObjects);
  RecordProperty("refused", static_cast<int>(refused));
  RecordProperty("loaded", static_cast<int>(loaded));
  RecordProperty("libbpf_did_not_survive", static_cast<int>(crashed));
  EXPECT_GT(refused, kObjects / 4);
  EXPECT_GT(loaded, 0U);
}

}  // namespace
}  // namespace ringfence
