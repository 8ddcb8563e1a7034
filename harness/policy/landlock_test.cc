// Landlock rule sets, securebits and the session keyring: what is written is what is read.
#include "harness/policy/landlock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <linux/securebits.h>

#include "harness/policy/landlock_annotation.h"
#include "harness/policy/read.h"
#include "harness/policy/without.h"

namespace ringfence {
namespace {

Policy with_all() {
  Policy policy;
  policy.name = "landlock.json";
  policy.root = Policy::Root{};
  LandlockRuleSet files;
  files.fs = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  files.beneath = {{"/usr", files.fs}, {"/etc/passwd", LANDLOCK_ACCESS_FS_READ_FILE}};
  LandlockRuleSet rest;
  rest.net = 2;     // connect_tcp
  rest.scoped = 3;  // both
  rest.ports = {{443, 2}, {0, 2}, {65535, 2}};
  policy.landlock = {files, rest};
  policy.securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED;
  policy.session_keyring = true;
  return policy;
}

TEST(Landlock, IsReadAsItWasWritten) {
  const Policy policy = with_all();
  const auto read = parse_oci_policy(write_oci_policy(policy), "landlock.json");
  ASSERT_TRUE(read) << read.error().describe();
  EXPECT_EQ(read->policy.landlock, policy.landlock);
  EXPECT_EQ(read->policy.securebits, policy.securebits);
  EXPECT_TRUE(read->policy.session_keyring);
  EXPECT_TRUE(read->policy.unenforced.empty());
  EXPECT_TRUE(read->warnings.empty());
}

// The header of this machine, as far as it goes.
TEST(Landlock, RightsAreTheKernels) {
  const auto bit = [](const std::vector<LandlockRight>& rights, std::string_view name) -> uint64_t {
    for (const LandlockRight& right : rights) {
      if (right.name == name) return right.bit;
    }
    return 0;
  };
  const auto fs = [&](std::string_view name) { return bit(landlock_fs_rights(), name); };
  EXPECT_EQ(fs("execute"), uint64_t{LANDLOCK_ACCESS_FS_EXECUTE});
  EXPECT_EQ(fs("write_file"), uint64_t{LANDLOCK_ACCESS_FS_WRITE_FILE});
  EXPECT_EQ(fs("read_file"), uint64_t{LANDLOCK_ACCESS_FS_READ_FILE});
  EXPECT_EQ(fs("read_dir"), uint64_t{LANDLOCK_ACCESS_FS_READ_DIR});
  EXPECT_EQ(fs("remove_dir"), uint64_t{LANDLOCK_ACCESS_FS_REMOVE_DIR});
  EXPECT_EQ(fs("remove_file"), uint64_t{LANDLOCK_ACCESS_FS_REMOVE_FILE});
  EXPECT_EQ(fs("make_char"), uint64_t{LANDLOCK_ACCESS_FS_MAKE_CHAR});
  EXPECT_EQ(fs("make_dir"), uint64_t{LANDLOCK_ACCESS_FS_MAKE_DIR});
  EXPECT_EQ(fs("make_reg"), uint64_t{LANDLOCK_ACCESS_FS_MAKE_REG});
  EXPECT_EQ(fs("make_sock"), uint64_t{LANDLOCK_ACCESS_FS_MAKE_SOCK});
  EXPECT_EQ(fs("make_fifo"), uint64_t{LANDLOCK_ACCESS_FS_MAKE_FIFO});
  EXPECT_EQ(fs("make_block"), uint64_t{LANDLOCK_ACCESS_FS_MAKE_BLOCK});
  EXPECT_EQ(fs("make_sym"), uint64_t{LANDLOCK_ACCESS_FS_MAKE_SYM});
  EXPECT_EQ(fs("refer"), uint64_t{LANDLOCK_ACCESS_FS_REFER});
  EXPECT_EQ(bit(landlock_net_rights(), "bind_tcp"), 1U);
  EXPECT_EQ(bit(landlock_net_rights(), "connect_tcp"), 2U);
  EXPECT_EQ(bit(landlock_scopes(), "abstract_unix_socket"), 1U);
  EXPECT_EQ(bit(landlock_scopes(), "signal"), 2U);
}

TEST(Landlock, TheAbiThatItNeeds) {
  Policy policy = with_all();
  EXPECT_EQ(policy.landlock[0].abi(), 1);
  EXPECT_EQ(landlock_abi(policy.landlock), 6);
  policy.landlock[1].scoped = 0;
  EXPECT_EQ(landlock_abi(policy.landlock), 4);
  policy.landlock[0].fs |= LANDLOCK_ACCESS_FS_REFER;
  EXPECT_EQ(policy.landlock[0].abi(), 2);
}

TEST(Landlock, WithoutItsLayer) {
  EXPECT_TRUE(without(with_all(), Layer::kLandlock).landlock.empty());
  EXPECT_FALSE(without(with_all(), Layer::kKeyring).session_keyring);
  EXPECT_FALSE(without(with_all(), Layer::kCap).securebits);
  const Policy other = without(with_all(), Layer::kSeccomp);
  EXPECT_EQ(other.landlock.size(), 2U);
  EXPECT_TRUE(other.session_keyring && other.securebits);
}

}  // namespace
}  // namespace ringfence
