// ringfence with cases that end the kernel: what the tests boot in machines, and nobody installs.
// The cases run only where this program is what a machine was made of.
#include <unistd.h>

#include <cstring>
#include <span>
#include <string>

#include "harness/cli/commands.h"
#include "harness/kernels/agent.h"
#include "suites/suite.h"

namespace ringfence {
std::span<const unsigned char> inmate_fatal_image();
}

namespace {

using ringfence::Case;
using ringfence::Layer;
using ringfence::Sight;

bool alone = false;  // `--jobs 1`: no other case runs

Case fatal(const std::string& name, const std::string& word) {
  Case c;
  c.id = "fatal." + name;
  c.title = "end the kernel: " + name;
  c.source = "docs/architecture.md, Other kernels";
  c.expected = Layer::kPid;
  c.policy = ringfence::suites::in_namespaces({ringfence::Ns::pid});
  c.attempt = {"exit", {word}};
  c.goal = {Sight::canary_killed, "plain"};
  // Where somebody runs this on a host of his own it is skipped.
  c.needs = {"root", std::string("path:") + ringfence::kModuleList};
  c.quick = false;
  return c;
}

ringfence::Result<ringfence::Registry> registry() {
  auto all = ringfence::suites::builtin();
  if (!all) return all;
  for (const char* word : {"panic", "reset", "deaf", "hog", "silent", "stuck"}) {
    if (auto ok = all->add(fatal(word, word)); !ok) return tl::unexpected(ok.error());
  }
  // Panics only beside another.
  if (auto ok = all->add(fatal("together", alone ? "hold" : "panic")); !ok) {
    return tl::unexpected(ok.error());
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    alone = alone || (std::strcmp(argv[i], "--jobs") == 0 && std::strcmp(argv[i + 1], "1") == 0);
  }
  if (argc > 1 && std::strcmp(argv[1], "run") == 0 && ::access(ringfence::kModuleList, F_OK) == 0) {
    // Where the machine was given it; the kernel itself never asks for it.
    const char* words[] = {"modprobe", "msr"};
    (void)ringfence::modprobe_main(2, const_cast<char**>(words));
    constexpr int kSilent = 7;
    for (int i = 2; i < argc; ++i) {
      if (std::strcmp(argv[i], "fatal.silent") == 0) return kSilent;
      if (std::strcmp(argv[i], "fatal.stuck") == 0) ::pause();
    }
  }
  const auto image = ringfence::inmate_fatal_image();
  return ringfence::cli::main_of(argc, argv, {registry, {image.begin(), image.end()}});
}
