// Symmetric matrices with known spectra, as native and as foreign operators.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "krylov/network.h"
#include "krylov/operators.h"
#include "krylov/spectra.h"
#include "support/function_objective.h"
#include "test/network_fixture.h"

namespace krylov::test {

// Q diag(values) Q' with Q a product of reflections.
struct Matrix {
  std::int64_t n;
  Values eigenvalues, dense;

  explicit Matrix(Values values, unsigned seed = 3) : n(std::ssize(values)), eigenvalues(std::move(values)) {
    const auto side = static_cast<std::size_t>(n);
    dense.assign(side * side, 0.0);
    for (std::size_t i = 0; i < side; ++i) dense[i * side + i] = eigenvalues[i];
    for (int reflection = 0; reflection < 3; ++reflection) {
      Values v = random_values(side, seed + static_cast<unsigned>(reflection));
      double square = 0;
      for (const double x : v) square += x * x;
      // B <- (I - 2 v v'/v'v) B (I - 2 v v'/v'v)
      for (int half = 0; half < 2; ++half) {
        for (std::size_t r = 0; r < side; ++r) {
          double dot = 0;
          for (std::size_t c = 0; c < side; ++c) dot += dense[half == 0 ? r * side + c : c * side + r] * v[c];
          for (std::size_t c = 0; c < side; ++c)
            dense[half == 0 ? r * side + c : c * side + r] -= 2 * dot / square * v[c];
        }
      }
    }
    std::sort(eigenvalues.begin(), eigenvalues.end());
  }
  double at(std::int64_t r, std::int64_t c) const { return dense[static_cast<std::size_t>(r * n + c)]; }

  template <Scalar T>
  OperatorPort<T> port() const {
    const std::vector<T> values(dense.begin(), dense.end());
    OperatorPointer<T> op;
    REQUIRE(dense_operator<T>(values, n, n, op).ok());
    return OperatorPort<T>(op);
  }
  template <Scalar T>
  Answer answer() const {
    return [this](Request& request) {
      const T* const v = static_cast<const T*>(request.input);
      T* const out = static_cast<T*>(request.output);
      for (std::int64_t r = 0; r < n; ++r) {
        double sum = 0;
        for (std::int64_t c = 0; c < n; ++c) sum += at(r, c) * static_cast<double>(v[c]);
        out[r] = static_cast<T>(sum);
      }
    };
  }
};

inline std::unique_ptr<const Network<float>> network_of(const std::vector<LayerSpec>& layers, std::int64_t inputs) {
  NetworkSpec spec;
  spec.inputs = inputs;
  spec.heads.resize(1);
  spec.heads[0].layers = layers;
  std::unique_ptr<const Network<float>> network;
  REQUIRE(Network<float>::create(spec, network).ok());
  return network;
}

inline Values evenly(std::int64_t n, double first, double last) {
  Values values(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    values[static_cast<std::size_t>(i)] = first + (last - first) * double(i) / double(n - 1);
  return values;
}

template <Scalar T>
constexpr double kUnit = std::numeric_limits<T>::epsilon();

}  // namespace krylov::test
