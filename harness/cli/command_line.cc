// ringfence: the command line.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include "harness/base/suggest.h"
#include "harness/base/sys.h"
#include "harness/cli/commands.h"
#include "harness/kernels/agent.h"

namespace ringfence::cli {

int complain(const Error& error) {
  fmt::print(stderr, "ringfence: {}\n", error.describe());
  return error.kind == Error::Kind::usage ? kExitUsage : kExitFailed;
}

void print(std::string_view text) {
  // A reader that went away (ringfence list | head) is no failure of ours.
  (void)sys::write_full(STDOUT_FILENO, text.data(), text.size());
}

namespace {

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

const CLI::App& deepest(const CLI::App& app) {
  const auto subcommands = app.get_subcommands();
  return subcommands.empty() ? app : deepest(*subcommands.front());
}

// One line: what is wrong, and the nearest word where one is unknown.
int report(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& at = deepest(app);
  std::string text = error.what();
  const auto extras = at.remaining();
  if (!extras.empty()) {
    const std::string word = extras.front().substr(0, extras.front().find('='));
    const bool option = word.starts_with('-');
    std::vector<std::string> known = option_names(at);
    if (!option) {
      known.clear();
      for (const CLI::App* sub : at.get_subcommands([](const CLI::App*) { return true; })) {
        known.push_back(sub->get_name());
      }
    }
    const std::string near = nearest(word, known);
    text = fmt::format("unknown {} '{}'", option ? "option" : "command", word);
    if (!near.empty()) text += fmt::format("; did you mean '{}'?", near);
  }
  std::string command;
  for (const CLI::App* a = &at; a != &app; a = a->get_parent()) {
    command.insert(0, " " + a->get_name());
  }
  fmt::print(stderr, "ringfence{}: {} ('ringfence{} --help' says what is allowed)\n", command, text,
             command);
  return kExitUsage;
}

int run_main(int argc, char** argv, const Program& program) {
  CLI::App app{
      "ringfence: does the sandbox hold? Attacks targets under a policy, with a control "
      "beside every denial, and asks the kernel what happened.",
      "ringfence"};
  app.set_version_flag("--version", std::string("ringfence ") + RINGFENCE_VERSION);
  app.require_subcommand(1);
  Action action;
  add_run(app, action, program);
  add_list(app, action);
  add_doctor(app, action);
  add_explain(app, action);
  add_diff(app, action);
  add_policy(app, action);
  add_plan(app, action);
  add_spawn(app, action);
  add_trace(app, action);
  add_kernels(app, action, program);
  add_vm(app, action);
  add_completion(app, action);
  // After the commands, which would inherit it.
  app.footer(
      "Examples:\n"
      "  ringfence doctor                             what can be tested here?\n"
      "  ringfence run                                do the kernel's primitives hold?\n"
      "  ringfence run --policy config.json           does this sandbox hold?\n"
      "  ringfence run 'seccomp.*' --report jsonl=r.jsonl\n"
      "  ringfence explain r.jsonl seccomp.io_uring   why this verdict?\n"
      "  ringfence trace -- runc run web              why does my container get EPERM?\n"
      "  ringfence trace --probe my.bpf.o -- CMD      what does a BPF program of mine see in "
      "it?\n\n"
      "'ringfence COMMAND --help' has the options and exit codes of each.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    return report(app, error);
  }
  return action ? action() : kExitUsage;
}

}  // namespace

int main_of(int argc, char** argv, const Program& program) {
  try {
    // In a machine that this program was packed into.
    if (is_agent(argv[0])) agent_main();
    if (is_modprobe(argv[0])) return modprobe_main(argc, argv);
    return run_main(argc, argv, program);
  } catch (const std::exception& error) {
    // None of ours: memory is out, or a library threw where nobody expects it.
    (void)std::fprintf(stderr, "ringfence: %s\n", error.what());
  } catch (...) {
    (void)std::fputs("ringfence: an exception of unknown type\n", stderr);
  }
  return kExitFailed;
}

}  // namespace ringfence::cli
