#include "harness/witness/probe_file.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/spawn/reap.h"
#include "probes/bpf/probe_abi.h"

namespace ringfence {
namespace {

constexpr size_t kLargestObject = size_t{16} << 20;
constexpr int kChildMilliseconds = 10000;
constexpr const char* kCompile = "compile it with clang -target bpf -O2 -g";
constexpr const char* kHooks =
    "a probe may have tp/, raw_tp/, tp_btf/, kprobe/, kretprobe/, ksyscall/, kretsyscall/, "
    "fentry/, "
    "fexit/, uprobe/, uretprobe/, usdt/ with what it attaches to, and no other";

// What a program may be, by its section's name up to the first slash.
constexpr std::array<std::string_view, 20> kKinds = {
    "tp",        "tracepoint",  "raw_tp", "raw_tracepoint", "tp_btf",   "kprobe",      "kretprobe",
    "ksyscall",  "kretsyscall", "fentry", "fexit",          "fentry.s", "fexit.s",     "uprobe",
    "uretprobe", "uprobe.s",    "usdt",   "uretprobe.s",    "usdt.s",   "kprobe.multi"};

// Helpers that change what is watched, include/uapi/linux/bpf.h.
struct Helper {
  int id;
  const char* name;
};
constexpr std::array kRefusedHelpers = {
    Helper{36, "bpf_probe_write_user"}, Helper{58, "bpf_override_return"},
    Helper{109, "bpf_send_signal"}, Helper{117, "bpf_send_signal_thread"}};

constexpr uint8_t kCall = 0x85;  // BPF_JMP | BPF_CALL

struct SharedMap {
  const char* name;
  uint32_t key, value;
};
constexpr std::array kMaps = {SharedMap{"rf_scopes", 8, 8},
                              SharedMap{"rf_by_tgid", 4, 8},
                              SharedMap{"rf_by_pidns", 4, 8},
                              SharedMap{"rf_stories", 8, sizeof(rf_story)},
                              SharedMap{"rf_rings", 8, 4},
                              SharedMap{"rf_perf_rings", 8, 4},
                              SharedMap{"rf_counts", sizeof(rf_count_key), 8}};
constexpr const char* kIdMap = ".rodata.ringfence";

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 80)) {
    out += static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f ? c : '.';
  }
  return out;
}

tl::unexpected<Error> refuse(const std::string& where, std::string hint) {
  return usage_error("--probe", where, std::move(hint));
}

std::string at_section(const std::string& path, std::string_view section) {
  return fmt::format("{}, section {}", path, printable(section));
}

// --- ELF ----------------------------------------------------------------------------------------

template <typename T>
std::optional<T> read_at(std::string_view bytes, uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string machine_name(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "i386";
    default:
      return fmt::format("machine {}", machine);
  }
}

Status check_header(const std::string& path, std::string_view bytes) {
  if (bytes.size() < EI_NIDENT || bytes.substr(0, SELFMAG) != ELFMAG) {
    return refuse(path, fmt::format("is no ELF object; {}", kCompile));
  }
  if (bytes[EI_DATA] == ELFDATA2MSB) {
    return refuse(path,
                  "is big-endian, and this machine is not; compile it with clang -target bpfel");
  }
  if (bytes[EI_CLASS] != ELFCLASS64) {
    return refuse(path, fmt::format("is no 64-bit ELF object; {}", kCompile));
  }
  const auto header = read_at<Elf64_Ehdr>(bytes, 0);
  if (!header) return refuse(path, "is cut off within its ELF header");
  if (header->e_machine != EM_BPF) {
    return refuse(
        path, fmt::format("is for {}, not for BPF; {}", machine_name(header->e_machine), kCompile));
  }
  if (header->e_type != ET_REL) {
    return refuse(path, fmt::format("is no object file but linked; {}", kCompile));
  }
  return {};
}

struct Section {
  std::string_view name, bytes;
  uint32_t type = 0;
  uint64_t flags = 0;
};

