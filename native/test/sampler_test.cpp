// Draws of every sampler: their distribution, that the weighted gradient is
// unbiased, and that runs go on to the same bits for any number of threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "support/comparison.h"
#include "support/training_fixture.h"
#include "training/sampler.h"

namespace krylov {
namespace {

using Rows = std::vector<std::uint32_t>;

std::unique_ptr<Sampler> sampler_of(const SamplingSpec& spec, const SamplerInput& input) {
  std::unique_ptr<Sampler> sampler;
  const Status status = make_sampler(spec, input, sampler);
  INFO(std::string(status.argument), ": ", std::string(status.expected));
  REQUIRE(status.ok());
  return sampler;
}

SamplerInput input_of(std::int64_t rows, std::int64_t batch_size, std::int64_t epochs = 10) {
  SamplerInput input;
  input.rows_of_data = rows;
  input.seed = 5;
  input.batch_size = batch_size;
  input.epochs = epochs;
  return input;
}

SamplingSpec spec_of(SamplingKind kind) {
  SamplingSpec spec;
  spec.kind = kind;
  return spec;
}

Rows rows_of(const Draw& draw) { return {draw.rows.begin(), draw.rows.end()}; }

// Within five standard deviations of a binomial number.
void check_share(double count, double draws, double probability) {
  CHECK(std::abs(count - draws * probability) <= 5 * std::sqrt(draws * probability * (1 - probability)) + 1e-9);
}

TEST_CASE("sampling: probabilities, weights and what they save") {
  const std::vector<double> scores{3, 1, 0.5, 0.5};
  std::vector<double> p(4);
  importance_probabilities(scores, 0, p);
  CHECK(p == std::vector<double>{0.6, 0.2, 0.1, 0.1});
  CHECK(variance_reduction(p) == doctest::Approx(std::sqrt(4 * 0.42)).epsilon(1e-14));
  importance_probabilities(scores, 1, p);
  CHECK(p[0] == doctest::Approx(4.0 / 9).epsilon(1e-14));
  mixed_probabilities(scores, 0.5, p);
  CHECK(p[2] == doctest::Approx(0.175).epsilon(1e-14));
  for (const double bad : {0.0, std::nan("")}) {
    mixed_probabilities(std::vector<double>{bad, 0, 0, 0}, 1, p);
    CHECK(p == std::vector<double>(4, 0.25));
    CHECK(variance_reduction(p) == 1);
  }
  CHECK(importance_threshold(24, 8, 1) == 2);
  CHECK(importance_threshold(24, 8, 2) == 3);
  CHECK(effective_sample_size(std::vector<double>{2, 2, 2}) == doctest::Approx(3));
  CHECK(effective_sample_size(std::vector<double>{1, 0, 0}) == 1);
}

TEST_CASE("sampling: the weighted gradient of every draw of two, taken with its probability, is that of the pool") {
  const std::vector<double> scores{3, 1, 0.5, 2}, gradients{-2, 5, 0.25, 1};
  for (const double constant : {0.0, 0.7}) {
    std::vector<double> p(4), w(2);
    importance_probabilities(scores, constant, p);
    double expected = 0, total = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      for (std::uint32_t j = 0; j < 4; ++j) {
        const Rows picked{i, j};
        importance_weights(p, picked, w);
        expected += p[i] * p[j] * (w[0] * gradients[i] + w[1] * gradients[j]) / 2;
        total += p[i] * p[j];
      }
    }
    CHECK(total == doctest::Approx(1).epsilon(1e-14));
    CHECK(expected == doctest::Approx((-2 + 5 + 0.25 + 1) / 4).epsilon(1e-14));
  }
}

TEST_CASE("sampling: softened weights keep the sum of weights times scores") {
  const std::vector<double> scores{3, 1, 0.5, 0.5};
  std::vector<double> p(4), plain(4), soft(4);
  importance_probabilities(scores, 0, p);
  const Rows picked{0, 0, 1, 3};
  importance_weights(p, picked, plain);
  soft = plain;
  soften_weights(soft, picked, scores, 0.5);
  const auto total = [&](const std::vector<double>& w) {
    double sum = 0;
    for (std::size_t i = 0; i < 4; ++i) sum += w[i] * scores[picked[i]];
    return sum;
  };
  CHECK(total(soft) == doctest::Approx(total(plain)).epsilon(1e-14));
  CHECK(soft[3] / soft[0] == doctest::Approx(std::sqrt(plain[3] / plain[0])).epsilon(1e-14));
}

TEST_CASE("sampling: a discrete distribution is drawn from as it says") {
  const std::vector<double> weights{0, 1, 3, 0, 4, 0};
  DiscreteDistribution distribution(8);
  distribution.assign(weights);
  CHECK(distribution.at(0) == 1);
  CHECK(distribution.at(0.125) == 2);
  CHECK(distribution.at(1 - 0x1p-53) == 4);
  constexpr int kDraws = 40'000;
  std::vector<double> counts(6);
  for (int i = 0; i < kDraws; ++i) counts[distribution.at((i + 0.5) / kDraws)] += 1;
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::abs(counts[i] - kDraws * weights[i] / 8) <= 1);
}

