#include "harness/vmm/gdb_stub.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "harness/vmm/gdb_packet.h"
#include "harness/vmm/gdb_server.h"

namespace ringfence::vmm {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::vector<GdbInput> feed(GdbReader& reader, std::string_view text) {
  return reader.feed({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

TEST(GdbReader, CutsPacketsOutOfPiecesOfAnySize) {
  const std::string text = "+" + gdb_frame("g") + "\x03-" + gdb_frame("m0,4");
  for (size_t size = 1; size <= text.size(); ++size) {
    GdbReader reader;
    std::string seen;
    for (size_t at = 0; at < text.size(); at += size) {
      for (const GdbInput& input : feed(reader, std::string_view(text).substr(at, size))) {
        seen += std::to_string(static_cast<int>(input.kind)) + input.payload + " ";
      }
    }
    EXPECT_EQ(seen, "2 0g 4 3 0m0,4 ") << size;
  }
}

TEST(GdbReader, RefusesWhatIsDamaged) {
  for (const char* text : {"$g#68", "$g#6x", "$g#x7", "$g#00"}) {
    GdbReader reader;
    const auto inputs = feed(reader, text);
    ASSERT_EQ(inputs.size(), 1) << text;
    EXPECT_EQ(inputs[0].kind, GdbInput::Kind::bad) << text;
    // ... and is ready for the next one.
    EXPECT_EQ(feed(reader, "$g#67").at(0).kind, GdbInput::Kind::packet) << text;
  }
  GdbReader reader;
  EXPECT_EQ(feed(reader, gdb_frame(std::string(GdbReader::kMost, 'x'))).at(0).kind,
            GdbInput::Kind::packet);
  EXPECT_EQ(feed(reader, gdb_frame(std::string(GdbReader::kMost + 1, 'x'))).at(0).kind,
            GdbInput::Kind::bad);
  EXPECT_EQ(feed(reader, "$m0,$g#67").at(0).payload, "g");  // the first was cut off
}

TEST(GdbPacket, EscapesAndUnescapes) {
  EXPECT_EQ(gdb_frame("OK"), "$OK#9a");
  std::string all(256, '\0');
  std::iota(all.begin(), all.end(), '\0');
  GdbReader reader;
  const std::string framed = gdb_frame(all);
  EXPECT_THAT(framed, HasSubstr("}\x03"));  // '#'
  EXPECT_EQ(feed(reader, framed).at(0).payload, all);
}

TEST(GdbPacket, Numbers) {
  EXPECT_EQ(gdb_number("fFf0"), 0xfff0);
  EXPECT_EQ(gdb_number("ffffffffffffffff"), ~0ULL);
  for (const char* text : {"", "g", "1 ", "-1", "10000000000000000"}) {
    EXPECT_FALSE(gdb_number(text)) << text;
  }
  EXPECT_EQ(gdb_hex(*gdb_bytes("00fFa5")), "00ffa5");
  EXPECT_FALSE(gdb_bytes("0"));
  EXPECT_FALSE(gdb_bytes("0g"));
}

TEST(GdbRegisters, EachIsAtItsPlaceAndComesBack) {
  for (const GdbArch arch : {GdbArch::i8086, GdbArch::i386, GdbArch::x86_64}) {
    const GdbRegisters registers(arch);
    CpuState state;
    state.sregs.cr0 = 1;  // selectors alone
    for (size_t i = 0; i < registers.count(); ++i) {
      std::vector<uint8_t> bytes(registers.size(i), static_cast<uint8_t>(i + 1));
      if (bytes.size() == 4) bytes[2] = bytes[3] = 0;  // selectors and the FPU's words have 16 bits
      const CpuState before = state;
      registers.set(state, i, bytes);
      EXPECT_NE(std::memcmp(&before, &state, sizeof state), 0) << i << " changes nothing";
    }
    const auto all = registers.all(state);
    CpuState other;
    ASSERT_TRUE(registers.set_all(other, all));
    EXPECT_EQ(registers.all(other), all);
    EXPECT_FALSE(registers.set_all(other, std::span(all).first(all.size() - 1)));
  }
}

TEST(GdbRegisters, TheProgramCounterIsLinear) {
  const GdbRegisters registers(GdbArch::i8086);
  CpuState state;
  state.sregs.cs.base = 0xffff0000;
  state.regs.rip = 0xfff0;
  constexpr size_t kPc = 8;
  EXPECT_EQ(gdb_hex(registers.get(state, kPc)), "f0ffffff");
  registers.set(state, kPc, *gdb_bytes("0000ffff"));
  EXPECT_EQ(state.regs.rip, 0);
  constexpr size_t kCs = 10;
  registers.set(state, kCs, *gdb_bytes("00f00000"));
  EXPECT_EQ(state.sregs.cs.base, 0xf0000);  // real mode
}

TEST(GdbRegisters, TheArchitectureIsThatOfTheMode) {
  kvm_sregs sregs{};
  EXPECT_EQ(gdb_arch_of(sregs), GdbArch::i8086);
  sregs.cs.db = 1;
  EXPECT_EQ(gdb_arch_of(sregs), GdbArch::i386);
  sregs.efer = 0x500;
  EXPECT_EQ(gdb_arch_of(sregs), GdbArch::x86_64);
  EXPECT_THAT(GdbRegisters(GdbArch::x86_64).description(),
              HasSubstr("<architecture>i386:x86-64</architecture>"));
}

class FakeTarget final : public GdbTarget {
 public:
  Result<CpuState> registers() override {
    if (fail) return system_error("KVM_GET_REGS", {}, EIO);
    return state;
  }
  Status set_registers(const CpuState& s) override {
    state = s;
    return {};
  }
  size_t read(uint64_t address, std::span<uint8_t> bytes) override {
    if (address >= memory.size()) return 0;
    const size_t n = std::min<size_t>(bytes.size(), memory.size() - address);
    std::copy_n(memory.begin() + static_cast<int64_t>(address), n, bytes.begin());
    return n;
  }
  Status write(uint64_t address, std::span<const uint8_t> bytes) override {
    if (address + bytes.size() > memory.size()) return system_error("write", {}, EFAULT);
    std::copy(bytes.begin(), bytes.end(), memory.begin() + static_cast<int64_t>(address));
    return {};
  }
  Status insert(Break kind, uint64_t address) override {
    if (breaks.size() == 4) return system_error("set breakpoint", {}, ENOSPC);
    breaks.emplace_back(kind, address);
    return {};
  }
  Status remove(Break kind, uint64_t address) override {
    std::erase(breaks, std::pair(kind, address));
    return {};
  }
  CpuState state{};
  std::vector<uint8_t> memory = std::vector<uint8_t>(64, 0x5a);
  std::vector<std::pair<Break, uint64_t>> breaks;
  bool fail = false;
};

class GdbStubTest : public testing::Test {
 protected:
  std::string reply(std::string_view packet) {
    const auto answer = stub_.answer(packet);
    EXPECT_EQ(answer.next, GdbStub::Next::stay) << packet;
    EXPECT_TRUE(answer.reply) << packet;
    return answer.reply.value_or("no reply");
  }
  FakeTarget target_;
  GdbStub stub_{target_, GdbArch::i386};
};

TEST_F(GdbStubTest, Registers) {
  target_.state.regs.rax = 0x11223344;
  target_.state.regs.rip = 0x1000;
  const std::string all = reply("g");
  EXPECT_THAT(all, StartsWith("44332211"));
  EXPECT_EQ(reply("p8"), "00100000");
  EXPECT_EQ(reply("P8=34120000"), "OK");
  EXPECT_EQ(target_.state.regs.rip, 0x1234);
  EXPECT_EQ(reply("G" + all), "OK");
  EXPECT_EQ(target_.state.regs.rip, 0x1000);
  for (const char* bad : {"pff", "p", "P8", "P8=12", "P8=1234567", "Pff=00000000", "G00"}) {
    EXPECT_THAT(reply(bad), StartsWith("E")) << bad;
  }
  EXPECT_EQ(target_.state.regs.rip, 0x1000);
  target_.fail = true;
  EXPECT_EQ(reply("g"), "E05");
}

TEST_F(GdbStubTest, Memory) {
  EXPECT_EQ(reply("M4,2:a1b2"), "OK");
  EXPECT_EQ(reply("m3,4"), "5aa1b25a");
  EXPECT_EQ(reply("m3e,10"), "5a5a");  // as much as there is
  EXPECT_EQ(reply("m40,1"), "E0e");
  EXPECT_EQ(reply("M3f,2:0000"), "E0e");
  EXPECT_EQ(reply("mffffffffffffffff,ffffffffffffffff"), "E0e");
  for (const char* bad : {"m", "m1", "mx,1", "M0,2:00", "M0,1", "M0,1:0"}) {
    EXPECT_EQ(reply(bad), "E16") << bad;
  }
}

TEST_F(GdbStubTest, Breakpoints) {
  EXPECT_EQ(reply("Z0,1000,1"), "OK");
  EXPECT_EQ(reply("Z1,2000,1"), "OK");
  ASSERT_EQ(target_.breaks.size(), 2);
  EXPECT_EQ(target_.breaks[0], std::pair(GdbTarget::Break::software, uint64_t{0x1000}));
  EXPECT_EQ(target_.breaks[1], std::pair(GdbTarget::Break::hardware, uint64_t{0x2000}));
  EXPECT_EQ(reply("z0,1000,1"), "OK");
  EXPECT_EQ(target_.breaks.size(), 1);
  EXPECT_EQ(reply("Z2,1000,1"), "");  // watchpoints: not known
  EXPECT_EQ(reply("Z0,1000"), "E16");
  EXPECT_EQ(reply("Z"), "E16");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(reply("Z0,1000,1"), "OK");
  EXPECT_EQ(reply("Z0,1000,1"), "E1c");  // ENOSPC
}

TEST_F(GdbStubTest, GoesOn) {
  for (const auto& [packet, next] : {std::pair("c", GdbStub::Next::go),
                                     {"s", GdbStub::Next::step},
                                     {"C05", GdbStub::Next::go},
                                     {"S05", GdbStub::Next::step},
                                     {"k", GdbStub::Next::kill}}) {
    const auto answer = stub_.answer(packet);
    EXPECT_EQ(answer.next, next) << packet;
    EXPECT_FALSE(answer.reply) << packet;
  }
  EXPECT_EQ(stub_.answer("s2000").next, GdbStub::Next::step);
  EXPECT_EQ(target_.state.regs.rip, 0x2000);
  EXPECT_EQ(stub_.answer("C05;3000").next, GdbStub::Next::go);
  EXPECT_EQ(target_.state.regs.rip, 0x3000);
  EXPECT_EQ(reply("cx"), "E16");
  const auto leave = stub_.answer("D");
  EXPECT_EQ(leave.next, GdbStub::Next::detach);
  EXPECT_EQ(leave.reply, "OK");
  EXPECT_EQ(stub_.answer("vKill;1").next, GdbStub::Next::kill);
}

TEST_F(GdbStubTest, SaysWhyItStopped) {
  EXPECT_EQ(reply("?"), "T05thread:1;");
  stub_.stopped({GdbStop::Kind::breakpoint, GdbTarget::Break::software});
  EXPECT_EQ(reply("?"), "T05thread:1;swbreak:;");
  stub_.stopped({GdbStop::Kind::breakpoint, GdbTarget::Break::hardware});
  EXPECT_EQ(reply("?"), "T05thread:1;hwbreak:;");
  stub_.stopped({GdbStop::Kind::interrupted});
  EXPECT_EQ(reply("?"), "T02thread:1;");
  stub_.stopped({GdbStop::Kind::died});
  EXPECT_EQ(reply("?"), "T06thread:1;");
  stub_.stopped({GdbStop::Kind::exited, GdbTarget::Break::software, 7});
  EXPECT_EQ(reply("?"), "W07");
}

TEST_F(GdbStubTest, Queries) {
  EXPECT_THAT(reply("qSupported:multiprocess+"), HasSubstr("qXfer:features:read+"));
  std::string xml;
  std::string piece;
  do {
    piece = reply(fmt::format("qXfer:features:read:target.xml:{:x},100", xml.size()));
    ASSERT_FALSE(piece.empty());
    xml += piece.substr(1);
  } while (piece[0] == 'm');
  EXPECT_EQ(xml, GdbRegisters(GdbArch::i386).description());
  EXPECT_THAT(xml, StartsWith("<?xml"));
  EXPECT_EQ(reply("qXfer:features:read:target.xml:ffff,100"), "l");
  EXPECT_EQ(reply("qXfer:features:read:target.xml:"), "E16");
  EXPECT_EQ(reply("qXfer:features:read:other.xml:0,100"), "");
  EXPECT_TRUE(stub_.answer("QStartNoAckMode").no_ack);
  for (const char* unknown : {"", "vMustReplyEmpty", "qRcmd,00", "X0,0:", "!", "Qx"}) {
    EXPECT_EQ(reply(unknown), "") << unknown;
  }
}

TEST(GdbPlace, ListensOnThisMachineAlone) {
  EXPECT_EQ(parse_gdb_place("1234")->port, 1234);
  EXPECT_EQ(parse_gdb_place("localhost:0")->host, "127.0.0.1");
  EXPECT_EQ(parse_gdb_place("127.1.2.3:5")->host, "127.1.2.3");
  EXPECT_EQ(parse_gdb_place("./s")->path, "./s");
  for (const char* bad : {"", ":1", "0.0.0.0:1", "10.0.0.1:1", "example.org:1", "65536", "-1", "1x",
                          "127.0.0.1:", "::1"}) {
    const auto place = parse_gdb_place(bad);
    ASSERT_FALSE(place) << bad;
    EXPECT_EQ(place.error().kind, Error::Kind::usage) << bad;
  }
  EXPECT_FALSE(parse_gdb_place("/" + std::string(108, 'x')));
}

}  // namespace
}  // namespace ringfence::vmm
