#pragma once
// The running kernel's type information (BTF). Internal to witness/.
//
// Reading it takes ten milliseconds and more (five megabytes, indexed), and several ask for it one
// after the other: who holds it spares the others that. It is not kept for ever, since each fork
// would copy its page tables. Source: kernel Documentation/bpf/btf.rst.
#include <memory>

struct btf;

namespace ringfence {

// What somebody holds, or else read now; null where the kernel has none (CONFIG_DEBUG_INFO_BTF).
std::shared_ptr<const btf> kernel_btf();

}  // namespace ringfence
