// A network with its losses and data as a function to be minimised. Gradients,
// curvature and what a method selects by may come from different samples; each
// has a point of its own where it has rows of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "curvature/network_point.h"
#include "krylov/objective.h"
#include "training/network_residuals.h"

namespace krylov {

template <Scalar T>
class NetworkObjective final : public Objective<T> {
 public:
  // Checks the losses against the network. `threads` as in TrainingOptions; `seed` is that of drawn labels.
  static Status create(std::shared_ptr<const Network<T>> network, std::vector<LossSpec> losses, double l2, int threads,
                       std::uint64_t seed, std::unique_ptr<NetworkObjective>& out);

  // Rows index[0..rows) of the data, or the first `rows` without an index, which must stay until the next call for the
  // same samples. Selection follows the gradient until rows of its own are given. Data must have been checked.
  Status select(Samples samples, std::shared_ptr<const Dataset> data, const std::uint32_t* index, std::int64_t rows);
  // Selection by the gradient's samples again.
  void unselect() noexcept { own_selection_ = false; }
  // Says whether the gradient's samples, and all others, stay from update to update; not so at first.
  void set_steady(bool gradient, bool all) noexcept { steady_ = gradient, all_steady_ = all; }
  // Threads that pay off for the largest of the points.
  int threads() const noexcept;
  void set_seed(std::uint64_t seed) noexcept { seed_ = seed; }

  std::int64_t size() const noexcept override { return network_->arena_size(); }
  std::int64_t dimension() const noexcept override { return network_->parameter_count(); }
  VectorLayout<T> layout() const noexcept override { return network_; }
  std::uint32_t provides() const noexcept override { return provides_; }
  double l2() const noexcept override { return l2_; }
  std::int64_t sample_count(Samples samples) const noexcept override { return at(samples).rows(); }

  bool same_samples(Samples a, Samples b) const noexcept override;
  bool steady() const noexcept override { return steady_; }
  bool all_steady() const noexcept override { return all_steady_; }

  Procedure<double> value(Session& session, const T* x, Samples samples) override;
  Procedure<double> gradient(Session& session, const T* x, Samples samples, T* g, T* squares) override;
  Procedure<OperatorPort<T>> curvature(Session& session, const T* x, Samples samples, Curvature kind) override;
  Procedure<double> residuals(Session& session, const T* x, double* jtj, double* jte) override;
  double residual_factor() const noexcept override { return residuals_ != nullptr ? residuals_->factor() : 1.0; }
  Procedure<double> sampled_gradient(Session& session, const T* x, Samples samples, std::uint64_t draw, T* g) override;
  NetworkPoint<T>* point(Session& session, const T* x, Samples samples) override;

 private:
  NetworkObjective(std::shared_ptr<const Network<T>> network, std::vector<LossSpec> losses, double l2, int threads,
                   std::uint64_t seed)
      : network_(std::move(network)), losses_(std::move(losses)), l2_(l2), asked_(threads), seed_(seed) {}
  Status prepare();
  Status make_point(Samples samples, std::int64_t rows);
  const NetworkPoint<T>& at(Samples samples) const noexcept { return *points_[index_of(samples)]; }
  NetworkPoint<T>& at(Samples samples) noexcept { return *points_[index_of(samples)]; }
  std::size_t index_of(Samples samples) const noexcept {
    return samples == Samples::kSelection && !own_selection_ ? 0 : static_cast<std::size_t>(samples);
  }

  std::shared_ptr<const Network<T>> network_;
  std::vector<LossSpec> losses_;
  double l2_;
  int asked_;
  std::uint64_t seed_;
  std::uint32_t provides_ = 0;
  bool own_selection_ = false, steady_ = false, all_steady_ = false;
  struct Rows {
    const Dataset* data = nullptr;
    const std::uint32_t* index = nullptr;
    std::int64_t count = 0;
    bool operator==(const Rows&) const = default;
  };
  Rows rows_[3];
  std::shared_ptr<NetworkPoint<T>> points_[3];
  std::int64_t point_rows_[3] = {0, 0, 0};
  std::unique_ptr<NetworkResiduals<T>> residuals_;
};

}  // namespace krylov
