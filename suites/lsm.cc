// Landlock: what a rule set handles is denied, but where a rule allows it; and the session keyring,
// which is no security module's, but is kept from the target in the same place.
//
// Sources: landlock(7), landlock.rst, keyrings(7), session-keyring(7).
#include <csignal>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

uint64_t right(const std::vector<LandlockRight>& rights, std::string_view name) {
  for (const LandlockRight& known : rights) {
    if (known.name == name) return known.bit;
  }
  return 0;
}

Case landlocked(std::string id, std::string title, LandlockRuleSet rules, Attempt attempt,
                Goal goal) {
  Case c;
  c.id = "lsm.landlock." + std::move(id);
  c.title = std::move(title);
  c.source = "landlock(7)";
  c.expected = Layer::kLandlock;
  c.policy = bare();
  c.policy.name = "landlock";
  c.policy.no_new_privileges = true;
  c.needs = {"landlock:" + std::to_string(rules.abi())};
  c.policy.landlock = {std::move(rules)};
  c.attempt = std::move(attempt);
  c.goal = std::move(goal);
  c.step = "landlock:0";
  return c;
}

void add_landlock_cases(std::vector<Case>& cases) {
  LandlockRuleSet removes;
  removes.fs = right(landlock_fs_rights(), "remove_file");
  removes.beneath = {{"/dev", removes.fs}};
  cases.push_back(landlocked("remove_file", "remove a file where no rule allows it", removes,
                             {"unlink", {"{file}"}}, {Sight::file_changed, "/canary/file"}));
  cases.back().liveness = {"create_file", {"/canary/plain", "0644"}};

  LandlockRuleSet writes;
  writes.fs = right(landlock_fs_rights(), "write_file");
  writes.beneath = {{"/dev", writes.fs}};
  cases.push_back(landlocked("write_file", "write a file that no rule allows", writes,
                             {"write_file", {"{file}", "OVERWRITTEN"}},
                             {Sight::file_changed, "/canary/file"}));
  cases.back().liveness = {"write_file", {"/dev/null", "benign"}};

  LandlockRuleSet makes;
  makes.fs = right(landlock_fs_rights(), "make_reg");
  cases.push_back(landlocked("make_reg", "create a file where no rule allows it", makes,
                             {"create_file", {"/canary/new", "0644"}},
                             {Sight::file_exists, "/canary/new"}));
  cases.back().liveness = {"write_file", {"{file}", "benign"}};

  LandlockRuleSet connects;
  connects.net = right(landlock_net_rights(), "connect_tcp");
  connects.ports = {{1, connects.net}};
  cases.push_back(landlocked("connect_tcp", "connect to a TCP port that no rule allows", connects,
                             {"connect_tcp", {"{tcp_port}"}}, {Sight::loopback_connected}));
  cases.back().liveness = {"listen_tcp", {"20080"}};

  LandlockRuleSet binds;
  binds.net = right(landlock_net_rights(), "bind_tcp");
  binds.ports = {{20080, binds.net}};
  constexpr int kOther = 20081;
  cases.push_back(landlocked("bind_tcp", "listen on a TCP port that no rule allows", binds,
                             {"listen_tcp", {std::to_string(kOther)}},
                             {Sight::port_open, "", kOther}));
  cases.back().liveness = {"listen_tcp", {"20080"}};

  LandlockRuleSet sockets;
  sockets.scoped = right(landlock_scopes(), "abstract_unix_socket");
  cases.push_back(landlocked("abstract_socket", "connect to an abstract unix socket out of scope",
                             sockets, {"connect_abstract", {"{abstract_name}"}},
                             {Sight::abstract_connected}));
  cases.back().liveness = {"connect_unix", {"{unix_path}"}};

  LandlockRuleSet signals;
  signals.scoped = right(landlock_scopes(), "signal");
  const std::string kill = std::to_string(SIGKILL);
  cases.push_back(landlocked("signal", "kill a process out of scope", signals,
                             {"kill", {"{canary_pid}", kill}}, {Sight::canary_killed, "plain"}));
  cases.back().liveness = {"kill_own_child", {kill}};
}

void add_keyring(std::vector<Case>& cases) {
  constexpr const char* kSessionKeyring = "-3";  // KEY_SPEC_SESSION_KEYRING
  Case c;
  c.id = "key.session_overwrite";
  c.title = "overwrite a key in the session keyring of who started the target";
  c.source = "session-keyring(7)";
  c.expected = Layer::kKeyring;
  c.policy = bare();
  c.policy.name = "session keyring";
  c.policy.session_keyring = true;
  c.attempt = {"add_key", {"{key_desc}", "OVERWRITTEN", kSessionKeyring}};
  c.goal = {Sight::key_changed};
  c.liveness = {"add_key", {"benign", "benign", kSessionKeyring}};
  c.contained = true;  // in a keyring of its own it is a new key
  c.needs = {"keys"};
  c.step = "session_keyring";
  cases.push_back(std::move(c));
}

}  // namespace

std::vector<Case> lsm_cases() {
  std::vector<Case> cases;
  add_landlock_cases(cases);
  add_keyring(cases);
  return cases;
}

}  // namespace ringfence::suites
