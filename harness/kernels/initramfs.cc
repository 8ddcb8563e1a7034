#include "harness/kernels/initramfs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/kernels/agent.h"
#include "harness/kernels/elf.h"
#include "harness/kernels/guest_modules.h"
#include "harness/kernels/modules.h"
#include "harness/kernels/package.h"
#include "harness/kernels/program.h"

namespace ringfence {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestFile = size_t{1} << 30;

// What the kernel asks modprobe for when somebody uses it, and KVM. Those that a kernel lacks are
// left out: what needs them is skipped there, and says so.
const std::vector<std::string> kModules = {
    "kvm_amd",        "kvm_intel",   "overlay",        "veth",
    "bridge",         "macvlan",     "ipvlan",         "tun",
    "dummy",          "nf_tables",   "nft_compat",     "ip_tables",
    "iptable_filter", "vsock",       "vsock_loopback", "fuse",
    "loop",           "binfmt_misc", "virtio_pci",     "virtio_console",
    "virtio_blk",     "virtio_net",  "sch_netem",      "cls_bpf",
    "sch_ingress"};

// The commands of busybox that scripts use most; all others are there as `busybox NAME`.
const std::vector<std::string> kCommands = {
    "sh",   "cat",   "ls",    "mount", "umount", "mkdir", "rm",   "cp",       "mv",   "ln",
    "echo", "test",  "grep",  "sed",   "awk",    "sleep", "dd",   "id",       "ps",   "kill",
    "true", "false", "uname", "dmesg", "insmod", "lsmod", "ip",   "hostname", "head", "tail",
    "wc",   "sort",  "find",  "touch", "chmod",  "chown", "stat", "env",      "sync", "seq"};

std::string plain(const std::string& path) {
  return path.substr(std::min(path.find_first_not_of('/'), path.size()));
}

std::string in_path(const std::string& name) {
  const char* list = std::getenv("PATH");
  const std::string path = list != nullptr ? list : "/usr/sbin:/usr/bin:/sbin:/bin";
  for (const auto directory : split(path, ':')) {
    std::string candidate = std::string(directory) + "/" + name;
    std::error_code failed;
    if (::access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate, failed)) {
      return candidate;
    }
  }
  return {};
}

}  // namespace

Result<std::string> sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    return system_error("SHA-256", {}, ENOMEM);
  }
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest.at(i));
  return text;
}

Status write_whole(const std::string& path, std::string_view bytes) {
  std::string temporary = path + ".XXXXXX";
  const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return system_error("create", temporary);
  auto ok = sys::write_full(fd.get(), bytes.data(), bytes.size());
  if (ok && ::fchmod(fd.get(), 0644) != 0) ok = system_error("fchmod", temporary);
  if (ok && ::rename(temporary.c_str(), path.c_str()) != 0) ok = system_error("rename", path);
  if (!ok) (void)::unlink(temporary.c_str());
  return ok;
}

std::string cache_directory() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (auto own = variable("RINGFENCE_CACHE"); !own.empty()) return own;
  if (auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache + "/ringfence";
  if (auto home = variable("HOME"); !home.empty()) return home + "/.cache/ringfence";
  return "/var/cache/ringfence";
}

void Initramfs::put(const std::string& path, CpioEntry entry) {
  const std::string key = plain(path);
  // A directory that something stands in for (a link to usr/lib) keeps its own kind.
  for (size_t at = key.find('/'); at != std::string::npos; at = key.find('/', at + 1)) {
    entries_.emplace(key.substr(0, at), CpioEntry{S_IFDIR | 0755, {}});
  }
  entries_.insert_or_assign(key, std::move(entry));
}

Status Initramfs::add_file(const std::string& path, const std::string& source, uint32_t mode) {
  struct stat st {};
  if (::stat(source.c_str(), &st) != 0) return system_error("read", source);
  if (!S_ISREG(st.st_mode)) return usage_error("put into initramfs", source, "not a regular file");
  auto bytes = read_file(source, kLargestFile);
  if (!bytes) return tl::unexpected(bytes.error());
  put(path, {S_IFREG | (mode != 0 ? mode : st.st_mode & 07777), std::move(*bytes)});
  return {};
}

void Initramfs::add_text(const std::string& path, std::string content, uint32_t mode) {
  put(path, {S_IFREG | mode, std::move(content)});
}

void Initramfs::add_link(const std::string& path, std::string target) {
  put(path, {S_IFLNK | 0777, std::move(target)});
}

void Initramfs::add_directory(const std::string& path, uint32_t mode) {
  put(path, {S_IFDIR | mode, {}});
}

