#include "harness/runner/decoy.h"

#include <fmt/format.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "harness/base/failure_watch.h"
#include "harness/base/file.h"
#include "harness/base/number.h"
#include "harness/base/sys.h"
#include "harness/policy/read.h"
#include "harness/runner/canary.h"
#include "harness/runner/end_state.h"
#include "harness/runner/host_state.h"
#include "harness/runner/sight.h"
#include "harness/runner/wire.h"
#include "harness/runner/world.h"
#include "harness/spawn/reap.h"
#include "harness/spawn/spawn.h"
#include "probes/inmate/abi.h"

namespace ringfence {
namespace {

using Clock = std::chrono::steady_clock;

// A hostile inmate may talk without end.
constexpr size_t kMessagesMax = 256;
constexpr size_t kEvidenceMax = 160;
constexpr size_t kCallsMax = 32;
constexpr size_t kOutcomeMax = size_t{1} << 20;
constexpr int kNoDecoy = 121;       // ... of one that could not begin
constexpr int kTargetFailed = 120;  // exit code of a decoy host that could not write its outcome

// Attempts that execute the inmate's image again, and so get a descriptor of it.
constexpr std::array kNeedImage = {"copy_exec", "exec_fd", "exec_as", "memfd_exec"};
// The attempts for which the harness passes a descriptor over the socket, and plants a file: no
// other inmate is helped, whatever it asks for.
constexpr std::string_view kNeedPassed = "link_passed";
constexpr std::string_view kNeedPlanted = "exec_planted";
constexpr std::string_view kNeedTalk = "sniff";

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 200)) {
    out += static_cast<unsigned char>(c) >= 0x20 && c != 0x7f ? c : '.';
  }
  return out;
}

class TrialRun {
 public:
  TrialRun(const TrialSpec& spec, int result_fd)
      : spec_(spec),
        result_fd_(result_fd),
        canaries_(spec.secret, spec.nonce, spec.inmate_fd),
        began_(Clock::now()) {
    out_.began_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(began_.time_since_epoch()).count();
  }

