// What the Newton-type optimizers share: words of options, values along a
// line, a gradient kept from one update to the next, saved states.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "krylov/minimizer.h"
#include "optimizers/rules.h"
#include "solvers/vectors.h"

namespace krylov {

// The option "curvature"; `words` are those of its words that the method takes.
template <std::size_t N>
Curvature curvature_option(RuleOptions& options, const char* const (&words)[N]) {
  const char* const word = words[options.word("curvature", words)];
  if (std::strcmp(word, "ggn") == 0) return Curvature::kGaussNewton;
  if (std::strcmp(word, "fisher") == 0) return Curvature::kFisher;
  if (std::strcmp(word, "empiricalFisher") == 0) return Curvature::kEmpiricalFisher;
  return Curvature::kHessian;
}

inline std::uint32_t need_of(Curvature kind) noexcept {
  switch (kind) {
    case Curvature::kHessian: return kNeedsHessian;
    case Curvature::kGaussNewton: return kNeedsGaussNewton;
    case Curvature::kFisher: return kNeedsFisher;
    case Curvature::kEmpiricalFisher: return kNeedsEmpiricalFisher;
  }
  return 0;
}

// A count at update t: whatever the schedule says, a number that a loop can end at.
inline std::int64_t count_at(const ScheduleSpec& schedule, std::int64_t t) noexcept {
  constexpr double kMost = 1e15;
  const double value = schedule_value(schedule, t);
  return value > 0 ? static_cast<std::int64_t>(std::floor(std::fmin(value, kMost) + 0.5)) : 0;
}

template <Scalar T>
bool all_finite(Vectors<T>& vectors, double f, const T* g) noexcept {
  return std::isfinite(f) && vectors.all_finite(g);
}

// f(x + a p); the point is left in `point`.
template <Scalar T>
Procedure<double> value_along(Session& session, Objective<T>& objective, const T* x, double a, const T* p, T* point,
                              Samples samples) {
  Vectors<T>(session, objective.size()).add(x, a, p, point);
  co_return co_await objective.value(session, point, samples);
}

// f and its gradient at the last point seen.
template <Scalar T>
class KnownGradient {
 public:
  bool holds(const Objective<T>& objective, const T* x) const noexcept {
    return !x_.empty() && objective.steady() && std::memcmp(x, x_.data(), x_.bytes()) == 0;
  }
  void keep(const T* x, double f, const T* g, std::int64_t size) {
    const auto n = static_cast<std::size_t>(size);
    if (x_.size() != n) x_ = AlignedBuffer<T>(n), g_ = AlignedBuffer<T>(n);
    if (n > 0) std::memcpy(x_.data(), x, x_.bytes()), std::memcpy(g_.data(), g, g_.bytes());
    f_ = f;
  }
  void forget() { x_ = {}, g_ = {}; }
  double f() const noexcept { return f_; }

  // f(x), its gradient in g; computed only where it is not known.
  Procedure<double> at(Session& session, Objective<T>& objective, const T* x, T* g) {
    if (holds(objective, x)) {
      if (!g_.empty()) std::memcpy(g, g_.data(), g_.bytes());
      co_return f_;
    }
    co_return co_await objective.gradient(session, x, Samples::kGradient, g, nullptr);
  }

 private:
  AlignedBuffer<T> x_, g_;
  double f_ = 0;
};

// Saved states. A vector that is not there yet is left out, and stands for none.
template <Scalar T>
void save_vector(MinimizerState& state, const char* name, const AlignedBuffer<T>& x) {
  if (!x.empty()) state.vectors.push_back({name, false, std::vector<double>(x.data(), x.data() + x.size())});
}
inline Status check_vector(const MinimizerState& state, const char* name, std::int64_t size) noexcept {
  const MinimizerState::Vector* v = state.vector(name);
  const auto length = v == nullptr ? size : static_cast<std::int64_t>(v->values.size());
  if (length != size) return Status::error(ErrorCode::kState, name, "a vector as long as the parameters", size, length);
  return Status::success();
}
template <Scalar T>
AlignedBuffer<T> restore_vector(const MinimizerState& state, const char* name) {
  const MinimizerState::Vector* v = state.vector(name);
  if (v == nullptr) return {};
  AlignedBuffer<T> out(v->values.size());
  std::transform(v->values.begin(), v->values.end(), out.data(), [](double a) { return static_cast<T>(a); });
  return out;
}
// A saved scalar, positive where it is there at all.
inline Status check_positive(const MinimizerState& state, const char* name) noexcept {
  const double value = state.number(name, 1);
  if (!(value >= 0) || std::isinf(value)) return Status::error(ErrorCode::kState, name, "a finite number, at least 0");
  if (state.updates < 0) return Status::error(ErrorCode::kState, "updates", "at least 0", state.updates);
  return Status::success();
}

}  // namespace krylov
