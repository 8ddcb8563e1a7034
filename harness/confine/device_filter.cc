#include "harness/confine/device_filter.h"

#include <fmt/format.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstring>

namespace ringfence {
namespace {

constexpr uint8_t kAll = kDeviceMknod | kDeviceRead | kDeviceWrite;
static_assert(int{BPF_DEVCG_ACC_MKNOD} == int{kDeviceMknod} &&
              int{BPF_DEVCG_ACC_READ} == int{kDeviceRead} &&
              int{BPF_DEVCG_ACC_WRITE} == int{kDeviceWrite});

using Exception = DeviceList::Exception;

uint8_t access_bits(const std::string& letters) {
  uint8_t bits = 0;
  for (const char c : letters) {
    bits |= c == 'm' ? kDeviceMknod : c == 'r' ? kDeviceRead : kDeviceWrite;
  }
  return bits;
}

std::string access_letters(uint8_t bits) {
  std::string letters;
  if ((bits & kDeviceRead) != 0) letters += 'r';
  if ((bits & kDeviceWrite) != 0) letters += 'w';
  if ((bits & kDeviceMknod) != 0) letters += 'm';
  return letters;
}

std::string number_text(const std::optional<int64_t>& number) {
  return number ? std::to_string(*number) : "*";
}

std::string text_of(const Exception& e) {
  return fmt::format("{} {}:{} {}", e.type, number_text(e.major), number_text(e.minor),
                     access_letters(e.access));
}

bool same_devices(const Exception& a, const Exception& b) {
  return a.type == b.type && a.major == b.major && a.minor == b.minor;
}

bool overlap(const Exception& a, const Exception& b) {
  const auto meet = [](const std::optional<int64_t>& x, const std::optional<int64_t>& y) {
    return !x || !y || *x == *y;
  };
  return a.type == b.type && meet(a.major, b.major) && meet(a.minor, b.minor) &&
         (a.access & b.access) != 0;
}

Status apply(DeviceList& list, const DeviceRule& rule) {
  if (rule.type == 'a') {  // whatever its numbers: the kernel reads no further
    list.allow = rule.allow;
    list.exceptions.clear();
    return {};
  }
  const Exception wanted{rule.type, rule.major, rule.minor, access_bits(rule.access)};
  const auto same = std::find_if(list.exceptions.begin(), list.exceptions.end(),
                                 [&](const Exception& e) { return same_devices(e, wanted); });
  if (rule.allow != list.allow) {
    if (same == list.exceptions.end()) {
      list.exceptions.push_back(wanted);
    } else {
      same->access |= wanted.access;
    }
    return {};
  }
  if (same != list.exceptions.end()) {
    same->access &= static_cast<uint8_t>(~wanted.access);
    if (same->access == 0) list.exceptions.erase(same);
  }
  const auto wider = std::find_if(list.exceptions.begin(), list.exceptions.end(),
                                  [&](const Exception& e) { return overlap(e, wanted); });
  if (wider == list.exceptions.end()) return {};
  return usage_error(
      "compile policy", "/linux/resources/devices",
      fmt::format("{} \"{}\" would make a hole in \"{}\", which the device "
                  "controller cannot have; list what is meant instead",
                  rule.allow ? "allowing" : "denying", text_of(wanted), text_of(*wider)));
}

// ---- The program -------------------------------------------------------------------------------
class Program {
 public:
  void load(uint8_t to, uint8_t from, int16_t offset) {
    add(BPF_LDX | BPF_MEM | BPF_W, to, from, offset, 0);
  }
  void copy(uint8_t to, uint8_t from) { add(BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0); }
  void set(uint8_t to, int32_t value) { add(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value); }
  void mask(uint8_t to, int32_t bits) { add(BPF_ALU | BPF_AND | BPF_K, to, 0, 0, bits); }
  void shift_right(uint8_t to, int32_t by) { add(BPF_ALU | BPF_RSH | BPF_K, to, 0, 0, by); }
  // Jumps to the end of the exception when the comparison holds.
  void next_if(uint8_t condition, uint8_t reg, int32_t value) {
    open_.push_back(code_.size());
    add(BPF_JMP | condition | BPF_K, reg, 0, 0, value);
  }
  void answer(bool allowed) {
    set(BPF_REG_0, allowed ? 1 : 0);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }
  void close() {
    for (const size_t at : open_) code_[at].off = static_cast<int16_t>(code_.size() - at - 1);
    open_.clear();
  }
  [[nodiscard]] std::vector<uint64_t> words() const {
    std::vector<uint64_t> words(code_.size());
    static_assert(sizeof(bpf_insn) == sizeof(uint64_t));
    std::memcpy(words.data(), code_.data(), code_.size() * sizeof(bpf_insn));
    return words;
  }

