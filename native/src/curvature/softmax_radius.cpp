// Sao, "Ghosts of softmax" (2026). Along x + t u with logits z + t a the partition
// function sum_k exp(z_k + t a_k) has its zeros at a distance of at least
// pi / (max a - min a) (theorem 4.6), and for two logits at exactly
// sqrt(gap^2 + pi^2) / |a_1 - a_2| (theorem 4.3): the radius of convergence of the
// loss in t. A batch takes the smallest (definition 4.7), and the controller
// shortens steps to it (proposition 5.2). Where nothing moves the radius is
// infinite; the paper's program adds 1e-12 to the spread instead.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"
#include "krylov/step_control.h"

namespace krylov {

namespace {

constexpr double kPi = 3.14159265358979323846;
// Elements below which a second thread does not pay.
constexpr std::int64_t kWorthSharing = 1 << 15;

template <Scalar T>
bool are_sigmoids(const RadiusRows<T>& rows) noexcept { return rows.sigmoids || rows.columns == 1; }

double exact_radius(double gap, double slope, double temperature) noexcept {
  const double scaled = gap / temperature;
  return std::sqrt(scaled * scaled + kPi * kPi) / (std::abs(slope) / temperature);
}

}  // namespace

template <Scalar T>
double step_length(const T* update, std::int64_t n) noexcept {
  return std::sqrt(kernels<T>().sum_squares(update, n));
}

template <Scalar T>
void slope_spreads(const RadiusRows<T>& rows, double temperature, std::int64_t first, std::int64_t count,
                   double* spreads) noexcept {
  for (std::int64_t r = first; r < first + count; ++r) {
    const T* const a = rows.slopes + r * rows.ld_slopes;
    if (are_sigmoids(rows)) {
      double most = 0;
      for (std::int64_t k = 0; k < rows.columns && !std::isnan(most); ++k) {
        const double slope = std::abs(static_cast<double>(a[k]));
        if (!(slope <= most)) most = slope;
      }
      spreads[r] = most / temperature;
      continue;
    }
    T least = a[0], most = a[0];
    bool ordered = a[0] == a[0];
    for (std::int64_t k = 1; k < rows.columns; ++k) {
      least = a[k] < least ? a[k] : least;
      most = a[k] > most ? a[k] : most;
      ordered &= a[k] == a[k];
    }
    spreads[r] = ordered ? (static_cast<double>(most) - static_cast<double>(least)) / temperature
                         : std::numeric_limits<double>::quiet_NaN();
  }
}

template <Scalar T>
void binary_radii(const RadiusRows<T>& rows, double temperature, std::int64_t first, std::int64_t count,
                  double* radii) noexcept {
  for (std::int64_t r = first; r < first + count; ++r) {
    const T* const z = rows.outputs + r * rows.ld_outputs;
    const T* const a = rows.slopes + r * rows.ld_slopes;
    if (are_sigmoids(rows)) {
      double least = std::numeric_limits<double>::infinity();
      for (std::int64_t k = 0; k < rows.columns && !std::isnan(least); ++k) {
        const double radius = exact_radius(static_cast<double>(z[k]), static_cast<double>(a[k]), temperature);
        if (!(radius >= least)) least = radius;
      }
      radii[r] = least;
    } else {
      radii[r] = exact_radius(static_cast<double>(z[0]) - static_cast<double>(z[1]),
                              static_cast<double>(a[0]) - static_cast<double>(a[1]), temperature);
    }
  }
}

StepRadius radius_of(double* values, std::int64_t rows, bool exact, const RadiusOptions& options) noexcept {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  StepRadius result;
  if (rows == 0) {
    result.radius = kInfinity;
    return result;
  }
  // The row that decides: as far from the most demanding one as the quantile says. A NaN demands most.
  const auto rank =
      static_cast<std::int64_t>(std::floor((1 - options.quantile) * static_cast<double>(rows) + 1e-9));
  const auto sooner = [exact](double a, double b) noexcept {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && !std::isnan(b);
    return exact ? a < b : a > b;
  };
  const std::int64_t at = std::clamp<std::int64_t>(rank, 0, rows - 1);
  if (at == 0) {
    result.spread = *std::min_element(values, values + rows, sooner);
  } else {
    std::nth_element(values, values + at, values + rows, sooner);
    result.spread = values[at];
  }
  if (exact) {
    result.radius = result.spread;
    result.spread = result.radius == kInfinity ? 0 : kPi / result.radius;
  } else {
    result.radius = result.spread == 0 ? kInfinity : kPi / result.spread;
  }
  result.normalised_step = result.radius == kInfinity ? 0 : options.step_length / result.radius;
  result.scale = result.normalised_step > options.target ? options.target / result.normalised_step : 1;
  if (std::isnan(result.normalised_step)) result.scale = result.normalised_step;
  return result;
}

template <Scalar T>
StepRadius softmax_radius(Team& team, int threads, const RadiusRows<T>& rows, const RadiusOptions& options,
                          double* values) noexcept {
  const bool exact = options.exact_binary && (are_sigmoids(rows) || rows.columns == 2);
  struct Work {
    const RadiusRows<T>& rows;
    double temperature;
    bool exact;
    double* values;
  } work{rows, options.temperature, exact, values};
  const auto body = [](void* context, int thread, int threads_now) noexcept {
    const Work& w = *static_cast<const Work*>(context);
    const std::int64_t first = w.rows.rows * thread / threads_now;
    const std::int64_t count = w.rows.rows * (thread + 1) / threads_now - first;
    if (w.exact) {
      binary_radii(w.rows, w.temperature, first, count, w.values);
    } else {
      slope_spreads(w.rows, w.temperature, first, count, w.values);
    }
  };
  if (rows.rows * rows.columns < kWorthSharing) {
    body(&work, 0, 1);
  } else {
    team.run(threads, body, &work);
  }
  return radius_of(values, rows.rows, exact, options);
}

#define KRYLOV_INSTANTIATE(T)                                                                                 \
  template double step_length<T>(const T*, std::int64_t) noexcept;                                            \
  template void slope_spreads<T>(const RadiusRows<T>&, double, std::int64_t, std::int64_t, double*) noexcept; \
  template void binary_radii<T>(const RadiusRows<T>&, double, std::int64_t, std::int64_t, double*) noexcept;  \
  template StepRadius softmax_radius<T>(Team&, int, const RadiusRows<T>&, const RadiusOptions&, double*) noexcept;
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
