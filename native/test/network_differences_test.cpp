// Derivatives of the fast float64 network, losses included, against 4-point
// differences of the twin: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h. The
// differences for h and h / 2 tell how far they can be trusted; where a kink
// lies between the points they disagree, and the direction is left out.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/kernel_table.h"
#include "network_fixture.h"
#include "reference/reference_losses.h"

namespace krylov::test {
namespace {

using reference::ReferenceNetwork;
using reference::Sample;
using reference::Target;

constexpr std::size_t kRows = 3;
constexpr double kStep = 1.0 / 512;
// Of the agreement of the two differences; beyond it something is not smooth.
constexpr double kTrusted = 1e-6;

double difference(const std::function<double(double)>& f, double h) {
  return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
}

struct Estimate {
  double value, error;
};
// Empty where the function is not smooth around 0. The error: the truncation, which falls 16-fold from h to
// h / 2, and the rounding of values of size |f|, amplified by 1 / h.
std::optional<Estimate> derivative(const std::function<double(double)>& f) {
  const double coarse = difference(f, kStep), fine = difference(f, kStep / 2);
  const double rounding = 64 * std::numeric_limits<double>::epsilon() * (std::abs(f(0)) + 1) / kStep;
  const double error = std::abs(coarse - fine) + rounding;
  if (error > kTrusted * (1 + std::abs(fine))) return std::nullopt;
  return Estimate{fine, error};
}

Values moved(const Values& parameters, const Values& direction, double step) {
  Values at = parameters;
  for (std::size_t i = 0; i < at.size(); ++i) at[i] += step * direction[i];
  return at;
}

// Some coordinate directions and some dense ones of unit length.
std::vector<Values> directions(std::size_t count) {
  std::vector<Values> all;
  const std::size_t stride = std::max<std::size_t>(1, count / 24);
  for (std::size_t i = 0; i < count; i += stride) {
    all.emplace_back(count, 0.0);
    all.back()[i] = 1;
  }
  for (unsigned seed = 1; seed <= 4; ++seed) {
    Values v = random_values(count, seed);
    double square = 0;
    for (const double x : v) square += x * x;
    for (double& x : v) x /= std::sqrt(square);
    all.push_back(v);
  }
  return all;
}

struct LossCase {
  LossSpec spec;
  bool smooth;
};

std::vector<LossCase> loss_cases() {
  const auto make = [](Loss kind, bool smooth) {
    LossCase c{{}, smooth};
    c.spec.kind = kind;
    return c;
  };
  std::vector<LossCase> all = {make(Loss::kMeanSquaredError, true),    make(Loss::kHuber, false),
                               make(Loss::kBinaryCrossEntropy, true),  make(Loss::kSoftmaxCrossEntropy, true),
                               make(Loss::kSoftmaxCrossEntropy, true), make(Loss::kMeanAbsoluteError, false)};
  all[0].spec.scale = 0.5;
  all[0].spec.sum_outputs = true;
  all[1].spec.delta = 0.6;
  all[2].spec.label_smoothing = 0.1;
  all[3].spec.class_targets = true;
  all[3].spec.label_smoothing = 0.2;
  return all;
}

// Weights of samples are 1, 1.5, 2; classes have weights in every other head that can.
double sample_weight(std::size_t row) { return 1 + 0.5 * static_cast<double>(row); }

struct Problem {
  std::vector<LossSpec> losses;              // one a head
  std::vector<std::vector<Target>> targets;  // [heads][rows]
  bool smooth = true;

