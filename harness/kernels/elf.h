#pragma once
// What the initramfs needs to know of ELF files, read with libelf from bytes in memory: which
// interpreter a program names, and the .modinfo section of a kernel module.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"

namespace ringfence {

bool is_elf(std::string_view bytes);
// PT_INTERP; nothing for a static program. `name` stands for the file in errors (usage).
Result<std::optional<std::string>> elf_interpreter(std::string_view bytes, const std::string& name);
// The strings "key=value" of .modinfo. Usage error for a file that has none.
Result<std::vector<std::string>> module_info(std::string_view bytes, const std::string& name);

}  // namespace ringfence
