#include "harness/policy/ringfence_annotations.h"

#include <linux/securebits.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "harness/base/file.h"
#include "harness/policy/landlock_annotation.h"
#include "harness/policy/notify.h"

namespace ringfence {
namespace {

using namespace annotations;  // constants of this file

struct NamedSet {
  std::string_view name;
  std::optional<CapSet> Capabilities::*set;
};
constexpr std::array kSets = {NamedSet{"bounding", &Capabilities::bounding},
                              NamedSet{"effective", &Capabilities::effective},
                              NamedSet{"permitted", &Capabilities::permitted},
                              NamedSet{"inheritable", &Capabilities::inheritable},
                              NamedSet{"ambient", &Capabilities::ambient}};
struct NamedFlag {
  std::string_view name;
  bool Policy::*flag;
};
constexpr std::array kFlags = {NamedFlag{kNewSession, &Policy::new_session},
                               NamedFlag{kCloseDescriptors, &Policy::close_descriptors},
                               NamedFlag{kSetUser, &Policy::set_user}};

bool truth(const JsonNode& value) { return value.word({"true", "false"}) == "true"; }

void read_root_flags(const JsonNode& value, Policy& policy) {
  Mount mount;
  const std::string options = value.string();
  for (const auto word : split(options, ',')) mount.options.emplace_back(word);
  parse_mount_options(mount);
  if (mount.flags != 0 || mount.propagation != 0 || !mount.data.empty()) {
    value.fail("not mount flags: \"" + value.string() + "\"", "such as nosuid,nodev,noexec");
  }
  if (policy.root) policy.root->flag_set = mount.flag_set;
}

// "monotonic=SECONDS.NANOSECONDS"
bool read_offset(std::string_view text, Policy& policy) {
  const size_t equals = text.find('=');
  const size_t dot = text.find('.');
  if (equals == std::string_view::npos || dot == std::string_view::npos || dot < equals)
    return false;
  const std::string clock(text.substr(0, equals));
  const std::string_view seconds = text.substr(equals + 1, dot - equals - 1);
  const std::string_view nanoseconds = text.substr(dot + 1);
  TimeOffset offset;
  const auto whole = [](std::string_view digits, auto& number) {
    const char* end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, number);
    return parsed.ec == std::errc() && parsed.ptr == end;
  };
  if (!whole(seconds, offset.seconds) || !whole(nanoseconds, offset.nanoseconds)) return false;
  if (offset.nanoseconds > 999'999'999) return false;
  if (clock != "monotonic" && clock != "boottime") return false;
  policy.time_offsets[clock] = offset;
  return true;
}

void read_time(const JsonNode& node, Policy& policy) {
  const JsonNode time = node.get(kTime);
  const JsonNode offsets = node.get(kTimeOffsets);
  if (time) {
    const std::string path = time.string();
    if (path != "new") (void)time.absolute_path();
    if (policy.has(Ns::time)) {
      time.fail("namespace occurs twice: time", "the annotation or /linux/namespaces, not both");
    }
    policy.namespaces.push_back({Ns::time, path == "new" ? std::string() : path});
  }
  if (!offsets) return;
  if (!policy.has(Ns::time)) {
    offsets.fail("time offsets without a time namespace", "an annotation ringfence.time as well");
  }
  const std::string text = offsets.string();
  for (const auto offset : split(text, ',')) {
    if (!read_offset(offset, policy)) {
      offsets.fail("malformed time offset \"" + std::string(offset) + "\"",
                   "monotonic=SECONDS.NANOSECONDS or boottime=...");
    }
  }
}

void read_securebits(const JsonNode& node, Policy& policy) {
  if (!node) return;
  uint32_t bits = 0;
  const std::string text = node.string();
  for (const auto word : split(text, ',')) {
    const auto it = std::find_if(securebits().begin(), securebits().end(),
                                 [&](const Securebit& s) { return s.name == word; });
    if (it != securebits().end()) {
      bits |= it->bit;
      continue;
    }
    std::vector<std::string> names;
    for (const Securebit& known : securebits()) names.emplace_back(known.name);
    fail_unknown(node, "securebit", std::string(word), names);
  }
  policy.securebits = bits;
  const auto& ambient = policy.capabilities.ambient;
  if ((bits & SECBIT_NO_CAP_AMBIENT_RAISE) != 0 && ambient && ambient->mask() != 0) {
    node.fail("no_cap_ambient_raise, and ambient capabilities to raise", "one of the two");
  }
}

struct MountWord {
  uint64_t flag;
  std::string_view word;
};

}  // namespace

