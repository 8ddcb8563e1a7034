// IPC, UTS and network namespaces: ipc_namespaces(7), uts_namespaces(7), network_namespaces(7).
#include <sys/socket.h>

#include "suites/suite.h"

namespace ringfence::suites {
namespace {

Case in_ns(Ns kind, std::string id, std::string title, Attempt attempt, Goal goal) {
  Case c;
  c.id = std::move(id);
  c.title = std::move(title);
  c.source = std::string(ns_name(kind)) + "_namespaces(7)";
  if (kind == Ns::net) c.source = "network_namespaces(7)";
  c.expected = ns_layer(kind);
  c.policy = in_namespaces({kind});
  c.attempt = std::move(attempt);
  c.goal = std::move(goal);
  c.proofs = {{Sight::ns_differs, std::string(ns_name(kind))}};
  c.outside = true;
  c.step = ns_layer(kind).str();
  return c;
}

}  // namespace

std::vector<Case> ipc_uts_net_cases() {
  std::vector<Case> cases;
  const auto add = [&](Case c) -> Case& { return cases.emplace_back(std::move(c)); };

  add(in_ns(Ns::ipc, "ipc.sysv_read", "read a shared memory segment of the host",
            {"shm_read", {"{sysv_key}", "64"}}, {Sight::secret_returned}));
  add(in_ns(Ns::ipc, "ipc.sysv_write", "write a shared memory segment of the host",
            {"shm_write", {"{sysv_key}", "OVERWRITTEN"}}, {Sight::sysv_changed}));
  add(in_ns(Ns::ipc, "ipc.sysv_queue", "read a message queue of the host",
            {"msgq_read", {"{msg_key}"}}, {Sight::secret_returned}));
  add(in_ns(Ns::ipc, "ipc.sysv_sem", "set a semaphore of the host", {"sem_set", {"{sem_key}", "3"}},
            {Sight::sysv_changed, "semaphore"}));
  Case& mq = add(in_ns(Ns::ipc, "ipc.mqueue", "read a POSIX message queue of the host",
                       {"mq_read", {"{mq_name}"}}, {Sight::secret_returned}));
  mq.source = "mq_overview(7)";
  mq.needs = {"mqueue"};

  // POSIX shared memory and semaphores are files of a tmpfs: what keeps them apart is the root.
  const auto posix = [&](std::string id, std::string title, Attempt attempt, Goal goal) {
    Case c;
    c.id = std::move(id);
    c.title = std::move(title);
    c.expected = Layer::kRoot;
    c.policy = in_root({{"tmpfs", "/dev/shm"}});
    c.attempt = std::move(attempt);
    c.goal = std::move(goal);
    c.proofs = {{Sight::root_differs}};
    c.liveness = {"create_file", {"/dev/shm/rf_own", "0600"}};
    c.outside = true;
    c.step = "mount.root";
    add(std::move(c)).source = "shm_overview(7), sem_overview(7)";
  };
  posix("ipc.shm_file", "read POSIX shared memory of the host", {"read_file", {"{shm_file}"}},
        {Sight::secret_returned});
  posix("ipc.sem_file", "post a POSIX semaphore of the host", {"sem_post", {"{sem_file}"}},
        {Sight::file_changed, "/dev/shm/sem.rf_canary"});

  Case& host = add(in_ns(Ns::uts, "uts.hostname", "change the host's name",
                         {"sethostname", {"breached"}}, {Sight::hostname_changed}));
  host.contained = true;
  host.gated_by = {Layer::cap("SYS_ADMIN")};
  Case& domain = add(in_ns(Ns::uts, "uts.domainname", "change the host's domain name",
                           {"setdomainname", {"breached"}}, {Sight::domainname_changed}));
  domain.contained = true;
  domain.gated_by = {Layer::cap("SYS_ADMIN")};

  Case& tcp =
      add(in_ns(Ns::net, "net.host_loopback", "connect to a listener on the host's 127.0.0.1",
                {"connect_tcp", {"{tcp_port}"}}, {Sight::loopback_connected}));
  tcp.liveness = {"listen_tcp", {"20080"}};
  Case& abstract =
      add(in_ns(Ns::net, "net.abstract_socket", "connect to an abstract unix socket of the host",
                {"connect_abstract", {"{abstract_name}"}}, {Sight::abstract_connected}));
  abstract.source = "CVE-2020-15257";
  Case& mtu = add(in_ns(Ns::net, "net.config_host", "change an interface of the host",
                        {"set_lo_mtu", {"1400"}}, {Sight::mtu_changed}));
  mtu.contained = true;
  mtu.gated_by = {Layer::cap("NET_ADMIN")};

  Case path;
  path.id = "net.unix_path";
  path.title = "connect to a unix socket in the host's file system";
  path.source = "unix(7)";
  path.expected = Layer::kRoot;
  path.policy = in_root({{"proc", "/proc"}});
  path.attempt = {"connect_unix", {"{unix_path}"}};
  path.goal = {Sight::unix_connected};
  path.proofs = {{Sight::root_differs}};
  path.outside = true;
  path.step = "mount.root";
  add(std::move(path));

  Case vsock;
  vsock.id = "net.vsock";
  vsock.title = "make an AF_VSOCK socket, which no namespace contains (never connected)";
  vsock.source = "vsock(7)";
  vsock.expected = Layer::kSeccomp;
  vsock.policy = filtered({"socket"}, SeccompAction::errno_, {}, {{0, AF_VSOCK, 0, SeccompOp::eq}});
  vsock.attempt = {"socket", {std::to_string(AF_VSOCK), std::to_string(SOCK_STREAM), "0"}};
  vsock.goal = {Sight::holds_socket, "", AF_VSOCK};
  vsock.proofs = {{Sight::seccomp_filtered}};
  vsock.liveness = {"socket", {std::to_string(AF_UNIX), std::to_string(SOCK_STREAM), "0"}};
  vsock.alive = {Sight::holds_socket, "", AF_UNIX};
  vsock.needs = {"vsock"};
  vsock.outside = true;
  vsock.step = "seccomp";
  add(std::move(vsock));
  return cases;
}

}  // namespace ringfence::suites