Status Initramfs::add_program(const std::string& path, const std::string& source) {
  if (auto ok = add_file(path, source, 0755); !ok) return ok;
  const std::string& bytes = entries_.at(plain(path)).content;
  if (!is_elf(bytes)) return {};
  auto interpreter = elf_interpreter(bytes, source);
  if (!interpreter) return tl::unexpected(interpreter.error());
  if (!*interpreter) return {};
  // The interpreter itself says what it would load: it knows the search path as nobody else.
  auto list = output_of({**interpreter, "--list", source});
  if (!list) return tl::unexpected(list.error());
  std::set<std::string> files = {**interpreter};
  for (const std::string_view line : split(*list, '\n')) {
    const size_t slash = line.find('/');
    if (line.find("not found") != std::string_view::npos) {
      return usage_error("put into initramfs", source,
                         "a library is missing here: " + std::string(trim(line)));
    }
    if (slash == std::string_view::npos) continue;
    files.emplace(line.substr(slash, line.find(' ', slash) - slash));
  }
  for (const auto& file : files) {
    if (entries_.contains(plain(file))) continue;
    if (auto ok = add_file(file, file, 0755); !ok) return ok;
  }
  return {};
}

Status Initramfs::add_modules(const std::string& directory, const std::vector<std::string>& wanted,
                              const std::vector<std::string>& needed) {
  auto tree = ModuleTree::open(directory);
  if (!tree) return tl::unexpected(tree.error());
  std::vector<std::string> names = needed;
  for (const auto& name : wanted) {
    if (tree->has(name)) names.push_back(name);
  }
  auto modules = tree->closure(names);
  if (!modules) return tl::unexpected(modules.error());
  std::vector<GuestModule> list;
  for (auto& module : *modules) {
    const std::string path = "/lib/modules/ringfence/" + module.name + ".ko";
    add_text(path, std::move(module.bytes));
    list.push_back({module.name, path, module.depends, module.aliases});
  }
  add_text(kModuleList, guest_modules_json(list));
  return {};
}

Result<std::string> Initramfs::digest() const {
  // Over a digest of each content, so that no boundary can be shifted.
  std::string all;
  for (const auto& [path, entry] : entries_) {
    auto one = sha256(entry.content);
    if (!one) return one;
    all += fmt::format("{:o} {} {}", entry.mode, *one, path);
    all += '\0';
  }
  return sha256(all);
}

Result<std::string> Initramfs::write(const std::string& cache) const {
  auto name = digest();
  if (!name) return name;
  const std::string directory = cache + "/initramfs";
  std::error_code failed;
  fs::create_directories(directory, failed);
  if (failed) return system_error("create", directory, failed.value());
  std::string path = directory + "/" + *name + ".cpio";
  if (::access(path.c_str(), R_OK) == 0) return path;
  auto bytes = make_cpio(entries_);
  if (!bytes) return bytes;
  if (auto ok = write_whole(path, *bytes); !ok) return tl::unexpected(ok.error());
  return path;
}

Result<Initramfs> plan_initramfs(const InitramfsPlan& plan, const std::string& cache) {
  Initramfs files;
  for (const char* directory : {"/proc", "/sys", "/dev", "/run", "/mnt", "/root", "/var/tmp"}) {
    files.add_directory(directory);
  }
  files.add_directory("/tmp", 01777);
  files.add_text("/etc/passwd",
                 "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
  files.add_text("/etc/group", "root:x:0:\nnogroup:x:65534:\n");
  const std::string inside = "/bin/ringfence";
  if (auto ok = files.add_program(inside, plan.program); !ok) return tl::unexpected(ok.error());
  files.add_link("/init", inside);
  files.add_link("/sbin/modprobe", inside);
  files.add_text(kModuleList, guest_modules_json({}));
  if (const std::string busybox = in_path("busybox"); !busybox.empty()) {
    if (auto ok = files.add_program("/bin/busybox", busybox); !ok)
      return tl::unexpected(ok.error());
    for (const auto& name : kCommands) files.add_link("/bin/" + name, "busybox");
  }
  if (!plan.modules.empty()) {
    if (auto ok = files.add_modules(plan.modules, kModules, plan.needed_modules); !ok) {
      return tl::unexpected(ok.error());
    }
  }
  for (const auto& word : plan.with) {
    const bool path = word.find('/') != std::string::npos;
    const std::string program = path ? word : in_path(word);
    Status ok;
    if (path) {
      const std::string at = fs::absolute(word).lexically_normal().string();
      ok = ::access(at.c_str(), X_OK) == 0 ? files.add_program(at, at) : files.add_file(at, at);
    } else if (!program.empty()) {
      ok = files.add_program("/bin/" + word, program);
    } else {
      ok = add_package(files, word, cache);
    }
    if (!ok) return tl::unexpected(ok.error());
  }
  for (const auto& [path, content] : plan.texts) files.add_text(path, content);
  return files;
}

}  // namespace ringfence
