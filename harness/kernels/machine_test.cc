// What a console tells, and what a machine that does not start is.
#include "harness/kernels/machine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "harness/kernels/channel.h"
#include "harness/kernels/test_files.h"

namespace ringfence {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::string_view kPanic =
    "[    1.0] Run /init as init process\r\n"
    "[    2.0] sysrq: Trigger a crash\r\n"
    "[    2.1] Kernel panic - not syncing: sysrq triggered crash\r\n"
    "[    2.2] CPU: 0 PID: 77 Comm: sh\r\n"
    "[    2.3] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---\r\n";

TEST(Console, APanicIsTold) {
  EXPECT_TRUE(tells_of_panic(kPanic));
  EXPECT_FALSE(tells_of_panic("[    1.0] Kernel panic_on_oops = 1\n"));
  EXPECT_FALSE(tells_of_panic(""));
  EXPECT_FALSE(tells_of_panic(kPanic.substr(0, kPanic.find("syncing"))));
}

TEST(Console, LastWordsBeginWithTheFirstLineOfThePanic) {
  const std::string words = last_words(kPanic);
  EXPECT_THAT(words, StartsWith("[    2.1] Kernel panic"));
  EXPECT_THAT(words, HasSubstr("PID: 77"));
  EXPECT_EQ(words.find('\r'), std::string::npos);
}

TEST(Console, AnOopsBeforeThePanicIsWhereItBegins) {
  const std::string console = std::string(5000, '.') +
                              "\n[ 3.0] BUG: kernel NULL pointer dereference\n[ 3.1] more\n" +
                              std::string(kPanic);
  EXPECT_THAT(last_words(console), StartsWith("[ 3.0] BUG: "));
}

TEST(Console, WithoutAPanicTheLastLinesWhole) {
  std::string console;
  for (int i = 0; i < 1000; ++i) console += "line " + std::to_string(i) + "\n";
  const std::string words = last_words(console, 100);
  EXPECT_LE(words.size(), 100U);
  EXPECT_THAT(words, StartsWith("line "));
  EXPECT_THAT(words, HasSubstr("line 999\n"));
  EXPECT_EQ(last_words("short\n"), "short\n");
  EXPECT_EQ(last_words(""), "");
  EXPECT_EQ(last_words(std::string(5000, 'x'), 100).size(), 100U);
}

TEST(Console, LastWordsAreNoLongerThanAskedFor) {
  EXPECT_LE(last_words(std::string(kPanic) + std::string(9000, 'x'), 300).size(), 300U);
}

TEST(Vmm, Names) {
  EXPECT_EQ(vmm_by_name("auto"), Vmm::automatic);
  EXPECT_EQ(vmm_by_name("qemu-kvm"), Vmm::qemu_kvm);
  EXPECT_EQ(vmm_by_name("qemu-tcg"), Vmm::qemu_tcg);
  EXPECT_FALSE(vmm_by_name("qemu"));
  EXPECT_FALSE(vmm_by_name(""));
}

MachineEnd run_with(const std::string& program) {
  MachineOptions options;
  options.vmm.program = program;
  options.image = options.initramfs = "/no/such/file";
  return run_machine(options, Job{{"true"}, {}, {}, {}}, {});
}

// Programs that stand for a QEMU, told apart by what they do.
TEST(Machine, WhatDoesNotStartIsAFailureOfTheVmm) {
  EXPECT_EQ(run_with("/no/such/qemu").failure, "vmm_failed");
  const testing::Directory directory;
  const std::string qemu =
      directory.write("qemu", "#!/bin/sh\necho 'qemu: could not load kernel' >&2\nexit 1\n");
  std::filesystem::permissions(qemu, std::filesystem::perms::owner_all);
  const MachineEnd end = run_with(qemu);
  EXPECT_EQ(end.failure, "vmm_failed");
  EXPECT_THAT(end.detail, HasSubstr("could not load kernel"));
}

TEST(Machine, AnEndBeforeTheAgentIsAFailedBootWithTheLastWords) {
  const testing::Directory directory;
  const std::string qemu = directory.write("qemu", "#!/bin/sh\necho 'Linux version' >&3\nexit 0\n");
  std::filesystem::permissions(qemu, std::filesystem::perms::owner_all);
  const MachineEnd end = run_with(qemu);
  EXPECT_EQ(end.failure, "boot_failed");
  EXPECT_EQ(end.last_words, "Linux version\n");
}

TEST(Machine, APanicBeforeTheAgentIsAFailedBoot) {
  const testing::Directory directory;
  const std::string qemu = directory.write(
      "qemu", "#!/bin/sh\necho 'Kernel panic - not syncing: no init' >&3\nexec sleep 60\n");
  std::filesystem::permissions(qemu, std::filesystem::perms::owner_all);
  const MachineEnd end = run_with(qemu);
  EXPECT_EQ(end.failure, "boot_failed");
  EXPECT_EQ(end.detail, "the kernel panicked");
}

TEST(Machine, SilenceIsAFailedBootAfterTheTimeGiven) {
  const testing::Directory directory;
  const std::string qemu = directory.write("qemu", "#!/bin/sh\nexec sleep 60\n");
  std::filesystem::permissions(qemu, std::filesystem::perms::owner_all);
  MachineOptions options;
  options.vmm.program = qemu;
  options.boot_timeout = std::chrono::milliseconds(300);
  const MachineEnd end = run_machine(options, Job{{"true"}, {}, {}, {}}, {});
  EXPECT_EQ(end.failure, "boot_failed");
  EXPECT_THAT(end.detail, HasSubstr("no word"));
}

TEST(Console, TheLongestSoftLockupIsTold) {
  const std::string one = "[ 52.6] watchdog: BUG: soft lockup - CPU#0 stuck for 48s! [init:1]\r\n";
  const std::string two = "[ 80.5] watchdog: BUG: soft lockup - CPU#11 stuck for 75s! [init:1]\r\n";
  for (const auto& console :
       {one + two, two + one, fmt::format("words\n{}between them\n{}", two, one)}) {
    const auto lockup = lockup_of(console);
    ASSERT_TRUE(lockup) << console;
    EXPECT_EQ(lockup->cpu, 11);
    EXPECT_EQ(lockup->stuck.count(), 75);
  }
  EXPECT_EQ(lockup_of(one)->stuck.count(), 48);
  // Cut off, or of something else.
  const std::string& cut = one;
  for (size_t n = 0; n < cut.find("48s!"); ++n) EXPECT_FALSE(lockup_of(cut.substr(0, n))) << n;
  EXPECT_FALSE(lockup_of(kPanic));
  EXPECT_FALSE(lockup_of("soft lockup - CPU#x stuck for 48s!\n"));
  EXPECT_FALSE(lockup_of("soft lockup - CPU#1\n stuck for 48s!\n"));
}

// A QEMU whose kernel comes no further where each CPU has a thread. Where all have one, it does
// what `otherwise` says; its channel is descriptor 4.
class BootThatStandsStill : public ::testing::Test {
 protected:
  MachineEnd run(const std::string& each, const std::string& otherwise) {
    const testing::Directory directory;
    FrameWriter writer;
    std::string whole = writer.encode(FrameKind::hello, to_json(Hello{"6.1.0", 2, 1, {}}));
    whole += writer.encode(FrameKind::done, to_json(Done{7, std::nullopt, ""}));
    (void)directory.write("whole", whole);
    options_.vmm.program =
        directory.write("qemu", "#!/bin/sh\nhere=${0%/*}\ncase \"$*\" in\n*tcg,thread=single*) " +
                                    otherwise + ";;\n*) " + each + ";;\nesac\n");
    std::filesystem::permissions(options_.vmm.program, std::filesystem::perms::owner_all);
    MachineSinks sinks;
    sinks.note = [&](const std::string& text) { notes_.push_back(text); };
    return run_machine(options_, Job{{"true"}, {}, {}, {}}, sinks);
  }
  static constexpr const char* kWhole = "cat $here/whole >&4; exit 0";
  static constexpr const char* kSilent = "exec sleep 60";
  // With its processor time, and without.
  static constexpr const char* kLocked =
      "echo 'watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [init:1]' >&3; while :; do :; done";
  static constexpr const char* kStarved =
      "echo 'watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [init:1]' >&3; sleep 1; cat "
      "$here/whole >&4; exit 0";
  MachineOptions options_;
  std::vector<std::string> notes_;
};

// The job goes out to nobody: a write would raise SIGPIPE.
TEST(Machine, AQemuThatIsGoneDoesNotEndTheHarness) {
  const testing::Directory directory;
  const std::string qemu = directory.write("qemu", "#!/bin/sh\ncat \"${0%/*}/hello\" >&4\n");
  std::filesystem::permissions(qemu, std::filesystem::perms::owner_all);
  (void)directory.write("hello",
                        FrameWriter().encode(FrameKind::hello, to_json(Hello{"6.1.0", 2, 1, {}})));
  MachineOptions options;
  options.vmm.program = qemu;
  MachineSinks sinks;
  sinks.hello = [](const Hello&) { std::this_thread::sleep_for(std::chrono::milliseconds(200)); };
  EXPECT_EQ(run_machine(options, Job{{"true"}, {}, {}, {}}, sinks).failure, "channel_lost");
}

TEST_F(BootThatStandsStill, IsTriedOnceMoreWithOneThreadAndNoted) {
  options_.boot_timeout = std::chrono::milliseconds(300);
  const MachineEnd end = run(kSilent, kWhole);
  EXPECT_EQ(end.failure, "") << end.detail;
  EXPECT_EQ(end.done.exit_code, 7);
  ASSERT_THAT(notes_, SizeIs(1));
  EXPECT_THAT(notes_[0], HasSubstr("no word from the agent"));
}

TEST_F(BootThatStandsStill, IsKnownByTheKernelsOwnWords) {
  options_.stuck_after = std::chrono::milliseconds(1000);
  const MachineEnd end = run(kLocked, kWhole);
  EXPECT_EQ(end.failure, "") << end.detail;
  ASSERT_THAT(notes_, SizeIs(1));
  EXPECT_THAT(notes_[0], HasSubstr("CPU 1 stood still for 23 s"));
}

TEST_F(BootThatStandsStill, IsNoneWhereQemuHadNoTime) {
  options_.stuck_after = std::chrono::milliseconds(20000);
  const MachineEnd end = run(kStarved, kSilent);
  EXPECT_EQ(end.failure, "") << end.detail;
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(BootThatStandsStill, WithOneThreadAsWellIsAFailedBoot) {
  options_.boot_timeout = std::chrono::milliseconds(300);
  const MachineEnd end = run(kSilent, kSilent);
  EXPECT_EQ(end.failure, "boot_failed");
  EXPECT_THAT(end.detail, AllOf(StartsWith("no word"), HasSubstr("before it, with a thread")));
}

TEST_F(BootThatStandsStill, IsNotTriedAgainWhereThatChangesNothing) {
  options_.boot_timeout = std::chrono::milliseconds(300);
  options_.cpus = 1;
  EXPECT_EQ(run(kSilent, kWhole).failure, "boot_failed");
  options_.cpus = 2;
  options_.vmm.vmm = Vmm::qemu_kvm;
  EXPECT_EQ(run(kSilent, kWhole).failure, "boot_failed");
  options_.vmm.vmm = Vmm::qemu_tcg;
  EXPECT_EQ(run("echo 'Kernel panic - not syncing: x' >&3; sleep 1", kWhole).failure,
            "boot_failed");
  EXPECT_THAT(notes_, IsEmpty());
}

TEST(Machine, TheJobOfThisHostHasOutputResultsAndAnEnd) {
  std::string out, err, result;
  MachineSinks sinks;
  sinks.out = [&](std::string_view bytes) { out += bytes; };
  sinks.err = [&](std::string_view bytes) { err += bytes; };
  sinks.result = [&](std::string_view bytes) { result += bytes; };
  const Job job{{"sh", "-c", "echo a; echo b >&2; echo c >&3; exit 3"}, {}, {}, {}};
  MachineEnd end = run_here(job, sinks, nullptr);
  EXPECT_EQ(end.failure, "");
  EXPECT_EQ(end.done.exit_code, 3);
  EXPECT_EQ(out + err + result, "a\nb\nc\n");
  end = run_here(Job{{"sh", "-c", "kill -KILL $$"}, {}, {}, {}}, {}, nullptr);
  EXPECT_EQ(end.done.signal, 9);
  end = run_here(Job{{"/no/such/program"}, {}, {}, {}}, {}, nullptr);
  EXPECT_EQ(end.failure, "spawn_failed");
}

}  // namespace
}  // namespace ringfence
