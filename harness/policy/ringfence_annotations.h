#pragma once
// What a Policy holds and a config.json has no field for, as annotations.
#include <map>
#include <string>
#include <string_view>

#include "harness/policy/json_reader.h"
#include "harness/policy/policy.h"

namespace ringfence {

namespace annotations {
inline constexpr std::string_view kPrefix = "ringfence.";
// The flags of the root mount, as mount options: "nosuid,nodev".
inline constexpr std::string_view kRootFlags = "ringfence.root.flags";
// "true": the policy names no directory ("rootfs" stands in the file); a fresh tmpfs.
inline constexpr std::string_view kRootFresh = "ringfence.root.fresh";
// "true": no root of its own ("/" stands in the file).
inline constexpr std::string_view kRootNone = "ringfence.root.none";
// "false" where the policy says so.
inline constexpr std::string_view kNewSession = "ringfence.new_session";
inline constexpr std::string_view kCloseDescriptors = "ringfence.close_descriptors";
inline constexpr std::string_view kSetUser = "ringfence.set_user";
// "true": an init of ours is the target's first process.
inline constexpr std::string_view kInit = "ringfence.init";
// The sets that are left as they are: "bounding,ambient".
inline constexpr std::string_view kUnsetCapabilities = "ringfence.capabilities.unset";
// The time namespace, for versions before 1.1, which have none: "new" or a path; and its offsets,
// "monotonic=SECONDS.NANOSECONDS,boottime=...".
inline constexpr std::string_view kTime = "ringfence.time";
inline constexpr std::string_view kTimeOffsets = "ringfence.time.offsets";
// The interfaces of the target's network namespace, as a JSON text: see network.h.
inline constexpr std::string_view kNetwork = "ringfence.network";
// What the harness answers to notified calls, as a JSON text: see notify.h.
inline constexpr std::string_view kNotify = "ringfence.seccomp.notify";
// Securebits by name: "noroot,noroot_locked".
inline constexpr std::string_view kSecurebits = "ringfence.securebits";
// "true": a session keyring of the target's own.
inline constexpr std::string_view kSessionKeyring = "ringfence.session_keyring";
// Landlock rule sets, as a JSON text: see landlock_annotation.h.
inline constexpr std::string_view kLandlock = "ringfence.landlock";

inline constexpr std::string_view kFreshRootPath = "rootfs";
inline constexpr std::string_view kNoRootPath = "/";
}  // namespace annotations

// Applies the annotations "ringfence.*" of `node`, which is the object of all annotations.
void read_ringfence_annotations(const JsonNode& node, Policy& policy);
std::map<std::string, std::string> write_ringfence_annotations(const Policy& policy);
// "1.0.x": no time namespace in the file.
bool before_1_1(const Policy& policy);
// The options that parse_mount_options() makes `flag_set` of.
std::string flag_words(uint64_t flag_set);
std::string propagation_word(uint64_t propagation);

}  // namespace ringfence
