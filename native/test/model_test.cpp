// Models: specs that are refused, predictions in every form, parameters in and
// out; jobs over whole data sets; and every wrong argument of a run.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support/comparison.h"
#include "support/training_fixture.h"

namespace krylov {
namespace {

using test::dense;
using test::make_model;
using test::parameters_of;
using test::random_values;
using test::Table;
using test::Values;

struct Wrong {
  const char* name;
  ErrorCode code;
  const char* argument;
  std::function<void(NetworkSpec&)> change;
};

TEST_CASE_TEMPLATE("specs that make no network are refused", T, float, double) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Wrong cases[] = {
      {"no inputs", ErrorCode::kShape, "inputs", [](auto& s) { s.inputs = 0; }},
      {"negative inputs", ErrorCode::kShape, "inputs", [](auto& s) { s.inputs = -3; }},
      {"too many inputs", ErrorCode::kShape, "inputs", [](auto& s) { s.inputs = (std::int64_t(1) << 24) + 1; }},
      {"no layers", ErrorCode::kOption, "layers", [](auto& s) { s.layers.clear(); }},
      {"no units", ErrorCode::kShape, "units", [](auto& s) { s.layers[0].units = 0; }},
      {"negative units", ErrorCode::kShape, "units", [](auto& s) { s.layers[0].units = -1; }},
      {"too many units", ErrorCode::kShape, "units", [](auto& s) { s.layers[0].units = std::int64_t(1) << 40; }},
      {"too large a weight", ErrorCode::kShape, "units",
       [](auto& s) { s.inputs = s.layers[0].units = std::int64_t(1) << 24; }},
      {"dropout of 1", ErrorCode::kOption, "rate", [](auto& s) { s.layers.push_back(test::dropout(1)); }},
      {"negative dropout", ErrorCode::kOption, "rate", [](auto& s) { s.layers.push_back(test::dropout(-0.1)); }},
      {"dropout of NaN", ErrorCode::kOption, "rate", [=](auto& s) { s.layers.push_back(test::dropout(nan)); }},
      {"epsilon of 0", ErrorCode::kOption, "epsilon",
       [](auto& s) { s.layers.push_back(test::layer_norm()), s.layers.back().epsilon = 0; }},
      {"epsilon of NaN", ErrorCode::kOption, "epsilon",
       [=](auto& s) { s.layers.push_back(test::layer_norm()), s.layers.back().epsilon = nan; }},
      {"negative slope", ErrorCode::kOption, "activation",
       [](auto& s) { s.layers[0].activation = {Activation::kLeakyRelu, -1}; }},
      {"elu without alpha", ErrorCode::kOption, "activation",
       [](auto& s) { s.layers[0].activation = {Activation::kElu, 0}; }},
      {"softplus without beta", ErrorCode::kOption, "activation",
       [](auto& s) { s.layers[0].activation = {Activation::kSoftplus, 0}; }},
      {"empty block", ErrorCode::kOption, "residual", [](auto& s) { s.layers.push_back(test::residual({})); }},
      {"block of another width", ErrorCode::kShape, "residual",
       [](auto& s) { s.layers.push_back(test::residual({dense(4)})); }},
      {"wrong layer in a block", ErrorCode::kShape, "units",
       [](auto& s) { s.layers.push_back(test::residual({dense(0), dense(5)})); }},
      {"empty head", ErrorCode::kOption, "heads", [](auto& s) { s.heads = {{"a", {dense(2)}}, {"b", {}}}; }},
      {"wrong layer in a head", ErrorCode::kShape, "units", [](auto& s) { s.heads = {{"a", {dense(-2)}}}; }},
  };
  for (const Wrong& c : cases) {
    CAPTURE(std::string(c.name));
    NetworkSpec spec;
    spec.inputs = 3;
    spec.layers = {dense(5)};
    std::shared_ptr<Model<T>> model;
    REQUIRE(Model<T>::create(spec, 1, model).ok());
    model = nullptr;
    c.change(spec);
    const Status status = Model<T>::create(spec, 1, model);
    CHECK(status.code == c.code);
    CHECK(std::string(status.argument) == c.argument);
    CHECK(model == nullptr);
  }
}

TEST_CASE_TEMPLATE("parameters go in and out, in both types, and versions grow", T, float, double) {
  const auto model = make_model<T>(test::task_cases()[1].spec), other = make_model<T>(test::task_cases()[1].spec, 2);
  const Values before = parameters_of(*model);
  CHECK(before != parameters_of(*other));
  CHECK((before == parameters_of(*make_model<T>(test::task_cases()[1].spec))));
  const std::uint64_t version = model->version();
  const Values values = random_values(before.size(), 61);  // exact in float32
  model->template write<double>(values);
  CHECK(model->version() > version);
  CHECK((parameters_of(*model) == values));
  std::vector<float> floats(values.size());
  model->template read<float>(floats);
  CHECK((Values(floats.begin(), floats.end()) == values));
  other->template write<float>(floats);
  CHECK((parameters_of(*other) == values));
  std::vector<T> arena(static_cast<std::size_t>(model->network().arena_size()));
  model->snapshot(arena);
  CHECK(other->try_publish(arena));
  CHECK((parameters_of(*other) == values));
  CHECK(model->try_acquire());
  CHECK(model->busy());
  CHECK_FALSE(model->try_acquire());
  model->release();
  CHECK_FALSE(model->busy());
}

// Rows beyond one block, each also alone.
TEST_CASE_TEMPLATE("predict gives every row its bits, in every form", T, float, double) {
  NetworkSpec spec;
  spec.inputs = 7;
  spec.layers = {dense(20, Activation::kTanh)};
  spec.heads = {{"class", {dense(5)}}, {"flag", {dense(1)}}, {"share", {dense(1, Activation::kSigmoid)}}};
  const auto model = make_model<T>(spec);
  constexpr std::int64_t rows = 2 * kPredictRows + 3;
  const Values x = random_values(rows * 7, 62, 3);
  const Link links[] = {Link::kSoftmax, Link::kSigmoid, Link::kIdentity};
  const std::int64_t widths[] = {5, 1, 1};
  std::vector<T> raw[3], probability[3], one[3];
  std::vector<std::int32_t> classes[3];
  std::vector<void*> raw_out, probability_out, class_out, one_out;
  for (int h = 0; h < 3; ++h) {
    for (auto* v : {&raw[h], &probability[h]}) v->resize(static_cast<std::size_t>(rows * widths[h]));
    one[h].resize(static_cast<std::size_t>(widths[h]));
    classes[h].resize(rows);
    raw_out.push_back(raw[h].data()), probability_out.push_back(probability[h].data());
    class_out.push_back(classes[h].data()), one_out.push_back(one[h].data());
  }
  model->predict(x.data(), DType::kFloat64, rows, Output::kRaw, links, raw_out);
  model->predict(x.data(), DType::kFloat64, rows, Output::kProbability, links, probability_out);
  model->predict(x.data(), DType::kFloat64, rows, Output::kClass, links, class_out);
  test::Comparison comparison;
  for (std::int64_t r = 0; r < rows; ++r) {
    model->predict(x.data() + r * 7, DType::kFloat64, 1, Output::kRaw, links, one_out);
    const auto at = static_cast<std::size_t>(r);
    const T* z = raw[0].data() + r * 5;
    double sum = 0, largest = 0;
    int best = 0;
    for (int c = 0; c < 5; ++c) {
      comparison.equal(r, c, double(one[0][std::size_t(c)]), double(z[c]));
      sum += double(probability[0][std::size_t(r * 5 + c)]);
      if (double(probability[0][std::size_t(r * 5 + c)]) > largest)
        largest = double(probability[0][std::size_t(r * 5 + c)]), best = c;
    }
    double exponentials = 0;
    for (int c = 0; c < 5; ++c) exponentials += std::exp(double(z[c] - z[best]));
    comparison.within(r, -1, sum, 1, 8 * double(std::numeric_limits<T>::epsilon()));
    comparison.within(r, -2, largest, 1 / exponentials, 8 * double(std::numeric_limits<T>::epsilon()));
    comparison.equal(r, -3, classes[0][at], best);
    const double flag = double(raw[1][at]), share = double(raw[2][at]);
    comparison.within(r, -4, double(probability[1][at]), 1 / (1 + std::exp(-flag)),
                      4 * double(std::numeric_limits<T>::epsilon()));
    comparison.equal(r, -5, classes[1][at], flag > 0);
    comparison.equal(r, -6, double(probability[2][at]), share);
    comparison.equal(r, -7, classes[2][at], share > 0.5);
  }
  comparison.check("rows");
}

TEST_CASE_TEMPLATE("bytes are scaled by the spec's factor, other types are not", T, float, double) {
  NetworkSpec spec;
  spec.inputs = 3;
  spec.input_scale = 1.0 / 4;
  spec.layers = {dense(2)};
  const auto model = make_model<T>(spec);
  const std::uint8_t bytes[] = {0, 8, 255};
  const float floats[] = {0, 2, 63.75f};
  T a[2], b[2];
  void* const to_a[] = {a};
  void* const to_b[] = {b};
  const Link links[] = {Link::kIdentity};
  model->predict(bytes, DType::kUint8, 1, Output::kRaw, links, to_a);
  model->predict(floats, DType::kFloat32, 1, Output::kRaw, links, to_b);
  CHECK(a[0] == b[0]);
  CHECK(a[1] == b[1]);
}

// A job's end, waited for.
struct Done {
  test::Log log;
  static void call(void* self) { test::Recorder(static_cast<Done*>(self)->log).on_end({}); }
};

TEST_CASE_TEMPLATE("prediction jobs give the bits of predict for any number of threads", T, float, double) {
  NetworkSpec spec;
  spec.inputs = 40;
  spec.layers = {dense(60, Activation::kRelu), dense(5)};
  const auto model = make_model<T>(spec);
  const Table table = test::random_table(1100, 40, {}, 63);
  std::vector<T> expected(1100 * 5);
  void* const out[] = {expected.data()};
  const Link links[] = {Link::kSoftmax};
  model->predict(table.inputs.data(), DType::kFloat64, 1100, Output::kProbability, links, out);
  for (const int threads : {1, 2, 3}) {
    REQUIRE(useful_threads(model->network().forward_cost() * 1100, 1100, threads) == threads);
    Done done;
    std::shared_ptr<PredictionJob<T>> job;
    REQUIRE(create_prediction<T>(model, table.dataset(), Output::kProbability, {Link::kSoftmax}, threads, &Done::call,
                                 &done, job)
                .ok());
    ComputeThread::instance().submit(job);
    done.log.wait();
    CHECK_FALSE(job->aborted());
    REQUIRE(job->result(0).size() == expected.size() * sizeof(T));
    CHECK(std::memcmp(job->result(0).data(), expected.data(), job->result(0).size()) == 0);
  }
  Done done;
  std::shared_ptr<PredictionJob<T>> job;
  REQUIRE(
      create_prediction<T>(model, table.dataset(), Output::kRaw, {Link::kIdentity}, 1, &Done::call, &done, job).ok());
  job->abort();
  ComputeThread::instance().submit(job);
  done.log.wait();
  CHECK(job->aborted());
  job = nullptr;
  CHECK(create_prediction<T>(model, test::random_table(3, 41, {}, 1).dataset(), Output::kRaw, {Link::kIdentity}, 1,
                             &Done::call, &done, job)
            .code == ErrorCode::kShape);
  CHECK(create_prediction<T>(model, table.dataset(), Output::kRaw, {}, 1, &Done::call, &done, job).code ==
        ErrorCode::kShape);
  CHECK(job == nullptr);
}

template <Scalar T>
Evaluation evaluate(const std::shared_ptr<Model<T>>& model, std::shared_ptr<const Dataset> data, const HeadTask& task,
                    double l2, int threads) {
  Done done;
  std::shared_ptr<EvaluationJob<T>> job;
  REQUIRE(create_evaluation<T>(model, std::move(data), {task}, l2, threads, &Done::call, &done, job).ok());
  ComputeThread::instance().submit(job);
  done.log.wait();
  CHECK_FALSE(job->aborted());
  return job->result();
}

// 1100 rows are three chunks; in the weighted data the second has no weight at all.
TEST_CASE_TEMPLATE("evaluation equals sums over predictions for any number of threads", T, float, double) {
  NetworkSpec spec;
  spec.inputs = 20;
  spec.layers = {dense(60, Activation::kRelu), dense(2)};
  const auto model = make_model<T>(spec);
  Table table = test::random_table(1100, 20, {{2, false}}, 64);
  for (std::size_t r = 0; r < 1100; ++r) table.weights.push_back(r / 512 == 1 ? 0 : double(r % 3) / 2);
  std::vector<T> outputs(1100 * 2);
  void* const out[] = {outputs.data()};
  const Link links[] = {Link::kIdentity};
  model->predict(table.inputs.data(), DType::kFloat64, 1100, Output::kRaw, links, out);
  double sum = 0, weights = 0, squares = 0;
  for (std::size_t r = 0; r < 1100; ++r) {
    for (std::size_t c = 0; c < 2; ++c) {
      const double d = double(outputs[2 * r + c]) - double(static_cast<T>(table.targets[0].values[2 * r + c]));
      sum += table.weights[r] * d * d / 2;
    }
    weights += table.weights[r];
  }
  for (const double w : parameters_of(*model)) squares += w * w;
  const double tolerance = 4 * double(std::numeric_limits<T>::epsilon());
  HeadTask task{test::loss_spec(Loss::kMeanSquaredError), {{MetricKind::kMeanSquaredError}}};
  for (const int threads : {1, 2, 3}) {
    CAPTURE(threads);
    task.loss.normalize_weights = false;
    const Evaluation mean = evaluate<T>(model, table.dataset(), task, 0, threads);
    CHECK(mean.loss == doctest::Approx(sum / 1100).epsilon(tolerance));
    CHECK(mean.heads[0].loss == mean.loss);
    CHECK(mean.heads[0].metrics[0] == doctest::Approx(sum / weights).epsilon(tolerance));
    CHECK(evaluate<T>(model, table.dataset(), task, 0.5, threads).loss ==
          doctest::Approx(sum / 1100 + 0.25 * squares).epsilon(tolerance));
    CHECK(evaluate<T>(model, table.dataset(), task, 0, 1).loss == mean.loss);
    task.loss.normalize_weights = true;
    CHECK(evaluate<T>(model, table.dataset(), task, 0, threads).loss ==
          doctest::Approx(sum / weights).epsilon(tolerance));
  }
  CHECK(std::isnan(evaluate<T>(model, table.dataset(0, 0), task, 0, 1).loss));
}

// What is right in itself and wrong in one place.
struct Setup {
  NetworkSpec spec;
  Table table, validation;
  TrainingOptions options;
};
struct WrongRun {
  const char* name;
  ErrorCode code;
  const char* argument;
  std::function<void(Setup&)> change;
  bool trainer = true;  // a trainer refuses it too
};

TEST_CASE("runs and trainers refuse what does not fit") {
  LossSpec squares = test::loss_spec(Loss::kMeanSquaredError);
  const WrongRun cases[] = {
      {"no loss", ErrorCode::kOption, "loss", [](auto& s) { s.options.tasks.clear(); }},
      {"two losses", ErrorCode::kOption, "loss", [](auto& s) { s.options.tasks.push_back(s.options.tasks[0]); }},
      {"logits of a squashed output", ErrorCode::kOption, "loss",
       [](auto& s) { s.spec.layers.back().activation.kind = Activation::kSigmoid; }},
      {"labels for a regression", ErrorCode::kOption, "loss",
       [](auto& s) { s.options.tasks[0].loss.kind = Loss::kHuber; }},
      {"class weights", ErrorCode::kShape, "classWeights",
       [](auto& s) { s.options.tasks[0].loss.class_weights = {1, 2}; }},
      {"unknown rule", ErrorCode::kOption, "optimizer.kind", [](auto& s) { s.options.optimizer.kind = "adamm"; }},
      {"missing option", ErrorCode::kOption, "learningRate", [](auto& s) { s.options.optimizer.numbers.clear(); }},
      {"state without its arrays", ErrorCode::kState, "state.optimizer", [](auto& s) { s.options.has_state = true; }},
      {"state of another size", ErrorCode::kShape, "state.optimizer",
       [](auto& s) {
         s.options.has_state = true, s.options.state.names = {"momentum"}, s.options.state.arrays = {{1, 2, 3}};
       }},
      {"position beyond the data", ErrorCode::kState, "state",
       [](auto& s) {
         s.options.has_state = true, s.options.optimizer = test::sgd(0.1, 0), s.options.state.position = 31;
       },
       false},
      {"negative epoch", ErrorCode::kState, "state",
       [](auto& s) { s.options.has_state = true, s.options.optimizer = test::sgd(0.1, 0), s.options.state.epoch = -1; },
       false},
      {"no rows", ErrorCode::kShape, "data", [](auto& s) { s.table.rows = 0; }, false},
      {"a choice of no rows", ErrorCode::kShape, "data", [](auto& s) { s.options.has_rows = true; }, false},
      {"no batch", ErrorCode::kOption, "batchSize", [](auto& s) { s.options.batch_size = 0; }, false},
      {"a row that is not there", ErrorCode::kShape, "rows",
       [](auto& s) { s.options.has_rows = true, s.options.rows = {0, 30}; }, false},
      {"columns", ErrorCode::kShape, "inputs", [](auto& s) { s.table = test::random_table(30, 5, {{3, true}}, 1); },
       false},
      {"no targets", ErrorCode::kShape, "targets", [](auto& s) { s.table.targets.clear(); }, false},
      {"labels beyond the outputs", ErrorCode::kShape, "targets", [](auto& s) { s.table.targets[0].labels[7] = 3; },
       false},
      {"values for labels", ErrorCode::kDType, "targets",
       [](auto& s) { s.table = test::random_table(30, 4, {{3, false}}, 1); }, false},
      {"width of the targets", ErrorCode::kShape, "targets",
       [&](auto& s) { s.options.tasks[0].loss = squares, s.table = test::random_table(30, 4, {{2, false}}, 1); },
       false},
      {"validation columns", ErrorCode::kShape, "inputs",
       [](auto& s) { s.validation = test::random_table(3, 5, {{3, true}}, 1); }, false},
      {"validation row that is not there", ErrorCode::kShape, "validationRows",
       [](auto& s) { s.validation.rows = 0, s.options.has_validation_rows = true, s.options.validation_rows = {30}; },
       false},
      {"a metric that the loss lacks", ErrorCode::kOption, "metric.k",
       [](auto& s) { s.options.tasks[0].metrics = {{MetricKind::kTopK, 9}}; }, false},
      {"monitoring without validation", ErrorCode::kOption, "earlyStopping",
       [](auto& s) { s.validation.rows = 0, s.options.has_early_stopping = true, s.options.early_stopping.metric = 0; },
       false},
      {"monitoring what is not computed", ErrorCode::kOption, "earlyStopping",
       [](auto& s) { s.options.has_early_stopping = true, s.options.early_stopping.metric = 1; }, false},
      {"monitoring a head that is not there", ErrorCode::kOption, "earlyStopping",
       [](auto& s) {
         s.options.has_early_stopping = true, s.options.early_stopping.metric = 0, s.options.early_stopping.head = 1;
       },
       false},
  };
  const auto try_run = [](const Setup& s) {
    const auto model = make_model<float>(s.spec);
    TrainingOptions options = s.options;
    if (s.validation.rows > 0) options.validation = s.validation.dataset();
    test::Log log;
    std::shared_ptr<TrainingRun> run;
    REQUIRE(model->try_acquire());
    const Status status =
        create_run<float>(model, s.table.dataset(), options, std::make_unique<test::Recorder>(log), run);
    CHECK((run != nullptr) == status.ok());
    CHECK(model->busy());  // the caller's to release, until a run takes it over
    return status;
  };
  const auto try_trainer = [](const Setup& s) {
    std::unique_ptr<Trainer<float>> trainer;
    const Status status = Trainer<float>::create(make_model<float>(s.spec), s.options, trainer);
    CHECK((trainer != nullptr) == status.ok());
    return status;
  };
  const auto right = [] {
    Setup s;
    s.spec.inputs = 4;
    s.spec.layers = {dense(3)};
    s.table = test::random_table(30, 4, {{3, true}}, 65);
    s.validation = test::random_table(8, 4, {{3, true}}, 66);
    s.options =
        test::options_of({{test::loss_spec(Loss::kSoftmaxCrossEntropy, true), {MetricSpec{}}}}, test::sgd(0.1, 0.9));
    return s;
  };
  CHECK(try_run(right()).ok());
  CHECK(try_trainer(right()).ok());
  for (const WrongRun& c : cases) {
    CAPTURE(std::string(c.name));
    Setup s = right();
    c.change(s);
    const Status run = try_run(s);
    CHECK(run.code == c.code);
    CHECK(std::string(run.argument) == c.argument);
    if (!c.trainer) continue;
    const Status trainer = try_trainer(s);
    CHECK(trainer.code == c.code);
    CHECK(std::string(trainer.argument) == c.argument);
  }
}

TEST_CASE("a trainer's step refuses a batch that does not fit, and changes nothing") {
  NetworkSpec spec;
  spec.inputs = 4;
  spec.layers = {dense(3)};
  const auto model = make_model<float>(spec);
  std::unique_ptr<Trainer<float>> trainer;
  REQUIRE(Trainer<float>::create(
              model, test::options_of({{test::loss_spec(Loss::kSoftmaxCrossEntropy, true), {}}}, test::sgd(0.1, 0)),
              trainer)
              .ok());
  const Values before = parameters_of(*model);
  StepResult result;
  const Table table = test::random_table(30, 4, {{3, true}}, 67);
  CHECK(trainer->step(*table.dataset(0, 0), result).code == ErrorCode::kShape);
  CHECK(trainer->step(*test::random_table(3, 5, {{3, true}}, 1).dataset(), result).code == ErrorCode::kShape);
  CHECK(trainer->step(*test::random_table(3, 4, {{3, false}}, 1).dataset(), result).code == ErrorCode::kDType);
  REQUIRE(model->try_acquire());
  CHECK(trainer->step(*table.dataset(), result).code == ErrorCode::kBusy);
  model->release();
  CHECK((parameters_of(*model) == before));
  CHECK(trainer->state().updates == 0);
  CHECK(trainer->step(*table.dataset(), result).ok());
  CHECK(parameters_of(*model) != before);
}

TEST_CASE("useful_threads: never more than asked for, than the rows allow or than pay off") {
  CHECK(useful_threads(1e12, 1024, 3) == 3);
  CHECK(useful_threads(1e12, 1024, 0) == available_processors());
  CHECK(useful_threads(1e12, 16, 100) == 2);
  CHECK(useful_threads(1e12, 0, 100) == 1);
  CHECK(useful_threads(1, 1024, 100) == 1);
  CHECK(useful_threads(0, 0, 1) == 1);
}

}  // namespace
}  // namespace krylov
