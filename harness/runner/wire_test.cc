// What goes over the pipe between worker and runner comes out as it went in, or not at all.
#include "harness/runner/wire.h"

#include <gtest/gtest.h>

#include <random>

namespace ringfence {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t n) { return random_() % n; }
  bool coin() { return below(2) == 0; }
  std::string text() {
    std::string s;
    for (uint64_t i = below(40); i > 0; --i) s += static_cast<char>(below(256));
    return s;
  }
  Layer layer() {
    static const auto kAll = Layer::all();
    return coin() ? Layer() : kAll[below(kAll.size())];
  }
  Goal goal() {
    return {static_cast<Sight>(below(static_cast<uint64_t>(Sight::cgroup_event) + 1)), text(),
            static_cast<int64_t>(random_())};
  }
  Seen seen() { return {goal(), coin(), text(), text()}; }
  std::vector<EvidenceLine> evidence() {
    std::vector<EvidenceLine> lines;
    for (uint64_t i = below(5); i > 0; --i) {
      lines.push_back({text(), static_cast<int64_t>(random_()), text(), text(), coin()});
    }
    return lines;
  }
  TrialOutcome outcome() {
    TrialOutcome o;
    o.stage = static_cast<TrialOutcome::Stage>(below(6));
    o.error = text();
    o.error_word = text();
    o.failed_step = text();
    o.failed_layer = layer();
    o.failed_errno = static_cast<int>(below(200));
    o.exited = coin();
    o.signaled = coin();
    o.exit_code = static_cast<int>(below(256));
    o.claim = {static_cast<Claim::Kind>(below(4)), static_cast<int>(below(200))};
    for (uint64_t i = below(4); i > 0; --i) {
      o.calls.push_back({static_cast<uint32_t>(random_()),
                         static_cast<int64_t>(random_()),
                         {random_(), random_(), 0, 1, 2, random_()}});
    }
    o.goal = seen();
    for (uint64_t i = below(4); i > 0; --i) o.proofs.push_back(seen());
    o.cap_effective = random_();
    o.lost = random_();
    o.evidence = evidence();
    o.began_ns = static_cast<int64_t>(random_());
    o.duration_ns = static_cast<int64_t>(random_());
    return o;
  }
  CaseRecord record() {
    CaseRecord r;
    for (std::string* s : {&r.run_id, &r.id, &r.title, &r.source, &r.decided_by, &r.target, &r.mode,
                           &r.reason, &r.detail, &r.notes}) {
      *s = text();
    }
    r.verdict = static_cast<Verdict>(below(kVerdicts));
    r.expected_layer = layer();
    if (coin()) r.control = TrialRecord{coin(), text()};
    if (coin()) r.liveness = TrialRecord{coin(), text()};
    for (uint64_t i = below(4); i > 0; --i) r.witnesses.push_back({text(), text(), random_()});
    r.evidence = evidence();
    r.duration_ns = static_cast<int64_t>(random_());
    for (uint64_t i = below(4); i > 0; --i) r.timings_ns[text()] = static_cast<int64_t>(random_());
    return r;
  }

 private:
  std::mt19937_64 random_;
};

TEST(Wire, RecordComesOutAsItWentIn) {
  Dice dice(1);
  for (int i = 0; i < 2000; ++i) {
    const CaseRecord in = dice.record();
    const auto out = wire::unpack<CaseRecord>(wire::pack(in));
    ASSERT_TRUE(out) << i;
    ASSERT_EQ(out->id, in.id);
    ASSERT_EQ(out->verdict, in.verdict);
    ASSERT_EQ(out->expected_layer, in.expected_layer);
    ASSERT_EQ(out->control.has_value(), in.control.has_value());
    if (in.control) {
      ASSERT_EQ(out->control->says, in.control->says);
    }
    ASSERT_EQ(out->evidence.size(), in.evidence.size());
    ASSERT_EQ(out->timings_ns, in.timings_ns);
    // Every field: what is packed again is the same bytes.
    ASSERT_EQ(wire::pack(*out), wire::pack(in)) << i;
  }
}

TEST(Wire, OutcomeComesOutAsItWentIn) {
  Dice dice(2);
  for (int i = 0; i < 2000; ++i) {
    const TrialOutcome in = dice.outcome();
    const auto out = wire::unpack<TrialOutcome>(wire::pack(in));
    ASSERT_TRUE(out) << i;
    ASSERT_EQ(out->stage, in.stage);
    ASSERT_EQ(out->failed_layer, in.failed_layer);
    ASSERT_EQ(out->claim.kind, in.claim.kind);
    ASSERT_EQ(out->goal.goal, in.goal.goal);
    ASSERT_EQ(out->goal.yes, in.goal.yes);
    ASSERT_EQ(out->proofs.size(), in.proofs.size());
    ASSERT_EQ(out->calls.size(), in.calls.size());
    ASSERT_EQ(out->cap_effective, in.cap_effective);
    ASSERT_EQ(wire::pack(*out), wire::pack(in)) << i;
  }
}

