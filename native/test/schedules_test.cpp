// Schedules in closed form: their ends, their middle, and what lies beyond.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "krylov/spec.h"

namespace krylov {
namespace {

constexpr std::int64_t kFar = std::int64_t(1) << 50;

ScheduleSpec schedule(ScheduleKind kind, double value, double end_value = 0, double total_steps = 0) {
  ScheduleSpec s;
  s.kind = kind;
  s.value = value;
  s.end_value = end_value;
  s.total_steps = total_steps;
  return s;
}

ScheduleSpec warmup(const ScheduleSpec& after, double steps, double start_factor) {
  ScheduleSpec s;
  s.kind = ScheduleKind::kWarmup;
  s.warmup_steps = steps;
  s.start_factor = start_factor;
  s.after = std::make_shared<const ScheduleSpec>(after);
  return s;
}

doctest::Approx close(double value) { return doctest::Approx(value).epsilon(1e-14); }

TEST_CASE("constant") {
  const ScheduleSpec s = schedule(ScheduleKind::kConstant, 0.25);
  for (const std::int64_t t : {std::int64_t(0), std::int64_t(1), kFar}) CHECK(schedule_value(s, t) == 0.25);
}

TEST_CASE("polynomial: from the value to the end value, which it keeps") {
  ScheduleSpec s = schedule(ScheduleKind::kPolynomial, 1, 0.2, 10);
  CHECK(schedule_value(s, 0) == 1);
  CHECK(schedule_value(s, 5) == close(0.6));
  CHECK(schedule_value(s, 10) == 0.2);
  CHECK(schedule_value(s, 11) == 0.2);
  CHECK(schedule_value(s, kFar) == 0.2);
  s.power = 2;
  CHECK(schedule_value(s, 5) == close(0.2 + 0.8 * 0.25));
  s.power = 0.5;
  CHECK(schedule_value(s, 5) == close(0.2 + 0.8 * std::sqrt(0.5)));
  // It may rise, and a length need not be a whole number.
  s = schedule(ScheduleKind::kPolynomial, 0, 1, 2.5);
  CHECK(schedule_value(s, 1) == close(0.4));
  CHECK(schedule_value(s, 3) == 1);
}

TEST_CASE("cosine: half a wave from the value to the end value") {
  const ScheduleSpec s = schedule(ScheduleKind::kCosine, 1, 0.1, 8);
  CHECK(schedule_value(s, 0) == 1);
  CHECK(schedule_value(s, 4) == close(0.55));
  CHECK(schedule_value(s, 2) == close(0.1 + 0.45 * (1 + std::sqrt(0.5))));
  CHECK(schedule_value(s, 8) == close(0.1));
  CHECK(schedule_value(s, 9) == schedule_value(s, 8));
  CHECK(schedule_value(s, kFar) == schedule_value(s, 8));
  for (std::int64_t t = 0; t < 8; ++t) CHECK(schedule_value(s, t) > schedule_value(s, t + 1));
}

TEST_CASE("a length of 0 is over at once") {
  for (const ScheduleKind kind : {ScheduleKind::kPolynomial, ScheduleKind::kCosine}) {
    for (const double length : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
      const ScheduleSpec s = schedule(kind, 1, 0.3, length);
      CHECK(schedule_value(s, 0) == 0.3);
      CHECK(schedule_value(s, 7) == 0.3);
    }
  }
}

TEST_CASE("warmup: a line to what follows, which then begins at 0") {
  const ScheduleSpec after = schedule(ScheduleKind::kPolynomial, 2, 0, 4);
  const ScheduleSpec s = warmup(after, 5, 0.1);
  CHECK(schedule_value(s, 0) == close(0.2));
  CHECK(schedule_value(s, 2) == close(2 * (0.1 + 0.9 * 0.4)));
  CHECK(schedule_value(s, 5) == 2);
  CHECK(schedule_value(s, 7) == schedule_value(after, 2));
  CHECK(schedule_value(s, 9) == 0);
  CHECK(schedule_value(s, kFar) == 0);
  SUBCASE("of no steps it is what follows") {
    const ScheduleSpec none = warmup(after, 0, 0.1);
    for (std::int64_t t = 0; t < 6; ++t) CHECK(schedule_value(none, t) == schedule_value(after, t));
  }
  SUBCASE("within a warmup") {
    const ScheduleSpec nested = warmup(s, 2, 0);
    CHECK(schedule_value(nested, 0) == 0);
    CHECK(schedule_value(nested, 1) == close(0.1));
    CHECK(schedule_value(nested, 4) == schedule_value(s, 2));
  }
  SUBCASE("of nothing keeps its value") {
    ScheduleSpec alone = schedule(ScheduleKind::kWarmup, 0.5);
    alone.warmup_steps = 3;
    CHECK(schedule_value(alone, 1) == 0.5);
  }
}

// Sutskever et al. 2013: 1 - 2^(-1 - log2(floor(t / 250) + 1)), never above the maximum.
TEST_CASE("sutskeverMomentum rises by steps of a period") {
  const ScheduleSpec s = schedule(ScheduleKind::kSutskeverMomentum, 0.99);
  CHECK(schedule_value(s, 0) == 0.5);
  CHECK(schedule_value(s, 249) == 0.5);
  CHECK(schedule_value(s, 250) == 0.75);
  CHECK(schedule_value(s, 500) == close(1 - 1.0 / 6));
  CHECK(schedule_value(s, 750) == close(1 - std::pow(2, -1 - std::log2(4.0))));
  CHECK(schedule_value(s, kFar) == 0.99);
}

}  // namespace
}  // namespace krylov
