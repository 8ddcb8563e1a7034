// runtime-spec config.md "Mounts" and config-linux.md: mounts, id maps of mounts, and what the
// options of an overlay must have (overlayfs.rst).
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <set>

#include "harness/base/file.h"
#include "harness/policy/oci_sections.h"
#include "harness/policy/overlay_options.h"

namespace ringfence {
namespace {

// An option that is given to overlayfs, and what is wrong with it.
void check_overlay(const JsonNode& item, const Mount& mount) {
  const JsonNode options = item.get("options");
  const JsonNode where = options ? options : item;
  const OverlayOptions overlay = read_overlay_options(mount);
  if (overlay.lower.empty()) {
    return where.fail("an overlay without lower layers", "an option lowerdir=PATH[:PATH]...");
  }
  if (overlay.lower.size() > kOverlayLowersMax) {
    return where.fail("too many lower layers: " + std::to_string(overlay.lower.size()),
                      "at most " + std::to_string(kOverlayLowersMax));
  }
  if (overlay.upper.empty() != overlay.work.empty()) {
    return where.fail(
        overlay.upper.empty() ? "workdir without upperdir" : "upperdir without workdir",
        "both, or neither for a read-only overlay");
  }
  std::vector<std::string> paths = overlay.lower;
  for (const auto* path : {&overlay.upper, &overlay.work}) {
    if (!path->empty()) paths.push_back(*path);
  }
  for (const auto& path : paths) {
    if (!path.starts_with('/')) where.fail("not an absolute path: \"" + path + "\"", "/" + path);
  }
  const auto inside = [](const std::string& a, const std::string& b) {
    return a == b || a.starts_with(b + "/");
  };
  if (!overlay.upper.empty() &&
      (inside(overlay.upper, overlay.work) || inside(overlay.work, overlay.upper))) {
    where.fail("workdir and upperdir overlap", "two directories, neither below the other");
  }
}

void check_id_maps(const JsonNode& item, const Mount& mount, const Policy& policy) {
  if (mount.id_mapped == Mount::IdMapped::no) return;
  const JsonNode options = item.get("options");
  const JsonNode where = mount.uid_mappings.empty() ? options : item.get("uidMappings");
  if ((mount.flags & MS_BIND) == 0) {
    return where.fail("id maps on a mount that is no bind", "an option bind or rbind");
  }
  if (mount.uid_mappings.empty() != mount.gid_mappings.empty()) {
    const char* lacks = mount.uid_mappings.empty() ? "uidMappings" : "gidMappings";
    return item.fail(std::string(lacks) + " is missing", "both, or neither with an option idmap");
  }
  if (!mount.uid_mappings.empty()) return;
  const Namespace* user = policy.find(Ns::user);
  if (user == nullptr || !user->path.empty()) {
    options.fail("idmap without maps",
                 "uidMappings and gidMappings, or a new namespace of type user");
  }
}

void read_mount(const JsonNode& item, Policy& policy) {
  item.object({"destination", "type", "source", "options", "uidMappings", "gidMappings"});
  Mount mount;
  mount.destination = item.require("destination").absolute_path();
  mount.type = item.get("type").string();
  mount.source = item.get("source").string();
  for (const auto& option : item.get("options").items()) mount.options.push_back(option.string());
  mount.uid_mappings = read_id_maps(item.get("uidMappings"));
  mount.gid_mappings = read_id_maps(item.get("gidMappings"));
  parse_mount_options(mount);
  const bool bind = (mount.flags & MS_BIND) != 0;
  const bool remount = (mount.flags & MS_REMOUNT) != 0;
  if (item.get("destination") && mount.type.empty() && !bind && !remount) {
    item.fail("a mount without a type", "a type such as tmpfs, or an option bind");
  }
  if (bind && mount.source.empty() && !remount) {
    item.fail("a bind without a source", "the path to bind");
  }
  if (mount.type == "overlay" && !bind) check_overlay(item, mount);
  check_id_maps(item, mount, policy);
  if (mount.copy_up && (bind || mount.type != "tmpfs")) {
    item.get("options").fail("tmpcopyup on a mount that is no tmpfs", "a mount of type tmpfs");
  }
  policy.mounts.push_back(std::move(mount));
}

}  // namespace

void read_mounts(const JsonNode& mounts, Policy& policy) {
  for (const auto& item : mounts.items()) read_mount(item, policy);
}

}  // namespace ringfence
