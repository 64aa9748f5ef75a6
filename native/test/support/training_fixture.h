// What the tests of training share: small data sets, networks with one of
// everything, and runs that are waited for.
#pragma once

#include <doctest/doctest.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "krylov/training.h"
#include "optimizer_specs.h"
#include "test/network_fixture.h"

namespace krylov::test {

inline LossSpec loss_spec(Loss kind, bool class_targets = false) {
  LossSpec loss;
  loss.kind = kind;
  loss.class_targets = class_targets;
  return loss;
}

// Rows of a data set before it is copied: slices make batches for a trainer.
struct Table {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> inputs;
  struct Target {
    std::vector<std::int32_t> labels;  // used when not empty
    std::vector<double> values;
    std::int64_t columns = 0;
  };
  std::vector<Target> targets;
  std::vector<double> weights;  // may be empty

  std::shared_ptr<Dataset> dataset(std::int64_t first = 0, std::int64_t count = -1) const {
    if (count < 0) count = rows;
    const auto part = [&](const auto& all, std::int64_t width) {
      using Element = std::decay_t<decltype(all[0])>;
      return std::vector<Element>(all.begin() + first * width, all.begin() + (first + count) * width);
    };
    std::unique_ptr<Dataset> data;
    const auto x = part(inputs, columns);
    REQUIRE(Dataset::create(x.data(), DType::kFloat64, x.size() * 8, count, columns, data).ok());
    for (const Target& t : targets) {
      if (!t.labels.empty()) {
        REQUIRE(data->add_labels(part(t.labels, 1)).ok());
      } else {
        const auto y = part(t.values, t.columns);
        REQUIRE(data->add_values(y.data(), DType::kFloat64, y.size() * 8, t.columns).ok());
      }
    }
    if (!weights.empty()) REQUIRE(data->set_weights(part(weights, 1)).ok());
    return data;
  }
};

// Inputs in [-1, 1); a target for each head: labels below the width, or values.
struct TargetShape {
  std::int64_t width;
  bool labels;
};
inline Table random_table(std::int64_t rows, std::int64_t columns, const std::vector<TargetShape>& shapes,
                          unsigned seed) {
  Table table;
  table.rows = rows;
  table.columns = columns;
  table.inputs = random_values(static_cast<std::size_t>(rows * columns), seed);
  for (const TargetShape& shape : shapes) {
    Table::Target target;
    target.columns = shape.width;
    const Values v = random_values(static_cast<std::size_t>(rows * shape.width), ++seed);
    if (shape.labels) {
      for (std::int64_t r = 0; r < rows; ++r) {
        // Half by the inputs, so that there is something to learn.
        const bool chance = v[std::size_t(r * shape.width)] > 0;
        const double x = table.inputs[std::size_t(r * columns)];
        target.labels.push_back(chance ? std::int32_t(std::uint32_t(r) * 7u % std::uint32_t(shape.width))
                                       : std::int32_t((x + 1) / 2 * double(shape.width)));
      }
    } else {
      target.values = v;
    }
    table.targets.push_back(std::move(target));
  }
  return table;
}

struct TaskCase {
  std::string name;
  NetworkSpec spec;
  std::vector<HeadTask> tasks;
  Table table;
};

// Dropout, normalisation and a residual block; two heads of different kinds. Wide enough for three threads
// with batches of kBatch; kRows leaves a smaller last batch.
inline constexpr std::int64_t kBatch = 64, kRows = 5 * kBatch + 19, kSteps = 6;

inline std::vector<TaskCase> task_cases() {
  using enum Activation;
  std::vector<TaskCase> all;
  NetworkSpec one;
  one.inputs = 40;
  one.layers = {
      dense(64, kRelu), dropout(0.3), dense(32, kGelu), layer_norm(), residual({dense(32, kTanh), dropout(0.1)}),
      dense(5)};
  all.push_back({"one output",
                 one,
                 {{loss_spec(Loss::kSoftmaxCrossEntropy, true), {}}},
                 random_table(kRows, 40, {{5, true}}, 1)});
  NetworkSpec two;
  two.inputs = 37;
  two.layers = {dense(70, kSilu), dropout(0.2)};
  two.heads = {{"digit", {dense(24, kRelu), dense(4)}}, {"value", {layer_norm(), dense(3, kSigmoid)}}};
  LossSpec second = loss_spec(Loss::kMeanSquaredError);
  second.weight = 0.5;
  second.sum_reduction = true;
  all.push_back({"two heads",
                 two,
                 {{loss_spec(Loss::kSoftmaxCrossEntropy, true), {}}, {second, {}}},
                 random_table(kRows, 37, {{4, true}, {3, false}}, 5)});
  return all;
}

// Initial weights for every dense layer of a spec.
inline void set_initialisers(std::vector<LayerSpec>& layers) {
  for (LayerSpec& layer : layers) {
    layer.weight_initialiser.kind = Initialiser::kXavierUniform;
    set_initialisers(layer.layers);
  }
}
template <Scalar T>
std::shared_ptr<Model<T>> make_model(NetworkSpec spec, std::uint64_t seed = 1) {
  set_initialisers(spec.layers);
  for (HeadSpec& head : spec.heads) set_initialisers(head.layers);
  std::shared_ptr<Model<T>> model;
  REQUIRE(Model<T>::create(spec, seed, model).ok());
  return model;
}

template <Scalar T>
Values parameters_of(const Model<T>& model) {
  Values flat(static_cast<std::size_t>(model.network().parameter_count()));
  model.template read<double>(flat);
  return flat;
}

inline TrainingOptions options_of(const std::vector<HeadTask>& tasks, const OptimizerSpec& optimizer) {
  TrainingOptions options;
  options.tasks = tasks;
  options.optimizer = optimizer;
  options.batch_size = kBatch;
  options.epochs = 3;
  options.seed = 9;
  return options;
}

// What a run told its observer. The hooks are called on the compute thread.
struct Log {
  std::vector<EpochRecord> epochs;
  std::vector<StepRecord> steps;
  EndRecord end;
  std::function<void(const StepRecord&)> on_step;
  std::function<void(const EpochRecord&)> on_epoch;

