// Spectra as computations: (operator, dtype, probes, options) with every default filled in.
#include "spectra.h"

#include <array>

#include "krylov/spectra.h"
#include "operator.h"

namespace krylov::binding {

namespace {

// What a method works with as long as it runs.
template <Scalar T, class Result>
struct Call {
  VectorLayout<T> layout;
  OperatorPort<T> matrix;
  std::vector<OperatorPort<T>> others;
  Probes<T> probes;
  AlignedBuffer<T> given;  // probes of the caller's
  int threads = 1;
  Result result;
};

template <Scalar T, class Result>
using CallPointer = std::shared_ptr<Call<T, Result>>;

// { kind, seed, given }: given is null or rows in public order, each as long as the operator has columns.
template <Scalar T, class Result>
void read_probes(Call<T, Result>& call, const Napi::Value& value) {
  const Fields fields(value, "probes");
  static constexpr Word<ProbeKind> kKinds[] = {{"signs", ProbeKind::kSigns}, {"normal", ProbeKind::kNormal}};
  call.probes.kind = fields.word("kind", kKinds);
  call.probes.seed = static_cast<std::uint64_t>(fields.integer("seed", 0));
  call.probes.layout = call.layout;
  const Napi::Value given = fields.get("given");
  if (given.IsNull()) return;
  const std::int64_t size = call.matrix.columns();
  const auto length = static_cast<std::size_t>(public_size(call.layout, size));
  const std::span<const T> rows = typed<T>(given, fields.at("given"));
  if (rows.size() % length != 0) {
    fail(ErrorCode::kShape, fields.at("given"), "rows of " + std::to_string(length), std::to_string(rows.size()));
  }
  call.probes.given_count = static_cast<std::int64_t>(rows.size() / length);
  call.given = AlignedBuffer<T>(static_cast<std::size_t>(call.probes.given_count * size));
  for (std::int64_t i = 0; i < call.probes.given_count; ++i) {
    store_vector<T>(call.layout, rows.subspan(static_cast<std::size_t>(i) * length, length),
                    call.given.data() + i * size, size);
  }
  call.probes.given = call.given.data();
}

template <Scalar T, class Result>
CallPointer<T, Result> read_call(const Napi::CallbackInfo& info, bool square = true) {
  auto call = std::make_shared<Call<T, Result>>();
  const auto matrix = OperatorArgument<T>::require(info[0], "operator");
  if (square) matrix.check_square("operator");
  else matrix.check_transposable("operator");
  call->layout = matrix.layout();
  call->matrix = matrix.port(call->layout);
  const std::int64_t size = std::max(call->matrix.rows(), call->matrix.columns());
  call->threads = threads_for(size, matrix.threads());
  read_probes(*call, info[2]);
  return call;
}

// body(T()) with the scalar type of the second argument.
template <class Body>
Napi::Value with_dtype(const Napi::CallbackInfo& info, Body&& body) {
  const DType type = dtype(info[1], "dtype");
  if (type == DType::kFloat32) return body(float());
  if (type == DType::kFloat64) return body(double());
  fail(ErrorCode::kDType, "dtype", "'float32' or 'float64'", describe(info[1]));
}

// run(Session&, Call&): the method's own procedure; write(env, Call&).
template <Scalar T, class Result, class Run, class Write>
Napi::Value start(Napi::Env env, CallPointer<T, Result> call, Run run, Write write) {
  return start_call<T>(env, call->layout, call->threads, call, run, write);
}

// [count, size] in public order, or null where there are none.
template <Scalar T>
Napi::Value write_rows(Napi::Env env, const VectorLayout<T>& layout, const AlignedBuffer<T>& rows, std::int64_t size) {
  if (rows.empty()) return env.Null();
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / size;
  const auto length = static_cast<std::size_t>(public_size(layout, size));
  Napi::Value array;
  const std::span<T> to = make_array<T>(env, static_cast<std::size_t>(count) * length, array);
  for (std::int64_t i = 0; i < count; ++i) {
    load_vector<T>(layout, rows.data() + i * size, size, to.subspan(static_cast<std::size_t>(i) * length, length));
  }
  return array;
}

template <class Result>
Napi::Object write_ending(Napi::Env env, const Result& result) {
  auto object = Napi::Object::New(env);
  object.Set("reason", name_of(result.reason));
  if constexpr (requires { result.products; }) object.Set("products", static_cast<double>(result.products));
  return object;
}

}  // namespace

Napi::Value start_eigenpairs(const Napi::CallbackInfo& info) {
  return with_dtype(info, [&]<class T>(T) {
    const Fields fields(info[3], "options");
    EigenpairsOptions options;
    static constexpr Word<Extreme> kExtremes[] = {
        {"largest", Extreme::kLargest}, {"smallest", Extreme::kSmallest}, {"magnitude", Extreme::kMagnitude}};
    constexpr std::int64_t kMostPairs = 1 << 16;
    options.count = fields.integer("count", 1, kMostPairs);
    options.which = fields.word("which", kExtremes);
    options.tolerance = fields.number("tolerance", 0);
    options.max_products = fields.integer("maxProducts", 0);
    options.subspace = fields.integer("subspace", 0, 4 * kMostPairs);
    using Result = EigenpairsResult<T>;
    return start<T>(
        info.Env(), read_call<T, Result>(info),
        [options](Session& session, Call<T, Result>& call) {
          return eigenpairs<T>(session, call.matrix, options, call.probes);
        },
        [](Napi::Env env, const Call<T, Result>& call) {
          auto object = write_ending(env, call.result);
          object.Set("values", copy_array<double>(env, call.result.values));
          object.Set("residuals", copy_array<double>(env, call.result.residuals));
          object.Set("vectors", write_rows<T>(env, call.layout, call.result.vectors, call.matrix.columns()));
          object.Set("restarts", static_cast<double>(call.result.restarts));
          return object;
        });
  });
}

Napi::Value start_quadrature(const Napi::CallbackInfo& info) {
  return with_dtype(info, [&]<class T>(T) {
    const Fields fields(info[3], "options");
    QuadratureOptions options;
    options.probes = fields.integer("probes", 1);
    options.steps = fields.integer("steps", 1);
    options.reorthogonalise = fields.boolean("reorthogonalise");
    return start<T>(
        info.Env(), read_call<T, QuadratureResult>(info),
        [options](Session& session, Call<T, QuadratureResult>& call) {
          return lanczos_quadrature<T>(session, call.matrix, options, call.probes);
        },
        [](Napi::Env env, const Call<T, QuadratureResult>& call) {
          auto object = write_ending(env, call.result);
          const std::size_t count = call.result.probes.size();
          auto nodes = Napi::Array::New(env, count), weights = Napi::Array::New(env, count);
          std::vector<double> norms;
          for (std::uint32_t i = 0; i < count; ++i) {
            nodes.Set(i, copy_array<double>(env, call.result.probes[i].nodes));
            weights.Set(i, copy_array<double>(env, call.result.probes[i].weights));
            norms.push_back(call.result.probes[i].squared_norm);
          }
          object.Set("nodes", nodes);
          object.Set("weights", weights);
          object.Set("squaredNorms", copy_array<double>(env, norms));
          return object;
        });
  });
}

Napi::Value start_hutchinson(const Napi::CallbackInfo& info) {
  return with_dtype(info, [&]<class T>(T) {
    const Fields fields(info[3], "options");
    static constexpr Word<Moment> kMoments[] = {
        {"trace", Moment::kTrace}, {"frobenius", Moment::kFrobenius}, {"diagonal", Moment::kDiagonal}};
    HutchinsonOptions options;
    options.watch = fields.word("watch", kMoments);
    options.max_probes = fields.integer("maxProbes", 1);
    options.min_probes = fields.integer("minProbes", 1);
    options.tolerance = fields.number("tolerance", 0);
    using Result = HutchinsonResult<T>;
    return start<T>(
        info.Env(), read_call<T, Result>(info),
        [options](Session& session, Call<T, Result>& call) {
          return hutchinson<T>(session, call.matrix, options, call.probes);
        },
        [](Napi::Env env, const Call<T, Result>& call) {
          const Result& result = call.result;
          const Estimate trace = estimate_of(result.traces), square = estimate_of(result.squares);
          auto object = write_ending(env, result);
          object.Set("traces", copy_array<double>(env, result.traces));
          object.Set("trace", trace.mean);
          object.Set("traceError", trace.standard_error);
          object.Set("squares", copy_array<double>(env, result.squares));
          object.Set("square", square.mean);
          object.Set("squareError", square.standard_error);
          object.Set("diagonalError", result.diagonal_error);
          object.Set("diagonal", write_rows<T>(env, call.layout, result.diagonal, call.matrix.columns()));
          return object;
        });
  });
}

Napi::Value start_hutch_plus_plus(const Napi::CallbackInfo& info) {
  return with_dtype(info, [&]<class T>(T) {
    const Fields fields(info[3], "options");
    HutchPlusPlusOptions options;
    constexpr std::int64_t kMostProducts = 1 << 24;
    options.products = fields.integer("products", 3, kMostProducts);
    using Result = HutchPlusPlusResult;
    return start<T>(
        info.Env(), read_call<T, Result>(info),
        [options](Session& session, Call<T, Result>& call) {
          return hutch_plus_plus<T>(session, call.matrix, options, call.probes);
        },
        [](Napi::Env env, const Call<T, Result>& call) {
          auto object = write_ending(env, call.result);
          object.Set("trace", call.result.trace);
          object.Set("standardError", call.result.standard_error);
          object.Set("rangeTrace", call.result.range_trace);
          object.Set("samples", copy_array<double>(env, call.result.rest));
          object.Set("rank", static_cast<double>(call.result.rank));
          return object;
        });
  });
}

Napi::Value start_spectral_norm(const Napi::CallbackInfo& info) {
  return with_dtype(info, [&]<class T>(T) {
    const Fields fields(info[3], "options");
    SpectralNormOptions options;
    options.tolerance = fields.number("tolerance", 0);
    options.max_iterations = fields.integer("maxIterations", 1);
    using Result = SpectralNormResult<T>;
    return start<T>(
        info.Env(), read_call<T, Result>(info, false),
        [options](Session& session, Call<T, Result>& call) {
          return spectral_norm<T>(session, call.matrix, options, call.probes);
        },
        [](Napi::Env env, const Call<T, Result>& call) {
          auto object = write_ending(env, call.result);
          object.Set("norm", call.result.norm);
          object.Set("iterations", static_cast<double>(call.result.iterations));
          // The rows' side has a layout of its own: a Jacobian's outputs are plain.
          const auto& native = call.matrix.native();
          const VectorLayout<T> rows_layout = native != nullptr ? native->output_layout() : nullptr;
          object.Set("left", write_rows<T>(env, rows_layout, call.result.left, call.matrix.rows()));
          object.Set("right", write_rows<T>(env, call.layout, call.result.right, call.matrix.columns()));
          return object;
        });
  });
}

// (operator, dtype, probes, { count }, batches)
Napi::Value start_curvature_noise(const Napi::CallbackInfo& info) {
  return with_dtype(info, [&]<class T>(T) {
    const std::int64_t count = Fields(info[3], "options").integer("count", 1);
    constexpr std::uint32_t kMostBatches = 1u << 16;
    const Napi::Array list = array(info[4], "batches", kMostBatches);
    const std::uint32_t batches = list.Length();
    std::vector<Napi::Value> values;
    for (std::uint32_t i = 0; i < batches; ++i) values.push_back(list.Get(i));
    const auto call = read_call<T, NoiseResult>(info);
    const auto outside = public_size(call->layout, call->matrix.columns());
    for (const Napi::Value& value : values) {
      const auto batch = OperatorArgument<T>::read(value, "batches");
      if (!batch.is_given()) fail(ErrorCode::kOption, "batches", "operators", "null");
      if (batch.rows != outside || batch.columns != outside) {
        fail(ErrorCode::kShape, "batches", "operators of the shape of the first",
             std::to_string(batch.rows) + " x " + std::to_string(batch.columns));
      }
      call->others.push_back(batch.port(call->layout));
      call->threads = std::max(call->threads, batch.threads());
    }
    return start<T>(
        info.Env(), call,
        [count](Session& session, Call<T, NoiseResult>& given) {
          return curvature_noise<T>(session, given.matrix, given.others, count, given.probes);
        },
        [](Napi::Env env, const Call<T, NoiseResult>& given) {
          const Estimate estimate = estimate_of(given.result.samples);
          auto object = write_ending(env, given.result);
          object.Set("samples", copy_array<double>(env, given.result.samples));
          object.Set("mean", estimate.mean);
          object.Set("standardError", estimate.standard_error);
          return object;
        });
  });
}

// (nodes, weights, variance, grid): the density on the grid.
Napi::Value spectral_density(const Napi::CallbackInfo& info) {
  constexpr std::uint32_t kMostProbes = 1u << 20;
  const Napi::Array nodes = array(info[0], "nodes", kMostProbes), weights = array(info[1], "weights", kMostProbes);
  const double variance = number(info[2], "variance");
  if (!(variance > 0)) fail(ErrorCode::kOption, "variance", "a number above 0", describe(info[2]));
  if (nodes.Length() != weights.Length()) {
    fail(ErrorCode::kShape, "weights", "as many arrays as nodes", describe(info[1]));
  }
  std::vector<Quadrature> probes;
  for (std::uint32_t i = 0; i < nodes.Length(); ++i) {
    const Napi::Value x = nodes.Get(i), w = weights.Get(i);
    const std::span<const double> at = typed<double>(x, "nodes");
    const std::span<const double> mass = typed<double>(w, "weights", static_cast<std::int64_t>(at.size()));
    probes.push_back({{at.begin(), at.end()}, {mass.begin(), mass.end()}, 0});
  }
  const std::span<const double> grid = typed<double>(info[3], "grid");
  const std::vector<double> points(grid.begin(), grid.end());
  Napi::Value density;
  krylov::spectral_density(probes, variance, points, make_array<double>(info.Env(), points.size(), density));
  return density;
}

}  // namespace krylov::binding
