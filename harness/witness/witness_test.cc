// The witness on this kernel: what it sees of a process in a watched group, and of none else.
#include "harness/witness/witness.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "harness/base/file.h"
#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

constexpr int kNobody = 0x7ffffff0;  // a pid that there is not

int ask_for_nobody() { return errno_of(syscall(SYS_kill, kNobody, 0)); }

// A group, its watch and what it looks for.
struct Stage {
  explicit Stage(const std::vector<rf_want>& looked_for, const Witness& by = *shared_witness(),
                 const Witness::WatchOptions& options = {})
      : group(test_group()), wants(looked_for) {
    EXPECT_TRUE(group);
    auto watching = by.watch(id_of(*group), options);
    EXPECT_TRUE(watching) << watching.error().describe();
    watch.emplace(std::move(*watching));
    EXPECT_TRUE(watch->look_for(wants));
  }
  [[nodiscard]] int fd() const { return group->unified_fd(); }
  [[nodiscard]] KernelFacts facts() const {
    auto now = watch->facts();
    EXPECT_TRUE(now) << now.error().describe();
    return now ? *now : KernelFacts{};
  }
  // Runs `act` in a child in the group; its answer.
  int run(const Actor::Act& act, const Actor::Prepare& prepare = {}) const {
    Actor actor(fd(), 0, prepare, act);
    EXPECT_TRUE(actor.ready()) << actor.trouble();
    EXPECT_TRUE(watch->look_for(wants));
    EXPECT_EQ(actor.finish(), 0);
    return actor.said();
  }
  Result<CgroupLeaf> group;
  std::vector<rf_want> wants;
  std::optional<Watch> watch;
};

rf_want want_nobody() { return with_arg(want_call(SYS_kill), 0, kNobody, 0xffffffff); }

// --- Scope
// -----------------------------------------------------------------------------------------

TEST(Scope, OnlyWhoIsInTheGroup) {
  RINGFENCE_NEEDS_WITNESS();
  Stage stage({want_nobody()});
  ask_for_nobody();
  Actor outside(-1, 0, {}, ask_for_nobody);
  ASSERT_TRUE(outside.ready());
  outside.finish();
  Stage other({want_nobody()});
  EXPECT_EQ(other.run(ask_for_nobody), ESRCH);
  EXPECT_EQ(stage.facts().calls[0].count, 0U);
  EXPECT_EQ(stage.facts().all_calls, 0U);
  EXPECT_EQ(stage.facts().lost, 0U);
  EXPECT_TRUE(lines_of(*stage.watch).empty());
  EXPECT_EQ(other.facts().calls[0].count, 1U);
}

TEST(Scope, AGroupThatIsTakenInLater) {
  RINGFENCE_NEEDS_WITNESS();
  Stage stage({want_nobody()});
  auto further = test_group();
  ASSERT_TRUE(further);
  ASSERT_TRUE(shared_witness()->also_group(*stage.watch, id_of(*further)));
  Actor actor(further->unified_fd(), 0, {}, ask_for_nobody);
  ASSERT_TRUE(actor.ready());
  actor.finish();
  EXPECT_EQ(stage.facts().calls[0].count, 1U);
}

TEST(Scope, ChildrenThreadsAndGroupsMadeBelow) {
  RINGFENCE_NEEDS_WITNESS();
  Stage stage({want_nobody()});
  const int fd = stage.fd();
  stage.run([fd] {
    ask_for_nobody();
    std::thread(ask_for_nobody).join();
    const int pid = fork();
    if (pid == 0) {
      ask_for_nobody();
      if (mkdirat(fd, "below", 0755) != 0) _exit(1);
      const int procs = openat(fd, "below/cgroup.procs", O_WRONLY);
      if (write(procs, "0", 1) != 1) _exit(2);
      ask_for_nobody();
      const int grandchild = fork();
      if (grandchild == 0) _exit(ask_for_nobody());
      waitpid(grandchild, nullptr, 0);
      _exit(0);
    }
    waitpid(pid, nullptr, 0);
    return 0;
  });
  EXPECT_EQ(unlinkat(fd, "below", AT_REMOVEDIR), 0);
  const auto facts = stage.facts();
  EXPECT_EQ(facts.calls[0].count, 5U);
  EXPECT_EQ(facts.tasks, 3U);
  EXPECT_EQ(facts.lost, 0U) << facts.lost_what;
  const auto story = lines_of(*stage.watch);
  EXPECT_TRUE(std::any_of(story.begin(), story.end(), [](const StoryLine& line) {
    return line.text.starts_with("makes the group") && line.text.ends_with("/below");
  }));
}

