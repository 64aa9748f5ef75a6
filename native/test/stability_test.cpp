// Stability thresholds against vectors of test/golden/solvers and against the
// definition with Kronecker products; the softmax radius likewise.
#include "krylov/stability.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "krylov/step_control.h"
#include "solvers/dense.h"
#include "support/comparison.h"
#include "support/function_objective.h"
#include "test/network_fixture.h"

namespace krylov {
namespace {

using Values = std::vector<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

StabilityResult stability_of(const Values& rows, std::int64_t samples, std::int64_t per_sample,
                             std::vector<std::int64_t> batches) {
  Session session;
  Team team;
  const std::int64_t columns = std::ssize(rows) / samples / per_sample;
  return test::run(session, stability(session, rows.data(), samples, per_sample, columns, std::move(batches)), team);
}

// stability.json
TEST_CASE("stability: thresholds of scalar outputs") {
  const Values rows{0.5050873329030339,  0.7140911883936301, 0.9948529039135476,  -0.8106529667885488,
                    -0.1948775168829419, 1.7787689464946672, -0.4386632203624956, 0.07187404131021168,
                    1.1509833933239062,  0.6511287378334691, -0.338106012770322,  -1.7906176346398037,
                    -1.152866046197455,  2.0651719754597493, -0.3759918511368092, 0.7184406357947746,
                    -0.3142448782271003, 0.574721866025694};
  struct Golden {
    std::int64_t batch;
    double mean_square, necessary;
  };
  const std::vector<Golden> golden{
      {1, 0.3844027964976315, 3.8778112269888925},
      {2, 0.7358170111375432, 2.3353705729287695},
      {3, 1.0359931163569276, 1.8212236882420618},
      {6, 1.2267276779385525, 1.307076803555354},
  };
  const StabilityResult result = stability_of(rows, 6, 1, {1, 2, 3, 6});
  CHECK(result.largest_eigenvalue == doctest::Approx(1.6303536929735603).epsilon(1e-9));
  CHECK(result.trace == doctest::Approx(2.926915561926397).epsilon(1e-9));
  CHECK(result.frobenius == doctest::Approx(1.9559405504664955).epsilon(1e-9));
  REQUIRE(result.cases.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(result.cases[i].batch == golden[i].batch);
    CHECK(result.cases[i].mean_square_threshold == doctest::Approx(golden[i].mean_square).epsilon(1e-9));
    CHECK(result.cases[i].necessary_bound == doctest::Approx(golden[i].necessary).epsilon(1e-9));
  }
}

// 2 / lambda_max(C^+ D) from the Kronecker products themselves.
double threshold_by_definition(const Values& rows, std::int64_t samples, std::int64_t per_sample, std::int64_t d,
                               std::int64_t batch) {
  const auto cells = static_cast<std::size_t>(d * d);
  std::vector<Values> parts;
  Values whole(cells, 0.0);
  for (std::int64_t i = 0; i < samples; ++i) {
    Values part(cells, 0.0);
    for (std::int64_t r = i * per_sample; r < (i + 1) * per_sample; ++r) {
      for (std::int64_t a = 0; a < d; ++a) {
        for (std::int64_t b = 0; b < d; ++b)
          part[std::size_t(a * d + b)] += rows[std::size_t(r * d + a)] * rows[std::size_t(r * d + b)];
      }
    }
    for (std::size_t k = 0; k < cells; ++k) whole[k] += part[k] / double(samples);
    parts.push_back(part);
  }
  const double p = double(samples - batch) / (double(batch) * double(samples - 1));
  const std::int64_t side = d * d;
  Values c(cells * cells), dd(cells * cells), values(cells), vectors(cells * cells);
  const auto h = [&](const Values& m, std::int64_t a, std::int64_t b) { return m[std::size_t(a * d + b)]; };
  for (std::int64_t r = 0; r < side; ++r) {
    for (std::int64_t s = 0; s < side; ++s) {
      const std::int64_t i = r / d, k = r % d, j = s / d, l = s % d;
      double sum = 0;
      for (const Values& part : parts) sum += h(part, i, j) * h(part, k, l) / double(samples);
      dd[std::size_t(r * side + s)] = (1 - p) * h(whole, i, j) * h(whole, k, l) + p * sum;
      c[std::size_t(r * side + s)] = 0.5 * ((k == l ? h(whole, i, j) : 0) + (i == j ? h(whole, k, l) : 0));
    }
  }
  symmetric_eigen(c.data(), side, values.data(), vectors.data());
  // Rows of W: eigenvectors of C over the roots of their values, those of its null space left out.
  std::int64_t kept = 0;
  Values w, product, projected;
  for (std::int64_t i = 0; i < side; ++i) {
    if (values[std::size_t(i)] < 1e-10 * values.back()) continue;
    ++kept;
    for (std::int64_t k = 0; k < side; ++k)
      w.push_back(vectors[std::size_t(i * side + k)] / std::sqrt(values[std::size_t(i)]));
  }
  product.resize(std::size_t(kept * side)), projected.resize(std::size_t(kept * kept)),
      values.resize(std::size_t(kept));
  multiply(w.data(), dd.data(), product.data(), kept, side, side);
  multiply_by_transposed(product.data(), w.data(), projected.data(), kept, side, kept);
  symmetric_eigen(projected.data(), kept, values.data(), nullptr);
  return 2 / values.back();
}

TEST_CASE("stability: thresholds equal the definition") {
  struct Case {
    std::int64_t samples, per_sample, columns;
  };
  for (const Case& c : {Case{4, 1, 3}, Case{5, 2, 4}, Case{3, 3, 4}, Case{2, 1, 5}, Case{7, 2, 2}}) {
    const Values rows = test::random_values(std::size_t(c.samples * c.per_sample * c.columns), unsigned(c.samples));
    std::vector<std::int64_t> batches;
    for (std::int64_t b = 1; b <= c.samples; ++b) batches.push_back(b);
    const StabilityResult result = stability_of(rows, c.samples, c.per_sample, batches);
    double before = 0;
    for (const StabilityCase& one : result.cases) {
      CAPTURE(c.samples);
      CAPTURE(one.batch);
      CHECK(
          one.mean_square_threshold ==
          doctest::Approx(threshold_by_definition(rows, c.samples, c.per_sample, c.columns, one.batch)).epsilon(1e-9));
      CHECK(one.necessary_bound <= 2 / one.mean_square_threshold * (1 + 1e-9));
      CHECK(one.mean_square_threshold >= before * (1 - 1e-9));
      before = one.mean_square_threshold;
    }
    CHECK(before == doctest::Approx(result.mean_threshold).epsilon(1e-9));
  }
}

TEST_CASE("stability: no curvature, one sample, an abort") {
  const StabilityResult flat = stability_of(Values(12, 0.0), 4, 1, {1, 4});
  CHECK(flat.largest_eigenvalue == 0);
  CHECK(flat.mean_threshold == kInfinity);
  CHECK(flat.cases[0].mean_square_threshold == kInfinity);
  CHECK(flat.cases[0].necessary_bound == 0);
  const StabilityResult one = stability_of({3, 4}, 1, 1, {1});
  CHECK(one.cases[0].noise_factor == 0);
  CHECK(one.cases[0].mean_square_threshold == doctest::Approx(2.0 / 25));
  Session session;
  Team team;
  session.stop();
  const Values rows{1, 2, 3, 4};
  const StabilityResult stopped = test::run(session, stability(session, rows.data(), 2, 1, 2, {1, 2}), team);
  CHECK(stopped.reason == SpectrumReason::kAborted);
  CHECK(stopped.cases.empty());
}

struct RadiusGolden {
  std::int64_t columns;
  Values logits, slopes, spread, binary;
  double length, radius, normalised, scale;
};

// softmax-radius.json
const std::vector<RadiusGolden>& radius_cases() {
  static const std::vector<RadiusGolden> cases{
      {2,
       {0.41861172659782064, -4.249663916767836, -0.9445566383248213, 0.6504387385209369, -0.8286235822628665,
        -0.49408739659961204, -0.7293585805598175, 0.4057661373762204, -1.5888929340148952, 0.26928549822846287},
       {2.740729398459206, 3.1226014583569714, -1.7828673689909058, -0.08159851296678355, -3.9413710804107067,
        0.718272607965371, 4.627832579434722, -1.0470530472477517, 0.14874693547662177, -1.3686285657295783},
       {0.3818720598977654, 1.7012688560241223, 4.659643688376078, 5.674885626682474, 1.5173755012062},
       {14.735132472202173, 2.070981303382121, 0.6780248438274467, 0.588624392678242, 2.405462993018992},
       0.35,
       0.5535957656694417,
       0.6322302692773647,
       1.0},
      {4,
       {0.19146796799215496, 1.9785036578547197,   -0.7004818017801944, 2.9793503928134517,  0.505717685541739,
        1.1221446925016345,  -1.1810674459526813,  4.762111931148321,   -1.0381827834565138, -1.3132353152582097,
        -4.060515522537613,  0.2673446110061696,   0.6920284834950002,  0.9584833887995299,  1.6941334291261765,
        2.06550141436693,    -0.15779300753848327, -0.6702570563377152, 2.215775551935175,   1.2631562812953951},
       {-4.4026504496182195, -5.601840683855814,  -2.1135749409439493, -5.227101187971204,  -5.8652266624318985,
        -3.299322642025749,  -1.3377492314455879, 0.715220703461831,   1.8921513781598756,  0.8395942029249477,
        2.7287066343069704,  -5.581176642302187,  -3.5235990369257193, -2.1622357220058266, -2.0059128052430966,
        6.263330063582752,   -1.2887779590138666, -0.5539859931304426, 2.7895265228209425,  -3.296034962722182},
       {3.4882657429118646, 6.580447365893729, 8.309883276609156, 9.786929100508472, 6.085561485543124},
       {},
       0.35,
       0.3209988160051731,
       1.090346700825088,
       0.9171394743004947},
  };
  return cases;
}

// The rows of a case, in rows of `ld` elements with NaN behind them.
template <Scalar T>
struct Padded {
  std::vector<T> outputs, slopes;
  RadiusRows<T> rows;