  // In the decoy host's init. The result goes to the pipe.
  void run() {
    out_.goal.goal = spec_.goal;
    if (auto ok = set_up(); !ok) {
      fail("decoy_failed", ok.error().describe());
    } else {
      attempt();
    }
    out_.duration_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - began_).count();
    const std::string bytes = wire::pack(out_);
    if (!sys::write_full(result_fd_, bytes.data(), bytes.size())) _exit(kTargetFailed);
  }

 private:
  void note(std::string source, std::string text) {
    if (out_.evidence.size() >= kEvidenceMax) {
      ++out_.lost;
      return;
    }
    const auto at = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_);
    out_.evidence.push_back({"", at.count(), std::move(source), std::move(text), false});
  }

  void fail(std::string word, std::string text) {
    note("judge", word + ": " + text);
    out_.error_word = std::move(word);
    out_.error = std::move(text);
  }

  Status set_up() {
    const bool privileged = is_root_of_initial_userns();
    if (auto ok = build_world(spec_.rootfs, spec_.binds, privileged); !ok) return ok;
    if (auto ok = raise_loopback(); !ok) return ok;
    for (const auto& arg : spec_.attempt.args) {
      auto text = canaries_.expand(arg);
      if (!text) return tl::unexpected(text.error());
      args_.push_back(std::move(*text));
    }
    if (auto ok = canaries_.prepare(spec_.goal); !ok) return ok;
    if (spec_.attempt.name == kNeedTalk) {
      if (auto ok = canaries_.prepare_talk(); !ok) return ok;
    }
    if (spec_.watch != nullptr) {
      const auto expand = [this](const std::string& text) { return canaries_.expand(text); };
      if (auto ok = spec_.watch->look_for(spec_.calls, expand); !ok) return ok;
    }
    if (!spec_.plan->program.empty()) {
      if (auto ok = canaries_.plant_program(kDecoyInmate); !ok) return ok;
    }
    // Whatever our own caller left open is not the decoy host's.
    if (auto ok = mark_descriptors(); !ok) return ok;
    if (auto ok = leak_descriptor(); !ok) return ok;
    if (auto ok = be_worst_parent(privileged); !ok) return ok;
    out_.stage = TrialOutcome::Stage::decoy_ready;
    return {};
  }

  // What a careless parent forgets to close: the secret, open for reading.
  Status leak_descriptor() {
    if (spec_.attempt.name != "list_fds") return {};
    auto path = canaries_.expand("{secret_file}");
    if (!path) return tl::unexpected(path.error());
    auto fd = sys::open(path->c_str(), O_RDONLY);
    if (!fd) return tl::unexpected(fd.error());
    // The next free number: whatever this process was handed may have that one.
    const int64_t copy = sys::call(SYS_fcntl, fd->get(), F_DUPFD, kDecoyLeak);
    if (copy < 0) return system_error("F_DUPFD", "leak", static_cast<int>(-copy));
    return {};
  }

  void attempt() {
    std::array<int, 2> pair{};
    const int64_t made =
        sys::call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sys::arg(pair.data()));
    if (made < 0) return fail("decoy_failed", "socketpair: " + errno_name(static_cast<int>(-made)));
    answer_ = UniqueFd(pair[0]);
    UniqueFd theirs(pair[1]);
    const int on = 1;
    const int64_t passes =
        sys::call(SYS_setsockopt, answer_.get(), SOL_SOCKET, SO_PASSCRED, sys::arg(&on), sizeof on);
    if (passes < 0) {
      return fail("decoy_failed", "SO_PASSCRED: " + errno_name(static_cast<int>(-passes)));
    }
    auto null = sys::open("/dev/null", O_RDWR);
    if (!null) return fail("decoy_failed", null.error().describe());

    SpawnRequest request;
    request.plan = spec_.plan;
    if (spec_.plan->program.empty()) {
      request.exe_fd = spec_.inmate_fd;
    } else {
      request.exe_path = spec_.plan->program;
    }
    request.args = {"inmate", spec_.attempt.name};
    request.args.insert(request.args.end(), args_.begin(), args_.end());
    request.fds = {{0, canaries_.tty() >= 0 ? canaries_.tty() : null->get()},
                   {1, null->get()},
                   {2, null->get()},
                   {RF_ANSWER_FD, theirs.get()}};
    if (std::find(kNeedImage.begin(), kNeedImage.end(), spec_.attempt.name) != kNeedImage.end()) {
      request.fds.emplace_back(RF_EXE_FD, spec_.inmate_fd);
    }
    const auto passed = canaries_.pass_in(spec_.attempt.name, args_);
    if (!passed) return fail("decoy_failed", passed.error().describe());
    if (*passed >= 0) request.fds.emplace_back(RF_GIVEN_FD, *passed);
    request.cgroup = spec_.cgroup;
    request.port_program = spec_.port_program;
    request.counted_ports = &out_.counted_ports;
    note("plan", fmt::format("spawn {} under {} ({} steps)", spec_.attempt.name,
                             spec_.plan->policy_name, spec_.plan->steps.size()));
    SpawnFailure failure;
    auto child = spawn(request, &failure);
    if (!child) {
      out_.failed_step = failure.key;
      out_.failed_layer = failure.layer;
      out_.failed_errno = failure.err;
      return fail("spawn_failed", child.error().describe());
    }
    const auto started = Clock::now();
    theirs.reset();
    out_.stage = TrialOutcome::Stage::spawned;
    note("plan", fmt::format("target is process {}", child->pid()));
    converse(*child);
    finish(*child);
    out_.lived_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - started).count();
  }

  // Reads what the inmate says until it ends or the time is over.
  void converse(Child& child) {
    const auto deadline = began_ + spec_.timeout;
    bool answer_open = true;
    for (size_t messages = 0; answer_open;) {
      std::array<pollfd, 2> polls = {pollfd{answer_.get(), POLLIN, 0},
                                     pollfd{child.pidfd(), POLLIN, 0}};
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      const int64_t ready = left <= 0 ? 0
                                      : sys::call(SYS_poll, sys::arg(polls.data()), polls.size(),
                                                  static_cast<uint64_t>(left) + 1);
      if (ready == -EINTR) continue;
      if (ready < 0) return fail("decoy_failed", "poll: " + errno_name(static_cast<int>(-ready)));
      if (ready == 0) {
        fail("timeout", fmt::format("the target did not end within {} ms", spec_.timeout.count()));
        break;
      }
      if ((polls[0].revents & (POLLIN | POLLHUP)) != 0) {
        answer_open = receive(child);
        if (++messages > kMessagesMax) {
          ++out_.lost;
          note("judge", "too many messages, the rest is not read");
          break;
        }
      } else {
        break;  // ended, and nothing left to read
      }
    }
  }

  // One message; false at the end of the stream.
  bool receive(Child& child) {
    std::array<char, RF_MESSAGE_MAX> buffer{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(64 * sizeof(int))>
        control{};
    iovec iov{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const int64_t n = sys::call(SYS_recvmsg, answer_.get(), sys::arg(&message), MSG_CMSG_CLOEXEC);
    // ECONNRESET comes once, when the target ended with our word unread; what it said before stays.
    if (n == -EINTR || n == -EAGAIN || n == -ECONNRESET) return true;
    if (n < 0) fail("decoy_failed", "recvmsg: " + errno_name(static_cast<int>(-n)));
    if (n <= 0) return false;
    ++out_.messages;
    int sender = 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET) continue;
      if (c->cmsg_type == SCM_CREDENTIALS) {
        ucred cred{};
        std::memcpy(&cred, CMSG_DATA(c), sizeof cred);
        sender = cred.pid;
      } else if (c->cmsg_type == SCM_RIGHTS) {  // nobody asked for descriptors
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
          const UniqueFd close_it(fd);
        }
      }
    }
    hear(std::string_view(buffer.data(), static_cast<size_t>(n)), sender, child);
    return true;
  }

  void hear(std::string_view text, int sender, Child& child) {
    const char kind = text[0];
    const std::string_view rest = text.size() > 2 ? text.substr(2) : std::string_view();
    if (kind == 'S') {
      heard_.emplace_back(rest);
      const bool secret = rest.find(spec_.secret) != std::string_view::npos;
      note("inmate", secret ? "sent the secret" : "sent " + printable(rest));
      if (secret && spec_.goal.sight == Sight::secret_returned) {
        saw({spec_.goal, true, "the run's secret came out of the target", "canary"});
      }
      return;
    }
    note("inmate", printable(text));
    if (kind == 'B') {
      if (out_.stage < TrialOutcome::Stage::began) out_.stage = TrialOutcome::Stage::began;
    } else if (kind == 'C') {
      hear_call(rest);
    } else if (kind == 'R') {
      hear_claim(rest);
    } else if (kind == 'F' && spec_.attempt.name == kNeedPassed) {
      pass_file(child);
    } else if (kind == 'N' && spec_.attempt.name == kNeedTalk) {
      const auto said = canaries_.talk(rest);
      note("canary",
           said ? "neighbour a sent the secret to " + printable(rest) : said.error().describe());
      reply(said ? 'n' : 'e');
    } else if (kind == 'P' && spec_.attempt.name == kNeedPlanted) {
      plant(rest, child);
    } else if (kind == 'W') {
      // With CAP_SYS_ADMIN a sender may give any pid as its own, unix(7).
      const auto others = not_targets();
      const bool target =
          sender > 0 && std::find(others.begin(), others.end(), sender) == others.end();
      inspect(target ? sender : child.pid(), child);
      reply('g');
    }
  }

  void reply(char byte) { send_byte(answer_.get(), byte); }

  void hear_claim(std::string_view rest) {
    const auto words = split(rest, ' ');
    if (words.empty()) return;
    const int err = words.size() > 1 ? parse_int(words[1]).value_or(0) : 0;
    if (words[0] == "achieved") out_.claim = {Claim::Kind::achieved, 0};
    if (words[0] == "denied") out_.claim = {Claim::Kind::denied, err};
    if (words[0] == "unable") out_.claim = {Claim::Kind::unable, err};
  }

  void hear_call(std::string_view rest) {
    const auto words = split(rest, ' ');
    if (words.size() < 2 || out_.calls.size() >= kCallsMax) return;
    CallClaim call;
    call.nr = static_cast<uint32_t>(std::strtoul(std::string(words[0]).c_str(), nullptr, 0));
    call.ret = std::strtoll(std::string(words[1]).c_str(), nullptr, 0);
    for (size_t i = 0; i < call.args.size() && i + 2 < words.size(); ++i) {
      call.args[i] = std::strtoull(std::string(words[i + 2]).c_str(), nullptr, 16);
    }
    note("inmate",
         fmt::format("{} = {}", syscall_name(static_cast<long>(call.nr)),
                     call.ret < 0 && call.ret > -4096 ? errno_name(static_cast<int>(-call.ret))
                                                      : std::to_string(call.ret)));
    out_.calls.push_back(call);
  }

  void plant(std::string_view rest, Child& child) {
    const auto words = split(rest, ' ');
    char answer = 'e';
    if (words.size() == 2) {
      const auto mode = std::strtoul(std::string(words[1]).c_str(), nullptr, 8);
      const auto planted =
          canaries_.plant_inside(child.pid(), std::string(words[0]), static_cast<uint32_t>(mode));
      note("canary", planted ? "planted an image of the inmate" : planted.error().describe());
      if (planted) answer = 'p';
    }
    reply(answer);
  }

  // Hands over a file without a name that lives on the target's own root mount.
  void pass_file(Child& child) {
    auto fd = canaries_.pass_file(child.pid());
    note("canary", fd ? "passed in a file without a name, on the target's root mount"
                      : "could not make a file to pass in: " + fd.error().describe());
    send_byte(answer_.get(), fd ? 'f' : 'e', fd.value_or(-1));
  }

  void saw(Seen seen) {
    const bool first = out_.goal.says.empty() || (seen.yes && !out_.goal.yes);
    if (seen.yes && !out_.goal.yes) note(seen.witness, "goal: " + seen.says);
    if (first || !out_.goal.yes) {
      seen.yes = seen.yes || out_.goal.yes;
      out_.goal = std::move(seen);
    }
  }

  [[nodiscard]] std::vector<int> not_targets() const {
    std::vector<int> pids = canaries_.pids();
    pids.push_back(1);
    return pids;
  }

  std::optional<Seen> look(const Goal& goal, const Inspection& at) {
    return watched(goal, [&] {
      auto seen = canaries_.look(goal, false);
      return seen ? seen : look_at_process(goal, at);
    });
  }

  // A look that failed is no evidence of absence.
  template <typename Look>
  std::optional<Seen> watched(const Goal& goal, Look&& eyes) {
    const sys::FailureWatch watch(answers_for(goal.sight));
    auto seen = eyes();
    if (seen && !seen->yes && (watch.saw() || !canaries_.blind().empty())) {
      seen->says = fmt::format(
          "{} could not be seen: {}", sight_name(goal.sight),
          watch.saw() ? fmt::format("{}: {}", syscall_name(watch.nr()), errno_name(watch.err()))
                      : canaries_.blind());
      if (out_.error.empty()) fail("witness_failed", seen->says);
    }
    return seen;
  }

  void inspect(int pid, Child& child) {
    Inspection at;
    at.pid = pid;
    at.not_targets = not_targets();
    at.planned_userns = spec_.plan->find("ns.user") != nullptr;
    at.secrets_read = heard_;
    at.canaries = canaries_.by_kind();
    if (spec_.cgroup != nullptr) at.group = spec_.cgroup->name();
    const std::string caps = status_field(pid, "CapEff");
    if (caps.empty()) {
      if (out_.error.empty()) fail("witness_failed", fmt::format("process {} cannot be seen", pid));
      return;
    }
    const bool again = out_.stage >= TrialOutcome::Stage::inspected;
    out_.stage = std::max(out_.stage, TrialOutcome::Stage::inspected);
    // Of several processes that ask for it, what all of them lack and what stands around all.
    out_.cap_effective |= std::strtoull(caps.c_str(), nullptr, 16);
    const auto layers = layers_in_force(pid);
    if (!again) out_.in_force = layers;
    std::erase_if(out_.in_force, [&](const Layer& layer) {
      return std::find(layers.begin(), layers.end(), layer) == layers.end();
    });
    note("proc", fmt::format("process {} inspected{}, CapEff {}", pid,
                             pid == child.pid() ? "" : " (not the first)", caps));
    if (spec_.watch != nullptr) look_at_tasks(*spec_.watch, pid, out_);
    if (auto seen = look(spec_.goal, at)) saw(std::move(*seen));
    for (const Goal& proof : spec_.proofs) {
      if (auto seen = look(proof, at)) prove(std::move(*seen), false);
    }
  }

  // Where two processes were inspected, the one that shows less counts; at the end, what shows only
  // then.
  void prove(Seen seen, bool at_end) {
    const auto same = std::find_if(out_.proofs.begin(), out_.proofs.end(),
                                   [&](const Seen& s) { return s.goal == seen.goal; });
    if (same == out_.proofs.end()) {
      note(seen.witness, fmt::format("{}: {}", sight_name(seen.goal.sight), seen.says));
      out_.proofs.push_back(std::move(seen));
    } else if (seen.yes != same->yes && seen.yes == at_end) {
      *same = std::move(seen);
    }
  }

  std::optional<Seen> look_at_end(const Goal& goal) {
    if (goal.sight == Sight::killed_by) {
      const bool yes = out_.signaled && out_.exit_code == static_cast<int>(goal.value);
      return Seen{goal, yes, "the target " + end_words(), "wait"};
    }
    if (goal.sight == Sight::task_survived) {
      const auto left = target_pids(not_targets());
      return Seen{goal, !left.empty(),
                  fmt::format("{} processes of the target are alive after its end", left.size()),
                  "proc"};
    }
    return canaries_.look(goal, true);
  }

  [[nodiscard]] std::string end_words() const {
    if (!out_.exited) return "did not end";
    // ExitStatus has words for signals without a name, too: an inmate may choose to die of one.
    return out_.signaled ? "was " + ExitStatus{true, out_.exit_code}.describe()
                         : fmt::format("exited with {}", out_.exit_code);
  }

  void finish(Child& child) {
    const bool late = out_.error_word == "timeout";
    if (late) (void)child.kill();
    constexpr std::chrono::milliseconds kGrace{2000};
    auto status = child.wait(std::max<std::chrono::milliseconds>(
        kGrace, std::chrono::duration_cast<std::chrono::milliseconds>(began_ + spec_.timeout -
                                                                      Clock::now())));
    if (!status) return fail("decoy_failed", status.error().describe());
    if (!*status) {
      if (!late) fail("timeout", "the target did not end");
      (void)child.kill();
    } else if (!late) {
      out_.exited = true;
      out_.signaled = (*status)->signaled;
      out_.exit_code = (*status)->code;
      out_.stage = std::max(out_.stage, TrialOutcome::Stage::spawned);
      note("wait", (*status)->describe());
    }
    if (spec_.watch != nullptr) look_at_tasks(*spec_.watch, 0, out_);
    const auto at_end = [this](const Goal& goal) {
      return watched(goal, [&] { return look_at_end(goal); });
    };
    if (auto seen = at_end(spec_.goal)) saw(std::move(*seen));
    for (const Goal& proof : spec_.proofs) {
      if (auto seen = at_end(proof)) prove(std::move(*seen), true);
    }
    if (spec_.attempt.name == kNeedPassed) canaries_.unlink_passed(kDecoyRootfs + args_.at(0));
    // Proofs that nothing could look at, since there was no inspection.
    for (const Goal& proof : spec_.proofs) {
      const bool known = std::any_of(out_.proofs.begin(), out_.proofs.end(),
                                     [&](const Seen& s) { return s.goal == proof; });
      if (!known) {
        out_.proofs.push_back({proof, false,
                               fmt::format("{}: nothing to look at, the target {}",
                                           sight_name(proof.sight), end_words()),
                               "proc"});
      }
    }
    if (out_.goal.says.empty()) {
      out_.goal.says = spec_.goal.sight == Sight::secret_returned
                           ? "the secret did not come out"
                           : "nothing was there to inspect, the target " + end_words();
      out_.goal.witness = spec_.goal.sight == Sight::secret_returned ? "canary" : "proc";
    }
  }

  const TrialSpec& spec_;
  int result_fd_;
  Canaries canaries_;
  Clock::time_point began_;
  TrialOutcome out_;
  std::vector<std::string> args_;
  std::vector<std::string> heard_;
  UniqueFd answer_;
};

