// Which kernel a SPEC means.
#include "harness/kernels/kernel_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include "harness/kernels/test_files.h"

namespace ringfence {
namespace {

using testing::Directory;
using ::testing::HasSubstr;

const std::vector<std::string> kPackages = {"linux-image-6.1.0-9-cloud-amd64",
                                            "linux-image-6.1.0-50-cloud-amd64",
                                            "linux-image-6.1.0-50-amd64",
                                            "linux-image-6.1.0-50-rt-amd64",
                                            "linux-image-6.1.0-50-amd64-unsigned",
                                            "linux-image-6.12.9+bpo-cloud-amd64",
                                            "linux-image-6.12.63+deb12-cloud-amd64",
                                            "linux-image-6.12-cloud-amd64",
                                            "linux-image-cloud-amd64",
                                            "linux-image-6.1.0-50-cloud-amd64-dbg",
                                            "linux-headers-6.12.99-cloud-amd64",
                                            "linux-image-6.12.70+deb12-amd64"};

TEST(ChoosePackage, TheNewestOfTheCloudFlavour) {
  EXPECT_EQ(choose_package(kPackages, "6.1.*"), "linux-image-6.1.0-50-cloud-amd64");
  EXPECT_EQ(choose_package(kPackages, "6.12.*"), "linux-image-6.12.63+deb12-cloud-amd64");
  EXPECT_EQ(choose_package(kPackages, "*"), "linux-image-6.12.63+deb12-cloud-amd64");
  EXPECT_EQ(choose_package(kPackages, "6.1.0-9"), "linux-image-6.1.0-9-cloud-amd64");
}

TEST(ChoosePackage, AnotherFlavourWhereThePatternNamesOne) {
  EXPECT_EQ(choose_package(kPackages, "6.1.0-*[0-9]-amd64"), "linux-image-6.1.0-50-amd64");
  EXPECT_EQ(choose_package(kPackages, "6.1.*-rt-amd64"), "linux-image-6.1.0-50-rt-amd64");
  EXPECT_EQ(choose_package(kPackages, "6.1.*-amd64-unsigned"),
            "linux-image-6.1.0-50-amd64-unsigned");
}

TEST(ChoosePackage, NeitherMetapackagesNorOthers) {
  EXPECT_EQ(choose_package(kPackages, "6.12"), "");
  EXPECT_EQ(choose_package(kPackages, "6.12-cloud-amd64"), "");
  EXPECT_EQ(choose_package(kPackages, "5.*"), "");
  EXPECT_EQ(choose_package(kPackages, ""), "");
  EXPECT_EQ(choose_package({}, "*"), "");
}

// The head of a bzImage (Documentation/arch/x86/boot.rst).
std::string bzimage(const std::string& version) {
  std::string bytes(0x1000, 0);
  bytes.replace(0x1fe, 2, "\x55\xaa");
  bytes.replace(0x202, 4, "HdrS");
  if (!version.empty()) {
    bytes[0x20e] = 0;
    bytes[0x20f] = 0x03;  // + 0x200
    bytes.replace(0x500, version.size(), version);
  }
  return bytes;
}

TEST(ReleaseOfImage, OfABzImage) {
  auto release = release_of_image(bzimage("6.1.0-50-cloud-amd64 (debian) #1 SMP"), "x");
  ASSERT_TRUE(release) << release.error().describe();
  EXPECT_EQ(*release, "6.1.0-50-cloud-amd64");
  EXPECT_FALSE(release_of_image(bzimage(""), "x"));
}

TEST(ReleaseOfImage, OfAVmlinux) {
  auto release = release_of_image(
      testing::elf_with_section(".rodata", std::string("..\0Linux version 6.12.9+ (a@b) #1", 33)),
      "x");
  ASSERT_TRUE(release) << release.error().describe();
  EXPECT_EQ(*release, "6.12.9+");
}

TEST(ReleaseOfImage, EveryTruncationIsReadOrRefused) {
  const std::string whole = bzimage("6.1.0 #1");
  for (size_t n = 0; n < whole.size(); ++n) {
    const std::vector<char> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n));
    auto release = release_of_image({part.data(), part.size()}, "x");
    if (n < 0x500) {
      EXPECT_FALSE(release) << n;
    }
    if (n >= 0x506) {
      EXPECT_TRUE(release) << n;
    }
  }
  // An offset that points past the end.
  std::string bytes = whole;
  bytes[0x20e] = bytes[0x20f] = '\xff';
  EXPECT_FALSE(release_of_image(bytes, "x"));
}

