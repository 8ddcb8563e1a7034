#include "harness/runner/registry.h"

#include <gmock/gmock.h>

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Case named(std::string id, bool quick = true) {
  Case c;
  c.id = std::move(id);
  c.quick = quick;
  return c;
}

Registry some() {
  Registry registry;
  EXPECT_TRUE(registry.add({named("pid.signal"), named("uts.hostname"), named("limit.slow", false),
                            named("pid.ptrace"), named("mnt.escape")}));
  return registry;
}

std::vector<std::string> ids(const std::vector<const Case*>& cases) {
  std::vector<std::string> list;
  list.reserve(cases.size());
  for (const Case* c : cases) list.push_back(c->id);
  return list;
}
std::vector<std::string> chosen(const std::vector<std::string>& globs, bool full = false) {
  const Registry registry = some();
  auto selected = registry.select(globs, full);
  EXPECT_TRUE(selected) << selected.error().describe();
  return selected ? ids(*selected) : std::vector<std::string>();
}

TEST(Registry, SortedWhateverTheOrderOfAdding) {
  const Registry registry = some();
  std::vector<std::string> list;
  for (const Case& c : registry.cases()) list.push_back(c.id);
  EXPECT_THAT(list,
              ElementsAre("limit.slow", "mnt.escape", "pid.ptrace", "pid.signal", "uts.hostname"));
}

TEST(Registry, RefusesAnIdTwiceAndKeepsTheFirst) {
  Registry registry;
  Case first = named("pid.signal");
  first.title = "first";
  ASSERT_TRUE(registry.add(first));
  const auto again = registry.add(named("pid.signal"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, Error::Kind::usage);
  EXPECT_THAT(again.error().describe(), HasSubstr("pid.signal"));
  EXPECT_EQ(registry.cases().size(), 1U);
  EXPECT_EQ(registry.find("pid.signal")->title, "first");
  // In a list, too.
  EXPECT_FALSE(registry.add({named("a.a"), named("b.b"), named("a.a")}));
}

TEST(Registry, Finds) {
  const Registry registry = some();
  ASSERT_NE(registry.find("mnt.escape"), nullptr);
  EXPECT_EQ(registry.find("mnt.escape")->id, "mnt.escape");
  for (const char* id : {"mnt", "mnt.escap", "mnt.escapes", "", "zzz"}) {
    EXPECT_EQ(registry.find(id), nullptr) << id;
  }
  EXPECT_EQ(Registry().find("mnt.escape"), nullptr);
}

TEST(Registry, SelectsTheDefaultSuite) {
  EXPECT_THAT(chosen({}), ElementsAre("mnt.escape", "pid.ptrace", "pid.signal", "uts.hostname"));
  EXPECT_THAT(chosen({}, true),
              ElementsAre("limit.slow", "mnt.escape", "pid.ptrace", "pid.signal", "uts.hostname"));
}

TEST(Registry, SelectsByGlobs) {
  EXPECT_THAT(chosen({"pid.*"}), ElementsAre("pid.ptrace", "pid.signal"));
  EXPECT_THAT(chosen({"*.?scape"}), ElementsAre("mnt.escape"));
  EXPECT_THAT(chosen({"uts.hostname", "pid.s*", "pid.signal"}),
              ElementsAre("pid.signal", "uts.hostname"))
      << "each once, in the registry's order";
  EXPECT_THAT(chosen({"limit.*"}), ElementsAre("limit.slow")) << "a name beats the suite";
}

TEST(Registry, SuggestsTheNearest) {
  const Registry registry = some();
  for (const std::vector<std::string>& globs :
       {std::vector<std::string>{"pid.signl"}, {"uts.*", "pid.signl"}}) {
    const auto selected = registry.select(globs, false);
    ASSERT_FALSE(selected);
    EXPECT_EQ(selected.error().kind, Error::Kind::usage);
    EXPECT_THAT(selected.error().describe(), HasSubstr("pid.signl"));
    EXPECT_THAT(selected.error().describe(), HasSubstr("did you mean 'pid.signal'?"));
  }
  const auto far = registry.select({"something/quite*different"}, false);
  ASSERT_FALSE(far);
  EXPECT_THAT(far.error().describe(), HasSubstr("ringfence list"));
  EXPECT_THAT(far.error().describe(), Not(HasSubstr("did you mean")));
}

}  // namespace
}  // namespace ringfence
