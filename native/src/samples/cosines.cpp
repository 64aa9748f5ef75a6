#include "krylov/cosines.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"

namespace krylov {

template <Scalar T>
void gram_of_vectors(std::span<const T* const> vectors, std::int64_t length, double* out) noexcept {
  const std::size_t n = vectors.size();
  for (std::size_t i = 0; i < n; ++i) {
    out[i * n + i] = kernels<T>().sum_squares(vectors[i], length);
    for (std::size_t j = 0; j < i; ++j) {
      out[i * n + j] = out[j * n + i] = kernels<T>().dot(vectors[i], vectors[j], length);
    }
  }
}

CosineSummary cosines_of_gram(const double* gram, std::int64_t n, std::span<const std::int32_t> classes,
                              double* cosines) noexcept {
  double sum = 0, within = 0, between = 0;
  std::int64_t pairs = 0, negative = 0, within_pairs = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    // The diagonal is read until its row is done, so that `cosines` may be `gram`: rows below i have theirs yet.
    const double own = std::sqrt(gram[i * n + i]);
    for (std::int64_t j = i + 1; j < n; ++j) {
      const double lengths = own * std::sqrt(gram[j * n + j]);
      const double cosine = lengths > 0 ? std::clamp(gram[i * n + j] / lengths, -1.0, 1.0) : 0.0;
      cosines[i * n + j] = cosines[j * n + i] = cosine;
      sum += cosine;
      ++pairs;
      negative += cosine < 0;
      if (classes.empty()) continue;
      const bool same = classes[static_cast<std::size_t>(i)] == classes[static_cast<std::size_t>(j)];
      (same ? within : between) += cosine;
      within_pairs += same;
    }
    cosines[i * n + i] = own > 0 ? 1 : 0;
  }
  const auto mean = [](double total, std::int64_t count) {
    return count > 0 ? total / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
  };
  const bool known = !classes.empty();
  return {mean(sum, pairs), mean(static_cast<double>(negative), pairs), mean(within, within_pairs),
          mean(between, known ? pairs - within_pairs : 0)};
}

template void gram_of_vectors(std::span<const float* const>, std::int64_t, double*) noexcept;
template void gram_of_vectors(std::span<const double* const>, std::int64_t, double*) noexcept;

}  // namespace krylov
