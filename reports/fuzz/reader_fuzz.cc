// libFuzzer: no input may crash the reader of result files, and what it accepts must survive being
// written and read again, and be shown without acting on the terminal.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "reports/console_text.h"
#include "reports/explain.h"
#include "reports/reader.h"
#include "reports/record_json.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

bool acts_on_terminal(const std::string& text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7F) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringfence;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto strict = parse_results(text, "FILE");
  const auto lenient = parse_results(text, "FILE", {.accept_truncated = true});
  if (!strict) require(!acts_on_terminal(strict.error().describe()));
  if (strict) require(lenient.has_value());
  if (!lenient) return 0;
  std::string again;
  for (const auto& run : *lenient) {
    again += record_line(run.header) + "\n";
    for (const auto& r : run.cases) again += record_line(r) + "\n";
    for (const auto& r : run.granted) again += record_line(r) + "\n";
    for (const auto& r : run.findings) again += record_line(r) + "\n";
    again += record_line(run.summary) + "\n";
    for (const auto& r : run.cases) {
      require(!acts_on_terminal(render_explain(run.header, r, Style{})));
    }
  }
  const auto reread = parse_results(again, "FILE");
  require(reread.has_value() && reread->size() == lenient->size());
  require(!acts_on_terminal(render_end(*lenient, {}, Style{})));
  return 0;
}
