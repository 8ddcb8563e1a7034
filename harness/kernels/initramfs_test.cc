// The initramfs: its name is its contents.
#include "harness/kernels/initramfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "harness/base/file.h"
#include "harness/kernels/test_files.h"

namespace ringfence {
namespace {

using testing::Directory;
using ::testing::HasSubstr;
using testing::module_bytes;

Initramfs sample() {
  Initramfs files;
  files.add_text("/etc/passwd", "root:x:0:0\n");
  files.add_link("/init", "/bin/tool");
  files.add_directory("/tmp", 01777);
  return files;
}

TEST(Initramfs, TheSameContentsHaveTheSameDigestAndFile) {
  const Directory directory;
  EXPECT_EQ(*sample().digest(), *sample().digest());
  auto one = sample().write(directory.path("cache"));
  ASSERT_TRUE(one) << one.error().describe();
  EXPECT_THAT(*one, HasSubstr(*sample().digest()));
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat(one->c_str(), &before), 0);
  EXPECT_EQ(*sample().write(directory.path("cache")), *one);
  ASSERT_EQ(::stat(one->c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);  // taken, not made again
}

TEST(Initramfs, AnyChangeIsAnotherDigest) {
  std::set<std::string> digests = {*sample().digest()};
  Initramfs byte = sample();
  byte.add_text("/etc/passwd", "root:x:0:1\n");
  Initramfs mode = sample();
  mode.add_text("/etc/passwd", "root:x:0:0\n", 0600);
  Initramfs target = sample();
  target.add_link("/init", "/bin/tool2");
  Initramfs kind = sample();
  kind.add_text("/init", "/bin/tool", 0777);
  Initramfs name = sample();
  name.add_text("/etc/passwd2", "");
  Initramfs place = sample();
  place.add_directory("/tmp2", 01777);
  for (const Initramfs* files : {&byte, &mode, &target, &kind, &name, &place}) {
    EXPECT_TRUE(digests.insert(*files->digest()).second);
  }
}

TEST(Initramfs, AnOrderOfAddingDoesNotMatter) {
  Initramfs other;
  other.add_directory("/tmp", 01777);
  other.add_link("init", "/bin/tool");
  other.add_text("etc/passwd", "root:x:0:0\n");
  EXPECT_EQ(*other.digest(), *sample().digest());
}

TEST(Initramfs, AFileOrProgramThatIsNotThere) {
  Initramfs files;
  EXPECT_FALSE(files.add_file("/x", "/no/such/file"));
  EXPECT_FALSE(files.add_program("/x", "/no/such/file"));
  auto directory = files.add_file("/x", "/tmp");
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().kind, Error::Kind::usage);
}

TEST(Initramfs, AProgramBringsItsInterpreterAndLibraries) {
  const Directory directory;
  Initramfs files;
  auto ok = files.add_program("/bin/self", "/proc/self/exe");
  ASSERT_TRUE(ok) << ok.error().describe();
  auto path = files.write(directory.path("cache"));
  ASSERT_TRUE(path) << path.error().describe();
  auto bytes = read_file(*path, size_t{1} << 30);
  ASSERT_TRUE(bytes);
  EXPECT_NE(bytes->find("ld-linux-x86-64.so.2"), std::string::npos);
  EXPECT_NE(bytes->find("libc.so.6"), std::string::npos);
  EXPECT_NE(bytes->find("bin/self"), std::string::npos);
}

TEST(Initramfs, ModulesThatAreWantedMayLackThoseThatAreNeededMayNot) {
  const Directory directory;
  (void)directory.write("kernel/overlay.ko", module_bytes({"depends="}));
  Initramfs files;
  auto ok = files.add_modules(directory.path(), {"overlay", "absent"}, {});
  EXPECT_TRUE(ok) << ok.error().describe();
  auto failed = files.add_modules(directory.path(), {}, {"overlai"});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, Error::Kind::unsupported);
  EXPECT_THAT(failed.error().hint, HasSubstr("overlay"));
}

TEST(Initramfs, CacheIsWhereTheEnvironmentSays) {
  const auto with = [](const char* own, const char* xdg, const char* home) {
    const auto set = [](const char* name, const char* value) {
      if (value != nullptr) {
        ::setenv(name, value, 1);
      } else {
        ::unsetenv(name);
      }
    };
    const auto get = [](const char* name) {
      const char* value = std::getenv(name);
      return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
    };
    const auto a = get("RINGFENCE_CACHE"), b = get("XDG_CACHE_HOME"), c = get("HOME");
    set("RINGFENCE_CACHE", own);
    set("XDG_CACHE_HOME", xdg);
    set("HOME", home);
    const std::string found = cache_directory();
    set("RINGFENCE_CACHE", a ? a->c_str() : nullptr);
    set("XDG_CACHE_HOME", b ? b->c_str() : nullptr);
    set("HOME", c ? c->c_str() : nullptr);
    return found;
  };
  EXPECT_EQ(with("/a", "/b", "/c"), "/a");
  EXPECT_EQ(with("", "/b", "/c"), "/b/ringfence");
  EXPECT_EQ(with(nullptr, nullptr, "/c"), "/c/.cache/ringfence");
  EXPECT_EQ(with(nullptr, nullptr, nullptr), "/var/cache/ringfence");
}

TEST(Initramfs, Sha256OfKnownTexts) {
  EXPECT_EQ(*sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(*sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace ringfence