// Each field has bytes of its own: none can be forgotten by visit() without this going red.
TEST(Wire, NoFieldOfAnOutcomeIsLeftOut) {
  const std::string plain = wire::pack(TrialOutcome());
  const auto differs = [&](auto change) {
    TrialOutcome o;
    change(o);
    return wire::pack(o) != plain;
  };
  EXPECT_TRUE(differs([](auto& o) { o.stage = TrialOutcome::Stage::ended; }));
  EXPECT_TRUE(differs([](auto& o) { o.error = "x"; }));
  EXPECT_TRUE(differs([](auto& o) { o.error_word = "x"; }));
  EXPECT_TRUE(differs([](auto& o) { o.failed_step = "x"; }));
  EXPECT_TRUE(differs([](auto& o) { o.failed_layer = Layer::kPid; }));
  EXPECT_TRUE(differs([](auto& o) { o.failed_errno = 1; }));
  EXPECT_TRUE(differs([](auto& o) { o.exited = true; }));
  EXPECT_TRUE(differs([](auto& o) { o.signaled = true; }));
  EXPECT_TRUE(differs([](auto& o) { o.exit_code = 1; }));
  EXPECT_TRUE(differs([](auto& o) { o.claim.kind = Claim::Kind::denied; }));
  EXPECT_TRUE(differs([](auto& o) { o.claim.err = 1; }));
  EXPECT_TRUE(differs([](auto& o) { o.goal.yes = true; }));
  EXPECT_TRUE(differs([](auto& o) { o.goal.says = "x"; }));
  EXPECT_TRUE(differs([](auto& o) { o.goal.witness = "x"; }));
  EXPECT_TRUE(differs([](auto& o) { o.cap_effective = 1; }));
  EXPECT_TRUE(differs([](auto& o) { o.lost = 1; }));
  EXPECT_TRUE(differs([](auto& o) { o.began_ns = 1; }));
  EXPECT_TRUE(differs([](auto& o) { o.duration_ns = 1; }));
}

TEST(Wire, CutShortOrTooLongIsNothing) {
  Dice dice(3);
  for (int i = 0; i < 30; ++i) {
    const std::string record = wire::pack(dice.record());
    for (size_t n = 0; n < record.size(); ++n) {
      ASSERT_FALSE(wire::unpack<CaseRecord>(std::string_view(record).substr(0, n))) << n;
    }
    ASSERT_FALSE(wire::unpack<CaseRecord>(record + '\0'));
    const std::string outcome = wire::pack(dice.outcome());
    for (size_t n = 0; n < outcome.size(); ++n) {
      ASSERT_FALSE(wire::unpack<TrialOutcome>(std::string_view(outcome).substr(0, n))) << n;
    }
    ASSERT_FALSE(wire::unpack<TrialOutcome>(outcome + '\0'));
  }
}

// What is accepted can be used: every enumeration has a name, every Layer ends.
template <typename T>
void use(const T& value);
template <>
void use(const CaseRecord& r) {
  EXPECT_FALSE(verdict_name(r.verdict).empty());
  EXPECT_LE(r.expected_layer.str().size(), sizeof(Layer));
}
template <>
void use(const TrialOutcome& o) {
  EXPECT_FALSE(sight_name(o.goal.goal.sight).empty());
  for (const Seen& s : o.proofs) EXPECT_FALSE(sight_name(s.goal.sight).empty());
  EXPECT_FALSE(o.claim.describe().empty());
  EXPECT_LE(o.stage, TrialOutcome::Stage::ended);
}

template <typename T, typename Make>
int garble(Make make, uint64_t seed) {
  Dice dice(seed);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = wire::pack(make(dice));
    for (uint64_t n = 1 + dice.below(4); n > 0; --n) {
      bytes[dice.below(bytes.size())] = static_cast<char>(dice.below(256));
    }
    if (const auto out = wire::unpack<T>(bytes)) {
      ++accepted;
      use(*out);
    }
  }
  return accepted;
}

TEST(Wire, GarbledBytesNeverMakeAValueThatCannotBeUsed) {
  EXPECT_GT(garble<CaseRecord>([](Dice& d) { return d.record(); }, 4), 0);
  EXPECT_GT(garble<TrialOutcome>([](Dice& d) { return d.outcome(); }, 5), 0);
}

TEST(Wire, NoiseIsNothing) {
  Dice dice(6);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    for (uint64_t n = dice.below(200); n > 0; --n) bytes += static_cast<char>(dice.below(256));
    ASSERT_FALSE(wire::unpack<CaseRecord>(bytes));
    ASSERT_FALSE(wire::unpack<TrialOutcome>(bytes));
  }
}

TEST(Wire, AWordThatNoEnumerationHasIsRefused) {
  const auto refused = [](auto value) {
    using T = decltype(value);
    for (int n = static_cast<int>(wire::last_of(value)) + 1; n < 256; ++n) {
      if (wire::unpack<T>(std::string(1, static_cast<char>(n)))) return false;
    }
    return wire::unpack<T>(std::string(1, static_cast<char>(wire::last_of(value)))).has_value();
  };
  EXPECT_TRUE(refused(Verdict::held));
  EXPECT_TRUE(refused(Sight::none));
  EXPECT_TRUE(refused(Claim::Kind::none));
  EXPECT_TRUE(refused(TrialOutcome::Stage::none));
  EXPECT_FALSE(wire::unpack<bool>(std::string(1, '\2')));
}

// A promise of four billion elements costs nothing.
TEST(Wire, LengthsAreNotBelieved) {
  const std::string huge(4, '\xff');
  EXPECT_FALSE(wire::unpack<std::string>(huge));
  EXPECT_FALSE(wire::unpack<std::vector<Seen>>(huge));
  EXPECT_FALSE((wire::unpack<std::map<std::string, int64_t>>(huge)));
  EXPECT_FALSE(wire::unpack<std::vector<EvidenceLine>>(huge + std::string(1 << 20, '\1')));
}

TEST(Wire, ALayerThatIsTooLongIsNone) {
  const auto layer = wire::unpack<Layer>(wire::pack(std::string(200, 'x')));
  ASSERT_TRUE(layer);
  EXPECT_TRUE(layer->empty());
}

}  // namespace
}  // namespace ringfence