// What is 0 inside is somebody else outside.
TEST(Scope, TheUserIsTheOneOutside) {
  RINGFENCE_NEEDS_WITNESS();
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  Stage stage({want_nobody()});
  Actor actor(
      stage.fd(), 0,
      [] {
        return setgid(54321) == 0 && setuid(54321) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0 &&
               unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/setgroups", "deny") &&
               write_file("/proc/self/uid_map", "0 54321 1") && getuid() == 0;
      },
      ask_for_nobody);
  ASSERT_TRUE(actor.ready()) << actor.trouble();
  ASSERT_EQ(actor.finish(), 0);
  const auto story = lines_of(*stage.watch);
  const auto asked = std::find_if(story.begin(), story.end(), [](const StoryLine& line) {
    return line.is_call && line.call.nr == SYS_kill;
  });
  ASSERT_NE(asked, story.end());
  EXPECT_EQ(asked->uid, 54321U);
  EXPECT_EQ(story.front().uid, 0U);
}

TEST(Scope, WhoLeavesIsCountedAndNoLongerSeen) {
  RINGFENCE_NEEDS_WITNESS();
  Stage stage({want_nobody()});
  auto away = test_group();
  ASSERT_TRUE(away);
  const int fd = away->unified_fd();
  stage.run([fd] {
    ask_for_nobody();
    const int procs = openat(fd, "cgroup.procs", O_WRONLY);
    if (write(procs, "0", 1) != 1) return errno;
    return ask_for_nobody();
  });
  const auto facts = stage.facts();
  EXPECT_EQ(facts.calls[0].count, 1U);
  EXPECT_EQ(facts.lost, 1U);
  EXPECT_THAT(facts.lost_what, HasSubstr("1 tasks that left the watched group"));
}

TEST(Scope, AProcessAndWhatItForks) {
  RINGFENCE_NEEDS_WITNESS();
  Actor actor(-1, 0, {}, [] {
    ask_for_nobody();
    const int pid = fork();
    if (pid == 0) _exit(ask_for_nobody());
    waitpid(pid, nullptr, 0);
    return 0;
  });
  Actor bystander(-1, 0, {}, ask_for_nobody);
  ASSERT_TRUE(actor.ready() && bystander.ready());
  usleep(50000);  // it is in read(2): that one is not seen to begin
  auto watch = shared_witness()->watch_process(actor.pid(), {});
  ASSERT_TRUE(watch) << watch.error().describe();
  const rf_want wants[] = {want_nobody()};
  ASSERT_TRUE(watch->look_for(wants));
  actor.finish();
  bystander.finish();
  auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->calls[0].count, 2U);
  EXPECT_EQ(facts->tasks, 1U);
}

TEST(Scope, APidNamespace) {
  RINGFENCE_NEEDS_WITNESS();
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  Actor actor(-1, CLONE_NEWPID, {}, [] {
    ask_for_nobody();
    const int pid = fork();
    if (pid == 0) _exit(ask_for_nobody());
    waitpid(pid, nullptr, 0);
    return 0;
  });
  ASSERT_TRUE(actor.ready());
  struct stat st {};
  ASSERT_EQ(stat(("/proc/" + std::to_string(actor.pid()) + "/ns/pid").c_str(), &st), 0);
  auto watch = shared_witness()->watch_pidns(static_cast<uint32_t>(st.st_ino), {});
  ASSERT_TRUE(watch) << watch.error().describe();
  const rf_want wants[] = {want_nobody()};
  ASSERT_TRUE(watch->look_for(wants));
  ask_for_nobody();
  actor.finish();
  auto facts = watch->facts();
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->calls[0].count, 2U);
}

// --- Matching
// --------------------------------------------------------------------------------------

