// Users, user namespaces and capabilities: user_namespaces(7), credentials(7), capabilities(7).
#include <linux/securebits.h>
#include <sys/socket.h>

#include <csignal>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

constexpr uint32_t kPlainUid = 1000;

// The operation that a capability gates: fails without it, works with it.
Case gated(std::string_view cap, std::string title, Attempt attempt, Goal goal,
           Attempt liveness = {"exit", {}}) {
  Case c;
  c.id = "cap." + std::string(cap);
  for (char& letter : c.id) letter = static_cast<char>(std::tolower(letter));
  c.title = std::move(title);
  c.source = "capabilities(7), CAP_" + std::string(cap);
  c.expected = Layer::cap(cap);
  c.policy = without_caps({cap});
  c.attempt = std::move(attempt);
  c.goal = std::move(goal);
  c.proofs = {{Sight::cap_missing, std::string(cap)}};
  c.liveness = std::move(liveness);
  c.needs = {"root", "cap:" + std::string(cap)};
  c.gated_by = {c.expected};
  c.step = "cap.bounding";
  return c;
}

void add_gated(std::vector<Case>& cases) {
  const std::string kill = std::to_string(SIGKILL);
  constexpr int kLowPort = 81;
  constexpr int kNiceBelow = 0;
  constexpr int kBoottimeAlarm = 9;  // CLOCK_BOOTTIME_ALARM
  constexpr int kSetuidRoot = 0666;
  constexpr int64_t kMemlockKib = 64;

  cases.push_back(gated("CHOWN", "give a file away", {"chown", {"{file}", "1000", "1000"}},
                        {Sight::file_owned_by, "/canary/file", kPlainUid},
                        {"chmod", {"{file}", "0640"}}));
  cases.push_back(gated(
      "DAC_OVERRIDE", "write another user's file", {"write_file", {"{file1000}", "OVERWRITTEN"}},
      {Sight::file_changed, "/canary/file1000"}, {"write_file", {"{file}", "OVERWRITTEN"}}));
  cases.push_back(gated(
      "FOWNER", "change the mode of another user's file", {"chmod", {"{file1000}", "0666"}},
      {Sight::file_mode_has, "/canary/file1000", kSetuidRoot}, {"chmod", {"{file}", "0640"}}));
  cases.push_back(gated("KILL", "signal another user's process",
                        {"kill", {"{other_uid_pid}", kill}}, {Sight::canary_killed, "other_uid"},
                        {"kill_own_child", {kill}}));
  cases.push_back(gated("SETUID", "become another user", {"set_uid", {"1000"}},
                        {Sight::uid_is, "", kPlainUid}, {"set_uid", {"0"}}));
  cases.push_back(gated("SETGID", "become another group", {"set_gid", {"1000"}},
                        {Sight::gid_is, "", kPlainUid}, {"set_gid", {"0"}}));
  cases.push_back(gated("SETPCAP", "drop a capability from the bounding set",
                        {"drop_bounding", {"12"}}, {Sight::bounding_lacks, "NET_ADMIN"}));
  cases.push_back(gated("NET_BIND_SERVICE", "listen on a port below 1024",
                        {"listen_tcp", {std::to_string(kLowPort)}},
                        {Sight::port_open, "", kLowPort}, {"listen_tcp", {"20081"}}));
  cases.push_back(
      gated("NET_ADMIN", "change an interface", {"set_lo_mtu", {"1400"}}, {Sight::mtu_changed}));
  cases.push_back(gated("NET_RAW", "open a packet socket",
                        {"socket", {std::to_string(AF_PACKET), std::to_string(SOCK_RAW), "0"}},
                        {Sight::holds_socket, "", AF_PACKET},
                        {"socket", {std::to_string(AF_INET), std::to_string(SOCK_DGRAM), "0"}}));
  Case lock = gated("IPC_LOCK", "lock more memory than RLIMIT_MEMLOCK", {"mlock", {"1024"}},
                    {Sight::locked_over, "", kMemlockKib}, {"mlock", {"4"}});
  const auto memlock = rlimit_by_name("MEMLOCK");
  lock.policy.rlimits = {{memlock.value_or(0), kMemlockKib * 1024, kMemlockKib * 1024}};
  cases.push_back(std::move(lock));
  cases.push_back(gated("SYS_CHROOT", "change the root directory", {"chroot", {"/etc"}},
                        {Sight::root_differs}));
  cases.push_back(gated("SYS_PTRACE", "trace a process with more capabilities",
                        {"ptrace_seize", {"{privileged_pid}"}}, {Sight::canary_traced},
                        {"kill_own_child", {kill}}));
  cases.push_back(gated("SYS_ADMIN", "mount a file system", {"mount_tmpfs", {"/etc"}},
                        {Sight::mount_appeared, "/etc"}));
  cases.push_back(gated("SYS_NICE", "raise its own priority", {"setpriority", {"-5"}},
                        {Sight::nice_below, "", kNiceBelow}, {"setpriority", {"19"}}));
  cases.push_back(gated("MKNOD", "make a device node", {"mknod", {"/canary/node", "1", "5"}},
                        {Sight::file_exists, "/canary/node"},
                        {"create_file", {"/canary/plain", "0644"}}));
  cases.push_back(gated("SETFCAP", "give a file capabilities", {"setfcap", {"{file}"}},
                        {Sight::file_capable, "/canary/file"}));
  cases.push_back(gated("WAKE_ALARM", "set a timer that wakes the system",
                        {"timerfd", {std::to_string(kBoottimeAlarm)}},
                        {Sight::holds_file, "anon_inode:*timerfd*"}, {"timerfd", {"1"}}));
}

