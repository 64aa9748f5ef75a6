// Pairs of L-BFGS in a saved state: vectors s0, y0, s1, ... oldest first, and
// their scalars.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "optimizers/newton_support.h"
#include "solvers/lbfgs_operator.h"

namespace krylov {

template <Scalar T>
void save_pairs(const LbfgsPairs<T>& pairs, MinimizerState& state) {
  MinimizerState::Vector curvatures{"pairCurvatures", true, {}}, scales{"pairScales", true, {}};
  int i = 0;
  for (const auto& pair : pairs.pairs()) {
    const std::string number = std::to_string(i++);
    save_vector(state, ("s" + number).c_str(), pair.s);
    save_vector(state, ("y" + number).c_str(), pair.y);
    curvatures.values.push_back(pair.curvature);
    scales.values.push_back(pair.scale);
  }
  if (pairs.empty()) return;
  state.vectors.push_back(std::move(curvatures));
  state.vectors.push_back(std::move(scales));
}

// How many pairs there are; an error where there are more than there is room for, or where something is missing.
template <Scalar T>
Status check_pairs(const MinimizerState& state, const LbfgsPairs<T>& pairs) {
  const MinimizerState::Vector* curvatures = state.vector("pairCurvatures");
  if (curvatures == nullptr) return Status::success();
  const auto count = static_cast<std::int64_t>(curvatures->values.size());
  if (count > pairs.capacity()) {
    return Status::error(ErrorCode::kState, "pairCurvatures", "at most as many pairs as `history`", count,
                         pairs.capacity());
  }
  const MinimizerState::Vector* scales = state.vector("pairScales");
  if (scales == nullptr || scales->values.size() != curvatures->values.size()) {
    return Status::error(ErrorCode::kState, "pairScales", "one number a pair", count);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    if (!(curvatures->values[static_cast<std::size_t>(i)] > 0) || !(scales->values[static_cast<std::size_t>(i)] > 0)) {
      return Status::error(ErrorCode::kState, "pairCurvatures", "positive numbers, as in pairScales", i);
    }
    for (const char* letter : {"s", "y"}) {
      const std::string name = letter + std::to_string(i);
      const MinimizerState::Vector* v = state.vector(name);
      if (v == nullptr || static_cast<std::int64_t>(v->values.size()) != pairs.size()) {
        return Status::error(ErrorCode::kState, *letter == 's' ? "s" : "y",
                             "vectors as long as the parameters, one a pair", i);
      }
    }
  }
  return Status::success();
}

template <Scalar T>
void restore_pairs(const MinimizerState& state, LbfgsPairs<T>& pairs) {
  pairs.clear();
  const MinimizerState::Vector* curvatures = state.vector("pairCurvatures");
  if (curvatures == nullptr) return;
  const MinimizerState::Vector* scales = state.vector("pairScales");
  for (std::size_t i = 0; i < curvatures->values.size(); ++i) {
    const std::string number = std::to_string(i);
    typename LbfgsPairs<T>::Pair pair;
    pair.s = restore_vector<T>(state, ("s" + number).c_str());
    pair.y = restore_vector<T>(state, ("y" + number).c_str());
    pair.curvature = curvatures->values[i];
    pair.scale = scales->values[i];
    pairs.append(std::move(pair));
  }
}

}  // namespace krylov
