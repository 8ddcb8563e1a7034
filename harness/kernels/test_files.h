#pragma once
// For the tests: directories that go, and ELF files made by hand.
#include <elf.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace ringfence::testing {

class Directory {
 public:
  Directory() {
    std::string path = "/tmp/ringfence-kernels-XXXXXX";
    if (::mkdtemp(path.data()) != nullptr) path_ = path;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string path(const std::string& name = {}) const {
    return name.empty() ? path_ : path_ + "/" + name;
  }
  // The path of a new file.
  [[nodiscard]] std::string write(const std::string& name, std::string_view bytes) const {
    const std::string to = path(name);
    std::filesystem::create_directories(std::filesystem::path(to).parent_path());
    std::ofstream(to, std::ios::binary) << bytes;
    return to;
  }

 private:
  std::string path_;
};

template <typename T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// A relocatable file with one section beside that of the names.
inline std::string elf_with_section(const std::string& section, const std::string& content) {
  const std::string names = std::string("\0", 1) + section + '\0' + ".shstrtab" + '\0';
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof header;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shstrndx = 2;
  header.e_shoff = sizeof header + content.size() + names.size();
  std::string bytes;
  append(bytes, header);
  bytes += content + names;
  append(bytes, Elf64_Shdr{});
  Elf64_Shdr data{};
  data.sh_name = 1;
  data.sh_type = SHT_PROGBITS;
  data.sh_offset = sizeof header;
  data.sh_size = content.size();
  data.sh_addralign = 1;
  append(bytes, data);
  Elf64_Shdr strings{};
  strings.sh_name = static_cast<Elf64_Word>(section.size() + 2);
  strings.sh_type = SHT_STRTAB;
  strings.sh_offset = sizeof header + content.size();
  strings.sh_size = names.size();
  strings.sh_addralign = 1;
  append(bytes, strings);
  return bytes;
}

inline std::string module_bytes(const std::vector<std::string>& info) {
  std::string content;
  for (const auto& line : info) content += line + '\0';
  return elf_with_section(".modinfo", content);
}

}  // namespace ringfence::testing