TEST(Match, ArgumentsMasksAndBothTables) {
  RINGFENCE_NEEDS_WITNESS();
  Stage stage({with_arg(want_call(SYS_socket), 1, 1, 0xff), with_arg(want_call(SYS_lseek), 1, -5),
               with_arg(want_call(SYS_kill), 0, -7, 0xffffffff), want_call(SYS_kill),
               with_arg(want_call(37, true), 0, -7, 0xffffffff), want_call(37, true)});
  stage.run([] {
    syscall(SYS_socket, 99, 1 | 0x80000, 0);  // matches under the mask
    syscall(SYS_socket, 99, 2, 0);
    syscall(SYS_lseek, -1, -5L, 0);
    syscall(SYS_lseek, -1, 0xfffffffbL, 0);  // not the same in 64 bits
    // An int: what is above its half does not matter. Signal 65 is none.
    syscall(SYS_kill, -7, 65);
    syscall(SYS_kill, 0xfffffff9L, 65);
    syscall(SYS_kill, -8, 65);
    int80(37, static_cast<uint32_t>(-7), 65);
    int80(37, 8, 65);
    return 0;
  });
  const auto facts = stage.facts();
  ASSERT_EQ(facts.calls.size(), 6U);
  EXPECT_EQ(facts.calls[0].count, 1U);
  EXPECT_EQ(facts.calls[1].count, 1U);
  EXPECT_EQ(facts.calls[2].count, 2U);
  EXPECT_EQ(facts.calls[3].count, 3U);
  EXPECT_EQ(facts.calls[4].count, 1U);
  EXPECT_EQ(facts.calls[5].count, 2U);
  EXPECT_TRUE(facts.calls[5].last.compat);
  EXPECT_EQ(facts.calls[5].last.args[0], 8U);
  EXPECT_EQ(facts.calls[5].last.ret, -EINVAL);
}

TEST(Match, Strings) {
  RINGFENCE_NEEDS_WITNESS();
  const std::string shown = "/not-there/" + std::string(100, 'a');
  const std::string other = "/not-there/" + std::string(40, 'a');
  Stage stage({with_path(want_call(SYS_openat), 1, "/not-there/a"),
               with_path(want_call(SYS_openat), 1, shown),  // by its first 63 characters
               with_path(want_call(5, true), 0, "/not-there/i386"),
               with_path(with_arg(want_call(SYS_openat), 2, O_WRONLY), 1, "/not-there/b")});
  stage.run([&] {
    const auto open_it = [](const std::string& path, int flags = O_RDONLY) {
      syscall(SYS_openat, AT_FDCWD, path.c_str(), flags);
    };
    open_it("/not-there/a");
    open_it("/not-there/ab");
    open_it("/not-there/");
    open_it(shown);
    open_it(shown + "b");
    open_it(other);
    open_it("/not-there/b");
    open_it("/not-there/b", O_WRONLY);
    int80(5, low_string("/not-there/i386"));
    return 0;
  });
  auto facts = stage.facts();
  EXPECT_EQ(facts.calls[0].count, 1U);
  EXPECT_EQ(facts.calls[1].count, 2U);
  EXPECT_EQ(facts.calls[2].count, 1U);
  EXPECT_EQ(facts.calls[3].count, 1U);
  EXPECT_EQ(facts.lost, 0U);
}

TEST(Match, StringsThatCannotBeReadAtOnce) {
  RINGFENCE_NEEDS_WITNESS();
  const auto fresh_page = [](const char* text) {
    const int fd = memfd_create("path", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(fd, 4096), 0);
    EXPECT_EQ(pwrite(fd, text, strlen(text) + 1, 0), static_cast<ssize_t>(strlen(text) + 1));
    return static_cast<const char*>(mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0));
  };
  // The call itself brings the page in.
  Stage stage({with_path(want_call(SYS_openat), 1, "/not-there/late")});
  stage.run([&] {
    return errno_of(syscall(SYS_openat, AT_FDCWD, fresh_page("/not-there/late"), O_RDONLY));
  });
  EXPECT_EQ(stage.facts().calls[0].count, 1U);
  EXPECT_EQ(stage.facts().lost, 0U);
  // What the kernel cannot read either is not what was looked for.
  stage.run([] { return errno_of(syscall(SYS_openat, AT_FDCWD, 8L, O_RDONLY)); });
  EXPECT_EQ(stage.facts().calls[0].count, 0U);
  EXPECT_EQ(stage.facts().lost, 0U);
  // A filter refuses it before anybody has read it: that is not known.
  stage.run(
      [&] { return errno_of(syscall(SYS_openat, AT_FDCWD, fresh_page("/not-there/late"), 0)); },
      [] { return put_on(filter_on(SYS_openat, SECCOMP_RET_ERRNO | EPERM)); });
  EXPECT_EQ(stage.facts().calls[0].count, 0U);
  EXPECT_EQ(stage.facts().lost, 1U);
  EXPECT_THAT(stage.facts().lost_what, HasSubstr("could not be read"));
}

