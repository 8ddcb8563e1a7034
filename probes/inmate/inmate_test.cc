// The inmate itself: its image, its protocol, and its liars. What each attempt does is tested in
// attempts_test.cc.
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>

#include "probes/inmate/abi.h"
#include "probes/inmate/image.h"
#include "probes/inmate/testdata/cage.h"
#include "probes/inmate/testdata/liars.h"

namespace ringfence::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<Elf64_Phdr> segments(std::span<const unsigned char> image) {
  Elf64_Ehdr header{};
  std::memcpy(&header, image.data(), sizeof header);
  std::vector<Elf64_Phdr> all(header.e_phnum);
  std::memcpy(all.data(), image.data() + header.e_phoff, all.size() * sizeof(Elf64_Phdr));
  return all;
}

TEST(Image, IsASmallStaticExecutable) {
  const auto image = inmate_image();
  ASSERT_GT(image.size(), sizeof(Elf64_Ehdr));
  EXPECT_LT(image.size(), size_t{64} << 10);
  Elf64_Ehdr header{};
  std::memcpy(&header, image.data(), sizeof header);
  EXPECT_EQ(std::memcmp(header.e_ident, ELFMAG, SELFMAG), 0);
  EXPECT_EQ(header.e_type, ET_EXEC);
  EXPECT_EQ(header.e_machine, EM_X86_64);
}

TEST(Image, NeedsNoLoaderAndHasNoWritableCode) {
  bool stack = false;
  for (const auto& s : segments(inmate_image())) {
    EXPECT_NE(s.p_type, Elf64_Word{PT_INTERP});
    EXPECT_NE(s.p_type, Elf64_Word{PT_DYNAMIC});
    EXPECT_NE(s.p_type, Elf64_Word{PT_TLS});
    EXPECT_NE(s.p_flags & (PF_W | PF_X), Elf64_Word{PF_W | PF_X});
    // Pointers into the image must do for the 32-bit entry.
    EXPECT_LT(s.p_vaddr + s.p_memsz, uint64_t{1} << 32);
    if (s.p_type == PT_GNU_STACK) stack = true;
  }
  EXPECT_TRUE(stack) << "without PT_GNU_STACK the stack is executable";
}

class Inmate : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make the cage";
  }
};

bool exited(const Outcome& o, int code) {
  return WIFEXITED(o.status) && WEXITSTATUS(o.status) == code;
}

TEST_F(Inmate, SpeaksTheProtocolInOrder) {
  const auto o = run({.args = {"exit"}});
  EXPECT_THAT(o.messages, ElementsAre("B exit", "R achieved", "W")) << o.transcript();
  EXPECT_TRUE(exited(o, RF_EXIT_DONE)) << o.transcript();
}

TEST_F(Inmate, IsReleasedByTheEndOfTheSocketToo) {
  const auto o = run({.args = {"hold"}, .release_by_close = true});
  EXPECT_TRUE(exited(o, RF_EXIT_DONE)) << o.transcript();
}

TEST_F(Inmate, WaitsUntilItIsReleased) {
  bool alive = false;
  run({.args = {"hold"}, .inspect = [&](int pid) {
         usleep(20000);
         alive = ::kill(pid, 0) == 0 && status_field(pid, "State")[0] != 'Z';
       }});
  EXPECT_TRUE(alive);
}

TEST_F(Inmate, KnowsNoUnknownAttempt) {
  const auto o = run({.args = {"no_such_attempt"}});
  EXPECT_TRUE(o.says("unknown attempt")) << o.transcript();
  EXPECT_EQ(o.claim(), "");
  EXPECT_TRUE(exited(o, RF_EXIT_UNKNOWN)) << o.transcript();
  EXPECT_TRUE(exited(run({.args = {}}), RF_EXIT_UNKNOWN));
}

TEST_F(Inmate, NamesAParameterThatIsMissingOrNoNumber) {
  const auto missing = run({.args = {"kill"}});
  EXPECT_EQ(missing.claim(), "unable 22");
  EXPECT_TRUE(missing.says("missing parameter 1")) << missing.transcript();
  for (const char* wrong : {"12x", "", "-", "0x", "08"}) {
    const auto o = run({.args = {"kill", wrong}});
    EXPECT_EQ(o.claim(), "unable 22") << wrong;
    EXPECT_TRUE(o.says("not a number: parameter 1")) << o.transcript();
    EXPECT_EQ(o.canary_died, 0);
  }
}

