// ringfence completion: scripts for bash, zsh and fish, made from the commands themselves, so that
// they can never disagree with them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "harness/cli/commands.h"
#include "harness/policy/read.h"

namespace ringfence::cli {
namespace {

std::vector<const CLI::App*> subcommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> names_of(const std::vector<const CLI::App*>& apps) {
  std::vector<std::string> names;
  names.reserve(apps.size());
  for (const CLI::App* app : apps) names.push_back(app->get_name());
  return names;
}

std::string profile_names() {
  std::vector<std::string> names;
  for (const Profile& p : profiles()) names.push_back(p.name);
  return fmt::format("{}", fmt::join(names, " "));
}

// clang-format off
// Words for the second level and the options; ids of cases come from `ringfence list --ids`.
constexpr const char* kBash = R"SH(# bash completion for ringfence; source it, or put it into
# /usr/share/bash-completion/completions/ringfence
_ringfence() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$cur"))
    return
  fi
  case "$prev" in
    --policy|show|check|plan)
      COMPREPLY=($(compgen -W "{profiles}" -- "$cur") $(compgen -f -- "$cur"))
      return ;;
    --rootfs) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --suite) COMPREPLY=($(compgen -W "default full" -- "$cur")); return ;;
    --kernel) COMPREPLY=($(compgen -W "running debian:" -- "$cur") $(compgen -f -- "$cur")); return ;;
    --vmm) COMPREPLY=($(compgen -W "auto qemu-kvm qemu-tcg" -- "$cur")); return ;;
    --console) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --expect-skips|--output|--probe) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  case "${{COMP_WORDS[1]}}" in
{words}  esac
  [ "$COMP_CWORD" -le 2 ] || case "${{COMP_WORDS[1]}}:${{COMP_WORDS[2]}}" in
{nested}  esac
  case "${{COMP_WORDS[1]}}:${{COMP_WORDS[2]}}:$cur" in
    *:-*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    run:*|list:*|kernels:run:*) COMPREPLY=($(compgen -W "$(ringfence list --ids 2>/dev/null)" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$cur") $(compgen -f -- "$cur")) ;;
  esac
}}
complete -F _ringfence ringfence
)SH";
// clang-format on

// The words after a command: its subcommands and options.
std::string words_case(const std::string& pattern, const CLI::App& command) {
  std::vector<std::string> words = names_of(subcommands(command));
  for (const CLI::Option* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) words.push_back("--" + name);
  }
  return fmt::format("    {}) words=\"{}\" ;;\n", pattern, fmt::join(words, " "));
}

std::string bash(const CLI::App& app) {
  std::string cases, nested;
  for (const CLI::App* sub : subcommands(app)) {
    cases += words_case(sub->get_name(), *sub);
    for (const CLI::App* inner : subcommands(*sub)) {
      nested += words_case(sub->get_name() + ":" + inner->get_name(), *inner);
    }
  }
  return fmt::format(kBash, fmt::arg("commands", fmt::join(names_of(subcommands(app)), " ")),
                     fmt::arg("profiles", profile_names()), fmt::arg("words", cases),
                     fmt::arg("nested", nested));
}

std::string fish(const CLI::App& app) {
  std::string text = "# fish completion for ringfence\n";
  for (const CLI::App* sub : subcommands(app)) {
    text += fmt::format("complete -c ringfence -n __fish_use_subcommand -f -a {} -d \"{}\"\n",
                        sub->get_name(), sub->get_description());
    for (const CLI::Option* option : sub->get_options()) {
      for (const auto& name : option->get_lnames()) {
        text += fmt::format(
            "complete -c ringfence -n '__fish_seen_subcommand_from {}' -l {} -d \"{}\"\n",
            sub->get_name(), name, option->get_description());
      }
    }
    for (const CLI::App* inner : subcommands(*sub)) {
      text += fmt::format(
          "complete -c ringfence -n '__fish_seen_subcommand_from {}' -f -a {} -d \"{}\"\n",
          sub->get_name(), inner->get_name(), inner->get_description());
      for (const CLI::Option* option : inner->get_options()) {
        for (const auto& name : option->get_lnames()) {
          text += fmt::format(
              "complete -c ringfence -n '__fish_seen_subcommand_from {}; and "
              "__fish_seen_subcommand_from {}' -l {} -d \"{}\"\n",
              sub->get_name(), inner->get_name(), name, option->get_description());
        }
      }
    }
  }
  text +=
      "complete -c ringfence -n '__fish_seen_subcommand_from run list' -f "
      "-a '(ringfence list --ids 2>/dev/null)'\n";
  text +=
      fmt::format("complete -c ringfence -n '__fish_seen_subcommand_from policy plan' -a '{}'\n",
                  profile_names());
  return text;
}

int completion(const CLI::App& app, const std::string& shell) {
  if (shell == "bash") {
    print(bash(app));
  } else if (shell == "zsh") {
    print("#compdef ringfence\nautoload -U +X bashcompinit && bashcompinit\n" + bash(app));
  } else {
    print(fish(app));
  }
  return 0;
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for a shell");
  command->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback(
      [shell, &app, &action] { action = [shell, &app] { return completion(app, *shell); }; });
}

}  // namespace ringfence::cli
