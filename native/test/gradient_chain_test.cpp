// Chains of gradient transformations: on the arena as on flat tensors, the same bits for any number of threads and after
// a resume, and what they refuse.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "krylov/gradient_transforms.h"
#include "support/training_fixture.h"

namespace krylov {
namespace {

using Chain = std::vector<GradientTransformSpec>;

struct ChainCase {
  std::string name;
  Chain specs;
};

std::vector<ChainCase> chain_cases() {
  using Groups = ClipByLayerNormSpec::Groups;
  const LowRankFilterSpec filter{3, 0.8, 2, 1, 0.1};
  std::vector<ChainCase> all = {{"value", {ClipByValueSpec{0.2}}},
                                {"global norm", {ClipByGlobalNormSpec{2, 1e-6}}},
                                {"norms of tensors", {ClipByLayerNormSpec{0.5, 0, Groups::kTensor, {}}}},
                                {"norms of groups", {ClipByLayerNormSpec{0.5, 0, Groups::kListed, {{0, 3}, {1}}}}},
                                {"units", {AdaptiveClipSpec{0.05, 1e-3, {1}}}},
                                {"percentile", {AutoClipSpec{40, 4}}},
                                {"smoothing", {AsymmetricSmoothingSpec{}}},
                                {"filter", {filter}},
                                {"direction", {DirectionalBiasSpec{}}},
                                {"one direction", {DirectionalBiasSpec{0.8, 1.5, 0.25, true}}}};
  Chain together;
  for (const ChainCase& c : all) together.push_back(c.specs.front());
  all.push_back({"all", together});
  return all;
}

NetworkSpec network_spec() {
  using enum Activation;
  NetworkSpec spec;
  spec.inputs = 37;
  spec.layers = {test::dense(50, kTanh), test::layer_norm(), test::dense(19, kRelu, 1, false), test::dense(1)};
  return spec;
}

std::vector<std::vector<std::int64_t>> shapes_of(std::span<const TensorInfo> tensors) {
  std::vector<std::vector<std::int64_t>> shapes;
  for (const TensorInfo& tensor : tensors) {
    shapes.push_back(tensor.vector ? std::vector{tensor.outputs} : std::vector{tensor.outputs, tensor.row_count});
  }
  return shapes;
}

template <Scalar T>
std::unique_ptr<GradientChain<T>> make_chain(const Chain& specs, const GradientLayout& layout) {
  std::unique_ptr<GradientChain<T>> chain;
  const Status status = GradientChain<T>::create(specs, layout, chain);
  INFO(std::string(status.argument) << ": " << std::string(status.expected));
  REQUIRE(status.ok());
  return chain;
}

template <Scalar T>
struct Work {
  GradientChain<T>* chain;
  const T* parameters;
  T* gradient;
  Barrier* barrier;
};

template <Scalar T>
void run(GradientChain<T>& chain, const T* parameters, T* gradient, int threads) {
  Barrier barrier(threads);
  Work<T> work{&chain, parameters, gradient, &barrier};
  chain.begin();
  ComputeThread::instance().run_and_wait(
      threads,
      [](void* context, int thread, int count) noexcept {
        const auto& w = *static_cast<Work<T>*>(context);
        w.chain->apply(w.parameters, w.gradient, {w.barrier, thread, count});
      },
      &work);
  REQUIRE(chain.finite());
  chain.end();
}

template <Scalar T>
std::vector<T> gradient_of(std::int64_t count, unsigned step) {
  std::vector<T> flat;
  for (const double x : test::random_values(static_cast<std::size_t>(count), step + 1)) {
    flat.push_back(static_cast<T>(x * (1 + step % 3)));
  }
  return flat;
}

TEST_CASE_TEMPLATE("a chain does the same to the arena as to flat tensors, on any number of threads", T, float, double) {
  std::unique_ptr<const Network<T>> network;
  REQUIRE(Network<T>::create(network_spec(), network).ok());
  const std::int64_t count = network->parameter_count();
  const auto arena = [&](const std::vector<T>& flat) {
    AlignedBuffer<T> buffer(static_cast<std::size_t>(network->arena_size()));
    network->template to_arena<T>(flat, buffer.span());
    return buffer;
  };
  const std::vector<T> parameters = gradient_of<T>(count, 99);
  const AlignedBuffer<T> placed = arena(parameters);
  for (const ChainCase& c : chain_cases()) {
    CAPTURE(c.name);
    const auto flat_chain = make_chain<T>(c.specs, GradientLayout(shapes_of(network->tensors())));
    std::vector<std::unique_ptr<GradientChain<T>>> chains;
    for (int threads = 1; threads <= 3; ++threads) chains.push_back(make_chain<T>(c.specs, GradientLayout(*network)));
    bool changed = false;
    for (unsigned step = 0; step < 6; ++step) {
      const std::vector<T> given = gradient_of<T>(count, step);
      std::vector<T> flat = given;
      run<T>(*flat_chain, parameters.data(), flat.data(), 1);
      changed = changed || flat != given;
      std::vector<T> first;
      for (int threads = 1; threads <= 3; ++threads) {
        CAPTURE(threads);
        AlignedBuffer<T> gradient = arena(given);
        run<T>(*chains[std::size_t(threads - 1)], placed.data(), gradient.data(), threads);
        std::vector<T> out(static_cast<std::size_t>(count));
        network->template to_public<T>(gradient.span(), out);
        const AlignedBuffer<T> again = arena(out);
        CHECK(std::equal(again.span().begin(), again.span().end(), gradient.span().begin()));  // padding is 0 still
        if (threads == 1) first = out;
        CHECK((out == first));
        double worst = 0;
        for (std::size_t i = 0; i < out.size(); ++i) worst = std::max(worst, std::abs(double(out[i]) - double(flat[i])));
        CHECK(worst <= (sizeof(T) == 4 ? 2e-5 : 1e-11));
        CHECK(chains[std::size_t(threads - 1)]->norm_before() == doctest::Approx(flat_chain->norm_before()));
        CHECK(chains[std::size_t(threads - 1)]->norm_after() == doctest::Approx(flat_chain->norm_after()));
      }
    }
    CHECK(changed);
  }
}

TEST_CASE_TEMPLATE("training with a chain resumes to the same bits", T, float, double) {
  test::TaskCase c = test::task_cases().front();
  TrainingOptions options = test::options_of(c.tasks, test::sgd(0.05, 0.9));
  options.gradient = chain_cases().back().specs;
  const auto data = c.table.dataset();
  const auto whole = test::make_model<T>(c.spec);
  test::Log unbroken;
  const TrainingState end = test::train<T>(whole, data, options, unbroken);
  REQUIRE(unbroken.end.reason == EndReason::kCompleted);
  for (const std::int64_t cut : {1, 2, 7}) {
    CAPTURE(cut);
    const auto begun = test::make_model<T>(c.spec);
    test::Log first, second;
    TrainingOptions rest = options;
    rest.state = test::train_until<T>(begun, data, options, cut, first);
    rest.has_state = true;
    const auto resumed = test::make_model<T>(c.spec, 99);
    resumed->template write<double>(test::parameters_of(*begun));
    const TrainingState state = test::train<T>(resumed, data, rest, second);
    CHECK((test::parameters_of(*resumed) == test::parameters_of(*whole)));
    CHECK((state.arrays == end.arrays));
    CHECK((state.plain == end.plain));
  }
}

TEST_CASE("a chain refuses what it cannot do") {
  const GradientLayout layout({{4, 3}, {4}});
  const auto argument = [&](const GradientTransformSpec& spec) {
    std::unique_ptr<GradientChain<double>> chain;
    const Status status = GradientChain<double>::create({spec}, layout, chain);
    CHECK(!status.ok());
    return std::string(status.argument);
  };
  using Groups = ClipByLayerNormSpec::Groups;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(argument(ClipByValueSpec{0}) == "gradient.limit");
  CHECK(argument(ClipByGlobalNormSpec{nan, 0}) == "gradient.maxNorm");
  CHECK(argument(ClipByGlobalNormSpec{1, -1}) == "gradient.epsilon");
  CHECK(argument(ClipByLayerNormSpec{1, 0, Groups::kLayer, {}}) == "gradient.groups");
  CHECK(argument(ClipByLayerNormSpec{1, 0, Groups::kListed, {{0}, {2}}}) == "gradient.groups");
  CHECK(argument(ClipByLayerNormSpec{1, 0, Groups::kListed, {{0, 0}}}) == "gradient.groups");
  CHECK(argument(AdaptiveClipSpec{0, 1e-3, {}}) == "gradient.clipping");
  CHECK(argument(AdaptiveClipSpec{0.1, 0, {}}) == "gradient.epsilon");
  CHECK(argument(AdaptiveClipSpec{0.1, 1e-3, {2}}) == "gradient.exclude");
  CHECK(argument(AutoClipSpec{101, 0}) == "gradient.percentile");
  CHECK(argument(AutoClipSpec{10, -1}) == "gradient.window");
  CHECK(argument(AsymmetricSmoothingSpec{1, 0.5, true}) == "gradient.decayPositive");
  CHECK(argument(AsymmetricSmoothingSpec{0.5, -0.1, true}) == "gradient.decayNegative");
  CHECK(argument(LowRankFilterSpec{3, 0.9, 1, 1, 0}) == "gradient.rank");
  CHECK(argument(LowRankFilterSpec{0, 0.9, 1, 1, 0}) == "gradient.rank");
  CHECK(argument(LowRankFilterSpec{1, 1, 1, 1, 0}) == "gradient.decay");
  CHECK(argument(LowRankFilterSpec{1, 0.9, 0, 1, 0}) == "gradient.refresh");
  CHECK(argument(LowRankFilterSpec{1, 0.9, 1, -1, 0}) == "gradient.warmup");
  CHECK(argument(LowRankFilterSpec{1, 0.9, 1, 1, 2}) == "gradient.residual");
  CHECK(argument(DirectionalBiasSpec{1, 1, 1, false}) == "gradient.decay");
  CHECK(argument(DirectionalBiasSpec{0.9, nan, 1, false}) == "gradient.parallel");
  std::unique_ptr<GradientChain<double>> chain;
  CHECK(!GradientChain<double>::create({}, layout, chain).ok());
}

TEST_CASE("a gradient whose norm is not finite is left alone and not remembered") {
  const std::vector<std::vector<std::int64_t>> shapes = {{3}};
  std::unique_ptr<GradientChain<double>> chain;
  REQUIRE(GradientChain<double>::create({AsymmetricSmoothingSpec{}}, GradientLayout(shapes), chain).ok());
  const double infinity = std::numeric_limits<double>::infinity();
  double gradient[] = {1, infinity, 3};
  chain->begin();
  chain->apply(nullptr, gradient, Member{});
  CHECK(!chain->finite());
  CHECK(gradient[0] == 1);
  CHECK(gradient[1] == infinity);
  for (const auto& [name, values] : chain->memory().arrays) CHECK(std::accumulate(values.begin(), values.end(), 0.0) == 0);
  gradient[1] = 2;
  chain->begin();
  chain->apply(nullptr, gradient, Member{});
  CHECK(chain->finite());
  CHECK(gradient[1] == doctest::Approx(2));
}

}  // namespace
}  // namespace krylov
