// Networks with losses and data for the tests of a point: every activation,
// layer and loss, weights and reductions of all kinds, one and several heads.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "curvature/network_point.h"
#include "reference/reference_losses.h"
#include "reference/reference_network.h"
#include "support/training_fixture.h"

namespace krylov::test {

struct PointProblem {
  std::string name;
  NetworkSpec spec;
  bool smooth = true;
  std::vector<LossSpec> losses;
  Table table;
  double l2 = 0;
  Values parameters;
};

inline bool squashes_outputs(const std::vector<LayerSpec>& layers) {
  const Activation kind = layers.back().activation.kind;
  return layers.back().kind == LayerKind::kDense &&
         (kind == Activation::kSigmoid || kind == Activation::kTanh || kind == Activation::kSoftsign);
}

// Losses in turn over the heads of all networks, so that each loss meets many networks.
inline LossSpec loss_in_turn(std::size_t turn, std::int64_t width, bool squashed) {
  switch (squashed ? turn % 2 : turn % 7) {
    case 1: {
      LossSpec huber = loss_spec(Loss::kHuber);
      huber.delta = 0.75;
      return huber;
    }
    case 2: {
      LossSpec binary = loss_spec(Loss::kBinaryCrossEntropy);
      binary.sum_outputs = true;
      return binary;
    }
    case 3: return loss_spec(Loss::kSoftmaxCrossEntropy, true);
    case 4: {
      LossSpec smoothed = loss_spec(Loss::kSoftmaxCrossEntropy, true);
      smoothed.label_smoothing = 0.1;
      for (std::int64_t k = 0; k < width; ++k) smoothed.class_weights.push_back(0.5 + double(k % 3));
      return smoothed;
    }
    case 5: {
      LossSpec soft = loss_spec(Loss::kSoftmaxCrossEntropy);
      soft.scale = 0.5;
      return soft;
    }
    case 6: {
      LossSpec sum = loss_spec(Loss::kMeanSquaredError);
      sum.sum_reduction = true;
      sum.normalize_weights = false;
      return sum;
    }
    default: {
      LossSpec square = loss_spec(Loss::kMeanSquaredError);
      square.normalize_weights = true;
      return square;
    }
  }
}

// A point's problem on a network; `turn` chooses losses, weights and l2.
inline PointProblem point_problem(const SpecCase& spec_case, std::size_t turn, std::int64_t rows) {
  PointProblem problem;
  problem.name = spec_case.name;
  problem.spec = spec_case.spec;
  problem.smooth = spec_case.smooth;
  const reference::ReferenceNetwork<double> twin(spec_case.spec);
  std::vector<TargetShape> shapes;
  for (std::size_t h = 0; h < twin.head_widths().size(); ++h) {
    const auto& layers = spec_case.spec.heads.empty() ? spec_case.spec.layers : spec_case.spec.heads[h].layers;
    const auto width = static_cast<std::int64_t>(twin.head_widths()[h]);
    LossSpec loss = loss_in_turn(turn + h, width, squashes_outputs(layers));
    loss.weight = h == 0 ? 1 : 0.25 + double(h);
    if (loss.kind == Loss::kHuber) problem.smooth = false;
    shapes.push_back({width, loss.class_targets});
    problem.losses.push_back(std::move(loss));
  }
  problem.table = random_table(rows, spec_case.spec.inputs, shapes, static_cast<unsigned>(100 + 10 * turn));
  if (turn % 3 == 1) {
    for (std::int64_t r = 0; r < rows; ++r) problem.table.weights.push_back(0.25 * double(r % 7));
  }
  if (turn % 2 == 1) problem.l2 = 0.05;
  // Soft targets are probabilities with masses of their own.
  for (std::size_t h = 0; h < problem.losses.size(); ++h) {
    if (problem.losses[h].kind == Loss::kMeanSquaredError || problem.losses[h].kind == Loss::kHuber) continue;
    for (double& y : problem.table.targets[h].values) y = 0.5 * (y + 1);
  }
  problem.parameters = random_values(twin.parameter_count(), static_cast<unsigned>(11 + turn), 0.75);
  return problem;
}

inline std::vector<PointProblem> point_problems(std::int64_t rows) {
  std::vector<PointProblem> all;
  for (const SpecCase& c : spec_cases()) all.push_back(point_problem(c, all.size(), rows));
  return all;
}

// A point with its network, and vectors in public order and double.
template <Scalar T>
class PointRun {
 public:
  PointRun(const PointProblem& problem, std::int64_t max_rows, int threads = 1) : threads_(threads) {
    std::unique_ptr<const Network<T>> network;
    REQUIRE(Network<T>::create(problem.spec, network).ok());
    network_ = std::move(network);
    std::unique_ptr<NetworkPoint<T>> point;
    REQUIRE(NetworkPoint<T>::create(network_, problem.losses, problem.l2, max_rows, point).ok());
    point_ = std::move(point);
    point_->set_threads(threads);
    REQUIRE(point_->set_data(problem.table.dataset(), nullptr, problem.table.rows).ok());
    set_parameters(problem.parameters);
  }