TEST_CASE("sampling: rows of a subset, and the same draws from a position on") {
  const Rows subset{2, 3, 5, 7, 11, 13, 17, 19, 23, 29};
  for (const SamplingKind kind : {SamplingKind::kShuffled, SamplingKind::kReplacement, SamplingKind::kPoisson,
                                  SamplingKind::kWeighted, SamplingKind::kImportance, SamplingKind::kHistory}) {
    CAPTURE(int(kind));
    SamplingSpec spec = spec_of(kind);
    if (kind == SamplingKind::kWeighted) spec.probabilities = std::vector<double>(30, 0.5);
    SamplerInput input = input_of(30, 3);
    input.rows = subset;
    const auto sampler = sampler_of(spec, input);
    CHECK(sampler->count() == 10);
    sampler->start_epoch(1);
    std::vector<Rows> draws;
    std::vector<std::int64_t> positions;
    while (!sampler->done()) {
      positions.push_back(sampler->position());
      draws.push_back(rows_of(sampler->next(3)));
      for (const std::uint32_t row : draws.back()) CHECK(std::find(subset.begin(), subset.end(), row) != subset.end());
    }
    CHECK(draws.size() == (kind == SamplingKind::kPoisson ? 3 : 4));
    CHECK(sampler->position() == 10);
    for (std::size_t i = 0; i < draws.size(); ++i) {
      const auto again = sampler_of(spec, input);
      again->start_epoch(1);
      again->set_position(positions[i]);
      CHECK(rows_of(again->next(3)) == draws[i]);
    }
    sampler->start_epoch(2);
    std::vector<Rows> others;
    while (!sampler->done()) others.push_back(rows_of(sampler->next(3)));
    CHECK(others != draws);
  }
}

