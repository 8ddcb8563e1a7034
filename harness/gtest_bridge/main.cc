// ringfence-suites: the built-in suites as a GoogleTest program.
//
// GoogleTest's own options (--gtest_filter, --gtest_shuffle, --gtest_output=xml:FILE, sharding by
// GTEST_TOTAL_SHARDS), --policy FILE|NAME and --full. Exit codes are GoogleTest's, 64 for usage.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string_view>

#include "harness/base/suggest.h"
#include "harness/cli/load.h"
#include "harness/gtest_bridge/gtest_bridge.h"
#include "suites/suite.h"

namespace ringfence {
namespace {

constexpr int kExitUsage = 64;
constexpr const char* kHelp =
    "\nOf ringfence-suites itself:\n"
    "  --policy FILE|NAME\n"
    "      Judge this policy: an OCI config.json or a built-in profile.\n"
    "  --full\n"
    "      The cases that need seconds, too.\n";

int complain(const std::string& text) {
  fmt::print(stderr, "ringfence-suites: {}\n", text);
  return kExitUsage;
}

struct Arguments {
  std::string policy;
  bool full = false;
  bool help = false;
};

// What GoogleTest has left over; nothing, and a word on standard error, when it cannot be read.
std::optional<Arguments> parse(int argc, char** argv) {
  Arguments args;
  constexpr std::string_view kPolicy = "--policy";
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      args.help = true;
    } else if (word == "--full") {
      args.full = true;
    } else if (word == kPolicy && i + 1 < argc) {
      args.policy = argv[++i];
    } else if (word.starts_with("--policy=") && word.size() > kPolicy.size() + 1) {
      args.policy = word.substr(kPolicy.size() + 1);
    } else {
      const std::string near =
          nearest(word, {"--policy", "--full", "--help", "--gtest_filter", "--gtest_shuffle",
                         "--gtest_list_tests", "--gtest_output", "--gtest_repeat"});
      complain(word == kPolicy || word == "--policy="
                   ? "--policy: a FILE or the NAME of a profile is missing"
                   : fmt::format("unknown option '{}'; {}", word,
                                 near.empty() ? "--help says what is allowed"
                                              : "did you mean '" + near + "'?"));
      return std::nullopt;
    }
  }
  return args;
}

int run_main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const auto args = parse(argc, argv);
  if (!args) return kExitUsage;
  RunOptions options;
  options.full = args->full;
  if (!args->policy.empty()) {
    auto loaded = cli::load(args->policy, "");
    if (!loaded) return complain(loaded.error().describe());
    options.policy = std::move(loaded->policy);
    options.rootfs = loaded->rootfs;
  }
  auto registry = suites::builtin();
  if (!registry) return complain(registry.error().describe());
  if (auto ok = register_cases(*registry, std::move(options)); !ok) {
    return complain(ok.error().describe());
  }
  if (!args->help && !testing::GTEST_FLAG(list_tests)) {
    if (auto swept = janitor(); swept && *swept > 0) {
      fmt::print(stderr, "ringfence-suites: {}\n", swept_text(*swept));
    }
  }
  const int code = RUN_ALL_TESTS();
  if (args->help) fmt::print("{}", kHelp);
  return code;
}

}  // namespace
}  // namespace ringfence

int main(int argc, char** argv) { return ringfence::run_main(argc, argv); }
