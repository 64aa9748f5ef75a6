// How far a step may go before the Taylor series of a softmax loss stops
// converging: the radius set by the complex zeros of its partition function.
#pragma once

#include <cstdint>

#include "krylov/dtype.h"
#include "krylov/threads.h"

namespace krylov {

// The outputs of one head for a batch, and how they move along the update p.
template <Scalar T>
struct RadiusRows {
  const T* outputs = nullptr; std::int64_t ld_outputs = 0;  // logits; only the exact binary radius reads them
  const T* slopes = nullptr; std::int64_t ld_slopes = 0;    // J u, u = p / |p|
  std::int64_t rows = 0, columns = 0;                       // one column: a sigmoid's logit
  bool sigmoids = false;                                    // every column is a sigmoid's logit: the worst one counts
};

struct RadiusOptions {
  double step_length = 0;    // |p|
  double target = 1;         // largest normalised step that is left alone
  double temperature = 1;    // logits are divided by it before the softmax
  double quantile = 1;       // of the spreads over the batch; 1: the largest
  bool exact_binary = false; // with two columns or sigmoids: the smallest exact radius instead of the bound
};

struct StepRadius {
  double spread = 0;           // largest spread of slopes in a row, or its quantile
  double radius = 0;           // infinite where nothing moves
  double normalised_step = 0;  // step_length / radius
  double scale = 1;            // factor on the step: min(1, target / normalised_step)
};

// |p| of an update of n elements.
template <Scalar T>
double step_length(const T* update, std::int64_t n) noexcept;

// spreads[r] = (max - min of the slopes of row r) / temperature; the largest |slope| of sigmoids.
template <Scalar T>
void slope_spreads(const RadiusRows<T>& rows, double temperature, std::int64_t first, std::int64_t count,
                   double* spreads) noexcept;
// radii[r] = sqrt(gap^2 + pi^2) / spread, the exact radius of row r under linearised logits: two columns, or sigmoids.
template <Scalar T>
void binary_radii(const RadiusRows<T>& rows, double temperature, std::int64_t first, std::int64_t count,
                  double* radii) noexcept;

// What the rows' values say of the step: spreads, or radii where `exact`. Reorders them where a quantile is asked for.
StepRadius radius_of(double* values, std::int64_t rows, bool exact, const RadiusOptions& options) noexcept;

// All in one, by the leader of `team` on at most `threads` threads. `values` [rows] is scratch; it holds the spreads
// afterwards, or the radii with exact_binary, reordered where a quantile was asked for.
template <Scalar T>
StepRadius softmax_radius(Team& team, int threads, const RadiusRows<T>& rows, const RadiusOptions& options,
                          double* values) noexcept;

}  // namespace krylov
