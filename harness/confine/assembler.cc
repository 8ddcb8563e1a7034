#include "harness/confine/assembler.h"

namespace ringfence {

Arg Assembler::text(std::string_view value) {
  auto it = known_.find(value);
  if (it == known_.end()) {
    it = known_.emplace(std::string(value), bytes_.size()).first;
    bytes_.emplace_back(value);
  }
  return {Arg::Kind::bytes, it->second};
}

Step Assembler::confining(Layer layer, std::string key, std::string text) {
  Step step;
  step.layer = layer;
  step.key = std::move(key);
  step.text = std::move(text);
  return step;
}

Step Assembler::setup(Layer layer, std::string key, std::string text) {
  Step step = confining(layer, std::move(key), std::move(text));
  step.confines = false;
  return step;
}

bool Assembler::add(Step step) {
  if (!keeps(step)) return false;
  append(std::move(step));
  return true;
}

Op with_fallback(Step& step, Op op, Op other) {
  op.fallback = static_cast<int>(step.fallback.size());
  other.when = op.when;
  other.unless = op.unless;
  step.fallback.push_back(other);
  return op;
}

}  // namespace ringfence
