#include "harness/confine/mounts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <optional>

#include "harness/base/facts.h"
#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/confine/ahead.h"
#include "harness/confine/attach.h"
#include "harness/confine/paths.h"
#include "harness/confine/terminal.h"
#include "harness/policy/overlay_options.h"

namespace ringfence {
namespace {

bool is_bind(const Mount& mount) { return (mount.flags & MS_BIND) != 0; }

int64_t stat_type(const std::string& path) {
  struct stat st {};
  const int64_t r = sys::call(SYS_newfstatat, AT_FDCWD, sys::arg(path.c_str()), sys::arg(&st), 0);
  return r < 0 ? r : static_cast<int64_t>(st.st_mode & S_IFMT);
}

// "context=", which mount(2) has in quotes: a label may have commas.
void add_context(NewFilesystem& fs, const std::string& label) {
  constexpr std::array<std::string_view, 3> kOwnContexts = {"proc", "sysfs", "mqueue"};
  const bool own =
      std::find(kOwnContexts.begin(), kOwnContexts.end(), fs.type) != kOwnContexts.end();
  const bool given = std::any_of(fs.options.begin(), fs.options.end(), [](const std::string& o) {
    return o.starts_with("context=") || o.starts_with("fscontext=") ||
           o.starts_with("defcontext=") || o.starts_with("rootcontext=");
  });
  if (own || given || label.empty() || !Facts::probe().satisfied("lsm:selinux")) return;
  if (fs.data.empty()) fs.data = fmt::format("{}", fmt::join(fs.options, ","));
  if (!fs.data.empty()) fs.data += ',';
  fs.data += "context=\"" + label + '"';
  fs.options.push_back("context=" + label);
}

// What is mounted anew; the flags that confine have steps of their own.
NewFilesystem new_filesystem(const Mount& mount, const MountPlan& mounts) {
  constexpr uint64_t kOfTheMount =
      MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME | MS_SYNCHRONOUS | MS_DIRSYNC;
  NewFilesystem fs{mount.type, mount.source, {}, {}, mount.flag_set & kOfTheMount};
  if (mount.type != "overlay") {
    for (const auto option : split(mount.data, ',')) fs.options.emplace_back(option);
    return fs;
  }
  OverlayOptions overlay = read_overlay_options(mount);
  // The attributes of trusted.* are out of reach in a user namespace.
  overlay.userxattr = overlay.userxattr || mounts.in_user_namespace;
  for (const auto& lower : overlay.lower) fs.options.push_back("lowerdir+=" + lower);
  if (!overlay.upper.empty()) {
    fs.options.push_back("upperdir=" + overlay.upper);
    fs.options.push_back("workdir=" + overlay.work);
  }
  if (overlay.userxattr) fs.options.emplace_back("userxattr");
  fs.options.insert(fs.options.end(), overlay.others.begin(), overlay.others.end());
  fs.data = overlay_data(overlay);
  return fs;
}

// Whether this process is in the initial user namespace: its map is the whole range.
bool in_initial_user_namespace() {
  const auto map = read_file("/proc/self/uid_map");
  if (!map) return true;
  const auto fields = split(*map, ' ');
  return fields.size() >= 3 && fields[0] == "0" && fields[1] == "0" &&
         trim(fields[2]) == "4294967295";
}

void add_root(Assembler& plan, const MountPlan& mounts) {
  if (mounts.own_namespace) {
    // pivot_root(2) wants a parent mount that is not shared, whatever the host's is.
    Step base = Assembler::setup(Layer::kRoot, "mount.staging",
                                 "private mount below the new root at " + mounts.staging);
    const Arg staging = plan.text(mounts.staging);
    base.ops.push_back(make_op(SYS_mount, staging, staging, 0, MS_BIND | MS_REC, 0));
    base.ops.push_back(make_op(SYS_mount, 0, staging, 0, MS_PRIVATE, 0));
    plan.add(std::move(base));
  }
  Step step = Assembler::setup(
      Layer::kRoot, "mount:/",
      mounts.fresh ? "fresh tmpfs as new root" : "bind " + mounts.rootfs + " as new root");
  NewFilesystem fs{"tmpfs", "tmpfs", {"mode=755"}};
  if (!mounts.fresh) fs.source = mounts.rootfs_at;
  add_new_root(plan, step, fs, !mounts.fresh, mounts.staging);
  step.ops.push_back(make_op(SYS_mount, 0, plan.text(mounts.staging), 0, MS_PRIVATE, 0));
  plan.add(std::move(step));
}

// What is at a path below a given root already; 0 for nothing, or where nobody can tell.
mode_t type_in_root(const std::string& root, const std::string& path) {
  auto directory = sys::open(root.c_str(), O_PATH | O_DIRECTORY);
  if (!directory) return 0;
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  // EAGAIN: somebody's mount or rename came between, openat2(2).
  constexpr int kRaces = 1000;
  int64_t fd = -EAGAIN;
  for (int i = 0; fd == -EAGAIN && i < kRaces; ++i) {
    fd = sys::call(SYS_openat2, directory->get(), sys::arg(path.c_str()), sys::arg(&how),
                   sizeof how);
  }
  if (fd < 0) return 0;
  const UniqueFd opened(static_cast<int>(fd));
  struct stat st {};
  return sys::call(SYS_fstat, opened.get(), sys::arg(&st)) < 0 ? 0 : st.st_mode & S_IFMT;
}

bool is_file(const Mount& mount) {
  const int64_t type = is_bind(mount) ? stat_type(mount.source) : S_IFDIR;
  return type >= 0 && type != S_IFDIR;
}

// A directory goes onto a directory, anything else onto what is none.
Status check_target(const Policy& policy, const MountPlan& mounts, const Mount& mount) {
  if (!mounts.has_root || mounts.fresh) return {};
  const std::string inside = path_in_root(mount.destination);
  size_t index = 0;
  for (const Mount& other : policy.mounts) {
    if (other.destination == mount.destination) break;
    const std::string above = path_in_root(other.destination);
    if (above == "." || inside == above || inside.starts_with(above + "/")) return {};
    ++index;
  }
  const mode_t there = type_in_root(mounts.rootfs, inside);
  if (there == 0) return {};
  const bool file = is_file(mount);
  if (file != (there == S_IFDIR)) return {};
  return usage_error(
      "compile policy", fmt::format("/mounts/{}/destination", index),
      fmt::format("{} is a {} in the root, and what is mounted is a {}", mount.destination,
                  file ? "directory" : "file", file ? "file" : "directory"));
}

// The ids of a bind are mapped before it is attached, by the spawner: in a user namespace of the
// target's nobody may. The slot of the tree, or -1 where the step is dropped.
Result<int> add_id_mapped(Assembler& plan, const Policy& policy, MountPlan& mounts,
                          const Mount& mount) {
  const bool own = !mount.uid_mappings.empty();
  const auto& uids = own ? mount.uid_mappings : policy.uid_mappings;
  const auto& gids = own ? mount.gid_mappings : policy.gid_mappings;
  Step step =
      Assembler::confining(Layer::kIdMap, "mount.idmap:" + mount.destination,
                           fmt::format("map the ids of {}, {}", mount.destination,
                                       own ? "by its own maps" : "by those of the user namespace"));
  step.where = Where::helper;
  if (!plan.add(std::move(step))) return -1;
  if (mounts.mapped.size() > kSlotMappedLast - kSlotMapped0) {
    return usage_error("compile policy", "/mounts", "at most eight with id maps");
  }
  const bool tree = mount.id_mapped == Mount::IdMapped::tree;
  const int slot = kSlotMapped0 + static_cast<int>(mounts.mapped.size());
  mounts.mapped.push_back({mount.source, (mount.flags & MS_REC) != 0, tree, id_map_text(uids),
                           id_map_text(gids), "mount.idmap:" + mount.destination});
  return slot;
}

// What the directory had that is covered now, onto the tmpfs that covers it ("tmpcopyup").
void add_copy(Assembler& plan, const Mount& mount) {
  Step step = Assembler::setup({}, "mount.copy:" + mount.destination,
                               fmt::format("copy onto {} what it had", mount.destination));
  const auto options = split(mount.data, ',');
  const bool given = std::any_of(options.begin(), options.end(), [](std::string_view option) {
    return option.starts_with("mode=") || option.starts_with("uid=") || option.starts_with("gid=");
  });
  add_open(plan, step, kSlotRoot, path_in_root(mount.destination), O_PATH, kSlotTarget);
  step.ops.push_back(
      when(make_op(kCallCopyTree, slot_arg(kSlotCovered), slot_arg(kSlotTarget), given ? 0 : 1),
           kSlotCovered));
  step.ops.push_back(close_slot(kSlotTarget));
  step.ops.push_back(close_slot(kSlotCovered));
  plan.add(std::move(step));
}

Status add_one_mount(Assembler& plan, const Policy& policy, MountPlan& mounts, const Mount& mount) {
  if (auto fits = check_target(policy, mounts, mount); !fits) return fits;
  const bool bind = is_bind(mount);
  int mapped = -1;
  if (mount.id_mapped != Mount::IdMapped::no) {
    auto slot = add_id_mapped(plan, policy, mounts, mount);
    if (!slot) return tl::unexpected(slot.error());
    mapped = *slot;
  }
  Step step = Assembler::setup({}, "mount:" + mount.destination,
                               bind ? fmt::format("bind {} on {}", mount.source, mount.destination)
                                    : fmt::format("mount {} on {}", mount.type, mount.destination));
  // What masks and read-only paths are about must be where they will look for it.
  const bool kernel_tree = mount.type == "proc" || mount.type == "sysfs";
  add_open_creating(plan, step, kSlotRoot, mount.destination, is_file(mount),
                    kernel_tree ? Links::refuse : Links::follow);
  if (mapped >= 0) {
    step.ops.push_back(move_onto(plan, mapped, kSlotTarget));
    step.ops.push_back(close_slot(mapped));
  } else if (bind) {
    add_bind_on(plan, step, mount.source, (mount.flags & MS_REC) != 0, kSlotTarget);
  } else {
    if (mount.copy_up) {
      step.ops.push_back(into(make_op(SYS_openat, slot_arg(kSlotTarget), plan.text("."),
                                      O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                              kSlotCovered));
    }
    NewFilesystem fs = new_filesystem(mount, mounts);
    add_context(fs, policy.mount_label);
    add_filesystem_on(plan, step, fs, kSlotTarget);
  }
  step.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(step));
  if (mount.copy_up) add_copy(plan, mount);
  return {};
}

// A program of the spawner's in the new root, read-only.
void add_program(Assembler& plan, const std::string& program) {
  Step step = Assembler::setup({}, "mount.program", "bind the program to execute");
  add_open_creating(plan, step, kSlotRoot, kProgramInside, true);
  add_bind_on(plan, step, program, false, kSlotTarget);
  step.ops.push_back(close_slot(kSlotTarget));
  add_open(plan, step, kSlotRoot, path_in_root(kProgramInside), O_PATH, kSlotTarget);
  add_set_attributes(plan, step, kSlotTarget, {MOUNT_ATTR_RDONLY, 0, false, MS_RDONLY});
  step.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(step));
}

void add_propagation_of(Assembler& plan, const Mount& mount) {
  if (mount.propagation == 0) return;
  Step step = Assembler::confining(Layer::kPropagation, "mount.propagation:" + mount.destination,
                                   "set the propagation of " + mount.destination);
  step.confines = (mount.propagation & (MS_PRIVATE | MS_SLAVE)) != 0;
  // Propagation is all that this step can change, and a mount that exists nowhere else has none.
  if (!is_bind(mount)) step.exempt = "a new mount below a private one is private already";
  add_open(plan, step, kSlotRoot, path_in_root(mount.destination), O_PATH, kSlotTarget);
  add_set_propagation(plan, step, kSlotTarget, mount.propagation);
  step.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(step));
}

