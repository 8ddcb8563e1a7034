// docs/reasons.md and the table must agree, and every word that the code gives must be in the
// table. RINGFENCE_UPDATE_DOCS=1 writes the page's table anew.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <set>

#include "harness/base/file.h"
#include "reports/reasons.h"

namespace ringfence {
namespace {

const std::string kRoot = RINGFENCE_SOURCE_DIR;
const std::string kBegin = "<!-- table: begin -->\n";
const std::string kEnd = "<!-- table: end -->\n";

std::string table() {
  std::string text = "| word | what it says | what to do |\n| --- | --- | --- |\n";
  for (const Reason& r : reasons()) {
    const bool more = r.word.ends_with(':') || r.word.ends_with('<');
    text += "| `" + std::string(r.word) + (more ? "...` | " : "` | ");
    text += std::string(r.meaning) + " | " + std::string(r.advice) + " |\n";
  }
  return text;
}

TEST(ReasonsDoc, PageAgreesWithTheTable) {
  const std::string file = kRoot + "/docs/reasons.md";
  auto page = read_file(file);
  ASSERT_TRUE(page) << page.error().describe();
  const size_t begin = page->find(kBegin);
  const size_t end = page->find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const size_t at = begin + kBegin.size();
  if (std::getenv("RINGFENCE_UPDATE_DOCS") != nullptr) {
    page->replace(at, end - at, table());
    std::ofstream(file) << *page;
    return;
  }
  EXPECT_EQ(page->substr(at, end - at), table())
      << "run again with RINGFENCE_UPDATE_DOCS=1 and look at the difference";
}

// The word that follows `before` in a text, as a string literal: give(Verdict::x, "word".
void collect(const std::string& text, const std::string& before, std::set<std::string>& words) {
  for (size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
    size_t i = at + before.size();
    while (before.ends_with("::") && std::isalpha(static_cast<unsigned char>(text[i])) != 0) ++i;
    while (text[i] == ',' || std::isspace(static_cast<unsigned char>(text[i])) != 0) ++i;
    if (text[i] != '"') continue;
    const std::string word = text.substr(i + 1, text.find('"', i + 1) - i - 1);
    if (!word.empty()) words.insert(word);
  }
}

TEST(ReasonsDoc, EveryWordThatTheCodeGivesIsInTheTable) {
  std::set<std::string> words;
  for (const char* file : {"judge/judge.cc", "runner/decoy.cc", "runner/run_case.cc",
                           "runner/runner.cc", "gtest_bridge/gtest_bridge.cc", "kernels/kernels.cc",
                           "kernels/machine.cc", "kernels/here.cc"}) {
    auto text = read_file(kRoot + "/harness/" + file);
    ASSERT_TRUE(text) << text.error().describe();
    for (const char* before :
         {"Verdict::", "fail(", "failed(", "none(", "error_word = ", "? ", ": ", "return ",
          "lacks ? ", "fail(greeted_ ? ", "give_up_on(todo_, ", "failure = "}) {
      std::set<std::string> found;
      collect(*text, before, found);
      for (const auto& word : found) {
        const bool shape =
            word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_:-") == std::string::npos &&
            word.find_first_of("_:") != std::string::npos;
        if (shape && word.find("::") == std::string::npos) words.insert(word);
      }
    }
  }
  // That the search finds what it is for.
  EXPECT_THAT(words, ::testing::IsSupersetOf(
                         {"goal_seen", "control_failed", "no_attempt", "liveness_failed",
                          "no_witness", "decoy_failed", "spawn_failed", "cgroup_failed",
                          "witness_failed", "not_asked_for", "kernel_panic", "kernel_hang",
                          "boot_failed", "channel_lost", "vmm_failed", "run_failed"}));
  for (const auto& word : words) {
    EXPECT_NE(reason_for(word), nullptr) << word;
  }
}

}  // namespace
}  // namespace ringfence
