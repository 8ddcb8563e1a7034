// Denials that this kernel makes, each for real in a child in a watched group, and the layer that
// each is put down to.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/socket.h>

#include <csignal>
#include <map>
#include <thread>

#include "harness/witness/test_denials.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

template <typename... A>
int raw(long nr, A... args) {
  return errno_of(syscall(nr, args...));
}

constexpr auto kUndecided = Layer::kUnattributed;
constexpr uint32_t errno_action(uint32_t err) { return SECCOMP_RET_ERRNO | err; }

bool nothing() { return true; }

DenialRow refused(const char* name, long nr, int err, FilterCode filter, std::function<int()> act) {
  return {.name = name,
          .nr = nr,
          .err = err,
          .layer = Layer::kSeccomp,
          .why = "the filter answered",
          .prepare = nothing,
          .act = std::move(act),
          .filter = std::move(filter)};
}

bool ignore_sigsys() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  return sigaction(SIGSYS, &action, nullptr) == 0;
}

uint32_t g_low = 0;

}  // namespace

std::vector<DenialRow> gate_denials() {
  std::vector<DenialRow> rows;
  rows.push_back(refused("mkdir EPROTO", SYS_mkdir, EPROTO,
                         filter_on(SYS_mkdir, errno_action(EPROTO)),
                         [] { return raw(SYS_mkdir, "/tmp/x", 0700); }));
  // Errors that another layer would give.
  rows.push_back(refused("unlink EROFS by the filter", SYS_unlink, EROFS,
                         filter_on(SYS_unlink, errno_action(EROFS)),
                         [] { return raw(SYS_unlink, "/tmp/not-there"); }));
  DenialRow ghost =
      refused("kill ESRCH by the filter", SYS_kill, ESRCH, filter_on(SYS_kill, errno_action(ESRCH)),
              [] { return raw(SYS_kill, Scene::get().process, 0); });
  ghost.exists = true;
  ghost.in_force = {Layer::kPid};
  rows.push_back(ghost);
  rows.push_back(refused("getrandom ENOSYS by the filter", SYS_getrandom, ENOSYS,
                         filter_on(SYS_getrandom, errno_action(ENOSYS)),
                         [] { return raw(SYS_getrandom, &g_low, 1, 0); }));
  DenialRow cap = refused("sethostname EPERM by the filter, and no capability", SYS_sethostname,
                          EPERM, filter_on(SYS_sethostname, errno_action(EPERM)),
                          [] { return raw(SYS_sethostname, "x", 1); });
  rows.push_back(cap);
  // errno(0) looks like success, that of a fork like the child's first return.
  rows.push_back(refused("setuid errno(0)", SYS_setuid, 0, filter_on(SYS_setuid, errno_action(0)),
                         [] { return raw(SYS_setuid, 7); }));
  rows.push_back(refused("fork errno(0)", SYS_fork, 0, filter_on(SYS_fork, errno_action(0)),
                         [] { return raw(SYS_fork); }));
  rows.push_back(refused("clone errno(0)", SYS_clone, 0, filter_on(SYS_clone, errno_action(0)),
                         [] { return raw(SYS_clone, SIGCHLD, 0, 0, 0, 0); }));
  rows.push_back(refused("ptrace trace action without a tracer", SYS_ptrace, ENOSYS,
                         filter_on(SYS_ptrace, SECCOMP_RET_TRACE),
                         [] { return raw(SYS_ptrace, 0, 0, 0, 0); }));
  rows.push_back(refused("mount notify action without a listener", SYS_mount, ENOSYS,
                         filter_on(SYS_mount, SECCOMP_RET_USER_NOTIF),
                         [] { return raw(SYS_mount, "", "", "", 0, nullptr); }));
  DenialRow trap = refused("getppid trap", SYS_getppid, 0, filter_on(SYS_getppid, SECCOMP_RET_TRAP),
                           [] { return raw(SYS_getppid); });
  trap.prepare = ignore_sigsys;
  rows.push_back(trap);
  DenialRow killed =
      refused("acct kill process", SYS_acct, 0, filter_on(SYS_acct, SECCOMP_RET_KILL_PROCESS),
              [] { return raw(SYS_acct, "/not-there"); });
  killed.killed = true;
  rows.push_back(killed);
  killed.name = "acct kill thread, the only one";
  killed.filter = filter_on(SYS_acct, SECCOMP_RET_KILL_THREAD);
  rows.push_back(killed);
  DenialRow thread = refused("acct kill thread, one of two", SYS_acct, 0,
                             filter_on(SYS_acct, SECCOMP_RET_KILL_THREAD), [] {
                               std::thread([] { syscall(SYS_acct, "/not-there"); }).detach();
                               usleep(100000);
                               return 0;
                             });
  rows.push_back(thread);
  rows.push_back(refused("socket by its family", SYS_socket, EAFNOSUPPORT,
                         filter_on_argument(SYS_socket, 0, AF_NETLINK, errno_action(EAFNOSUPPORT)),
                         [] {
                           close(socket(AF_UNIX, SOCK_STREAM, 0));
                           return raw(SYS_socket, AF_NETLINK, SOCK_RAW, 0);
                         }));
  rows.push_back(
      refused("clone by its flags", SYS_clone, EPERM,
              filter_on_argument(SYS_clone, 0, CLONE_NEWUSER | SIGCHLD, errno_action(EPERM)),
              [] { return raw(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); }));
  const auto i386 = [&](const char* name, long nr, int err, uint32_t action,
                        std::function<int()> act) {
    DenialRow row = refused(name, nr, err, filter_on(nr, action, true), std::move(act));
    row.compat = true;
    row.prepare = [] { return (g_low = low_string("/tmp/ringfence-i386")) != 0; };
    rows.push_back(row);
  };
  i386("i386 mkdir", 39, EACCES, errno_action(EACCES),
       [] { return static_cast<int>(-int80(39, g_low, 0700)); });
  i386("i386 getpid", 20, ENOSYS, errno_action(ENOSYS),
       [] { return static_cast<int>(-int80(20)); });
  i386("i386 fork errno(0)", 2, 0, errno_action(0), [] { return static_cast<int>(-int80(2)); });
  // A number means something else in the other table, to the filter and to the rules alike.
  DenialRow other = refused("i386 chroot, which a filter for x86-64 does not mean", 61, EPERM,
                            filter_on(SYS_chroot, errno_action(EPERM)),
                            [] { return static_cast<int>(-int80(61, g_low)); });
  other.compat = true;
  other.prepare = [] {
    return (g_low = low_string("/")) != 0 && drop_caps(1ULL << 18 /* CAP_SYS_CHROOT */);
  };
  other.layer = Layer::cap("SYS_CHROOT");
  other.why = "was asked for last";
  rows.push_back(other);
  // A filter of the target's own.
  DenialRow own = refused("a filter beside the policy's", SYS_mkdir, EPERM,
                          filter_on(SYS_rmdir, errno_action(EPERM)), [] {
                            return put_on(filter_on(SYS_mkdir, errno_action(EPERM)))
                                       ? raw(SYS_mkdir, "/tmp/x", 0700)
                                       : -1;
                          });
  own.layer = kUndecided;
  own.why = "not the policy's";
  rows.push_back(own);
  DenialRow unknown = refused("a filter, and the policy has none", SYS_mkdir, EPERM,
                              filter_on(SYS_mkdir, errno_action(EPERM)),
                              [] { return raw(SYS_mkdir, "/tmp/x", 0700); });
  unknown.known_filter = false;
  unknown.layer = kUndecided;
  unknown.why = "the target's own";
  rows.push_back(unknown);
  return rows;
}

