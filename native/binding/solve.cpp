// Solvers as computations. Options arrive with every default filled in; what an observer is told are requests to its
// source: the solution as input, { iteration, residualNorm, quadratic, alpha, beta, curvature } as numbers.
#include "solve.h"

#include <array>

#include "krylov/solvers.h"
#include "operator.h"

namespace krylov::binding {

namespace {

// What a solver works with as long as it runs.
template <Scalar T>
struct Call {
  VectorLayout<T> layout;
  OperatorPort<T> matrix, preconditioner;
  AlignedBuffer<T> rhs, start;
  int observer = -1;  // source of the requests
  std::array<double, 6> told{};
  SolveResult<T> result;
  double product_seconds = 0;

  const T* start_data() const noexcept { return start.empty() ? nullptr : start.data(); }
};

template <Scalar T>
Procedure<void> tell(Session& session, Call<T>& call, SolveIteration iteration, const T* solution) {
  call.told = {double(iteration.iteration), iteration.residual_norm, iteration.quadratic,
               iteration.alpha,             iteration.beta,          iteration.curvature};
  co_await session.ask({call.observer, solution, call.matrix.columns(), nullptr, 0, 0, call.told});
}

template <Scalar T>
SolveObserver<T> observer_of(Session& session, Call<T>& call) {
  if (call.observer < 0) return {};
  return [&session, &call](const SolveIteration& iteration, const T* solution) {
    return tell<T>(session, call, iteration, solution);
  };
}

template <Scalar T>
Napi::Value write_result(Napi::Env env, const Call<T>& call) {
  const SolveResult<T>& result = call.result;
  const auto vector = [&](const AlignedBuffer<T>& x) -> Napi::Value {
    if (x.empty()) return env.Null();
    return write_vector<T>(env, call.layout, x.data(), static_cast<std::int64_t>(x.size()));
  };
  auto object = Napi::Object::New(env);
  object.Set("solution", vector(result.solution));
  object.Set("reason", name_of(result.reason));
  object.Set("iterations", static_cast<double>(result.iterations));
  object.Set("products", static_cast<double>(result.products));
  object.Set("productSeconds", call.product_seconds);
  object.Set("residualNorm", result.residual_norm);
  object.Set("quadratic", result.quadratic);
  object.Set("direction", vector(result.direction));
  object.Set("curvature", result.curvature);
  auto stored = Napi::Array::New(env, result.stored.size());
  for (std::uint32_t i = 0; i < result.stored.size(); ++i) {
    auto iterate = Napi::Object::New(env);
    iterate.Set("iteration", static_cast<double>(result.stored_at[i]));
    iterate.Set("solution", vector(result.stored[i]));
    stored.Set(i, iterate);
  }
  object.Set("stored", stored);
  auto pairs = Napi::Array::New(env, result.pairs.size());
  for (std::uint32_t i = 0; i < result.pairs.size(); ++i) {
    auto pair = Napi::Object::New(env);
    pair.Set("s", vector(result.pairs[i].s));
    pair.Set("y", vector(result.pairs[i].y));
    pairs.Set(i, pair);
  }
  object.Set("pairs", pairs);
  return object;
}

template <Scalar T, class Run>
Napi::Value start(Napi::Env env, std::shared_ptr<Call<T>> call, int threads, Run run) {
  return start_call<T>(env, call->layout, threads, call, run, write_result<T>);
}

// Arguments of the solvers for square systems: operator, rhs, start or null, preconditioner or null; and the observer,
// the source of its requests or -1. Returns the threads that pay off.
template <Scalar T>
int read_square(Call<T>& call, const Napi::CallbackInfo& info) {
  const auto matrix = OperatorArgument<T>::require(info[0], "operator");
  const auto preconditioner = OperatorArgument<T>::read(info[3], "preconditioner");
  matrix.check_square("operator");
  if (preconditioner.is_given()) {
    preconditioner.check_square("preconditioner");
    if (preconditioner.rows != matrix.rows) {
      fail(ErrorCode::kShape, "preconditioner", "the operator's size " + std::to_string(matrix.rows),
           std::to_string(preconditioner.rows));
    }
  }
  call.observer = static_cast<int>(integer(info[5], "observer", -1, 1 << 16));
  call.layout = matrix.layout() != nullptr ? matrix.layout() : preconditioner.layout();
  call.matrix = matrix.port(call.layout);
  call.preconditioner = preconditioner.port(call.layout);
  const std::int64_t size = call.matrix.rows();
  call.rhs = read_vector<T>(info[1], "rhs", call.layout, size);
  if (!info[2].IsNull()) call.start = read_vector<T>(info[2], "initial", call.layout, size);
  return threads_for(size, std::max(matrix.threads(), preconditioner.threads()));
}

// run(Session&, Call<T>&): the solver.
template <Scalar T, class Run>
Napi::Value start_square(const Napi::CallbackInfo& info, Run run) {
  auto call = std::make_shared<Call<T>>();
  const int threads = read_square<T>(*call, info);
  return start<T>(info.Env(), std::move(call), threads, run);
}

// What every solver can be told.
template <class Options>
Options read_options(const Fields& fields) {
  Options options;
  options.tolerance = fields.number("tolerance", 0);
  options.absolute_tolerance = fields.number("absoluteTolerance", 0);
  options.max_iterations = fields.integer("maxIterations", 0);
  return options;
}

}  // namespace

Napi::Value start_conjugate_gradient(const Napi::CallbackInfo& info) {
  return with_scalar(info[1], "rhs", [&]<class T>(T) {
    const Fields fields(info[4], "options");
    auto options = read_options<ConjugateGradientOptions>(fields);
    options.progress_tolerance = fields.number("progressTolerance", 0);
    options.progress_window = fields.integer("progressWindow", 1);
    options.progress_fraction = fields.number("progressFraction", 0);
    options.shift = fields.number("shift");
    options.radius = fields.number("radius", 0);
    using Rule = ConjugateGradientOptions::OnNegativeCurvature;
    static constexpr Word<Rule> kRules[] = {{"stop", Rule::kStop}, {"absolute", Rule::kAbsolute}};
    options.on_negative_curvature = fields.word("onNegativeCurvature", kRules);
    options.recompute_every = fields.integer("recomputeEvery", 0);
    options.store_growth = fields.number("storeGrowth", 0);
    options.store_first = fields.integer("storeFirst", 1);
    options.collect_history = fields.integer("collectHistory", 0, 1 << 16);
    static constexpr Word<bool> kChoices[] = {{"spread", true}, {"last", false}};
    options.collect_spread = fields.word("collectChoice", kChoices);
    return start_square<T>(info, [options](Session& session, Call<T>& call) {
      return conjugate_gradient<T>(session, call.matrix, call.rhs.data(), call.start_data(), call.preconditioner,
                                   options, observer_of<T>(session, call));
    });
  });
}

Napi::Value start_minres(const Napi::CallbackInfo& info) {
  return with_scalar(info[1], "rhs", [&]<class T>(T) {
    const Fields fields(info[4], "options");
    auto options = read_options<MinresOptions>(fields);
    options.least_squares_tolerance = fields.number("leastSquaresTolerance", 0);
    options.shift = fields.number("shift");
    options.stop_at_negative_curvature = fields.boolean("stopAtNegativeCurvature");
    options.inexactness = fields.number("inexactness", 0);
    return start_square<T>(info, [options](Session& session, Call<T>& call) {
      return minres<T>(session, call.matrix, call.rhs.data(), call.preconditioner, options,
                       observer_of<T>(session, call));
    });
  });
}

Napi::Value start_least_squares(const Napi::CallbackInfo& info) {
  return with_scalar(info[1], "rhs", [&]<class T>(T) {
    const Fields fields(info[3], "options");
    auto options = read_options<LeastSquaresOptions>(fields);
    options.damping = fields.number("damping", 0);
    auto call = std::make_shared<Call<T>>();
    const auto matrix = OperatorArgument<T>::require(info[0], "operator");
    matrix.check_transposable("operator");
    call->observer = static_cast<int>(integer(info[4], "observer", -1, 1 << 16));
    call->layout = matrix.layout();
    call->matrix = matrix.port(call->layout);
    const VectorLayout<T> rows = matrix.native == nullptr ? nullptr : matrix.native->output_layout();
    call->rhs = read_vector<T>(info[1], "rhs", rows, call->matrix.rows());
    if (!info[2].IsNull()) {
      call->start = read_vector<T>(info[2], "initial", call->layout, call->matrix.columns());
    }
    const std::int64_t size = std::max(call->matrix.rows(), call->matrix.columns());
    const int threads = threads_for(size, matrix.threads());
    return start<T>(info.Env(), std::move(call), threads, [options](Session& session, Call<T>& given) {
      return least_squares<T>(session, given.matrix, given.rhs.data(), given.start_data(), options,
                              observer_of<T>(session, given));
    });
  });
}

namespace {

template <Scalar T>
struct LanczosCall {
  VectorLayout<T> layout;
  OperatorPort<T> matrix;
  AlignedBuffer<T> start;
  LanczosResult<T> result;
};

template <Scalar T>
Napi::Value write_lanczos(Napi::Env env, const LanczosCall<T>& call) {
  const LanczosResult<T>& result = call.result;
  auto object = Napi::Object::New(env);
  object.Set("alpha", copy_array<double>(env, result.alpha));
  object.Set("beta", copy_array<double>(env, result.beta));
  object.Set("lastBeta", result.last_beta);
  object.Set("reason", name_of(result.reason));
  object.Set("products", static_cast<double>(result.products));
  Napi::Value values, residuals;
  const std::span<double> ritz_values = make_array<double>(env, result.alpha.size(), values);
  const std::span<double> ritz_residuals = make_array<double>(env, result.alpha.size(), residuals);
  ritz(result.alpha, result.beta, result.last_beta, ritz_values, ritz_residuals);
  object.Set("ritzValues", values);
  object.Set("ritzResiduals", residuals);
  if (result.basis.empty()) {
    object.Set("basis", env.Null());
    return object;
  }
  const std::int64_t size = call.matrix.rows();
  const std::int64_t count = static_cast<std::int64_t>(result.basis.size()) / size;
  const auto length = static_cast<std::size_t>(public_size(call.layout, size));
  Napi::Value basis;
  const std::span<T> rows = make_array<T>(env, static_cast<std::size_t>(count) * length, basis);
  for (std::int64_t i = 0; i < count; ++i) {
    load_vector<T>(call.layout, result.basis.data() + i * size, size,
                   rows.subspan(static_cast<std::size_t>(i) * length, length));
  }
  object.Set("basis", basis);
  return object;
}

}  // namespace

Napi::Value start_lanczos(const Napi::CallbackInfo& info) {
  return with_scalar(info[1], "start", [&]<class T>(T) {
    const Fields fields(info[2], "options");
    LanczosOptions options;
    options.steps = fields.integer("steps", 1);
    options.keep_basis = fields.boolean("keepBasis");
    options.reorthogonalise = fields.boolean("reorthogonalise");
    auto call = std::make_shared<LanczosCall<T>>();
    const auto matrix = OperatorArgument<T>::require(info[0], "operator");
    matrix.check_square("operator");
    call->layout = matrix.layout();
    call->matrix = matrix.port(call->layout);
    call->start = read_vector<T>(info[1], "start", call->layout, call->matrix.rows());
    const int threads = threads_for(call->matrix.rows(), matrix.threads());
    return start_call<T>(
        info.Env(), call->layout, threads, call,
        [options](Session& session, LanczosCall<T>& given) {
          return lanczos<T>(session, given.matrix, given.start.data(), options);
        },
        write_lanczos<T>);
  });
}

}  // namespace krylov::binding