// What one of the sets must not let back in.
void add_sets(std::vector<Case>& cases) {
  const auto set_case = [](std::string id, std::string title, std::string step) {
    Case c;
    c.id = std::move(id);
    c.title = std::move(title);
    c.source = "capabilities(7), Transformation of capabilities during execve()";
    c.expected = Layer::cap("SYS_ADMIN");
    c.policy = without_caps({"SYS_ADMIN"});
    c.attempt = {"hold", {}};
    c.contained = true;
    c.state = true;
    c.goal = {Sight::cap_effective, "SYS_ADMIN"};
    c.proofs = {{Sight::cap_missing, "SYS_ADMIN"}};
    c.needs = {"root"};
    c.step = std::move(step);
    return c;
  };
  cases.push_back(
      set_case("cap.bounding", "regain a capability over exec as root", "cap.bounding"));
  cases.push_back(set_case("cap.inheritable",
                           "regain a capability over exec by the inheritable set",
                           "cap.inheritable"));
  Case permitted = set_case("cap.permitted", "regain a capability over exec under no_new_privs",
                            "cap.permitted");
  permitted.policy = bare();
  permitted.policy.name = "no_new_privs, permitted set";
  permitted.policy.no_new_privileges = true;
  CapSet all_but_admin = CapSet::all();
  all_but_admin.set(*cap_by_name("SYS_ADMIN"), false);
  permitted.policy.capabilities.permitted = all_but_admin;
  permitted.policy.capabilities.effective = all_but_admin;
  cases.push_back(std::move(permitted));

  Case ambient = set_case("cap.ambient", "keep a capability as another user by the ambient set",
                          "cap.ambient");
  ambient.expected = Layer::kCap;
  ambient.policy = as_user(kPlainUid);
  cases.push_back(std::move(ambient));

  Case bits =
      set_case("cap.securebits", "regain a capability over exec by being root", "cap.securebits");
  bits.source = "capabilities(7), The securebits flags";
  bits.expected = Layer::kCap;
  bits.policy = bare();
  bits.policy.name = "noroot";
  bits.policy.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED;
  bits.policy.capabilities.ambient = CapSet{};
  cases.push_back(std::move(bits));
}

// The kernel's own rules about the sets; the control keeps them.
void add_set_rules(std::vector<Case>& cases) {
  constexpr int kSysAdmin = 21;
  const auto rule = [&](std::string id, std::string title, std::string source, Attempt attempt,
                        Attempt control) {
    Case c;
    c.id = std::move(id);
    c.title = std::move(title);
    c.source = std::move(source);
    c.expected = Layer::kKernel;
    c.policy = bare();
    c.attempt = std::move(attempt);
    c.control = std::move(control);
    c.goal = {Sight::hostname_changed};
    c.needs = {"root"};
    cases.push_back(std::move(c));
  };
  const std::string cap = std::to_string(kSysAdmin);
  rule("cap.cleared", "get a capability back that it has given up",
       "capset(2); capabilities(7), Programmatically adjusting capability sets",
       {"regain_cap", {cap, "both", "both"}}, {"regain_cap", {cap, "effective", "both"}});
  rule("cap.effective_beyond_permitted", "make a capability effective that is not permitted",
       "capset(2); capabilities(7), Programmatically adjusting capability sets",
       {"regain_cap", {cap, "both", "effective"}}, {"regain_cap", {cap, "effective", "effective"}});
}