bool covers(const Policy& policy, std::string_view directory) {
  return std::any_of(policy.mounts.begin(), policy.mounts.end(), [&](const Mount& m) {
    return path_in_root(m.destination) == path_in_root(directory);
  });
}

Mount plain_mount(const std::string& destination, const std::string& type, std::string data) {
  Mount mount;
  mount.destination = destination;
  mount.type = mount.source = type;
  mount.data = std::move(data);
  return mount;
}

// A user namespace mounts these only together with the namespace that they show. Where that one is
// the spawner's, so is what the target is to see: the spawner's mount is bound.
std::optional<Mount> mountable(Assembler& plan, const Mount& mount,
                               const NamespacePlan& namespaces) {
  struct Shows {
    std::string_view type;
    Ns ns;
    const char* source;
  };
  constexpr std::array kShows = {Shows{"proc", Ns::pid, "/proc"}, Shows{"sysfs", Ns::net, "/sys"},
                                 Shows{"mqueue", Ns::ipc, "/dev/mqueue"}};
  const auto* it = std::find_if(kShows.begin(), kShows.end(),
                                [&](const Shows& s) { return s.type == mount.type; });
  if (it == kShows.end() || !namespaces.has(Ns::user) || namespaces.has(it->ns)) return mount;
  if (stat_type(it->source) != S_IFDIR) {
    plan.note(fmt::format("no {}: the {} namespace is the spawner's, which has no {}",
                          mount.destination, ns_name(it->ns), it->source));
    return std::nullopt;
  }
  plan.note(fmt::format("{} is the spawner's {}: so is the {} namespace", mount.destination,
                        it->source, ns_name(it->ns)));
  Mount bind = mount;
  bind.source = it->source;
  bind.flags |= uint64_t{MS_BIND} | MS_REC;
  return bind;
}

