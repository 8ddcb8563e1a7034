// Mounts and files: mount_namespaces(7), mount(2), pivot_root(2), open_by_handle_at(2).
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

constexpr uint32_t kPlainUid = 1000;
constexpr int kZeroMajor = 1;
constexpr int kZeroMinor = 5;

// Where a flag can be told from outside by what it does: tmpfs mounts that the target can write.
struct Place {
  const char* path;
  bool nosuid, nodev, noexec;
};
// The mounts of `hardened` and of container runtimes.
constexpr std::array kPlaces = {Place{"/", true, true, false}, Place{"/dev", true, false, true},
                                Place{"/dev/shm", true, true, true},
                                Place{"/tmp", true, true, true}};

Policy at_place(const char* path, const char* word, uint64_t flag) {
  const bool root = std::string_view(path) == "/";
  Policy policy = root ? in_root({}) : in_root({{"tmpfs", path, {word}}});
  if (root) policy.root->flag_set = flag;
  policy.name += std::string(" ") + path + " " + word;
  return policy;
}

Case flag_case(const char* path, const char* word, uint64_t flag) {
  Case c;
  c.id = std::string("mnt.") + word + "." + id_of_path(path);
  c.source = "mount(2)";
  c.expected = Layer::kMountFlags;
  c.policy = at_place(path, word, flag);
  c.proofs = {{Sight::mount_has, path, static_cast<int64_t>(flag)}};
  c.step = std::string("mount.flags:") + path + ":" + word;
  c.needs = {"root"};
  return c;
}

void add_flags(std::vector<Case>& cases) {
  for (const Place& place : kPlaces) {
    const std::string where = place.path;
    if (place.nosuid) {
      Case c = flag_case(place.path, "nosuid", MS_NOSUID);
      c.title = "become root by a setuid file on " + where;
      // The file is the host's making and the target never was root, so that nobody can pretend.
      c.policy.set_user = true;
      c.policy.user.uid = c.policy.user.gid = kPlainUid;
      const std::string file = (where == "/" ? "" : where) + "/rf_planted";
      c.attempt = {"exec_planted", {file, "04755"}};
      c.goal = {Sight::uid_is, "", 0};
      c.contained = true;  // the file is executed, without the gain
      c.liveness = {"exec_planted", {file, "0755"}};
      cases.push_back(std::move(c));
    }
    if (place.noexec) {
      Case c = flag_case(place.path, "noexec", MS_NOEXEC);
      c.title = "execute a file written to " + where;
      c.attempt = {"copy_exec", {where, "0755", "0"}};
      c.goal = {Sight::exe_is, where + "/rf_copy"};
      c.liveness = {"create_file", {where + "/rf_new", "0644"}};
      cases.push_back(std::move(c));
    }
    if (place.nodev) {
      Case c = flag_case(place.path, "nodev", MS_NODEV);
      c.title = "open a device node made on " + where;
      c.attempt = {"mknod_open", {where, std::to_string(kZeroMajor), std::to_string(kZeroMinor)}};
      c.goal = {Sight::holds_device, "", static_cast<int64_t>(makedev(kZeroMajor, kZeroMinor))};
      c.liveness = {"create_file", {where + "/rf_new", "0644"}};
      cases.push_back(std::move(c));
    }
  }
}

Case reads_secret(std::string id, std::string title, std::string source, Attempt attempt) {
  Case c;
  c.id = std::move(id);
  c.title = std::move(title);
  c.source = std::move(source);
  c.expected = Layer::kRoot;
  c.policy = in_root({{"proc", "/proc"}});
  // With the host's processes in /proc, /proc/1/root would be a way out of its own.
  c.policy.namespaces.push_back({Ns::pid, ""});
  c.attempt = std::move(attempt);
  c.goal = {Sight::secret_returned};
  c.proofs = {{Sight::root_differs}};
  c.liveness = {"read_file", {"/proc/self/cmdline"}};
  c.outside = true;
  c.step = "mount.root";
  return c;
}

}  // namespace

