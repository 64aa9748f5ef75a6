#include "run.h"

#include <deque>
#include <mutex>
#include <variant>

#include "dataset.h"
#include "minimizer.h"
#include "model.h"
#include "sample_weights.h"
#include "specs.h"

namespace krylov::binding {

namespace {

// A copy of a WeightRequest; the run waits for the answer.
struct WeightsWanted {
  std::vector<double> losses, probabilities;
  std::int64_t updates, epoch;
};

using Event = std::variant<EpochRecord, StepRecord, EndRecord, WeightsWanted>;

// Events on their way from the compute thread. Epochs and the end all arrive;
// of steps that JavaScript has not fetched yet only the newest.
class Events {
 public:
  void put(Event event) {
    const std::lock_guard lock(mutex_);
    if (std::holds_alternative<StepRecord>(event) && !events_.empty() &&
        std::holds_alternative<StepRecord>(events_.back())) {
      events_.back() = std::move(event);
    } else {
      events_.push_back(std::move(event));
    }
  }
  std::deque<Event> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
  }

 private:
  std::mutex mutex_;
  std::deque<Event> events_;
};

// The run's observer: belongs to the core, holds nothing of JavaScript.
class Reporter final : public RunObserver {
 public:
  Reporter(std::shared_ptr<Events> events, std::shared_ptr<Mailbox> mailbox)
      : events_(std::move(events)), mailbox_(std::move(mailbox)) {}

  void on_epoch(const EpochRecord& record) override { put(record); }
  void on_step(const StepRecord& record) override { put(record); }
  void on_end(const EndRecord& record) override {
    put(record);
    mailbox_->over();
  }
  void on_weights(const WeightRequest& request) override {
    const auto& [losses, probabilities, complements, confidences, alignments] = request.figures;
    put(WeightsWanted{{losses.begin(), losses.end()},
                      {probabilities.begin(), probabilities.end()},
                      request.updates,
                      request.epoch});
    mailbox_->over();
  }

 private:
  void put(Event event) {
    events_->put(std::move(event));
    mailbox_->post();
  }
  std::shared_ptr<Events> events_;
  std::shared_ptr<Mailbox> mailbox_;
};

const char* reason_name(EndReason reason) noexcept {
  switch (reason) {
    case EndReason::kCompleted: return "completed";
    case EndReason::kEarlyStopped: return "earlyStopped";
    case EndReason::kAborted: return "aborted";
    case EndReason::kNotFinite: return "notFinite";
    case EndReason::kFailed: break;
  }
  return "failed";
}

struct EventWriter {
  Napi::Env env;

  void operator()(Napi::Object out, const EpochRecord& record) const {
    out.Set("type", "epoch");
    out.Set("epoch", static_cast<double>(record.epoch));
    out.Set("updates", static_cast<double>(record.updates));
    out.Set("loss", record.loss);
    out.Set("learningRate", record.learning_rate);
    out.Set("trainSeconds", record.train_seconds);
    out.Set("validationSeconds", record.validation_seconds);
    out.Set("samples", static_cast<double>(record.samples));
    out.Set("validation", record.validated ? write_evaluation(env, record.validation) : env.Null());
    out.Set("best", record.best);
    out.Set("stability", record.stability.has_value() ? write_stability(*record.stability) : env.Null());
    out.Set("step", write_step_if_any(env, record.step));
  }
  Napi::Value write_stability(const StabilityRecord& record) const {
    auto out = Napi::Object::New(env);
    out.Set("largestEigenvalue", record.largest_eigenvalue);
    out.Set("residual", record.residual);
    out.Set("trace", record.trace);
    out.Set("traceError", record.trace_error);
    out.Set("reason", name_of(record.reason));
    out.Set("samples", static_cast<double>(record.samples));
    out.Set("iterations", static_cast<double>(record.iterations));
    out.Set("probes", static_cast<double>(record.probes));
    out.Set("seed", static_cast<double>(record.seed));
    out.Set("seconds", record.seconds);
    return out;
  }
  void operator()(Napi::Object out, const StepRecord& record) const {
    out.Set("type", "step");
    out.Set("epoch", static_cast<double>(record.epoch));
    out.Set("updates", static_cast<double>(record.updates));
    out.Set("position", static_cast<double>(record.position));
    out.Set("samples", static_cast<double>(record.samples));
    out.Set("loss", record.loss);
    out.Set("learningRate", record.learning_rate);
    out.Set("seconds", record.seconds);
    out.Set("step", write_step_if_any(env, record.step));
  }
  void operator()(Napi::Object out, const EndRecord& record) const {
    out.Set("type", "end");
    out.Set("reason", reason_name(record.reason));
    out.Set("epochs", static_cast<double>(record.epochs));
    out.Set("updates", static_cast<double>(record.updates));
    out.Set("bestEpoch", static_cast<double>(record.best_epoch));
    out.Set("notFiniteIn", record.not_finite_in);
    out.Set("converged", record.converged);
    out.Set("trainSeconds", record.train_seconds);
  }
  void operator()(Napi::Object out, const WeightsWanted& wanted) const {
    WeightRequest request;
    request.figures.losses = wanted.losses;
    request.figures.probabilities = wanted.probabilities;
    request.updates = wanted.updates;
    request.epoch = wanted.epoch;
    out.Set("type", "weights");
    out.Set("request", write_weight_request(env, request));
  }
};

// Given back unless the run has taken over.
template <Scalar T>
class Acquired {
 public:
  explicit Acquired(krylov::Model<T>& model) : model_(&model) {
    if (!model.try_acquire()) {
      fail(ErrorCode::kBusy, "model", "a model that no run is training", "one that is being trained");
    }
  }
  ~Acquired() {
    if (model_ != nullptr) model_->release();
  }
  Acquired(const Acquired&) = delete;
  Acquired& operator=(const Acquired&) = delete;
  void hand_over() noexcept { model_ = nullptr; }

