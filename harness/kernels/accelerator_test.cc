// The trial of accelerators, with one that carries a kernel (TCG does) and some that do not.
#include "harness/kernels/accelerator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ringfence {
namespace {

using ::testing::HasSubstr;

class Accelerator : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(trial_.program)) GTEST_SKIP() << "host-lacks:qemu-system-x86_64";
  }
  // The hint of the refusal; empty if it was taken.
  std::string refusal() {
    const auto tried = try_accelerator(trial_);
    if (tried) return {};
    EXPECT_EQ(tried.error().kind, Error::Kind::unsupported);
    return tried.error().hint;
  }
  AcceleratorTrial trial_{.program = "/usr/bin/qemu-system-x86_64",
                          .accelerator = "tcg",
                          .patience = std::chrono::seconds(60)};
};

TEST_F(Accelerator, TcgCarriesAKernel) { EXPECT_EQ(refusal(), ""); }

// With -icount an instruction takes 2^shift ns of the machine's own time, however fast this host
// is.
TEST_F(Accelerator, ASlowOneIsRefused) {
  trial_.more = {"-icount", "shift=10"};
  EXPECT_THAT(refusal(), HasSubstr("100 ns an instruction"));
}
TEST_F(Accelerator, OneThatIsFastEnoughByTheSameClock) {
  trial_.more = {"-icount", "shift=5"};
  EXPECT_EQ(refusal(), "");
}

TEST_F(Accelerator, OneThatDoesNotGoOnIsEnded) {
  trial_.more = {"-S"};
  trial_.patience = std::chrono::milliseconds(200);
  EXPECT_THAT(refusal(), HasSubstr("did not end within 200 ms"));
}

// A processor without long mode: the trial ends in a triple fault or an exception without a
// handler.
TEST_F(Accelerator, AProcessorWithoutLongModeIsRefused) {
  trial_.more = {"-cpu", "qemu32"};
  EXPECT_THAT(refusal(), HasSubstr("the trial ended with"));
}

TEST_F(Accelerator, WhatQemuSaysIsTheReason) {
  trial_.accelerator = "nonesuch";
  EXPECT_THAT(refusal(), HasSubstr("nonesuch"));
}

TEST_F(Accelerator, NoQemuIsAnError) {
  trial_.program = "/nonesuch/qemu";
  const auto tried = try_accelerator(trial_);
  ASSERT_FALSE(tried);
  EXPECT_EQ(tried.error().err, ENOENT);
}

}  // namespace
}  // namespace ringfence