namespace {

struct Count {
  std::map<std::string, int> rows;
  int skipped = 0;
  void print(const char* what) const {
    int sum = 0;
    std::string text;
    for (const auto& [layer, n] : rows) {
      text += "  " + layer + " " + std::to_string(n);
      sum += n;
    }
    printf("%s: %d rows, %d skipped:%s\n", what, sum, skipped, text.c_str());
  }
};

void check(const DenialRow& row, Count& count) {
  SCOPED_TRACE(row.name);
  Scene::get();
  const Denier* denier = nullptr;
  if (row.denied_in != 0) {
    denier = row.denied_late ? &Denier::after_the_witness() : &Denier::before_the_witness();
    if (!denier->is_there() || !shared_witness()->offers("lsm")) {
      ++count.skipped;
      return;
    }
  }
  auto group = test_group(row.settings);
  if (!group && group.error().kind == Error::Kind::unsupported) {
    ++count.skipped;
    return;
  }
  ASSERT_TRUE(group) << group.error().describe();
  UniqueFd denies;
  if (row.device_program) {
    auto linked = deny_zero(group->unified_fd());
    ASSERT_TRUE(linked) << linked.error().describe();
    denies = std::move(*linked);
  }
  const auto programs = shared_witness()->attach_to_group(group->unified_fd());
  ASSERT_TRUE(programs) << programs.error().describe();
  auto watch = shared_witness()->watch(id_of(*group));
  ASSERT_TRUE(watch) << watch.error().describe();
  const auto v1 = group->v1_procs();
  Actor actor(
      group->unified_fd(), row.clone_flags,
      [&] {
        for (const int procs : v1) {
          if (write(procs, "0", 1) != 1) return false;
        }
        return row.prepare() && (row.filter.empty() || put_on(row.filter));
      },
      row.act);
  if (!actor.ready() && (actor.trouble().find("not implemented") != std::string::npos ||
                         actor.trouble().find("not supported") != std::string::npos)) {
    ++count.skipped;
    return;
  }
  ASSERT_TRUE(actor.ready()) << actor.trouble();
  const rf_want wants[] = {want_call(row.nr, row.compat)};
  ASSERT_TRUE(watch->look_for(wants));
  if (denier != nullptr) denier->deny(id_of(*group), row.denied_in, row.err);
  const int status = actor.finish();
  if (denier != nullptr) denier->forget(id_of(*group));
  if (row.killed) {
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
  } else {
    EXPECT_EQ(status, 0);
    if (row.allowed_says && actor.said() == *row.allowed_says) {
      ++count.skipped;
      return;
    }
    EXPECT_EQ(actor.said(), row.err) << errno_name(actor.said());
  }
  auto facts = watch->facts();
  ASSERT_TRUE(facts) << facts.error().describe();
  EXPECT_EQ(facts->lost, 0U) << facts->lost_what;
  ASSERT_EQ(facts->calls.size(), 1U);
  EXPECT_EQ(facts->calls[0].denied, 1U);
  ASSERT_NE(facts->decisive(), nullptr);
  EXPECT_EQ(facts->ended_in_denial(), facts->calls[0].allowed == 0);
  const auto program = words_of(row.filter);
  Surroundings around;
  around.filter = std::span<const uint64_t>();
  if (row.known_filter) around.filter = program;
  around.in_force = row.in_force;
  around.target_exists = row.exists;
  if (!row.settings.empty() && row.settings[0].controller == "pids") {
    auto events = group->event("pids", "max");
    ASSERT_TRUE(events) << events.error().describe();
    around.pids_event = *events > 0;
  }
  around.enter_misses = facts->enter_misses;
  around.security_misses = facts->security_misses;
  around.caps_witnessed = facts->caps_watched;
  around.net_witnessed = facts->net.watched;
  const Attribution found = attribute_call(*facts->decisive(), around);
  EXPECT_EQ(found.layer.name(), row.layer.name())
      << describe_call(*facts->decisive()) << ": " << found.why;
  EXPECT_THAT(found.why, HasSubstr(row.why));
  if (row.killed) {
    const auto signal = attribute_sigsys(*facts);
    ASSERT_TRUE(signal);
    EXPECT_THAT(signal->why, HasSubstr(call_name(static_cast<uint32_t>(row.nr), row.compat)));
  }
  ++count.rows[found.layer.str()];
}

TEST(Denials, All) {
  RINGFENCE_NEEDS_WITNESS();
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  Count all;
  const auto run = [&](const char* what, const std::vector<DenialRow>& rows) {
    Count count;
    for (const DenialRow& row : rows) check(row, count);
    count.print(what);
    for (const auto& [layer, n] : count.rows) all.rows[layer] += n;
    all.skipped += count.skipped;
  };
  run("seccomp", gate_denials());
  if (shared_witness()->offers("cap")) {
    run("capabilities", capability_denials());
    run("misleading", misleading_denials());
  }
  run("namespaces", namespace_denials());
  run("mounts", mount_denials());
  run("limits", limit_denials());
  run("devices and packets", group_denials());
  run("modules", module_denials());
  run("others", other_denials());
  run("like a module's", denials_like_a_modules());
  all.print("all");
  int sum = 0;
  for (const auto& [layer, n] : all.rows) sum += n;
  EXPECT_GE(sum, 60);
}

TEST(Denials, ByAKernelThatIsLockedDown) {
  RINGFENCE_NEEDS_WITNESS();
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  const auto lockdown = read_file("/sys/kernel/security/lockdown");
  if (!lockdown || lockdown->find("[none]") != std::string::npos) GTEST_SKIP() << "needs:lockdown";
  Count count;
  for (const DenialRow& row : locked_down_denials()) check(row, count);
  count.print("locked down");
}

}  // namespace
}  // namespace ringfence
