#include "harness/policy/overlay_options.h"

#include <string_view>

namespace ringfence {
namespace {

// "a\:b:c" -> "a:b", "c".
void add_lowers(std::string_view text, std::vector<std::string>& list) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      path += text[++i];
    } else if (text[i] == ':') {
      list.push_back(std::move(path));
      path.clear();
    } else {
      path += text[i];
    }
  }
  list.push_back(std::move(path));
}

// mount(2) splits at commas, overlayfs then at colons; both take a backslash for an escape, so
// what is left for overlayfs is escaped first.
std::string escaped(std::string_view path, std::string_view special) {
  std::string text;
  for (const char c : path) {
    if (special.find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  return text;
}

}  // namespace

OverlayOptions read_overlay_options(const Mount& mount) {
  OverlayOptions options;
  for (const auto& option : mount.options) {
    Mount single;
    single.options = {option};
    parse_mount_options(single);
    if (single.data.empty()) continue;  // a flag of the mount
    const std::string_view text = single.data;
    const auto value = [&](std::string_view key) { return text.substr(key.size()); };
    if (text.starts_with("lowerdir+=")) {
      options.lower.emplace_back(value("lowerdir+="));
    } else if (text.starts_with("lowerdir=")) {
      add_lowers(value("lowerdir="), options.lower);
    } else if (text.starts_with("upperdir=")) {
      options.upper = value("upperdir=");
    } else if (text.starts_with("workdir=")) {
      options.work = value("workdir=");
    } else if (text == "userxattr") {
      options.userxattr = true;
    } else {
      options.others.emplace_back(text);
    }
  }
  return options;
}

std::string overlay_data(const OverlayOptions& options) {
  std::string data = "lowerdir=";
  for (size_t i = 0; i < options.lower.size(); ++i) {
    if (i > 0) data += ':';
    data += escaped(options.lower[i], "\\:,");
  }
  if (!options.upper.empty()) {
    data += ",upperdir=" + escaped(options.upper, "\\,");
    data += ",workdir=" + escaped(options.work, "\\,");
  }
  if (options.userxattr) data += ",userxattr";
  for (const auto& other : options.others) data += "," + escaped(other, "\\,");
  return data;
}

}  // namespace ringfence
