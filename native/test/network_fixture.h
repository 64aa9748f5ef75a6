// Networks for the tests: specs worth trying, and a batch on its way through
// the fast path, read back in public order and in double.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "krylov/network.h"
#include "reference/reference_network.h"

namespace krylov::test {

using reference::Values;

struct SpecCase {
  std::string name;
  NetworkSpec spec;
  bool smooth = true;  // no kink: differences approximate derivatives everywhere
};

LayerSpec dense(std::int64_t units, Activation kind = Activation::kIdentity, double parameter = 1, bool bias = true);
LayerSpec layer_norm();
LayerSpec dropout(double rate);
LayerSpec residual(std::vector<LayerSpec> layers);

// Every activation, odd widths, normalisation, residual blocks, heads.
std::vector<SpecCase> spec_cases();

// Uniform in [-1, 1), exact in float32.
Values random_values(std::size_t count, unsigned seed, double scale = 1);

struct Batch {
  std::size_t rows = 0;
  std::vector<Values> inputs;                   // [rows]
  std::vector<std::vector<Values>> cotangents;  // [rows][heads]: u of J' u
};
Batch random_batch(const NetworkSpec& spec, const std::vector<std::size_t>& head_widths, std::size_t rows,
                   unsigned seed);

// A compiled network with parameters, and one batch run through it.
template <Scalar T>
class FastRun {
 public:
  FastRun(const NetworkSpec& spec, const Values& parameters, std::int64_t max_rows);

  const Network<T>& network() const { return *network_; }
  Pass<T>& pass() { return pass_; }

  // Forward, backward from the batch's cotangents. `parts` > 1 walks the rows in that many pieces.
  void run(const Batch& batch, std::size_t parts = 1);
  std::vector<Values> outputs(std::size_t row) const;   // one a head
  std::vector<Values> tangents(std::size_t row) const;  // after tangent()
  void tangent(const Values& direction);
  Values gradient(double scale) const;  // unit by unit
  std::vector<T> per_sample_gradient(std::size_t row) const;
  std::vector<Values> masks(std::size_t row) const;  // of the dropout layers, in order

 private:
  std::vector<Values> head_rows(std::size_t row, bool tangent) const;

  std::unique_ptr<const Network<T>> network_;
  AlignedBuffer<T> parameters_, transposed_;
  std::unique_ptr<Workspace<T>> workspace_;
  Pass<T> pass_;
};

}  // namespace krylov::test
