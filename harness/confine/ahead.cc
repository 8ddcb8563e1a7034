#include "harness/confine/ahead.h"

#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "harness/confine/mounts.h"
#include "harness/confine/paths.h"

namespace ringfence {
namespace {

bool within(const std::string& path, const std::string& above) {
  return above == "." || path == above || path.starts_with(above + "/");
}

bool among(std::string_view type, std::initializer_list<std::string_view> types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

void Ahead::mount(const Mount& mount, bool file) {
  const std::string at = path_in_root(mount.destination);
  const bool bind = (mount.flags & MS_BIND) != 0;
  const bool plain = bind ? mount.id_mapped == Mount::IdMapped::no
                          : among(mount.type, {"tmpfs", "devpts", "sysfs", "cgroup", "cgroup2"});
  const bool ahead = plain && (mount.flags & MS_REMOUNT) == 0 && free(mount.destination);
  set(ahead, bind || !among(mount.type, {"proc", "mqueue"}), mount.destination);
  if (!ahead) late_.push_back(at);
  if (bind && !file) foreign_.push_back(at);
}

void Ahead::path(const std::string& path, bool bound) { set(free(path), bound, path); }

void Ahead::default_devices() {
  // Each for itself: something else may be mounted below /dev, late.
  const bool ahead =
      std::all_of(kDefaultDevices.begin(), kDefaultDevices.end(),
                  [this](const char* name) { return free(fmt::format("/dev/{}", name)); });
  set(ahead, true, "/dev");
}

void Ahead::set(bool ahead, bool bound, const std::string& path) {
  plan_.ahead(ahead);
  if (!ahead && bound && bound_late_.empty()) bound_late_ = path;
}

bool Ahead::free(const std::string& path) const {
  const std::string at = path_in_root(path);
  const auto crosses = [&](const std::string& late) {
    return within(at, late) || within(late, at);
  };
  return fresh_ && std::none_of(late_.begin(), late_.end(), crosses) &&
         std::none_of(foreign_.begin(), foreign_.end(),
                      [&](const std::string& above) { return within(at, above); });
}

}  // namespace ringfence