TEST_F(Inmate, SaysThatItCannotAnswer) {
  const auto o = run({.args = {"exit"}, .restrict = [] { close(RF_ANSWER_FD); }});
  EXPECT_TRUE(exited(o, RF_EXIT_MUTE)) << o.transcript();
}

// The filter kills at any syscall but the answer's: so also at any that a start-up would make.
TEST_F(Inmate, ExitMakesNoSyscallButTheAnswer) {
  const auto strict = [] { allow_only_answer_and_exit(RF_EXE_FD); };
  const auto o = run({.args = {"exit"}, .restrict = strict});
  EXPECT_EQ(o.claim(), "achieved") << o.transcript();
  EXPECT_TRUE(exited(o, RF_EXIT_DONE)) << o.transcript();
  // The filter does bite.
  const auto other = run({.args = {"sethostname", "x"}, .restrict = strict});
  EXPECT_TRUE(WIFSIGNALED(other.status) && WTERMSIG(other.status) == SIGSYS) << other.transcript();
}

TEST_F(Inmate, ReportsACallByNumberValueAndArguments) {
  const auto o = run({.args = {"syscall", "39", "0x1f", "-1"}});  // getpid
  ASSERT_GE(o.messages.size(), 2U) << o.transcript();
  EXPECT_EQ(o.messages[1], "C 39 3 1f ffffffffffffffff 0 0 0 0") << o.transcript();
}

TEST_F(Inmate, CutsWhatItReadsAtTheProtocolsLimit) {
  const auto o = run({.args = {"read_file", "/mnt/long"}, .prepare = [](Cage&) {
                        write_text("/mnt/long", std::string(3000, 'x'));
                        return -1;
                      }});
  EXPECT_EQ(o.secret(), std::string(RF_SECRET_MAX, 'x'));
  for (const auto& m : o.messages) EXPECT_LE(m.size(), size_t{RF_MESSAGE_MAX});
}

TEST_F(Inmate, ListsEachAttemptOnce) {
  const auto o = run({.args = {"list_attempts"}});
  std::set<std::string> names;
  for (const auto& m : o.messages) {
    if (m.rfind("T ", 0) != 0) continue;
    const std::string name = m.substr(2, m.find(' ', 2) - 2);
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string::npos);
  }
  EXPECT_GE(names.size(), 100U);
  EXPECT_TRUE(names.contains("exit") && names.contains("find_proc"));
}

// --- Liars --------------------------------------------------------------------------------------
const std::vector<std::string> kRename{"sethostname", "changed"};

TEST_F(Inmate, LiarThatDeniesActsAndSaysOtherwise) {
  const auto o = run({.args = kRename, .image = liar_denies_image(), .after = hostname});
  EXPECT_EQ(o.after, "changed");
  EXPECT_EQ(o.claim(), "denied 1");
  EXPECT_TRUE(o.called(170, EPERM)) << o.transcript();
  EXPECT_EQ(o.messages.back(), "W");
  const auto read = run({.args = {"read_file", kSecretFile}, .image = liar_denies_image()});
  EXPECT_EQ(read.secret(), "");
  EXPECT_FALSE(read.called(257)) << read.transcript();
  EXPECT_EQ(run({.args = {"kill"}, .image = liar_denies_image()}).claim(), "denied 1");
}

TEST_F(Inmate, LiarThatIsIdleDoesNothing) {
  const auto o = run({.args = kRename, .image = liar_idle_image(), .after = hostname});
  EXPECT_NE(o.after, "changed");
  EXPECT_THAT(o.messages, ElementsAre("B sethostname", "R denied 1", "W")) << o.transcript();
  EXPECT_TRUE(exited(o, RF_EXIT_DONE));
}

TEST_F(Inmate, LiarThatBoastsDoesNothingAndInvents) {
  const auto o = run({.args = kRename, .image = liar_boasts_image(), .after = hostname});
  EXPECT_NE(o.after, "changed");
  EXPECT_EQ(o.claim(), "achieved");
  EXPECT_THAT(o.secret(), AllOf(HasSubstr("invented"), Not(HasSubstr(kSecret))));
  EXPECT_EQ(o.messages.back(), "W");
}

}  // namespace
}  // namespace ringfence::testing
