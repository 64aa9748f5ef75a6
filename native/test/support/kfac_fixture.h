// Minimizers on a network's problem, updated in public order; K-FAC with the
// defaults of the public interface.
#pragma once

#include <memory>
#include <vector>

#include "optimizers/minimizers.h"
#include "support/estimate_checks.h"
#include "support/function_objective.h"
#include "support/newton_specs.h"
#include "training/network_objective.h"

namespace krylov::test {

inline OptimizerSpec kfac_spec() {
  return {"kfac",
          {{"learningRate", number(1)},
           {"damping.initial", number(1)},
           {"damping.every", number(5)},
           {"gammaEvery", number(20)},
           {"inverseEvery", number(20)},
           {"factorDecay", number(0.95)},
           {"klClip", number(1e-3)},
           {"seed", number(0)}},
          {{"damping.adapt", true}, {"momentum", true}},
          {{"factors", "exact"}, {"dampingForm", "factored"}, {"rescaling", "model"}}};
}

template <Scalar T>
class MinimizerRun {
 public:
  MinimizerRun(const PointProblem& problem, const OptimizerSpec& spec) {
    std::unique_ptr<const Network<T>> network;
    REQUIRE(Network<T>::create(problem.spec, network).ok());
    network_ = std::move(network);
    REQUIRE(NetworkObjective<T>::create(network_, problem.losses, problem.l2, 1, 0, objective_).ok());
    data_ = problem.table.dataset();
    for (const Samples samples : {Samples::kGradient, Samples::kCurvature}) {
      REQUIRE(objective_->select(samples, data_, nullptr, problem.table.rows).ok());
    }
    x_ = AlignedBuffer<T>(static_cast<std::size_t>(network_->arena_size()));
    network_->template to_arena<double>(problem.parameters, x_.span());
    REQUIRE(make_minimizer<T>(spec, *objective_, minimizer_).ok());
  }

  MinimizerReport update(bool impatient = false, Session* session = nullptr) {
    Session own;
    Session& used = session != nullptr ? *session : own;
    objective_->begin(minimizer_->updates());
    return run(used, minimizer_->update(used, *objective_, x_.data()), team_, nullptr, impatient);
  }
  double loss() {
    Session session;
    return run(session, objective_->value(session, x_.data(), Samples::kGradient), team_);
  }
  Values parameters() const {
    Values out(static_cast<std::size_t>(network_->parameter_count()));
    network_->template to_public<double>(x_.span(), out);
    return out;
  }
  void set_parameters(const Values& x) { network_->template to_arena<double>(x, x_.span()); }
  Minimizer<T>& minimizer() { return *minimizer_; }

 private:
  std::shared_ptr<const Network<T>> network_;
  std::unique_ptr<NetworkObjective<T>> objective_;
  std::shared_ptr<Dataset> data_;
  MinimizerPointer<T> minimizer_;
  AlignedBuffer<T> x_;
  Team team_;
};

template <Scalar T>
using KfacRun = MinimizerRun<T>;

inline double reported(const MinimizerReport& report, const std::string& name) {
  for (const auto& [key, value] : report.numbers) {
    if (key == name) return value;
  }
  FAIL("no number " << name);
  return 0;
}

}  // namespace krylov::test
