// Seccomp: seccomp(2), and what container profiles close.
#include <fmt/format.h>
#include <sched.h>

#include <csignal>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

const Goal kFiltered{Sight::seccomp_filtered};
const Goal kKilled{Sight::killed_by, "", SIGSYS};

Case filter_case(std::string id, std::string title, Policy policy, Attempt attempt, Goal goal,
                 std::vector<Goal> proofs) {
  Case c;
  c.id = std::move(id);
  c.title = std::move(title);
  c.source = "seccomp(2)";
  c.expected = Layer::kSeccomp;
  c.policy = std::move(policy);
  c.attempt = std::move(attempt);
  c.goal = std::move(goal);
  c.proofs = std::move(proofs);
  c.step = "seccomp";
  return c;
}

void add_actions(std::vector<Case>& cases) {
  struct Action {
    const char* word;
    SeccompAction action;
    Goal proof;
  };
  const std::array actions = {
      Action{"errno", SeccompAction::errno_, kFiltered},
      Action{"trap", SeccompAction::trap, kKilled},
      Action{"kill_thread", SeccompAction::kill_thread, kKilled},
      Action{"kill_process", SeccompAction::kill_process, kKilled},
      Action{"notify", SeccompAction::notify, kFiltered},
  };
  for (const Action& a : actions) {
    const std::vector<std::string> calls = {"sethostname"};
    Policy policy = filtered(calls, a.action);
    const bool asks = a.action == SeccompAction::notify;
    if (asks) policy.seccomp->answers = {{calls, NotifyAnswer::How::refuse, EPERM}};
    cases.push_back(filter_case(fmt::format("seccomp.action.{}", a.word),
                                fmt::format("call what the filter answers with {}", a.word),
                                std::move(policy), {"sethostname", {"breached"}},
                                {Sight::hostname_changed}, {a.proof}));
    if (asks) cases.back().needs = {"seccomp_notify"};
    cases.back().liveness = {"setdomainname", {"benign"}};
  }
}

// The filter's condition holds for a name of 8 bytes ("breached"); the benign twin's name is of
// another length, for which it does not.
void add_arguments(std::vector<Case>& cases) {
  constexpr uint64_t kLength = 8;
  struct Condition {
    const char* word;
    SeccompArg arg;
    const char* benign;
  };
  const std::array conditions = {
      Condition{"eq", {1, kLength, 0, SeccompOp::eq}, "benign"},
      Condition{"ne", {1, 6, 0, SeccompOp::ne}, "benign"},
      Condition{"lt", {1, kLength + 1, 0, SeccompOp::lt}, "benign-and-longer"},
      Condition{"le", {1, kLength, 0, SeccompOp::le}, "benign-and-longer"},
      Condition{"gt", {1, kLength - 1, 0, SeccompOp::gt}, "benign"},
      Condition{"ge", {1, kLength, 0, SeccompOp::ge}, "benign"},
      Condition{"masked_eq", {1, kLength, kLength, SeccompOp::masked_eq}, "benign"},
  };
  for (const Condition& c : conditions) {
    cases.push_back(
        filter_case(fmt::format("seccomp.arg_compare.{}", c.word),
                    fmt::format("call with an argument that the filter refuses by {}", c.word),
                    filtered({"sethostname"}, SeccompAction::errno_, {}, {c.arg}),
                    {"sethostname", {"breached"}}, {Sight::hostname_changed}, {kFiltered}));
    cases.back().liveness = {"sethostname", {c.benign}};
    cases.back().alive = {Sight::hostname_changed};
  }
}

