// Optimizer specs as the public interface would fill them in, and one of each
// kind for tests that hold for all.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "krylov/spec.h"

namespace krylov::test {

inline ScheduleSpec number(double value) {
  ScheduleSpec s;
  s.value = value;
  return s;
}

inline ScheduleSpec linear_schedule(double from, double steps) {
  ScheduleSpec s;
  s.kind = ScheduleKind::kPolynomial;
  s.value = from;
  s.total_steps = steps;
  return s;
}

inline OptimizerSpec sgd(double learning_rate, double momentum, bool nesterov = false, double dampening = 0,
                         double decay = 0) {
  return {"sgd",
          {{"learningRate", number(learning_rate)},
           {"momentum", number(momentum)},
           {"dampening", number(dampening)},
           {"weightDecay", number(decay)}},
          {{"nesterov", nesterov}},
          {}};
}

inline OptimizerSpec classical_momentum(double learning_rate, double momentum, const std::string& nesterov,
                                        double gradient_scale = 1, double decay = 0) {
  return {"classicalMomentum",
          {{"learningRate", number(learning_rate)},
           {"gradientScale", number(gradient_scale)},
           {"momentum", number(momentum)},
           {"weightDecay", number(decay)}},
          {},
          {{"nesterov", nesterov}}};
}

inline OptimizerSpec adam(double learning_rate, bool decoupled = false, bool amsgrad = false, bool correct = true,
                          double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8, double decay = 0) {
  return {decoupled ? "adamw" : "adam",
          {{"learningRate", number(learning_rate)},
           {"beta1", number(beta1)},
           {"beta2", number(beta2)},
           {"epsilon", number(epsilon)},
           {"weightDecay", number(decay)}},
          {{"amsgrad", amsgrad}, {"biasCorrection", correct}},
          {}};
}

inline constexpr double kLearningRate = 0.02, kMomentum = 0.9;

struct OptimizerCase {
  std::string name;
  OptimizerSpec spec;
};
inline std::vector<OptimizerCase> optimizer_cases() {
  std::vector<OptimizerCase> all{
      {"sgd", sgd(kLearningRate, 0)},
      {"sgd momentum", sgd(kLearningRate, kMomentum, false, 0.1, 1e-3)},
      {"sgd nesterov", sgd(kLearningRate, kMomentum, true)},
      {"classicalMomentum", classical_momentum(kLearningRate, kMomentum, "none", 0.9, 1e-3)},
      {"classicalMomentum lookahead", classical_momentum(kLearningRate, kMomentum, "lookahead")},
      {"classicalMomentum literal", classical_momentum(kLearningRate, kMomentum, "literal", kLearningRate)},
      {"adam", adam(kLearningRate)},
      {"adam amsgrad", adam(kLearningRate, false, true, true, 0.9, 0.999, 1e-8, 1e-3)},
      {"adamw", adam(kLearningRate, true, false, false, 0.9, 0.999, 1e-6, 1e-2)},
  };
  OptimizerCase scheduled{"sgd scheduled", sgd(kLearningRate, kMomentum)};
  scheduled.spec.numbers[0].second = linear_schedule(kLearningRate, 500);
  all.push_back(scheduled);
  return all;
}

}  // namespace krylov::test