// The policy's mounts, and for a fresh root /proc and /dev where the policy has none.
std::vector<Mount> all_mounts(Assembler& plan, const Policy& policy, const MountPlan& mounts,
                              const NamespacePlan& namespaces) {
  std::vector<Mount> list;
  if (mounts.fresh && !covers(policy, "/proc")) {
    if (!namespaces.has(Ns::user) || namespaces.has(Ns::pid)) {
      list.push_back(plain_mount("/proc", "proc", {}));
    } else {
      plan.note("no /proc: a user namespace may mount one only with a pid namespace of its own");
    }
  }
  if (mounts.fresh && !covers(policy, "/dev")) {
    list.push_back(plain_mount("/dev", "tmpfs", "mode=755"));
  }
  for (const Mount& mount : policy.mounts) {
    if (auto usable = mountable(plan, mount, namespaces)) list.push_back(std::move(*usable));
  }
  return list;
}

void add_working_directory(Assembler& plan, const Policy& policy, const MountPlan& mounts) {
  if (!mounts.has_root || path_in_root(policy.cwd) == ".") return;
  Step step = Assembler::setup({}, "mount.cwd", "make " + policy.cwd);
  add_open_creating(plan, step, kSlotRoot, policy.cwd, false);
  step.ops.push_back(close_slot(kSlotTarget));
  plan.add(std::move(step));
}