void add_ways_around(std::vector<Case>& cases) {
  Policy native = filtered({"sethostname"}, SeccompAction::errno_);
  native.seccomp->architectures = {"SCMP_ARCH_X86_64"};
  cases.push_back(filter_case("seccomp.i386_int80", "make the refused call through int 0x80",
                              native, {"i386_sethostname", {"breached"}}, {Sight::hostname_changed},
                              {kKilled}));
  cases.back().liveness = {"setdomainname", {"benign"}};
  cases.back().needs = {"i386"};

  Policy both = native;
  both.seccomp->architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  cases.push_back(filter_case(
      "seccomp.i386_filtered", "make the call through int 0x80, which the filter covers", both,
      {"i386_sethostname", {"breached"}}, {Sight::hostname_changed}, {kFiltered}));
  cases.back().liveness = {"setdomainname", {"benign"}};
  cases.back().needs = {"i386"};

  cases.push_back(filter_case("seccomp.stack_weaken", "install a laxer filter on top",
                              filtered({"sethostname"}, SeccompAction::errno_),
                              {"install_filter_allow", {"breached"}}, {Sight::hostname_changed},
                              {kFiltered}));
  cases.push_back(
      filter_case("seccomp.io_uring", "open a file through io_uring where open is filtered",
                  filtered({"open", "openat", "openat2", "io_uring_setup"}, SeccompAction::errno_),
                  {"io_uring_open", {"{secret_file}"}}, {Sight::secret_returned}, {kFiltered}));
  cases.back().needs = {"io_uring"};

  const std::vector<std::string> makers = {"unshare", "clone3"};
  cases.push_back(filter_case("seccomp.unshare_userns", "make a user namespace by unshare",
                              filtered(makers, SeccompAction::errno_),
                              {"unshare", {std::to_string(CLONE_NEWUSER)}},
                              {Sight::ns_unplanned, "user"}, {kFiltered}));
  cases.back().needs = {"userns"};
  cases.back().outside = true;
  constexpr uint32_t kEnosys = 38;  // what runtimes answer, so that callers fall back to clone
  cases.push_back(filter_case("seccomp.clone3_userns", "make a user namespace by clone3",
                              filtered(makers, SeccompAction::errno_, kEnosys),
                              {"clone3_userns", {}}, {Sight::ns_unplanned, "user"}, {kFiltered}));
  cases.back().needs = {"userns"};
  cases.back().outside = true;
  cases.push_back(filter_case("seccomp.clone_userns", "make a user namespace by clone",
                              filtered({"clone"}, SeccompAction::errno_, {},
                                       {{0, CLONE_NEWUSER, CLONE_NEWUSER, SeccompOp::masked_eq}}),
                              {"clone_userns", {}}, {Sight::ns_unplanned, "user"}, {kFiltered}));
  cases.back().needs = {"userns"};
  cases.back().outside = true;
  cases.back().liveness = {"kill_own_child", {std::to_string(SIGKILL)}};
}

// System calls that container profiles close, by what is held afterwards.
void add_surface(std::vector<Case>& cases) {
  struct Surface {
    const char* id;
    std::vector<std::string> names;
    Attempt attempt;
    const char* holds;
    const char* need;
  };
  const std::vector<Surface> calls = {
      {"sys.bpf", {"bpf"}, {"bpf_map", {}}, "anon_inode:*bpf*", "bpf"},
      {"sys.userfaultfd",
       {"userfaultfd"},
       {"userfaultfd", {}},
       "anon_inode:*userfaultfd*",
       "userfaultfd"},
      {"sys.perf_event_open",
       {"perf_event_open"},
       {"perf_event_open", {}},
       "anon_inode:*perf_event*",
       "perf"},
      {"sys.io_uring_setup",
       {"io_uring_setup"},
       {"io_uring_setup", {}},
       "anon_inode:*io_uring*",
       "io_uring"},
  };
  for (const Surface& call : calls) {
    cases.push_back(filter_case(call.id, "call " + call.names[0] + " under a filter",
                                filtered(call.names, SeccompAction::errno_), call.attempt,
                                {Sight::holds_file, call.holds}, {kFiltered}));
    cases.back().needs = {call.need};
    // vm.unprivileged_userfaultfd is 0 nearly everywhere.
    if (call.need == std::string("userfaultfd")) cases.back().needs.emplace_back("root");
  }

  cases.push_back(filter_case("key.cross_read", "read a key of the session keyring",
                              filtered({"keyctl", "request_key", "add_key"}, SeccompAction::errno_),
                              {"keyctl_read", {"{key_desc}"}}, {Sight::secret_returned},
                              {kFiltered}));
  cases.back().source = "keyrings(7)";
  cases.back().needs = {"keys"};
  cases.back().outside = true;
}

// What the kernel itself demands of who loads a filter, and grants who loads it for all threads.
void add_rules(std::vector<Case>& cases) {
  Case first;
  first.id = "seccomp.no_nnp";
  first.title = "load a filter without no_new_privs and without CAP_SYS_ADMIN";
  first.source = "seccomp(2), SECCOMP_SET_MODE_FILTER";
  first.expected = Layer::kKernel;
  constexpr uint32_t kPlainUid = 1000;
  first.policy = as_user(kPlainUid);
  first.attempt = {"no_nnp_filter", {}};
  first.control = Attempt{"no_nnp_filter", {"1"}};
  first.goal = kFiltered;
  first.needs = {"root", "seccomp"};
  cases.push_back(std::move(first));

  Case threads;
  threads.id = "seccomp.thread_tsync";
  threads.title = "call from a thread that was there before the filter, loaded for all threads";
  threads.source = "seccomp(2), SECCOMP_FILTER_FLAG_TSYNC";
  threads.expected = Layer::kKernel;
  threads.policy = bare();
  threads.attempt = {"thread_before_filter", {"breached", "tsync"}};
  threads.control = Attempt{"thread_before_filter", {"breached", "alone"}};
  threads.goal = {Sight::hostname_changed};
  threads.needs = {"seccomp"};
  cases.push_back(std::move(threads));
}

}  // namespace

std::vector<Case> seccomp_cases() {
  std::vector<Case> cases;
  add_actions(cases);
  add_arguments(cases);
  add_ways_around(cases);
  add_surface(cases);
  add_rules(cases);
  return cases;
}

}  // namespace ringfence::suites
