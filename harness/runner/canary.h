#pragma once
// Canaries: resources of the decoy host whose state the harness checks itself. Made on demand, by
// what a case's parameters and goals name, inside the decoy host's own namespaces; all of them die
// with it.
//
// Placeholders that parameters may use, and what they stand for:
//   {canary_pid} {canary_env_addr} {canary_fd}   a process of root without capabilities; its
//   environment
//                       and a file that it holds contain the secret; marker in its command line
//   {canary_marker}     that marker
//   {privileged_pid}    the same with every capability
//   {other_uid_pid}     the same as uid 1000
//   {housed_pid}        the first in seven namespaces of its own, all kinds but user
//   {sibling_pid}       the same in a user namespace of its own, which those belong to
//   {secret_file}       /canary/secret, 0600, owned by root, content is the secret
//   {file}              /canary/file, 0600, owned by root
//   {file1000}          /canary/file1000, 0600, owned by uid 1000, content is the secret
//   {group_file}        /canary/group, 0040, owner 2000, group 7777, content is the secret
//   {group0_file}       /canary/group0, 0040, owner 2000, group 0, content is the secret
//   {outsiders_file}    /canary/outsiders, 0004, owner 2000, group 7777, content is the secret: for
//                       everybody but who is in that group
//   {shm_file}          /dev/shm/rf_canary, as shm_open(3) names it, 0600, owned by root, content
//   is
//                       the secret
//   {sem_file}          /dev/shm/sem.rf_canary, as sem_open(3) names it: a semaphore of value 0
//   {setuid_inmate}     an inmate with mode 04755, owned by root
//   {filecap_inmate}    an inmate with all file capabilities permitted and effective
//   {sysv_key} {msg_key} {mq_name}   a segment, a queue, a POSIX queue that hold the secret
//   {sem_key}           a System V semaphore
//   {abstract_name} {unix_path} {tcp_port}   listeners
//   {peer_a} {peer_b} {peer_isolated}   addresses of neighbours on the bridge rfbr0 (see peer.h)
//   {key_desc}          a "user" key with the secret in the session keyring
//   {handle_type} {handle_hex}   the file handle of {secret_file} (name_to_handle_at)
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/base/unique_fd.h"
#include "harness/judge/case.h"
#include "harness/judge/trial.h"
#include "harness/runner/peer.h"
#include "harness/spawn/spawn.h"

namespace ringfence {

inline constexpr int kSemaphoreValue = 7;  // of {sem_key}

class Canaries {
 public:
  // `secret` is what a successful read returns, `nonce` makes names unique. `inmate_fd` is the
  // image that process canaries run.
  Canaries(std::string secret, std::string nonce, int inmate_fd);

  // Replaces placeholders in one parameter, making the canaries that they need.
  Result<std::string> expand(const std::string& parameter);
  // Makes what a goal watches and no parameter named.
  Status prepare(const Goal& goal);

  // What the canary shows for `goal`; nothing when the goal is none of a canary's. `ended`: the
  // target is gone, so that a canary process can be asked for the last time.
  std::optional<Seen> look(const Goal& goal, bool ended);

  // Pids of the canaries, so that they are not taken for the target's.
  [[nodiscard]] std::vector<int> pids() const;
  [[nodiscard]] std::map<std::string, int> by_kind() const;
  [[nodiscard]] const std::string& secret() const { return secret_; }
  // The terminal's slave side, for the target's standard input; made by prepare(tty_input).
  [[nodiscard]] int tty() const { return tty_slave_.get(); }
  // A file on a mount of the target, opened by the harness, without a name; made by pass_file().
  Result<int> pass_file(int target_pid);
  // One neighbour, "a", sends the secret to another, or to the target: what only those two are to
  // hear. Both are there after prepare_talk().
  Status prepare_talk();
  Status talk(std::string_view to) { return peers_.say("a", to, secret_); }
  // What is handed to the target as RF_GIVEN_FD; -1 for most attempts. netns_leak: a socket of the
  // decoy host's own network namespace. setns_fd with a canary's pid and "uts" or the like, or
  // "pidfd", as its last parameters: that namespace of it, or its pidfd.
  Result<int> pass_in(std::string_view attempt, const std::vector<std::string>& args);
  // Why a look could not be taken, of those that make more of it than a syscall's failure; empty.
  [[nodiscard]] const std::string& blind() const { return blind_; }
  // Takes the name away again that the passed file got, when it is this one: a given root is the
  // user's, and keeps nothing of an attempt.
  void unlink_passed(const std::string& path);
  // The inmate as a file that everybody may execute.
  Status plant_program(const std::string& path) { return plant_inmate(path, 0755, false); }
  // An image of the inmate, owned by root, at a path of the target's root.
  Status plant_inside(int target_pid, const std::string& path, uint32_t mode);

 private:
  struct ProcessCanary {
    std::optional<Child> child;
    UniqueFd answer;
    uint64_t env_addr = 0;
    std::string memory;  // what its environment held
  };
  Seen ask_process(const Goal& goal);
  Result<ProcessCanary*> process(const std::string& kind);
  Result<std::string> value(std::string_view name);
  Status plant(const std::string& path, const std::string& content, uint32_t mode, uint32_t uid,
               uint32_t gid);
  Status plant_inmate(const std::string& path, uint32_t mode, bool file_caps);
  Status make_tty();
  Status make_sysv();
  Status make_semaphore();
  Status make_key();
  std::optional<Seen> look_at_network(const Goal& goal);

  std::string secret_;
  std::string nonce_;
  int inmate_fd_;
  std::map<std::string, ProcessCanary> processes_;
  std::map<std::string, std::string> planted_;  // path -> content
  std::map<std::string, std::string> values_;   // placeholders already made
  std::map<std::string, int> mounts_before_;    // path -> mounts seen there
  std::string hostname_;
  std::string domainname_;
  int shm_id_ = -1;
  int sem_id_ = -1;
  int64_t key_ = -1;
  int mtu_before_ = 0;
  UniqueFd abstract_, unix_, loopback_, mqueue_;
  UniqueFd tty_master_, tty_slave_;
  UniqueFd passed_;
  Peers peers_;
  UniqueFd given_;
  std::map<std::string, std::string> network_before_;  // network_list()
  std::string blind_;
};

}  // namespace ringfence
