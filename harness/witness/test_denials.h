#pragma once
// Denials for the tests of attribution: a table row each, and what the rows are made of.
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/witness/attribution.h"
#include "harness/witness/test_watch.h"

namespace ringfence {

// What is there outside, for those inside to ask for.
struct Scene {
  Scene();
  ~Scene();
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  static const Scene& get();

  [[nodiscard]] std::string at(std::string_view name) const {
    return dir + "/" + std::string(name);
  }
  std::string dir;      // file (0644), private (uid 1, 0600), closed/ (uid 1, 0700), jail/, script
  int process = -1;     // sleeps, root, all capabilities
  int other_user = -1;  // sleeps, uid 1
  int shm = -1, msg = -1, sem = -1;
  int owned_shm = -1;       // of uid 1, mode 0600
  std::string socket_name;  // abstract, somebody listens
  int tcp_port = 0;         // somebody listens on 127.0.0.1
  int listener = -1, tcp_listener = -1;
};

using FilterCode = std::vector<sock_filter>;

struct DenialRow {
  const char* name;
  long nr;
  int err;  // what the caller gets; 0: no error
  Layer layer;
  const char* why;  // a part of the reason
  std::function<bool()> prepare;
  std::function<int()> act;
  std::vector<Layer> in_force{};
  bool exists = false;
  uint64_t clone_flags = 0;
  bool compat = false;
  FilterCode filter{};       // put on at the end of prepare, and known as the policy's
  bool known_filter = true;  // false: the policy is said to have none
  bool killed = false;       // it ends by SIGSYS
  std::vector<Step::Setting> settings{};
  // What a kernel says that does not deny it: there the row is left out.
  std::optional<int> allowed_says{};
  bool device_program = false;  // somebody's program of the group denies /dev/zero
  uint8_t denied_in = 0;        // RF_HOOK_*: a program of type lsm says `err` there
  bool denied_late = false;     // ... one that was attached after the witness
};

std::vector<DenialRow> gate_denials();        // seccomp
std::vector<DenialRow> capability_denials();  // one capability missing, or all
std::vector<DenialRow> namespace_denials();
std::vector<DenialRow> mount_denials();
std::vector<DenialRow> limit_denials();
std::vector<DenialRow> group_denials();       // devices, packets
std::vector<DenialRow> misleading_denials();  // what points to a layer did not decide
std::vector<DenialRow> module_denials();      // programs of type lsm
std::vector<DenialRow> denials_like_a_modules();
std::vector<DenialRow> locked_down_denials();  // for a kernel that is
std::vector<DenialRow> other_denials();        // plain permission, LSMs, the kernel's own

// What the shared witness puts a module's denial down to: `layer` where it has that hook of the
// ladder, `lsm` where it sees only that a hook said no, and else nothing.
Layer module_layer(const char* known_by, Layer layer);

// Programs of type lsm, one for each hook that the witness sees, that say no to single groups.
// Nothing, unless RINGFENCE_TEST_DISPOSABLE says that the machine is there for the test alone.
class Denier {
 public:
  static const Denier& before_the_witness();
  static const Denier& after_the_witness();
  [[nodiscard]] bool is_there() const { return state_ != nullptr; }
  void deny(uint64_t group, unsigned hook, int err) const;
  void forget(uint64_t group) const;

 private:
  Denier();
  struct State;
  std::shared_ptr<State> state_;
};

// A filter that answers `action` to a call of this number in this table, and lets the rest pass.
FilterCode filter_on(long nr, uint32_t action, bool compat = false);
// ... when argument `index` equals `value` in its lower half.
FilterCode filter_on_argument(long nr, uint32_t index, uint32_t value, uint32_t action);
bool put_on(const FilterCode& filter);
std::vector<uint64_t> words_of(const FilterCode& filter);

// Takes capabilities out of the effective and permitted sets; no ids change.
bool drop_caps(uint64_t caps);
inline bool drop_cap(int cap) { return drop_caps(1ULL << cap); }
inline bool drop_all() { return drop_caps(~0ULL); }
bool become(uint32_t uid);  // uid and gid, without groups or capabilities
long int80(long nr, uint32_t a = 0, uint32_t b = 0, uint32_t c = 0);
// The same string where a 32-bit pointer reaches.
uint32_t low_string(const char* text);
// A program of somebody's own that denies what is done to /dev/zero, attached to the group.
Result<UniqueFd> deny_zero(int group_fd);
// In this network namespace, a device to 192.0.2.0/24, where all connections are refused.
bool tun_up();
// In a mount namespace of its own: what is done there stays there.
bool private_mounts();
bool set_limit(int resource, uint64_t value);

}  // namespace ringfence
