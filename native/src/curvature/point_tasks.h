// The tasks behind NetworkPoint's members: see there for what each computes.
#pragma once

#include <span>

#include "curvature/point_task.h"

namespace krylov {

// Nothing but the losses.
template <Scalar T>
class LossTask final : public PointTask<T> {
 public:
  PointNeeds<T> needs() const noexcept override { return {}; }
};

template <Scalar T>
class GradientTask final : public UnitTask<T> {
 public:
  GradientTask(T* out, double l2, const T* parameters) : UnitTask<T>(out, l2, parameters) {}
  PointNeeds<T> needs() const noexcept override { return {.level = PointLevel::kDeltas}; }

 protected:
  void unit(const PointPart<T>& part, int round, const GradientUnit& unit, T* out) noexcept override;
};

// The mean of the squares of the per-sample gradients.
template <Scalar T>
class SquaresTask final : public UnitTask<T> {
 public:
  SquaresTask(T* out, std::int64_t rows) : UnitTask<T>(out), scale_(1.0 / double(rows)) {}
  PointNeeds<T> needs() const noexcept override {
    return {.level = PointLevel::kDeltas, .per_sample = true, .adjoints = true};
  }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 protected:
  void unit(const PointPart<T>& part, int round, const GradientUnit& unit, T* out) noexcept override;

 private:
  double scale_;
};

// Schraudolph 2002: J' H J v.
template <Scalar T>
class GaussNewtonTask final : public UnitTask<T> {
 public:
  GaussNewtonTask(const T* v, T* out, double l2) : UnitTask<T>(out, l2, v), v_(v) {}
  PointNeeds<T> needs() const noexcept override { return {.backward = true, .adjoints = true}; }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 protected:
  void unit(const PointPart<T>& part, int round, const GradientUnit& unit, T* out) noexcept override;

 private:
  const T* v_;
};

// Pearlmutter 1994: the directional derivative of the gradient.
template <Scalar T>
class HessianTask final : public UnitTask<T> {
 public:
  HessianTask(const T* v, T* out, double l2) : UnitTask<T>(out, l2, v), v_(v) {}
  PointNeeds<T> needs() const noexcept override {
    return {.level = PointLevel::kCurves, .adjoints = true, .direction = v_};
  }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 protected:
  void unit(const PointPart<T>& part, int round, const GradientUnit& unit, T* out) noexcept override;

 private:
  const T* v_;
};

// The mean of g g' v without the gradients: s = g' v from each layer's own input, then the gradient of the deltas
// scaled by s. No tangent travels from layer to layer.
template <Scalar T>
class EmpiricalFisherTask final : public UnitTask<T> {
 public:
  EmpiricalFisherTask(const T* v, T* out, std::int64_t rows) : UnitTask<T>(out), v_(v), scale_(1.0 / double(rows)) {}
  PointNeeds<T> needs() const noexcept override {
    return {.level = PointLevel::kDeltas, .per_sample = true, .adjoints = true};
  }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 protected:
  void unit(const PointPart<T>& part, int round, const GradientUnit& unit, T* out) noexcept override;

 private:
  const T* v_;
  double scale_;
};

// J v, [rows, width] a head.
template <Scalar T>
class JvpTask final : public PointTask<T> {
 public:
  JvpTask(const T* v, std::span<T* const> out) : v_(v), out_(out) {}
  PointNeeds<T> needs() const noexcept override { return {.adjoints = true}; }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 private:
  const T* v_;
  std::span<T* const> out_;
};

// J' u, u [rows, width] a head.
template <Scalar T>
class VjpTask final : public UnitTask<T> {
 public:
  VjpTask(std::span<const T* const> u, T* out) : UnitTask<T>(out), u_(u) {}
  PointNeeds<T> needs() const noexcept override { return {.backward = true, .adjoints = true}; }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 protected:
  void unit(const PointPart<T>& part, int round, const GradientUnit& unit, T* out) noexcept override;

 private:
  std::span<const T* const> u_;
};

// Outputs of a head, [rows, width].
template <Scalar T>
class OutputsTask final : public PointTask<T> {
 public:
  OutputsTask(std::size_t head, T* out) : head_(head), out_(out) {}
  PointNeeds<T> needs() const noexcept override { return {}; }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 private:
  std::size_t head_;
  T* out_;
};

// Gradients of the samples' own losses, [count, P] in public order, of rows first_row.. .
template <Scalar T>
class PerSampleTask final : public PointTask<T> {
 public:
  PerSampleTask(std::int64_t first_row, std::int64_t count, T* out)
      : first_(first_row), last_(first_row + count), out_(out) {}
  PointNeeds<T> needs() const noexcept override {
    return {.level = PointLevel::kDeltas, .per_sample = true, .first = first_, .last = last_};
  }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 private:
  std::int64_t first_, last_;
  T* out_;
};

// Their 2-norms, without the gradients.
template <Scalar T>
class NormsTask final : public PointTask<T> {
 public:
  explicit NormsTask(double* out) : out_(out) {}
  PointNeeds<T> needs() const noexcept override { return {.level = PointLevel::kDeltas, .per_sample = true}; }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override;

 private:
  double* out_;
};

// Two tasks of one round in one walk; their deltas are of the same kind.
template <Scalar T>
class PointTaskPair final : public PointTask<T> {
 public:
  PointTaskPair(PointTask<T>& a, PointTask<T>& b) : a_(a), b_(b) {}
  PointNeeds<T> needs() const noexcept override {
    const PointNeeds<T> a = a_.needs(), b = b_.needs();
    return {.level = a.level < b.level ? b.level : a.level,
            .per_sample = a.per_sample || b.per_sample,
            .backward = a.backward || b.backward,
            .adjoints = a.adjoints || b.adjoints,
            .direction = a.direction != nullptr ? a.direction : b.direction};
  }
  void rows(const PointPart<T>& part, int round, std::int64_t first, std::int64_t count) noexcept override {
    a_.rows(part, round, first, count);
    b_.rows(part, round, first, count);
  }
  void columns(const PointPart<T>& part, int round, int thread, int threads) noexcept override {
    a_.columns(part, round, thread, threads);
    b_.columns(part, round, thread, threads);
  }

 private:
  PointTask<T>& a_;
  PointTask<T>& b_;
};

// Rows of a head between a batch matrix and [rows, width].
template <Scalar T>
void copy_head_rows(const Network<T>& network, std::size_t head, const T* matrix, std::int64_t first,
                    std::int64_t count, T* out) noexcept;

}  // namespace krylov
