#include "harness/policy/layer.h"

#include "harness/policy/policy.h"

namespace ringfence {
namespace {

constexpr std::array kFixed = {
    Layer::kPid,
    Layer::kMnt,
    Layer::kNet,
    Layer::kUts,
    Layer::kIpc,
    Layer::kUser,
    Layer::kCgroupNs,
    Layer::kTime,
    Layer::kSeccomp,
    Layer::kNoNewPrivs,
    Layer::kRoot,
    Layer::kMask,
    Layer::kReadOnly,
    Layer::kMountFlags,
    Layer::kPropagation,
    Layer::kIdMap,
    Layer::kCgroupPids,
    Layer::kCgroupMemory,
    Layer::kCgroupCpu,
    Layer::kCgroupCpuset,
    Layer::kCgroupIo,
    Layer::kCgroupHugetlb,
    Layer::kCgroupDevices,
    Layer::kCgroupFreezer,
    Layer{"cgroup.rdma"},
    Layer{"cgroup.net_cls"},
    Layer{"cgroup.net_prio"},
    Layer::kLsm,
    Layer::kLandlock,
    Layer::kAppArmor,
    Layer::kSelinux,
    Layer{"lsm.bpf"},
    Layer::kNetFilter,
    Layer::kDac,
    Layer::kKernel,
    Layer::kSession,
    Layer::kFd,
    Layer::kKeyring,
    Layer::kCap,
    Layer::kDevice,
    Layer::kUnattributed,
};

Layer prefixed(std::string_view prefix, std::string_view strip, std::string_view name) {
  if (name.starts_with(strip)) name.remove_prefix(strip.size());
  return Layer(std::string(prefix) + std::string(name));
}

}  // namespace

Layer Layer::cap(std::string_view name) { return prefixed("cap.", "CAP_", name); }
Layer Layer::rlimit(std::string_view name) { return prefixed("rlimit.", "RLIMIT_", name); }

std::vector<Layer> Layer::all() {
  std::vector<Layer> layers(kFixed.begin(), kFixed.end());
  for (int c = 0; c <= kCapLast; ++c) layers.push_back(cap(cap_name(c)));
  for (int r = 0; r < 16; ++r) layers.push_back(rlimit(rlimit_name(r)));
  std::sort(layers.begin(), layers.end());
  return layers;
}

std::optional<Layer> Layer::parse(std::string_view name) {
  for (const Layer& layer : all()) {
    if (layer.name() == name) return layer;
  }
  return std::nullopt;
}

}  // namespace ringfence