Step enter_root(Assembler& plan, const MountPlan& mounts) {
  Step step = Assembler::confining(
      Layer::kRoot, "mount.root",
      mounts.own_namespace ? "pivot_root to the new root" : "chroot to the new root");
  step.ops.push_back(
      into(make_op(SYS_openat, AT_FDCWD, plan.text("/"), O_PATH | O_DIRECTORY | O_CLOEXEC),
           kSlotOldRoot));
  step.ops.push_back(make_op(SYS_fchdir, slot_arg(kSlotRoot)));
  if (mounts.own_namespace) {
    step.ops.push_back(make_op(SYS_pivot_root, plan.text("."), plan.text(".")));
  } else {
    step.ops.push_back(make_op(SYS_chroot, plan.text(".")));
  }
  return step;
}

void add_detach(Assembler& plan) {
  Step step = Assembler::confining(Layer::kRoot, "mount.root:detach", "unmount the old root");
  step.ops.push_back(make_op(SYS_fchdir, slot_arg(kSlotOldRoot)));
  // So that the unmounting stays here, also where the old mounts are shared with the host.
  step.ops.push_back(make_op(SYS_mount, 0, plan.text("."), 0, MS_SLAVE | MS_REC, 0));
  step.ops.push_back(make_op(SYS_umount2, plan.text("."), MNT_DETACH));
  step.ops.push_back(make_op(SYS_chdir, plan.text("/")));
  plan.add(std::move(step));
}

