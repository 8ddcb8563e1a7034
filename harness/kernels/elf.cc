#include "harness/kernels/elf.h"

#include <gelf.h>
#include <libelf.h>

#include <memory>

namespace ringfence {
namespace {

struct EndElf {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, EndElf>;

// libelf only reads what it is given here, but takes no const.
ElfHandle open_elf(std::string_view bytes) {
  if (elf_version(EV_CURRENT) == EV_NONE) return nullptr;
  ElfHandle elf(elf_memory(const_cast<char*>(bytes.data()), bytes.size()));
  if (elf && elf_kind(elf.get()) != ELF_K_ELF) return nullptr;
  return elf;
}

tl::unexpected<Error> refused(const std::string& name, const char* what) {
  const char* why = elf_errmsg(-1);
  return usage_error("read ELF file", name,
                     std::string(what) + (why != nullptr ? std::string(": ") + why : ""));
}

}  // namespace

bool is_elf(std::string_view bytes) { return bytes.starts_with(ELFMAG); }

Result<std::optional<std::string>> elf_interpreter(std::string_view bytes,
                                                   const std::string& name) {
  const ElfHandle elf = open_elf(bytes);
  size_t count = 0;
  if (!elf || elf_getphdrnum(elf.get(), &count) != 0) return refused(name, "no ELF program");
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr header;
    if (gelf_getphdr(elf.get(), static_cast<int>(i), &header) == nullptr) {
      return refused(name, "a program header is cut off");
    }
    if (header.p_type != PT_INTERP) continue;
    if (header.p_offset > bytes.size() || header.p_filesz > bytes.size() - header.p_offset) {
      return refused(name, "the interpreter's name is cut off");
    }
    const auto text = bytes.substr(header.p_offset, header.p_filesz);
    return std::string(text.substr(0, text.find('\0')));
  }
  return std::optional<std::string>();
}

Result<std::vector<std::string>> module_info(std::string_view bytes, const std::string& name) {
  const ElfHandle elf = open_elf(bytes);
  size_t names = 0;
  if (!elf || elf_getshdrstrndx(elf.get(), &names) != 0) return refused(name, "no kernel module");
  for (Elf_Scn* section = elf_nextscn(elf.get(), nullptr); section != nullptr;
       section = elf_nextscn(elf.get(), section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) return refused(name, "a section is cut off");
    const char* title = elf_strptr(elf.get(), names, header.sh_name);
    if (title == nullptr || std::string_view(title) != ".modinfo") continue;
    if (header.sh_size == 0) return std::vector<std::string>();  // for which there is no data
    const Elf_Data* data = elf_rawdata(section, nullptr);
    if (data == nullptr || data->d_buf == nullptr) return refused(name, ".modinfo is cut off");
    std::string_view text(static_cast<const char*>(data->d_buf), data->d_size);
    std::vector<std::string> lines;
    while (!text.empty()) {
      const size_t end = text.find('\0');
      if (end > 0) lines.emplace_back(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return lines;
  }
  return usage_error("read kernel module", name, "it has no .modinfo section");
}

}  // namespace ringfence
