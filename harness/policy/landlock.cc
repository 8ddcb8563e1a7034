#include "harness/policy/landlock.h"

#include <algorithm>

namespace ringfence {
namespace {

int abi_of(const std::vector<LandlockRight>& rights, uint64_t bits) {
  int abi = 1;
  for (const LandlockRight& right : rights) {
    if ((bits & right.bit) != 0) abi = std::max(abi, right.abi);
  }
  return abi;
}

}  // namespace

// The bits are the kernel's: the headers here may be older than what runs.
const std::vector<LandlockRight>& landlock_fs_rights() {
  static const std::vector<LandlockRight> rights = {
      {"execute", 1U << 0, 1},    {"write_file", 1U << 1, 1}, {"read_file", 1U << 2, 1},
      {"read_dir", 1U << 3, 1},   {"remove_dir", 1U << 4, 1}, {"remove_file", 1U << 5, 1},
      {"make_char", 1U << 6, 1},  {"make_dir", 1U << 7, 1},   {"make_reg", 1U << 8, 1},
      {"make_sock", 1U << 9, 1},  {"make_fifo", 1U << 10, 1}, {"make_block", 1U << 11, 1},
      {"make_sym", 1U << 12, 1},  {"refer", 1U << 13, 2},     {"truncate", 1U << 14, 3},
      {"ioctl_dev", 1U << 15, 5},
  };
  return rights;
}

const std::vector<LandlockRight>& landlock_net_rights() {
  static const std::vector<LandlockRight> rights = {{"bind_tcp", 1U << 0, 4},
                                                    {"connect_tcp", 1U << 1, 4}};
  return rights;
}

const std::vector<LandlockRight>& landlock_scopes() {
  static const std::vector<LandlockRight> scopes = {{"abstract_unix_socket", 1U << 0, 6},
                                                    {"signal", 1U << 1, 6}};
  return scopes;
}

int LandlockRuleSet::abi() const {
  return std::max({abi_of(landlock_fs_rights(), fs), abi_of(landlock_net_rights(), net),
                   abi_of(landlock_scopes(), scoped)});
}

int landlock_abi(const std::vector<LandlockRuleSet>& rule_sets) {
  int abi = 1;
  for (const LandlockRuleSet& rule_set : rule_sets) abi = std::max(abi, rule_set.abi());
  return abi;
}

}  // namespace ringfence
