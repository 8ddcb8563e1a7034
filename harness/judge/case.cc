#include "harness/judge/case.h"

#include <array>

namespace ringfence {
namespace {

// In the order of the enumeration.
constexpr std::array<std::string_view, static_cast<size_t>(Sight::rival_over) + 1> kNames = {
    "none",
    "secret_returned",
    "canary_killed",
    "canary_traced",
    "canary_memory_changed",
    "file_changed",
    "file_exists",
    "file_owned_by",
    "file_mode_has",
    "file_capable",
    "file_linked",
    "hostname_changed",
    "domainname_changed",
    "sysv_changed",
    "key_changed",
    "abstract_connected",
    "loopback_connected",
    "unix_connected",
    "mount_appeared",
    "port_open",
    "tty_input",
    "mtu_changed",
    "net_changed",
    "peer_connected",
    "peer_heard",
    "task_survived",
    "uid_is",
    "gid_is",
    "in_group",
    "cap_effective",
    "exe_is",
    "cap_missing",
    "bounding_lacks",
    "root_differs",
    "cwd_is",
    "file_inside",
    "holds_file",
    "holds_proc_file",
    "holds_device",
    "holds_socket",
    "ns_differs",
    "ns_unplanned",
    "shares_ns",
    "mount_covers",
    "mount_has",
    "seccomp_filtered",
    "no_new_privs",
    "nice_below",
    "open_files_over",
    "locked_over",
    "pid_depth_over",
    "map_has",
    "bound_to_cpu",
    "outside_group",
    "boottime_known",
    "killed_by",
    "pid_exists",
    "tasks_over",
    "memory_over",
    "cgroup_event",
    "charged_over",
    "cpu_over",
    "rival_over",
};

}  // namespace

std::string_view sight_name(Sight sight) { return kNames.at(static_cast<size_t>(sight)); }

}  // namespace ringfence
