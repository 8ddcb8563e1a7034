#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/suggest.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

TEST(Error, SaysWhatOnWhatWhyAndWhatToDo) {
  const Error error{Error::Kind::system, "mount", EPERM, "/proc", "run as root"};
  EXPECT_EQ(error.describe(), "mount: /proc: Operation not permitted (EPERM): run as root");
  EXPECT_EQ((Error{Error::Kind::usage, "parse", 0, "", ""}.describe()), "parse");
}

TEST(Error, ErrnoNamesGoBothWays) {
  EXPECT_EQ(errno_name(ENOSYS), "ENOSYS");
  EXPECT_EQ(errno_by_name("ENOSYS"), ENOSYS);
  EXPECT_EQ(errno_by_name("ENOTHING"), 0);
  EXPECT_EQ(errno_name(4000), "E4000");
}

TEST(Sys, AnsweredFaultIsNotMade) {
  ASSERT_TRUE(sys::arm_fault({SYS_getppid, 1, EIO}));
  EXPECT_EQ(sys::call(SYS_getppid), getppid());
  EXPECT_FALSE(sys::fault_fired());
  EXPECT_EQ(sys::call(SYS_getppid), -EIO);
  EXPECT_TRUE(sys::fault_fired());
  EXPECT_EQ(sys::call(SYS_getppid), getppid());
  sys::disarm_faults();
}

TEST(Sys, FaultsCountOverProcesses) {
  ASSERT_TRUE(sys::arm_fault({SYS_getppid, 1, EIO}));
  const pid_t child = fork();
  if (child == 0) _exit(sys::call(SYS_getppid) > 0 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(sys::call(SYS_getppid), -EIO);
  sys::disarm_faults();
}

TEST(Sys, FaultsMayDependOnArguments) {
  constexpr sys::Fault kOdd{SYS_dup, sys::kEvery, EIO,
                            [](const uint64_t* args) { return args[0] == 1; }};
  ASSERT_TRUE(sys::arm_fault(kOdd));
  const UniqueFd copy(static_cast<int>(sys::call(SYS_dup, 2)));
  EXPECT_TRUE(copy);
  EXPECT_EQ(sys::faults_fired(), 0U);
  EXPECT_EQ(sys::call(SYS_dup, 1), -EIO);
  EXPECT_EQ(sys::call(SYS_dup, 1), -EIO);
  EXPECT_EQ(sys::faults_fired(), 2U);
  sys::disarm_faults();
}

TEST(Sys, OpenRetriesEintrAndKeepsErrno) {
  ASSERT_TRUE(sys::arm_fault({SYS_openat, 0, EINTR}));
  EXPECT_TRUE(sys::open("/dev/null", O_RDONLY));
  EXPECT_TRUE(sys::fault_fired());
  sys::disarm_faults();
  auto missing = sys::open("/no/such/file", O_RDONLY);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().err, ENOENT);
  EXPECT_EQ(missing.error().object, "/no/such/file");
}

TEST(Sys, DescriptorsAreCloseOnExec) {
  auto fd = sys::open("/dev/null", O_RDONLY);
  ASSERT_TRUE(fd);
  EXPECT_EQ(fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
}

TEST(File, ReadsWholeFilesAndRefusesTooLarge) {
  auto status = read_file("/proc/self/status");
  ASSERT_TRUE(status);
  EXPECT_NE(status->find("Name:"), std::string::npos);
  auto large = read_file("/dev/zero", 8192);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().err, EFBIG);
}

// Views into a temporary dangle; a literal or a named string does not.
template <typename T>
concept Splittable = requires(T&& text) {
  split(std::forward<T>(text), ',');
};
static_assert(!Splittable<std::string> && !Splittable<const std::string>);
static_assert(Splittable<std::string&> && Splittable<const char*> && Splittable<std::string_view>);

TEST(File, SplitAndTrim) {
  const auto pieces = split("a::b:", ':');
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[1], "b");
  EXPECT_EQ(trim(" \tx y\n"), "x y");
  EXPECT_EQ(trim(" \n"), "");
}

TEST(Number, ParsesWholeDecimalsOnly) {
  EXPECT_EQ(parse_int("0"), 0);
  EXPECT_EQ(parse_int("-17"), -17);
  EXPECT_EQ(parse_int("2147483647"), 2147483647);
  for (const char* text : {"", "-", "+1", " 1", "1 ", "12x", "self", "0x10", "2147483648"}) {
    EXPECT_EQ(parse_int(text), std::nullopt) << text;
  }
}

TEST(Suggest, NearestWord) {
  const std::vector<std::string> words = {"hardened", "docker-default", "none"};
  EXPECT_EQ(nearest("hardend", words), "hardened");
  EXPECT_EQ(nearest("docker-defualt", words), "docker-default");
  EXPECT_EQ(nearest("xyzzyxyzzy", words), "");
}

TEST(Suggest, Globs) {
  EXPECT_TRUE(glob_match("pid.*", "pid.ptrace"));
  EXPECT_TRUE(glob_match("*.a*c", "x.abcabc"));
  EXPECT_FALSE(glob_match("pid.?", "pid."));
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_FALSE(glob_match("pid", "pid.x"));
}

}  // namespace
}  // namespace ringfence
