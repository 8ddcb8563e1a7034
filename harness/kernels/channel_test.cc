// Frames survive what a serial port does to bytes, and what does not survive is counted.
#include "harness/kernels/channel.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ringfence {
namespace {

std::vector<Frame> all(FrameReader& reader) {
  std::vector<Frame> frames;
  while (auto frame = reader.next()) frames.push_back(std::move(*frame));
  return frames;
}

std::string random_body(std::mt19937& random, size_t size) {
  std::string body(size, 0);
  for (char& c : body) c = static_cast<char>(random());
  return body;
}

TEST(Channel, WhatIsWrittenIsReadInPiecesOfAnySize) {
  std::mt19937 random(1);
  FrameWriter writer;
  std::string bytes;
  std::vector<std::string> bodies;
  for (size_t size : {0, 1, 2, 3, 100, 65535, 65536}) {
    bodies.push_back(random_body(random, size));
    bytes += writer.encode(FrameKind::out, bodies.back());
  }
  for (size_t piece : {1, 2, 7, 1000, 1000000}) {
    FrameReader reader;
    std::vector<Frame> frames;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      reader.feed(std::string_view(bytes).substr(at, piece));
      for (auto& frame : all(reader)) frames.push_back(std::move(frame));
    }
    ASSERT_EQ(frames.size(), bodies.size());
    for (size_t i = 0; i < bodies.size(); ++i) EXPECT_EQ(frames[i].body, bodies[i]);
    EXPECT_EQ(reader.lost(), 0U);
    EXPECT_EQ(reader.bytes_passed_over(), 0U);
  }
}

TEST(Channel, ALongBodyComesInSeveralFrames) {
  std::mt19937 random(2);
  const std::string body = random_body(random, 200000);
  FrameReader reader;
  reader.feed(FrameWriter().encode(FrameKind::result, body));
  std::string back;
  const auto frames = all(reader);
  EXPECT_EQ(frames.size(), 4U);
  for (const auto& frame : frames) back += frame.body;
  EXPECT_EQ(back, body);
}

TEST(Channel, WhatIsNoFrameIsPassedOver) {
  FrameWriter writer;
  FrameReader reader;
  const std::string hello = writer.encode(FrameKind::hello, "{}");
  reader.feed("SeaBIOS RF RF\x1e\x03....\r\n" + hello + "noise" +
              writer.encode(FrameKind::done, "x"));
  const auto frames = all(reader);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].kind, FrameKind::hello);
  EXPECT_EQ(frames[1].body, "x");
  EXPECT_EQ(reader.lost(), 0U);
  EXPECT_GT(reader.bytes_passed_over(), 20U);
}

// Any one byte changed, left out or put in: every frame but the one that was hit arrives (a length
// that was hit may take its successors along until as many bytes came), and the gap is counted.
TEST(Channel, ADamagedFrameIsLostAndCounted) {
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    FrameWriter writer;
    std::vector<std::string> pieces;
    std::string bytes;
    for (int i = 0; i < 5; ++i) {
      pieces.push_back(writer.encode(FrameKind::out, random_body(random, random() % 40)));
      bytes += pieces.back();
    }
    const size_t last_begins = bytes.size() - pieces.back().size();
    const size_t where = random() % last_begins;
    switch (round % 3) {
      case 0:
        bytes[where] = static_cast<char>(bytes[where] ^ 1 << random() % 8);
        break;
      case 1:
        bytes.erase(where, 1);
        break;
      default:
        bytes.insert(where, 1, static_cast<char>(random()));
        break;
    }
    // More than any length that is believed.
    for (int i = 0; i < 2; ++i) bytes += writer.encode(FrameKind::err, std::string(65536, 'x'));
    FrameReader reader;
    reader.feed(bytes);
    const auto frames = all(reader);
    ASSERT_GE(frames.size(), 2U);
    EXPECT_EQ(frames.size() + reader.lost(), 7U) << "round " << round;
    EXPECT_LE(reader.lost(), 5U);
    if (round % 3 == 0) {
      EXPECT_GE(reader.lost(), 1U);
    }
  }
}

TEST(Channel, AFrameOutOfOrderIsNoGapOfBillions) {
  FrameWriter writer;
  const std::string first = writer.encode(FrameKind::out, "a");
  const std::string second = writer.encode(FrameKind::out, "b");
  FrameReader reader;
  reader.feed(second + first);
  EXPECT_EQ(all(reader).size(), 2U);
  EXPECT_EQ(reader.lost(), 2U);
}

TEST(Channel, RandomBytesAreNoFrames) {
  std::mt19937 random(4);
  FrameReader reader;
  for (int i = 0; i < 200; ++i) {
    reader.feed(random_body(random, 1000) + "RF\x1e");
    EXPECT_TRUE(all(reader).empty());
  }
}

}  // namespace
}  // namespace ringfence