Result<std::vector<Section>> sections_of(const std::string& path, std::string_view bytes) {
  const auto header = *read_at<Elf64_Ehdr>(bytes, 0);
  const auto at = [&](uint64_t index) {
    return read_at<Elf64_Shdr>(bytes, header.e_shoff + index * sizeof(Elf64_Shdr));
  };
  const auto names = at(header.e_shstrndx);
  std::vector<Section> sections;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    const auto s = at(i);
    if (!s) return refuse(path, "is cut off: its table of sections is not all there");
    Section section;
    section.type = s->sh_type;
    section.flags = s->sh_flags;
    if (names && s->sh_name < names->sh_size && names->sh_offset < bytes.size() &&
        s->sh_name < bytes.size() - names->sh_offset) {
      section.name = bytes.substr(names->sh_offset + s->sh_name);
      section.name = section.name.substr(0, section.name.find('\0'));
    }
    if (s->sh_type != SHT_NOBITS && s->sh_type != SHT_NULL) {
      if (s->sh_offset > bytes.size() || s->sh_size > bytes.size() - s->sh_offset) {
        return refuse(at_section(path, section.name), "reaches beyond the end of the file");
      }
      section.bytes = bytes.substr(s->sh_offset, s->sh_size);
    }
    sections.push_back(section);
  }
  return sections;
}

// Every call of a helper in every section with instructions, functions that programs share
// included.
Status check_helpers(const std::string& path, const std::vector<Section>& sections) {
  for (const Section& section : sections) {
    if (section.type != SHT_PROGBITS || (section.flags & SHF_EXECINSTR) == 0) continue;
    for (size_t at = 0; at + sizeof(bpf_insn) <= section.bytes.size(); at += sizeof(bpf_insn)) {
      const auto insn = *read_at<bpf_insn>(section.bytes, at);
      if (insn.code != kCall || insn.src_reg != 0) continue;
      for (const Helper& helper : kRefusedHelpers) {
        if (insn.imm != helper.id) continue;
        return refuse(at_section(path, section.name),
                      fmt::format("calls {}, which changes what it watches; a probe only looks",
                                  helper.name));
      }
    }
  }
  return {};
}

// --- As libbpf sees it --------------------------------------------------------------------------

Status check_maps(const std::string& path, bpf_object* object) {
  for (const SharedMap& shared : kMaps) {
    const bpf_map* map = bpf_object__find_map_by_name(object, shared.name);
    if (map == nullptr) {
      return refuse(
          at_section(path, ".maps"),
          fmt::format("has no map {}; include probes/bpf/probe.h of this ringfence", shared.name));
    }
    if (bpf_map__key_size(map) != shared.key || bpf_map__value_size(map) != shared.value) {
      return refuse(
          fmt::format("{}, section .maps, map {}", path, shared.name),
          fmt::format("has keys of {} bytes and values of {}, not {} and {}; compile it "
                      "with probes/bpf/probe.h of this ringfence",
                      bpf_map__key_size(map), bpf_map__value_size(map), shared.key, shared.value));
    }
  }
  bpf_map* id_map = bpf_object__find_map_by_name(object, kIdMap);
  size_t size = 0;
  const void* id = id_map != nullptr ? bpf_map__initial_value(id_map, &size) : nullptr;
  if (id == nullptr || size != sizeof(rf_probe_id)) {
    return refuse(at_section(path, kIdMap), "is not there as probes/bpf/probe.h makes it");
  }
  const uint32_t abi = static_cast<const rf_probe_id*>(id)->abi;
  if (abi != RF_PROBE_ABI) {
    return refuse(at_section(path, kIdMap),
                  fmt::format("was compiled for version {} of probes/bpf/probe.h, this is {}; "
                              "compile it again",
                              abi, RF_PROBE_ABI));
  }
  return {};
}

