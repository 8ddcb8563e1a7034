#pragma once
// For the tests of this directory: one witness for the test program, and children in a watched
// group that do something once the test says so.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "harness/base/file.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/witness/story.h"
#include "harness/witness/witness.h"
#include "probes/bpf/abi.h"

namespace ringfence {

// What has to be attached before it (denials_security.cc): in a machine of the test's own, only.
void prepare_for_the_witness();

// Opened once: attaching costs more than all that the tests do.
inline Result<Witness>& shared_witness() {
  // RINGFENCE_TEST_AVOID=fexit,raw_tp: on the rungs below these.
  static Result<Witness> witness = [] {
    prepare_for_the_witness();
    WitnessOptions options;
    const char* avoid = std::getenv("RINGFENCE_TEST_AVOID");
    const std::string list = avoid != nullptr ? avoid : "";
    for (const auto word : split(list, ',')) options.avoid.emplace_back(word);
    return Witness::open(options);
  }();
  return witness;
}

// Whose story comes through a ring buffer, the shared one, or through perf buffers.
inline Result<Witness>& witness_by(const std::string& transport) {
  if (transport != "perf") return shared_witness();
  static Result<Witness> by_perf = Witness::open({.avoid = {"ringbuf"}});
  return by_perf;
}

// Skips with the reason, without the privilege or the kernel for it.
#define RINGFENCE_NEEDS_WITNESS()                                         \
  if (!shared_witness()) {                                                \
    ASSERT_EQ(shared_witness().error().kind, Error::Kind::unsupported)    \
        << shared_witness().error().describe();                           \
    GTEST_SKIP() << "needs:bpf: " << shared_witness().error().describe(); \
  }                                                                       \
  if (CgroupLayout::probe().unified.empty()) GTEST_SKIP() << "needs:cgroup2"

inline Result<CgroupLeaf> test_group(const std::vector<Step::Setting>& settings = {}) {
  static const auto root = CgroupRoot::create(CgroupLayout::probe());
  static int count = 0;
  if (!root) return tl::unexpected(root.error());
  return CgroupLeaf::create(*root, settings, "watched-" + std::to_string(++count));
}

inline uint64_t id_of(const CgroupLeaf& group) {
  struct stat st {};
  EXPECT_EQ(fstat(group.unified_fd(), &st), 0);
  return st.st_ino;
}

inline rf_want want_call(long nr, bool compat = false) {
  rf_want want{};
  want.nr = static_cast<uint32_t>(nr);
  want.compat = compat ? 1 : 0;
  want.path = -1;
  return want;
}
inline rf_want with_arg(rf_want want, int index, uint64_t value, uint64_t mask = ~0ULL) {
  want.args = static_cast<uint8_t>(want.args | 1U << index);
  want.mask[index] = mask;
  want.value[index] = value & mask;
  return want;
}
inline rf_want with_path(rf_want want, int index, const std::string& path) {
  want.path = static_cast<int8_t>(index);
  std::memcpy(want.path_is, path.data(), std::min(path.size(), sizeof want.path_is - 1));
  return want;
}

// The errno of a call that returns -1, or 0.
inline int errno_of(long result) { return result == -1 ? errno : 0; }

struct Told {  // in memory that parent and child share
  int errno_of_act;
  char trouble[240];
};

// A child in a group from its first instruction on: it prepares, says so, waits, and acts.
class Actor {
 public:
  using Prepare = std::function<bool()>;  // false: could not, errno says why
  using Act = std::function<int()>;       // what the parent gets from said()

  Actor(int group_fd, uint64_t clone_flags, const Prepare& prepare, const Act& act) {
    told_ = static_cast<Told*>(
        mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    int ready[2];
    int go[2];
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(go, O_CLOEXEC), 0);
    clone_args args{};
    args.flags = clone_flags | (group_fd >= 0 ? CLONE_INTO_CGROUP : 0);
    args.exit_signal = SIGCHLD;
    args.cgroup = group_fd >= 0 ? static_cast<uint64_t>(group_fd) : 0;
    fflush(nullptr);
    pid_ = static_cast<int>(syscall(SYS_clone3, &args, sizeof args));
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(ready[0]);
      close(go[1]);
      char byte = 0;
      if (prepare && !prepare()) {
        snprintf(told_->trouble, sizeof told_->trouble, "prepare: %s", strerror(errno));
        syscall(SYS_exit_group, 99);
      }
      if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1) {
        syscall(SYS_exit_group, 98);
      }
      told_->errno_of_act = act();
      syscall(SYS_exit_group, 0);
    }
    EXPECT_GT(pid_, 0) << "clone3: " << strerror(errno);
    close(ready[1]);
    close(go[0]);
    go_ = UniqueFd(go[1]);
    pollfd waits{.fd = ready[0], .events = POLLIN, .revents = 0};
    char byte = 0;
    ready_ = poll(&waits, 1, 20000) == 1 && read(ready[0], &byte, 1) == 1;
    close(ready[0]);
  }
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor() {
    if (pid_ > 0 && !ended_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, __WALL);
    }
    munmap(told_, sizeof(Told));
  }

  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] std::string trouble() const { return told_->trouble; }
  void go() const { EXPECT_EQ(write(go_.get(), "", 1), 1); }
  // Its status, as wait(2) gives it.
  int wait_end() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, __WALL), pid_);
    ended_ = true;
    return status;
  }
  int finish() {
    go();
    return wait_end();
  }
  [[nodiscard]] int said() const { return told_->errno_of_act; }

 private:
  int pid_ = -1;
  bool ready_ = false, ended_ = false;
  UniqueFd go_;
  Told* told_ = nullptr;
};

// A map of the witness that was opened first, the shared one, or last, by its name; -1 when there
// is none. And how many keys it has.
int own_map(const std::string& name, bool of_last = false);
size_t keys_of(int map);

// The lines of a watch's story so far.
inline std::vector<StoryLine> lines_of(Watch& watch) {
  std::vector<StoryLine> lines;
  auto told =
      watch.story([&](const rf_event& event, size_t size) { lines.push_back(tell(event, size)); });
  EXPECT_TRUE(told);
  return lines;
}

}  // namespace ringfence
