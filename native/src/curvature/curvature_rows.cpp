#include "krylov/curvature_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "curvature/network_point.h"
#include "curvature/point_task.h"
#include "curvature/roots.h"
#include "krylov/buffer.h"
#include "krylov/threads.h"
#include "network/layer.h"

namespace krylov {
namespace {

// A round for each column of the root.
template <Scalar T>
class RowsTask final : public PointTask<T> {
 public:
  RowsTask(std::int64_t columns, std::int64_t first, std::int64_t count, T* out)
      : columns_(columns), first_(first), last_(first + count), out_(out) {}
  PointNeeds<T> needs() const noexcept override {
    return {.per_sample = true, .backward = true, .adjoints = true, .first = first_, .last = last_};
  }
  int rounds() const noexcept override { return static_cast<int>(columns_); }

  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    const Pass<T> pass = part.adjoint_pass();
    const std::int64_t size = part.pass.network->parameter_count();
    const std::int64_t from = std::max(first, first_ - part.start), to = std::min(first + count, last_ - part.start);
    if (from >= to) return;
    seed_roots(part, RootSeeds{RootKind::kColumn, static_cast<std::uint64_t>(round), 0}, first, count);
    pass.backward(first, count);
    const bool stream = streams<T>((last_ - first_) * columns_, size);
    for (std::int64_t r = from; r < to; ++r) {
      pass.per_sample_gradient(r, out_ + ((part.start + r - first_) * columns_ + round) * size, stream);
    }
  }

 private:
  std::int64_t columns_, first_, last_;
  T* out_;
};

// |H_i|_F^2 = sum over pairs of columns of (r_c . r_d)^2, where
//   2 r_c . r_d = |r_c + r_d|^2 - |r_c|^2 - |r_d|^2
// and the squares need no gradients. Rounds: the columns, then their pairs.
template <Scalar T>
class NormsTask final : public PointTask<T> {
 public:
  NormsTask(const Network<T>& network, std::int64_t columns, std::int64_t rows, double* out)
      : columns_(columns), squares_(static_cast<std::size_t>(columns * rows)), out_(out) {
    for (const HeadInfo& head : network.heads()) width_ += ld_of(network, head);
    saved_ = AlignedBuffer<T>(static_cast<std::size_t>(rows * width_));
  }
  PointNeeds<T> needs() const noexcept override { return {.per_sample = true, .backward = true, .adjoints = true}; }
  int rounds() const noexcept override { return static_cast<int>(columns_ * (columns_ + 1) / 2); }

  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    const Pass<T> pass = part.adjoint_pass();
    std::int64_t c = round, d = -1;
    if (round >= columns_) {
      // Pair number round - columns of (0, 1), (0, 2), (1, 2), (0, 3), ...
      d = 1;
      for (c = round - columns_; c >= d; ++d) c -= d;
      seed(part, c, first, count);
      keep(part, first, count);
      seed(part, d, first, count);
      add(part, first, count);
    } else {
      seed(part, c, first, count);
    }
    pass.backward(first, count);
    for (std::int64_t r = first; r < first + count; ++r) {
      double square = 0;
      for (const auto& layer : part.pass.network->layers()) square += layer->per_sample_square(pass, r);
      double* const own = squares_.data() + (part.start + r) * columns_;
      double& sum = out_[part.start + r];
      if (d < 0) {
        if (c == 0) sum = 0;
        own[c] = square;
        sum += square * square;
      } else {
        const double dot = 0.5 * (square - own[c] - own[d]);
        sum += 2 * dot * dot;
      }
      if (round + 1 == rounds()) sum = std::sqrt(sum);
    }
  }

 private:
  static std::int64_t ld_of(const Network<T>& network, const HeadInfo& head) noexcept {
    return network.buffers()[static_cast<std::size_t>(head.buffer)].ld;
  }
  static void seed(const PointPart<T>& part, std::int64_t column, std::int64_t first, std::int64_t count) noexcept {
    seed_roots(part, RootSeeds{RootKind::kColumn, static_cast<std::uint64_t>(column), 0}, first, count);
  }
  // body(adjoints, saved, elements) of each head's rows.
  template <class Body>
  void each_head(const PointPart<T>& part, std::int64_t first, std::int64_t count, Body body) noexcept {
    T* saved = saved_.data() + (part.start + first) * width_;
    for (const HeadInfo& head : part.pass.network->heads()) {
      const std::int64_t ld = ld_of(*part.pass.network, head);
      body((*part.adjoints)[head.buffer] + first * ld, saved, count * ld);
      saved += count * ld;
    }
  }
  void keep(const PointPart<T>& part, std::int64_t first, std::int64_t count) noexcept {
    each_head(part, first, count, [](const T* from, T* to, std::int64_t n) {
      std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    });
  }
  void add(const PointPart<T>& part, std::int64_t first, std::int64_t count) noexcept {
    each_head(part, first, count, [](T* to, const T* from, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) to[i] += from[i];
    });
  }

  std::int64_t columns_, width_ = 0;
  AlignedBuffer<double> squares_;
  AlignedBuffer<T> saved_;
  double* out_;
};

template <Scalar T>
void lead(NetworkPoint<T>& point, PointTask<T>& task) {
  struct Turn {
    NetworkPoint<T>& point;
    PointTask<T>& task;
  } turn{point, task};
  ComputeThread::instance().lead_and_wait(
      point.threads(),
      [](void* context, Team& team) noexcept {
        Turn& t = *static_cast<Turn*>(context);
        t.point.run(team, t.task);
      },
      &turn);
}

}  // namespace

template <Scalar T>
std::int64_t curvature_rows_per_sample(const NetworkPoint<T>& point) noexcept {
  return root_columns(*point.network());
}

template <Scalar T>
Status curvature_rows(NetworkPoint<T>& point, std::int64_t first, std::int64_t count, T* out) {
  if (Status s = point.check(Curvature::kGaussNewton); !s.ok()) return s;
  if (count == 0) return Status::success();
  point.reserve(Curvature::kGaussNewton);
  RowsTask<T> task(curvature_rows_per_sample(point), first, count, out);
  lead(point, task);
  return Status::success();
}

template <Scalar T>
Status curvature_norms(NetworkPoint<T>& point, double* out) {
  if (Status s = point.check(Curvature::kGaussNewton); !s.ok()) return s;
  const std::int64_t columns = curvature_rows_per_sample(point);
  constexpr std::int64_t kMostColumns = 4096;
  if (columns > kMostColumns) {
    return Status::error(ErrorCode::kShape, "outputs", "few enough for a pass over every pair of them", columns);
  }
  point.reserve(Curvature::kGaussNewton);
  NormsTask<T> task(*point.network(), columns, point.rows(), out);
  lead(point, task);
  return Status::success();
}

#define KRYLOV_INSTANTIATE(T)                                                       \
  template std::int64_t curvature_rows_per_sample(const NetworkPoint<T>&) noexcept; \
  template Status curvature_rows(NetworkPoint<T>&, std::int64_t, std::int64_t, T*); \
  template Status curvature_norms(NetworkPoint<T>&, double*);
KRYLOV_INSTANTIATE(float)
KRYLOV_INSTANTIATE(double)
#undef KRYLOV_INSTANTIATE

}  // namespace krylov
