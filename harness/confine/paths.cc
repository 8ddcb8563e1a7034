#include "harness/confine/paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "harness/base/file.h"

namespace ringfence {

std::string path_in_root(std::string_view path) {
  std::vector<std::string_view> kept;
  for (const auto part : split(path, '/')) {
    if (part == ".") continue;
    if (part != "..") {
      kept.push_back(part);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string text;
  for (const auto part : kept) {
    if (!text.empty()) text += '/';
    text += part;
  }
  return text.empty() ? "." : text;
}

void add_open(Assembler& plan, Step& step, int root, std::string_view path, uint64_t flags, int out,
              std::initializer_list<int16_t> tolerate, int unless_slot, Links links) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  const bool refuse = links == Links::refuse;
  how.resolve = RESOLVE_IN_ROOT | (refuse ? RESOLVE_NO_SYMLINKS : 0);
  const Arg where = plan.text(path);
  Op op = make_op(SYS_openat2, slot_arg(root), where, plan.object(how), sizeof how);
  Op other = make_op(kCallOpenInRoot, slot_arg(root), where, flags, refuse ? 1 : 0);
  size_t i = 0;
  for (const int16_t err : tolerate) op.tolerate.at(i++) = err;
  other.tolerate = op.tolerate;
  op.out = other.out = out;
  op.unless = unless_slot;
  step.ops.push_back(with_fallback(step, op, other));
}

void add_open_creating(Assembler& plan, Step& step, int root, std::string_view path, bool file,
                       Links links) {
  const std::string inside = path_in_root(path);
  add_open(plan, step, root, inside, O_PATH, kSlotTarget, {ENOENT}, -1, links);
  if (inside == ".") return;
  const auto parts = split(inside, '/');
  std::string above;
  for (size_t i = 0; i < parts.size(); ++i) {
    int parent = root;
    if (i > 0) {
      add_open(plan, step, root, above, O_PATH | O_DIRECTORY, kSlotParent, {}, kSlotTarget, links);
      parent = kSlotParent;
    }
    const Arg name = plan.text(parts[i]);
    if (file && i + 1 == parts.size()) {
      step.ops.push_back(
          unless(into(make_op(SYS_openat, slot_arg(parent), name,
                              O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0644),
                      kSlotFile),
                 kSlotTarget));
      step.ops.push_back(unless(close_slot(kSlotFile), kSlotTarget));
    } else {
      step.ops.push_back(unless(
          tolerating(make_op(SYS_mkdirat, slot_arg(parent), name, 0755), EEXIST), kSlotTarget));
    }
    if (i > 0) step.ops.push_back(unless(close_slot(kSlotParent), kSlotTarget));
    if (i > 0) above += '/';
    above += parts[i];
  }
  add_open(plan, step, root, inside, O_PATH, kSlotTarget, {}, kSlotTarget, links);
}

Op close_slot(int slot) { return when(make_op(SYS_close, slot_arg(slot)), slot); }

}  // namespace ringfence
