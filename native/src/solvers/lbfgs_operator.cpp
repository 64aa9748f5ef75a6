#include "solvers/lbfgs_operator.h"

#include <algorithm>
#include <utility>

namespace krylov {

template <Scalar T>
void LbfgsPairs<T>::clear() noexcept {
  pairs_.clear();
  offered_ = 0;
  spacing_ = 1;
}

// `victim` gives its place up where there is no more room.
template <Scalar T>
void LbfgsPairs<T>::put(Vectors<T>& vectors, std::size_t victim, const T* s, const T* y, double curvature) {
  if (static_cast<std::int64_t>(pairs_.size()) < capacity_) {
    append({vectors.make(), vectors.make()});
  } else {
    const auto place = pairs_.begin() + static_cast<std::ptrdiff_t>(victim);
    std::rotate(place, place + 1, pairs_.end());
  }
  Pair& pair = pairs_.back();
  vectors.copy(s, pair.s.data());
  vectors.copy(y, pair.y.data());
  pair.curvature = curvature;
  pair.scale = curvature / vectors.dot(y, y);
  pair.time = offered_;
}

template <Scalar T>
bool LbfgsPairs<T>::add(Vectors<T>& vectors, const T* s, const T* y, double least_curvature) {
  const double curvature = vectors.dot(s, y);
  if (!(curvature > least_curvature)) return false;
  put(vectors, 0, s, y, curvature);
  return true;
}

template <Scalar T>
void LbfgsPairs<T>::sample(Vectors<T>& vectors, const T* s, const T* y) {
  const double curvature = vectors.dot(s, y);
  if (!(curvature > 0)) return;
  std::size_t victim = 0;
  if (static_cast<std::int64_t>(pairs_.size()) == capacity_) {
    for (;;) {
      if (offered_ % spacing_ != 0) break;
      while (victim < pairs_.size() && pairs_[victim].time % spacing_ == 0) ++victim;
      if (victim < pairs_.size()) break;
      victim = 0;
      spacing_ *= 2;
    }
  }
  if (offered_ % spacing_ == 0) put(vectors, victim, s, y, curvature);
  ++offered_;
}

template <Scalar T>
void LbfgsPairs<T>::offer(Vectors<T>& vectors, const T* s, const T* y, bool spread) {
  if (spread) {
    sample(vectors, s, y);
  } else {
    add(vectors, s, y, 0);
  }
}

template <Scalar T>
void LbfgsPairs<T>::append(Pair pair) {
  pairs_.push_back(std::move(pair));
  weights_.resize(std::max(weights_.size(), pairs_.size()));
}

template <Scalar T>
void LbfgsPairs<T>::shift(Vectors<T>& vectors, double shift) {
  for (Pair& pair : pairs_) {
    pair.curvature = vectors.add_and_dot(pair.y.data(), shift, pair.s.data(), pair.y.data(), pair.s.data());
    pair.scale = pair.curvature / vectors.dot(pair.y.data(), pair.y.data());
  }
  std::erase_if(pairs_, [](const Pair& pair) { return !(pair.curvature > 0); });
}

template <Scalar T>
std::vector<CollectedPair<T>> LbfgsPairs<T>::release() {
  std::vector<CollectedPair<T>> out;
  out.reserve(pairs_.size());
  for (Pair& pair : pairs_) out.push_back({std::move(pair.s), std::move(pair.y)});
  clear();
  return out;
}

template <Scalar T>
double LbfgsPairs<T>::mean_scale() const noexcept {
  if (pairs_.empty()) return 1;
  double sum = 0;
  for (const Pair& pair : pairs_) sum += pair.scale;
  return sum / static_cast<double>(pairs_.size());
}

// Nocedal & Wright 2006, algorithm 7.4.
template <Scalar T>
void LbfgsPairs<T>::apply(Vectors<T>& vectors, const T* v, T* out, double initial_scale) {
  if (out != v) vectors.copy(v, out);
  for (std::size_t i = pairs_.size(); i-- > 0;) {
    const Pair& pair = pairs_[i];
    weights_[i] = vectors.dot(pair.s.data(), out) / pair.curvature;
    vectors.add(out, -weights_[i], pair.y.data(), out);
  }
  if (initial_scale != 1) vectors.scale(initial_scale, out);
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    const Pair& pair = pairs_[i];
    const double seen = vectors.dot(pair.y.data(), out) / pair.curvature;
    vectors.add(out, weights_[i] - seen, pair.s.data(), out);
  }
}

template <Scalar T>
void LbfgsOperator<T>::apply(Team& team, const T* v, T* out) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  vectors_.lend(team);
  pairs_.apply(vectors_, v, out);
}

template class LbfgsPairs<float>;
template class LbfgsPairs<double>;
template class LbfgsOperator<float>;
template class LbfgsOperator<double>;

}  // namespace krylov