  Padded(const Values& logits, const Values& tilts, std::int64_t columns, std::int64_t ld) {
    const std::int64_t n = std::ssize(tilts) / columns;
    outputs.assign(std::size_t(n * ld), std::numeric_limits<T>::quiet_NaN());
    slopes = outputs;
    for (std::int64_t r = 0; r < n; ++r) {
      for (std::int64_t k = 0; k < columns; ++k) {
        if (!logits.empty()) outputs[std::size_t(r * ld + k)] = T(logits[std::size_t(r * columns + k)]);
        slopes[std::size_t(r * ld + k)] = T(tilts[std::size_t(r * columns + k)]);
      }
    }
    rows = {outputs.data(), ld, slopes.data(), ld, n, columns};
  }
};

TEST_CASE_TEMPLATE("softmax radius: golden cases", T, float, double) {
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-12;
  Team team;
  for (const RadiusGolden& c : radius_cases()) {
    const Padded<T> padded(c.logits, c.slopes, c.columns, c.columns + 3);
    Values spreads(c.spread.size()), radii(c.spread.size());
    RadiusOptions options;
    options.step_length = c.length;
    const StepRadius result = softmax_radius<T>(team, 1, padded.rows, options, spreads.data());
    CHECK(result.radius == doctest::Approx(c.radius).epsilon(tolerance));
    CHECK(result.normalised_step == doctest::Approx(c.normalised).epsilon(tolerance));
    CHECK(result.scale == doctest::Approx(c.scale).epsilon(tolerance));
    for (std::size_t r = 0; r < spreads.size(); ++r)
      CHECK(spreads[r] == doctest::Approx(c.spread[r]).epsilon(tolerance));
    // Logits over a temperature T: the radius grows by T.
    options.temperature = 2;
    CHECK(softmax_radius<T>(team, 1, padded.rows, options, spreads.data()).radius ==
          doctest::Approx(2 * c.radius).epsilon(tolerance));
    options.temperature = 1;
    options.exact_binary = true;
    const StepRadius exact = softmax_radius<T>(team, 1, padded.rows, options, radii.data());
    if (c.binary.empty()) {
      CHECK(exact.radius == result.radius);
      continue;
    }
    for (std::size_t r = 0; r < radii.size(); ++r) CHECK(radii[r] == doctest::Approx(c.binary[r]).epsilon(tolerance));
    CHECK(exact.radius == doctest::Approx(*std::min_element(c.binary.begin(), c.binary.end())).epsilon(tolerance));
    CHECK(exact.radius >= result.radius);
  }
}

TEST_CASE("softmax radius: one logit, nothing that moves, targets, quantiles, NaN") {
  Team team;
  Values scratch(10);
  RadiusOptions options;
  options.step_length = 2;
  const double pi = 3.14159265358979323846;
  const Padded<double> sigmoid({0.5, -3, 1}, {0.25, -2, 1}, 1, 8);
  CHECK(softmax_radius<double>(team, 1, sigmoid.rows, options, scratch.data()).radius == doctest::Approx(pi / 2));
  options.exact_binary = true;
  CHECK(softmax_radius<double>(team, 1, sigmoid.rows, options, scratch.data()).radius ==
        doctest::Approx(std::sqrt(9 + pi * pi) / 2));
  options.exact_binary = false;

  for (const bool exact : {false, true}) {
    options.exact_binary = exact;
    const Padded<double> same({3, 4, 0, 1}, {1, 1, 2, 2}, 2, 2);
    const StepRadius none = softmax_radius<double>(team, 1, same.rows, options, scratch.data());
    CHECK(none.radius == kInfinity);
    CHECK(none.normalised_step == 0);
    CHECK(none.scale == 1);
  }
  options.exact_binary = false;
  options.step_length = 0;
  const Padded<double> ten({}, {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10}, 2, 2);
  CHECK(softmax_radius<double>(team, 1, ten.rows, options, scratch.data()).scale == 1);
  options.step_length = 1;
  CHECK(softmax_radius<double>(team, 1, ten.rows, options, scratch.data()).scale == doctest::Approx(pi / 10));
  options.target = 0.5;
  CHECK(softmax_radius<double>(team, 1, ten.rows, options, scratch.data()).scale == doctest::Approx(pi / 20));
  for (const double quantile : {1.0, 0.9, 0.5, 0.1, 0.0}) {
    options.quantile = quantile;
    const double spread = softmax_radius<double>(team, 1, ten.rows, options, scratch.data()).spread;
    CHECK(spread == std::max(1.0, 10 * quantile));
  }
  Padded<double> broken({}, {0, 1, 0, 2, 0, 3}, 2, 2);
  broken.slopes[2] = std::nan("");
  for (const double quantile : {1.0, 0.9}) {
    options.quantile = quantile;
    CHECK(std::isnan(softmax_radius<double>(team, 1, broken.rows, options, scratch.data()).scale));
  }
  broken.rows.rows = 0;
  CHECK(softmax_radius<double>(team, 1, broken.rows, options, scratch.data()).scale == 1);
}

TEST_CASE_TEMPLATE("softmax radius: the same bits on any team", T, float, double) {
  const std::int64_t rows = 4099, columns = 17;
  const Values slopes = test::random_values(std::size_t(rows * columns), 8);
  const Padded<T> padded({}, slopes, columns, 32);
  RadiusOptions options;
  options.step_length = 3;
  std::vector<double> found, spreads;
  for (const int threads : {1, 2, 3}) {
    Team team;
    Values values(static_cast<std::size_t>(rows));
    std::function<void(Team&)> body = [&](Team& given) {
      found.push_back(softmax_radius<T>(given, threads, padded.rows, options, values.data()).scale);
      spreads.insert(spreads.end(), values.begin(), values.end());
    };
    team.serve(
        threads,
        [](void* context, Team& given) noexcept { (*static_cast<std::function<void(Team&)>*>(context))(given); },
        &body);
  }
  CHECK(found[1] == found[0]);
  CHECK(found[2] == found[0]);
  for (std::int64_t r = 0; r < 2 * rows; ++r) {
    if (spreads[std::size_t(r + rows)] != spreads[std::size_t(r % rows)]) FAIL("row " << r);
  }
}

}  // namespace
}  // namespace krylov
