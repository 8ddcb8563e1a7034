// Hooks: each at its moment, in its namespaces, and what comes of one that fails.
#include "harness/spawn/hooks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <sys/prctl.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include <nlohmann/json.hpp>

#include "harness/policy/read.h"
#include "harness/spawn/scratch.h"
#include "harness/spawn/test_run.h"

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::array kBeforeStart = {HookKind::prestart, HookKind::create_runtime,
                                     HookKind::create_container, HookKind::start_container};

Hook shell(const std::string& script, std::optional<int> timeout = 20) {
  return {"/bin/sh", {"sh", "-c", script}, {"PATH=/usr/bin:/bin"}, timeout};
}

// A directory that hooks of every kind reach by the same name, in the target as well.
struct Place : Scratch {
  Place() {
    chmod(path("").c_str(), 0777);
    // Written by several users.
    for (const char* name : {"log", "names", "args"}) {
      write(name, "");
      chmod(path(name).c_str(), 0666);
    }
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    auto text = read_file(path(name));
    return text ? *text : std::string();
  }
  [[nodiscard]] std::vector<std::string> lines(const std::string& name) const {
    std::vector<std::string> list;
    const std::string text = read(name);
    for (const auto line : split(text, '\n')) {
      if (!line.empty()) list.emplace_back(line);
    }
    return list;
  }
  // Nothing to wait for: somebody else writes it.
  [[nodiscard]] pid_t pid(const std::string& name) const {
    for (int i = 0; i < 1000; ++i) {
      const std::string text = read(name);
      if (text.ends_with('\n')) return static_cast<pid_t>(std::strtol(text.c_str(), nullptr, 10));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return 0;
  }
};

Policy with_place(Policy policy, const Place& place) {
  policy.name = place.path("config.json");
  const std::string at = place.path("");
  if (policy.root) {
    policy.mounts.push_back(test_mount(at, "bind", at, {"rbind", "nosuid"}));
  }
  return policy;
}

// Each kind says its name, and then does what `script` has.
void hook_all(Policy& policy, const Place& place, const std::string& script) {
  for (const HookKind kind : kAllHooks) {
    policy.hooks.of(kind) = {shell(fmt::format("cd {}; name={}; echo $name >> log; {}",
                                               place.path(""), hook_name(kind), script))};
  }
}

Result<Plan> compile_hooked(const Policy& policy) {
  CompileOptions options;
  options.attended = options.hooks = true;
  return compile(policy, options);
}

struct Ended {
  std::string error, key, end;
  std::vector<std::string> warnings;
  pid_t pid = 0;
};
Ended run_hooked(const Policy& policy, const std::string& script) {
  Ended ended;
  auto plan = compile_hooked(policy);
  if (!plan) {
    ended.error = plan.error().describe();
    return ended;
  }
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", script};
  request.env = {"PATH=/usr/bin:/bin"};
  request.warn = [&](const Error& error) { ended.warnings.push_back(error.describe()); };
  SpawnFailure failure;
  auto child = spawn(request, &failure);
  if (!child) {
    ended.error = child.error().describe();
    ended.key = failure.key;
    return ended;
  }
  ended.pid = child->pid();
  auto end = child->wait(std::chrono::seconds(30));
  if (end && *end) ended.end = (*end)->describe();
  return ended;
}

bool gone(pid_t pid) {
  for (int i = 0; i < 500; ++i) {
    if (kill(pid, 0) != 0) return true;
    // Dead is as good: its new parent may take its time.
    auto status = read_file(fmt::format("/proc/{}/status", pid));
    if (!status || status->find("State:\tZ") != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

// Fast and apart, and under a filter that answers clone3 with ENOSYS.
std::vector<Policy> containers() {
  Policy apart = strict_policy();
  Policy fast = apart;
  std::erase_if(fast.namespaces, [](const Namespace& n) { return n.kind == Ns::time; });
  fast.time_offsets.clear();
  Policy filtered = fast;
  filtered.seccomp = profile("docker-default")->seccomp;
  return {apart, fast, filtered};
}

TEST(SpawnHooks, EachInItsNamespacesInOrder) {
  const std::string look =
      "for n in mnt pid net uts ipc user; do readlink /proc/self/ns/$n; done > $name.ns; "
      "grep -E '^(Seccomp|NoNewPrivs|CapEff|Uid):' /proc/self/status > $name.status; "
      "if [ -d /etc ]; then echo host > $name.root; fi";
  for (Policy policy : containers()) {
    const Place place;
    policy = with_place(policy, place);
    hook_all(policy, place, look);
    const Ended ended =
        run_hooked(policy, fmt::format("cd {}; name=program; {}", place.path(""), look));
    ASSERT_EQ(ended.error, "");
    EXPECT_EQ(ended.end, "exit 0");
    EXPECT_THAT(ended.warnings, IsEmpty());
    EXPECT_THAT(place.lines("log"), ElementsAre("prestart", "createRuntime", "createContainer",
                                                "startContainer", "poststart", "poststop"));
    std::vector<std::string> ours;
    for (const char* ns : {"mnt", "pid", "net", "uts", "ipc", "user"}) {
      ours.push_back(std::filesystem::read_symlink(fmt::format("/proc/self/ns/{}", ns)).string());
    }
    for (const char* name : {"prestart", "createRuntime", "poststart", "poststop"}) {
      EXPECT_EQ(place.lines(fmt::format("{}.ns", name)), ours) << name;
      EXPECT_EQ(place.read(fmt::format("{}.root", name)), "host\n") << name;
    }
    const auto inside = place.lines("program.ns");
    ASSERT_EQ(inside.size(), ours.size());
    EXPECT_NE(inside[0], ours[0]);
    EXPECT_EQ(place.lines("createContainer.ns"), inside);
    EXPECT_EQ(place.lines("startContainer.ns"), inside);
    // Before the root changes the host's files are there, and afterwards they are not.
    EXPECT_EQ(place.read("createContainer.root"), "host\n");
    EXPECT_EQ(place.read("startContainer.root"), "");
    EXPECT_THAT(place.read("createContainer.status"), HasSubstr("Seccomp:\t0"));
    EXPECT_EQ(place.read("startContainer.status"), place.read("program.status"));
    EXPECT_THAT(place.read("startContainer.status"), HasSubstr("Seccomp:\t2"));
    EXPECT_THAT(place.read("startContainer.status"), HasSubstr("NoNewPrivs:\t1"));
    EXPECT_THAT(place.read("startContainer.status"), HasSubstr("CapEff:\t0000000000000000"));
    EXPECT_THAT(place.read("startContainer.status"), HasSubstr("Uid:\t1000"));
    EXPECT_TRUE(childless());
  }
}

TEST(SpawnHooks, AreToldTheState) {
  const Place place;
  Policy policy = with_place(containers()[1], place);
  policy.annotations["a"] = "b";
  hook_all(policy, place,
           "cat > $name.json; if echo x >> /proc/self/fd/0; then echo $name >> open; fi 2>&-");
  const Ended ended = run_hooked(policy, "true");
  ASSERT_EQ(ended.error, "");
  const std::map<HookKind, const char*> kStatus = {
      {HookKind::prestart, "creating"},         {HookKind::create_runtime, "creating"},
      {HookKind::create_container, "creating"}, {HookKind::start_container, "created"},
      {HookKind::poststart, "running"},         {HookKind::poststop, "stopped"}};
  for (const auto& [kind, status] : kStatus) {
    const std::string name(hook_name(kind));
    const auto state = nlohmann::json::parse(place.read(name + ".json"), nullptr, false);
    ASSERT_TRUE(state.is_object()) << name << ": " << place.read(name + ".json");
    EXPECT_EQ(state["ociVersion"], policy.oci_version);
    EXPECT_EQ(state["id"], fmt::format("ringfence-{}", ended.pid));
    EXPECT_EQ(state["status"], status) << name;
    EXPECT_EQ(state["bundle"].get<std::string>() + "/", place.path(""));
    EXPECT_EQ(state["annotations"], nlohmann::json({{"a", "b"}}));
    if (kind == HookKind::poststop) {
      EXPECT_FALSE(state.contains("pid"));
    } else {
      const bool inside = kind == HookKind::create_container || kind == HookKind::start_container;
      EXPECT_EQ(state["pid"], inside ? 1 : ended.pid) << name;
    }
  }
  EXPECT_EQ(place.read("open"), "");  // nobody changes what the others are told
}

TEST(SpawnHooks, ArgumentsAndEnvironmentAreThoseGiven) {
  const Place place;
  place.write(
      "hook",
      "#!/bin/sh\ncd ${0%/*}; echo \"$0\" >> names; cat < /proc/self/environ >> names; echo >> "
      "names\n");
  chmod(place.path("hook").c_str(), 0755);
  Policy policy = with_place(containers()[1], place);
  std::erase_if(policy.mounts, [](const Mount& m) { return m.destination == "/tmp"; });
  policy.cwd = "/";
  for (const HookKind kind : kAllHooks) {
    policy.hooks.of(kind) = {{place.path("hook"), {}, {"K=v w"}, 20},
                             shell(fmt::format("echo $0 $1 >> {}/args", place.path("")))};
    policy.hooks.of(kind)[1].args = {"/bin/sh", "-c", policy.hooks.of(kind)[1].args[2], "zero",
                                     "one"};
  }
  const Ended ended = run_hooked(policy, "true");
  ASSERT_EQ(ended.error, "");
  EXPECT_THAT(ended.warnings, IsEmpty());
  const auto names = place.lines("names");
  ASSERT_EQ(names.size(), 2 * kAllHooks.size());
  for (size_t i = 0; i < names.size(); i += 2) {
    EXPECT_EQ(names[i], place.path("hook"));
    EXPECT_EQ(names[i + 1], std::string("K=v w") + '\0');
  }
  EXPECT_EQ(place.lines("args"), std::vector<std::string>(kAllHooks.size(), "zero one"));
}

// createContainer's path is one of the spawner's also where the new root is put together.
TEST(SpawnHooks, APathThatTheNewRootCovers) {
  const Place place;
  const std::string hook = fmt::format("/tmp/ringfence-hook-{}", getpid());
  {
    std::ofstream(hook) << "#!/bin/sh\necho there >> " << place.path("log") << '\n';
    chmod(hook.c_str(), 0755);
  }
  Policy policy = with_place(containers()[1], place);
  policy.hooks.of(HookKind::create_container) = {{hook, {}, {}, 20}};
  const Ended ended = run_hooked(policy, "true");
  unlink(hook.c_str());
  EXPECT_EQ(ended.error, "");
  EXPECT_EQ(place.read("log"), "there\n");
}

TEST(SpawnHooks, AProgramThatAnEarlierHookMakes) {
  const Place place;
  Policy policy = with_place(containers()[1], place);
  const std::string made = place.path("made");
  policy.hooks.of(HookKind::prestart) = {shell(fmt::format(
      "printf '#!/bin/sh\\necho made > {}\\n' > {}; chmod 755 {}", place.path("log"), made, made))};
  policy.hooks.of(HookKind::create_container) = {{made, {}, {}, 20}};
  EXPECT_EQ(run_hooked(policy, "true").error, "");
  EXPECT_EQ(place.read("log"), "made\n");
}

TEST(SpawnHooks, OneThatFailsLetsNothingStart) {
  for (const HookKind kind : kBeforeStart) {
    const Place place;
    Policy policy = with_place(containers()[1], place);
    hook_all(policy, place, "true");
    policy.hooks.of(kind).push_back(shell("echo first >&2; echo 'no such bridge' >&2; exit 3"));
    policy.hooks.of(kind).push_back(shell(fmt::format("echo no >> {}/log", place.path(""))));
    const std::string name(hook_name(kind));
    const size_t before = open_descriptors();
    const Ended ended = run_hooked(policy, fmt::format("echo program >> {}/log", place.path("")));
    EXPECT_EQ(ended.error, fmt::format("hook /hooks/{}/1: /bin/sh: exit 3: no such bridge", name));
    EXPECT_EQ(ended.key, fmt::format("hook.{}:1", name));
    std::vector<std::string> expected;
    for (const HookKind earlier : kBeforeStart) {
      if (earlier <= kind) expected.emplace_back(hook_name(earlier));
    }
    expected.emplace_back("poststop");
    EXPECT_EQ(place.lines("log"), expected);
    EXPECT_TRUE(childless());
    EXPECT_EQ(open_descriptors(), before);
  }
}

TEST(SpawnHooks, OneThatTakesTooLongEndsWithItsGroup) {
  for (const HookKind kind : kBeforeStart) {
    const Place place;
    Policy policy = with_place(open_policy(), place);
    policy.namespaces = {{Ns::mnt, ""}};
    hook_all(policy, place, "true");
    policy.hooks.of(kind) = {
        shell(fmt::format("cd {}; sleep 60 & echo $! > other; echo $$ > self; echo slow >&2; wait",
                          place.path("")),
              1)};
    const auto began = std::chrono::steady_clock::now();
    const Ended ended = run_hooked(policy, fmt::format("echo program >> {}/log", place.path("")));
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
    EXPECT_EQ(ended.error, fmt::format("hook /hooks/{}/0: /bin/sh: ended, not done after 1 s: slow",
                                       hook_name(kind)));
    EXPECT_TRUE(gone(place.pid("self"))) << hook_name(kind);
    EXPECT_TRUE(gone(place.pid("other"))) << hook_name(kind);
    EXPECT_THAT(place.read("log"), HasSubstr("poststop"));
    EXPECT_THAT(place.read("log"), Not(HasSubstr("program")));
    EXPECT_TRUE(childless());
  }
}

TEST(SpawnHooks, AMissingProgram) {
  for (const HookKind kind : kBeforeStart) {
    const Place place;
    Policy policy = with_place(containers()[1], place);
    policy.hooks.of(kind) = {{"/not/there", {}, {}, {}}};
    const std::string error = run_hooked(policy, "true").error;
    EXPECT_THAT(error, HasSubstr(fmt::format("hook /hooks/{}/0", hook_name(kind))));
    EXPECT_THAT(error, HasSubstr("/not/there"));
    EXPECT_THAT(error, HasSubstr("ENOENT"));
    EXPECT_TRUE(childless());
  }
}

TEST(SpawnHooks, AfterTheStartAFailureIsAWarning) {
  const Place place;
  Policy policy = with_place(containers()[1], place);
  for (const HookKind kind : {HookKind::poststart, HookKind::poststop}) {
    policy.hooks.of(kind) = {shell("echo oh >&2; exit 4"),
                             {"/not/there", {}, {}, {}},
                             shell("kill -9 $$"),
                             shell("sleep 60", 1),
                             shell(fmt::format("echo last >> {}/log", place.path("")))};
  }
  const Ended ended = run_hooked(policy, "exit 7");
  EXPECT_EQ(ended.error, "");
  EXPECT_EQ(ended.end, "exit 7");
  ASSERT_EQ(ended.warnings.size(), 8U);
  EXPECT_EQ(ended.warnings[0], "hook /hooks/poststart/0: /bin/sh: exit 4: oh");
  EXPECT_THAT(ended.warnings[1], HasSubstr("ENOENT"));
  EXPECT_EQ(ended.warnings[6], "hook /hooks/poststop/2: /bin/sh: killed by SIGKILL");
  EXPECT_EQ(ended.warnings[7], "hook /hooks/poststop/3: /bin/sh: ended, not done after 1 s");
  EXPECT_THAT(place.lines("log"), ElementsAre("last", "last"));
  EXPECT_TRUE(childless());
}

// Also of a target that is not waited for.
TEST(SpawnHooks, PoststopRunsOnceHoweverTheTargetEnds) {
  const Place place;
  Policy policy = with_place(open_policy(), place);
  policy.hooks.of(HookKind::poststop) = {shell(fmt::format("echo stop >> {}/log", place.path("")))};
  auto plan = compile_hooked(policy);
  ASSERT_TRUE(plan) << plan.error().describe();
  SpawnRequest request;
  request.plan = &*plan;
  request.exe_path = "/bin/sh";
  request.args = {"sh", "-c", "sleep 60"};
  {
    auto child = spawn(request);
    ASSERT_TRUE(child) << child.error().describe();
    Child moved = std::move(*child);
    EXPECT_EQ(place.read("log"), "");
  }
  EXPECT_EQ(place.read("log"), "stop\n");
  // A program that cannot be had: there was a target all the same.
  request.exe_path = "/not/there";
  EXPECT_FALSE(spawn(request));
  EXPECT_EQ(place.read("log"), "stop\nstop\n");
}

TEST(SpawnHooks, NobodyAskedNobodyRuns) {
  const Place place;
  Policy policy = with_place(containers()[1], place);
  hook_all(policy, place, "true");
  for (const bool attended : {false, true}) {
    CompileOptions options;
    options.attended = attended;
    options.hooks = !attended;
    auto plan = compile(policy, options);
    ASSERT_TRUE(plan);
    EXPECT_FALSE(plan->hooks);
    EXPECT_EQ(print_plan(*plan, true).find("hook"), std::string::npos);
    EXPECT_EQ(run(*plan, "true").end, "exit 0");
  }
  EXPECT_EQ(place.read("log"), "");
}

TEST(SpawnHooks, APlanListsThem) {
  const Place place;
  Policy policy = containers()[1];
  hook_all(policy, place, "true");
  auto plan = compile_hooked(policy);
  ASSERT_TRUE(plan);
  std::vector<std::string> keys;
  for (const Step& step : plan->steps) {
    if (step.key.starts_with("hook") || step.key == "mount.root" || step.key == "seccomp") {
      keys.push_back(step.key);
    }
  }
  EXPECT_THAT(keys, ElementsAre("hook.prestart:0", "hook.createRuntime:0", "hooks.wait",
                                "hook.createContainer:0", "mount.root", "seccomp",
                                "hook.startContainer:0", "hook.poststart:0", "hook.poststop:0"));
  EXPECT_THAT(print_plan(*plan, true), HasSubstr("run /bin/sh in the target's namespaces"));
}

TEST(SpawnHooks, AFilterThatForbidsThemIsRefused) {
  const Place place;
  Policy policy = with_place(containers()[1], place);
  policy.seccomp->rules.push_back({{"dup3"}, SeccompAction::kill_process, {}, {}});
  policy.hooks.of(HookKind::create_container) = {shell("true")};
  EXPECT_EQ(run_hooked(policy, "true").error, "");
  policy.hooks.of(HookKind::start_container) = {shell("true")};
  auto plan = compile_hooked(policy);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, Error::Kind::usage);
  EXPECT_THAT(plan.error().describe(), HasSubstr("/hooks/startContainer"));
  EXPECT_THAT(plan.error().describe(), HasSubstr("dup3"));
}

// A hook's calls are notified as the program's are.
TEST(SpawnHooks, UnderAFilterThatAsks) {
  const Place place;
  Policy policy = with_place(open_policy(), place);
  policy.seccomp = Seccomp{};
  policy.seccomp->default_action = SeccompAction::allow;
  policy.seccomp->rules = {{{"mkdir", "mkdirat"}, SeccompAction::notify, {}, {}},
                           {{"execve"}, SeccompAction::notify, {}, {}}};
  policy.seccomp->answers = {{{"mkdir", "mkdirat"}, NotifyAnswer::How::refuse, EXDEV},
                             {{"execve"}, NotifyAnswer::How::proceed, 0}};
  policy.hooks.of(HookKind::start_container) = {
      shell(fmt::format("mkdir {}/made 2>&1 | cat >&2; exit 1", place.path("")))};
  EXPECT_THAT(run_hooked(policy, "true").error, HasSubstr("Invalid cross-device link"));
}

TEST(SpawnHooks, EveryWayIn) {
  const Place place;
  Policy policy = with_place(containers()[0], place);
  hook_all(policy, place, "cat > $name.json");
  CompileOptions options;
  options.attended = options.hooks = true;
  options.entry = Entry::unshare;
  auto plan = compile(policy, options);
  ASSERT_TRUE(plan) << plan.error().describe();
  const Ran ran = run(*plan, "true");
  EXPECT_EQ(ran.error, "");
  EXPECT_EQ(place.lines("log").size(), kAllHooks.size());
  EXPECT_EQ(nlohmann::json::parse(place.read("startContainer.json"), nullptr, false)["pid"], 1);
}

TEST(SpawnHooks, WithoutPrivilege) {
  const Place place;
  Policy policy = with_place(open_policy(), place);
  policy.namespaces = {{Ns::user, ""}, {Ns::mnt, ""}, {Ns::pid, ""}};
  policy.uid_mappings = policy.gid_mappings = {{0, 4242, 1}};
  hook_all(policy, place, "id -u > $name.id");
  const pid_t pid = fork();
  if (pid == 0) {
    if (setgroups(0, nullptr) != 0 || setresgid(4242, 4242, 4242) != 0 ||
        setresuid(4242, 4242, 4242) != 0) {
      _exit(77);
    }
    prctl(PR_SET_DUMPABLE, 1);
    const Ended ended = run_hooked(policy, "true");
    if (ended.end == "exit 0" && ended.warnings.empty()) _exit(0);
    std::fprintf(stderr, "%s\n", ended.error.c_str());
    _exit(ended.error.find("clone3") != std::string::npos ? 77 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "host-lacks:userns";
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(place.lines("log").size(), kAllHooks.size());
  EXPECT_EQ(place.read("prestart.id"), "4242\n");
  EXPECT_EQ(place.read("createContainer.id"), "0\n");
}

// Whoever spawns is killed in the middle of a hook.
TEST(SpawnHooks, ASpawnerThatIsKilledLeavesNone) {
  for (const HookKind kind : kBeforeStart) {
    const Place place;
    Policy policy = with_place(open_policy(), place);
    policy.hooks.of(kind) = {
        shell(fmt::format("echo $$ > {}/self; exec sleep 60", place.path("")), {})};
    const pid_t spawner = fork();
    if (spawner == 0) {
      run_hooked(policy, "true");
      _exit(0);
    }
    const pid_t hook = place.pid("self");
    EXPECT_GT(hook, 0);
    kill(spawner, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(spawner, &status, 0), spawner);
    EXPECT_TRUE(gone(hook)) << hook_name(kind);
  }
}

TEST(SpawnHooks, ATargetThatIsKilledLeavesNone) {
  for (const HookKind kind : kBeforeStart) {
    const Place place;
    Policy policy = with_place(open_policy(), place);
    policy.hooks.of(HookKind::prestart) = {shell(fmt::format(
        "sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' > {0}/t; echo >> {0}/t; mv {0}/t {0}/target",
        place.path("")))};
    policy.hooks.of(kind).push_back(
        shell(fmt::format("echo $$ > {}/self; exec sleep 60", place.path("")), {}));
    policy.hooks.of(HookKind::poststop) = {
        shell(fmt::format("echo stop > {}/log", place.path("")))};
    pid_t hook = 0;
    std::thread killer([&] {
      hook = place.pid("self");
      const pid_t target = place.pid("target");
      if (target > 1) kill(target, SIGKILL);
    });
    const Ended ended = run_hooked(policy, "true");
    killer.join();
    EXPECT_THAT(ended.error, Not(IsEmpty()));
    EXPECT_TRUE(gone(hook)) << hook_name(kind);
    EXPECT_EQ(place.read("log"), "stop\n");
    EXPECT_TRUE(childless());
  }
}

// The signals that this library blocks meanwhile, and descriptors of others, are no business of a
// hook.
TEST(SpawnHooks, StartsAsTheSpawnerWouldStartIt) {
  const Place place;
  Policy policy = with_place(containers()[1], place);
  hook_all(policy, place, "ls /proc/self/fd | tr '\\n' ' ' > $name.fds");
  for (const HookKind kind : kAllHooks) {
    // A shell would clear its mask.
    policy.hooks.of(kind).push_back(
        {"/bin/cp",
         {"cp", "/proc/self/status", place.path(fmt::format("{}.status", hook_name(kind)))},
         {},
         20});
  }
  const UniqueFd open(::open("/dev/null", O_RDONLY));  // without CLOEXEC
  ASSERT_TRUE(open);
  const Ended ended = run_hooked(policy, "true");
  ASSERT_EQ(ended.error, "");
  EXPECT_THAT(ended.warnings, IsEmpty());
  for (const HookKind kind : kAllHooks) {
    const std::string name(hook_name(kind));
    EXPECT_THAT(place.read(name + ".status"), HasSubstr("SigBlk:\t0000000000000000")) << name;
    EXPECT_THAT(place.read(name + ".status"), HasSubstr("SigIgn:\t0000000000000000")) << name;
    EXPECT_EQ(place.read(name + ".fds"), "0 1 2 3 ") << name;  // the last is what ls lists
  }
}

}  // namespace
}  // namespace ringfence