// For a policy without a mount namespace: what is mounted would be the spawner's, for good. A root
// that is there can be entered by chroot(2) all the same.
Status add_chroot(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces,
                  MountPlan& mounts) {
  if (!policy.mounts.empty() || !policy.devices.empty() || !policy.masked_paths.empty() ||
      !policy.readonly_paths.empty()) {
    plan.note("no mounts and no devices: the mount namespace is the spawner's");
  }
  const auto open_root = [&](const char* key, const char* text, const std::string& path) {
    Step step = Assembler::setup({}, key, text);
    step.ops.push_back(
        into(make_op(SYS_openat, AT_FDCWD, plan.text(path), O_PATH | O_DIRECTORY | O_CLOEXEC),
             kSlotRoot));
    plan.add(std::move(step));
  };
  if (!policy.sysctl.empty()) {
    open_root("mount.open_root", "open the root", "/");
    if (auto added = add_sysctls(plan, policy, namespaces); !added) return added;
    Step close = Assembler::setup({}, "mount.close_root", "close the root");
    close.ops.push_back(close_slot(kSlotRoot));
    plan.add(std::move(close));
  }
  if (mounts.has_root && mounts.fresh) {
    plan.note("no root of its own: a fresh tmpfs takes a mount namespace");
    mounts.has_root = false;
  }
  if (!mounts.has_root) return {};
  open_root("mount:/", "open the new root", mounts.rootfs_at);
  Step step = enter_root(plan, mounts);
  step.ops.push_back(close_slot(kSlotOldRoot));
  mounts.enters_root = plan.add(std::move(step));
  Step close = Assembler::setup({}, "mount.close", "close what the new root needed");
  close.ops.push_back(close_slot(kSlotRoot));
  plan.add(std::move(close));
  return {};
}

}  // namespace

