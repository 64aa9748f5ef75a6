#include "optimizers/preconditioner.h"

#include <limits>
#include <utility>

#include "krylov/estimates.h"
#include "krylov/operators.h"
#include "krylov/spectra.h"
#include "optimizers/kronecker_state.h"
#include "optimizers/lbfgs_state.h"
#include "solvers/random_vectors.h"

namespace krylov {
namespace {

constexpr const char* kKinds[] = {"martens", "ggnDiagonal", "hutchinson", "kfac", "lbfgs", "none"};
constexpr const char* kForms[] = {"factored", "exact"};
constexpr const char* kChoices[] = {"spread", "last"};
constexpr const char* kDiagonalName = "preconditionerDiagonal";
constexpr const char* kFactorsName = "preconditioner";
constexpr const char* kShiftName = "preconditionerShift";

// The largest mean eigenvalue of a layer's product.
double largest_mean(const KroneckerFactors& factors) noexcept {
  double largest = 0;
  for (const KroneckerFactor& f : factors.layers) {
    double input = 0, output = 0;
    for (std::int64_t i = 0; i < f.inputs; ++i) input += f.input[static_cast<std::size_t>(i * f.inputs + i)];
    for (std::int64_t i = 0; i < f.outputs; ++i) output += f.output[static_cast<std::size_t>(i * f.outputs + i)];
    largest = std::fmax(largest, input / static_cast<double>(f.inputs) * (output / static_cast<double>(f.outputs)));
  }
  return largest;
}

}  // namespace

template <Scalar T>
Preconditioner<T>::Preconditioner(RuleOptions& options, const Objective<T>& objective)
    : kind_(static_cast<Kind>(options.word("preconditioner.kind", kKinds))), size_(objective.size()),
      history_(std::max<std::int64_t>(1, count_at(options.number("preconditioner.history"), 0))),
      layout_(objective.layout()), exponent_(options.number("preconditioner.exponent")),
      draws_(options.number("preconditioner.draws")), seed_(options.number("preconditioner.seed")),
      every_(options.number("preconditioner.every")),
      form_(options.word("preconditioner.form", kForms) == 0 ? KroneckerDamping::kFactored : KroneckerDamping::kExact),
      spread_(options.word("preconditioner.choice", kChoices) == 0),
      pairs_(std::make_shared<LbfgsOperator<T>>(LbfgsPairs<T>(size_, history_), layout_, 1)) {
  if ((needs() & ~objective.provides() & (kNeedsSquares | kNeedsNetwork)) != 0) {
    options.refuse(Status::error(ErrorCode::kOption, "optimizer.preconditioner.kind",
                                 "'hutchinson', 'lbfgs' or 'none' for a function that is no network"));
  }
}

template <Scalar T>
std::uint32_t Preconditioner<T>::needs() const noexcept {
  switch (kind_) {
    case Kind::kMartens: return kNeedsSquares;
    case Kind::kGgnDiagonal:
    case Kind::kKfac: return kNeedsNetwork | kNeedsGaussNewton;
    case Kind::kHutchinson:
    case Kind::kLbfgs:
    case Kind::kNone: break;
  }
  return 0;
}

template <Scalar T>
bool Preconditioner<T>::due(std::int64_t update) const noexcept {
  return update % std::max<std::int64_t>(1, count_at(every_, update)) == 0;
}

template <Scalar T>
Draws Preconditioner<T>::draws_at(std::int64_t update) const noexcept {
  Draws draws;
  draws.count = count_at(draws_, update);
  draws.seed = static_cast<std::uint64_t>(count_at(seed_, 0));
  draws.first_draw = static_cast<std::uint64_t>(update * draws.count);
  return draws;
}

// What comes from the layers, before curvature() at x, which shares the samples.
template <Scalar T>
void Preconditioner<T>::estimate(Session& session, Objective<T>& objective, const T* x, std::int64_t update) {
  NetworkPoint<T>* const point = objective.point(session, x, Samples::kCurvature);
  if (point == nullptr) return;
  const Draws draws = draws_at(update);
  if (kind_ == Kind::kGgnDiagonal) {
    const DiagonalKind kind = draws.count > 0 ? DiagonalKind::kSampledGaussNewton : DiagonalKind::kGaussNewton;
    AlignedBuffer<T> d(static_cast<std::size_t>(size_));
    if (curvature_diagonal(*point, session.team(), kind, draws, d.data()).ok()) diagonal_ = std::move(d);
    return;
  }
  auto fresh = std::make_shared<KroneckerFactors>();
  std::shared_ptr<KroneckerInverse<T>> inverse;
  if (!kronecker_factors(*point, session.team(), draws.count > 0, draws, *fresh).ok()) return;
  if (KroneckerInverse<T>::create(layout_, std::move(fresh), form_, inverse).ok()) factors_ = std::move(inverse);
}

template <Scalar T>
Procedure<void> Preconditioner<T>::estimate_by_products(Session& session, const OperatorPort<T>& b,
                                                        std::int64_t update, double l2) {
  Vectors<T> vectors(session, size_);
  AlignedBuffer<T> z = vectors.make(), bz = vectors.make(), sum = vectors.make();
  const Draws draws = draws_at(update);
  const std::int64_t count = std::max<std::int64_t>(1, draws.count);
  Probes<T> probes;
  probes.seed = draws.seed;
  for (std::int64_t i = 0; i < count; ++i) {
    RandomVectors<T>(session, b, probes).write(update * count + i, z.data());
    co_await b.apply(session, z.data(), bz.data());
    if (session.stopped()) co_return;
    // z * z is 1, so that l2 leaves exactly.
    vectors.add(bz.data(), -l2, z.data(), bz.data());
    vectors.multiply(z.data(), bz.data(), bz.data());
    vectors.add(sum.data(), 1 / static_cast<double>(count), bz.data(), sum.data());
  }
  for (T& d : sum.span()) d = std::fabs(d);
  diagonal_ = std::move(sum);
}

template <Scalar T>
OperatorPort<T> Preconditioner<T>::diagonal(Session& session, const NewtonSettings& settings) const {
  if (diagonal_.empty()) return {};
  Vectors<T> vectors(session, size_);
  const double floor = settings.floor > 0 ? settings.floor * vectors.largest_magnitude(diagonal_.data()) : 0;
  const double exponent = schedule_value(exponent_, settings.update);
  AlignedBuffer<T> inverse = vectors.make();
  for (std::int64_t i = 0; i < size_; ++i) {
    const double d = std::fmax(static_cast<double>(diagonal_.data()[i]), floor);
    const double m = std::pow(d + settings.shift, exponent);
    // Where it is zero nothing moves the parameter, and the vectors that M^-1 meets are zero too: any factor serves.
    inverse.data()[i] = m > 0 ? static_cast<T>(1 / m) : T(1);
  }
  return OperatorPort<T>(diagonal_operator<T>(inverse.span()));
}

template <Scalar T>
Procedure<OperatorPort<T>> Preconditioner<T>::kronecker(Session& session, NewtonSettings settings) {
  if (factors_ == nullptr) co_return OperatorPort<T>();
  // Factors without full rank have no inverse at shift 0; below the rounding of T theirs would not be definite.
  const double largest = largest_mean(*factors_->factors());
  const double least = static_cast<double>(std::numeric_limits<T>::epsilon()) * largest;
  const double damping = std::fmax(settings.shift + settings.floor * largest, least);
  for (std::size_t l = 0; l < factors_->layers(); ++l) {
    if (!factors_->damp(session.team(), l, damping).ok()) co_return OperatorPort<T>();
    co_await session.pause();
  }
  co_return OperatorPort<T>(factors_);
}

template <Scalar T>
OperatorPort<T> Preconditioner<T>::quasi_newton(Session& session, double shift) {
  if (shift != pair_shift_) {
    Vectors<T> vectors(session, size_);
    pairs_->pairs().shift(vectors, shift - pair_shift_);
    pair_shift_ = shift;
  }
  if (pairs_->pairs().empty()) return {};
  if (pairs_->threads() != session.threads()) {
    pairs_ = std::make_shared<LbfgsOperator<T>>(std::move(pairs_->pairs()), layout_, session.threads());
  }
  return OperatorPort<T>(pairs_);
}

template <Scalar T>
Procedure<bool> Preconditioner<T>::begin(Session& session, Objective<T>& objective, const T* x,
                                         NewtonSettings settings, MinimizerReport& report, NewtonStart<T>& start) {
  Vectors<T> vectors(session, size_);
  const bool by_layers = kind_ == Kind::kGgnDiagonal || kind_ == Kind::kKfac;
  const bool anew = due(settings.update) || (kind_ == Kind::kKfac ? factors_ == nullptr : diagonal_.empty());
  AlignedBuffer<T> squares;
  start.g = vectors.make();
  if (kind_ == Kind::kMartens && anew) squares = vectors.make();
  start.f = co_await objective.gradient(session, x, Samples::kGradient, start.g.data(), squares.data());
  report.loss = start.f;
  report.accepted = false;
  if (session.stopped() || !all_finite(vectors, start.f, start.g.data())) co_return false;
  start.gradient_norm = vectors.norm(start.g.data());
  if (vectors.largest_magnitude(start.g.data()) <= settings.gradient_tolerance) {
    report.converged = "gradientTolerance";
    report.numbers = {{"gradientNorm", start.gradient_norm}};
    co_return false;
  }

  if (!squares.empty()) diagonal_ = std::move(squares);
  if (by_layers && anew) estimate(session, objective, x, settings.update);
  co_await session.pause();
  start.b = co_await objective.curvature(session, x, Samples::kCurvature, settings.curvature);
  if (session.stopped()) co_return false;
  switch (kind_) {
    case Kind::kHutchinson:
      if (anew) co_await estimate_by_products(session, start.b, settings.update, objective.l2());
      if (session.stopped()) co_return false;
      [[fallthrough]];
    case Kind::kMartens:
    case Kind::kGgnDiagonal: start.preconditioner = diagonal(session, settings); break;
    case Kind::kKfac: start.preconditioner = co_await kronecker(session, settings); break;
    case Kind::kLbfgs: start.preconditioner = quasi_newton(session, settings.shift); break;
    case Kind::kNone: break;
  }
  co_return !session.stopped();
}

template <Scalar T>
void Preconditioner<T>::end(Session& session, std::int64_t update, std::vector<CollectedPair<T>> pairs, double shift) {
  if (due(update + 1)) diagonal_ = {}, factors_ = nullptr;
  if (pairs.empty()) return;
  Vectors<T> vectors(session, size_);
  LbfgsPairs<T> kept(size_, history_);
  for (CollectedPair<T>& pair : pairs) {
    const double curvature = vectors.dot(pair.s.data(), pair.y.data());
    const double scale = curvature / vectors.dot(pair.y.data(), pair.y.data());
    kept.append({std::move(pair.s), std::move(pair.y), curvature, scale});
  }
  pairs_ = std::make_shared<LbfgsOperator<T>>(std::move(kept), layout_, session.threads());
  pair_shift_ = shift;
}

template <Scalar T>
void Preconditioner<T>::save(MinimizerState& state) const {
  save_vector(state, kDiagonalName, diagonal_);
  if (factors_ != nullptr) save_factors(state, kFactorsName, *factors_->factors());
  if (pairs_->pairs().empty()) return;
  save_pairs(pairs_->pairs(), state);
  state.numbers.emplace_back(kShiftName, pair_shift_);
}

template <Scalar T>
Status Preconditioner<T>::restore(const MinimizerState& state) {
  AlignedBuffer<T> diagonal;
  LbfgsPairs<T> pairs(size_, history_);
  if (Status s = check_positive(state, kShiftName); !s.ok()) return s;
  if (is_diagonal()) {
    if (Status s = check_vector(state, kDiagonalName, size_); !s.ok()) return s;
    diagonal = restore_vector<T>(state, kDiagonalName);
  }
  std::shared_ptr<KroneckerInverse<T>> factors;
  if (kind_ == Kind::kKfac) {
    std::shared_ptr<const KroneckerFactors> saved;
    if (Status s = restore_factors(state, kFactorsName, *layout_, saved); !s.ok()) return s;
    if (saved != nullptr) {
      if (Status s = KroneckerInverse<T>::create(layout_, saved, form_, factors); !s.ok()) return s;
    }
  }
  if (kind_ == Kind::kLbfgs) {
    if (Status s = check_pairs(state, pairs); !s.ok()) return s;
    restore_pairs(state, pairs);
  }
  diagonal_ = std::move(diagonal);
  factors_ = std::move(factors);
  pairs_ = std::make_shared<LbfgsOperator<T>>(std::move(pairs), layout_, 1);
  pair_shift_ = state.number(kShiftName, 0);
  return Status::success();
}

template class Preconditioner<float>;
template class Preconditioner<double>;

}  // namespace krylov