void refused(const std::string& spec, const std::string& cache, const std::string& why) {
  auto kernel = find_kernel(spec, cache);
  ASSERT_FALSE(kernel) << spec;
  EXPECT_EQ(kernel.error().kind, Error::Kind::usage) << spec;
  EXPECT_THAT(kernel.error().describe(), HasSubstr(why)) << spec;
}

TEST(FindKernel, SaysWhatIsWrongWithWhatIsNone) {
  const Directory directory;
  const std::string cache = directory.path("cache");
  refused(directory.path("nowhere"), cache, "no such file");
  refused(directory.path("nowhere"), cache, "debian:PATTERN");
  refused("", cache, "no such file");
  refused(directory.write("vmlinuz", "text\n"), cache, "neither a bzImage");
  refused(directory.write("empty", ""), cache, "neither a bzImage");
  refused(directory.write("x.deb", "text"), cache, "x.deb");
  refused("/dev/null", cache, "no such file");
  std::filesystem::create_directory(directory.path("nothing"));
  refused(directory.path("nothing"), cache, "no kernel in this directory");
}

TEST(FindKernel, RunningIsThisOne) {
  utsname name{};
  ASSERT_EQ(::uname(&name), 0);
  auto kernel = find_kernel("running", "/nowhere");
  ASSERT_TRUE(kernel);
  EXPECT_TRUE(kernel->running);
  EXPECT_EQ(kernel->release, name.release);
}

TEST(FindKernel, AnImageWithTheModulesBesideIt) {
  const Directory directory;
  const std::string image = directory.write("boot/vmlinuz-6.1.0-9", bzimage("6.1.0-9 x"));
  auto without = find_kernel(image, "/nowhere");
  ASSERT_TRUE(without) << without.error().describe();
  EXPECT_EQ(without->modules, "");
  (void)directory.write("lib/modules/6.1.0-9/kernel/a.ko", "x");
  (void)directory.write("lib/modules/6.1.0-8/kernel/a.ko", "x");
  auto with = find_kernel(image, "/nowhere");
  ASSERT_TRUE(with);
  EXPECT_EQ(with->release, "6.1.0-9");
  EXPECT_EQ(with->modules, directory.path("lib/modules/6.1.0-9"));
  EXPECT_FALSE(with->running);
  // Of a directory with several, the newest: 9 is before 50.
  (void)directory.write("boot/vmlinuz-6.1.0-50", bzimage("6.1.0-50 x"));
  auto newest = find_kernel(directory.path(), "/nowhere");
  ASSERT_TRUE(newest) << newest.error().describe();
  EXPECT_EQ(newest->release, "6.1.0-50");
  EXPECT_EQ(newest->image, directory.path("boot/vmlinuz-6.1.0-50"));
}

TEST(FindKernel, APackageOfTheCacheIsNotFetched) {
  const Directory cache;
  const std::string package = "packages/linux-image-99.1.0-1-cloud-amd64";
  (void)cache.write(package + "/boot/vmlinuz-99.1.0-1-cloud-amd64",
                    bzimage("99.1.0-1-cloud-amd64 x"));
  auto kernel = find_kernel("debian:99.*", cache.path());
  ASSERT_TRUE(kernel) << kernel.error().describe();
  EXPECT_EQ(kernel->release, "99.1.0-1-cloud-amd64");
  EXPECT_EQ(kernel->spec, "debian:99.*");
  refused("debian:98.*", cache.path(), "99.1.0-1-cloud-amd64");
}

}  // namespace
}  // namespace ringfence
