// Schedules in closed form: value(t) is used by update t + 1, so that a run can
// resume anywhere.
//   polynomial  e + (v - e) (1 - min(t, T) / T)^power
//   cosine      l + (v - l) (1 + cos(pi min(t, T) / T)) / 2
//   warmup      t < n: after(0) (s + (1 - s) t / n); then after(t - n)
//   sutskeverMomentum  min(1 - 1 / (2 (floor(t / period) + 1)), max)   (Sutskever et al. 2013, section 3)
#include <cmath>

#include "krylov/spec.h"

namespace krylov {

double schedule_value(const ScheduleSpec& s, std::int64_t t) noexcept {
  const double now = static_cast<double>(t);
  switch (s.kind) {
    case ScheduleKind::kConstant: return s.value;
    case ScheduleKind::kPolynomial: {
      if (!(s.total_steps > 0)) return s.end_value;
      const double left = 1.0 - std::fmin(now, s.total_steps) / s.total_steps;
      return s.end_value + (s.value - s.end_value) * std::pow(left, s.power);
    }
    case ScheduleKind::kCosine: {
      if (!(s.total_steps > 0)) return s.end_value;
      constexpr double pi = 3.14159265358979323846;
      return s.end_value +
             (s.value - s.end_value) * (1.0 + std::cos(pi * std::fmin(now, s.total_steps) / s.total_steps)) / 2.0;
    }
    case ScheduleKind::kWarmup: {
      if (s.after == nullptr) return s.value;
      if (now < s.warmup_steps) {
        return schedule_value(*s.after, 0) * (s.start_factor + (1.0 - s.start_factor) * now / s.warmup_steps);
      }
      return schedule_value(*s.after, t - static_cast<std::int64_t>(s.warmup_steps));
    }
    case ScheduleKind::kSutskeverMomentum:
      return std::fmin(1.0 - 1.0 / (2.0 * (std::floor(now / s.period) + 1.0)), s.value);
  }
  return s.value;
}

}  // namespace krylov
