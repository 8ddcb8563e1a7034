#include "harness/confine/device_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <array>
#include <cstring>

namespace ringfence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

const DeviceRule kNone{};
DeviceRule rule(bool allow, char type, std::optional<int64_t> major, std::optional<int64_t> minor,
                const char* access) {
  return {allow, type, major, minor, access};
}

// The program's answer, by executing it: those few instructions that it is made of.
bool run(const std::vector<uint64_t>& program, char type, uint32_t major, uint32_t minor,
         uint32_t access) {
  bpf_cgroup_dev_ctx context{};
  context.access_type = access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  context.major = major;
  context.minor = minor;
  std::array<uint64_t, 11> regs{};
  for (size_t at = 0; at < program.size(); ++at) {
    bpf_insn insn{};
    std::memcpy(&insn, &program[at], sizeof insn);
    uint64_t& to = regs.at(insn.dst_reg);
    const auto imm = static_cast<uint32_t>(insn.imm);
    switch (insn.code) {
      case BPF_LDX | BPF_MEM | BPF_W: {
        uint32_t word = 0;
        std::memcpy(&word, reinterpret_cast<const char*>(&context) + insn.off, sizeof word);
        to = word;
        break;
      }
      case BPF_ALU | BPF_MOV | BPF_X:
        to = static_cast<uint32_t>(regs.at(insn.src_reg));
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        to = imm;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        to = static_cast<uint32_t>(to) & imm;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        to = static_cast<uint32_t>(to) >> imm;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        if (to != imm) at += static_cast<size_t>(insn.off);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        if (to == imm) at += static_cast<size_t>(insn.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return regs[0] != 0;
      default:
        ADD_FAILURE() << "unknown instruction " << int{insn.code};
        return false;
    }
  }
  ADD_FAILURE() << "fell off the end";
  return false;
}

bool allowed(const std::vector<DeviceRule>& rules, char type, uint32_t major, uint32_t minor,
             uint32_t access) {
  auto list = resolve_devices(rules);
  EXPECT_TRUE(list) << list.error().describe();
  return list && run(device_program(*list), type, major, minor, access);
}

TEST(DeviceFilter, DenyAllLeavesWhatEveryContainerGets) {
  for (const uint32_t minor : {3U, 5U, 7U, 8U, 9U}) {
    EXPECT_TRUE(allowed({kNone}, 'c', 1, minor, kDeviceRead | kDeviceWrite)) << minor;
  }
  EXPECT_TRUE(allowed({kNone}, 'c', 136, 77, kDeviceRead));
  EXPECT_TRUE(allowed({kNone}, 'c', 5, 2, kDeviceWrite));
  EXPECT_TRUE(allowed({kNone}, 'b', 8, 0, kDeviceMknod));
  EXPECT_TRUE(allowed({kNone}, 'c', 1, 11, kDeviceMknod));
  EXPECT_FALSE(allowed({kNone}, 'c', 1, 11, kDeviceRead));
  EXPECT_FALSE(allowed({kNone}, 'b', 1, 3, kDeviceRead));  // not the character device
  EXPECT_FALSE(allowed({kNone}, 'b', 8, 0, kDeviceRead));
  EXPECT_FALSE(allowed({kNone}, 'b', 8, 0, kDeviceRead | kDeviceMknod));
}

TEST(DeviceFilter, AnAllowedDeviceIsAllowedAsFarAsTheRuleSays) {
  const std::vector<DeviceRule> rules = {kNone, rule(true, 'c', 10, 200, "r"),
                                         rule(true, 'b', 8, {}, "rw")};
  EXPECT_TRUE(allowed(rules, 'c', 10, 200, kDeviceRead));
  EXPECT_FALSE(allowed(rules, 'c', 10, 200, kDeviceRead | kDeviceWrite));
  EXPECT_FALSE(allowed(rules, 'c', 10, 201, kDeviceRead));
  EXPECT_TRUE(allowed(rules, 'b', 8, 17, kDeviceRead | kDeviceWrite));
  EXPECT_FALSE(allowed(rules, 'b', 9, 0, kDeviceRead));
}

TEST(DeviceFilter, WhatIsAllowedByDefaultCanBeDenied) {
  const std::vector<DeviceRule> rules = {rule(true, 'a', {}, {}, "rwm"),
                                         rule(false, 'c', 1, 11, "w")};
  EXPECT_TRUE(allowed(rules, 'c', 1, 11, kDeviceRead));
  EXPECT_FALSE(allowed(rules, 'c', 1, 11, kDeviceRead | kDeviceWrite));
  EXPECT_TRUE(allowed(rules, 'b', 8, 0, kDeviceWrite));
}

TEST(DeviceFilter, LaterRulesTakeBackAndAdd) {
  const std::vector<DeviceRule> rules = {kNone, rule(true, 'c', 10, 200, "rw"),
                                         rule(false, 'c', 10, 200, "w"),
                                         rule(true, 'c', 10, 200, "m")};
  EXPECT_TRUE(allowed(rules, 'c', 10, 200, kDeviceRead));
  EXPECT_FALSE(allowed(rules, 'c', 10, 200, kDeviceWrite));
  // A list for everything begins anew.
  EXPECT_FALSE(allowed({rule(true, 'c', 10, 200, "r"), kNone}, 'c', 10, 200, kDeviceRead));
}

TEST(DeviceFilter, AHoleInAWildcardIsRefused) {
  auto list =
      resolve_devices({kNone, rule(true, 'c', 10, {}, "rw"), rule(false, 'c', 10, 200, "w")});
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().kind, Error::Kind::usage);
  EXPECT_EQ(list.error().object, "/linux/resources/devices");
  EXPECT_THAT(list.error().hint, HasSubstr("\"c 10:200 w\" would make a hole in \"c 10:* rw\""));
  // No hole: the wider rule does not grant what is taken.
  EXPECT_TRUE(resolve_devices({kNone, rule(true, 'c', 10, {}, "r"), rule(false, 'c', 10, 2, "w")}));
}

TEST(DeviceFilter, WritesForV1) {
  auto list = resolve_devices({rule(true, 'a', {}, {}, "rwm"), rule(false, 'b', 8, {}, "w")});
  ASSERT_TRUE(list);
  EXPECT_THAT(device_writes(*list),
              ElementsAre(Pair("devices.allow", "a"), Pair("devices.deny", "b 8:* w")));
  list = resolve_devices({kNone});
  ASSERT_TRUE(list);
  const auto writes = device_writes(*list);
  EXPECT_EQ(writes.front(), (std::pair<std::string, std::string>{"devices.deny", "a"}));
  EXPECT_THAT(writes, ::testing::Contains(Pair("devices.allow", "c 1:3 rwm")));
}

}  // namespace
}  // namespace ringfence
