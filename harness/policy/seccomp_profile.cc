// Seccomp objects: the one of runtime-spec config-linux.md "Seccomp", and the profiles of Docker
// (moby/profiles seccomp/seccomp.go) and containers (containers/common pkg/seccomp/types.go), which
// add archMap, conditions and errno names.
#include <sys/syscall.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/policy/seccomp_reader.h"
#include "harness/policy/syscalls.h"

namespace ringfence {
namespace {

constexpr uint32_t kErrnoMax = 4095;   // MAX_ERRNO: the kernel caps larger ones in silence
constexpr uint32_t kTraceMax = 65535;  // SECCOMP_RET_DATA

struct Architecture {
  std::string_view name;
  std::string_view docker;  // the word of includes.arches, or empty
};
constexpr std::array kArchitectures = {
    Architecture{"SCMP_ARCH_X86", "x86"},
    Architecture{"SCMP_ARCH_X86_64", "amd64"},
    Architecture{"SCMP_ARCH_X32", "x32"},
    Architecture{"SCMP_ARCH_ARM", "arm"},
    Architecture{"SCMP_ARCH_AARCH64", "arm64"},
    Architecture{"SCMP_ARCH_LOONGARCH64", "loong64"},
    Architecture{"SCMP_ARCH_M68K", ""},
    Architecture{"SCMP_ARCH_MIPS", "mips"},
    Architecture{"SCMP_ARCH_MIPS64", "mips64"},
    Architecture{"SCMP_ARCH_MIPS64N32", "mips64n32"},
    Architecture{"SCMP_ARCH_MIPSEL", "mipsel"},
    Architecture{"SCMP_ARCH_MIPSEL64", "mipsel64"},
    Architecture{"SCMP_ARCH_MIPSEL64N32", "mipsel64n32"},
    Architecture{"SCMP_ARCH_PARISC", "parisc"},
    Architecture{"SCMP_ARCH_PARISC64", "parisc64"},
    Architecture{"SCMP_ARCH_PPC", "ppc"},
    Architecture{"SCMP_ARCH_PPC64", "ppc64"},
    Architecture{"SCMP_ARCH_PPC64LE", "ppc64le"},
    Architecture{"SCMP_ARCH_RISCV64", "riscv64"},
    Architecture{"SCMP_ARCH_S390", "s390"},
    Architecture{"SCMP_ARCH_S390X", "s390x"},
    Architecture{"SCMP_ARCH_SH", ""},
    Architecture{"SCMP_ARCH_SHEB", ""},
};

std::string architecture(const JsonNode& node) {
  std::string name = node.string();
  const auto* it = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                                [&](const Architecture& a) { return a.name == name; });
  if (it == kArchitectures.end()) {
    std::vector<std::string> names;
    names.reserve(kArchitectures.size());
    for (const auto& a : kArchitectures) names.emplace_back(a.name);
    fail_unknown(node, "architecture", name, names);
  }
  return name;
}

SeccompAction action(const JsonNode& node) {
  const std::string name = node.string();
  const auto found = seccomp_action_by_name(name);
  if (!found && node.present()) {
    std::vector<std::string> names = {"SCMP_ACT_KILL"};
    for (int a = 0; a <= static_cast<int>(SeccompAction::notify); ++a) {
      names.emplace_back(seccomp_action_name(static_cast<SeccompAction>(a)));
    }
    fail_unknown(node, "action", name, names);
  }
  return found.value_or(SeccompAction::errno_);
}

SeccompOp compare_op(const JsonNode& node) {
  const std::string name = node.string();
  const auto found = seccomp_op_by_name(name);
  if (!found && node.present()) {
    std::vector<std::string> names;
    for (int o = 0; o <= static_cast<int>(SeccompOp::masked_eq); ++o) {
      names.emplace_back(seccomp_op_name(static_cast<SeccompOp>(o)));
    }
    fail_unknown(node, "operator", name, names);
  }
  return found.value_or(SeccompOp::eq);
}

// A number under one name, or (in profiles) an errno's name under another, which wins.
std::optional<uint32_t> errno_of(const JsonNode& number, const JsonNode& name,
                                 SeccompAction action) {
  std::optional<uint32_t> value;
  if (number) value = number.u32(action == SeccompAction::trace ? kTraceMax : kErrnoMax);
  const std::string word = name.string();
  if (!word.empty()) {
    const int err = errno_by_name(word);
    if (err == 0) name.fail("unknown errno \"" + word + "\"", "a name such as EPERM");
    value = static_cast<uint32_t>(err);
  }
  return value;
}

SeccompArg argument(const JsonNode& node) {
  node.object({"index", "value", "valueTwo", "op"});
  SeccompArg arg;
  arg.index = node.require("index").u32(5);
  arg.value = node.require("value").unsigned_integer(UINT64_MAX);
  arg.value_two = node.get("valueTwo").unsigned_integer(UINT64_MAX);
  arg.op = compare_op(node.require("op"));
  return arg;
}

std::string native_word(const HostProfile& host) {
  for (const auto& a : kArchitectures) {
    if (a.name == host.architecture) return std::string(a.docker);
  }
  return {};
}

// "4.8"
std::optional<std::pair<int, int>> kernel_version(const JsonNode& node) {
  const std::string text = node.string();
  if (text.empty()) return std::nullopt;
  int major = -1;
  int minor = -1;
  const char* end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, major);
  bool good = parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '.';
  if (good) {
    parsed = std::from_chars(parsed.ptr + 1, end, minor);
    good = parsed.ec == std::errc() && parsed.ptr == end;
  }
  if (!good || major < 0 || minor < 0 || major > 255 || minor > 255 || major + minor == 0) {
    node.fail("malformed kernel version \"" + text + "\"", "VERSION.PATCHLEVEL, such as 4.8");
    return std::nullopt;
  }
  return std::pair(major, minor);
}

