// runtime-spec config.md: the top of a config.json, its root and its mounts.
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "harness/base/file.h"
#include "harness/policy/notify.h"
#include "harness/policy/oci_sections.h"
#include "harness/policy/ringfence_annotations.h"

namespace ringfence {
namespace {

using Kind = FieldType::Kind;

constexpr size_t kHostNameMax = 64;  // uname(2): __NEW_UTS_LEN

// SemVer 2.0.0, as far as the order of releases needs it.
void read_version(const JsonNode& node, Policy& policy) {
  policy.oci_version = node.string();
  const std::string& text = policy.oci_version;
  std::array<int, 3> numbers{};
  const char* at = text.data();
  const char* end = at + text.size();
  bool good = true;
  for (size_t i = 0; i < numbers.size() && good; ++i) {
    const auto parsed = std::from_chars(at, end, numbers.at(i));
    good = parsed.ec == std::errc() && numbers.at(i) >= 0;
    at = parsed.ptr;
    if (i + 1 < numbers.size()) {
      good = good && at != end && *at == '.';
      ++at;
    }
  }
  if (!good || (at != end && *at != '-' && *at != '+')) {
    node.fail("malformed version \"" + text + "\"", "MAJOR.MINOR.PATCH, such as 1.0.2");
  } else if (numbers[0] != 1) {
    node.fail("unsupported version \"" + text + "\"", "1.0 to 1.2");
  } else if (numbers[1] > 2) {
    node.warn("newer than 1.2: fields that 1.2 does not have are ignored");
  }
}

void read_root(const JsonNode& node, Policy& policy) {
  node.object({"path", "readonly"});
  Policy::Root root;
  const JsonNode path = node.require("path");
  root.path = path.string();
  if (path && root.path.empty())
    path.fail("empty root path", "the directory of the root file system");
  root.readonly = node.get("readonly").boolean();
  policy.root = std::move(root);
}

std::string read_uts_name(const JsonNode& node, const Policy& policy) {
  std::string name = node.string();
  if (name.size() > kHostNameMax) {
    node.fail("name is too long: " + std::to_string(name.size()) + " bytes", "at most 64 bytes");
  } else if (!name.empty() && !policy.has(Ns::uts)) {
    node.fail("the name would become the host's", "a namespace of type uts in /linux/namespaces");
  }
  return name;
}

void read_annotations(const JsonNode& node, Policy& policy) {
  for (const auto& [key, value] : node.members()) {
    if (key.empty()) value.fail("empty annotation key", "a key of at least one character");
    if (key.starts_with(annotations::kPrefix)) continue;
    policy.annotations[key] = value.string();
  }
  read_ringfence_annotations(node, policy);
}

}  // namespace

void check_fields(const JsonNode& node, std::initializer_list<FieldType> fields) {
  if (!node) return;
  for (const auto& [name, value] : node.members()) {
    const std::string& key = name;  // clang 14 captures no structured bindings
    const auto* field = std::find_if(fields.begin(), fields.end(),
                                     [&](const FieldType& f) { return f.name == key; });
    if (field == fields.end()) {
      value.warn("unknown field, ignored");
      continue;
    }
    switch (field->kind) {
      case Kind::string:
        (void)value.string();
        break;
      case Kind::boolean:
        (void)value.boolean();
        break;
      case Kind::u32:
        (void)value.u32();
        break;
      case Kind::u64:
        (void)value.unsigned_integer(UINT64_MAX);
        break;
      case Kind::i32:
        (void)value.signed_integer(INT32_MIN, INT32_MAX);
        break;
      case Kind::i64:
        (void)value.signed_integer(INT64_MIN, INT64_MAX);
        break;
      case Kind::strings:
        (void)value.strings();
        break;
      case Kind::map:
        for (const auto& [word, text] : value.members()) (void)text.string();
        break;
      case Kind::any:
        break;
    }
  }
}

void note_unenforced(Policy& policy, const JsonNode& node, const Layer& layer) {
  if (node.empty_value()) return;
  policy.unenforced.push_back({node.pointer(), layer});
}

Result<ReadPolicy> parse_oci_policy(std::string_view json, const std::string& file) {
  auto document = JsonDocument::parse(json, file);
  if (!document) return tl::unexpected(document.error());
  JsonContext context(file);
  const JsonNode top = document->root(context);
  top.object({"ociVersion", "root", "mounts", "process", "hostname", "domainname", "hooks",
              "annotations", "linux", "solaris", "windows", "vm", "zos", "freebsd"});
  Policy policy;
  policy.name = file;
  const JsonNode version = top.require("ociVersion");
  if (version) read_version(version, policy);
  read_process(top.require("process"), policy);
  read_root(top.require("root"), policy);
  const JsonNode linux_section = top.get("linux");
  read_linux(linux_section, policy);
  read_mounts(top.get("mounts"), policy);
  policy.hostname = read_uts_name(top.get("hostname"), policy);
  policy.domainname = read_uts_name(top.get("domainname"), policy);
  read_hooks(top.get("hooks"), policy);
  read_annotations(top.get("annotations"), policy);
  check_listener(linux_section.get("seccomp"), policy);
  if (!policy.mounts.empty() && !policy.has(Ns::mnt)) {
    top.get("mounts").warn("mounts without a mount namespace would be the host's");
  }
  if (context.failed()) return tl::unexpected(context.error());
  return ReadPolicy{std::move(policy), std::move(context.warnings)};
}

Result<ReadPolicy> read_oci_policy(const std::string& file) {
  auto text = read_file(file, kJsonSizeLimit);
  if (!text) {
    Error error = text.error();
    error.kind = Error::Kind::usage;
    error.what = "read policy";
    error.object = file;
    return tl::unexpected(std::move(error));
  }
  auto read = parse_oci_policy(*text, file);
  // runtime-spec: a relative root.path is relative to the bundle, the directory of config.json.
  // So is the source of a bind.
  const size_t slash = file.rfind('/');
  if (!read || slash == std::string::npos) return read;
  const auto place = [&](std::string& path) {
    if (!path.empty() && !path.starts_with('/')) path.insert(0, file.substr(0, slash + 1));
  };
  if (read->policy.root) place(read->policy.root->path);
  for (Mount& mount : read->policy.mounts) {
    if ((mount.flags & MS_BIND) != 0) place(mount.source);
  }
  return read;
}

}  // namespace ringfence