Status check_programs(const std::string& path, bpf_object* object) {
  size_t count = 0;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    ++count;
    const std::string_view section = bpf_program__section_name(program);
    if (!is_probe_section(section)) return refuse(at_section(path, section), kHooks);
    // libbpf takes the mark away from the name.
    if (!bpf_program__autoload(program)) {
      return refuse(at_section(path, "?" + std::string(section)),
                    fmt::format("is marked with ? as one that is not loaded; {}", kHooks));
    }
  }
  if (count == 0) return refuse(path, fmt::format("has no program; {}", kHooks));
  return {};
}

// kfuncs: what they do is not known here. In the object's types as they are in the file: libbpf
// puts others in their place when it opens it.
Status check_externs(const ProbeFile& file) {
  const auto sections = sections_of(file.path, file.bytes);
  if (!sections) return tl::unexpected(sections.error());
  const auto section = std::find_if(sections->begin(), sections->end(),
                                    [](const Section& s) { return s.name == ".BTF"; });
  if (section == sections->end())
    return refuse(file.path, fmt::format("has no types; {}", kCompile));
  const std::unique_ptr<btf, decltype(&btf__free)> types(
      btf__new(section->bytes.data(), static_cast<uint32_t>(section->bytes.size())), btf__free);
  if (!types) return refuse(at_section(file.path, ".BTF"), "is damaged: " + errno_name(errno));
  const uint32_t count = btf__type_cnt(types.get());
  for (uint32_t id = 1; id < count; ++id) {
    const btf_type* type = btf__type_by_id(types.get(), id);
    if (!btf_is_func(type) || btf_vlen(type) != BTF_FUNC_EXTERN) continue;
    return refuse(at_section(file.path, ".ksyms"),
                  fmt::format("calls {}, a function of the kernel; a probe has BPF's helpers only",
                              printable(btf__name_by_offset(types.get(), type->name_off))));
  }
  return {};
}

Status check_with_libbpf(const ProbeFile& file) {
  const LibbpfWords words;
  const std::unique_ptr<bpf_object, decltype(&bpf_object__close)> object(
      bpf_object__open_mem(file.bytes.data(), file.bytes.size(), nullptr), bpf_object__close);
  if (!object) {
    const int err = errno;
    return refuse(file.path,
                  fmt::format("is a damaged object ({}): {}", errno_name(err), words.last()));
  }
  if (auto ok = check_programs(file.path, object.get()); !ok) return ok;
  if (auto ok = check_maps(file.path, object.get()); !ok) return ok;
  return check_externs(file);
}

// --- The child's word ---------------------------------------------------------------------------

constexpr char kFine = '+';

std::string pack(const Status& status) {
  if (status) return std::string(1, kFine);
  const Error& e = status.error();
  std::string text(1, static_cast<char>('0' + static_cast<int>(e.kind)));
  text += fmt::format("{}", e.err);
  for (const auto& part : {e.what, e.object, e.hint}) text += '\0' + part;
  return text;
}