struct Conditions {
  std::vector<std::string> caps;
  std::vector<std::string> arches;
  std::optional<std::pair<int, int>> min_kernel;
};

Conditions conditions(const JsonNode& node) {
  node.object({"caps", "arches", "minKernel"});
  Conditions found;
  for (const auto& item : node.get("caps").items()) {
    found.caps.push_back(item.string());
    if (!found.caps.back().starts_with("CAP_") || !cap_by_name(found.caps.back())) {
      fail_unknown(item, "capability", found.caps.back(), CapSet::all().names());
    }
  }
  found.arches = node.get("arches").strings();
  found.min_kernel = kernel_version(node.get("minKernel"));
  return found;
}

// Docker's setupSeccomp: any exclusion that applies drops the rule; each kind of inclusion that is
// given must apply, and of capabilities all of them.
bool applies(const JsonNode& rule, const HostProfile& host, const CapSet& caps) {
  const Conditions excludes = conditions(rule.get("excludes"));
  const Conditions includes = conditions(rule.get("includes"));
  const std::string native = native_word(host);
  const auto has_cap = [&](const std::string& name) { return caps.has(name); };
  const auto is_native = [&](const std::string& arch) { return arch == native; };
  const auto reached = [&](const std::pair<int, int>& version) {
    return std::pair(host.kernel_major, host.kernel_minor) >= version;
  };
  if (std::any_of(excludes.arches.begin(), excludes.arches.end(), is_native)) return false;
  if (std::any_of(excludes.caps.begin(), excludes.caps.end(), has_cap)) return false;
  if (excludes.min_kernel && reached(*excludes.min_kernel)) return false;
  if (!includes.arches.empty() &&
      std::none_of(includes.arches.begin(), includes.arches.end(), is_native)) {
    return false;
  }
  if (!std::all_of(includes.caps.begin(), includes.caps.end(), has_cap)) return false;
  return !includes.min_kernel || reached(*includes.min_kernel);
}

void check_name(const JsonNode& node, const std::string& name) {
  if (!well_formed_syscall_name(name)) {
    node.fail("malformed syscall name \"" + name + "\"", "letters, digits and underscores");
  } else if (!known_syscall(name)) {
    node.warn("unknown syscall \"" + name + "\": no rule is made for it");
  }
}

std::vector<std::string> names_of(const JsonNode& node, bool profile) {
  std::vector<std::string> names;
  const JsonNode list = profile ? node.get("names") : node.require("names");
  for (const auto& item : list.items()) {
    names.push_back(item.string());
    if (!item.context().failed()) check_name(item, names.back());
  }
  if (!profile) {
    if (list && names.empty()) list.warn("no names: the rule does nothing");
    return names;
  }
  const JsonNode single = node.get("name");
  const std::string name = single.string();
  if (!name.empty() && !names.empty()) {
    single.fail("both \"name\" and \"names\"", "one of the two");
  } else if (!name.empty()) {
    check_name(single, name);
    names.push_back(name);
  } else if (names.empty()) {
    node.fail("missing field", "\"names\" is required");
  }
  return names;
}

// A rule whose arguments name one index twice means, in runc and crun, one rule for each condition
// (libseccomp cannot hold both in one): here it becomes that.
void add_rule(Seccomp& seccomp, SeccompRule rule) {
  std::array<int, 6> uses{};
  bool repeated = false;
  for (const auto& arg : rule.args) repeated |= ++uses.at(arg.index) > 1;
  if (!repeated) {
    seccomp.rules.push_back(std::move(rule));
    return;
  }
  for (const auto& arg : rule.args) {
    SeccompRule single = rule;
    single.args = {arg};
    seccomp.rules.push_back(std::move(single));
  }
}

