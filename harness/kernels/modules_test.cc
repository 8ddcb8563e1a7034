// Modules: what .modinfo says, and in which order they go.
#include "harness/kernels/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "harness/base/file.h"
#include "harness/kernels/archive.h"
#include "harness/kernels/elf.h"
#include "harness/kernels/guest_modules.h"
#include "harness/kernels/initramfs.h"
#include "harness/kernels/test_files.h"

namespace ringfence {
namespace {

using testing::Directory;
using ::testing::ElementsAre;
using testing::elf_with_section;
using ::testing::HasSubstr;
using testing::module_bytes;

TEST(Elf, ModuleInfoOfAFileMadeByHand) {
  auto info = module_info(module_bytes({"license=GPL", "depends=a,b", "alias=fs-x"}), "x.ko");
  ASSERT_TRUE(info) << info.error().describe();
  EXPECT_THAT(*info, ElementsAre("license=GPL", "depends=a,b", "alias=fs-x"));
}

TEST(Elf, AnUnterminatedLastLineIsALine) {
  auto info = module_info(elf_with_section(".modinfo", std::string("a=1\0\0b=2", 8)), "x.ko");
  ASSERT_TRUE(info) << info.error().describe();
  EXPECT_THAT(*info, ElementsAre("a=1", "b=2"));
}

TEST(Elf, WhatIsNoModuleIsRefusedByName) {
  for (const std::string& bytes : {std::string(), std::string("text"), std::string(ELFMAG),
                                   elf_with_section(".data", "depends=a")}) {
    auto info = module_info(bytes, "x.ko");
    ASSERT_FALSE(info);
    EXPECT_EQ(info.error().kind, Error::Kind::usage);
    EXPECT_EQ(info.error().object, "x.ko");
  }
}

// No length crashes; and no shorter one says more than is there.
TEST(Elf, EveryTruncationIsReadOrRefused) {
  const std::string whole = module_bytes({"license=GPL", "depends=a,b"});
  size_t refused = 0;
  for (size_t n = 0; n < whole.size(); ++n) {
    // Memory of its own, so that a read past the end is one that a sanitizer sees.
    const std::vector<char> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n));
    const std::string_view bytes(part.data(), part.size());
    auto info = module_info(bytes, "x.ko");
    if (!info) ++refused;
    (void)elf_interpreter(bytes, "x.ko");
  }
  EXPECT_EQ(refused, whole.size());
  EXPECT_TRUE(module_info(whole, "x.ko"));
}

TEST(Elf, AnyByteChangedIsReadOrRefused) {
  const std::string whole = module_bytes({"license=GPL", "depends=a,b"});
  std::mt19937 random(5);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int i = 0; i < 8; ++i) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(random());
      (void)module_info(bytes, "x.ko");
      (void)elf_interpreter(bytes, "x.ko");
    }
  }
}

TEST(Elf, InterpreterOfThisProgramAndOfNone) {
  auto own = read_file("/proc/self/exe", size_t{1} << 30);
  ASSERT_TRUE(own);
  auto interpreter = elf_interpreter(*own, "self");
  ASSERT_TRUE(interpreter) << interpreter.error().describe();
  ASSERT_TRUE(*interpreter);
  EXPECT_THAT(**interpreter, HasSubstr("ld-linux"));
  auto none = elf_interpreter(module_bytes({"a=b"}), "x.ko");
  EXPECT_TRUE(!none || !*none);
  EXPECT_FALSE(elf_interpreter("#!/bin/sh\n", "script"));
}

// A directory as a package has it, of {name, .modinfo}.
using Specs = std::vector<std::pair<std::string, std::vector<std::string>>>;
class Tree {
 public:
  explicit Tree(const Specs& modules) {
    for (const auto& [name, info] : modules) {
      (void)directory_.write("kernel/drivers/" + name + ".ko", module_bytes(info));
    }
  }
  void builtin(const std::string& lines) const { (void)directory_.write("modules.builtin", lines); }
  [[nodiscard]] ModuleTree open() const {
    auto tree = ModuleTree::open(directory_.path());
    EXPECT_TRUE(tree) << tree.error().describe();
    return *tree;
  }
  [[nodiscard]] Result<std::vector<KernelModule>> closure(
      const std::vector<std::string>& names) const {
    return open().closure(names);
  }

 private:
  Directory directory_;
};

std::vector<std::string> names_of(const Result<std::vector<KernelModule>>& modules) {
  std::vector<std::string> names;
  if (!modules) return {modules.error().describe()};
  for (const auto& module : *modules) names.push_back(module.name);
  return names;
}

TEST(Modules, DependenciesComeFirstAndOnce) {
  const Tree tree(Specs{{"kvm-amd", {"depends=kvm,ccp"}},
                        {"kvm", {"depends=irqbypass"}},
                        {"ccp", {"depends="}},
                        {"irqbypass", {"depends="}},
                        {"other", {"depends=kvm"}}});
  EXPECT_THAT(names_of(tree.closure({"kvm-amd"})),
              ElementsAre("irqbypass", "kvm", "ccp", "kvm_amd"));
  EXPECT_THAT(names_of(tree.closure({"kvm_amd", "other", "kvm"})),
              ElementsAre("irqbypass", "kvm", "ccp", "kvm_amd", "other"));
  EXPECT_TRUE(names_of(tree.closure({})).empty());
}

TEST(Modules, SoftDependenciesGoBeforeWhereThereAreAny) {
  const Tree tree(Specs{{"btrfs", {"depends=xor", "softdep=pre: crc32c not-here post: late"}},
                        {"xor", {}},
                        {"crc32c", {}},
                        {"late", {}}});
  EXPECT_THAT(names_of(tree.closure({"btrfs"})), ElementsAre("crc32c", "xor", "btrfs"));
}