// A container needs so little: one capability, which does what it is for, and no other.
void add_minimal(std::vector<Case>& cases) {
  struct Need {
    const char* cap;
    Attempt works;
    Goal alive;
  };
  constexpr int kLowPort = 81;
  for (const Need& need : {Need{"NET_BIND_SERVICE",
                                {"listen_tcp", {std::to_string(kLowPort)}},
                                {Sight::port_open, "", kLowPort}},
                           Need{"CHOWN",
                                {"chown", {"{file}", "1000", "1000"}},
                                {Sight::file_owned_by, "/canary/file", kPlainUid}},
                           Need{"SETUID", {"set_uid", {"1000"}}, {Sight::uid_is, "", kPlainUid}},
                           Need{"SETGID", {"set_gid", {"1000"}}, {Sight::gid_is, "", kPlainUid}}}) {
    Case c;
    c.id = "cap.minimal." + std::string(need.cap);
    for (char& letter : c.id) letter = static_cast<char>(std::tolower(letter));
    c.title = "mount a file system with CAP_" + std::string(need.cap) + " alone, which works";
    c.source = "capabilities(7)";
    c.expected = Layer::cap("SYS_ADMIN");
    c.policy = bare();
    c.policy.name = "CAP_" + std::string(need.cap) + " alone";
    CapSet only;
    only.set(cap_by_name(need.cap).value_or(0));
    c.policy.capabilities = {only, only, only, only, CapSet{}};
    c.attempt = {"mount_tmpfs", {"/etc"}};
    c.goal = {Sight::mount_appeared, "/etc"};
    c.proofs = {{Sight::cap_missing, "SYS_ADMIN"}};
    c.liveness = need.works;
    c.alive = need.alive;
    c.needs = {"root"};
    c.step = "cap.bounding";
    cases.push_back(std::move(c));
  }
}

void add_users(std::vector<Case>& cases) {
  Case outside;
  outside.id = "user.root_outside";
  outside.title = "act as root on a file of the outer root";
  outside.source = "user_namespaces(7)";
  outside.expected = Layer::kUser;
  outside.policy = in_namespaces({Ns::user});
  outside.policy.set_user = true;
  outside.attempt = {"write_file", {"{file}", "OVERWRITTEN"}};
  outside.goal = {Sight::file_changed, "/canary/file"};
  outside.proofs = {{Sight::ns_differs, "user"}};
  outside.outside = true;
  outside.needs = {"root", "userns"};
  outside.step = "ns.user";
  cases.push_back(outside);

  Case unmapped = outside;
  unmapped.id = "user.unmapped";
  unmapped.title = "become a user that the namespace does not map";
  unmapped.policy.uid_mappings = {{0, 100000, 1000}};
  unmapped.policy.gid_mappings = {{0, 100000, 1000}};
  unmapped.attempt = {"set_uid", {"1000"}};
  unmapped.liveness = {"set_uid", {"0"}};
  unmapped.goal = {Sight::uid_is, "", kPlainUid};
  unmapped.outside = false;
  cases.push_back(std::move(unmapped));

  struct Who {
    const char* id;
    const char* title;
    const char* file;
    const char* step;
    Goal proof;
  };
  const std::array who = {
      Who{"user.other_uid",
          "read root's file as another user",
          "{secret_file}",
          "dac.uid",
          {Sight::uid_is, "", kPlainUid}},
      Who{"user.other_gid",
          "read a file of root's group",
          "{group0_file}",
          "dac.gid",
          {Sight::gid_is, "", kPlainUid}},
      Who{"user.groups",
          "read a file of a group that the parent was in",
          "{group_file}",
          "dac.groups",
          {Sight::uid_is, "", kPlainUid}},
  };
  for (const Who& w : who) {
    Case c;
    c.id = w.id;
    c.title = w.title;
    c.source = "credentials(7)";
    c.expected = Layer::kDac;
    c.policy = as_user(kPlainUid);
    c.attempt = {"read_file", {w.file}};
    c.goal = {Sight::secret_returned};
    c.proofs = {w.proof};
    c.liveness = {"read_file", {"/proc/uptime"}};
    c.needs = {"root"};
    c.step = w.step;
    cases.push_back(std::move(c));
  }
}

}  // namespace

std::vector<Case> user_cap_cases() {
  std::vector<Case> cases;
  add_gated(cases);
  add_sets(cases);
  add_set_rules(cases);
  add_minimal(cases);
  add_users(cases);
  return cases;
}

}  // namespace ringfence::suites