void read_architectures(const JsonNode& node, const HostProfile& host, bool profile,
                        Seccomp& seccomp) {
  const JsonNode list = node.get("architectures");
  for (const auto& item : list.items()) {
    // containers/common has a word for the native one.
    const bool native = profile && item.string() == "SCMP_ARCH_NATIVE";
    seccomp.architectures.push_back(native ? host.architecture : architecture(item));
  }
  const std::string other = "it must list " + host.architecture;
  const auto has_native = [&] {
    return std::find(seccomp.architectures.begin(), seccomp.architectures.end(),
                     host.architecture) != seccomp.architectures.end();
  };
  if (!seccomp.architectures.empty() && !has_native()) {
    list.fail("seccomp profile for another architecture", other);
  }
  if (!profile) return;
  const JsonNode map = node.get("archMap");
  const auto entries = map.items();
  if (!entries.empty() && !seccomp.architectures.empty()) {
    map.fail("both \"architectures\" and \"archMap\"", "one of the two");
  }
  for (const auto& entry : entries) {
    entry.object({"architecture", "subArchitectures"});
    const std::string name = architecture(entry.require("architecture"));
    std::vector<std::string> sub;
    for (const auto& item : entry.get("subArchitectures").items())
      sub.push_back(architecture(item));
    if (name == host.architecture && seccomp.architectures.empty()) {
      seccomp.architectures.push_back(name);
      seccomp.architectures.insert(seccomp.architectures.end(), sub.begin(), sub.end());
    }
  }
  if (!entries.empty() && !has_native()) {
    map.fail("seccomp profile for another architecture", other);
  }
}

}  // namespace

Seccomp read_seccomp_object(const JsonNode& node, const HostProfile& host, const CapSet* caps) {
  const bool profile = caps != nullptr;
  if (profile) {
    node.object({"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap",
                 "flags", "listenerPath", "listenerMetadata", "syscalls", "comment"});
  } else {
    node.object({"defaultAction", "defaultErrnoRet", "architectures", "flags", "listenerPath",
                 "listenerMetadata", "syscalls"});
  }
  const JsonNode nothing(node.context(), nullptr, node.pointer());
  Seccomp seccomp;
  const JsonNode default_action = node.require("defaultAction");
  seccomp.default_action = action(default_action);
  if (seccomp.default_action == SeccompAction::notify) {
    default_action.fail("SCMP_ACT_NOTIFY as default action",
                        "a default that needs no answer: it would stop the start of the target");
  }
  seccomp.default_errno =
      errno_of(node.get("defaultErrnoRet"), profile ? node.get("defaultErrno") : nothing,
               seccomp.default_action);
  read_architectures(node, host, profile, seccomp);
  for (const auto& flag : node.get("flags").items()) {
    seccomp.flags.push_back(
        flag.word({"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC",
                   "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}));
  }
  seccomp.listener_path = node.get("listenerPath").string();
  seccomp.listener_metadata = node.get("listenerMetadata").string();
  for (const auto& item : node.get("syscalls").items()) {
    if (profile) {
      item.object({"names", "name", "action", "errnoRet", "errno", "args", "comment", "includes",
                   "excludes"});
      (void)item.get("comment").string();
    } else {
      item.object({"names", "action", "errnoRet", "args"});
    }
    SeccompRule rule;
    rule.names = names_of(item, profile);
    rule.action = action(item.require("action"));
    rule.errno_ret =
        errno_of(item.get("errnoRet"), profile ? item.get("errno") : nothing, rule.action);
    for (const auto& arg : item.get("args").items()) rule.args.push_back(argument(arg));
    if (node.context().failed()) return seccomp;
    if (!profile || applies(item, host, *caps)) add_rule(seccomp, std::move(rule));
  }
  return seccomp;
}

HostProfile HostProfile::current() {
  HostProfile host;
  utsname names{};
  if (sys::call(SYS_uname, sys::arg(&names)) != 0) return host;  // minKernel then never holds
  const std::string_view release = names.release;
  const char* end = release.data() + release.size();
  const auto major = std::from_chars(release.data(), end, host.kernel_major);
  if (major.ec == std::errc() && major.ptr != end && *major.ptr == '.') {
    std::from_chars(major.ptr + 1, end, host.kernel_minor);
  }
  return host;
}

Result<ReadSeccomp> parse_seccomp_profile(std::string_view json, const std::string& file,
                                          const CapSet& caps, const HostProfile& host) {
  auto document = JsonDocument::parse(json, file);
  if (!document) return tl::unexpected(document.error());
  JsonContext context(file);
  Seccomp seccomp = read_seccomp_object(document->root(context), host, &caps);
  if (context.failed()) return tl::unexpected(context.error());
  return ReadSeccomp{std::move(seccomp), std::move(context.warnings)};
}

Result<ReadSeccomp> read_seccomp_profile(const std::string& file, const CapSet& caps,
                                         const HostProfile& host) {
  auto text = read_file(file, kJsonSizeLimit);
  if (!text) {
    Error error = text.error();
    error.kind = Error::Kind::usage;
    error.what = "read seccomp profile";
    error.object = file;
    return tl::unexpected(std::move(error));
  }
  return parse_seccomp_profile(*text, file, caps, host);
}

}  // namespace ringfence