TEST(Facts, CountsWhatWasAllowedAndWhatWasDenied) {
  RINGFENCE_NEEDS_WITNESS();
  Stage stage({want_call(SYS_kill)});
  stage.run([] {
    for (int i = 0; i < 7; ++i) syscall(SYS_kill, getpid(), 0);
    for (int i = 0; i < 5; ++i) ask_for_nobody();
    syscall(SYS_kill, getpid(), 0);
    return 0;
  });
  auto facts = stage.facts();
  EXPECT_EQ(facts.calls[0].count, 13U);
  EXPECT_EQ(facts.calls[0].allowed, 8U);
  EXPECT_EQ(facts.calls[0].denied, 5U);
  EXPECT_FALSE(facts.ended_in_denial());
  EXPECT_EQ(facts.calls[0].last_denied.ret, -ESRCH);
  EXPECT_EQ(facts.calls[0].last_denied.args[0], static_cast<uint64_t>(kNobody));
  EXPECT_EQ(facts.calls[0].last.ret, 0);
  // Looking anew clears it, and who stays in the group is seen all the same.
  EXPECT_EQ(stage.run(ask_for_nobody), ESRCH);
  EXPECT_EQ(stage.facts().calls[0].count, 1U);
  EXPECT_TRUE(stage.facts().ended_in_denial());
  const std::vector<rf_want> many(RF_WANTS + 1, want_call(SYS_kill));
  ASSERT_FALSE(stage.watch->look_for(many));
  EXPECT_EQ(stage.watch->look_for(many).error().err, E2BIG);
}

// --- Watch and Witness as objects
// ------------------------------------------------------------------

// Descriptors of eBPF objects that this process holds, by what its fdinfo says: "prog_id",
// "link_id".
std::set<uint32_t> held(int pid, const std::string& key) {
  std::set<uint32_t> ids;
  const std::string dir = "/proc/" + std::to_string(pid) + "/fdinfo";
  auto names = list_directory(dir);
  if (!names) return ids;
  for (const auto& name : *names) {
    auto text = read_file(dir + "/" + name);
    if (!text) continue;
    for (const auto line : split(*text, '\n')) {
      if (!line.starts_with(key + ":")) continue;
      ids.insert(static_cast<uint32_t>(std::stoul(std::string(line.substr(key.size() + 1)))));
    }
  }
  return ids;
}

bool all_gone(const std::set<uint32_t>& ids, int (*get_fd)(uint32_t)) {
  // The last reference goes after a grace period of RCU.
  for (int i = 0; i < 200; ++i) {
    const bool any = std::any_of(ids.begin(), ids.end(), [&](uint32_t id) {
      const int fd = get_fd(id);
      if (fd >= 0) close(fd);
      return fd >= 0;
    });
    if (!any) return true;
    usleep(50000);
  }
  return false;
}

std::set<uint32_t> without(std::set<uint32_t> all, const std::set<uint32_t>& mine) {
  std::erase_if(all, [&](uint32_t id) { return mine.contains(id); });
  return all;
}

TEST(Close, LeavesNothingAttached) {
  RINGFENCE_NEEDS_WITNESS();
  const auto links_before = held(getpid(), "link_id");
  const auto programs_before = held(getpid(), "prog_id");
  std::set<uint32_t> links;
  std::set<uint32_t> programs;
  {
    auto witness = Witness::open();
    ASSERT_TRUE(witness) << witness.error().describe();
    links = without(held(getpid(), "link_id"), links_before);
    programs = without(held(getpid(), "prog_id"), programs_before);
    EXPECT_GE(programs.size(), 10U);
    EXPECT_GE(links.size(), 10U);
    // Or the check below checks nothing.
    const UniqueFd there(bpf_link_get_fd_by_id(*links.begin()));
    EXPECT_TRUE(there);
  }
  EXPECT_TRUE(all_gone(links, bpf_link_get_fd_by_id));
  EXPECT_TRUE(all_gone(programs, bpf_prog_get_fd_by_id));
}

