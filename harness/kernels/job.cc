#include "harness/kernels/job.h"

#include <nlohmann/json.hpp>

#include "harness/base/file.h"
#include "harness/base/number.h"

namespace ringfence {
namespace {

using nlohmann::json;

std::string dump(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace);
}

// All fields by their types, or an error; the library reports a mismatch by throwing.
template <typename T, typename F>
Result<T> parse(std::string_view text, const char* what, F&& fill) {
  try {
    T value;
    fill(json::parse(text), value);
    return value;
  } catch (const json::exception& error) {
    return usage_error("read message", what, error.what());
  }
}

}  // namespace

std::string to_json(const Job& job) {
  return dump(json{{"argv", job.argv},
                   {"environment", job.environment},
                   {"sysctls", job.sysctls},
                   {"modules", job.modules}});
}

std::string to_json(const Hello& hello) {
  return dump(json{{"release", hello.release},
                   {"cpus", hello.cpus},
                   {"up_ms", hello.up_ms},
                   {"complaints", hello.complaints}});
}

std::string to_json(const Done& done) {
  json value = json::object();
  if (done.exit_code) value["exit_code"] = *done.exit_code;
  if (done.signal) value["signal"] = *done.signal;
  if (!done.error.empty()) value["error"] = done.error;
  return dump(value);
}

Result<Job> parse_job(std::string_view text) {
  return parse<Job>(text, "job", [](const json& from, Job& job) {
    from.at("argv").get_to(job.argv);
    from.at("environment").get_to(job.environment);
    from.at("sysctls").get_to(job.sysctls);
    from.at("modules").get_to(job.modules);
  });
}

Result<Hello> parse_hello(std::string_view text) {
  return parse<Hello>(text, "hello", [](const json& from, Hello& hello) {
    from.at("release").get_to(hello.release);
    from.at("cpus").get_to(hello.cpus);
    from.at("up_ms").get_to(hello.up_ms);
    from.at("complaints").get_to(hello.complaints);
  });
}

Result<Done> parse_done(std::string_view text) {
  auto done = parse<Done>(text, "done", [](const json& from, Done& value) {
    if (from.contains("exit_code")) value.exit_code = from.at("exit_code").get<int>();
    if (from.contains("signal")) value.signal = from.at("signal").get<int>();
    if (from.contains("error")) from.at("error").get_to(value.error);
  });
  if (done && !done->exit_code && !done->signal && done->error.empty()) {
    return usage_error("read message", "done", "it has none of exit_code, signal and error");
  }
  return done;
}

std::string beat_text(const std::map<int, uint64_t>& beats) {
  std::string text;
  for (const auto& [cpu, count] : beats) {
    text += (text.empty() ? "" : " ") + std::to_string(cpu) + ":" + std::to_string(count);
  }
  return text;
}

std::optional<std::map<int, uint64_t>> parse_beat(std::string_view text) {
  std::map<int, uint64_t> beats;
  for (const auto word : split(text, ' ')) {
    const size_t colon = word.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto cpu = parse_int(word.substr(0, colon));
    const auto count = parse_int(word.substr(colon + 1));
    if (!cpu || !count || *cpu < 0 || *count < 0) return std::nullopt;
    beats[*cpu] = static_cast<uint64_t>(*count);
  }
  return beats;
}

}  // namespace ringfence
