#pragma once
// Debian packages, fetched by apt-get and unpacked without being installed; kept in the cache.
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

class Initramfs;

// Orders version strings as people do: 6.1.0-9 < 6.1.0-50 < 6.12.
bool version_before(const std::string& a, const std::string& b);

// The directory that the files of a package (of this name, in the version that apt would take) are
// unpacked in, below `cache`; fetched when it is not there. Without apt-get or its lists: an error
// (system) that says so, unless the cache has one.
Result<std::string> unpacked_package(const std::string& name, const std::string& cache);
// The same for a package file of one's own.
Result<std::string> unpacked_file(const std::string& path, const std::string& cache);
// Names of packages that apt knows and that begin with `prefix`, and those in the cache.
Result<std::vector<std::string>> package_names(const std::string& prefix, const std::string& cache);

// All files of a package but its documentation, each program with the libraries of this host.
Status add_package(Initramfs& files, const std::string& name, const std::string& cache);

}  // namespace ringfence
