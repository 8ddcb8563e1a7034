// Debug output of eBPF programs: it comes where it is compiled in, and what is released has none.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "debug_test.skel.h"
#include "debug_test_silent.skel.h"
#include "harness/base/file.h"
#include "harness/base/unique_fd.h"
#include "witness.skel.h"

namespace ringfence {
namespace {

// Calls of bpf_trace_printk() or bpf_trace_vprintk() in an object.
size_t prints(const void* bytes, size_t size) {
  const std::unique_ptr<bpf_object, decltype(&bpf_object__close)> object(
      bpf_object__open_mem(bytes, size, nullptr), bpf_object__close);
  EXPECT_TRUE(object);
  size_t count = 0;
  size_t programs = 0;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) {
    ++programs;
    const bpf_insn* code = bpf_program__insns(program);
    for (size_t i = 0; i < bpf_program__insn_cnt(program); ++i) {
      const bool helper = code[i].code == (BPF_JMP | BPF_CALL) && code[i].src_reg == 0;
      if (helper && (code[i].imm == BPF_FUNC_trace_printk || code[i].imm == BPF_FUNC_trace_vprintk))
        ++count;
    }
  }
  EXPECT_GT(programs, 0U);
  return count;
}

TEST(DebugOutput, IsNotInWhatIsReleased) {
  size_t size = 0;
  const void* bytes = debug_test_bpf__elf_bytes(&size);
  EXPECT_EQ(prints(bytes, size), 1U);
  bytes = debug_test_silent_bpf__elf_bytes(&size);
  EXPECT_EQ(prints(bytes, size), 0U);
  bytes = witness_bpf__elf_bytes(&size);
#ifdef RINGFENCE_BPF_DEBUG
  EXPECT_GT(prints(bytes, size), 0U);
#else
  EXPECT_EQ(prints(bytes, size), 0U);
#endif
}

// An instance of tracefs, seen in this mount namespace alone, that shows programs' lines.
class TracePipe {
 public:
  explicit TracePipe(std::string root) : root_(std::move(root)) {}
  ~TracePipe() {
    pipe_.reset();
    if (!instance_.empty()) rmdir(instance_.c_str());
  }
  TracePipe(const TracePipe&) = delete;
  TracePipe& operator=(const TracePipe&) = delete;
  bool open_instance() {
    const std::string path = root_ + "/instances/ringfence-test-" + std::to_string(getpid());
    if (mkdir(path.c_str(), 0700) != 0) return false;
    instance_ = path;
    if (!write_file(path + "/events/bpf_trace/bpf_trace_printk/enable", "1")) return false;
    pipe_ = UniqueFd(open((path + "/trace_pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    return static_cast<bool>(pipe_);
  }
  // What comes within half a second, or until `until` has come.
  std::string read_until(const std::string& until) {
    std::string text;
    std::array<char, 4096> buffer;
    for (int i = 0; i < 50 && text.find(until) == std::string::npos; ++i) {
      const ssize_t n = read(pipe_.get(), buffer.data(), buffer.size());
      if (n > 0) {
        text.append(buffer.data(), static_cast<size_t>(n));
      } else {
        usleep(10000);
      }
    }
    return text;
  }

 private:
  std::string root_, instance_;
  UniqueFd pipe_;
};

template <typename Skeleton>
bool run_once(Skeleton* skeleton, uint64_t number) {
  skeleton->bss->run_number = number;
  std::array<char, 64> packet{};
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = packet.data();
  options.data_size_in = packet.size();
  return bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.says__tc), &options) == 0 &&
         options.retval == 7;
}

// "" or what is wrong.
std::string lines_come() {
  if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0) {
    return "skip: no mount namespace";
  }
  if (mount("tracefs", "/mnt", "tracefs", 0, nullptr) != 0) return "skip: no tracefs";
  TracePipe pipe("/mnt");
  if (!pipe.open_instance()) return "skip: no instance of tracefs";
  const std::unique_ptr<debug_test_bpf, decltype(&debug_test_bpf__destroy)> loud(
      debug_test_bpf__open_and_load(), debug_test_bpf__destroy);
  const std::unique_ptr<debug_test_silent_bpf, decltype(&debug_test_silent_bpf__destroy)> silent(
      debug_test_silent_bpf__open_and_load(), debug_test_silent_bpf__destroy);
  if (!loud || !silent) return "skip: needs:bpf";
  // Others' lines may be among them.
  const auto number = static_cast<uint64_t>(getpid()) << 20;
  if (!run_once(silent.get(), number + 1)) return "the silent one did not run";
  if (!run_once(loud.get(), number + 2)) return "it did not run";
  const std::string line = "ringfence: debug test " + std::to_string(number + 2);
  const std::string text = pipe.read_until(line);
  if (text.find(line) == std::string::npos) return "its line did not come: " + text;
  if (text.find(std::to_string(number + 1)) != std::string::npos) return "the silent one spoke";
  return "";
}

TEST(DebugOutput, ComesThroughTracePipe) {
  if (geteuid() != 0) GTEST_SKIP() << "needs:root";
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const int pid = fork();
  if (pid == 0) {
    const std::string wrong = lines_come();
    (void)!write(ends[1], wrong.data(), wrong.size());
    _exit(0);
  }
  write_end.reset();
  std::string wrong;
  std::array<char, 4096> buffer;
  for (ssize_t n = 0; (n = read(read_end.get(), buffer.data(), buffer.size())) > 0;) {
    wrong.append(buffer.data(), static_cast<size_t>(n));
  }
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  if (wrong.starts_with("skip: ")) GTEST_SKIP() << wrong.substr(6);
  EXPECT_EQ(wrong, "");
}

}  // namespace
}  // namespace ringfence
