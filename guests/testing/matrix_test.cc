// The table of device clauses is true: every clause holds on the clean board and is turned red by
// every fault that it lists; every fault of every device is listed or survives with a reason.
// With RINGFENCE_UPDATE_DATA set, writes the faults of suites/data/devices.json anew.
#include "guests/testing/matrix.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "harness/vmm/devices/board.h"

namespace ringfence::vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kTable = RINGFENCE_SUITES_DATA "/devices.json";
constexpr double kFloor = 98.0;

std::vector<std::string> fault_ids() {
  std::vector<std::string> ids;
  for (const auto& fault : all_faults()) ids.emplace_back(fault.id);
  return ids;
}

class DeviceMatrix : public ::testing::Test {
 protected:
  void SetUp() override {
    kvm = Kvm::open();
    if (!kvm) GTEST_SKIP() << kvm.error().describe();
    table = read_device_table(kTable);
    ASSERT_TRUE(table) << table.error().describe();
  }
  Result<Kvm> kvm = unsupported_error("not opened");
  Result<DeviceTable> table;
};

TEST_F(DeviceMatrix, EveryClauseHoldsOnTheCleanBoard) {
  const Matrix matrix(*kvm, *table);
  EXPECT_THAT(check_clean(matrix, *table), IsEmpty());
}

TEST_F(DeviceMatrix, EveryFaultIsKilledOrSurvivesWithAReason) {
  const Matrix matrix(*kvm, *table);
  const auto faults = fault_ids();
  if (std::getenv("RINGFENCE_UPDATE_DATA") != nullptr) {
    table = fill(matrix, *table, faults);
    ASSERT_TRUE(update_device_table(kTable, *table));
  }
  double score = 0;
  EXPECT_THAT(check_faults(matrix, *table, faults, score), IsEmpty());
  EXPECT_GE(score, kFloor);
  std::cout << fmt::format("mutation score: {:.1f} % of {} faults, {} survivors (floor {:.0f} %)\n",
                           score, faults.size(), table->survivors.size(), kFloor);
}

// The checks see what is wrong with a table.
TEST_F(DeviceMatrix, AFalseTableIsSeen) {
  DeviceTable wrong;
  wrong.clauses = {{"uart.readback", "uart_registers", {}, {}, {"uart.lsr.oe.kept"}},
                   {"uart.dream", "uart_registers", {}, {}, {"uart.scr.b0.stuck0"}},
                   {"uart.loopback", "uart_loopback", {}, {}, {}}};
  wrong.by_the_end = {{"uart.msr.dcts.kept", "uart_registers"}};
  wrong.survivors = {{"uart.scr.b1.stuck1", "because"}};
  const Matrix matrix(*kvm, wrong);
  const auto clean = check_clean(matrix, wrong);
  EXPECT_THAT(clean, ::testing::Contains("uart_registers does not report + uart.dream"));
  EXPECT_THAT(clean, ::testing::Contains(
                         "uart_registers reports uart.reset_values, which the table has not"));
  double score = 100;
  const auto faults = check_faults(
      matrix, wrong, {"uart.scr.b0.stuck0", "uart.scr.b1.stuck1", "pit.clock.fast"}, score);
  for (const char* text : {"uart_registers with uart.lsr.oe.kept does not report - uart.readback",
                           "uart_registers with uart.scr.b0.stuck0 does not report - uart.dream",
                           "uart.loopback has no fault that turns it red",
                           "uart_registers with uart.msr.dcts.kept ends as if nothing were wrong",
                           "uart.scr.b1.stuck1 is listed as a survivor, and uart_registers sees it",
                           "pit.clock.fast is neither killed nor a survivor",
                           "uart.lsr.oe.kept is no fault of a device"}) {
    EXPECT_THAT(faults, ::testing::Contains(text));
  }
  EXPECT_EQ(score, 0);
}

TEST_F(DeviceMatrix, AGuestThatDoesNotEndIsSeen) {
  DeviceTable halts;
  halts.clauses = {{"halt.dream", "halt", {}, {}, {}}};
  EXPECT_THAT(check_clean(Matrix(*kvm, halts), halts),
              ElementsAre(HasSubstr("halt has no right end"), "halt does not report + halt.dream"));
  halts.clauses[0].guest = "nobody";
  EXPECT_THAT(check_clean(Matrix(*kvm, halts), halts), ElementsAre(HasSubstr("nobody")));
}

TEST(DeviceTableFile, BadOnesSayWhere) {
  const std::string path = ::testing::TempDir() + "devices_" + std::to_string(getpid()) + ".json";
  const std::string row =
      R"({"id":"a","section":"s","clause":"c","new":false,"guest":"g","source":"d","expects":"e",)"
      R"("needs":[],"kills":["f"]})";
  const auto with = [](const std::string& clauses, const std::string& survivors) {
    return R"({"clauses":[)" + clauses + R"(],"by_the_end":[],"survivors":[)" + survivors + "]}";
  };
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"{", "parse error"},
      {"[]", "missing or unknown"},
      {R"({"clauses":[],"by_the_end":[]})", "/survivors"},
      {with("{}", ""), "/clauses/0/"},
      {with(row + "," + row, ""), "/clauses/1/id"},
      {with(row, R"({"fault":"f","reason":"r"})"), "/survivors/0/fault"},
      {with(row, R"({"fault":"x","reason":""})"), "/survivors/0/reason"},
      {with(R"({"id":1})", ""), "/clauses/0/"},
      {with(R"({"idd":1})", ""), "/clauses/0/idd"}};
  for (const auto& [text, where] : bad) {
    std::ofstream(path) << text;
    const auto table = read_device_table(path);
    ASSERT_FALSE(table) << text;
    EXPECT_THAT(table.error().describe(), HasSubstr(where));
    EXPECT_EQ(table.error().kind, Error::Kind::usage);
  }
  std::ofstream(path) << with(row, R"({"fault":"x","reason":"r"})");
  EXPECT_TRUE(read_device_table(path));
  std::remove(path.c_str());
  EXPECT_FALSE(read_device_table(path));
}

}  // namespace
}  // namespace ringfence::vmm