  void wait() {
    std::unique_lock<std::mutex> lock(mutex);
    ended.wait(lock, [this] { return over; });
  }
  std::mutex mutex;
  std::condition_variable ended;
  bool over = false;
};

class Recorder final : public RunObserver {
 public:
  explicit Recorder(Log& log) : log_(log) {}
  void on_epoch(const EpochRecord& record) override {
    log_.epochs.push_back(record);
    if (log_.on_epoch) log_.on_epoch(record);
  }
  void on_step(const StepRecord& record) override {
    log_.steps.push_back(record);
    if (log_.on_step) log_.on_step(record);
  }
  void on_end(const EndRecord& record) override {
    const std::lock_guard<std::mutex> lock(log_.mutex);
    log_.end = record;
    log_.over = true;
    log_.ended.notify_all();
  }

 private:
  Log& log_;
};

template <Scalar T>
std::shared_ptr<TrainingRun> create(const std::shared_ptr<Model<T>>& model, std::shared_ptr<const Dataset> data,
                                    const TrainingOptions& options, Log& log) {
  REQUIRE(model->try_acquire());
  std::shared_ptr<TrainingRun> run;
  const Status status = create_run<T>(model, std::move(data), options, std::make_unique<Recorder>(log), run);
  INFO(std::string(status.argument) << ": " << std::string(status.expected));
  REQUIRE(status.ok());
  return run;
}

// Runs to its end; the state that it leaves.
template <Scalar T>
TrainingState train(const std::shared_ptr<Model<T>>& model, std::shared_ptr<const Dataset> data,
                    const TrainingOptions& options, Log& log) {
  const auto run = create<T>(model, std::move(data), options, log);
  ComputeThread::instance().submit(run);
  log.wait();
  return run->state();
}

// The same, ended by an abort as soon as `updates` steps are done.
template <Scalar T>
TrainingState train_until(const std::shared_ptr<Model<T>>& model, std::shared_ptr<const Dataset> data,
                          TrainingOptions options, std::int64_t updates, Log& log) {
  options.step_every = 1;
  const auto run = create<T>(model, std::move(data), options, log);
  log.on_step = [&, updates](const StepRecord& record) {
    if (record.updates == updates) run->abort();
  };
  ComputeThread::instance().submit(run);
  log.wait();
  return run->state();
}

}  // namespace krylov::test