void read_ringfence_annotations(const JsonNode& node, Policy& policy) {
  for (const auto& [key, value] : node.members()) {
    if (!key.starts_with(kPrefix)) continue;
    constexpr std::array kKnown = {
        kRootFlags,         kRootFresh,        kRootNone,   kNewSession,  kSetUser,
        kUnsetCapabilities, kCloseDescriptors, kTime,       kTimeOffsets, kInit,
        kNetwork,           kNotify,           kSecurebits, kLandlock,    kSessionKeyring};
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) {
      fail_unknown(value, "annotation", key, {kKnown.begin(), kKnown.end()});
    }
  }
  for (const auto& [name, flag] : kFlags) {
    if (const JsonNode value = node.get(name)) policy.*flag = truth(value);
  }
  if (const JsonNode flags = node.get(kRootFlags)) read_root_flags(flags, policy);
  // Both only for the path that the writer puts there: who edits it wants the new one.
  const std::string path = policy.root ? policy.root->path : std::string();
  if (const JsonNode fresh = node.get(kRootFresh);
      fresh && truth(fresh) && path == kFreshRootPath) {
    policy.root->path.clear();
  }
  if (const JsonNode none = node.get(kRootNone); none && truth(none) && path == kNoRootPath) {
    policy.root.reset();
  }
  if (const JsonNode unset = node.get(kUnsetCapabilities)) {
    const std::string text = unset.string();
    for (const auto name : split(text, ',')) {
      const auto* it = std::find_if(kSets.begin(), kSets.end(),
                                    [&](const NamedSet& s) { return s.name == name; });
      if (it == kSets.end()) {
        unset.fail("unknown capability set \"" + std::string(name) + "\"",
                   "bounding, effective, permitted, inheritable, ambient");
      } else {
        (policy.capabilities.*(it->set)).reset();
      }
    }
  }
  if (const JsonNode init = node.get(kInit)) policy.init = truth(init);
  if (const JsonNode own = node.get(kSessionKeyring)) policy.session_keyring = truth(own);
  read_securebits(node.get(kSecurebits), policy);
  read_landlock(node.get(kLandlock), policy);
  read_time(node, policy);
  read_notify(node.get(kNotify), policy);
  if (const JsonNode network = node.get(kNetwork)) {
    read_network(network, policy.network);
    const Namespace* own = policy.find(Ns::net);
    if (!policy.network.empty() && (own == nullptr || !own->path.empty())) {
      network.fail("interfaces without a new network namespace",
                   "a namespace of type network, without a path, in /linux/namespaces");
    }
  }
}

std::map<std::string, std::string> write_ringfence_annotations(const Policy& policy) {
  std::map<std::string, std::string> list;
  const auto add = [&](std::string_view key, std::string value) {
    list.emplace(key, std::move(value));
  };
  for (const auto& [name, flag] : kFlags) {
    if (!(policy.*flag)) add(name, "false");
  }
  if (policy.init) add(kInit, "true");
  if (policy.session_keyring) add(kSessionKeyring, "true");
  if (policy.securebits) {
    std::string words;
    for (const Securebit& known : securebits()) {
      if ((*policy.securebits & known.bit) == 0) continue;
      words.append(words.empty() ? "" : ",").append(known.name);
    }
    add(kSecurebits, words);
  }
  if (!policy.landlock.empty()) add(kLandlock, write_landlock(policy.landlock));
  if (!policy.root) {
    add(kRootNone, "true");
  } else {
    if (policy.root->path.empty()) add(kRootFresh, "true");
    if (policy.root->flag_set != 0) add(kRootFlags, flag_words(policy.root->flag_set));
  }
  std::string unset;
  for (const auto& [name, set] : kSets) {
    if (policy.capabilities.*set) continue;
    if (!unset.empty()) unset += ',';
    unset += name;
  }
  if (!unset.empty()) add(kUnsetCapabilities, unset);
  if (!policy.network.empty()) add(kNetwork, write_network(policy.network));
  if (policy.seccomp && !policy.seccomp->answers.empty()) {
    add(kNotify, write_notify(policy.seccomp->answers));
  }
  if (!before_1_1(policy)) return list;
  if (const Namespace* time = policy.find(Ns::time)) {
    add(kTime, time->path.empty() ? "new" : time->path);
    std::string offsets;
    for (const auto& [clock, offset] : policy.time_offsets) {
      if (!offsets.empty()) offsets += ',';
      std::string nanoseconds = std::to_string(offset.nanoseconds);
      nanoseconds.insert(0, 9 - std::min<size_t>(9, nanoseconds.size()), '0');
      offsets.append(clock).append("=").append(std::to_string(offset.seconds));
      offsets.append(".").append(nanoseconds);
    }
    if (!offsets.empty()) add(kTimeOffsets, offsets);
  }
  return list;
}

bool before_1_1(const Policy& policy) { return policy.oci_version.starts_with("1.0."); }

std::string flag_words(uint64_t flag_set) {
  constexpr std::array kWords = {
      MountWord{MS_RDONLY, "ro"},         MountWord{MS_NOSUID, "nosuid"},
      MountWord{MS_NODEV, "nodev"},       MountWord{MS_NOEXEC, "noexec"},
      MountWord{MS_NOATIME, "noatime"},   MountWord{MS_NODIRATIME, "nodiratime"},
      MountWord{MS_RELATIME, "relatime"}, MountWord{MS_STRICTATIME, "strictatime"},
      MountWord{MS_SYNCHRONOUS, "sync"},  MountWord{MS_DIRSYNC, "dirsync"},
      MountWord{0x100, "nosymfollow"}};
  std::string text;
  for (const auto& [flag, word] : kWords) {
    if ((flag_set & flag) == 0) continue;
    if (!text.empty()) text += ',';
    text += word;
  }
  return text;
}

std::string propagation_word(uint64_t propagation) {
  std::string word = (propagation & MS_REC) != 0 ? "r" : "";
  if ((propagation & MS_SHARED) != 0) return word + "shared";
  if ((propagation & MS_SLAVE) != 0) return word + "slave";
  if ((propagation & MS_UNBINDABLE) != 0) return word + "unbindable";
  if ((propagation & MS_PRIVATE) != 0) return word + "private";
  return {};
}

}  // namespace ringfence
