#include "harness/base/held_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "harness/base/failure_watch.h"
#include "harness/base/file.h"
#include "harness/base/sys.h"

namespace ringfence {
namespace {

class Held : public ::testing::Test {
 protected:
  void SetUp() override {
    parent_ = ::testing::TempDir() + "held-XXXXXX";
    ASSERT_NE(mkdtemp(parent_.data()), nullptr);
    path_ = parent_ + "/" + held_name("word");
  }
  void TearDown() override {
    rmdir(path_.c_str());
    rmdir(parent_.c_str());
  }
  [[nodiscard]] Maker maker() const {
    return parse_held_name(path_.substr(path_.rfind('/') + 1)).value_or(Maker{});
  }
  std::string parent_, path_;
};

TEST_F(Held, NamesItsMaker) {
  EXPECT_EQ(maker().pid, getpid());
  EXPECT_NE(maker().pid_namespace, 0U);
  for (const char* other : {"ringfence-", "ringfence-1-77777-a", "ringfence-1-2", "ringfence-x-2-a",
                            "ringfence-1-x-a", "user.slice", "ringfence-1-2-3-4"}) {
    EXPECT_FALSE(parse_held_name(other)) << other;
  }
}

TEST_F(Held, IsNotAbandonedWhileSomebodyHoldsIt) {
  UniqueFd claim;
  auto held = make_held_directory(path_);
  ASSERT_TRUE(held) << held.error().describe();
  auto joined = make_held_directory(path_);
  ASSERT_TRUE(joined) << joined.error().describe();
  // Neither to one in its pid namespace, nor to one in another, where its pid says nothing.
  constexpr int kNobody = 0x3ffffff0;
  EXPECT_FALSE(is_abandoned(path_, maker(), &claim));
  EXPECT_FALSE(is_abandoned(path_, {kNobody, 1}, &claim));
  EXPECT_FALSE(is_abandoned(path_, {kNobody, 0}, &claim));
  held->reset();
  EXPECT_FALSE(is_abandoned(path_, {kNobody, 1}, &claim));
  joined->reset();
  EXPECT_TRUE(is_abandoned(path_, {kNobody, 1}, &claim));
  EXPECT_TRUE(claim);
}

TEST_F(Held, IsAbandonedByAMakerThatIsGoneThoughAChildHoldsIt) {
  UniqueFd claim;
  auto held = make_held_directory(path_);
  ASSERT_TRUE(held);
  constexpr int kNobody = 0x3ffffff0;
  EXPECT_TRUE(is_abandoned(path_, {kNobody, maker().pid_namespace}, &claim));
}

TEST_F(Held, TheLockEndsWithItsMaker) {
  const pid_t pid = fork();
  if (pid == 0) {
    auto held = make_held_directory(path_);
    if (!held) _exit(1);
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  UniqueFd claim;
  EXPECT_TRUE(is_abandoned(path_, {1, 1}, &claim));
}

TEST_F(Held, IsNotMadeWhileAJanitorHasIt) {
  ASSERT_TRUE(make_held_directory(path_));
  UniqueFd claim;
  ASSERT_TRUE(is_abandoned(path_, {1, 1}, &claim));
  auto held = make_held_directory(path_);
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().err, EBUSY);
  // One that it has removed is made anew.
  ASSERT_EQ(rmdir(path_.c_str()), 0);
  EXPECT_TRUE(make_held_directory(path_));
}

// Between a janitor's open and its lock the maker may be done with one directory and at work in
// another of that name.
TEST_F(Held, AJanitorDoesNotTakeTheNextOneForTheLast) {
  std::atomic<bool> over{false};
  std::atomic<int> taken{0};
  std::thread janitor([&] {
    while (!over) {
      UniqueFd claim;
      if (!is_abandoned(path_, {1, 1}, &claim)) continue;
      struct stat claimed {};
      struct stat there {};
      // What is claimed is what a removal by its path would remove. Its maker cannot have it now,
      // so it is there, or another will be in a moment.
      bool found = false;
      while (!found && !over) found = stat(path_.c_str(), &there) == 0;
      if (found && fstat(claim.get(), &claimed) == 0 && claimed.st_ino != there.st_ino) ++taken;
    }
  });
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end && taken == 0) {
    auto held = make_held_directory(path_);
    if (held) rmdir(path_.c_str());
  }
  over = true;
  janitor.join();
  EXPECT_EQ(taken, 0);
}

TEST(FailureWatch, TellsAnswersFromFailures) {
  constexpr int kAnswers[] = {ENOENT};
  const sys::FailureWatch strict;
  {
    const sys::FailureWatch watch(kAnswers);
    EXPECT_FALSE(read_file("/proc/no-such-file"));
    EXPECT_FALSE(watch.saw());
    EXPECT_FALSE(read_file("/proc/self"));
    EXPECT_TRUE(watch.saw());
    EXPECT_EQ(watch.err(), EISDIR);
  }
  EXPECT_FALSE(strict.saw());
  EXPECT_FALSE(read_file("/proc/no-such-file"));
  EXPECT_EQ(strict.err(), ENOENT);
}

}  // namespace
}  // namespace ringfence