TEST_CASE("sampling: with replacement every row is drawn alike") {
  const auto sampler = sampler_of(spec_of(SamplingKind::kReplacement), input_of(7, 50));
  std::vector<double> counts(7);
  double draws = 0;
  for (std::int64_t epoch = 0; epoch < 3000; ++epoch) {
    sampler->start_epoch(epoch);
    while (!sampler->done()) {
      const Draw draw = sampler->next(50);
      CHECK(draw.factors == nullptr);
      for (const std::uint32_t row : draw.rows) counts[row] += 1, draws += 1;
    }
  }
  CHECK(draws == 21'000);
  for (const double count : counts) check_share(count, draws, 1.0 / 7);
}

TEST_CASE("sampling: Poisson batches have binomial sizes and every row alike") {
  constexpr std::int64_t kCount = 60;
  for (const double rate : {0.0, 0.02, 0.5, 1.0}) {
    CAPTURE(rate);
    SamplingSpec spec = spec_of(SamplingKind::kPoisson);
    spec.rate = rate;
    const double q = rate == 0 ? 6.0 / 60 : rate;
    const auto sampler = sampler_of(spec, input_of(kCount, 6));
    const auto most = static_cast<std::size_t>(largest_draw(spec, kCount, 6));
    std::vector<double> counts(kCount);
    double draws = 0, sum = 0, squares = 0, empty = 0, pairs = 0;
    for (std::int64_t epoch = 0; epoch < 4000; ++epoch) {
      sampler->start_epoch(epoch);
      std::int64_t steps = 0;
      while (!sampler->done()) {
        const Rows rows = rows_of(sampler->next(6));
        CHECK(std::is_sorted(rows.begin(), rows.end()));
        CHECK(std::set<std::uint32_t>(rows.begin(), rows.end()).size() == rows.size());
        REQUIRE(rows.size() <= most);
        for (const std::uint32_t row : rows) counts[row] += 1;
        const auto size = static_cast<double>(rows.size());
        sum += size, squares += size * size, draws += 1, ++steps;
        empty += rows.empty() ? 1 : 0;
        const auto has = [&](std::uint32_t row) { return std::binary_search(rows.begin(), rows.end(), row); };
        pairs += has(8) && has(9) ? 1 : 0;
      }
      CHECK(steps == poisson_steps(q));
    }
    const double mean = q * kCount, variance = mean * (1 - q);
    CHECK(std::abs(sum / draws - mean) <= 5 * std::sqrt(variance / draws) + 1e-12);
    // The variance of a sample's variance is about 2 v^2 / n, and a little more for few rows.
    CHECK(std::abs(squares / draws - mean * mean - variance) <=
          (2 * mean * 5 * std::sqrt(variance / draws)) + 5 * std::sqrt((2 * variance * variance + variance) / draws) + 1e-9);
    check_share(empty, draws, std::pow(1 - q, kCount));
    check_share(pairs, draws, q * q);
    for (const double count : counts) check_share(count, draws, q);
  }
}

TEST_CASE("sampling: fixed probabilities with and without factors") {
  SamplingSpec spec = spec_of(SamplingKind::kWeighted);
  spec.probabilities = {1, 2, 3, 4};
  for (const bool unbiased : {true, false}) {
    spec.unbiased = unbiased;
    const auto sampler = sampler_of(spec, input_of(4, 4));
    std::vector<double> counts(4);
    for (std::int64_t epoch = 0; epoch < 5000; ++epoch) {
      sampler->start_epoch(epoch);
      const Draw draw = sampler->next(4);
      CHECK((draw.factors != nullptr) == unbiased);
      for (std::size_t i = 0; i < draw.rows.size(); ++i) {
        counts[draw.rows[i]] += 1;
        if (unbiased) CHECK(draw.factors[i] * 4 * spec.probabilities[draw.rows[i]] / 10 == doctest::Approx(1).epsilon(1e-14));
      }
    }
    for (std::size_t i = 0; i < 4; ++i) check_share(counts[i], 20'000, spec.probabilities[i] / 10);
  }
}

TEST_CASE("sampling: importance waits for tau, then draws by the pool's scores") {
  SamplingSpec spec = spec_of(SamplingKind::kImportance);
  spec.start_threshold = 1.2;
  const auto sampler = sampler_of(spec, input_of(400, 4));
  const auto shuffled = sampler_of(spec_of(SamplingKind::kShuffled), input_of(400, 4));
  sampler->start_epoch(0);
  shuffled->start_epoch(0);
  // tau of one score of 1 among four of 0 is 2: 2 (1 - 0.9^k) passes 1.2 at k = 9.
  for (int k = 1; k <= 9; ++k) {
    CHECK(sampler->pool(4).empty());
    const Draw draw = sampler->next(4);
    CHECK(draw.factors == nullptr);
    CHECK(rows_of(draw) == rows_of(shuffled->next(4)));
    sampler->learn(std::vector<double>{0, 0, 1, 0});
  }
  // A copy goes on from the state.
  TrainingState state;
  state.updates = 9;
  sampler->save(state);
  const auto copy = sampler_of(spec, input_of(400, 4));
  REQUIRE(restore_sampler(*copy, state).ok());
  CHECK(state.numbers.empty());
  copy->start_epoch(0);
  copy->set_position(sampler->position());
  for (Sampler* one : {sampler.get(), copy.get()}) {
    const Rows pool(one->pool(4).begin(), one->pool(4).end());
    CHECK(pool.size() == 12);
    const std::vector<double> scores{1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5};
    const Draw draw = one->next(4, scores);
    REQUIRE(draw.factors != nullptr);
    for (std::size_t i = 0; i < 4; ++i) {
      const auto at = static_cast<std::size_t>(std::llround(8 / (12 * draw.factors[i])));  // the score
      CHECK((at == 1 || at == 2 || at == 5));
      CHECK(draw.rows[i] == pool[at == 1 ? 0 : at == 2 ? 3 : 11]);
    }
    one->learn({});
    StepNumbers numbers;
    one->describe(numbers);
    REQUIRE(numbers.numbers.size() == 3);
    CHECK(std::string(numbers.numbers[0].first) == "importanceTau");
    const double tau = std::sqrt(12.0 * (1 + 4 + 25)) / 8;
    CHECK(numbers.numbers[0].second == doctest::Approx(0.9 * 2 * (1 - std::pow(0.9, 9)) + 0.1 * tau).epsilon(1e-12));
    CHECK(numbers.numbers[1].second == 1);
  }
}

TEST_CASE("sampling: history draws by the epoch before, and goes on from a state") {
  SamplingSpec spec = spec_of(SamplingKind::kHistory);
  const auto sampler = sampler_of(spec, input_of(5, 5, 2));
  sampler->start_epoch(0);
  std::vector<double> figures(5, 0.0);
  std::vector<bool> seen(5, false);
  const Draw first = sampler->next(5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(first.factors[i] == doctest::Approx(1).epsilon(1e-14));
    const double record = 0.5 + double(i);
    const std::uint32_t row = first.rows[i];
    figures[row] = seen[row] ? (figures[row] + record) / 2 : record;
    seen[row] = true;
  }
  sampler->learn(std::vector<double>{0.5, 1.5, 2.5, 3.5, 4.5});
  TrainingState between, later;
  sampler->save(between);
  between.updates = 1;
  sampler->start_epoch(1);
  sampler->save(later);
  later.updates = 1;
  const double sum = std::accumulate(figures.begin(), figures.end(), 0.0);
  // A state from between the epochs, and one from within the second.
  for (TrainingState state : {between, later}) {
    const auto copy = sampler_of(spec, input_of(5, 5, 2));
    REQUIRE(restore_sampler(*copy, state).ok());
    copy->start_epoch(1);
    const Draw draw = copy->next(5);
    for (std::size_t i = 0; i < 5; ++i) {
      const double q = 0.5 * figures[draw.rows[i]] / sum + 0.5 / 5;
      CHECK(draw.factors[i] * 5 * q == doctest::Approx(1).epsilon(1e-12));
    }
  }
  later.plain[0].second[0] = -3;
  const auto copy = sampler_of(spec, input_of(5, 5, 2));
  CHECK(restore_sampler(*copy, later).code == ErrorCode::kShape);
  TrainingState none;
  none.updates = 1;
  CHECK(restore_sampler(*copy, none).code == ErrorCode::kState);
}

TEST_CASE("sampling: what is refused") {
  std::unique_ptr<Sampler> sampler;
  const SamplerInput input = input_of(4, 2);
  const auto refused = [&](const SamplingSpec& spec) { return !make_sampler(spec, input, sampler).ok(); };
  SamplingSpec spec = spec_of(SamplingKind::kPoisson);
  for (const double rate : {0.2, 1.5, -1.0}) {
    spec.rate = rate;
    CHECK(refused(spec));
  }
  spec = spec_of(SamplingKind::kWeighted);
  for (const std::vector<double>& p : {std::vector<double>{1, 1, 1}, {1, 0, 1, 1}, {1, -1, 1, 1}, {0, 0, 0, 0}}) {
    spec.probabilities = p;
    CHECK(refused(spec));
  }
  spec.probabilities = {1, 0, 1, 1};
  spec.unbiased = false;
  CHECK(!refused(spec));
  spec = spec_of(SamplingKind::kImportance);
  CHECK(!refused(spec));
  spec.presample = 0.5;
  CHECK(refused(spec));
  spec = spec_of(SamplingKind::kImportance);
  spec.smoothing = -1;
  CHECK(refused(spec));
  spec = spec_of(SamplingKind::kImportance);
  spec.bias_power = 2;
  CHECK(refused(spec));
}

std::vector<SamplingSpec> specs_of_training() {
  std::vector<SamplingSpec> specs;
  specs.push_back(spec_of(SamplingKind::kReplacement));
  specs.push_back(spec_of(SamplingKind::kPoisson));
  specs.push_back(spec_of(SamplingKind::kWeighted));
  for (std::int64_t r = 0; r < test::kRows; ++r) specs.back().probabilities.push_back(1 + double(r % 7));
  specs.push_back(spec_of(SamplingKind::kHistory));
  for (const RowScore score : {RowScore::kUpperBound, RowScore::kGradientNorm, RowScore::kLoss}) {
    SamplingSpec importance = spec_of(SamplingKind::kImportance);
    importance.score = score;
    importance.start_threshold = 0.5;  // on after some steps
    importance.smoothing_fraction = 0.1;
    specs.push_back(importance);
  }
  return specs;
}

TEST_CASE_TEMPLATE("sampling: runs give the same bits for any number of threads and after a resume", T, float, double) {
  const test::TaskCase c = test::task_cases().front();
  for (const OptimizerSpec& rule : {test::adam(0.01), test::classical_momentum(0.05, 0.9, "lookahead")}) {
    for (const SamplingSpec& spec : specs_of_training()) {
      CAPTURE(int(spec.kind));
      CAPTURE(int(spec.score));
      TrainingOptions options = test::options_of(c.tasks, rule);
      options.sampling = spec;
      test::Values whole;
      TrainingState end;
      for (const int threads : {1, 2, 3}) {
        options.threads = threads;
        const auto model = test::make_model<T>(c.spec);
        test::Log log;
        const TrainingState state = test::train<T>(model, c.table.dataset(), options, log);
        CHECK(log.end.reason == EndReason::kCompleted);
        if (threads == 1) {
          whole = test::parameters_of(*model), end = state;
        } else {
          CHECK((test::parameters_of(*model) == whole));
          CHECK((state.numbers == end.numbers));
          CHECK((state.plain == end.plain));
        }
      }
      for (const std::int64_t cut : {1, 8, 12}) {
        CAPTURE(cut);
        const auto begun = test::make_model<T>(c.spec);
        test::Log first, second;
        TrainingOptions rest = options;
        rest.state = test::train_until<T>(begun, c.table.dataset(), options, cut, first);
        rest.has_state = true;
        const auto resumed = test::make_model<T>(c.spec, 99);
        resumed->template write<double>(test::parameters_of(*begun));
        const TrainingState state = test::train<T>(resumed, c.table.dataset(), rest, second);
        CHECK((test::parameters_of(*resumed) == whole));
        CHECK((state.numbers == end.numbers));
        CHECK((state.plain == end.plain));
      }
    }
  }
}

TEST_CASE("sampling: Poisson's empty batches are no updates") {
  const test::TaskCase c = test::task_cases().front();
  TrainingOptions options = test::options_of(c.tasks, test::adam(0.01));
  options.sampling = spec_of(SamplingKind::kPoisson);
  options.sampling->rate = 1.0 / double(test::kRows);
  options.epochs = 1;
  const auto model = test::make_model<double>(c.spec);
  test::Log log;
  test::train<double>(model, c.table.dataset(), options, log);
  // Of kRows draws a share of 1/e is empty.
  CHECK(log.end.reason == EndReason::kCompleted);
  check_share(double(log.end.updates), double(test::kRows), 1 - std::exp(-1.0));
  CHECK(log.end.updates < test::kRows);
}

}  // namespace
}  // namespace krylov
