// One direction from the gradients of several tasks, for the parameters that the tasks share.
//
// With G [tasks, parameters] the rows g_i, the methods look at Q = G G' and at the losses; what they return is a
// combination of the rows, which stay where they are. SAM-GS and GCond's momentum keep vectors of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "krylov/dtype.h"
#include "krylov/status.h"
#include "krylov/threads.h"

namespace krylov {

inline constexpr int kMostTasks = 128;

enum class TaskMethod : std::uint8_t { kWeightedSum, kPcGrad, kMgda, kCaGrad, kGradNorm, kSamGs, kGCond };

struct PcGradOptions {
  enum class Order : std::uint8_t { kRandom, kIndex, kGiven };
  Order order = Order::kRandom;
  bool include_self = false;  // the task itself takes its turn as well, as in the released code
  std::uint64_t seed = 0;
  std::vector<std::vector<std::uint32_t>> orders;  // kGiven: whom task i visits
};

struct MgdaOptions {
  enum class Scaling : std::uint8_t { kNone, kNorm, kLoss, kLossNorm };
  Scaling scaling = Scaling::kNone;
  bool scaled_direction = true;  // d = sum w_i g_i / scale_i; false: sum w_i g_i
  bool exact = true;             // false: Frank-Wolfe
  int max_iterations = 250;
  double tolerance = 1e-5;  // Frank-Wolfe stops where the weights change by less in all
};

struct CaGradOptions {
  // What d is divided by: nothing, 1 + c, 1 + c^2, 1 + c |g0| / |gw|.
  enum class Rescale : std::uint8_t { kNone, kLinear, kSquared, kLengths };
  double c = 0.4;
  Rescale rescale = Rescale::kNone;
};

struct GradNormOptions {
  double alpha = 1.5;
  double learning_rate = 0.025;
  std::vector<double> initial_losses;           // empty: the losses of the first call
  std::int64_t first = 0, count = -1;  // the elements whose norm counts; -1: to the end
};

struct SamGsOptions {
  enum class Branch : std::uint8_t { kMean, kAny };
  Branch rule = Branch::kMean;
  double gamma = 0.7, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
};

struct GCondOptions {
  bool zones = false;
  double critical = -0.8, main = -0.5, weak = 0;
  double remap_power = 2;
  int window = 3;
  bool dominant_loses = true;
  double stability_weight = 0.8, strength_weight = 0.2;
  bool previous_resolved = true;  // whether the stability score compares with the last gradients after resolution
  double norm_decay = 0.95;
  double norm_cap = 0;       // 0: none
  int max_iterations = 0;    // 0: twice the tasks
  double momentum = 0.85;
  double epsilon = 1e-8, tolerance = 1e-7;
  bool lion = false;
  double lion_scale = 1e-4, lion_max_ratio = 100;
};

struct TaskCombinerSpec {
  TaskMethod method = TaskMethod::kWeightedSum;
  bool mean = false;            // weighted sum, PCGrad: divide by the tasks; CAGrad: as it is, else times the tasks
  std::vector<double> weights;  // weighted sum; empty: 1
  PcGradOptions pc_grad;
  MgdaOptions mgda;
  CaGradOptions ca_grad;
  GradNormOptions grad_norm;
  SamGsOptions sam_gs;
  GCondOptions g_cond;
};

// A pair that GCond resolved.
struct TaskResolution {
  enum class Zone : std::uint8_t { kSmooth, kWeak, kMain, kCritical };
  int first, second;
  double cosine;
  int winner;  // -1: none
  Zone zone;
  double angle;  // kSmooth
};

// What a call tells beside the direction d.
struct TaskCombination {
  std::vector<double> norms, cosines;  // |g_i|; [tasks, tasks], 0 beside a zero gradient
  int conflicts = 0;                   // pairs with a negative cosine
  std::vector<double> alignments;      // cosines of g_i and d
  int opposed = 0;                     // tasks with a negative alignment
  bool linear = false;
  std::vector<double> coefficients;  // d = sum coefficients_i g_i, where linear
  bool weighted = false;
  std::vector<double> weights;  // of MGDA and CAGrad on the simplex; of the weighted sum and GradNorm
  bool resolves = false;        // PCGrad, GCond: the cosines of the gradients that the sum is of
  std::vector<double> resolved_cosines;
  int resolved_conflicts = 0;
  // GradNorm
  std::vector<double> targets, weight_gradient, next_weights;
  double balance_loss = 0;
  // SAM-GS: of the pairs (0, 1), (0, 2), ..., (1, 2), ...
  std::vector<double> similarities;
  bool equalised = false;
  std::vector<TaskResolution> resolutions;  // GCond
};

template <Scalar T>
struct TaskGradients {
  std::span<const T* const> rows;   // [tasks] of `parameters` elements
  std::span<const double> losses;   // [tasks], not negative; empty where none are wanted
  const T* parameters = nullptr;    // GCond with lion
};

// One of the two is empty.
template <Scalar T>
struct TaskState {
  const char* name;
  std::span<T> vector;
  std::span<double> numbers;
};

template <Scalar T>
class TaskCombiner {
 public:
  virtual ~TaskCombiner() = default;
  // `tensors`: lengths of the pieces that lion scales by themselves; empty: one piece.
  static Status create(const TaskCombinerSpec& spec, std::int64_t tasks, std::int64_t parameters,
                       std::vector<std::int64_t> tensors, std::unique_ptr<TaskCombiner>& out);

  virtual int tasks() const noexcept = 0;
  virtual std::int64_t parameters() const noexcept = 0;
  virtual bool wants_losses() const noexcept = 0;
  virtual bool wants_parameters() const noexcept = 0;
  // Bytes of long vectors that it keeps.
  virtual std::int64_t bytes() const noexcept = 0;

  // out [parameters] overlaps no input. Whatever it refuses leaves the state as it was. By the leader of the team.
  virtual Status combine(Team& team, int threads, const TaskGradients<T>& given, T* out, TaskCombination& result) = 0;

  virtual std::span<const TaskState<T>> states() noexcept = 0;
  virtual std::int64_t steps() const noexcept = 0;  // calls so far
  virtual void set_steps(std::int64_t steps) noexcept = 0;
};

}  // namespace krylov
