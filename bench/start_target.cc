#include "bench/start_target.h"

#include <fmt/format.h>

#include <cerrno>

namespace ringfence::bench {

Result<std::shared_ptr<StartTarget>> StartTarget::make(const Policy& policy, Program program,
                                                       std::shared_ptr<CgroupRoot> groups) {
  auto plan = compile(policy);
  if (!plan) return tl::unexpected(plan.error());
  auto made = std::make_shared<StartTarget>();
  made->plan_ = std::move(*plan);
  made->settings_ = made->plan_.settings();
  made->groups_ = std::move(groups);
  made->program_ = std::move(program);
  return made;
}

Status StartTarget::start_in_own_group() {
  auto leaf = make_leaf();
  if (!leaf) return tl::unexpected(leaf.error());
  if (auto ok = start_in(&*leaf); !ok) return ok;
  return leaf->destroy();
}

Status StartTarget::group() {
  auto leaf = make_leaf();
  if (!leaf) return tl::unexpected(leaf.error());
  return leaf->destroy();
}

Status StartTarget::start_from_pool() {
  auto sandbox = pool_->take();
  if (!sandbox) return tl::unexpected(sandbox.error());
  last_.emplace(std::move(*sandbox));
  return start_in(nullptr, &*last_);
}

Status StartTarget::prepare_group() {
  auto leaf = make_leaf();
  if (!leaf) return tl::unexpected(leaf.error());
  standing_ = std::move(*leaf);
  return {};
}

Status StartTarget::prepare_sandbox() {
  last_.reset();
  if (!pool_) {
    auto pool = SandboxPool::make(plan_, groups_);
    if (!pool) return tl::unexpected(pool.error());
    pool_ = std::move(*pool);
  }
  return pool_->fill(1);
}

Result<CgroupLeaf> StartTarget::make_leaf() {
  return CgroupLeaf::create(groups_, settings_, fmt::format("bench-{}", leaves_++));
}

Status StartTarget::start_in(const CgroupLeaf* leaf, const PreparedSandbox* sandbox) {
  SpawnRequest request;
  request.plan = &plan_;
  request.exe_fd = program_.fd;
  request.exe_path = program_.path;
  request.args = program_.args;
  request.fds = program_.fds;
  request.cgroup = leaf;
  if (sandbox != nullptr) {
    request.plan = &pool_->plan();
    sandbox->give(request);
  }
  if (!program_.path.empty()) request.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  auto child = spawn(request);
  if (!child) return tl::unexpected(child.error());
  auto ended = child->wait();
  if (!ended) return tl::unexpected(ended.error());
  if ((*ended)->signaled || (*ended)->code != 0) {
    return system_error("spawn", (*ended)->describe(), ENOEXEC);
  }
  return {};
}

}  // namespace ringfence::bench
