// Training: one step at a time, or a whole run as a job of the compute thread.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "krylov/clipping.h"
#include "krylov/dataset.h"
#include "krylov/gradient_transforms.h"
#include "krylov/gradient_record.h"
#include "krylov/metrics.h"
#include "krylov/model.h"
#include "krylov/objective.h"
#include "krylov/optimizer.h"
#include "krylov/privacy.h"
#include "krylov/sample_weights.h"
#include "krylov/sampling.h"
#include "krylov/spec.h"
#include "krylov/spectra.h"
#include "krylov/status.h"
#include "krylov/step_control.h"
#include "krylov/task_gradients.h"
#include "krylov/threads.h"

namespace krylov {

struct HeadTask {
  LossSpec loss;
  std::vector<MetricSpec> metrics;
};

// What a resumed run needs besides the parameters. Arrays in public order, as
// double when they leave the core (exact for both dtypes).
struct TrainingState {
  std::int64_t updates = 0;
  std::vector<std::string> names;
  std::vector<std::vector<double>> arrays;  // [names][parameter_count]
  std::int64_t epoch = 0;     // epochs completed
  std::int64_t position = 0;  // rows of the current epoch already used
  std::uint64_t seed = 0;
  double loss_sum = 0, weight_sum = 0;  // of the current epoch's running mean
  // Of a minimizer: its arrays by parameter may be float64 whatever the model is; its scalars, and arrays of other lengths.
  bool wide = false;
  std::vector<std::pair<std::string, double>> numbers;
  std::vector<std::pair<std::string, std::vector<double>>> plain;
};

struct HeadEvaluation { double loss = 0; std::vector<double> metrics; };
struct Evaluation { double loss = 0; std::vector<HeadEvaluation> heads; };

// kFailed: memory ran out.
enum class EndReason : std::uint8_t { kCompleted, kEarlyStopped, kAborted, kNotFinite, kFailed };

// What a minimizer tells of an update, by public names: damping, cgIterations, ...
struct StepNumbers {
  std::vector<std::pair<const char*, double>> numbers;
  std::vector<std::pair<const char*, std::string>> words;
  std::optional<GradientSummary> gradients = std::nullopt;  // of the newest update that was measured
};

// Curvature of the training loss, l2 included, on a sample of the training rows; see StabilityOptions.
struct StabilityRecord {
  double largest_eigenvalue = std::numeric_limits<double>::quiet_NaN();
  double residual = std::numeric_limits<double>::quiet_NaN();  // |Bx - theta x|
  double trace = std::numeric_limits<double>::quiet_NaN();
  double trace_error = std::numeric_limits<double>::quiet_NaN();  // standard error
  SpectrumReason reason = SpectrumReason::kMaxProducts;           // of the eigenvalue, unless a product was not finite
  std::int64_t samples = 0, iterations = 0, probes = 0;           // products: iterations and probes
  std::uint64_t seed = 0;                                         // of the random vectors
  double seconds = 0;
};

struct EpochRecord {
  std::int64_t epoch = 0;  // 1, 2, ...
  std::int64_t updates = 0, samples = 0;
  double loss = 0, learning_rate = 0, train_seconds = 0, validation_seconds = 0;
  bool validated = false, best = false;
  Evaluation validation;
  StepNumbers step;  // of the epoch's last update
  std::optional<StabilityRecord> stability;
};
struct StepRecord {
  std::int64_t epoch = 0, updates = 0, position = 0, samples = 0;
  double loss = 0, learning_rate = 0, seconds = 0;
  StepNumbers step;
};
struct EndRecord {
  EndReason reason = EndReason::kCompleted;
  std::int64_t epochs = 0, updates = 0, best_epoch = 0;
  std::string not_finite_in;  // "loss" or a tensor's name
  std::string converged;      // of a minimizer that was done before the epochs were
  double train_seconds = 0;
};

// Told from the compute thread; must return at once.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void on_epoch(const EpochRecord& record) = 0;
  virtual void on_step(const StepRecord& record) = 0;
  virtual void on_end(const EndRecord& record) = 0;
  // A step wants weights for its samples: the run is out of the queue until it is submitted again, after
  // answer_weights() or abort(). The figures may be looked at during the call only.
  virtual void on_weights(const WeightRequest& request) { (void)request; }
};

struct EarlyStopping {
  int head = 0;
  int metric = -1;  // index into the head's metrics; -1: the loss (of all heads when head is -1)
  bool maximize = false;
  std::int64_t patience = 10;  // epochs without improvement that end the run
  double min_delta = 0;
  bool restore_best = true;
};

// What is measured of the curvature after every `every`-th epoch.
struct StabilityOptions {
  std::int64_t every = 1;
  std::int64_t samples = 1000;  // rows at most, drawn once by the seed
  Curvature curvature = Curvature::kGaussNewton;
  double tolerance = 1e-3;        // of the eigenvalue, see EigenpairsOptions
  std::int64_t iterations = 100;  // products for the eigenvalue at most
  std::int64_t probes = 20;       // products for the trace
};