  NetworkPoint<T>& point() { return *point_; }
  const std::shared_ptr<NetworkPoint<T>>& share() const { return point_; }
  const Network<T>& network() const { return *network_; }
  AlignedBuffer<T> arena(const Values& flat) const {
    AlignedBuffer<T> arena(static_cast<std::size_t>(network_->arena_size()));
    network_->template to_arena<double>(flat, arena.span());
    return arena;
  }
  void set_parameters(const Values& flat) { point_->set_parameters(arena(flat).data()); }

  double loss() {
    double loss = 0;
    lead([&](Team& team) { loss = point_->loss(team); });
    return loss;
  }
  Values gradient(Values* squares = nullptr, double* loss = nullptr) {
    AlignedBuffer<T> g = nan_arena(), s = nan_arena();
    lead([&](Team& team) {
      const double value = point_->gradient(team, g.data(), squares != nullptr ? s.data() : nullptr);
      if (loss != nullptr) *loss = value;
    });
    if (squares != nullptr) *squares = flat(s);
    return flat(g);
  }
  Values product(Curvature kind, const Values& v) {
    REQUIRE(point_->check(kind).ok());
    const AlignedBuffer<T> direction = arena(v);
    AlignedBuffer<T> out = nan_arena();
    lead([&](Team& team) { point_->product(team, kind, direction.data(), out.data()); });
    return flat(out);
  }
  // [head][rows * width]
  std::vector<std::vector<T>> jvp(const Values& v) {
    const AlignedBuffer<T> direction = arena(v);
    std::vector<std::vector<T>> out;
    std::vector<T*> to;
    for (const HeadInfo& head : network_->heads()) {
      out.emplace_back(static_cast<std::size_t>(point_->rows() * head.width));
    }
    for (auto& rows : out) to.push_back(rows.data());
    lead([&](Team& team) { point_->jvp(team, direction.data(), to); });
    return out;
  }
  Values vjp(const std::vector<std::vector<T>>& u) {
    std::vector<const T*> from;
    for (const auto& rows : u) from.push_back(rows.data());
    AlignedBuffer<T> out = nan_arena();
    lead([&](Team& team) { point_->vjp(team, from, out.data()); });
    return flat(out);
  }
  template <class Body>
  void lead(Body body) {
    ComputeThread::instance().lead_and_wait(
        threads_, [](void* context, Team& team) noexcept { (*static_cast<Body*>(context))(team); }, &body);
  }
  // The padding of every vector must come out as zeros.
  Values flat(const AlignedBuffer<T>& arena_values) const {
    Values values(static_cast<std::size_t>(network_->parameter_count()));
    network_->template to_public<double>(arena_values.span(), values);
    const AlignedBuffer<T> again = arena(values);
    for (std::size_t i = 0; i < again.size(); ++i) {
      const bool same = again[i] == arena_values[i] || (again[i] != again[i] && arena_values[i] != arena_values[i]);
      if (!same) FAIL("element " << i << " of the arena is " << arena_values[i] << " for " << again[i]);
    }
    return values;
  }

 private:
  AlignedBuffer<T> nan_arena() const {
    AlignedBuffer<T> arena_values(static_cast<std::size_t>(network_->arena_size()));
    for (T& x : arena_values.span()) x = std::numeric_limits<T>::quiet_NaN();
    return arena_values;
  }
  std::shared_ptr<const Network<T>> network_;
  std::shared_ptr<NetworkPoint<T>> point_;
  int threads_;
};

// The same in plain loops over samples, from the twins of network and losses.
class PointTwin {
 public:
  explicit PointTwin(const PointProblem& problem)
      : problem_(problem), losses_(problem.losses), network_(problem.spec) {
    // Smoothed classes with weights are rows of probabilities whose terms have the weights (PyTorch's meaning).
    for (LossSpec& loss : losses_) {
      if (loss.label_smoothing > 0 && !loss.class_weights.empty()) loss.class_targets = false;
    }
  }

