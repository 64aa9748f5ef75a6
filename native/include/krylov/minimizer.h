// Optimizers that look at the function more than once an update: curvature,
// line searches, trust regions. UpdateRule (optimizer.h) is their counterpart
// for rules that are fed one gradient.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "krylov/objective.h"
#include "krylov/spec.h"
#include "krylov/status.h"

namespace krylov {

struct MinimizerReport {
  double loss = 0;           // f at the start of the update, on the gradient's samples
  double learning_rate = 0;  // factor on the direction; 0 where the update was rejected
  bool accepted = true;
  // Where a method ends by itself: a word such as "gradientTolerance"; empty while it goes on.
  const char* converged = "";
  // By public names: damping, reductionRatio, cgIterations, curvature, gradientNorm, stepNorm, ...
  std::vector<std::pair<const char*, double>> numbers;
  std::vector<std::pair<const char*, std::string>> words;  // cgReason, ...
};

// Everything an update depends on besides the parameters, by name. Vectors have
// the objective's size in its stored order, unless they are plain.
struct MinimizerState {
  struct Vector {
    std::string name;
    bool plain = false;
    std::vector<double> values;
  };
  std::int64_t updates = 0;
  std::vector<std::pair<std::string, double>> numbers;
  std::vector<Vector> vectors;

  double number(const std::string& name, double fallback) const noexcept;
  const Vector* vector(const std::string& name) const noexcept;
};

template <Scalar T>
class Minimizer {
 public:
  virtual ~Minimizer() = default;
  virtual std::uint32_t needs() const noexcept { return 0; }  // bits of Need
  // One update of x. A session that is stopped leaves x as it was, or as a whole update made it.
  virtual Procedure<MinimizerReport> update(Session& session, Objective<T>& objective, T* x) = 0;
  virtual MinimizerState save() const = 0;
  // Checks everything before it changes anything.
  virtual Status restore(const MinimizerState& state) = 0;
  virtual std::int64_t updates() const noexcept = 0;
  // True where the next update at x would do without asking for f and its gradient there, or for the equations: it has
  // those of an earlier update, or had them when its state was saved.
  virtual bool knows(const Objective<T>&, const T*) const noexcept { return false; }
};

// True for a kind of this family.
bool is_minimizer(const std::string& kind) noexcept;

// `size`: Objective::size(). Options arrive by public names, nested ones with a dot ("cg.maxIterations"), all filled in.
template <Scalar T>
Status make_minimizer(const OptimizerSpec& spec, const Objective<T>& objective, std::unique_ptr<Minimizer<T>>& out);

}  // namespace krylov
