// ringfence policy, plan and spawn
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>

#include <CLI/CLI.hpp>

#include "harness/cli/commands.h"
#include "harness/cli/load.h"
#include "harness/cli/relay.h"
#include "harness/policy/read.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/spawn/spawn.h"

namespace ringfence::cli {
namespace {

constexpr std::string_view kHooks = "/hooks";

// What was read and is not carried out is never passed over in silence.
void warn_of_unenforced(const std::string& name, const Policy& policy) {
  for (const Unenforced& u : policy.unenforced) {
    fmt::print(stderr, "ringfence: warning: {}: {}: read, not carried out{}\n", name, u.pointer,
               u.pointer == kHooks ? " (--hooks runs them)" : "");
  }
}

int show(const std::string& name) {
  auto loaded = load_policy(name);
  if (!loaded) return complain(loaded.error());
  print(write_oci_policy(loaded->policy));
  return 0;
}

int check(const std::string& name) {
  auto read = load_policy(name);
  if (!read) return complain(read.error());
  for (const Warning& w : read->warnings) {
    print(fmt::format("warning: {}: {}: {}\n", w.file, w.pointer, w.text));
  }
  for (const Unenforced& u : read->policy.unenforced) {
    print(fmt::format("unenforced: {}: {}: read, not carried out{}\n", name, u.pointer,
                      u.pointer == kHooks ? " (spawn --hooks runs them)" : ""));
  }
  auto plan = compile(read->policy);
  if (!plan) return complain(plan.error());
  print(fmt::format("{}: a valid policy, {} steps\n", name, plan->steps.size()));
  return 0;
}

// As `spawn` carries it out.
Result<Plan> plan_of(const Loaded& loaded, bool hooks) {
  CompileOptions options;
  options.hooks = hooks;
  options.rootfs = loaded.rootfs;
  options.attended = true;
  return compile(loaded.policy, options);
}

struct PlanArguments {
  std::string policy, rootfs;
  bool syscalls = false;
  bool hooks = false;
};

int plan_command(const PlanArguments& args) {
  auto loaded = load(args.policy, args.rootfs);
  if (!loaded) return complain(loaded.error());
  auto plan = plan_of(*loaded, args.hooks);
  if (!plan) return complain(plan.error());
  print(print_plan(*plan, args.syscalls));
  return 0;
}

struct SpawnArguments {
  std::string policy = "docker-default";
  std::string rootfs;
  bool hooks = false;
  std::vector<std::string> command;
};

Result<CgroupLeaf> group_of(const Plan& plan, std::vector<Step::Setting> settings) {
  const CgroupLayout layout = CgroupLayout::probe();
  auto root = CgroupRoot::create(layout);
  if (!root) return tl::unexpected(root.error());
  // Without v2 a group that limits nothing stands in a hierarchy all the same.
  if (settings.empty() && layout.offers("pids")) settings.push_back({"pids"});
  return CgroupLeaf::create(*root, settings, "spawn", plan.cgroups_path);
}

int spawn_command(const SpawnArguments& args) {
  auto loaded = load(args.policy, args.rootfs);
  if (!loaded) return complain(loaded.error());
  // Here somebody runs a program for its own sake, and it takes them along.
  std::erase_if(loaded->policy.unenforced, [&](const Unenforced& u) {
    return u.pointer == "/linux/netDevices" || (args.hooks && u.pointer == kHooks);
  });
  warn_of_unenforced(args.policy, loaded->policy);
  if (auto swept = sweep_cgroups(CgroupLayout::probe()); swept && *swept > 0) {
    fmt::print(stderr, "ringfence: {}\n", swept_text(*swept));
  }
  const bool sized = loaded->policy.console_size.has_value();
  if (loaded->policy.terminal && !sized) loaded->policy.console_size = own_size();
  auto plan = plan_of(*loaded, args.hooks);
  if (!plan) return complain(plan.error());

  std::optional<CgroupLeaf> leaf;
  if (const auto settings = plan->settings(); !settings.empty() || !plan->cgroups_path.empty()) {
    auto made = group_of(*plan, settings);
    if (!made && !settings.empty()) return complain(made.error());
    if (made) {
      leaf = std::move(*made);
    } else {  // a name alone, which limits nothing
      fmt::print(stderr, "ringfence: warning: {}: /linux/cgroupsPath: {}\n", args.policy,
                 made.error().describe());
    }
  }
  if (leaf) {
    for (const auto& pointer : leaf->left_out()) {
      fmt::print(stderr, "ringfence: warning: {}: {}: no group of this host has it\n", args.policy,
                 pointer);
    }
  }

  SpawnRequest request;
  request.plan = &*plan;
  request.args = args.command;
  request.exe_path = args.command[0];
  request.env = loaded->policy.env;
  if (request.env.empty()) {
    for (char** entry = environ; *entry != nullptr; ++entry) request.env.emplace_back(*entry);
  }
  if (plan->terminal == Plan::Terminal::none) request.fds = {{0, 0}, {1, 1}, {2, 2}};
  request.cgroup = leaf ? &*leaf : nullptr;
  request.warn = [](const Error& error) {
    fmt::print(stderr, "ringfence: warning: {}\n", error.describe());
  };
  SpawnFailure failure;
  auto child = spawn(request, &failure);
  if (!child) {
    Error error = child.error();
    if (failure.key == "exec" && failure.err == ENOENT && loaded->rootfs.empty() &&
        loaded->policy.root) {
      error.hint = "the default root is an empty tmpfs; give it one with --rootfs DIR";
    }
    return complain(error);
  }
  // Ctrl-C belongs to the program; its end is ours.
  signal(SIGINT, SIG_IGN);
  if (child->terminal() >= 0) {
    if (auto done = relay(*child, sized); !done) {
      return complain(done.error());
    }
  }
  auto status = child->wait();
  if (!status) return complain(status.error());
  constexpr int kSignalBase = 128;  // as shells do
  return (*status)->signaled ? kSignalBase + (*status)->code : (*status)->code;
}

}  // namespace

void add_policy(CLI::App& app, Action& action) {
  CLI::App* policy = app.add_subcommand("policy", "Show or check a policy");
  policy->require_subcommand(1);
  auto name = std::make_shared<std::string>();
  CLI::App* shows = policy->add_subcommand("show", "Write it as an OCI config.json");
  shows->add_option("policy", *name, "A built-in profile or a config.json")
      ->type_name("NAME|FILE")
      ->required();
  shows->callback([name, &action] { action = [name] { return show(*name); }; });
  CLI::App* checks = policy->add_subcommand("check", "Read it and say what is wrong or not done");
  checks->add_option("policy", *name, "A built-in profile or a config.json")
      ->type_name("NAME|FILE")
      ->required();
  checks->callback([name, &action] { action = [name] { return check(*name); }; });
  CLI::App* lists = policy->add_subcommand("list", "The built-in profiles");
  lists->callback([&action] {
    action = [] {
      for (const Profile& p : profiles()) print(fmt::format("{:<16} {}\n", p.name, p.title));
      return 0;
    };
  });
}

void add_plan(CLI::App& app, Action& action) {
  auto args = std::make_shared<PlanArguments>();
  CLI::App* plan = app.add_subcommand("plan", "Print the steps that carry a policy out");
  plan->add_option("policy", args->policy, "A built-in profile or a config.json")
      ->type_name("FILE|NAME")
      ->required();
  plan->add_option("--rootfs", args->rootfs, "Directory to use as root")->type_name("DIR");
  plan->add_flag("--syscalls", args->syscalls, "With the system calls of each step");
  plan->add_flag("--hooks", args->hooks, "With the policy's hooks, as spawn --hooks runs them");
  plan->callback([args, &action] { action = [args] { return plan_command(*args); }; });
}

void add_spawn(CLI::App& app, Action& action) {
  auto args = std::make_shared<SpawnArguments>();
  CLI::App* spawn = app.add_subcommand("spawn", "Run one program under a policy");
  spawn->add_option("--policy", args->policy, "A config.json or a built-in profile")
      ->type_name("FILE|NAME")
      ->capture_default_str();
  spawn->add_option("--rootfs", args->rootfs, "Directory to use as root")->type_name("DIR");
  spawn->add_flag("--hooks", args->hooks,
                  "Run the policy's hooks: programs that its writer chose, with your rights");
  spawn->add_option("command", args->command, "The program and its arguments, after --")
      ->type_name("CMD...")
      ->required();
  spawn->callback([args, &action] { action = [args] { return spawn_command(*args); }; });
}

}  // namespace ringfence::cli
