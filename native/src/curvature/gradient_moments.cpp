// Sums over samples of gradients and of their squares by elements, and what
// follows from them.
#include <algorithm>

#include "curvature/lead.h"
#include "curvature/network_point.h"
#include "curvature/point_task.h"
#include "kernels/kernel_table.h"
#include "krylov/buffer.h"
#include "krylov/per_sample.h"
#include "network/layer.h"

namespace krylov {
namespace {

// sum g = Delta' A and sum g^2 = (Delta o Delta)' (A o A), unit by unit in float64: the variance is their difference,
// which float32 would lose where the mean dominates.
template <Scalar T>
class MomentsTask final : public PointTask<T> {
 public:
  MomentsTask(double* sums, double* squares) : sums_(sums), squares_(squares) {}
  PointNeeds<T> needs() const noexcept override { return {.level = PointLevel::kDeltas, .per_sample = true}; }

  void columns(const PointPart<T>& part, int, int thread, int threads) noexcept override {
    const auto [begin, end] = part.units->of(thread, threads);
    for (std::size_t u = begin; u < end; ++u) {
      const GradientUnit& unit = part.pass.network->units()[u];
      const Layer<T>& layer = *part.pass.network->layers()[static_cast<std::size_t>(unit.layer)];
      const std::int64_t size = (unit.row1 - unit.row0) * kPanel<T>;
      for (double* const sums : {sums_, squares_}) {
        if (sums != nullptr && part.first) std::fill_n(sums + unit.offset, size, 0.0);
      }
      for (std::int64_t first = 0; first < part.pass.rows; first += kSegment) {
        const std::int64_t rows = std::min(kSegment, part.pass.rows - first);
        const RowFactors<T> row = layer.row_factors(part.pass, first);
        if (row.outer) {
          outer(part, layer, unit, first, rows);
        } else {
          elements(part, layer, unit, first, rows);
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kSegment = 64;
  static constexpr std::int64_t kInputs = 66;  // of the largest unit, with room (kUnitElements)
  static constexpr std::int64_t kLanes = kPanel<double>;

  void outer(const PointPart<T>& part, const Layer<T>& layer, const GradientUnit& unit, std::int64_t first,
             std::int64_t rows) noexcept {
    alignas(kCacheLine) double x[kSegment * kInputs], delta[kSegment * kLanes];
    for (std::int64_t half = 0; half < kPanel<T>; half += kLanes) {
      const std::int64_t column = unit.panel * kPanel<T> + half;
      std::int64_t inputs = 0, lanes = 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        const RowFactors<T> row = layer.row_factors(part.pass, first + r);
        inputs = std::min(unit.row1, row.inputs) - unit.row0;
        lanes = std::clamp<std::int64_t>(row.outputs - column, 0, kLanes);
        for (std::int64_t i = 0; i < inputs; ++i) x[r * kInputs + i] = static_cast<double>(row.x[unit.row0 + i]);
        for (std::int64_t o = 0; o < kLanes; ++o) {
          delta[r * kLanes + o] = o < lanes ? static_cast<double>(row.delta[column + o]) : 0.0;
        }
      }
      if (lanes == 0) return;
      const bool bias = unit.row1 - unit.row0 > inputs;
      if (sums_ != nullptr) add(x, inputs, delta, rows, bias, sums_ + unit.offset + half);
      if (squares_ == nullptr) continue;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t i = 0; i < inputs; ++i) x[r * kInputs + i] *= x[r * kInputs + i];
        for (std::int64_t o = 0; o < kLanes; ++o) delta[r * kLanes + o] *= delta[r * kLanes + o];
      }
      add(x, inputs, delta, rows, bias, squares_ + unit.offset + half);
    }
  }

  static void add(const double* x, std::int64_t inputs, const double* delta, std::int64_t rows, bool bias,
                  double* to) noexcept {
    alignas(kCacheLine) double piece[(kInputs + 1) * kLanes];
    WeightUnit<double> u{};
    u.x = x, u.ldx = kInputs, u.inputs = inputs;
    u.delta = delta, u.ldd = kLanes, u.rows = rows, u.columns = kLanes;
    u.bias = bias, u.scale = 1, u.out = piece;
    kernels<double>().weight_unit(u);
    for (std::int64_t i = 0; i < inputs + (bias ? 1 : 0); ++i) {
      for (std::int64_t o = 0; o < kLanes; ++o) to[i * kPanel<T> + o] += piece[i * kLanes + o];
    }
  }

  // Row 0 of the block is the gain of a normalisation, row 1 its bias.
  void elements(const PointPart<T>& part, const Layer<T>& layer, const GradientUnit& unit, std::int64_t first,
                std::int64_t rows) noexcept {
    const std::int64_t column = unit.panel * kPanel<T>;
    for (std::int64_t r = 0; r < rows; ++r) {
      const RowFactors<T> row = layer.row_factors(part.pass, first + r);
      const std::int64_t lanes = std::min(row.outputs - column, kPanel<T>);
      for (std::int64_t i = unit.row0; i < unit.row1; ++i) {
        for (std::int64_t o = 0; o < lanes; ++o) {
          const auto delta = static_cast<double>(row.delta[column + o]);
          const double g = i == 0 ? delta * static_cast<double>(row.x[column + o]) : delta;
          const std::int64_t at = unit.offset + (i - unit.row0) * kPanel<T> + o;
          if (sums_ != nullptr) sums_[at] += g;
          if (squares_ != nullptr) squares_[at] += g * g;
        }
      }
    }
  }

  double* sums_;
  double* squares_;
};

// body(public index, arena index) of every parameter.
template <Scalar T, class Body>
void each_parameter(const Network<T>& network, Body body) {
  for (const TensorInfo& tensor : network.tensors()) {
    const ParameterBlock& block = network.blocks()[static_cast<std::size_t>(tensor.block)];
    for (std::int64_t o = 0; o < tensor.outputs; ++o) {
      const std::int64_t panel =
          block.offset + ((o / kPanel<T>) * block.rows + tensor.first_row) * kPanel<T> + o % kPanel<T>;
      for (std::int64_t i = 0; i < tensor.row_count; ++i) {
        body(static_cast<std::size_t>(tensor.public_offset + o * tensor.row_count + i),
             static_cast<std::size_t>(panel + i * kPanel<T>));
      }
    }
  }
}

template <Scalar T>
AlignedBuffer<double> make_arena(const NetworkPoint<T>& point) {
  return AlignedBuffer<double>(static_cast<std::size_t>(point.network()->arena_size()));
}

}  // namespace

template <Scalar T>
void gradient_moments(NetworkPoint<T>& point, double* sums, double* squares) {
  MomentsTask<T> task(sums, squares);
  lead(point.threads(), [&](Team& team) { point.run(team, task); });
}

template <Scalar T>
void gradient_square_sums(NetworkPoint<T>& point, T* out) {
  AlignedBuffer<double> squares = make_arena(point);
  gradient_moments<T>(point, nullptr, squares.data());
  each_parameter(*point.network(), [&](std::size_t i, std::size_t at) { out[i] = static_cast<T>(squares[at]); });
}

template <Scalar T>
Status gradient_variance(NetworkPoint<T>& point, bool unbiased, T* out) {
  if (unbiased && point.rows() < 2) {
    return Status::error(ErrorCode::kOption, "unbiased", "false for a single sample, whose variance it leaves undefined");
  }
  if (point.rows() == 1) {
    std::fill_n(out, point.network()->parameter_count(), T(0));
    return Status::success();
  }
  AlignedBuffer<double> sums = make_arena(point), squares = make_arena(point);
  gradient_moments<T>(point, sums.data(), squares.data());
  const auto rows = static_cast<double>(point.rows());
  const double factor = unbiased ? rows / (rows - 1) : 1.0;
  each_parameter(*point.network(), [&](std::size_t i, std::size_t at) {
    const double mean = sums[at] / rows;
    out[i] = static_cast<T>(factor * std::max(squares[at] / rows - mean * mean, 0.0));
  });
  return Status::success();
}

template <Scalar T>
GradientStatistics gradient_statistics(NetworkPoint<T>& point, std::span<double> squares, std::span<double> products,
                                       std::span<double> cosines) {
  AlignedBuffer<double> sums = make_arena(point);
  gradient_moments<T>(point, sums.data(), nullptr);
  const auto rows = static_cast<double>(point.rows());
  AlignedBuffer<T> mean(sums.size());
  double squared_mean_norm = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const double element = sums[i] / rows;
    squared_mean_norm += element * element;
    mean[i] = static_cast<T>(element);
  }
  per_sample_squares(point, ParameterGroups::kAll, squares.data());
  per_sample_products<T>(point, mean.data(), products.data());
  return statistics_of_samples(squares, products, squared_mean_norm, cosines);
}

#define KRYLOV_INSTANTIATE(T)                                                                        \
  template void gradient_moments(NetworkPoint<T>&, double*, double*);                                \
  template void gradient_square_sums(NetworkPoint<T>&, T*);                                          \
  template Status gradient_variance(NetworkPoint<T>&, bool, T*);                                     \
  template GradientStatistics gradient_statistics(NetworkPoint<T>&, std::span<double>, std::span<double>, \
                                                  std::span<double>);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
