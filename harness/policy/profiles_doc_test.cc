// docs/profiles.md and the code must agree. RINGFENCE_UPDATE_DOCS=1 writes the tables anew.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>

#include "harness/base/file.h"
#include "harness/policy/builtin.h"
#include "harness/policy/read.h"
#include "harness/policy/ringfence_annotations.h"

namespace ringfence {
namespace {

const std::string kFile = RINGFENCE_SOURCE_DIR "/docs/profiles.md";
const std::string kBegin = "<!-- tables: begin -->\n";
const std::string kEnd = "<!-- tables: end -->\n";

template <typename List, typename Text>
std::string join(const List& list, const Text& text) {
  std::string all;
  for (const auto& item : list) all += (all.empty() ? "" : ", ") + std::string(text(item));
  return all.empty() ? "-" : all;
}

std::string yes(bool value) { return value ? "yes" : "no"; }

std::string capability_words(const std::optional<CapSet>& set) {
  if (!set) return "as the caller's";
  if (*set == caller_bounding_set()) return "all that the caller may pass on";
  return join(set->names(), [](const std::string& name) { return name.substr(4); });
}

std::string map_words(const std::vector<IdMap>& maps, uint32_t own) {
  return join(maps, [&](const IdMap& m) {
    const std::string outside =
        m.count == 1 && m.outside == own ? "the caller's" : std::to_string(m.outside);
    return std::to_string(m.inside) + " -> " + outside + ", " + std::to_string(m.count);
  });
}

// podman's limits are cut to the caller's own.
std::string rlimit_words(const Policy& policy) {
  return join(policy.rlimits, [&](const Rlimit& limit) {
    const std::string name = std::string(rlimit_name(limit.resource)).substr(7) + " ";
    if (policy.name != "podman-default") return name + std::to_string(limit.hard);
    return name + (limit.resource == RLIMIT_NOFILE ? "1048576" : "32768") + " at most";
  });
}

std::string root_words(const Policy& policy) {
  if (!policy.root) return "-";
  std::string text = policy.root->readonly ? "read-only" : "writable";
  const std::string flags = flag_words(policy.root->flag_set);
  return flags.empty() ? text : text + ", " + flags;
}

std::string seccomp_words(const Policy& policy) {
  if (!policy.seccomp) return "-";
  const Seccomp& s = *policy.seccomp;
  // The containers package's profile is the host's and varies.
  if (policy.name == "podman-default") return kContainersSeccomp;
  size_t names = 0;
  for (const auto& rule : s.rules) names += rule.names.size();
  return std::to_string(s.rules.size()) + " rules, " + std::to_string(names) +
         " names; otherwise " + errno_name(static_cast<int>(s.default_errno.value_or(EPERM)));
}

std::vector<std::pair<std::string, std::string>> rows(const Policy& p) {
  const auto same = [](const std::string& s) { return s; };
  return {
      {"user",
       !p.set_user ? "the caller" : std::to_string(p.user.uid) + ":" + std::to_string(p.user.gid)},
      {"umask", p.user.umask
                    ? "0" + std::to_string(*p.user.umask / 8) + std::to_string(*p.user.umask % 8)
                    : "-"},
      {"namespaces", join(kAllNs, [&](Ns ns) { return p.has(ns) ? ns_name(ns) : "~"; })},
      {"uid map", map_words(p.uid_mappings, geteuid())},
      {"gid map", map_words(p.gid_mappings, getegid())},
      {"time offsets",
       join(p.time_offsets,
            [](const auto& o) { return o.first + " " + std::to_string(o.second.seconds) + " s"; })},
      {"bounding", capability_words(p.capabilities.bounding)},
      {"effective", capability_words(p.capabilities.effective)},
      {"permitted", capability_words(p.capabilities.permitted)},
      {"inheritable", capability_words(p.capabilities.inheritable)},
      {"ambient", capability_words(p.capabilities.ambient)},
      {"no_new_privs", yes(p.no_new_privileges)},
      {"seccomp", seccomp_words(p)},
      {"root", root_words(p)},
      {"mounts", join(p.mounts,
                      [&](const Mount& m) {
                        return m.destination + " (" + m.type + ": " + join(m.options, same) + ")";
                      })},
      {"masked", join(p.masked_paths, same)},
      {"read-only", join(p.readonly_paths, same)},
      {"sysctl", join(p.sysctl, [](const auto& s) { return s.first + "=" + s.second; })},
      {"pids.max", p.resources.pids_limit ? std::to_string(*p.resources.pids_limit) : "-"},
      {"memory.max", p.resources.memory_limit ? std::to_string(*p.resources.memory_limit) : "-"},
      {"devices", p.resources.devices.empty() ? "all" : "those that every runtime allows"},
      {"rlimits", rlimit_words(p)},
      {"session of its own", yes(p.new_session)},
      {"other descriptors closed", yes(p.close_descriptors)},
  };
}

std::string without_gaps(std::string text) {
  for (const auto* gap : {"~, ", ", ~", "~"}) {
    for (size_t at = text.find(gap); at != std::string::npos; at = text.find(gap)) {
      text.erase(at, std::string(gap).size());
    }
  }
  return text.empty() ? "-" : text;
}

std::string table(const Profile& named) {
  const auto policy = profile(named.name);
  std::string text =
      "### " + named.name + "\n\n" + named.title + ".\n\n| part | contents |\n| --- | --- |\n";
  for (const auto& [part, contents] : rows(*policy)) {
    text +=
        "| " + part + " | " + (part == "namespaces" ? without_gaps(contents) : contents) + " |\n";
  }
  return text + "\n";
}

TEST(ProfilesDoc, TablesAgreeWithTheCode) {
  auto read = read_file(kFile);
  ASSERT_TRUE(read) << read.error().describe();
  std::string text = *read;
  const size_t begin = text.find(kBegin);
  const size_t end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  const std::string tables = text.substr(begin + kBegin.size(), end - begin - kBegin.size());
  std::string all;
  for (const auto& named : profiles()) {
    if (!profile(named.name)) {  // podman-default, where the host does not have its profile
      const size_t at = tables.find("### " + named.name + "\n");
      ASSERT_NE(at, std::string::npos);
      all += tables.substr(at, tables.find("### ", at + 1) - at);
      continue;
    }
    all += table(named);
  }
  if (std::getenv("RINGFENCE_UPDATE_DOCS") != nullptr) {
    text.replace(begin + kBegin.size(), tables.size(), all);
    std::ofstream(kFile) << text;
    return;
  }
  EXPECT_EQ(tables, all) << "run again with RINGFENCE_UPDATE_DOCS=1 and look at the difference";
}

TEST(ProfilesDoc, NamesEveryAnnotation) {
  const auto text = read_file(kFile);
  ASSERT_TRUE(text);
  for (const auto name : {annotations::kRootFlags, annotations::kRootFresh, annotations::kRootNone,
                          annotations::kNewSession, annotations::kCloseDescriptors,
                          annotations::kSetUser, annotations::kUnsetCapabilities,
                          annotations::kTime, annotations::kTimeOffsets, annotations::kNetwork}) {
    EXPECT_NE(text->find("`" + std::string(name) + "`"), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace ringfence
