// A case of a run that is still going: by a second thread that writes as a run does.
#include "reports/follow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <future>

#include "reports/explain.h"
#include "reports/testing.h"
#include "reports/writer.h"

namespace ringfence {
namespace {

using ::testing::HasSubstr;

class Follow : public ::testing::Test {
 protected:
  void SetUp() override {
    ::signal(SIGIO, SIG_IGN);
    std::string name = ::testing::TempDir() + "/follow.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = name + "/out.jsonl";
    run_ = testing::sample_results()[0];
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::future<Result<std::vector<RunResult>>> follow(const std::string& id) {
    return std::async(std::launch::async, [this, id] { return follow_case(path_, id); });
  }
  std::unique_ptr<Writer> open() {
    auto writer = make_writer("jsonl", path_);
    EXPECT_TRUE(writer);
    EXPECT_TRUE((*writer)->begin(run_.header));
    return std::move(*writer);
  }
  static bool waits(std::future<Result<std::vector<RunResult>>>& f) {
    return f.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout;
  }

  std::string directory_, path_;
  RunResult run_;
};

TEST_F(Follow, ReturnsAsSoonAsTheCaseIsThereAndNotBefore) {
  auto followed = follow("net.raw");
  EXPECT_TRUE(waits(followed)) << "there is no file";
  auto writer = open();
  ASSERT_EQ(run_.cases[2].id, "net.raw");
  ASSERT_TRUE(writer->add(run_.cases[0]));
  ASSERT_TRUE(writer->add(run_.cases[1]));
  EXPECT_TRUE(waits(followed));
  ASSERT_TRUE(writer->add(run_.cases[2]));
  const auto results = followed.get();  // the writer has the file open, and no summary is there
  ASSERT_TRUE(results) << results.error().describe();
  EXPECT_TRUE(find_case(*results, "net.raw"));
}

TEST_F(Follow, ARunThatEndsWithoutItIsAnError) {
  auto writer = open();
  auto followed = follow("net.rawer");
  for (const auto& record : run_.cases) ASSERT_TRUE(writer->add(record));
  for (const auto& record : run_.findings) ASSERT_TRUE(writer->add(record));
  EXPECT_TRUE(waits(followed));
  ASSERT_TRUE(writer->end(run_.summary));
  const auto results = followed.get();
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().kind, Error::Kind::usage);
  EXPECT_THAT(results.error().describe(), HasSubstr("ended without it"));
}

TEST_F(Follow, AKilledRunIsAnError) {
  auto writer = open();
  ASSERT_TRUE(writer->add(run_.cases[0]));
  auto followed = follow("net.raw");
  EXPECT_TRUE(waits(followed));
  writer.reset();
  const auto results = followed.get();
  ASSERT_FALSE(results);
  EXPECT_THAT(results.error().describe(), HasSubstr("nobody writes"));
  // The same for one that was dead before anybody looked.
  const auto dead = follow_case(path_, "net.raw");
  ASSERT_FALSE(dead);
  EXPECT_THAT(dead.error().describe(), HasSubstr("nobody writes"));
}

TEST_F(Follow, ACaseThatIsThereAlreadyNeedsNoWaiting) {
  { auto writer = open()->add(run_.cases[0]); }
  EXPECT_TRUE(follow_case(path_, run_.cases[0].id));
}

}  // namespace
}  // namespace ringfence
