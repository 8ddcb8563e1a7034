#include <fmt/format.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "harness/confine/attach.h"
#include "harness/confine/mounts.h"
#include "harness/confine/paths.h"

namespace ringfence {
namespace {

struct FlagWord {
  uint64_t ms;
  uint64_t attribute;
  std::string_view word;
};
constexpr uint64_t kMsNoSymFollow = 0x100;            // Linux 5.10
constexpr uint64_t kMountAttrNoSymFollow = 0x200000;  // Linux 5.14; before it the stand-in takes it
constexpr std::array kFlagWords = {FlagWord{MS_NOSUID, MOUNT_ATTR_NOSUID, "nosuid"},
                                   FlagWord{MS_NODEV, MOUNT_ATTR_NODEV, "nodev"},
                                   FlagWord{MS_NOEXEC, MOUNT_ATTR_NOEXEC, "noexec"},
                                   FlagWord{kMsNoSymFollow, kMountAttrNoSymFollow, "nosymfollow"},
                                   FlagWord{MS_RDONLY, MOUNT_ATTR_RDONLY, "ro"}};

// Why a flag on this file system changes nothing that anybody could try.
std::string flag_exempt(std::string_view type, uint64_t flag) {
  constexpr std::array<std::string_view, 5> kKernel = {"proc", "sysfs", "cgroup", "cgroup2",
                                                       "mqueue"};
  if (flag == MS_RDONLY || flag == kMsNoSymFollow) return {};
  if (std::find(kKernel.begin(), kKernel.end(), type) != kKernel.end()) {
    return fmt::format("{} holds no program, no setuid file and no device node", type);
  }
  if (type == "devpts" && flag != MS_NODEV) return "devpts holds nothing but terminals";
  return {};
}

}  // namespace

void add_flag_steps(Assembler& plan, const std::string& destination, std::string_view type,
                    uint64_t flags, uint64_t recursive) {
  for (const FlagWord& flag : kFlagWords) {
    if ((flags & flag.ms) == 0) continue;
    const bool ro = flag.ms == MS_RDONLY;
    const bool below = (recursive & flag.ms) != 0;
    const char* also = below ? " and all below it" : "";
    Step step = Assembler::confining(
        ro ? Layer::kReadOnly : Layer::kMountFlags,
        ro ? "mount.ro:" + destination : fmt::format("mount.flags:{}:{}", destination, flag.word),
        ro ? fmt::format("make {}{} read-only", destination, also)
           : fmt::format("set {} on {}{}", flag.word, destination, also));
    step.exempt = below ? std::string() : flag_exempt(type, flag.ms);
    add_open(plan, step, kSlotRoot, path_in_root(destination), O_PATH, kSlotTarget);
    add_set_attributes(plan, step, kSlotTarget, {flag.attribute, 0, below, flag.ms});
    step.ops.push_back(close_slot(kSlotTarget));
    plan.add(std::move(step));
  }
}

void add_cleared_flags(Assembler& plan, const Mount& mount) {
  uint64_t clear = 0;
  for (const FlagWord& flag : kFlagWords) {
    if ((mount.recursive_clear & flag.ms) != 0) clear |= flag.attribute;
  }
  if (clear == 0) return;
  Step step =
      Assembler::setup({}, "mount.clear:" + mount.destination,
                       fmt::format("clear flags on {} and all below it", mount.destination));
  add_open(plan, step, kSlotRoot, path_in_root(mount.destination), O_PATH, kSlotTarget);
  add_set_attributes(plan, step, kSlotTarget, {0, clear, true, 0});
  step.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(step));
}

uint64_t mount_attribute(uint64_t ms_flag) {
  for (const FlagWord& flag : kFlagWords) {
    if (flag.ms == ms_flag) return flag.attribute;
  }
  return 0;
}

}  // namespace ringfence
