#pragma once
// Readers and writers of policies. Bad input gives one Error of kind usage: what is wrong, where
// (file and JSON pointer, or line and column for broken JSON), what is allowed.
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/policy/policy.h"

namespace ringfence {

// Where profiles with conditions (includes, excludes) are resolved.
struct HostProfile {
  std::string architecture = "SCMP_ARCH_X86_64";
  int kernel_major = 0;  // of uname(2)
  int kernel_minor = 0;
  static HostProfile current();
};

// What a reader noticed and went on from: unknown fields, unknown syscall names.
struct Warning {
  std::string file;
  std::string pointer;  // JSON pointer, RFC 6901
  std::string text;
};

struct ReadPolicy {
  Policy policy;
  std::vector<Warning> warnings;
};
struct ReadSeccomp {
  Seccomp seccomp;
  std::vector<Warning> warnings;
};

// An OCI config.json. `file` is used in messages.
Result<ReadPolicy> parse_oci_policy(std::string_view json, const std::string& file);
Result<ReadPolicy> read_oci_policy(const std::string& file);

// A Docker/containers seccomp profile; conditions are resolved against `caps` and `host`.
Result<ReadSeccomp> parse_seccomp_profile(std::string_view json, const std::string& file,
                                          const CapSet& caps, const HostProfile& host);
Result<ReadSeccomp> read_seccomp_profile(const std::string& file, const CapSet& caps,
                                         const HostProfile& host);

// The policy as a config.json that runc accepts (two spaces of indentation, a final newline). What
// the file of that version has no field for goes into annotations "ringfence.*" and is read back
// from there (docs/profiles.md has the list). Fields that the reader only recorded as unenforced
// are not kept in a Policy, so they are not written.
std::string write_oci_policy(const Policy& policy);

// Built-in profiles: hardened, docker-default, podman-default, rootless, privileged, none.
struct Profile {
  std::string name;
  std::string title;
};
const std::vector<Profile>& profiles();
// `podman-default` needs the containers package's seccomp profile and fails with `unsupported`
// where it is not installed.
Result<Policy> profile(const std::string& name);

// NAME of a profile, or else a FILE. An unknown name that is no file either suggests the nearest.
Result<ReadPolicy> load_policy(const std::string& name_or_file);

// The number of a native (x86-64) syscall by name, from libseccomp or else from our own table of
// newer ones; -1 when neither knows it.
int syscall_number(std::string_view name);
// The other way; empty when unknown.
std::string syscall_name(long nr);
// Letters, digits, underscores, not starting with a digit ("_llseek"): what a syscall name can look
// like.
bool well_formed_syscall_name(std::string_view name);

}  // namespace ringfence
