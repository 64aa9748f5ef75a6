// Plain descriptions of what to compute: activations, losses, schedules,
// optimizers. Made once from the caller's options, validated by the factories
// that take them, compiled into plans.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "krylov/status.h"

namespace krylov {

enum class Activation : std::uint8_t {
  kIdentity, kRelu, kLeakyRelu, kElu, kSelu, kGelu, kGeluTanh, kSilu, kTanh, kSigmoid, kSoftplus, kSoftsign, kSign, kStep
};
inline constexpr int kActivationCount = 14;

// What takes the place of the derivative of a sign or a step in the backward pass, u = beta z; see surrogate_slope.
enum class Surrogate : std::uint8_t {
  kErf, kStraightThrough, kClippedStraightThrough, kTanh, kSigmoid, kSuperSpike, kArctan, kTriangle
};
inline constexpr int kSurrogateCount = 8;

// Activations that have a surrogate in place of their derivative, which is 0 almost everywhere.
constexpr bool has_surrogate(Activation a) noexcept { return a == Activation::kSign || a == Activation::kStep; }

struct ActivationSpec {
  Activation kind = Activation::kIdentity;
  double parameter = 0;  // leakyRelu: slope; elu: alpha; softplus: beta; sign, step: beta of the surrogate; else unused
  Surrogate surrogate = Surrogate::kErf;  // sign, step
};

enum class Loss : std::uint8_t {
  kMeanSquaredError, kMeanAbsoluteError, kHuber, kBinaryCrossEntropy, kSoftmaxCrossEntropy
};

struct LossSpec {
  Loss kind = Loss::kMeanSquaredError;
  double delta = 1;            // huber: where the square turns into a line
  bool sum_outputs = false;    // a sample's loss sums over outputs instead of averaging (softmax always sums)
  double scale = 1;            // factor on a sample's loss
  bool sum_reduction = false;  // the batch loss sums over samples instead of averaging
  bool normalize_weights = false;  // mean reduction divides by the sum of weights instead of N
  double label_smoothing = 0;
  bool class_targets = false;  // softmax: int32 class indices instead of rows of probabilities
  std::vector<double> class_weights;  // empty, or one a class (class targets) or output column (binary cross-entropy)
  double weight = 1;           // of this head in the total loss
};

enum class ScheduleKind : std::uint8_t { kConstant, kPolynomial, kCosine, kWarmup, kSutskeverMomentum };

// value(t) is the value used by update t + 1; see first-order rules, schedules.
struct ScheduleSpec {
  ScheduleKind kind = ScheduleKind::kConstant;
  double value = 0;          // constant; starting value of polynomial and cosine; maxMomentum
  double end_value = 0;      // polynomial: endLearningRate; cosine: minLearningRate
  double power = 1;          // polynomial
  double total_steps = 0;    // polynomial, cosine
  double warmup_steps = 0;   // warmup
  double start_factor = 0;   // warmup
  double period = 250;       // sutskeverMomentum
  std::shared_ptr<const ScheduleSpec> after;  // warmup: what follows
};

double schedule_value(const ScheduleSpec& schedule, std::int64_t t) noexcept;

// Options of a rule by the names of the public interface; every default filled
// in by the caller. Unknown kinds and missing options are errors of the factory.
struct OptimizerSpec {
  std::string kind;
  std::vector<std::pair<std::string, ScheduleSpec>> numbers;
  std::vector<std::pair<std::string, bool>> flags;
  std::vector<std::pair<std::string, std::string>> words;
};

}  // namespace krylov
