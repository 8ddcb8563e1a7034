// Archives: what is written is what was given, and what is read leads nowhere else.
#include "harness/kernels/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <tuple>

#include "harness/base/file.h"
#include "harness/kernels/test_files.h"

namespace ringfence {
namespace {

using testing::Directory;
using ::testing::HasSubstr;

const std::map<std::string, CpioEntry> kEntries = {
    {"bin", {S_IFDIR | 0755, {}}},
    {"bin/empty", {S_IFREG | 0644, {}}},
    {"bin/tool", {S_IFREG | 0755, std::string(10001, 'x')}},
    {"init", {S_IFLNK | 0777, "bin/tool"}},
    {"tmp", {S_IFDIR | 01777, {}}}};

TEST(Cpio, TheSameEntriesAreTheSameBytes) {
  auto one = make_cpio(kEntries);
  auto two = make_cpio(kEntries);
  ASSERT_TRUE(one) << one.error().describe();
  ASSERT_TRUE(two);
  EXPECT_EQ(*one, *two);
  EXPECT_TRUE(one->starts_with("070701"));  // newc
  auto changed = kEntries;
  changed["bin/tool"].content[5000] = 'y';
  EXPECT_NE(*make_cpio(changed), *one);
}

TEST(Cpio, IsReadBackByOthersCode) {
  auto bytes = make_cpio(kEntries);
  ASSERT_TRUE(bytes);
  archive* a = archive_read_new();
  archive_read_support_format_cpio(a);
  ASSERT_EQ(archive_read_open_memory(a, bytes->data(), bytes->size()), ARCHIVE_OK);
  std::map<std::string, CpioEntry> back;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(a, &entry) == ARCHIVE_OK) {
    CpioEntry& e = back[archive_entry_pathname(entry)];
    e.mode = archive_entry_mode(entry);
    EXPECT_EQ(archive_entry_uid(entry), 0);
    EXPECT_EQ(archive_entry_gid(entry), 0);
    EXPECT_EQ(archive_entry_mtime(entry), 0);
    if (const char* target = archive_entry_symlink(entry)) e.content = target;
    if (S_ISREG(e.mode)) {
      e.content.resize(static_cast<size_t>(archive_entry_size(entry)));
      EXPECT_EQ(archive_read_data(a, e.content.data(), e.content.size()),
                static_cast<la_ssize_t>(e.content.size()));
    }
  }
  archive_read_free(a);
  ASSERT_EQ(back.size(), kEntries.size());
  for (const auto& [path, e] : kEntries) {
    EXPECT_EQ(back[path].mode, e.mode) << path;
    EXPECT_EQ(back[path].content, e.content) << path;
  }
}

// A filter's output over `content`, as one file.
std::string packed(const std::string& content, int (*filter)(archive*)) {
  std::string bytes(content.size() + 4096, 0);
  size_t used = 0;
  archive* a = archive_write_new();
  archive_write_set_format_raw(a);
  filter(a);
  archive_write_set_bytes_per_block(a, 0);
  archive_write_open_memory(a, bytes.data(), bytes.size(), &used);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, "x");
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_write_header(a, entry);
  archive_write_data(a, content.data(), content.size());
  archive_entry_free(entry);
  archive_write_close(a);
  archive_write_free(a);
  return bytes.substr(0, used);
}

TEST(Packed, PlainGzipXzAndZstd) {
  const Directory directory;
  const std::string content = testing::module_bytes({"license=GPL", std::string(5000, 'z')});
  auto plain = read_packed(directory.write("a.ko", content));
  ASSERT_TRUE(plain);
  EXPECT_EQ(*plain, content);
  for (const auto& [name, filter] : {std::pair("a.ko.gz", &archive_write_add_filter_gzip),
                                     std::pair("a.ko.xz", &archive_write_add_filter_xz),
                                     std::pair("a.ko.zst", &archive_write_add_filter_zstd)}) {
    const std::string bytes = packed(content, filter);
    ASSERT_LT(bytes.size(), content.size()) << name;
    auto back = read_packed(directory.write(name, bytes));
    ASSERT_TRUE(back) << name << ": " << back.error().describe();
    EXPECT_EQ(*back, content) << name;
    EXPECT_FALSE(read_packed(directory.write(name, bytes.substr(0, bytes.size() / 2)))) << name;
  }
  EXPECT_FALSE(read_packed(directory.path("nowhere")));
}

struct Member {
  std::string path, content, link{}, hard{};
};