TrialOutcome failed(const TrialSpec& spec, std::string text) {
  TrialOutcome outcome;
  outcome.goal.goal = spec.goal;
  outcome.error_word = "decoy_failed";
  outcome.error = std::move(text);
  return outcome;
}

}  // namespace

TrialOutcome run_trial(const TrialSpec& spec) {
  std::array<int, 2> pipe{};
  int64_t result = sys::call(SYS_pipe2, sys::arg(pipe.data()), O_CLOEXEC);
  if (result < 0) return failed(spec, "pipe: " + errno_name(static_cast<int>(-result)));
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);

  int pidfd = -1;
  int pid_here = 0;
  int* const pid_word = spec.decoy_pid != nullptr ? spec.decoy_pid : &pid_here;
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
               CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  args.pidfd = sys::arg(&pidfd);
  args.parent_tid = sys::arg(pid_word);
  args.exit_signal = SIGCHLD;
  result = sys::call(SYS_clone3, sys::arg(&args), sizeof args);
  if (result == 0) {
    // Die with the worker; and if it died before this line, its end of the pipe is gone.
    // Without that certainty it must not begin.
    if (sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL) < 0) _exit(kNoDecoy);
    pollfd gone{write_end.get(), POLLOUT, 0};
    if (sys::call(SYS_close, read_end.get()) < 0) _exit(kNoDecoy);
    int64_t ready = -EINTR;
    while (ready == -EINTR) ready = sys::call(SYS_poll, sys::arg(&gone), 1, 0);
    if (ready < 0 || (gone.revents & POLLERR) != 0) _exit(kNoDecoy);
    // noexcept: what is thrown ends the decoy host, and never unwinds its copy of the worker's
    // stack.
    [&]() noexcept { TrialRun(spec, write_end.get()).run(); }();
    _exit(0);
  }
  if (result < 0) {
    return failed(spec, "clone3 decoy host: " + errno_name(static_cast<int>(-result)));
  }
  const int pid = static_cast<int>(result);
  const UniqueFd process(pidfd);
  write_end.reset();

  std::string bytes;
  std::array<char, 16384> buffer;
  for (;;) {
    // Within the decoy host the trial's own time-out ends the target; this one ends the decoy host.
    constexpr int kGrace = 5000;
    pollfd poll{read_end.get(), POLLIN, 0};
    const int64_t ready = sys::call(SYS_poll, sys::arg(&poll), 1,
                                    static_cast<uint64_t>(spec.timeout.count()) + kGrace);
    if (ready == -EINTR) continue;
    if (ready <= 0) break;
    const int64_t n = sys::call(SYS_read, read_end.get(), sys::arg(buffer.data()), buffer.size());
    if (n == -EINTR) continue;
    if (n <= 0 || bytes.size() > kOutcomeMax) break;
    bytes.append(buffer.data(), static_cast<size_t>(n));
  }
  // The end of its init ends everything in the pid namespace before the wait returns. Killed at the
  // end of its pipe it has nothing more to do.
  const auto status = reap(pid, process.get());
  if (status) std::atomic_ref<int>(*pid_word).store(0);
  auto outcome = wire::unpack<TrialOutcome>(bytes);
  if (!outcome) {
    return failed(spec, "the decoy host ended without an outcome: " +
                            (status ? status->describe() : "it could not be waited for"));
  }
  return *outcome;
}

}  // namespace ringfence
