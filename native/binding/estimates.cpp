#include "estimates.h"

#include "krylov/estimates.h"
#include "krylov/threads.h"
#include "operator.h"
#include "point.h"

namespace krylov::binding {

namespace {

constexpr std::int64_t kMostSamples = std::int64_t(1) << 20;  // of one estimate

// body(team), its Status checked; what it throws is thrown again here.
template <class Body>
void lead(int threads, Body body) {
  struct Turn {
    Body& body;
    Status status;
    std::exception_ptr failure;
  } turn{body, Status::success(), nullptr};
  ComputeThread::instance().lead_and_wait(
      threads,
      [](void* context, Team& team) noexcept {
        Turn& t = *static_cast<Turn*>(context);
        try {
          t.status = t.body(team);
        } catch (...) {
          t.failure = std::current_exception();
        }
      },
      &turn);
  if (turn.failure) std::rethrow_exception(turn.failure);
  check(turn.status);
}

Draws read_draws(const Napi::Value& samples, const Napi::Value& seed, std::int64_t least) {
  Draws draws;
  draws.count = integer(samples, "samples", least, kMostSamples);
  draws.seed = static_cast<std::uint64_t>(integer(seed, "seed", 0));
  return draws;
}

// The name that the tensors of a layer share.
template <Scalar T>
std::string layer_name(const Network<T>& network, int block) {
  constexpr std::string_view kEnding = ".weight";
  for (const TensorInfo& tensor : network.tensors()) {
    if (tensor.block != block || tensor.vector) continue;
    return tensor.name.substr(0, tensor.name.size() - kEnding.size());
  }
  return {};
}

}  // namespace

Napi::Value curvature_diagonal_of(const Napi::CallbackInfo& info) {
  static constexpr Word<DiagonalKind> kKinds[] = {{"ggn", DiagonalKind::kGaussNewton},
                                                  {"sampledGgn", DiagonalKind::kSampledGaussNewton},
                                                  {"empiricalFisher", DiagonalKind::kEmpiricalFisher},
                                                  {"beckerLeCun", DiagonalKind::kBeckerLeCun},
                                                  {"gaussNewtonLeCun", DiagonalKind::kGaussNewtonLeCun}};
  const DiagonalKind kind = word(info[1], "kind", kKinds);
  const Draws draws = read_draws(info[2], info[3], 1);
  return with_point(info[0], [&]<class T>(const std::shared_ptr<Linearization<T>>& point) -> Napi::Value {
    const Network<T>& network = point->network();
    const std::span<T> out = typed<T>(info[4], "out", network.parameter_count());
    AlignedBuffer<T> stored(static_cast<std::size_t>(network.arena_size()));
    lead(point->threads(),
         [&](Team& team) { return curvature_diagonal<T>(*point->point(), team, kind, draws, stored.data()); });
    network.template to_public<T>(stored.span(), out);
    return info[4];
  });
}

Napi::Value kronecker_factors_of(const Napi::CallbackInfo& info) {
  const Draws draws = read_draws(info[1], info[2], 0);
  return with_point(info[0], [&]<class T>(const std::shared_ptr<Linearization<T>>& point) -> Napi::Value {
    KroneckerFactors factors;
    lead(point->threads(),
         [&](Team& team) { return kronecker_factors<T>(*point->point(), team, draws.count > 0, draws, factors); });
    const Napi::Env env = info.Env();
    auto list = Napi::Array::New(env, factors.layers.size());
    std::uint32_t place = 0;
    for (const KroneckerFactor& factor : factors.layers) {
      auto entry = Napi::Object::New(env);
      entry.Set("layer", layer_name(point->network(), factor.block));
      entry.Set("inputs", static_cast<double>(factor.inputs));
      entry.Set("outputs", static_cast<double>(factor.outputs));
      entry.Set("input", copy_array<double>(env, factor.input));
      entry.Set("output", copy_array<double>(env, factor.output));
      list.Set(place++, entry);
    }
    return list;
  });
}

Napi::Value make_sampled_fisher(const Napi::CallbackInfo& info) {
  const Draws draws = read_draws(info[1], info[2], 1);
  return with_point(info[0], [&]<class T>(const std::shared_ptr<Linearization<T>>& point) {
    OperatorPointer<T> op;
    check(sampled_fisher_operator<T>(point->point(), draws, op));
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value make_kronecker_inverse(const Napi::CallbackInfo& info) {
  static constexpr Word<KroneckerDamping> kForms[] = {{"factored", KroneckerDamping::kFactored},
                                                      {"exact", KroneckerDamping::kExact}};
  const KroneckerDamping form = word(info[1], "form", kForms);
  const double damping = number(info[2], "damping", 0);
  const Draws draws = read_draws(info[3], info[4], 0);
  return with_point(info[0], [&]<class T>(const std::shared_ptr<Linearization<T>>& point) {
    if (!(damping + point->l2() > 0)) {
      fail(ErrorCode::kOption, "kfacPreconditioner damping", "a number above 0, since the point has no l2", "0");
    }
    OperatorPointer<T> op;
    lead(point->threads(), [&](Team& team) {
      KroneckerFactors factors;
      if (Status s = kronecker_factors<T>(*point->point(), team, draws.count > 0, draws, factors); !s.ok()) return s;
      return kronecker_inverse<T>(point->layout(), factors, form, damping + point->l2(), team, op);
    });
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value make_diagonal_inverse(const Napi::CallbackInfo& info) {
  const double damping = number(info[1], "damping", 0), exponent = number(info[2], "exponent", 0);
  return with_scalar(info[0], "diagonal", [&]<class T>(T) {
    const std::span<const T> diagonal = typed<T>(info[0], "diagonal");
    if (diagonal.empty()) fail(ErrorCode::kShape, "diagonal", "at least one element", "none");
    OperatorPointer<T> op;
    const Status status = krylov::diagonal_inverse<T>(diagonal, damping, exponent, op);
    if (!status.ok() && status.received_count == 1) {
      const std::int64_t place = status.received[0];
      const auto value = static_cast<double>(diagonal[static_cast<std::size_t>(place)]);
      fail(status.code, "diagonal[" + std::to_string(place) + "]",
           "a number that has an inverse once the damping is added", describe(Napi::Number::New(info.Env(), value)));
    }
    check(status);
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value make_lbfgs_inverse(const Napi::CallbackInfo& info) {
  constexpr std::uint32_t kMostPairs = 1u << 16;
  const auto values_of = [&](std::size_t argument, const char* name) {
    const Napi::Array list = array(info[argument], name, kMostPairs);
    const std::uint32_t count = list.Length();
    std::vector<Napi::Value> values;
    for (std::uint32_t i = 0; i < count; ++i) values.push_back(list.Get(i));
    return values;
  };
  const std::vector<Napi::Value> s = values_of(0, "s"), y = values_of(1, "y");
  if (s.empty()) fail(ErrorCode::kShape, "s", "at least one vector", "none");
  if (y.size() != s.size()) {
    fail(ErrorCode::kShape, "y", "as many vectors as s: " + std::to_string(s.size()), std::to_string(y.size()));
  }
  return with_scalar(s.front(), "s", [&]<class T>(T) {
    std::vector<SecantPair<T>> pairs;
    for (std::size_t i = 0; i < s.size(); ++i) pairs.push_back({typed<T>(s[i], "s"), typed<T>(y[i], "y")});
    OperatorPointer<T> op;
    const Status status = krylov::lbfgs_inverse<T>(std::span<const SecantPair<T>>(pairs), op);
    if (!status.ok() && status.code == ErrorCode::kOption && status.received_count == 1) {
      const std::int64_t place = status.received[0];
      const SecantPair<T>& pair = pairs[static_cast<std::size_t>(place)];
      double product = 0;
      for (std::size_t i = 0; i < pair.s.size(); ++i) product += double(pair.s[i]) * double(pair.y[i]);
      fail(status.code, "pairs[" + std::to_string(place) + "]", "a pair with s'y above 0",
           describe(Napi::Number::New(info.Env(), product)));
    }
    check(status);
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

}  // namespace krylov::binding
