#include "harness/confine/netns_pool.h"

#include <optional>
#include <system_error>
#include <thread>

#include "harness/confine/netns.h"

namespace ringfence {
namespace {

// In a thread that ends afterwards: if it could not come back, nobody else would be elsewhere.
Result<std::vector<UniqueFd>> make_all(size_t count) {
  std::vector<UniqueFd> made;
  std::optional<Error> error;
  try {
    std::thread worker([&] {
      while (made.size() < count) {
        auto one = make_netns();
        if (!one) {
          error = one.error();
          return;
        }
        made.push_back(std::move(*one));
      }
    });
    worker.join();
  } catch (const std::system_error& failure) {
    return system_error("start the thread that makes network namespaces", {},
                        failure.code().value());
  }
  if (error && made.empty()) return tl::unexpected(*error);
  return made;
}

}  // namespace

Status NetnsPool::fill(size_t count) {
  const size_t have = ready();
  if (have >= count) return {};
  auto made = make_all(count - have);
  if (!made) return tl::unexpected(made.error());
  const size_t wanted = count - have;
  const size_t got = made->size();
  {
    const std::scoped_lock lock(mutex_);
    for (UniqueFd& one : *made) ready_.push_back(std::move(one));
  }
  if (got == wanted) return {};
  // Some were made, then it failed: say why, by trying again.
  auto again = make_all(wanted - got);
  if (!again) return tl::unexpected(again.error());
  const std::scoped_lock lock(mutex_);
  for (UniqueFd& one : *again) ready_.push_back(std::move(one));
  return {};
}

Result<UniqueFd> NetnsPool::take() {
  {
    const std::scoped_lock lock(mutex_);
    if (!ready_.empty()) {
      UniqueFd one = std::move(ready_.back());
      ready_.pop_back();
      return one;
    }
  }
  auto made = make_all(1);
  if (!made) return tl::unexpected(made.error());
  return std::move(made->front());
}

size_t NetnsPool::ready() const {
  const std::scoped_lock lock(mutex_);
  return ready_.size();
}

}  // namespace ringfence