  Problem(const std::vector<std::size_t>& widths, std::size_t first) {
    const std::vector<LossCase> cases = loss_cases();
    for (std::size_t h = 0; h < widths.size(); ++h) {
      LossCase c = cases[(first + h) % cases.size()];
      c.spec.weight = 1 - 0.25 * static_cast<double>(h);
      const bool classes = c.spec.kind == Loss::kSoftmaxCrossEntropy || c.spec.kind == Loss::kBinaryCrossEntropy;
      for (std::size_t k = 0; classes && first % 2 == 0 && k < widths[h]; ++k) {
        c.spec.class_weights.push_back(0.5 + 0.5 * static_cast<double>(k));
      }
      smooth = smooth && c.smooth;
      losses.push_back(c.spec);
      targets.emplace_back();
      for (std::size_t r = 0; r < kRows; ++r) {
        Target target;
        target.label = static_cast<std::int64_t>(r % widths[h]);
        target.values = random_values(widths[h], 60 + static_cast<unsigned>(r));
        for (double& t : target.values) t = std::abs(t);
        targets.back().push_back(target);
      }
    }
  }
};

double twin_loss(const ReferenceNetwork<double>& twin, const Problem& problem, const Batch& batch,
                 const Values& parameters) {
  double total = 0;
  for (std::size_t r = 0; r < batch.rows; ++r) {
    const auto outputs = twin.forward(Sample{parameters, batch.inputs[r]});
    for (std::size_t h = 0; h < outputs.size(); ++h) {
      total += problem.losses[h].weight * sample_weight(r) *
               sample_loss(problem.losses[h], outputs[h], problem.targets[h][r]);
    }
  }
  return total / static_cast<double>(batch.rows);
}

// d(loss)/d(outputs) of each head by the loss kernel, into the batch's cotangents; returns the loss.
double kernel_losses(const FastRun<double>& fast, const Problem& problem, Batch& batch) {
  double total = 0;
  for (std::size_t h = 0; h < problem.losses.size(); ++h) {
    const LossSpec& spec = problem.losses[h];
    const std::size_t width = batch.cotangents[0][h].size();
    const std::int64_t ld = round_up(static_cast<std::int64_t>(width), kPanel<double>);
    const std::size_t size = batch.rows * static_cast<std::size_t>(ld);
    Values outputs(size), targets(size), delta(size), weights, losses(batch.rows);
    std::vector<std::int32_t> classes;
    for (std::size_t r = 0; r < batch.rows; ++r) {
      const Target& target = problem.targets[h][r];
      const Values o = fast.outputs(r)[h];
      std::copy(o.begin(), o.end(), outputs.begin() + static_cast<std::ptrdiff_t>(r) * ld);
      std::copy(target.values.begin(), target.values.end(), targets.begin() + static_cast<std::ptrdiff_t>(r) * ld);
      classes.push_back(static_cast<std::int32_t>(target.label));
      weights.push_back(sample_weight(r));
      if (spec.class_targets && !spec.class_weights.empty()) {
        weights.back() *= spec.class_weights[static_cast<std::size_t>(target.label)];
      }
    }
    LossRows<double> a{};
    a.spec = &spec;
    a.outputs = outputs.data();
    a.rows = static_cast<std::int64_t>(batch.rows);
    a.columns = static_cast<std::int64_t>(width);
    a.ldo = a.ldt = a.ldd = ld;
    a.classes = spec.class_targets ? classes.data() : nullptr;
    a.targets = spec.class_targets ? nullptr : targets.data();
    a.weights = weights.data();
    a.seed = spec.weight / static_cast<double>(batch.rows);
    a.losses = losses.data();
    a.delta = delta.data();
    kernels<double>().loss_rows(a);
    for (std::size_t r = 0; r < batch.rows; ++r) {
      total += a.seed * losses[r];
      const auto row = delta.begin() + static_cast<std::ptrdiff_t>(r) * ld;
      batch.cotangents[r][h].assign(row, row + static_cast<std::ptrdiff_t>(width));
    }
  }
  return total;
}

}  // namespace

TEST_CASE("gradients of losses equal differences of the twin") {
  std::size_t first = 0, checked = 0, skipped = 0;
  for (const SpecCase& spec_case : spec_cases()) {
    const ReferenceNetwork<double> twin(spec_case.spec);
    const Problem problem(twin.head_widths(), first++);
    CAPTURE(spec_case.name);
    CAPTURE(static_cast<int>(problem.losses[0].kind));
    const Values parameters = random_values(twin.parameter_count(), 17, 0.75);
    Batch batch = random_batch(spec_case.spec, twin.head_widths(), kRows, 51);
    FastRun<double> fast(spec_case.spec, parameters, kRows);
    fast.run(batch);
    const double loss = kernel_losses(fast, problem, batch);
    fast.run(batch);
    const Values gradient = fast.gradient(1);
    CHECK(loss == doctest::Approx(twin_loss(twin, problem, batch, parameters)).epsilon(1e-12));
    for (const Values& v : directions(parameters.size())) {
      const auto want = derivative([&](double h) { return twin_loss(twin, problem, batch, moved(parameters, v, h)); });
      CHECK((want || !spec_case.smooth || !problem.smooth));
      if (!want) {
        ++skipped;
        continue;
      }
      ++checked;
      double got = 0;
      for (std::size_t i = 0; i < v.size(); ++i) got += gradient[i] * v[i];
      CAPTURE(got);
      CAPTURE(want->value);
      CHECK(std::abs(got - want->value) <= want->error);
    }
  }
  CHECK(skipped * 10 < checked);
}

TEST_CASE("tangents equal differences of the twin") {
  std::size_t checked = 0, skipped = 0;
  for (const SpecCase& spec_case : spec_cases()) {
    CAPTURE(spec_case.name);
    const ReferenceNetwork<double> twin(spec_case.spec);
    const Values parameters = random_values(twin.parameter_count(), 18, 0.75);
    const Batch batch = random_batch(spec_case.spec, twin.head_widths(), kRows, 52);
    FastRun<double> fast(spec_case.spec, parameters, kRows);
    fast.run(batch);
    for (const Values& v : directions(parameters.size())) {
      fast.tangent(v);
      for (std::size_t r = 0; r < kRows; ++r) {
        const auto tangents = fast.tangents(r);
        for (std::size_t h = 0; h < tangents.size(); ++h) {
          const std::size_t k = r % tangents[h].size();
          const auto want = derivative(
              [&](double step) { return twin.forward(Sample{moved(parameters, v, step), batch.inputs[r]})[h][k]; });
          CHECK((want || !spec_case.smooth));
          if (!want) {
            ++skipped;
            continue;
          }
          ++checked;
          CHECK(std::abs(tangents[h][k] - want->value) <= want->error);
        }
      }
    }
  }
  CHECK(skipped * 10 < checked);
}

}  // namespace krylov::test