Result<MountPlan> add_mounts(Assembler& plan, const Policy& policy, const NamespacePlan& namespaces,
                             const std::string& staging, const std::string& rootfs,
                             const std::string& rootfs_at, const std::string& program,
                             bool disposable_mounts, bool terminal) {
  MountPlan mounts;
  mounts.own_namespace = namespaces.has(Ns::mnt);
  mounts.user_namespace = namespaces.has(Ns::user);
  mounts.in_user_namespace = mounts.user_namespace || !in_initial_user_namespace();
  mounts.staging = staging;
  mounts.has_root = policy.root.has_value() || !rootfs.empty();
  if (mounts.has_root) {
    mounts.rootfs = rootfs;
    if (!rootfs.empty() && stat_type(rootfs) != S_IFDIR) {
      return usage_error("compile policy", rootfs, "the root must be an existing directory");
    }
    if (rootfs.empty() && !policy.root->path.empty()) {
      if (stat_type(policy.root->path) == S_IFDIR) {
        mounts.rootfs = policy.root->path;
      } else {
        plan.note("root.path " + policy.root->path + " does not exist: a fresh tmpfs");
      }
    }
    mounts.fresh = mounts.rootfs.empty();
    mounts.rootfs_at = rootfs_at.empty() ? mounts.rootfs : rootfs_at;
  }

  // As without() has it: nothing of this may happen to the spawner's mounts.
  if (policy.has(Ns::mnt) && !mounts.own_namespace) {
    plan.note("no mounts and no root: the mount namespace is the spawner's");
    mounts.has_root = false;
    return mounts;
  }
  if (!mounts.own_namespace && !disposable_mounts) {
    if (auto added = add_chroot(plan, policy, namespaces, mounts); !added) {
      return tl::unexpected(added.error());
    }
    return mounts;
  }

  Ahead ahead(plan, mounts.fresh);
  ahead.others(true);
  if (mounts.own_namespace && (policy.rootfs_propagation & MS_SHARED) == 0) {
    const bool slave = (policy.rootfs_propagation & MS_SLAVE) != 0;
    Step step = Assembler::confining(Layer::kPropagation, "mount.propagation",
                                     slave ? "make all mounts slaves" : "make all mounts private");
    const uint64_t flags = uint64_t{MS_REC} | (slave ? uint64_t{MS_SLAVE} : uint64_t{MS_PRIVATE});
    step.ops.push_back(make_op(SYS_mount, 0, plan.text("/"), 0, flags, 0));
    plan.add(std::move(step));
  }

  const std::vector<Mount> list = all_mounts(plan, policy, mounts, namespaces);
  const bool needed = mounts.has_root || !list.empty() || !policy.masked_paths.empty() ||
                      !policy.readonly_paths.empty() || !policy.sysctl.empty() ||
                      !policy.devices.empty();
  if (!needed) return mounts;

  if (mounts.has_root) {
    add_root(plan, mounts);
  } else {
    Step step = Assembler::setup({}, "mount.open_root", "open the root");
    step.ops.push_back(
        into(make_op(SYS_openat, AT_FDCWD, plan.text("/"), O_PATH | O_DIRECTORY | O_CLOEXEC),
             kSlotRoot));
    plan.add(std::move(step));
  }

  std::vector<const Mount*> later;  // read-only once all is in place
  for (const Mount& mount : list) {
    ahead.mount(mount, is_file(mount));
    if (mount.type == "cgroup" || mount.type == "cgroup2") {
      if (auto added = add_cgroup_mount(plan, mount, namespaces.has(Ns::cgroup)); !added) {
        return tl::unexpected(added.error());
      }
    } else if ((mount.flags & MS_REMOUNT) == 0) {
      if (auto added = add_one_mount(plan, policy, mounts, mount); !added) {
        return tl::unexpected(added.error());
      }
    }
    add_propagation_of(plan, mount);
    add_cleared_flags(plan, mount);
    add_flag_steps(plan, mount.destination, mount.type, mount.flag_set & ~uint64_t{MS_RDONLY},
                   mount.recursive_set);
    if ((mount.flag_set & MS_RDONLY) != 0) later.push_back(&mount);
  }
  if (mounts.has_root) {
    const bool dev = std::any_of(list.begin(), list.end(), [](const Mount& m) {
      return path_in_root(m.destination) == "dev" && m.type == "tmpfs";
    });
    if (dev) {
      ahead.default_devices();
      add_default_devices(plan);
    }
  }
  if (mounts.has_root && !program.empty()) {
    ahead.path(kProgramInside, true);
    add_program(plan, program);
  }
  for (const Device& device : policy.devices) {
    ahead.path(device.path, false);
    add_device(plan, device, mounts.user_namespace);
  }
  ahead.others(false);
  if (terminal) mounts.own_terminal = add_own_terminal(plan, policy, list, mounts.has_root);
  add_working_directory(plan, policy, mounts);
  if (auto added = add_sysctls(plan, policy, namespaces); !added) {
    return tl::unexpected(added.error());
  }
  for (const Mount* mount : later) {
    add_flag_steps(plan, mount->destination, mount->type, MS_RDONLY, mount->recursive_set);
  }
  if (policy.root) {
    const uint64_t flags =
        policy.root->flag_set | (policy.root->readonly ? uint64_t{MS_RDONLY} : 0);
    add_flag_steps(plan, "/", mounts.fresh ? "tmpfs" : "", flags, 0);
  }

  // Masks and read-only paths apply to the root that the target will see. Whether that is the new
  // one is known only once mount.root is known to stay, so its step is placed after them but asked
  // for here.
  Step root_step = enter_root(plan, mounts);
  mounts.enters_root = mounts.has_root && plan.keeps(root_step);
  if (mounts.enters_root) {
    Step seen = Assembler::setup({}, "mount.seen", "paths below are those of the new root");
    seen.ops.push_back(
        into(make_op(SYS_fcntl, slot_arg(kSlotRoot), F_DUPFD_CLOEXEC, 0), kSlotSeen));
    plan.add(std::move(seen));
  } else {
    Step seen = Assembler::setup({}, "mount.seen", "paths below are those of the present root");
    seen.ops.push_back(
        into(make_op(SYS_openat, AT_FDCWD, plan.text("/"), O_PATH | O_DIRECTORY | O_CLOEXEC),
             kSlotSeen));
    plan.add(std::move(seen));
  }
  for (const auto& path : policy.readonly_paths) {
    ahead.path(path, false);
    add_readonly_path(plan, path);
  }
  for (const auto& path : policy.masked_paths) {
    ahead.path(path, false);
    add_masked_path(plan, path);
  }

  ahead.others(true);
  if (mounts.enters_root) {
    plan.append(std::move(root_step));
    if (mounts.own_namespace) add_detach(plan);
    ahead.others(false);
    if ((policy.rootfs_propagation & MS_SHARED) != 0) {
      Step step = Assembler::setup(Layer::kPropagation, "mount.propagation:/", "share the root");
      step.ops.push_back(make_op(SYS_mount, 0, plan.text("/"), 0,
                                 policy.rootfs_propagation & ~uint64_t{MS_REC}, 0));
      plan.add(std::move(step));
    }
  }
  ahead.others(false);
  mounts.bound_late = ahead.bound_late();
  Step close = Assembler::setup({}, "mount.close", "close what the mounting needed");
  for (const int slot : {kSlotRoot, kSlotSeen}) close.ops.push_back(close_slot(slot));
  if (mounts.enters_root) close.ops.push_back(close_slot(kSlotOldRoot));
  plan.add(std::move(close));
  return mounts;
}

}  // namespace ringfence
