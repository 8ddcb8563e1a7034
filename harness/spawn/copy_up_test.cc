// What a new tmpfs begins with (tmpcopyup), and its options sync and dirsync, seen from outside.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>

#include "harness/base/sys.h"
#include "harness/spawn/scratch.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

// The options of the file system that is mounted at `point`, the last one there.
std::string filesystem_options(const Waiting& waiting, const std::string& point) {
  std::string options = "(no mount)";
  const auto text = read_file(waiting.proc("mountinfo")).value_or("");
  for (const auto line : split(text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() > 5 && words[4] == point) options = "," + std::string(words.back()) + ",";
  }
  return options;
}

const std::vector<long> kMountCalls = {SYS_fsopen,    SYS_fsconfig,   SYS_fsmount,
                                       SYS_open_tree, SYS_move_mount, SYS_mount_setattr,
                                       SYS_openat2};

// Makes the calls of the new mount API answer ENOSYS while it lives, when `missing`.
class OldKernel {
 public:
  explicit OldKernel(bool missing) {
    std::vector<sys::Fault> faults;
    faults.reserve(kMountCalls.size());
    for (const long nr : kMountCalls) faults.push_back({nr, sys::kEvery, ENOSYS});
    if (missing) {
      EXPECT_TRUE(sys::arm_faults(faults.data(), faults.size()));
    }
  }
  OldKernel(const OldKernel&) = delete;
  OldKernel& operator=(const OldKernel&) = delete;
  ~OldKernel() { sys::disarm_faults(); }
};

class Copies : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(scratch_.ok());
    fs::create_directories(scratch_.path("root/data"));
  }
  [[nodiscard]] std::string below(const std::string& name) const {
    return scratch_.path("root/data/" + name);
  }
  // A root of our own, with a copied /data.
  Result<Plan> plan(std::vector<std::string> options = {}, bool user = false) {
    Policy policy = strict_policy();
    policy.set_user = false;
    policy.capabilities = {};
    policy.seccomp.reset();
    policy.cwd = "/";
    if (!user) {
      std::erase_if(policy.namespaces, [](const Namespace& n) { return n.kind == Ns::user; });
      policy.uid_mappings.clear();
      policy.gid_mappings.clear();
    }
    options.emplace_back("tmpcopyup");
    policy.mounts.push_back(test_mount("/data", "tmpfs", "tmpfs", std::move(options)));
    CompileOptions how;
    how.rootfs = scratch_.path("root");
    how.drop = drop_;
    return compile(policy, how);
  }
  Scratch scratch_;
  std::function<bool(const Step&)> drop_;
};

struct stat at(const Waiting& waiting, const std::string& name) {
  struct stat st {};
  EXPECT_EQ(lstat(waiting.proc("root/data/" + name).c_str(), &st), 0) << name;
  return st;
}