std::string written(int (*format)(archive*), const std::vector<Member>& members) {
  std::string bytes(size_t{1} << 18, 0);
  size_t used = 0;
  archive* a = archive_write_new();
  format(a);
  archive_write_open_memory(a, bytes.data(), bytes.size(), &used);
  for (const auto& member : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.path.c_str());
    archive_entry_set_mode(entry, S_IFREG | 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(member.content.size()));
    if (!member.link.empty()) {
      archive_entry_set_mode(entry, S_IFLNK | 0777);
      archive_entry_set_symlink(entry, member.link.c_str());
    }
    if (!member.hard.empty()) archive_entry_set_hardlink(entry, member.hard.c_str());
    EXPECT_EQ(archive_write_header(a, entry), ARCHIVE_OK) << archive_error_string(a);
    archive_write_data(a, member.content.data(), member.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
  return bytes.substr(0, used);
}

// A Debian package with these files.
std::string package(const std::vector<Member>& files) {
  return written(archive_write_set_format_ar_svr4,
                 {{"debian-binary", "2.0\n"},
                  {"control.tar", written(archive_write_set_format_ustar, {{"control", "x"}})},
                  {"data.tar", written(archive_write_set_format_ustar, files)}});
}

TEST(Package, FilesAndLinksGoBelowTheDirectory) {
  const Directory directory;
  const std::string deb =
      directory.write("x.deb", package({{"./boot/vmlinuz", "kernel"},
                                        {"./boot/link", "", "vmlinuz"},
                                        {"./boot/same", "", "", "./boot/vmlinuz"}}));
  std::filesystem::create_directory(directory.path("to"));
  auto ok = unpack_package(deb, directory.path("to"));
  ASSERT_TRUE(ok) << ok.error().describe();
  EXPECT_EQ(*read_file(directory.path("to/boot/vmlinuz")), "kernel");
  EXPECT_EQ(*read_file(directory.path("to/boot/link")), "kernel");
  EXPECT_EQ(*read_file(directory.path("to/boot/same")), "kernel");
  EXPECT_FALSE(std::filesystem::exists(directory.path("to/control")));
}

TEST(Package, NothingLeadsOutOfTheDirectory) {
  const Directory directory;
  const std::string secret = directory.write("secret", "of the host");
  const std::vector<std::vector<Member>> attacks = {
      {{"../out", "x"}},
      {{"./a/../../out", "x"}},
      {{"./link", "", ".."}, {"./link/out", "x"}},
      {{"./link", "", directory.path()}, {"./link/out", "x"}},
      {{"./stolen", "", "", "../secret"}},
  };
  for (size_t i = 0; i < attacks.size(); ++i) {
    const std::string deb = directory.write("x.deb", package(attacks[i]));
    const std::string to = directory.path("to" + std::to_string(i));
    std::filesystem::create_directory(to);
    auto ok = unpack_package(deb, to);
    EXPECT_FALSE(ok) << i;
    EXPECT_FALSE(std::filesystem::exists(directory.path("out"))) << i;
    EXPECT_FALSE(std::filesystem::exists(to + "/stolen")) << i;
  }
  EXPECT_EQ(*read_file(secret), "of the host");
}

TEST(Package, AnAbsoluteNameIsBelowTheDirectory) {
  const Directory directory;
  const std::string name = directory.path("absolute");
  const std::string deb = directory.write("x.deb", package({{name, "x"}}));
  std::filesystem::create_directory(directory.path("to"));
  (void)unpack_package(deb, directory.path("to"));
  EXPECT_FALSE(std::filesystem::exists(name));
}

TEST(Package, WhatIsNoneIsRefused) {
  const Directory directory;
  std::filesystem::create_directory(directory.path("to"));
  for (const std::string& bytes :
       {std::string(), std::string("text"), std::string("!<arch>\n"),
        written(archive_write_set_format_ar_svr4, {{"debian-binary", "2.0\n"}})}) {
    auto ok = unpack_package(directory.write("x.deb", bytes), directory.path("to"));
    ASSERT_FALSE(ok) << bytes.size();
    EXPECT_EQ(ok.error().kind, Error::Kind::usage);
  }
  EXPECT_FALSE(unpack_package(directory.path("nowhere"), directory.path("to")));
}

// However much of a package there is: all of its files, or an error.
TEST(Package, OneThatIsCutOffIsRefused) {
  const Directory directory;
  const std::string content(20000, 'x');
  const std::string whole = package({{"./a", content}, {"./b", content}});
  size_t taken = 0;
  for (size_t n = 0; n <= whole.size(); n += 509) {
    const std::string to = directory.path("to" + std::to_string(n));
    std::filesystem::create_directory(to);
    if (!unpack_package(directory.write("x.deb", whole.substr(0, n)), to)) continue;
    ++taken;
    for (const char* name : {"/a", "/b"}) {
      auto there = read_file(to + name);
      ASSERT_TRUE(there) << n << " of " << whole.size();
      EXPECT_EQ(there->size(), content.size()) << n << " of " << whole.size();
    }
  }
  EXPECT_LT(taken, whole.size() / 509);
}

}  // namespace
}  // namespace ringfence
