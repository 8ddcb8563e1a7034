#include <cstdio>

#include "harness/base/facts.h"
#include "harness/policy/layer.h"

int main() {
  const auto facts = ringfence::Facts::probe();
  const auto layer = ringfence::Layer::parse("ns.pid");
  if (!layer || !facts.satisfied("path:/proc/self/status")) return 1;
  std::printf("layer %s\n", layer->str().c_str());
  return 0;
}