 private:
  void add(uint8_t code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
    bpf_insn insn{};
    insn.code = code;
    insn.dst_reg = to & 0xf;
    insn.src_reg = from & 0xf;
    insn.off = offset;
    insn.imm = value;
    code_.push_back(insn);
  }
  std::vector<bpf_insn> code_;
  std::vector<size_t> open_;
};

DeviceRule allowed(char type, std::optional<int64_t> major, std::optional<int64_t> minor,
                   const char* access) {
  return {true, type, major, minor, access};
}

}  // namespace

Result<DeviceList> resolve_devices(const std::vector<DeviceRule>& rules) {
  DeviceList list;
  for (const auto& rule : rules) {
    if (auto ok = apply(list, rule); !ok) return tl::unexpected(ok.error());
  }
  // specconv.AllowedDevices of runc. Numbers: Documentation/admin-guide/devices.txt.
  for (const auto& rule :
       {allowed('c', {}, {}, "m"), allowed('b', {}, {}, "m"), allowed('c', 1, 3, "rwm"),
        allowed('c', 1, 5, "rwm"), allowed('c', 1, 7, "rwm"), allowed('c', 1, 8, "rwm"),
        allowed('c', 1, 9, "rwm"), allowed('c', 5, 0, "rwm"), allowed('c', 5, 1, "rwm"),
        allowed('c', 5, 2, "rwm"), allowed('c', 136, {}, "rwm")}) {
    if (list.allow) break;  // a list that allows by default stays as it was written
    if (auto ok = apply(list, rule); !ok) return tl::unexpected(ok.error());
  }
  return list;
}

std::vector<std::pair<std::string, std::string>> device_writes(const DeviceList& list) {
  std::vector<std::pair<std::string, std::string>> writes = {
      {list.allow ? "devices.allow" : "devices.deny", "a"}};
  for (const auto& e : list.exceptions) {
    writes.emplace_back(list.allow ? "devices.deny" : "devices.allow", text_of(e));
  }
  return writes;
}

std::vector<uint64_t> device_program(const DeviceList& list) {
  constexpr uint8_t kContext = BPF_REG_1;  // struct bpf_cgroup_dev_ctx
  constexpr uint8_t kAccess = BPF_REG_2;
  constexpr uint8_t kType = BPF_REG_3;
  constexpr uint8_t kMajor = BPF_REG_4;
  constexpr uint8_t kMinor = BPF_REG_5;
  constexpr uint8_t kScratch = BPF_REG_0;
  Program program;
  program.load(kAccess, kContext, offsetof(bpf_cgroup_dev_ctx, access_type));
  program.copy(kType, kAccess);
  program.mask(kType, 0xffff);
  program.shift_right(kAccess, 16);
  program.load(kMajor, kContext, offsetof(bpf_cgroup_dev_ctx, major));
  program.load(kMinor, kContext, offsetof(bpf_cgroup_dev_ctx, minor));
  for (const auto& e : list.exceptions) {
    program.next_if(BPF_JNE, kType, e.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (e.major) program.next_if(BPF_JNE, kMajor, static_cast<int32_t>(*e.major));
    if (e.minor) program.next_if(BPF_JNE, kMinor, static_cast<int32_t>(*e.minor));
    // What is allowed has to cover all that is asked for; what is denied denies the whole.
    program.copy(kScratch, kAccess);
    program.mask(kScratch, list.allow ? e.access : kAll & ~e.access);
    program.next_if(list.allow ? BPF_JEQ : BPF_JNE, kScratch, 0);
    program.answer(!list.allow);
    program.close();
  }
  program.answer(list.allow);
  return program.words();
}

}  // namespace ringfence
