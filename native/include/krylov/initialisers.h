// Initial values of weights and biases. Draws are made in double from the
// stream kInitialise with the tensor's index as the step and the entry's public
// row-major index, and rounded by the caller: one seed gives the same weights
// on every platform, for any number of threads and either dtype.
#pragma once

#include <cstdint>
#include <span>

#include "krylov/spec.h"
#include "krylov/status.h"

namespace krylov {

// With fi inputs and fo outputs of the layer, gain g:
enum class Initialiser : std::uint8_t {
  kZeros,
  kConstant,         // value
  kNormal,           // normal(0, deviation^2)
  kUniform,          // uniform(-bound, bound)
  kFanInNormal,      // normal, variance 1/fi
  kLecunNormal,      // the same (LeCun et al. 1998)
  kLecunUniform,     // uniform, variance 1/fi
  kXavierNormal,     // normal, variance 2 g^2/(fi + fo) (Glorot, Bengio 2010)
  kXavierUniform,    // uniform, the same variance
  kHeNormal,         // normal, variance g^2/fan (He et al. 2015), fan by mode
  kHeUniform,        // uniform, the same variance
  kTorchLinear,      // uniform(-1/sqrt(fi), 1/sqrt(fi)), biases too
  kSparse,           // a row: min(connections, fi) entries normal(0, deviation^2), others 0 (Martens 2010)
  kOrthogonal,       // g times a random matrix with orthonormal rows or columns (Saxe et al. 2014)
  kTruncatedNormal   // normal(0, deviation^2) cut at limit deviations either side
};

enum class Fan : std::uint8_t { kIn, kOut };

struct InitialiserSpec {
  Initialiser kind = Initialiser::kZeros;
  double gain = 1;        // xavier, he, orthogonal; see activation_gain
  double value = 0;       // constant
  double deviation = 1;   // normal, sparse, truncatedNormal
  double bound = 1;       // uniform
  double limit = 2;       // truncatedNormal, in deviations
  std::int64_t connections = 15;  // sparse: non-zero incoming weights of a unit
  Fan mode = Fan::kIn;    // he
};

// Recommended gain of an activation: identity and sigmoid 1, tanh 5/3, relu
// sqrt(2), leakyRelu sqrt(2/(1 + slope^2)), selu 3/4 (PyTorch's table). The
// others have no established value and get 1.
double activation_gain(Activation activation, double slope) noexcept;

// weight: [out, in] row-major, out * in entries.
Status initialise_weight(const InitialiserSpec& spec, std::uint64_t seed, std::uint32_t tensor_index, std::int64_t out,
                         std::int64_t in, std::span<double> weight);

// Zeros, constant, normal, uniform or torchLinear; `in` is the layer's fan-in.
Status initialise_bias(const InitialiserSpec& spec, std::uint64_t seed, std::uint32_t tensor_index, std::int64_t in,
                       std::span<double> bias);

}  // namespace krylov
