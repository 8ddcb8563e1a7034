#pragma once
// Mounts: the new root, what is mounted below it, devices, flags, masked and read-only paths, and
// pivot_root. Everything is put together below the staging directory through descriptors, before
// the root changes.
//
// Kernel: fsopen(2), open_tree(2), move_mount(2) 5.2, openat2(2) 5.6 and mount_setattr(2) 5.12 have
// stand-ins (attach.h, paths.h); flags of a whole tree ("rro") and id maps have none. Sources:
// mount_namespaces(7), pivot_root(2), runtime-spec config.md and config-linux.md ("Default
// Devices").
#include <array>
#include <string>
#include <vector>

#include "harness/base/result.h"
#include "harness/confine/assembler.h"
#include "harness/confine/namespaces.h"
#include "harness/policy/policy.h"

namespace ringfence {

// Where CompileOptions::program appears in a root of its own.
inline constexpr const char* kProgramInside = "/.ringfence/program";

// A bind whose ids are mapped; the spawner makes its tree before it clones.
struct MappedTree {
  std::string source;       // in the spawner's mount namespace
  bool recursive = false;   // with the mounts below
  bool all_mapped = false;  // ... which are mapped, too
  std::string uid_map, gid_map;
  std::string key;  // of its step
};

struct MountPlan {
  bool has_root = false;  // a root of its own
  bool fresh = false;     // ... that is an empty tmpfs
  bool own_namespace = false;
  bool user_namespace = false;
  bool in_user_namespace = false;  // ... or the spawner is in one
  bool enters_root = false;        // mount.root was kept
  bool own_terminal = false;       // kSlotTerminal is of a devpts of the target's
  std::string rootfs;              // what is bound as root
  std::string rootfs_at;           // the path under which the spawner finds it
  std::string staging;
  std::vector<MappedTree> mapped;  // in the order of kSlotMapped0 and on
  std::string bound_late;          // what takes the spawner's paths after the first late mount
};

// All mount steps. `rootfs`, `rootfs_at`, `program` and `disposable_mounts` as CompileOptions has
// them. `terminal`: one is opened, where the target gets a devpts.
Result<MountPlan> add_mounts(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces,
                             const std::string& staging, const std::string& rootfs,
                             const std::string& rootfs_at, const std::string& program,
                             bool disposable_mounts, bool terminal);

// --- parts, each in a file of its own -----------------------------------------------------------
// A cgroup or cgroup2 mount, as runc makes it: on v2 a fresh cgroup2 (in a cgroup namespace) or a
// bind; on v1 and hybrid hosts a tmpfs with one directory for each hierarchy.
Status add_cgroup_mount(Assembler& plan, const Mount& mount, bool own_cgroup_namespace);
// The default devices and links of a /dev that is a tmpfs; their names.
inline constexpr std::array kDefaultDevices = {
    "null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx"};
void add_default_devices(Assembler& plan);
void add_device(Assembler& plan, const Device& device, bool user_namespace);
void add_masked_path(Assembler& plan, const std::string& path);
void add_readonly_path(Assembler& plan, const std::string& path);
// Those of namespaces that are the target's own; another one is an error.
Status add_sysctls(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces);
// One step for each confining flag in `flags`, on the mount at `destination` below the new root;
// those of `recursive` on the mounts below it as well.
void add_flag_steps(Assembler& plan, const std::string& destination, std::string_view type,
                    uint64_t flags, uint64_t recursive);
// "rrw", "rsuid", ...: what the mounts below are freed of.
void add_cleared_flags(Assembler& plan, const Mount& mount);
// MOUNT_ATTR_* for MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW.
uint64_t mount_attribute(uint64_t ms_flag);

}  // namespace ringfence
