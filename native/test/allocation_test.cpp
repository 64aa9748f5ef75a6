// Nothing allocates inside a step or a hot call. Every operator new of this
// program is counted, on every thread, and so is every aligned block.
#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "krylov/derivatives.h"
#include "solvers/vectors.h"
#include "support/training_fixture.h"
#include "training/network_residuals.h"
#include "training/step_engine.h"

namespace {

std::atomic<std::int64_t> calls{0};

void* counted(std::size_t size, std::size_t alignment) {
  calls.fetch_add(1, std::memory_order_relaxed);
  if (size == 0) size = 1;
  // A multiple of the alignment, as aligned_alloc wants it.
  void* block = alignment <= alignof(std::max_align_t) ? std::malloc(size)
                : size > SIZE_MAX - alignment
                    ? nullptr
                    : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  return block;
}

void* counted_or_throw(std::size_t size, std::size_t alignment) {
  void* block = counted(size, alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

// Every form, since a sanitizer replaces those that are left out with forms of its own.
void* operator new(std::size_t size) { return counted_or_throw(size, 1); }
void* operator new[](std::size_t size) { return counted_or_throw(size, 1); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return counted(size, 1); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return counted(size, 1); }
void* operator new(std::size_t size, std::align_val_t at) { return counted_or_throw(size, std::size_t(at)); }
void* operator new[](std::size_t size, std::align_val_t at) { return counted_or_throw(size, std::size_t(at)); }
void* operator new(std::size_t size, std::align_val_t at, const std::nothrow_t&) noexcept {
  return counted(size, std::size_t(at));
}
void* operator new[](std::size_t size, std::align_val_t at, const std::nothrow_t&) noexcept {
  return counted(size, std::size_t(at));
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { std::free(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept { std::free(block); }
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept { std::free(block); }

namespace krylov {
namespace {

std::int64_t allocations() { return calls.load(std::memory_order_relaxed) + allocation_count(); }

TEST_CASE("allocations are counted") {
  const std::int64_t before = allocations();
  std::vector<int> numbers(100);
  CHECK(allocations() == before + 1);
  AlignedBuffer<float> buffer(100);
  CHECK(allocations() == before + 3);  // by both counters
  CHECK(numbers.size() == buffer.size());
}

const OptimizerSpec kRules[] = {test::sgd(0.01, 0.9), test::classical_momentum(0.01, 0.9, "lookahead"),
                                test::adam(0.01)};

// From the tenth step on, over the ends of slices and epochs.
TEST_CASE_TEMPLATE("steps of a run do not allocate", T, float, double) {
  for (const test::TaskCase& c : test::task_cases()) {
    for (const OptimizerSpec& rule : kRules) {
      for (const int threads : {1, 2, 3}) {
        CAPTURE(c.name);
        CAPTURE(rule.kind);
        CAPTURE(threads);
        TrainingOptions options = test::options_of(c.tasks, rule);
        options.epochs = 10;
        options.threads = threads;
        options.step_every = 1;
        options.l2 = 1e-4;
        const auto model = test::make_model<T>(c.spec);
        test::Log log;
        log.steps.reserve(100);
        log.epochs.reserve(10);
        std::int64_t first = -1, last = -1, seen = 0;
        log.on_step = [&](const StepRecord& record) {
          if (record.updates < 10) return;
          last = allocations();
          if (first < 0) first = last;
          ++seen;
        };
        test::train<T>(model, c.table.dataset(), options, log);
        CHECK(seen == 10 * test::kSteps - 9);
        CHECK(last == first);
      }
    }
  }
}

SampleWeightsSpec weights_by(WeightRule rule, double a) {
  SampleWeightsSpec spec;
  spec.rule = rule;
  spec.a.value = a;
  return spec;
}

ClippingSpec clipping_by_statistics() {
  ClippingSpec spec;
  spec.by_layer = true;
  spec.thresholds = {1};
  spec.rule = ThresholdRule::kLayerStatistics;
  return spec;
}

struct Staging {
  std::string name;
  void (*set)(TrainingOptions&);
};
const Staging kStagings[] = {
    {"none", [](TrainingOptions&) {}},
    {"step size", [](TrainingOptions& o) { o.step_size.emplace(); }},
    {"clipping", [](TrainingOptions& o) { o.clipping.emplace().thresholds = {0.1}; }},
    {"layer statistics", [](TrainingOptions& o) { o.clipping = clipping_by_statistics(); }},
    {"weights by sample", [](TrainingOptions& o) { o.weights = weights_by(WeightRule::kFocal, 2); }},
    {"weights by rank", [](TrainingOptions& o) { o.weights = weights_by(WeightRule::kHardExamples, 0.5); }},
    {"gradients recorded", [](TrainingOptions& o) { o.gradients.emplace(); }},
    {"chain", [](TrainingOptions& o) {
       o.gradient = {ClipByValueSpec{1}, ClipByGlobalNormSpec{0.5}, ClipByLayerNormSpec{0.5}, AdaptiveClipSpec{},
                     AutoClipSpec{10, 4}, AsymmetricSmoothingSpec{}, DirectionalBiasSpec{}};
     }},
};

TEST_CASE_TEMPLATE("the phases of a step do not allocate, whatever the stages", T, float, double) {
  for (const Staging& staging : kStagings) {
    CAPTURE(staging.name);
    int taken = 0;
    for (const test::TaskCase& c : test::task_cases()) {
      for (const OptimizerSpec& rule : kRules) {
        CAPTURE(c.name);
        CAPTURE(rule.kind);
        const auto model = test::make_model<T>(c.spec);
        const auto data = c.table.dataset();
        std::vector<std::uint32_t> index(test::kBatch);
        for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::uint32_t>(3 * i);
        TrainingOptions options = test::options_of(c.tasks, rule);
        staging.set(options);
        std::unique_ptr<StepEngine<T>> engine;
        // A stage that wants a loss on logits, or one head, does without some of the cases.
        if (!StepEngine<T>::create(model->network(), options, test::kBatch, engine).ok()) continue;
        ++taken;
        AlignedBuffer<T> parameters(static_cast<std::size_t>(model->network().arena_size()));
        model->snapshot(parameters.span());
        const std::int64_t before = allocations();
        engine->attach(parameters.data());
        double loss = 0;
        for (int s = 0; s < 3; ++s) {
          engine->begin(*data, index.data(), s == 2 ? 5 : test::kBatch);
          engine->take(nullptr, 0, 1);
          loss += engine->loss();
          engine->end();
        }
        CHECK(allocations() == before);
        CHECK(loss > 0);
        CHECK(engine->step() == 3);
      }
    }
    CHECK(taken > 0);
  }
}

TEST_CASE_TEMPLATE("a trainer's steps allocate nothing but what they return", T, float, double) {
  const test::TaskCase c = test::task_cases()[1];
  const auto model = test::make_model<T>(c.spec);
  const auto batch = c.table.dataset(0, test::kBatch);
  TrainingOptions options = test::options_of(c.tasks, kRules[2]);
  options.threads = 1;
  std::unique_ptr<Trainer<T>> trainer;
  REQUIRE(Trainer<T>::create(model, options, trainer).ok());
  StepResult result;
  REQUIRE(trainer->step(*batch, result).ok());
  const std::int64_t before = allocations();
  for (int s = 0; s < 5; ++s) (void)trainer->step(*batch, result).ok();
  CHECK(allocations() == before);
  CHECK(result.updates == 6);
}

TEST_CASE_TEMPLATE("prediction and products at a point do not allocate", T, float, double) {
  const test::TaskCase c = test::task_cases()[0];
  const auto model = test::make_model<T>(c.spec);
  const auto batch = c.table.dataset(0, 20);
  std::vector<T> outputs(20 * 5);
  void* const out[] = {outputs.data()};
  const Link links[] = {Link::kSoftmax};
  const auto predict = [&] {
    model->predict(c.table.inputs.data(), DType::kFloat64, 20, Output::kProbability, links, out);
  };
  predict();
  std::int64_t before = allocations();
  predict();
  CHECK(allocations() == before);

  std::unique_ptr<Linearization<T>> point;
  REQUIRE(Linearization<T>::create(*model, batch, {c.tasks[0].loss}, 1e-3, 0, point).ok());
  const auto count = static_cast<std::size_t>(model->network().parameter_count());
  std::vector<T> g(count), v(count, T(0.5)), rows(20 * count);
  std::vector<double> norms(20);
  T* const tangents[] = {outputs.data()};
  const T* const cotangents[] = {outputs.data()};
  point->vjp(cotangents, g);  // the first product takes its share of the workspace
  before = allocations();
  point->gradient(g);
  point->jvp(v, tangents);
  point->vjp(cotangents, g);
  point->per_sample_gradients(0, 20, rows);
  point->per_sample_norms(norms);
  CHECK(allocations() == before);
  CHECK(norms[0] > 0);
}

// What does not return a status: memory that runs out there would end the process.
TEST_CASE_TEMPLATE("rows of residuals and dots of many vectors do not allocate", T, float, double) {
  NetworkSpec spec;
  spec.inputs = 3;
  spec.layers = {test::dense(4, Activation::kTanh), test::dense(2)};
  const auto model = test::make_model<T>(spec);
  const Network<T>& network = model->network();
  const auto data = test::random_table(600, 3, {{2, false}}, 1).dataset();
  NetworkResiduals<T> residuals({std::shared_ptr<void>(), &network}, {test::loss_spec(Loss::kMeanSquaredError)});
  residuals.select(data, nullptr, 600);
  AlignedBuffer<T> x(static_cast<std::size_t>(network.arena_size()));
  model->snapshot(x.span());
  const auto n = static_cast<std::size_t>(network.parameter_count());
  std::vector<double> jtj(n * n), jte(n);
  Team team;
  residuals.begin(x.data(), jtj.data(), jte.data(), 3);
  std::int64_t before = allocations();
  int chunks = 1;
  while (residuals.chunk(team)) ++chunks;
  CHECK(allocations() == before);
  CHECK(chunks == 5);
  CHECK(residuals.sum() > 0);

  constexpr std::int64_t kSize = 20000, kCount = 19;
  Vectors<T> vectors(1, kSize);
  vectors.lend(team);
  std::vector<T> rows(kSize * kCount, T(1)), v(kSize, T(0.5));
  for (std::int64_t i = 0; i < kCount; ++i) rows[std::size_t(i * kSize + i)] = T(3 + i);
  std::vector<double> dots(kCount);
  before = allocations();
  vectors.dots(rows.data(), kCount, v.data(), dots);
  CHECK(allocations() == before);
  for (std::int64_t i = 0; i < kCount; ++i) {
    CHECK(dots[std::size_t(i)] == 0.5 * double(kSize) + 1 + 0.5 * double(i));
    CHECK(dots[std::size_t(i)] == vectors.dot(rows.data() + i * kSize, v.data()));
  }
}

}  // namespace
}  // namespace krylov