std::vector<Case> mnt_cases() {
  std::vector<Case> cases;
  add_flags(cases);

  cases.push_back(reads_secret("mnt.old_root_visible", "reach the old root after pivot_root",
                               "pivot_root(2)", {"old_root", {"{secret_file}"}}));
  Case detached = reads_secret("mnt.old_root_detached", "climb into the old root by \"..\"",
                               "pivot_root(2)", {"old_root", {"{secret_file}"}});
  detached.step = "mount.root:detach";
  cases.push_back(std::move(detached));
  cases.push_back(reads_secret("mnt.chroot_escape", "climb out of the root by a second chroot",
                               "chroot(2)", {"chroot_escape", {"{secret_file}"}}));
  cases.push_back(reads_secret("mnt.cwd_outside",
                               "reach the host through the working directory (CVE-2024-21626)",
                               "CVE-2024-21626", {"read_relative", {"../../..{secret_file}"}}));

  Case tree;
  tree.id = "mnt.mount_on_host";
  tree.title = "cover a directory of the host with a mount";
  tree.source = "mount_namespaces(7)";
  tree.expected = Layer::kMnt;
  tree.policy = in_namespaces({Ns::mnt});
  tree.attempt = {"mount_tmpfs", {"/etc"}};
  tree.goal = {Sight::mount_appeared, "/etc"};
  // Not the mount itself: that is what confined means here.
  tree.liveness = {"exit", {}};
  tree.contained = true;
  tree.outside = true;
  tree.step = "ns.mnt";
  tree.gated_by = {Layer::cap("SYS_ADMIN")};
  Case propagate = tree;
  propagate.id = "mnt.propagate_out";
  propagate.title = "make a mount inside that appears outside";
  propagate.source = "mount_namespaces(7), shared subtrees";
  propagate.expected = Layer::kPropagation;
  propagate.outside = false;  // the same attempt as mnt.mount_on_host
  propagate.step = "mount.propagation";
  cases.push_back(std::move(tree));
  cases.push_back(std::move(propagate));

  for (const char* path : {"/", "/dev/shm"}) {
    Case c;
    c.id = std::string("mnt.write_readonly.") + id_of_path(path);
    c.title = std::string("create a file on the read-only mount ") + path;
    c.source = "mount(2)";
    c.expected = Layer::kReadOnly;
    const bool root = std::string_view(path) == "/";
    c.policy = root ? in_root({{"proc", "/proc"}}) : in_root({{"tmpfs", path, {"ro"}}});
    c.policy.root->readonly = root;
    const std::string file = root ? "/rf_new" : std::string(path) + "/rf_new";
    c.attempt = {"create_file", {file, "0644"}};
    c.goal = {Sight::file_inside, file};
    c.proofs = {{Sight::mount_has, path, MS_RDONLY}};
    c.step = std::string("mount.ro:") + path;
    c.liveness = {"exit", {}};
    cases.push_back(std::move(c));
  }

  Case shocker;
  shocker.id = "mnt.open_by_handle";
  shocker.title = "open a file of the host by its file handle (shocker)";
  shocker.source = "open_by_handle_at(2)";
  shocker.expected = Layer::cap("DAC_READ_SEARCH");
  shocker.policy = without_caps({"DAC_READ_SEARCH"});
  shocker.attempt = {"open_by_handle", {"/", "{handle_type}", "{handle_hex}"}};
  shocker.goal = {Sight::secret_returned};
  shocker.proofs = {{Sight::cap_missing, "DAC_READ_SEARCH"}};
  shocker.outside = true;
  shocker.needs = {"root"};
  shocker.gated_by = {Layer::cap("DAC_READ_SEARCH")};
  shocker.step = "cap.bounding";
  cases.push_back(std::move(shocker));
  return cases;
}

}  // namespace ringfence::suites
