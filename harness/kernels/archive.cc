#include "harness/kernels/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <memory>

#include "harness/base/file.h"

namespace ringfence {
namespace {

constexpr size_t kLargestFile = size_t{1} << 30;

struct Free {
  void operator()(archive* a) const { archive_free(a); }
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using Archive = std::unique_ptr<archive, Free>;
using Entry = std::unique_ptr<archive_entry, Free>;

tl::unexpected<Error> archive_failed(const char* what, const std::string& object, archive* a) {
  const char* why = a != nullptr ? archive_error_string(a) : nullptr;
  return usage_error(what, object, why != nullptr ? why : "not an archive that can be read");
}

Result<std::string> contents(archive* a, const std::string& name) {
  std::string all;
  const void* block = nullptr;
  size_t size = 0;
  la_int64_t offset = 0;
  for (;;) {
    const int r = archive_read_data_block(a, &block, &size, &offset);
    if (r == ARCHIVE_EOF) return all;
    if (r < ARCHIVE_WARN) return archive_failed("unpack", name, a);
    if (static_cast<size_t>(offset) + size > kLargestFile) {
      return system_error("unpack", name, EFBIG);
    }
    all.resize(static_cast<size_t>(offset));  // holes are zeroes
    all.append(static_cast<const char*>(block), size);
  }
}

Archive open_memory(std::string_view bytes, bool raw) {
  Archive a(archive_read_new());
  if (!a) return a;
  archive_read_support_filter_gzip(a.get());
  archive_read_support_filter_xz(a.get());
  archive_read_support_filter_zstd(a.get());
  if (raw) {
    archive_read_support_format_raw(a.get());
  } else {
    archive_read_support_format_ar(a.get());
    archive_read_support_format_tar(a.get());
  }
  archive_read_support_format_empty(a.get());
  if (archive_read_open_memory(a.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) return nullptr;
  return a;
}

Status unpack_tar(std::string_view bytes, const std::string& package,
                  const std::string& directory) {
  const Archive from = open_memory(bytes, false);
  if (!from) return archive_failed("unpack", package, nullptr);
  const Archive to(archive_write_disk_new());
  archive_write_disk_set_options(to.get(), ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                               ARCHIVE_EXTRACT_SECURE_NODOTDOT);
  for (;;) {
    archive_entry* entry = nullptr;
    const int r = archive_read_next_header(from.get(), &entry);
    if (r == ARCHIVE_EOF) return {};
    if (r < ARCHIVE_WARN) return archive_failed("unpack", package, from.get());
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr) return archive_failed("unpack", package, nullptr);
    archive_entry_set_pathname(entry, (directory + "/" + name).c_str());
    if (const char* link = archive_entry_hardlink(entry); link != nullptr) {
      archive_entry_set_hardlink(entry, (directory + "/" + std::string(link)).c_str());
    }
    // What it writes belongs to this user, and no one runs it here.
    archive_entry_set_perm(entry, archive_entry_perm(entry) & 0755);
    if (archive_write_header(to.get(), entry) < ARCHIVE_WARN) {
      return archive_failed("unpack", package, to.get());
    }
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    while (archive_entry_size(entry) > 0) {
      const int read = archive_read_data_block(from.get(), &block, &size, &offset);
      if (read == ARCHIVE_EOF) break;
      if (read < ARCHIVE_WARN) return archive_failed("unpack", package, from.get());
      if (archive_write_data_block(to.get(), block, size, offset) < ARCHIVE_WARN) {
        return archive_failed("unpack", package, to.get());
      }
    }
    if (archive_write_finish_entry(to.get()) < ARCHIVE_WARN) {
      return archive_failed("unpack", package, to.get());
    }
  }
}

}  // namespace

Result<std::string> read_packed(const std::string& path) {
  auto bytes = read_file(path, kLargestFile);
  if (!bytes) return bytes;
  const bool packed = bytes->starts_with("\x1f\x8b") ||
                      bytes->starts_with(
                          "\xfd"
                          "7zXZ") ||
                      bytes->starts_with("\x28\xb5\x2f\xfd");
  if (!packed) return bytes;
  const Archive a = open_memory(*bytes, true);
  archive_entry* entry = nullptr;
  if (!a || archive_read_next_header(a.get(), &entry) < ARCHIVE_WARN) {
    return archive_failed("unpack", path, a.get());
  }
  return contents(a.get(), path);
}

Status unpack_package(const std::string& package, const std::string& directory) {
  auto bytes = read_file(package, kLargestFile);
  if (!bytes) return tl::unexpected(bytes.error());
  const Archive a = open_memory(*bytes, false);
  if (!a) return archive_failed("read Debian package", package, nullptr);
  for (;;) {
    archive_entry* entry = nullptr;
    const int r = archive_read_next_header(a.get(), &entry);
    if (r == ARCHIVE_EOF) {
      return usage_error("read Debian package", package, "it has no data.tar");
    }
    if (r < ARCHIVE_WARN) return archive_failed("read Debian package", package, a.get());
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || !std::string_view(name).starts_with("data.tar")) continue;
    auto data = contents(a.get(), package);
    if (!data) return tl::unexpected(data.error());
    return unpack_tar(*data, package, directory);
  }
}

Result<std::string> make_cpio(const std::map<std::string, CpioEntry>& entries) {
  const Archive a(archive_write_new());
  std::string all;
  const auto take = [](archive*, void* to, const void* block, size_t size) -> la_ssize_t {
    static_cast<std::string*>(to)->append(static_cast<const char*>(block), size);
    return static_cast<la_ssize_t>(size);
  };
  archive_write_set_format_cpio_newc(a.get());
  archive_write_add_filter_none(a.get());
  archive_write_set_bytes_per_block(a.get(), 0);
  if (archive_write_open(a.get(), &all, nullptr, take, nullptr) != ARCHIVE_OK) {
    return system_error("make initramfs", archive_error_string(a.get()), ENOMEM);
  }
  la_int64_t inode = 0;
  for (const auto& [path, file] : entries) {
    const Entry entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), path.c_str());
    archive_entry_set_mode(entry.get(), file.mode);
    archive_entry_set_ino64(entry.get(), ++inode);
    archive_entry_set_nlink(entry.get(), 1);
    archive_entry_set_mtime(entry.get(), 0, 0);
    const bool link = S_ISLNK(file.mode);
    if (link) archive_entry_set_symlink(entry.get(), file.content.c_str());
    archive_entry_set_size(entry.get(),
                           S_ISREG(file.mode) ? static_cast<la_int64_t>(file.content.size()) : 0);
    bool ok = archive_write_header(a.get(), entry.get()) == ARCHIVE_OK;
    if (ok && S_ISREG(file.mode) && !file.content.empty()) {
      ok = archive_write_data(a.get(), file.content.data(), file.content.size()) ==
           static_cast<la_ssize_t>(file.content.size());
    }
    if (!ok) return system_error("make initramfs", path, EINVAL, archive_error_string(a.get()));
  }
  if (archive_write_close(a.get()) != ARCHIVE_OK) return system_error("make initramfs", {}, EINVAL);
  return all;
}

}  // namespace ringfence