  std::size_t size() const { return network_.parameter_count(); }
  double loss(const Values& at) const {
    double total = 0;
    for (std::int64_t r = 0; r < problem_.table.rows; ++r) {
      const auto outputs = network_.forward({at, input(r)});
      for (std::size_t h = 0; h < outputs.size(); ++h) {
        total += factor(h, r) * reference::sample_loss(losses_[h], outputs[h], target(h, r)) / divisor(h);
      }
    }
    double squares = 0;
    for (const double w : at) squares += w * w;
    return total + 0.5 * problem_.l2 * squares;
  }
  // Of one sample's own loss, or its part of the reduced loss.
  Values sample_gradient(const Values& at, std::int64_t r, bool reduced) const {
    const Values x = input(r);
    const auto outputs = network_.forward({at, x});
    std::vector<Values> u;
    for (std::size_t h = 0; h < outputs.size(); ++h) {
      u.push_back(reference::sample_loss_slope(losses_[h], outputs[h], target(h, r)));
      for (double& d : u.back()) d *= factor(h, r) / (reduced ? divisor(h) : 1);
    }
    return network_.vjp({at, x}, u);
  }
  Values gradient(const Values& at) const {
    Values g = scaled(at, problem_.l2);
    for (std::int64_t r = 0; r < problem_.table.rows; ++r) add(g, sample_gradient(at, r, true), 1);
    return g;
  }
  Values squares(const Values& at) const {
    Values mean(size(), 0.0);
    for (std::int64_t r = 0; r < problem_.table.rows; ++r) {
      const Values g = sample_gradient(at, r, false);
      for (std::size_t i = 0; i < g.size(); ++i) mean[i] += g[i] * g[i] / double(problem_.table.rows);
    }
    return mean;
  }
  Values empirical_fisher(const Values& at, const Values& v) const {
    Values out(size(), 0.0);
    for (std::int64_t r = 0; r < problem_.table.rows; ++r) {
      const Values g = sample_gradient(at, r, false);
      double dot = 0;
      for (std::size_t i = 0; i < g.size(); ++i) dot += g[i] * v[i];
      add(out, g, dot / double(problem_.table.rows));
    }
    return out;
  }
  Values gauss_newton(const Values& at, const Values& v) const {
    Values out = scaled(v, problem_.l2);
    for (std::int64_t r = 0; r < problem_.table.rows; ++r) {
      const Values x = input(r);
      const auto outputs = network_.forward({at, x});
      std::vector<Values> u = network_.jvp({at, x}, v);
      for (std::size_t h = 0; h < u.size(); ++h) {
        u[h] = reference::sample_loss_curvature(losses_[h], outputs[h], target(h, r), u[h]);
        for (double& d : u[h]) d *= factor(h, r) / divisor(h);
      }
      add(out, network_.vjp({at, x}, u), 1);
    }
    return out;
  }
  // Differences of the gradient, of fourth order where the network is smooth; shorter where it has kinks.
  Values hessian(const Values& at, const Values& v) const {
    const auto moved = [&](double step) {
      Values there = at;
      add(there, v, step);
      return gradient(there);
    };
    const double h = problem_.smooth ? 1e-3 : 1e-6;
    Values out = moved(h), minus = moved(-h);
    add(out, minus, -1);
    if (!problem_.smooth) return scaled(out, 1 / (2 * h));
    Values far = moved(2 * h);
    add(far, moved(-2 * h), -1);
    out = scaled(out, 8);
    add(out, far, -1);
    return scaled(out, 1 / (12 * h));
  }

  // What the sums above are made of. Losses are per head, with class weights where the terms have them.
  const std::vector<LossSpec>& losses() const { return losses_; }
  static Values scaled(Values x, double a) {
    for (double& element : x) element *= a;
    return x;
  }
  static void add(Values& x, const Values& y, double a) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += a * y[i];
  }
  Values input(std::int64_t r) const {
    const auto first = problem_.table.inputs.begin() + r * problem_.table.columns;
    return Values(first, first + problem_.table.columns);
  }
  reference::Target target(std::size_t h, std::int64_t r) const {
    const Table::Target& t = problem_.table.targets[h];
    if (!t.labels.empty()) {
      const std::int32_t label = t.labels[static_cast<std::size_t>(r)];
      Values one_hot(static_cast<std::size_t>(t.columns), 0.0);
      one_hot[static_cast<std::size_t>(label)] = 1;
      return {label, one_hot};
    }
    return {-1, Values(t.values.begin() + r * t.columns, t.values.begin() + (r + 1) * t.columns)};
  }
  double weight(std::int64_t r) const {
    return problem_.table.weights.empty() ? 1 : problem_.table.weights[static_cast<std::size_t>(r)];
  }
  double factor(std::size_t h, std::int64_t r) const { return problem_.losses[h].weight * weight(r); }
  double divisor(std::size_t h) const {
    const LossSpec& loss = problem_.losses[h];
    if (loss.sum_reduction) return 1;
    if (!loss.normalize_weights) return double(problem_.table.rows);
    double sum = 0;
    for (std::int64_t r = 0; r < problem_.table.rows; ++r) sum += weight(r);
    return sum;
  }

 private:
  const PointProblem& problem_;
  std::vector<LossSpec> losses_;
  reference::ReferenceNetwork<double> network_;
};

}  // namespace krylov::test