std::optional<Status> unpack(std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (text[0] == kFine) return Status();
  Error error;
  error.kind = static_cast<Error::Kind>(text[0] - '0');
  text.remove_prefix(1);
  std::array<std::string, 4> parts;
  for (auto& part : parts) {
    const size_t end = text.find('\0');
    part = std::string(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  error.err = parse_int(parts[0]).value_or(0);
  error.what = parts[1];
  error.object = parts[2];
  error.hint = parts[3];
  return tl::unexpected(std::move(error));
}

// The last of libbpf's warnings, while somebody wants them.
std::string* heard = nullptr;

__attribute__((format(printf, 2, 0))) int hear(libbpf_print_level level, const char* format,
                                               va_list args) {
  if (level != LIBBPF_WARN || heard == nullptr) return 0;
  std::array<char, 512> line{};
  (void)vsnprintf(line.data(), line.size(), format, args);
  std::string text = printable(std::string_view(line.data()));
  while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
  constexpr std::string_view kPrefix = "libbpf: ";
  if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
  if (!text.empty()) *heard = text;
  return 0;
}

}  // namespace

LibbpfWords::LibbpfWords() : before_(reinterpret_cast<void*>(libbpf_set_print(hear))) {
  heard = new std::string;
}
LibbpfWords::~LibbpfWords() {
  libbpf_set_print(reinterpret_cast<libbpf_print_fn_t>(before_));
  delete heard;
  heard = nullptr;
}
std::string LibbpfWords::last() const { return heard->empty() ? "libbpf gives no reason" : *heard; }

bool is_probe_section(std::string_view section) {
  const size_t slash = section.find('/');
  if (slash == std::string_view::npos || slash + 1 == section.size()) return false;
  return std::find(kKinds.begin(), kKinds.end(), section.substr(0, slash)) != kKinds.end();
}

Status in_sacrificial_child(const std::function<Status()>& body, const Error& damaged) {
  std::array<int, 2> ends{};
  const int64_t piped = sys::call(SYS_pipe2, sys::arg(ends.data()), O_CLOEXEC);
  if (piped < 0) return system_error("pipe2", {}, static_cast<int>(-piped));
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const int64_t parent = sys::call(SYS_getpid);
  const int64_t pid = sys::call(SYS_fork);
  if (pid < 0) return system_error("fork", {}, static_cast<int>(-pid));
  if (pid == 0) {
    // noexcept: what is thrown ends the child, and never unwinds its copy of the caller's stack.
    [&]() noexcept {
      (void)sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
      if (sys::call(SYS_getppid) != parent) _exit(1);
      // A crash of it is no crash of ours: no core file, no handler's output.
      (void)sys::call(SYS_prctl, PR_SET_DUMPABLE, 0);
      for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) signal(number, SIG_DFL);
      const std::string word = pack(body());
      (void)sys::write_full(write_end.get(), word.data(), word.size());
      _exit(0);
    }();
  }
  write_end.reset();
  std::string word;
  std::array<char, 4096> buffer;
  for (;;) {
    pollfd waits{read_end.get(), POLLIN, 0};
    const int64_t ready = sys::call(SYS_poll, sys::arg(&waits), 1, kChildMilliseconds);
    if (ready == -EINTR) continue;
    if (ready <= 0) break;
    const int64_t n = sys::call(SYS_read, read_end.get(), sys::arg(buffer.data()), buffer.size());
    if (n == -EINTR) continue;
    if (n <= 0) break;
    word.append(buffer.data(), static_cast<size_t>(n));
  }
  // At the end of its pipe it has nothing more to do.
  (void)reap(static_cast<int>(pid), -1);
  auto status = unpack(word);
  if (!status) return tl::unexpected(damaged);
  return *status;
}

Result<ProbeFile> read_probe(const std::string& path) {
  auto bytes = read_file(path, kLargestObject);
  if (!bytes) {
    Error error = bytes.error();
    error.kind = Error::Kind::usage;
    error.what = "--probe";
    error.object = path;
    error.hint = "give a BPF object file";
    return tl::unexpected(std::move(error));
  }
  ProbeFile file{path, path.substr(path.rfind('/') + 1), std::move(*bytes)};
  for (const std::string_view end : {".o", ".bpf"}) {
    if (file.name.size() > end.size() && file.name.ends_with(end)) {
      file.name.resize(file.name.size() - end.size());
    }
  }
  file.name = printable(file.name);
  if (auto ok = check_header(path, file.bytes); !ok) return tl::unexpected(ok.error());
  const auto sections = sections_of(path, file.bytes);
  if (!sections) return tl::unexpected(sections.error());
  if (auto ok = check_helpers(path, *sections); !ok) return tl::unexpected(ok.error());
  const Error damaged{Error::Kind::usage, "--probe", 0, path,
                      "is a damaged object: libbpf does not survive reading it"};
  auto ok = in_sacrificial_child([&] { return check_with_libbpf(file); }, damaged);
  if (!ok) return tl::unexpected(ok.error());
  return file;
}

}  // namespace ringfence