TEST(Close, AlsoWhenItIsKilled) {
  RINGFENCE_NEEDS_WITNESS();
  const auto links_before = held(getpid(), "link_id");
  const auto programs_before = held(getpid(), "prog_id");
  Result<Witness> witness = system_error("not opened");
  Actor actor(
      -1, 0,
      [&] {
        witness = Witness::open();
        return witness.has_value();
      },
      [] { return 0; });
  ASSERT_TRUE(actor.ready()) << actor.trouble();
  const auto links = without(held(actor.pid(), "link_id"), links_before);
  const auto programs = without(held(actor.pid(), "prog_id"), programs_before);
  EXPECT_GE(links.size(), 10U);
  kill(actor.pid(), SIGKILL);
  actor.wait_end();
  EXPECT_TRUE(all_gone(links, bpf_link_get_fd_by_id));
  EXPECT_TRUE(all_gone(programs, bpf_prog_get_fd_by_id));
}

TEST(Watching, EndsWithTheWatchAndTakesTheGroupsBelowAlong) {
  RINGFENCE_NEEDS_WITNESS();
  const int scopes = own_map("scopes");
  const int trials = own_map("trials");
  const size_t before = keys_of(scopes);
  Stage stage({want_nobody()});
  const int fd = stage.fd();
  stage.run([fd] { return errno_of(mkdirat(fd, "below", 0755)); });
  EXPECT_EQ(keys_of(scopes), before + 2);
  stage.watch.reset();
  EXPECT_EQ(keys_of(scopes), before);
  EXPECT_EQ(keys_of(trials), 0U);
  EXPECT_EQ(unlinkat(fd, "below", AT_REMOVEDIR), 0);
  close(scopes);
  close(trials);
}

TEST(Watching, IsNotEndedByAForkedCopy) {
  RINGFENCE_NEEDS_WITNESS();
  Stage stage({want_nobody()});
  Actor copy(-1, 0, {}, [&] {
    stage.watch.reset();
    shared_witness() = system_error("closed");
    return 0;
  });
  ASSERT_TRUE(copy.ready());
  copy.finish();
  EXPECT_EQ(stage.run(ask_for_nobody), ESRCH);
  EXPECT_EQ(stage.facts().calls[0].count, 1U);
}

TEST(Watching, CanBeBegunInAForkedProcess) {
  RINGFENCE_NEEDS_WITNESS();
  Actor worker(-1, 0, {}, [] {
    Stage stage({want_nobody()});
    stage.run(ask_for_nobody);
    return static_cast<int>(stage.facts().calls[0].count);
  });
  ASSERT_TRUE(worker.ready());
  worker.finish();
  EXPECT_EQ(worker.said(), 1);
}

// --- Rungs
// -----------------------------------------------------------------------------------------

// Under the second witness as under the first, both at once: the same calls, value by value.
void compare(const Witness& second, bool same_args) {
  auto group = test_group();
  ASSERT_TRUE(group);
  auto a = shared_witness()->watch(id_of(*group));
  auto b = second.watch(id_of(*group));
  ASSERT_TRUE(a && b);
  const std::vector<rf_want> wants = {
      want_nobody(), with_path(want_call(SYS_openat), 1, "/not-there/a"), want_call(SYS_acct),
      want_call(SYS_sethostname), with_arg(want_call(SYS_chroot), 1, 5)};
  Actor actor(
      group->unified_fd(), CLONE_NEWUTS,
      [] {
        return drop_all() && put_on(filter_on(SYS_acct, SECCOMP_RET_ERRNO | EPERM)) &&
               put_on(filter_on(SYS_chroot, SECCOMP_RET_ERRNO | EPERM));
      },
      [] {
        ask_for_nobody();
        syscall(SYS_openat, AT_FDCWD, "/not-there/a", O_RDONLY);
        syscall(SYS_acct, "/not-there");
        syscall(SYS_chroot, "/", 5);
        const int pid = fork();
        if (pid == 0) _exit(0);
        waitpid(pid, nullptr, 0);
        return errno_of(syscall(SYS_sethostname, "x", 1));
      });
  ASSERT_TRUE(actor.ready()) << actor.trouble();
  ASSERT_TRUE(a->look_for(wants));
  ASSERT_TRUE(b->look_for(wants));
  actor.finish();
  auto first = a->facts();
  auto other = b->facts();
  ASSERT_TRUE(first && other);
  EXPECT_EQ(first->lost, 0U) << first->lost_what;
  EXPECT_EQ(first->all_calls, other->all_calls);
  for (size_t i = 0; i < 4; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(first->calls[i].count, 1U);
    EXPECT_EQ(first->calls[i].denied, 1U);
    EXPECT_EQ(other->calls[i].count, first->calls[i].count);
    EXPECT_EQ(other->calls[i].denied, first->calls[i].denied);
    const CallRecord& x = first->calls[i].last_denied;
    const CallRecord& y = other->calls[i].last_denied;
    EXPECT_EQ(x.nr, y.nr);
    EXPECT_EQ(x.ret, y.ret);
    EXPECT_EQ(x.no_enter, y.no_enter);
    EXPECT_EQ(x.seccomp, y.seccomp);
    if (same_args) {
      EXPECT_EQ(x.args, y.args);
      EXPECT_EQ(x.cap_last, y.cap_last);
      EXPECT_EQ(x.caps_failed, y.caps_failed);
    }
  }
  EXPECT_EQ(first->calls[4].count, 1U);
  if (same_args) {
    EXPECT_EQ(first->tasks, other->tasks);
    EXPECT_EQ(other->lost, 0U) << other->lost_what;
    EXPECT_EQ(other->calls[4].count, 1U);
  } else {
    // A refused call that was looked for by its arguments, which are not known there.
    EXPECT_FALSE(other->calls[2].last_denied.args_known);
    EXPECT_EQ(other->calls[4].count, 0U);
    EXPECT_EQ(other->lost, 1U);
    EXPECT_THAT(other->lost_what, HasSubstr("could not be read"));
    EXPECT_TRUE(other->calls[0].last_denied.args_known);
  }
  EXPECT_EQ(other->caps_watched, second.offers("cap"));
}

