// Execution, descriptors and the terminal: execve(2), prctl(2) PR_SET_NO_NEW_PRIVS, close_range(2),
// tty_ioctl(2).
#include "suites/suite.h"

namespace ringfence::suites {

std::vector<Case> exec_fd_cases() {
  std::vector<Case> cases;

  Case setuid;
  setuid.id = "exec.setuid_gain";
  setuid.title = "become root by a setuid program";
  setuid.source = "prctl(2), PR_SET_NO_NEW_PRIVS";
  setuid.expected = Layer::kNoNewPrivs;
  setuid.policy = as_user(1000);
  setuid.policy.no_new_privileges = true;
  setuid.attempt = {"exec", {"{setuid_inmate}", "exit"}};
  setuid.goal = {Sight::uid_is, "", 0};
  setuid.proofs = {{Sight::no_new_privs}};
  setuid.contained = true;  // the program runs, without the gain
  setuid.needs = {"root"};
  setuid.step = "no_new_privs";
  cases.push_back(setuid);

  Case filecap = setuid;
  filecap.id = "exec.filecap_gain";
  filecap.title = "gain capabilities by a program that has them in its file";
  filecap.attempt = {"exec", {"{filecap_inmate}", "exit"}};
  filecap.goal = {Sight::cap_effective, "CHOWN"};
  cases.push_back(std::move(filecap));

  Case bounded = setuid;
  bounded.id = "exec.filecap_bounding";
  bounded.title = "execute a file whose capabilities the bounding set lacks";
  bounded.contained = false;  // the kernel refuses the execution itself
  bounded.source = "capabilities(7)";
  bounded.expected = Layer::cap("SYS_ADMIN");
  bounded.policy = as_user(1000);
  // The other sets stay as they are: they would give the capability back without the file.
  CapSet bounding = CapSet::all();
  bounding.set(*cap_by_name("SYS_ADMIN"), false);
  bounded.policy.capabilities.bounding = bounding;
  bounded.attempt = {"exec", {"{filecap_inmate}", "exit"}};
  bounded.goal = {Sight::exe_is, "/canary/filecap_inmate"};
  bounded.proofs = {{Sight::bounding_lacks, "SYS_ADMIN"}};
  bounded.step = "cap.bounding";
  cases.push_back(std::move(bounded));

  Case inherited;
  inherited.id = "fd.inherited";
  inherited.title = "use a descriptor that a careless parent left open (CVE-2024-21626)";
  inherited.source = "CVE-2024-21626, close_range(2)";
  inherited.expected = Layer::kFd;
  inherited.policy = bare();
  inherited.policy.close_descriptors = true;
  inherited.attempt = {"list_fds", {}};
  inherited.state = true;
  inherited.goal = {Sight::holds_file, "*/canary/secret"};
  inherited.outside = true;
  inherited.step = "fd";
  cases.push_back(std::move(inherited));

  Case link;
  link.id = "fd.link_passed";
  link.title = "give a name to a nameless file that was passed in";
  link.source = "open(2) O_TMPFILE, linkat(2) AT_EMPTY_PATH";
  link.expected = Layer::cap("DAC_READ_SEARCH");
  link.policy = without_caps({"DAC_READ_SEARCH"});
  link.attempt = {"link_passed", {"/rf_linked"}};
  link.goal = {Sight::file_linked};
  link.proofs = {{Sight::cap_missing, "DAC_READ_SEARCH"}};
  link.outside = true;
  link.needs = {"root"};
  link.gated_by = {Layer::cap("DAC_READ_SEARCH")};
  link.step = "cap.bounding";
  cases.push_back(std::move(link));

  Case tty;
  tty.id = "tty.tiocsti";
  tty.title = "push input into the caller's terminal";
  tty.source = "tty_ioctl(2) TIOCSTI, CVE-2017-5226";
  tty.expected = Layer::kSession;
  tty.policy = without_caps({"SYS_ADMIN"});
  tty.policy.new_session = true;
  tty.attempt = {"tiocsti", {"0", "x"}};
  tty.goal = {Sight::tty_input};
  tty.outside = true;
  tty.needs = {"root", "legacy_tiocsti"};
  tty.gated_by = {Layer::cap("SYS_ADMIN")};
  tty.step = "session";
  cases.push_back(tty);

  tty.id = "tty.tiocsti_privileged";
  tty.title = "push input into a terminal that is not its own";
  tty.expected = Layer::cap("SYS_ADMIN");
  tty.needs = {"root"};
  tty.outside = false;  // the same attempt as tty.tiocsti
  tty.step = "cap.bounding";
  cases.push_back(std::move(tty));
  return cases;
}

}  // namespace ringfence::suites