TEST(Modules, WhatIsCompiledInNeedsNoFile) {
  const Tree tree(Specs{{"overlay", {"depends=exportfs"}}});
  tree.builtin("kernel/fs/exportfs/exportfs.ko\nkernel/lib/crc-itu-t.ko\n");
  EXPECT_TRUE(tree.open().builtin("crc_itu_t"));
  EXPECT_TRUE(tree.open().builtin("crc-itu-t"));
  EXPECT_FALSE(tree.open().builtin("overlay"));
  EXPECT_TRUE(tree.open().has("overlay"));
  EXPECT_THAT(names_of(tree.closure({"overlay", "exportfs"})), ElementsAre("overlay"));
}

TEST(Modules, AMissingOneIsNamedWithTheNearest) {
  const Tree tree(Specs{{"overlay", {}}, {"veth", {"depends=gone"}}});
  auto wrong = tree.closure({"overlai"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().kind, Error::Kind::unsupported);
  EXPECT_EQ(wrong.error().object, "overlai");
  EXPECT_THAT(wrong.error().hint, HasSubstr("the nearest is overlay"));
  auto needed = tree.closure({"veth"});
  ASSERT_FALSE(needed);
  EXPECT_EQ(needed.error().object, "gone");
  EXPECT_THAT(needed.error().hint, HasSubstr("needed by veth"));
}

TEST(Modules, ACircleIsAnErrorAndNoEndlessLoop) {
  const Tree tree(Specs{{"a", {"depends=b"}}, {"b", {"depends=c"}}, {"c", {"depends=a"}}});
  auto closed = tree.closure({"a"});
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().err, ELOOP);
}

TEST(Modules, AFileThatIsNoModuleIsAnError) {
  const Directory directory;
  (void)directory.write("kernel/bad.ko", "text");
  auto tree = ModuleTree::open(directory.path());
  ASSERT_TRUE(tree);
  auto modules = tree->closure({"bad"});
  ASSERT_FALSE(modules);
  EXPECT_THAT(modules.error().object, HasSubstr("bad.ko"));
  EXPECT_FALSE(ModuleTree::open(directory.path("nowhere")));
}

TEST(Modules, AliasesComeAlong) {
  const Tree tree(Specs{{"overlay", {"alias=fs-overlay", "alias=x-*"}}});
  auto modules = tree.closure({"overlay"});
  ASSERT_TRUE(modules);
  EXPECT_THAT(modules->front().aliases, ElementsAre("fs-overlay", "x-*"));
}

TEST(GuestModules, ListComesBackAndIsSearchedByNameAndAlias) {
  const std::vector<GuestModule> list = {{"base", "/b.ko", {}, {}},
                                         {"overlay", "/o.ko", {"base"}, {"fs-overlay"}},
                                         {"tun", "/t.ko", {"base", "absent"}, {"char-major-10-*"}}};
  auto back = parse_guest_modules(guest_modules_json(list));
  ASSERT_TRUE(back) << back.error().describe();
  const auto names = [&](const std::string& name) {
    std::vector<std::string> all;
    for (const auto* m : modules_for(*back, name)) all.push_back(m->name);
    return all;
  };
  EXPECT_THAT(names("overlay"), ElementsAre("base", "overlay"));
  EXPECT_THAT(names("fs-overlay"), ElementsAre("base", "overlay"));
  EXPECT_THAT(names("char-major-10-200"), ElementsAre("base", "tun"));
  EXPECT_TRUE(names("nothing").empty());
  for (const char* text : {"", "{", "[{}]", "[1]", R"([{"name":1}])"}) {
    EXPECT_FALSE(parse_guest_modules(text)) << text;
  }
}

// A kernel of Debian, where one was fetched before.
TEST(Modules, OfARealKernel) {
  const std::string packages = cache_directory() + "/packages";
  auto names = list_directory(packages);
  std::string directory;
  for (const auto& name : names ? *names : std::vector<std::string>{}) {
    constexpr std::string_view kImage = "linux-image-";
    if (!name.starts_with(kImage)) continue;
    const std::string candidate =
        packages + "/" + name + "/lib/modules/" + name.substr(kImage.size());
    if (std::filesystem::is_directory(candidate + "/kernel")) directory = candidate;
  }
  if (directory.empty()) GTEST_SKIP() << "host-lacks:path:" << packages << "/linux-image-*";
  auto tree = ModuleTree::open(directory);
  ASSERT_TRUE(tree) << tree.error().describe();
  auto modules = tree->closure({"kvm_amd", "overlay", "veth"});
  ASSERT_TRUE(modules) << modules.error().describe();
  std::vector<std::string> seen;
  for (const auto& module : *modules) {
    for (const auto& other : module.depends) {
      const bool there =
          tree->builtin(other) || std::find(seen.begin(), seen.end(), other) != seen.end();
      EXPECT_TRUE(there) << other << " comes after " << module.name;
    }
    seen.push_back(module.name);
    EXPECT_TRUE(is_elf(module.bytes));
  }
  EXPECT_THAT(seen, ::testing::IsSupersetOf({"kvm", "kvm_amd", "overlay"}));
  // A real one, cut anywhere.
  const std::string& bytes = modules->front().bytes;
  for (size_t n = 0; n < bytes.size(); n += 1 + n / 50) {
    (void)module_info(std::string_view(bytes).substr(0, n), "cut");
  }
}

}  // namespace
}  // namespace ringfence
