#include "training/stability_probe.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "curvature/point_operator.h"
#include "krylov/rng.h"
#include "training/tasks.h"

namespace krylov {

namespace {

// Of the split stream: validation splits take step 0, chunks of curvature step 1.
constexpr std::uint64_t kSampleStep = 2;
// A block that the elements of no vector reach.
constexpr std::uint64_t kSeedBlock = ~std::uint64_t{0};
// Rows of the workspace: beyond these a product goes through the sample in parts.
constexpr std::int64_t kMostRows = 8192;

// Lanczos for the largest eigenvalue and Hutchinson's estimate of the trace, as `eigenpairs` and `trace` of scripts
// have them.
template <Scalar T>
Procedure<void> measure(Session& session, OperatorPort<T> b, StabilityOptions options, Probes<T> probes,
                        StabilityRecord& record) {
  const EigenpairsOptions largest{.tolerance = options.tolerance, .max_products = options.iterations};
  const EigenpairsResult<T> top = co_await eigenpairs<T>(session, b, largest, probes);
  record.iterations = top.products;
  record.reason = top.reason;
  if (!top.values.empty()) record.largest_eigenvalue = top.values[0], record.residual = top.residuals[0];
  if (top.reason == SpectrumReason::kNotFinite || top.reason == SpectrumReason::kAborted) co_return;
  // All the probes, so that the price of a record is known beforehand.
  const HutchinsonOptions all{.max_probes = options.probes, .tolerance = 0};
  const HutchinsonResult<T> spread = co_await hutchinson<T>(session, b, all, probes);
  const Estimate trace = estimate_of(spread.traces);
  record.trace = trace.mean;
  record.trace_error = trace.standard_error;
  record.probes = static_cast<std::int64_t>(spread.traces.size());
  const bool whole = spread.reason == SpectrumReason::kConverged || spread.reason == SpectrumReason::kMaxProducts;
  if (!whole) record.reason = spread.reason;
}

}  // namespace

std::uint64_t stability_seed(std::uint64_t seed, std::int64_t epoch) noexcept {
  const PhiloxBlock words = random_block(seed, Stream::kProbe, static_cast<std::uint64_t>(epoch), kSeedBlock);
  return (std::uint64_t{words[0]} << 32 | words[1]) >> 11;
}

std::vector<std::uint32_t> stability_rows(std::uint64_t seed, std::int64_t count, std::span<const std::uint32_t> rows,
                                          std::int64_t size) {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(count));
  permutation(seed, Stream::kSplit, kSampleStep, order);
  order.resize(static_cast<std::size_t>(std::min(size, count)));
  // In the order of the data: neighbours in memory are read together.
  std::sort(order.begin(), order.end());
  if (!rows.empty()) {
    for (std::uint32_t& row : order) row = rows[row];
  }
  return order;
}

template <Scalar T>
Status StabilityProbe<T>::create(std::shared_ptr<const Network<T>> network, std::shared_ptr<const Dataset> data,
                                 const TrainingOptions& options, std::unique_ptr<StabilityProbe>& out) {
  const StabilityOptions& asked = *options.stability;
  std::unique_ptr<StabilityProbe> probe(new StabilityProbe(asked, options.seed));
  const std::int64_t count = options.rows.empty() ? data->rows() : static_cast<std::int64_t>(options.rows.size());
  const std::vector<std::uint32_t> rows = stability_rows(options.seed, count, options.rows, asked.samples);
  const auto size = static_cast<std::int64_t>(rows.size());
  std::unique_ptr<NetworkPoint<T>> point;
  if (Status s = NetworkPoint<T>::create(std::move(network), losses_of(options.tasks), options.l2,
                                         std::min(size, kMostRows), point);
      !s.ok()) {
    return s;
  }
  if (Status s = point->check(asked.curvature); !s.ok()) {
    return Status::error(s.code, "record.stability", s.expected);
  }
  if (Status s = point->set_data(std::move(data), rows.data(), size); !s.ok()) return s;
  point->set_threads(options.threads);
  point->reserve(asked.curvature);
  probe->point_ = std::move(point);
  out = std::move(probe);
  return Status::success();
}

template <Scalar T>
void StabilityProbe<T>::begin(const T* parameters, std::int64_t epoch) noexcept {
  point_->set_parameters(parameters);
  result_ = {};
  result_.samples = point_->rows();
  result_.seed = stability_seed(seed_, epoch);
  failed_ = false;
  try {
    Probes<T> probes;
    probes.seed = result_.seed;
    const OperatorPort<T> port(std::make_shared<PointOperator<T>>(point_, options_.curvature));
    session_.emplace(point_->threads());
    session_->start(measure<T>(*session_, port, options_, probes, result_));
  } catch (const std::exception&) {
    session_.reset();
    failed_ = true;
  }
}

template <Scalar T>
bool StabilityProbe<T>::advance(Team& team, Session::Clock::time_point slice_end) noexcept {
  if (!session_) return false;
  const auto start = Session::Clock::now();
  const bool done = session_->resume(team, slice_end) == Session::State::kFinished;
  result_.seconds += std::chrono::duration<double>(Session::Clock::now() - start).count();
  if (!done) return true;
  failed_ = session_->failure() != nullptr;
  session_.reset();
  return false;
}

template class StabilityProbe<float>;
template class StabilityProbe<double>;

}  // namespace krylov
