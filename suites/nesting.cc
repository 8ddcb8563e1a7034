// What is built in the target: jails, overlays, id maps, namespaces in namespaces; and what the
// kernel locks when a mount goes to a user namespace with fewer rights. Where the rule is the
// kernel's own, the control is the same operation with its precondition met.
//
// Sources: pivot_root(2), chroot(2), openat2(2), overlayfs.rst, mount_namespaces(7) "Restrictions
// on mount namespaces", mount_setattr(2) "ID-mapped mounts", user_namespaces(7), pid_namespaces(7).
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/mount.h>

#include <csignal>
#include <string>

#include "probes/inmate/abi.h"
#include "suites/suite.h"

namespace ringfence::suites {
namespace {

constexpr uint32_t kPlainUid = 1000;

// A rule of the kernel's: `attempt` breaks it, `control` keeps it.
Case ruled(std::string id, std::string title, std::string source, Policy policy, Attempt attempt,
           Attempt control, Goal goal) {
  Case c;
  c.id = std::move(id);
  c.title = std::move(title);
  c.source = std::move(source);
  c.expected = Layer::kKernel;
  c.policy = std::move(policy);
  c.attempt = std::move(attempt);
  c.control = std::move(control);
  c.goal = std::move(goal);
  c.needs = {"root"};
  return c;
}

Mount bind_of(const std::string& path, std::vector<std::string> options) {
  Mount mount;
  mount.source = mount.destination = path;
  mount.options = std::move(options);
  parse_mount_options(mount);
  return mount;
}

void add_roots(std::vector<Case>& cases) {
  struct Rule {
    const char* mode;
    const char* title;
  };
  for (const Rule& rule :
       {Rule{"plain_directory", "pivot_root to a directory that is no mount point"},
        Rule{"put_old_outside", "pivot_root with the old root outside of the new one"},
        Rule{"shared_parent", "pivot_root out of a mount that is shared with others"}}) {
    cases.push_back(ruled(std::string("mnt.pivot_requires.") + rule.mode, rule.title,
                          "pivot_root(2), NOTES", in_namespaces({Ns::mnt}), {"pivot", {rule.mode}},
                          {"pivot", {"ok"}}, {Sight::root_differs}));
  }
  struct Jail {
    const char* how;
    const char* way;
    const char* title;
  };
  for (const Jail& jail :
       {Jail{"chroot", "climb", "climb out of a pivoted root as out of a chroot"},
        Jail{"move", "uncover", "uncover what is below a pivoted root as below a moved mount"}}) {
    Case c = ruled(
        std::string("mnt.chroot_double.") + jail.how, jail.title, "chroot(2), NOTES; pivot_root(2)",
        in_namespaces({Ns::mnt}), {"jail_escape", {"pivot", "{secret_file}", jail.way}},
        {"jail_escape", {jail.how, "{secret_file}", jail.way}}, {Sight::secret_returned});
    c.expected = Layer::kRoot;
    c.proofs = {{Sight::root_differs}};
    cases.push_back(std::move(c));
  }
}

void add_paths(std::vector<Case>& cases) {
  struct Rule {
    const char* id;
    const char* title;
    const char* directory;
    const char* path;
    uint64_t resolve;
  };
  for (const Rule& rule :
       {Rule{"mnt.dotdot", "leave a directory by \"..\" past RESOLVE_BENEATH", "/etc",
             "..{secret_file}", RESOLVE_BENEATH},
        Rule{"mnt.absolute_path", "leave a directory by an absolute path past RESOLVE_IN_ROOT",
             "/etc", "{secret_file}", RESOLVE_IN_ROOT},
        Rule{"mnt.magic_link", "go by a magic link of /proc past RESOLVE_NO_MAGICLINKS", "/proc",
             "self/root{secret_file}", RESOLVE_NO_MAGICLINKS}}) {
    Case c = ruled(rule.id, rule.title, "openat2(2)", bare(),
                   {"open_how", {rule.directory, rule.path, std::to_string(rule.resolve)}},
                   {"open_how", {rule.directory, rule.path, "0"}},
                   {Sight::holds_file, "/canary/secret"});
    c.needs = {"openat2"};
    cases.push_back(std::move(c));
  }
}

// Somebody else swaps a directory on the way for a link while the path is walked.
void add_races(std::vector<Case>& cases) {
  cases.push_back(
      ruled("mnt.rename_race", "win a race against a directory that is swapped for a link out",
            "openat2(2), RESOLVE_BENEATH", bare(),
            {"open_race", {"/canary", "secret", std::to_string(RESOLVE_BENEATH)}},
            {"open_race", {"/canary", "secret", "0"}}, {Sight::holds_file, "/canary/secret"}));
  // What the goal watches is made for a parameter that names it.
  for (auto* attempt : {&cases.back().attempt, &*cases.back().control}) {
    attempt->args.emplace_back("{secret_file}");
  }
  cases.back().needs = {"openat2"};
}

void add_layers(std::vector<Case>& cases) {
  Case overlay = ruled(
      "mnt.overlay_whiteout", "change and remove a file of a lower layer through the merged view",
      "overlayfs.rst, \"Changes to underlying filesystems\"", in_namespaces({Ns::mnt}),
      {"overlay_write", {"/canary", "file", "merged"}},
      {"overlay_write", {"/canary", "file", "plain"}}, {Sight::file_changed, "/canary/file"});
  overlay.contained = true;  // merged, it changes
  overlay.needs = {"root", "overlay"};
  cases.push_back(std::move(overlay));

  Case owner;
  owner.id = "mnt.idmap_owner";
  owner.title = "write root's file as root, through a mount whose ids are mapped";
  owner.source = "mount_setattr(2), \"ID-mapped mounts\"";
  owner.expected = Layer::kIdMap;
  owner.policy = in_root({});
  owner.policy.name += " idmap";
  Mount mapped = bind_of("/canary", {"bind", "idmap"});
  // On disk 100000 is who is root here; root of the disk is nobody.
  mapped.uid_mappings = mapped.gid_mappings = {{100000, 0, 1000}};
  owner.policy.mounts.push_back(std::move(mapped));
  owner.attempt = {"write_file", {"{file}", "OVERWRITTEN"}};
  owner.goal = {Sight::file_changed, "/canary/file"};
  owner.proofs = {{Sight::mount_has, "/canary", kMountIdMapped}};
  owner.liveness = {"create_file", {"/rf_new", "0644"}};
  owner.needs = {"root", "idmap.tmpfs"};
  owner.step = "mount.idmap:/canary";
  cases.push_back(std::move(owner));
}

void add_locks(std::vector<Case>& cases) {
  Case remount;
  remount.id = "mnt.remount_rw";
  remount.title = "make a read-only bind writable in a user namespace of its own";
  remount.source = "mount_namespaces(7), Restrictions on mount namespaces";
  remount.expected = Layer::kReadOnly;
  remount.policy = in_root({});
  remount.policy.name += " ro";
  remount.policy.mounts.push_back(bind_of("/canary", {"bind", "ro"}));
  remount.attempt = {"userns_remount_rw", {"/canary", "{file}"}};
  remount.goal = {Sight::file_changed, "/canary/file"};
  remount.proofs = {{Sight::mount_has, "/canary", MS_RDONLY}};
  remount.liveness = {"read_file", {"/canary/secret", "{secret_file}"}};
  remount.needs = {"root", "userns"};
  remount.step = "mount.ro:/canary";
  cases.push_back(std::move(remount));

  Case unmask;
  unmask.id = "mnt.unmask";
  unmask.title = "uncover a masked path in a user namespace of its own";
  unmask.source = "mount_namespaces(7), Restrictions on mount namespaces";
  unmask.expected = Layer::kMask;
  unmask.policy = in_root({});
  unmask.policy.name += " mask";
  unmask.policy.mounts.push_back(bind_of("/canary", {"bind"}));
  unmask.policy.masked_paths = {"/canary/secret"};
  unmask.attempt = {"userns_unmask", {"{secret_file}"}};
  unmask.goal = {Sight::secret_returned};
  unmask.proofs = {{Sight::mount_covers, "/canary/secret"}};
  unmask.contained = true;  // what covers it can be read
  unmask.needs = {"root", "userns"};
  unmask.step = "mount.mask:/canary/secret";
  cases.push_back(std::move(unmask));

  Case fresh;
  fresh.id = "mnt.fresh_proc_in_userns";
  fresh.title = "mount a new proc, without masks, in a user namespace of its own";
  fresh.source = "mount_namespaces(7); fs/namespace.c, mount_too_revealing()";
  fresh.expected = Layer::kMask;
  fresh.policy = in_root({{"proc", "/proc"}});
  fresh.policy.name += " mask";
  fresh.policy.namespaces.push_back({Ns::pid, ""});
  fresh.policy.masked_paths = {"/proc/uptime"};
  fresh.policy.cwd = "/work";
  fresh.attempt = {"userns_mount_proc", {"/work", "uptime"}};
  fresh.goal = {Sight::mount_covers, "/work"};
  fresh.proofs = {{Sight::mount_covers, "/proc/uptime"}};
  fresh.liveness = {"read_file", {"/proc/self/cmdline"}};
  fresh.needs = {"root", "userns"};
  fresh.step = "mount.mask:/proc/uptime";
  cases.push_back(std::move(fresh));
}

void add_pids(std::vector<Case>& cases) {
  Case init;
  init.id = "pid.init_ignores_signals";
  init.title = "kill the sandbox's first process from inside by a signal that it does not handle";
  init.source = "pid_namespaces(7), The namespace init process";
  init.expected = Layer::kPid;
  init.policy = in_namespaces({Ns::pid});
  init.attempt = {"signal_init", {std::to_string(SIGTERM)}};
  init.goal = {Sight::killed_by, "", SIGTERM};
  init.proofs = {{Sight::ns_differs, "pid"}};
  init.contained = true;  // kill(2) says that it was sent
  init.liveness = {"kill_own_child", {std::to_string(SIGTERM)}};
  init.step = "ns.pid";
  cases.push_back(std::move(init));

  constexpr int kTooDeep = 40;
  constexpr int kDeep = 4;
  cases.push_back(ruled("pid.nested_depth", "nest more than 32 pid namespaces",
                        "pid_namespaces(7), Nesting PID namespaces", bare(),
                        {"nest_pid", {std::to_string(kTooDeep)}},
                        {"nest_pid", {std::to_string(kDeep)}}, {Sight::pid_depth_over, "", 2}));
}

void add_maps(std::vector<Case>& cases) {
  const auto map_case = [&](std::string id, std::string title, Policy policy,
                            std::vector<std::string> writes, std::vector<std::string> control,
                            std::string seen) {
    Case c = ruled(std::move(id), std::move(title),
                   "user_namespaces(7), Defining user and group ID mappings", std::move(policy),
                   {"userns_map", std::move(writes)}, {"userns_map", std::move(control)},
                   {Sight::map_has, std::move(seen)});
    c.needs = {"root", "userns"};
    cases.push_back(std::move(c));
  };
  map_case("user.gid_map_before_deny", "write gid_map before setgroups is denied",
           as_user(kPlainUid), {"gid_map=0 1000 1"}, {"setgroups=deny", "gid_map=0 1000 1"},
           "gid_map:0 1000 1");
  map_case("user.map_twice", "write uid_map a second time", as_user(kPlainUid),
           {"uid_map=5 1000 1", "uid_map=0 1000 1"}, {"uid_map=0 1000 1"}, "uid_map:0 1000 1");
  map_case("user.map_too_wide", "map ids that are not its own", as_user(kPlainUid),
           {"uid_map=0 1000 2"}, {"uid_map=0 1000 1"}, "uid_map:0 1000 ?");
}

void add_user_namespaces(std::vector<Case>& cases) {
  // Root, so that maps can be written with setgroups allowed; who reads is uid 1000 outside.
  Case groups = ruled("user.setgroups", "drop a group that keeps it out of a file",
                      "user_namespaces(7), The /proc/PID/setgroups file", bare(),
                      {"drop_group", {"deny", "{outsiders_file}"}},
                      {"drop_group", {"allow", "{outsiders_file}"}}, {Sight::secret_returned});
  constexpr int64_t kOutsidersGroup = 7777;  // it is still in that group
  groups.proofs = {{Sight::in_group, "", kOutsidersGroup}};
  groups.needs = {"root", "userns"};
  cases.push_back(std::move(groups));

  Case limit = ruled("user.nested_regain.limit",
                     "make a user namespace in one whose max_user_namespaces is 0",
                     "namespaces(7), The /proc/sys/user directory", bare(), {"userns_limit", {"0"}},
                     {"userns_limit", {"10"}}, {Sight::map_has, "uid_map:5 0 1"});
  limit.needs = {"root", "userns"};
  cases.push_back(std::move(limit));

  Case filter;
  filter.id = "user.nested_regain.seccomp";
  filter.title = "get all capabilities back by a user namespace of its own";
  filter.source = "user_namespaces(7), Capabilities";
  filter.expected = Layer::kSeccomp;
  filter.policy = as_user(kPlainUid);
  filter.policy.name += ", filter";
  filter.policy.no_new_privileges = true;
  filter.policy.seccomp = filtered({"unshare", "clone", "clone3"}, SeccompAction::errno_).seccomp;
  filter.attempt = {"unshare", {std::to_string(CLONE_NEWUSER)}};
  filter.goal = {Sight::cap_effective, "SYS_ADMIN"};
  filter.proofs = {{Sight::seccomp_filtered}};
  filter.needs = {"root", "userns"};
  filter.step = "seccomp";
  cases.push_back(std::move(filter));
}

// Descriptors of a neighbour's namespaces have come into its hands.
void add_joins(std::vector<Case>& cases) {
  const auto join = [&](std::string id, std::string title, const std::string& who,
                        const std::string& what, uint64_t flags, const std::string& seen) {
    Case c;
    c.id = std::move(id);
    c.title = std::move(title);
    c.source = "setns(2)";
    c.expected = Layer::kUser;
    c.policy = in_namespaces({Ns::user});
    c.attempt = {"setns_fd",
                 {std::to_string(RF_GIVEN_FD), std::to_string(flags), "{" + who + "_pid}", what}};
    c.goal = {Sight::shares_ns, seen + ":" + who};
    c.proofs = {{Sight::ns_differs, "user"}};
    c.outside = true;
    c.needs = {"root", "userns", "timens"};
    c.step = "ns.user";
    cases.push_back(std::move(c));
  };
  struct Kind {
    const char* word;
    uint64_t flag;
  };
  for (const Kind& kind :
       {Kind{"pid", CLONE_NEWPID}, Kind{"mnt", CLONE_NEWNS}, Kind{"net", CLONE_NEWNET},
        Kind{"uts", CLONE_NEWUTS}, Kind{"ipc", CLONE_NEWIPC}, Kind{"cgroup", CLONE_NEWCGROUP},
        Kind{"time", CLONE_NEWTIME}}) {
    join(std::string("pid.setns_by_fd.") + kind.word,
         std::string("enter a process's ") + kind.word + " namespace by a descriptor of it",
         "housed", kind.word, kind.flag, kind.word);
  }
  join("pid.setns_by_pidfd", "enter a process's namespaces by its pidfd", "housed", "pidfd",
       CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET, "net");
  join("user.sibling_setns", "enter the user namespace of a neighbour", "sibling", "user",
       CLONE_NEWUSER, "user");
  join("user.sibling_setns.uts", "enter what belongs to a neighbour's user namespace", "sibling",
       "uts", CLONE_NEWUTS, "uts");
}

}  // namespace

std::vector<Case> nesting_cases() {
  std::vector<Case> cases;
  add_roots(cases);
  add_paths(cases);
  add_layers(cases);
  add_locks(cases);
  add_pids(cases);
  add_maps(cases);
  add_races(cases);
  add_user_namespaces(cases);
  add_joins(cases);
  return cases;
}

}  // namespace ringfence::suites