TEST_F(Copies, EverythingWithOwnerModeAndTimes) {
  scratch_.write("root/data/file", std::string(100'000, 'x'));
  ASSERT_EQ(chown(below("file").c_str(), 12, 34), 0);
  ASSERT_EQ(chmod(below("file").c_str(), 04751), 0);
  const timespec times[2] = {{1000, 5}, {2000, 6}};
  ASSERT_EQ(utimensat(AT_FDCWD, below("file").c_str(), times, 0), 0);
  fs::create_directories(below("a/b/c"));
  scratch_.write("root/data/a/b/c/deep", "deep\n");
  ASSERT_EQ(chmod(below("a/b").c_str(), 01710), 0);
  ASSERT_EQ(utimensat(AT_FDCWD, below("a/b").c_str(), times, 0), 0);
  scratch_.link("/etc/passwd", "root/data/link");
  ASSERT_EQ(mkfifo(below("pipe").c_str(), 0640), 0);
  for (int i = 0; i < 300; ++i) {
    scratch_.write("root/data/a/" + std::string(200, 'n') + std::to_string(i), "");
  }
  const bool devices = mknod(below("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0;
  ASSERT_EQ(chmod(below("").c_str(), 0711), 0);
  auto compiled = plan();
  ASSERT_TRUE(compiled) << compiled.error().describe();
  for (const bool old : {false, true}) {
    SCOPED_TRACE(old ? "mount(2)" : "fsopen(2)");
    const OldKernel kernel(old);
    const Waiting waiting = wait_under(*compiled);
    ASSERT_EQ(waiting.error, "");
    EXPECT_THAT(filesystem_options(waiting, "/data"), Not(HasSubstr("tmpcopyup")));
    EXPECT_EQ(read_file(waiting.proc("root/data/file")).value_or(""), std::string(100'000, 'x'));
    EXPECT_EQ(at(waiting, "file").st_uid, 12U);
    EXPECT_EQ(at(waiting, "file").st_gid, 34U);
    EXPECT_EQ(at(waiting, "file").st_mode, static_cast<mode_t>(S_IFREG | 04751));
    EXPECT_EQ(at(waiting, "file").st_mtim.tv_sec, 2000);
    EXPECT_EQ(at(waiting, "file").st_mtim.tv_nsec, 6);
    EXPECT_EQ(read_file(waiting.proc("root/data/a/b/c/deep")).value_or(""), "deep\n");
    EXPECT_EQ(at(waiting, "a/b").st_mode, static_cast<mode_t>(S_IFDIR | 01710));
    EXPECT_EQ(at(waiting, "a/b").st_mtim.tv_sec, 2000);
    EXPECT_EQ(read_link(waiting.proc("root/data/link")).value_or("?"), "/etc/passwd");
    EXPECT_TRUE(S_ISFIFO(at(waiting, "pipe").st_mode));
    EXPECT_EQ(
        list_directory(waiting.proc("root/data/a")).value_or(std::vector<std::string>{}).size(),
        301U);
    if (devices) {
      EXPECT_EQ(at(waiting, "null").st_rdev, makedev(1, 3));
    }
    EXPECT_EQ(at(waiting, "").st_mode, static_cast<mode_t>(S_IFDIR | 0711));
    // What is written goes to the copy.
    scratch_.write("root/data/later", "");
    EXPECT_FALSE(fs::exists(waiting.proc("root/data/later")));
    fs::remove(below("later"));
    EXPECT_NE(at(waiting, "file").st_dev, [&] {
      struct stat st {};
      EXPECT_EQ(lstat(below("file").c_str(), &st), 0);
      return st.st_dev;
    }());
  }
}

TEST_F(Copies, OptionsOfTheTmpfsHaveTheLastWord) {
  scratch_.write("root/data/file", "text\n");
  ASSERT_EQ(chmod(below("").c_str(), 0711), 0);
  auto compiled = plan({"mode=1777", "ro", "noexec", "size=64k"});
  ASSERT_TRUE(compiled) << compiled.error().describe();
  const Waiting waiting = wait_under(*compiled);
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(at(waiting, "").st_mode, static_cast<mode_t>(S_IFDIR | 01777));
  EXPECT_EQ(read_file(waiting.proc("root/data/file")).value_or(""), "text\n");
  EXPECT_THAT(waiting.mount_options("/data"), HasSubstr(",ro,noexec,"));
}

TEST_F(Copies, InAUserNamespace) {
  scratch_.write("root/data/file", "text\n");
  scratch_.write("root/data/mine", "text\n");
  ASSERT_EQ(chown(below("file").c_str(), 70000, 70000), 0);  // nobody there has this number
  auto compiled = plan({}, true);
  ASSERT_TRUE(compiled) << compiled.error().describe();
  const Waiting waiting = wait_under(*compiled);
  ASSERT_EQ(waiting.error, "");
  EXPECT_EQ(read_file(waiting.proc("root/data/file")).value_or(""), "text\n");
  EXPECT_EQ(at(waiting, "mine").st_uid, 0U);
  EXPECT_EQ(at(waiting, "file").st_uid, 65534U);
}

TEST_F(Copies, NothingThatALinkPointsTo) {
  scratch_.write("secret", "secret\n");
  scratch_.link("../../secret", "root/data/file");
  scratch_.link("/proc/self/root", "root/data/directory");
  auto compiled = plan();
  ASSERT_TRUE(compiled) << compiled.error().describe();
  const Waiting waiting = wait_under(*compiled);
  ASSERT_EQ(waiting.error, "");
  EXPECT_TRUE(S_ISLNK(at(waiting, "file").st_mode));
  EXPECT_TRUE(S_ISLNK(at(waiting, "directory").st_mode));
  // The directory itself may be a link: it leads nowhere but to a place in the root.
  fs::remove_all(scratch_.path("root/data"));
  fs::create_directories(scratch_.path("host"));
  scratch_.write("host/secret", "secret\n");
  fs::create_directories(scratch_.path("root/host"));
  scratch_.write("root/host/inside", "inside\n");
  scratch_.link("../../../host", "root/data");
  const Waiting linked = wait_under(*compiled);
  ASSERT_EQ(linked.error, "");
  EXPECT_EQ(read_file(linked.proc("root/host/inside")).value_or(""), "inside\n");
  EXPECT_FALSE(fs::exists(linked.proc("root/host/secret")));
  EXPECT_THAT(filesystem_options(linked, "/host"), HasSubstr("rw"));
}

TEST_F(Copies, WhatDoesNotFitIsAnError) {
  scratch_.write("root/data/file", std::string(200'000, 'x'));
  auto compiled = plan({"size=64k"});
  ASSERT_TRUE(compiled) << compiled.error().describe();
  const Waiting waiting = wait_under(*compiled);
  EXPECT_THAT(waiting.error, HasSubstr("mount.copy:/data"));
  EXPECT_THAT(waiting.error, HasSubstr("ENOSPC"));
  // As deep as it goes, and one more.
  fs::remove(below("file"));
  std::string path = "0";
  for (int i = 1; i < 40; ++i) path += "/" + std::to_string(i);
  fs::create_directories(below(path));
  EXPECT_EQ(wait_under(*compiled).error, "");
  fs::create_directories(below(path + "/more"));
  EXPECT_THAT(wait_under(*compiled).error, HasSubstr("ENAMETOOLONG"));
  EXPECT_TRUE(childless());
}

TEST_F(Copies, WithoutTheStepThereIsNothing) {
  scratch_.write("root/data/file", "text\n");
  drop_ = [](const Step& step) { return step.key == "mount.copy:/data"; };
  auto compiled = plan();
  ASSERT_TRUE(compiled) << compiled.error().describe();
  const Waiting waiting = wait_under(*compiled);
  ASSERT_EQ(waiting.error, "");
  EXPECT_FALSE(fs::exists(waiting.proc("root/data/file")));
}

TEST(Tmpfs, SyncAndDirsync) {
  for (const bool old : {false, true}) {
    SCOPED_TRACE(old ? "mount(2)" : "fsopen(2)");
    const auto seen = [&](std::vector<std::string> words) {
      Policy policy = strict_policy();
      policy.cwd = "/";
      policy.mounts.push_back(test_mount("/dev/shm", "tmpfs", "tmpfs", std::move(words)));
      auto plan = compile(policy);
      EXPECT_TRUE(plan) << plan.error().describe();
      const OldKernel kernel(old);
      const Waiting waiting = wait_under(*plan);
      EXPECT_EQ(waiting.error, "");
      return waiting.child ? filesystem_options(waiting, "/dev/shm") : "";
    };
    EXPECT_THAT(seen({}), Not(HasSubstr("sync")));
    EXPECT_THAT(seen({"sync"}), HasSubstr(",sync,"));
    EXPECT_THAT(seen({"sync"}), Not(HasSubstr("dirsync")));
    EXPECT_THAT(seen({"dirsync"}), HasSubstr(",dirsync,"));
    EXPECT_THAT(seen({"sync", "dirsync"}), HasSubstr(",sync,dirsync,"));
    EXPECT_THAT(seen({"sync", "async"}), Not(HasSubstr("sync")));
  }
}

}  // namespace
}  // namespace ringfence