// Steps kept within the radius of convergence of the losses on logits; see step_control.h.
struct StepSizeSpec {
  RadiusOptions radius;  // step_length is the step's own
  std::string head;      // empty: every head with a loss on logits
};

inline constexpr std::int64_t kDefaultCurvatureRows = 5000;

struct TrainingOptions {
  std::vector<HeadTask> tasks;
  OptimizerSpec optimizer;
  std::int64_t batch_size = 32, epochs = 10;
  // Minimizers: rows that curvature is taken from, chunks of the data in rotation; 0: the batch's own rows, or chunks of
  // at most kDefaultCurvatureRows where the batch has more.
  std::int64_t curvature_batch_size = 0;
  std::optional<ClippingSpec> clipping;   // update rules only, as is
  std::optional<PrivacySpec> privacy;     // with clipping
  std::optional<StepSizeSpec> step_size;
  std::vector<GradientTransformSpec> gradient;  // a chain, in order; empty: none
  std::optional<TaskCombinerSpec> multitask;  // of the heads' gradients
  std::optional<SampleWeightsSpec> weights;
  std::optional<SamplingSpec> sampling;  // of runs; none: shuffled epochs
  bool shuffle = true;
  std::uint64_t seed = 0;
  int threads = 0;  // 0: as many as pay off
  double l2 = 0;    // adds l2 w to the gradient and l2 / 2 |w|^2 to the loss
  std::int64_t step_every = 0;
  std::shared_ptr<const Dataset> validation;
  std::vector<std::uint32_t> rows, validation_rows;  // empty: all
  bool has_rows = false, has_validation_rows = false;
  bool has_early_stopping = false;
  EarlyStopping early_stopping;
  bool has_state = false;
  TrainingState state;
  std::optional<StabilityOptions> stability;  // of runs
  std::optional<GradientRecordSpec> gradients;  // likewise; update rules only
};

// A run of epochs. Created by the factory, submitted to ComputeThread; the
// model stays acquired from create to the end record.
class TrainingRun : public Job {
 public:
  virtual void abort() noexcept = 0;
  // After the end record.
  virtual TrainingState state() const = 0;
  // After RunObserver::on_weights, one for each sample of its request.
  virtual Status answer_weights(std::span<const double> weights);
};

// The model must have been acquired by the caller; the run releases it.
template <Scalar T>
Status create_run(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, const TrainingOptions& options,
                  std::unique_ptr<RunObserver> observer, std::shared_ptr<TrainingRun>& out);

struct StepResult {
  double loss = 0, learning_rate = 0;
  std::int64_t updates = 0;
  bool finite = true;
  std::vector<double> head_losses;
  std::vector<double> sample_losses;  // weighted, summed over heads with the heads' weights
  // Of a minimizer: whether the step was taken, why it is done (or nothing); its numbers, or a stage's.
  bool accepted = true;
  std::string converged;
  StepNumbers step;
};

// One step at a time on the caller's batches.
template <Scalar T>
class Trainer {
 public:
  virtual ~Trainer() = default;
  static Status create(std::shared_ptr<Model<T>> model, const TrainingOptions& options, std::unique_ptr<Trainer>& out);
  // All rows of `batch` form the batch; the model's parameters are updated.
  virtual Status step(const Dataset& batch, StepResult& result) = 0;
  // With curvature from rows of its own; for minimizers only.
  virtual Status step(const Dataset& batch, const Dataset& curvature, StepResult& result);
  // Who gives the weights where the rule is the caller's; called by step() on its own thread. What it throws leaves the
  // model acquired and unchanged.
  virtual void set_weight_function(WeightFunction function) { (void)function; }
  virtual TrainingState state() const = 0;
  virtual Status set_state(const TrainingState& state) = 0;
};

// Losses and metrics over a data set, or outputs, as a job: result() after finished.
template <Scalar T>
class EvaluationJob : public Job {
 public:
  virtual void abort() noexcept = 0;
  virtual bool aborted() const noexcept = 0;
  virtual const Evaluation& result() const noexcept = 0;
};
template <Scalar T>
Status create_evaluation(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data,
                         std::vector<HeadTask> tasks, double l2, int threads, void (*done)(void*), void* context,
                         std::shared_ptr<EvaluationJob<T>>& out);

template <Scalar T>
class PredictionJob : public Job {
 public:
  virtual void abort() noexcept = 0;
  virtual bool aborted() const noexcept = 0;
  // One buffer a head, [rows, width] of T, or int32 [rows] for Output::kClass.
  virtual std::span<const std::byte> result(std::size_t head) const noexcept = 0;
};
template <Scalar T>
Status create_prediction(std::shared_ptr<Model<T>> model, std::shared_ptr<const Dataset> data, Output output,
                         std::vector<Link> links, int threads, void (*done)(void*), void* context,
                         std::shared_ptr<PredictionJob<T>>& out);

}  // namespace krylov
