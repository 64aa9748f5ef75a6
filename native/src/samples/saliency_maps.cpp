// Maps of positions: their formulas, their combination over layers, and the
// correlation of two of them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "krylov/saliency.h"

namespace krylov {

namespace {

template <Scalar T>
double norm(const T* x, std::int64_t n) noexcept {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += double(x[i]) * double(x[i]);
  return std::sqrt(sum);
}

std::vector<double> ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    for (std::size_t i = first; i < last; ++i) result[order[i]] = 0.5 * double(first + last - 1);
  }
  return result;
}

}  // namespace

template <Scalar T>
double position_value(PositionMap map, const T* x, std::int64_t width, const T* g,
                      std::int64_t gradient_width) noexcept {
  switch (map) {
    case PositionMap::kNorm: return norm(x, width) * norm(g, gradient_width);
    case PositionMap::kNormWithBias: return std::hypot(norm(x, width), 1.0) * norm(g, gradient_width);
    case PositionMap::kBias: return norm(g, gradient_width);
    case PositionMap::kGradientMax: {
      double largest = 0;
      for (std::int64_t i = 0; i < gradient_width; ++i) largest = std::max(largest, std::abs(double(g[i])));
      return largest;
    }
    case PositionMap::kScaling: case PositionMap::kSelective: case PositionMap::kLinear: break;
  }
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < width; ++i) {
    const double product = double(x[i]) * double(g[i]);
    sum += product;
    if (map == PositionMap::kScaling || product > 0) squares += product * product;
  }
  return map == PositionMap::kLinear ? sum : std::sqrt(squares);
}
template double position_value(PositionMap, const float*, std::int64_t, const float*, std::int64_t) noexcept;
template double position_value(PositionMap, const double*, std::int64_t, const double*, std::int64_t) noexcept;

void combine_maps(std::span<const double* const> maps, std::span<const double> weights, MapCombination rule,
                  std::int64_t rows, std::int64_t positions, double* out) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::fill_n(out, rows * positions, rule == MapCombination::kSum ? 0.0 : 1.0);
  for (std::size_t l = 0; l < maps.size(); ++l) {
    const double weight = rule == MapCombination::kPlainProduct ? 1.0 : weights[l] / total;
    for (std::int64_t r = 0; r < rows; ++r) {
      const double* map = maps[l] + r * positions;
      double* to = out + r * positions;
      const auto [low, high] = std::minmax_element(map, map + positions);
      const double range = *high - *low;
      for (std::int64_t p = 0; p < positions; ++p) {
        const double scaled = range > 0 ? (map[p] - *low) / range : 0.0;
        if (rule == MapCombination::kSum) {
          to[p] += weight * scaled;
        } else {
          to[p] *= weight == 1 ? scaled : std::pow(scaled, weight);
        }
      }
    }
  }
}

double rank_correlation(std::span<const double> a, std::span<const double> b) {
  // What is not a number has no rank.
  const auto unordered = [](double value) { return std::isnan(value); };
  if (std::any_of(a.begin(), a.end(), unordered) || std::any_of(b.begin(), b.end(), unordered)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const std::vector<double> x = ranks(a), y = ranks(b);
  // The mean rank is known, so that only the products are summed.
  const double mean = 0.5 * (double(x.size()) - 1);
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  if (!(xx > 0 && yy > 0)) return std::numeric_limits<double>::quiet_NaN();
  return xy / (std::sqrt(xx) * std::sqrt(yy));
}

}  // namespace krylov
