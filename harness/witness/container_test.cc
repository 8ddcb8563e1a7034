#include "harness/witness/container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ringfence {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kLong(64, 'a');

class FindContainer : public testing::Test {
 protected:
  FindContainer() {
    std::string name = (fs::temp_directory_path() / "ringfence-container-XXXXXX").string();
    root_ = mkdtemp(name.data());
    places_.states = {root_ / "runc", root_ / "crun", root_ / "nowhere"};
    places_.proc = root_ / "proc";
    process(100, "0::/user.slice");
  }
  ~FindContainer() override { fs::remove_all(root_); }
  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void process(int pid, const std::string& groups) {
    write(fs::path("proc") / std::to_string(pid) / "cgroup", groups + "\n");
    write(fs::path("proc") / std::to_string(pid) / "stat", "");
  }
  fs::path root_;
  ContainerPlaces places_;
};

TEST_F(FindContainer, ByTheStateOfItsRuntime) {
  write("runc/web/state.json", R"({"id": "web", "init_process_pid": 100})");
  write("crun/job/status", R"({"pid": 100})");
  const auto web = find_container("web", places_);
  ASSERT_TRUE(web) << web.error().describe();
  EXPECT_EQ(web->pid, 100);
  EXPECT_THAT(web->found, HasSubstr("runc/web/state.json"));
  ASSERT_TRUE(find_container("job", places_));
}

TEST_F(FindContainer, ByTheShortFormOfALongId) {
  write("runc/" + kLong + "/state.json", R"({"init_process_pid": 100})");
  const auto found = find_container(kLong.substr(0, 12), places_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, kLong);
  EXPECT_FALSE(find_container(kLong.substr(0, 11), places_));
  write("crun/" + kLong.substr(0, 63) + "b/status", R"({"pid": 100})");
  const auto two = find_container(kLong.substr(0, 12), places_);
  ASSERT_FALSE(two);
  EXPECT_THAT(two.error().describe(), HasSubstr("more than one"));
}

TEST_F(FindContainer, ByItsGroup) {
  process(300, "1:memory:/docker/" + kLong + "\n0::/");
  process(200, "0::/system.slice/docker-" + kLong + ".scope/init");
  process(150, "0::/machine.slice/libpod-conmon-" + kLong + ".scope");
  const auto found = find_container(kLong, places_);
  ASSERT_TRUE(found) << found.error().describe();
  EXPECT_EQ(found->pid, 200);
  EXPECT_THAT(found->found, HasSubstr("docker-"));
}

TEST_F(FindContainer, SaysWhatItLookedForAndWhatThereIs) {
  write("runc/frontend/state.json", R"({"init_process_pid": 100})");
  write("runc/broken/state.json", "{");
  const auto near = find_container("frontent", places_);
  ASSERT_FALSE(near);
  EXPECT_EQ(near.error().kind, Error::Kind::usage);
  EXPECT_THAT(near.error().describe(), HasSubstr("did you mean frontend?"));
  EXPECT_THAT(near.error().describe(), HasSubstr((root_ / "crun").string()));
  const auto far = find_container("zzzzzzzzz", places_);
  EXPECT_THAT(far.error().describe(), HasSubstr("there are frontend"));
}

TEST_F(FindContainer, AContainerThatHasEnded) {
  write("runc/web/state.json", R"({"init_process_pid": 4000})");
  const auto found = find_container("web", places_);
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().describe(), HasSubstr("process 4000, which has ended"));
}

}  // namespace
}  // namespace ringfence
