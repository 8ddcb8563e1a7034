// libFuzzer: no bytes from a machine, and none of a kernel, a module or a program, may crash what
// reads them. The first byte says which reader gets the rest.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "harness/kernels/channel.h"
#include "harness/kernels/elf.h"
#include "harness/kernels/guest_modules.h"
#include "harness/kernels/job.h"
#include "harness/kernels/kernel_source.h"
#include "harness/kernels/machine.h"
#include "harness/kernels/result_stream.h"

namespace {

using namespace ringfence;

void require(bool condition) {
  if (!condition) std::abort();
}

// However the bytes are cut, the same frames come out; what was written comes back.
void channel(std::string_view bytes) {
  FrameReader whole, pieces;
  whole.feed(bytes);
  std::string one, two;
  FrameWriter writer;
  std::string again;
  while (const auto frame = whole.next()) {
    require(frame->body.size() <= FrameReader::kMaxBody);
    one += static_cast<char>(frame->kind) + frame->body + '\n';
    again += writer.encode(frame->kind, frame->body);
  }
  const size_t step = bytes.empty() ? 1 : 1 + static_cast<unsigned char>(bytes.front()) % 7;
  for (size_t at = 0; at < bytes.size(); at += step) {
    pieces.feed(bytes.substr(at, step));
    while (const auto frame = pieces.next()) {
      two += static_cast<char>(frame->kind) + frame->body + '\n';
    }
  }
  require(one == two && whole.lost() == pieces.lost());
  FrameReader copy;
  copy.feed(again);
  std::string back;
  while (const auto frame = copy.next()) {
    back += static_cast<char>(frame->kind) + frame->body + '\n';
  }
  require(back == one && copy.lost() == 0 && copy.bytes_passed_over() == 0);
}

void messages(std::string_view text) {
  if (const auto job = parse_job(text)) require(parse_job(to_json(*job)).has_value());
  if (const auto hello = parse_hello(text)) require(parse_hello(to_json(*hello)).has_value());
  if (const auto done = parse_done(text)) require(parse_done(to_json(*done)).has_value());
  if (const auto beat = parse_beat(text)) require(parse_beat(beat_text(*beat)) == beat);
  (void)parse_guest_modules(std::string(text));
}

void results(std::string_view bytes) {
  ResultStream stream;
  const size_t half = bytes.size() / 2;
  for (const auto part : {bytes.substr(0, half), bytes.substr(half)}) {
    stream.feed(part, [](const StreamRecord&) {});
  }
  require(!stream.damaged() || !stream.complaint().empty());
}

void files(std::string_view bytes) {
  (void)elf_interpreter(bytes, "FILE");
  (void)module_info(bytes, "FILE");
  if (const auto release = release_of_image(bytes, "FILE")) require(!release->empty());
  require(last_words(bytes, 100).size() <= 100);
  (void)tells_of_panic(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      channel(rest);
      break;
    case 1:
      messages(rest);
      break;
    case 2:
      results(rest);
      break;
    default:
      files(rest);
      break;
  }
  return 0;
}
