#include "harness/witness/security_hooks.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "harness/base/file.h"
#include "harness/base/sys.h"
#include "harness/witness/bpf_map.h"
#include "harness/witness/kernel_btf.h"
#include "probes/bpf/abi.h"
// clang-format off: it needs the types above
#include "security.skel.h"
// clang-format on

namespace ringfence {
namespace {

constexpr std::array<std::string_view, RF_HOOK_END> kHookNames = {"",
#define RF_X(hook, function) #hook,
                                                                  RF_SECURITY_HOOKS(RF_X)
#undef RF_X
};

struct Family {
  std::string_view hook, rung;
  std::string_view programs;  // what their names end in
  std::string_view section;   // of them all
};
constexpr std::string_view kLsm = "lsm";
constexpr std::string_view kLandlock = "lsm_landlock";
constexpr std::string_view kBpf = "lsm_bpf";
constexpr std::array kFamilies = {
    Family{kLsm, "fexit", "__fexit", "fexit/security_*"},
    Family{kLsm, "kretprobe", "__kretprobe", "kretprobe/security_*"},
    Family{kLandlock, "fexit", "__landlock_fexit", "fexit/hook_*"},
    Family{kLandlock, "kretprobe", "__landlock_kretprobe", "kretprobe/hook_*"},
    Family{kBpf, "fexit", "__bpf_fexit", "fexit/bpf_lsm_*"},
    Family{kBpf, "lsm", "__bpf_lsm", "lsm/*"},
};

struct Destroy {
  void operator()(security_bpf* s) const { security_bpf__destroy(s); }
};
using Skeleton = std::unique_ptr<security_bpf, Destroy>;

void refuse(Rung& rung, int err, std::string reason) {
  rung.tried = true;
  rung.loads = rung.taken = false;
  rung.err = err;
  rung.reason = std::move(reason);
}

// The function that a program looks at, in the kernel's BTF.
bool is_there(const btf* kernel, std::string_view section) {
  const size_t slash = section.find('/');
  std::string function(section.substr(slash + 1));
  if (section.substr(0, slash) == "lsm") function.insert(0, "bpf_lsm_");
  return btf__find_by_name_kind(kernel, function.c_str(), BTF_KIND_FUNC) >= 0;
}

uint32_t bit_of(std::string_view program) {
  const std::string_view hook = program.substr(0, program.find("__"));
  const auto* at = std::find(kHookNames.begin(), kHookNames.end(), hook);
  return 1U << static_cast<unsigned>(at - kHookNames.begin());
}

// One family: loaded, and attached by attach_all().
struct Loaded {
  Skeleton skeleton;
  uint32_t hooks = 0;  // a bit for each that this kernel has
};

// A family's programs, of those that look at something that is there. Empty: the rung says why.
Loaded load(const Family& family, Rung& rung, const btf* kernel, int tasks_map_fd) {
  Loaded loaded{Skeleton(security_bpf__open())};
  if (!loaded.skeleton) {
    refuse(rung, errno, "the object cannot be opened: " + errno_name(errno));
    return {};
  }
  rung.tried = true;
  rung.of.clear();
  bpf_program* program = nullptr;
  bpf_program* first = nullptr;
  bpf_object__for_each_program(program, loaded.skeleton->obj) {
    const std::string_view name = bpf_program__name(program);
    const bool wanted = name.substr(name.find("__")) == family.programs &&
                        (kernel == nullptr || is_there(kernel, bpf_program__section_name(program)));
    bpf_program__set_autoload(program, wanted);
    if (!wanted) continue;
    if (first == nullptr) first = program;
    loaded.hooks |= bit_of(name);
    rung.of += (rung.of.empty() ? "" : ", ") + std::string(name.substr(0, name.find("__")));
  }
  if (first == nullptr) {
    refuse(rung, ESRCH, "ESRCH: this kernel has no such hook");
    return {};
  }
  const int shared = tasks_map_fd >= 0
                         ? bpf_map__reuse_fd(loaded.skeleton->maps.tasks, tasks_map_fd)
                         : bpf_map__set_max_entries(loaded.skeleton->maps.tasks, 1);
  if (shared != 0) {
    refuse(rung, -shared, "its map cannot be shared: " + errno_name(-shared));
    return {};
  }
  std::string log(kVerifierLogBytes, '\0');
  (void)bpf_program__set_log_buf(first, log.data(), log.size());
  if (const int result = security_bpf__load(loaded.skeleton.get()); result != 0) {
    rung.log = log.substr(0, log.find('\0'));
    refuse(rung, -result, why_refused(-result, rung.log));
    return {};
  }
  rung.loads = true;
  return loaded;
}

// Attaches the first `most` of them; false: the rung says why.
bool attach_all(const Loaded& loaded, Rung& rung, int most) {
  const bpf_object_skeleton& slots = *loaded.skeleton->skeleton;
  int count = 0;
  for (int i = 0; i < slots.prog_cnt && count < most; ++i) {
    bpf_program* program = *slots.progs[i].prog;
    if (!bpf_program__autoload(program)) continue;
    bpf_link* link = bpf_program__attach(program);
    if (link == nullptr) {
      refuse(rung, errno, "attach: " + errno_name(errno));
      return false;
    }
    *slots.progs[i].link = link;
    ++count;
  }
  return true;
}

// Whether the module bpf is asked at all, found out by a call that it is asked of.
bool is_run(const Loaded& loaded) {
  const uint32_t key = 0;
  std::array<uint64_t, 64> value{};  // .bss is some bytes
  (void)find_in_map(bpf_map__fd(loaded.skeleton->maps.bss), &key, value.data(), "bss");
  return loaded.skeleton->bss->bpf_ran != 0;
}

// The active modules, in the order in which they are asked (lsm_read(), security/inode.c); empty
// where securityfs is not mounted.
std::vector<std::string> modules_in_order() {
  std::vector<std::string> modules;
  const auto text = read_file("/sys/kernel/security/lsm");
  if (!text) return modules;
  for (const auto word : split(trim(*text), ',')) modules.emplace_back(word);
  return modules;
}

// IPE, IMA and EVM may come after it, and of these hooks answer in RF_HOOK_TAIL's alone, if in any.
bool nothing_after_bpf(std::vector<std::string> modules) {
  std::erase_if(modules, [](const std::string& m) {
    return m == "integrity" || m == "ipe" || m == "ima" || m == "evm";
  });
  return !modules.empty() && modules.back() == "bpf";
}

constexpr const char* kNotActive = "the module bpf is not active: boot with it in the lsm= list";

}  // namespace

std::string_view security_hook_name(unsigned hook) {
  return hook < kHookNames.size() ? kHookNames.at(hook) : std::string_view();
}

struct SecurityHooks::State {
  std::vector<Rung> ladder;
  std::vector<Loaded> loaded;
};

SecurityHooks::SecurityHooks(std::unique_ptr<State> state) : state_(std::move(state)) {}
SecurityHooks::SecurityHooks(SecurityHooks&&) noexcept = default;
SecurityHooks& SecurityHooks::operator=(SecurityHooks&&) noexcept = default;
SecurityHooks::~SecurityHooks() = default;

const std::vector<Rung>& SecurityHooks::ladder() const { return state_->ladder; }

namespace {
std::vector<Rung> all_rungs() {
  std::vector<Rung> rungs;
  rungs.reserve(kFamilies.size());
  for (const Family& family : kFamilies) {
    rungs.push_back({.hook = std::string(family.hook),
                     .name = std::string(family.rung),
                     .section = std::string(family.section)});
  }
  return rungs;
}
}  // namespace

std::vector<Rung> SecurityHooks::survey() {
  const QuietLibbpf hush;
  const auto kernel = kernel_btf();
  auto rungs = all_rungs();
  const auto active = modules_in_order();
  const bool asks_bpf =
      active.empty() || std::find(active.begin(), active.end(), "bpf") != active.end();
  for (size_t i = 0; i < rungs.size(); ++i) {
    const Loaded loaded = load(kFamilies.at(i), rungs[i], kernel.get(), -1);
    if (!loaded.skeleton) continue;
    if (rungs[i].hook == kBpf && !asks_bpf) refuse(rungs[i], EOPNOTSUPP, kNotActive);
    if (rungs[i].name == "kretprobe") (void)attach_all(loaded, rungs[i], 1);
  }
  take_first(rungs, {});
  return rungs;
}

SecurityHooks SecurityHooks::attach(int tasks_map_fd, const std::vector<std::string>& avoid) {
  const QuietLibbpf hush;
  auto state = std::make_unique<State>();
  state->ladder = all_rungs();
  const auto kernel = kernel_btf();
  security_bpf* answers = nullptr;
  std::string_view hook_had;
  for (size_t i = 0; i < state->ladder.size(); ++i) {
    Rung& rung = state->ladder[i];
    if (rung.hook != kLsm && answers == nullptr) break;  // nothing that these would explain
    if (rung.hook == hook_had || std::find(avoid.begin(), avoid.end(), rung.name) != avoid.end()) {
      continue;
    }
    Loaded loaded = load(kFamilies.at(i), rung, kernel.get(), tasks_map_fd);
    if (!loaded.skeleton || !attach_all(loaded, rung, RF_HOOK_END)) continue;
    if (rung.hook == kBpf && !is_run(loaded)) {
      refuse(rung, EOPNOTSUPP, kNotActive);
      continue;
    }
    rung.taken = true;
    hook_had = rung.hook;
    if (rung.hook == kLsm) answers = loaded.skeleton.get();
    if (rung.hook == kBpf) {
      answers->bss->bpf_exact = rung.name == "fexit";
      answers->bss->bpf_last = nothing_after_bpf(modules_in_order());
      answers->bss->bpf_hooks = loaded.hooks;
    }
    state->loaded.push_back(std::move(loaded));
  }
  return SecurityHooks(std::move(state));
}

Result<uint64_t> SecurityHooks::misses() const {
  uint64_t sum = 0;
  for (const Loaded& loaded : state_->loaded) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, loaded.skeleton->obj) {
      if (!bpf_program__autoload(program)) continue;
      auto misses = misses_of_program(bpf_program__fd(program));
      if (!misses) return misses;
      sum += *misses;
    }
  }
  return sum;
}

}  // namespace ringfence