 private:
  krylov::Model<T>* model_;
};

}  // namespace

class RunWork final : public Work {
 public:
  RunWork(const Napi::Function& on_event, DType dtype) : on_event_(Napi::Persistent(on_event)), dtype_(dtype) {}

  const std::shared_ptr<Events>& events() const noexcept { return events_; }
  std::shared_ptr<TrainingRun>& run() noexcept { return run_; }
  bool ended() const noexcept { return ended_; }
  DType dtype() const noexcept { return dtype_; }

  // Also of an environment that ends, where a run that waits stays where it is.
  void abort() noexcept override {
    aborted_ = true;
    run_->abort();
  }
  void abort(Napi::Env env) {
    abort();
    go_on(env);
  }

  void answer_weights(Napi::Env env, std::span<const double> weights) {
    if (aborted_) return;  // by the listener itself
    if (!waiting_) fail(ErrorCode::kState, "run", "a run that waits for weights", "one that does not");
    check(run_->answer_weights(weights));
    go_on(env);
  }

  bool deliver(Napi::Env env) override {
    for (const Event& event : events_->take()) {
      const bool end = std::holds_alternative<EndRecord>(event);
      if (end) ended_ = true;
      waiting_ = std::holds_alternative<WeightsWanted>(event);
      if (waiting_ && aborted_) {
        go_on(env);
        continue;
      }
      try {
        tell(env, event);
      } catch (const Napi::Error& error) {
        // A listener that throws is an uncaught exception, and misses nothing that follows.
        napi_fatal_exception(env, error.Value());
      }
      if (end) on_event_.Reset();
      // A listener that did not answer never will.
      if (waiting_) abort(env);
    }
    return ended_;
  }

 private:
  void go_on(Napi::Env env) {
    if (std::exchange(waiting_, false)) Environment::of(env).delivery.resume(run_);
  }
  void tell(Napi::Env env, const Event& event) {
    const Napi::HandleScope scope(env);
    auto object = Napi::Object::New(env);
    std::visit([&](const auto& record) { EventWriter{env}(object, record); }, event);
    on_event_.Call({object});
  }

  Napi::FunctionReference on_event_;
  std::shared_ptr<Events> events_ = std::make_shared<Events>();
  std::shared_ptr<TrainingRun> run_;
  DType dtype_;
  bool ended_ = false, aborted_ = false;
  bool waiting_ = false;  // for weights, while the listener is told
};

Napi::Function NativeRun::define(Napi::Env env) {
  return DefineClass(env, kName,
                     {method<NativeRun, &NativeRun::abort>("abort"), method<NativeRun, &NativeRun::state>("state"),
                      method<NativeRun, &NativeRun::answer_weights>("answerWeights")});
}

NativeRun::NativeRun(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    work_ = take_content<NativeRun>(info);
    seal<NativeRun>(info);
  });
}

void NativeRun::abort(const Napi::CallbackInfo& info) { work_->abort(info.Env()); }

void NativeRun::answer_weights(const Napi::CallbackInfo& info) {
  work_->answer_weights(info.Env(), typed<double>(info[0], "weights"));
}

Napi::Value NativeRun::state(const Napi::CallbackInfo& info) {
  if (!work_->ended()) fail(ErrorCode::kState, "run", "a run that has ended", "one that is under way");
  return write_state(info.Env(), work_->run()->state(), work_->dtype());
}

Napi::Value NativeModel::train(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  TrainingOptions options = read_options(info[1], "options");
  const Napi::Value validation = info[1].As<Napi::Object>().Get("validation");
  if (!validation.IsNull()) {
    options.validation = unwrap<NativeDataset>(validation, "options.validation").data("options.validation");
  }
  const Napi::Value stability = info[1].As<Napi::Object>().Get("stability");
  if (!stability.IsUndefined()) options.stability = read_stability(stability, "options.stability");
  const Napi::Value gradients = info[1].As<Napi::Object>().Get("gradients");
  if (!gradients.IsUndefined()) options.gradients = read_gradient_record(gradients, "options.gradients");
  const Napi::Function on_event = function(info[2], "onEvent");
  const auto data = unwrap<NativeDataset>(info[0], "dataset").data("dataset");
  return core_->visit([&]<class T>(std::shared_ptr<krylov::Model<T>>& model) -> Napi::Value {
    Acquired<T> acquired(*model);
    const auto rows = options.has_rows ? static_cast<std::int64_t>(options.rows.size()) : data->rows();
    const std::int64_t batch = std::min(options.batch_size, rows);
    const bool sampled = options.sampling && rows > 0 && batch > 0;
    check_rows(model->network(), sampled ? largest_draw(*options.sampling, rows, batch) : batch, "options.batchSize");
    Environment& environment = Environment::of(env);
    auto work = std::make_shared<RunWork>(on_event, kDTypeOf<T>);
    auto reporter = std::make_unique<Reporter>(work->events(), environment.delivery.mailbox());
    check(create_run<T>(model, data, options, std::move(reporter), work->run()));
    const Napi::Object run = make<NativeRun>(env, environment.run, work);
    environment.delivery.start(work, work->run());
    acquired.hand_over();
    return run;
  });
}

}  // namespace krylov::binding