std::string rung_of(const Witness& witness, std::string_view hook) {
  for (const Rung& rung : witness.ladder()) {
    if (rung.hook == hook && rung.taken) return rung.name;
  }
  return "none";
}

TEST(Rungs, RawTracepointsSeeTheSame) {
  RINGFENCE_NEEDS_WITNESS();
  auto second = Witness::open({.avoid = {"tp_btf"}});
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_EQ(rung_of(*second, "enter"), "raw_tp");
  EXPECT_EQ(rung_of(*second, "exit"), "raw_tp");
  compare(*second, true);
}

TEST(Rungs, TracepointsByNameDoNotKnowWhatWasRefused) {
  RINGFENCE_NEEDS_WITNESS();
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  if (access("/sys/kernel/tracing/events", F_OK) != 0) {
    if (!private_mounts() || mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr) != 0) {
      GTEST_SKIP() << "needs:tracefs";
    }
  }
  auto second = Witness::open({.avoid = {"tp_btf", "raw_tp"}});
  ASSERT_TRUE(second) << second.error().describe();
  EXPECT_EQ(rung_of(*second, "enter"), "tp");
  EXPECT_EQ(rung_of(*second, "exit"), "tp");
  EXPECT_EQ(rung_of(*second, "fork"), "none");
  compare(*second, false);
  // A forked copy that goes must not switch these off for the one who has them.
  Actor copy(-1, 0, {}, [&] {
    second = system_error("closed");
    return 0;
  });
  ASSERT_TRUE(copy.ready());
  copy.finish();
  Stage stage({want_nobody()}, *second);
  stage.run(ask_for_nobody);
  EXPECT_EQ(stage.facts().calls[0].count, 1U);
}

TEST(Rungs, NoneLeftIsUnsupportedAndSaysWhichHook) {
  auto none = Witness::open({.avoid = {"tp_btf", "raw_tp", "tp", "fexit"}});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, Error::Kind::unsupported);
  EXPECT_THAT(none.error().object, HasSubstr("enter__"));
  EXPECT_THAT(none.error().describe(), HasSubstr("no program is left to try"));
}

TEST(Rungs, WithoutPrivilegeSaysSo) {
  Actor actor(
      -1, 0, [] { return geteuid() != 0 || become(4242); },
      [] {
        auto witness = Witness::open();
        if (witness) return 1;
        if (witness.error().kind != Error::Kind::unsupported) return 2;
        return witness.error().describe().find("privilege") != std::string::npos ? 0 : 3;
      });
  ASSERT_TRUE(actor.ready()) << actor.trouble();
  actor.finish();
  EXPECT_EQ(actor.said(), 0);
}

}  // namespace
}  // namespace ringfence
