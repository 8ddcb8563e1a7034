// The witness on this kernel: what it sees of a process in a watched group, and of none else.
#include "harness/witness/witness.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/file.h"
#include "harness/spawn/cgroup_leaf.h"
#include "harness/witness/story.h"
#include "probes/bpf/abi.h"

namespace ringfence {
namespace {

using testing::HasSubstr;

TEST(Witness, smoke) {
  const auto t0 = std::chrono::steady_clock::now();
  auto w = Witness::open();
  const auto t1 = std::chrono::steady_clock::now();
  ASSERT_TRUE(w) << w.error().describe();
  for (const auto& r : w->ladder())
    printf("%-10s %-8s taken=%d err=%d %s\n", r.hook.c_str(), r.name.c_str(), r.taken, r.err,
           r.reason.c_str());
  printf("open %ld us\n",
         (long)std::chrono::duration_cast<std::chrono::microseconds>(t1 - t0).count());
  auto root = CgroupRoot::create(CgroupLayout::probe());
  ASSERT_TRUE(root);
  auto leaf = CgroupLeaf::create(*root, {}, "t-x");
  ASSERT_TRUE(leaf) << leaf.error().describe();
  struct stat st {};
  ASSERT_EQ(fstat(leaf->unified_fd(), &st), 0);
  auto watch = w->watch(st.st_ino);
  ASSERT_TRUE(watch) << watch.error().describe();
  rf_want want{};
  want.nr = SYS_kill;
  want.args = 1;
  want.mask[0] = ~0ULL;
  want.value[0] = 0x7ffffff;
  want.path = -1;
  rf_want o{};
  o.nr = SYS_openat;
  o.path = 1;
  strcpy(o.path_is, "/nowhere/x");
  const rf_want wants[] = {want, o};
  ASSERT_TRUE(watch->look_for(wants));
  int pid = fork();
  if (pid == 0) {
    int fd =
        open((std::string("/proc/self/fd/") + std::to_string(leaf->unified_fd()) + "/cgroup.procs")
                 .c_str(),
             O_WRONLY);
    if (write(fd, "0", 1) != 1) _exit(1);
    syscall(SYS_kill, 0x7ffffff, 9);
    syscall(SYS_getpid);
    open("/nowhere/x", O_RDONLY);
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  printf("status %d\n", status);
  auto facts = watch->facts();
  ASSERT_TRUE(facts);
  printf("lost %lu %s, calls %lu\n", facts->lost, facts->lost_what.c_str(), facts->all_calls);
  for (auto& c : facts->calls) printf("count %lu %s\n", c.count, describe_call(c.last).c_str());
  auto n = watch->story([](const rf_event& e, size_t size) {
    auto line = tell(e, size);
    printf("%d %s\n", line.tid, line.text.c_str());
  });
  ASSERT_TRUE(n);
  const auto t2 = std::chrono::steady_clock::now();
  { auto x = std::move(*w); }
  const auto t3 = std::chrono::steady_clock::now();
  printf("close %ld us\n",
         (long)std::chrono::duration_cast<std::chrono::microseconds>(t3 - t2).count());
}

}  // namespace
}  // namespace ringfence
