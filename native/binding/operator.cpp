#include "operator.h"

#include "krylov/combine.h"

namespace krylov::binding {

namespace {

enum class Side : std::uint8_t { kPlain, kTransposed };

// `count` products of vectors in public order.
template <Scalar T>
void products(LinearOperator<T>& op, Side side, std::span<const T> from, std::span<T> to, std::int64_t count) {
  struct Turn {
    LinearOperator<T>& op;
    Side side;
    std::int64_t count;
    AlignedBuffer<T>&in, &out;
    void play(Team& team) noexcept {
      if (count != 1) {
        op.apply_block(team, in.data(), out.data(), count);
      } else if (side == Side::kPlain) {
        op.apply(team, in.data(), out.data());
      } else {
        op.apply_transposed(team, in.data(), out.data());
      }
    }
  };
  const bool plain = side == Side::kPlain;
  const std::int64_t in_size = plain ? op.columns() : op.rows(), out_size = plain ? op.rows() : op.columns();
  const VectorLayout<T> in_layout = plain ? op.layout() : op.output_layout();
  const VectorLayout<T> out_layout = plain ? op.output_layout() : op.layout();
  const auto in_length = static_cast<std::size_t>(public_size(in_layout, in_size));
  const auto out_length = static_cast<std::size_t>(public_size(out_layout, out_size));
  // Kept by the thread for its next product: fresh memory of this size would take longer than the vectors' orders.
  // Not for many vectors at once, which need not come again.
  static thread_local AlignedBuffer<T> kept_in, kept_out;
  AlignedBuffer<T> many_in, many_out;
  AlignedBuffer<T>& in = count == 1 ? kept_in : many_in;
  AlignedBuffer<T>& out = count == 1 ? kept_out : many_out;
  const auto room = [](AlignedBuffer<T>& buffer, std::int64_t size) {
    if (buffer.size() < static_cast<std::size_t>(size)) buffer = AlignedBuffer<T>(static_cast<std::size_t>(size));
  };
  room(in, in_size * count);
  room(out, out_size * count);
  Turn turn{op, side, count, in, out};
  for (std::int64_t i = 0; i < count; ++i) {
    store_vector<T>(in_layout, from.subspan(static_cast<std::size_t>(i) * in_length, in_length),
                    turn.in.data() + i * in_size, in_size);
  }
  ComputeThread::instance().lead_and_wait(
      op.threads(), [](void* context, Team& team) noexcept { static_cast<Turn*>(context)->play(team); }, &turn);
  for (std::int64_t i = 0; i < count; ++i) {
    load_vector<T>(out_layout, turn.out.data() + i * out_size, out_size,
                   to.subspan(static_cast<std::size_t>(i) * out_length, out_length));
  }
}

template <Scalar T>
void check_overlap(std::span<const T> a, std::span<const T> b) {
  if (a.data() < b.data() + b.size() && b.data() < a.data() + a.size()) {
    fail(ErrorCode::kOption, "out", "memory apart from that of the vector", "memory that overlaps");
  }
}

}  // namespace

Napi::Function NativeOperator::define(Napi::Env env) {
  using O = NativeOperator;
  return DefineClass(env, kName,
                     {getter<O, &O::rows>("rows"), getter<O, &O::columns>("columns"), getter<O, &O::dtype>("dtype"),
                      method<O, &O::matvec>("matvec"), method<O, &O::matvec_transposed>("matvecTransposed"),
                      method<O, &O::matmat>("matmat"), method<O, &O::dispose>("dispose")});
}

Napi::Value NativeOperator::create(Napi::Env env, AnyOperator op) {
  return make<NativeOperator>(env, Environment::of(env).linear_operator, op);
}

NativeOperator::NativeOperator(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guard(info.Env(), [&] {
    operator_ = std::move(take_content<NativeOperator>(info));
    seal<NativeOperator>(info);
  });
}

const AnyOperator& NativeOperator::get(std::string_view argument) const {
  if (std::visit([](const auto& op) { return op == nullptr; }, operator_)) {
    fail(ErrorCode::kState, argument, "an operator in use", "a disposed one");
  }
  return operator_;
}

Napi::Value NativeOperator::rows(const Napi::CallbackInfo& info) {
  const std::int64_t n = std::visit([](const auto& op) { return plain_rows(*op); }, get("operator"));
  return Napi::Number::New(info.Env(), static_cast<double>(n));
}

Napi::Value NativeOperator::columns(const Napi::CallbackInfo& info) {
  const std::int64_t n = std::visit([](const auto& op) { return plain_columns(*op); }, get("operator"));
  return Napi::Number::New(info.Env(), static_cast<double>(n));
}

Napi::Value NativeOperator::dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), operator_.index() == 0 ? "float32" : "float64");
}

void NativeOperator::matvec(const Napi::CallbackInfo& info) {
  std::visit(
      [&]<class T>(const OperatorPointer<T>& op) {
        const std::span<const T> v = typed<T>(info[0], "v", plain_columns(*op));
        const std::span<T> out = typed<T>(info[1], "out", plain_rows(*op));
        check_overlap<T>(v, out);
        products<T>(*op, Side::kPlain, v, out, 1);
      },
      get("operator"));
}

void NativeOperator::matvec_transposed(const Napi::CallbackInfo& info) {
  std::visit(
      [&]<class T>(const OperatorPointer<T>& op) {
        const std::span<const T> u = typed<T>(info[0], "u", plain_rows(*op));
        const std::span<T> out = typed<T>(info[1], "out", plain_columns(*op));
        check_overlap<T>(u, out);
        products<T>(*op, Side::kTransposed, u, out, 1);
      },
      get("operator"));
}

void NativeOperator::matmat(const Napi::CallbackInfo& info) {
  std::visit(
      [&]<class T>(const OperatorPointer<T>& op) {
        const std::int64_t rows = plain_rows(*op), columns = plain_columns(*op);
        // Far more than fits in memory, far less than overflows.
        const std::int64_t count = integer(info[1], "count", 1, kLargestInteger / std::max(rows, columns));
        const std::span<const T> vectors = typed<T>(info[0], "vectors", count * columns);
        const std::span<T> out = typed<T>(info[2], "out", count * rows);
        check_overlap<T>(vectors, out);
        products<T>(*op, Side::kPlain, vectors, out, count);
      },
      get("operator"));
}

void NativeOperator::dispose(const Napi::CallbackInfo&) {
  std::visit([](auto& op) { op.reset(); }, operator_);
}

template <Scalar T>
OperatorPointer<T> OperatorArgument<T>::read_native(const Napi::Value& value, std::string_view name) {
  const AnyOperator& any = unwrap<NativeOperator>(value, name).get(name);
  const auto* const op = std::get_if<OperatorPointer<T>>(&any);
  if (op == nullptr) {
    fail(ErrorCode::kDType, name, std::string("an operator on ") + ArrayType<T>::kName + "s", "one of the other dtype");
  }
  return *op;
}

template <Scalar T>
OperatorArgument<T> OperatorArgument<T>::read(const Napi::Value& value, std::string_view name) {
  OperatorArgument argument;
  if (value.IsNull()) return argument;
  bool tagged = false;
  if (!value.IsObject() || napi_check_object_type_tag(value.Env(), value, &NativeOperator::kTag, &tagged) != napi_ok) {
    fail(ErrorCode::kOption, name, "an operator", describe(value));
  }
  if (tagged) {
    argument.native = read_native(value, name);
    argument.rows = plain_rows(*argument.native), argument.columns = plain_columns(*argument.native);
    return argument;
  }
  constexpr std::int64_t kMostElements = std::int64_t(1) << 40;
  constexpr int kMostSources = 1 << 16;
  const Fields fields(value, std::string(name));
  argument.rows = fields.integer("rows", 1, kMostElements);
  argument.columns = fields.integer("columns", 1, kMostElements);
  argument.source = static_cast<int>(fields.integer("source", 0, kMostSources));
  argument.transposed_source = static_cast<int>(fields.integer("transposedSource", -1, kMostSources));
  return argument;
}

template <Scalar T>
OperatorArgument<T> OperatorArgument<T>::require(const Napi::Value& value, std::string_view name) {
  OperatorArgument argument = read(value, name);
  if (!argument.is_given()) fail(ErrorCode::kOption, name, "an operator", "null");
  return argument;
}

template <Scalar T>
void OperatorArgument<T>::check_square(std::string_view name) const {
  if (rows == columns) return;
  fail(ErrorCode::kShape, name, "a square operator", std::to_string(rows) + " x " + std::to_string(columns));
}

template <Scalar T>
void OperatorArgument<T>::check_transposable(std::string_view name) const {
  if (native != nullptr || transposed_source >= 0) return;
  fail(ErrorCode::kOption, name, "products with its transpose", "none");
}

template <Scalar T>
OperatorPort<T> OperatorArgument<T>::port(const VectorLayout<T>& layout) const {
  if (!is_given()) return {};
  if (native != nullptr) {
    OperatorPointer<T> op;
    check(reordered_operator<T>(native, layout, op));
    return OperatorPort<T>(std::move(op));
  }
  const auto stored = [&](std::int64_t size) {
    return layout != nullptr && rows == columns && size == layout->parameter_count() ? layout->arena_size() : size;
  };
  return OperatorPort<T>(source, stored(rows), stored(columns), transposed_source);
}

template struct OperatorArgument<float>;
template struct OperatorArgument<double>;

int threads_for(std::int64_t size, int operator_threads) noexcept {
  // Vectors that take longer than the threads to meet (vectors.cpp).
  constexpr std::int64_t kWorthSharing = std::int64_t(1) << 16;
  return size < kWorthSharing ? operator_threads : std::max(operator_threads, available_processors());
}

namespace {

constexpr std::uint32_t kMostParts = 1u << 16;

// The parts, all of the dtype of the first; body(std::vector<OperatorPointer<T>>).
template <class Body>
Napi::Value with_parts(const Napi::Value& value, Body&& body) {
  const Napi::Array list = array(value, "operators", kMostParts);
  const std::uint32_t count = list.Length();
  std::vector<Napi::Value> values;
  for (std::uint32_t i = 0; i < count; ++i) values.push_back(list.Get(i));
  if (values.empty()) fail(ErrorCode::kOption, "operators", "at least one operator", "none");
  const auto read = [&]<class T>(const OperatorPointer<T>&) {
    std::vector<OperatorPointer<T>> parts;
    for (const Napi::Value& part : values) parts.push_back(OperatorArgument<T>::read_native(part, "operators"));
    return body(std::move(parts));
  };
  return std::visit(read, unwrap<NativeOperator>(values.front(), "operators").get("operators"));
}

}  // namespace

Napi::Value make_dense_operator(const Napi::CallbackInfo& info) {
  return with_scalar(info[0], "matrix", [&]<class T>(T) {
    constexpr std::int64_t kMostRows = std::int64_t(1) << 26;
    const std::int64_t rows = integer(info[1], "rows", 1, kMostRows);
    const std::int64_t columns = integer(info[2], "columns", 1, kMostRows);
    OperatorPointer<T> op;
    check(krylov::dense_operator<T>(typed<T>(info[0], "matrix", rows * columns), rows, columns, op));
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value make_diagonal_operator(const Napi::CallbackInfo& info) {
  return with_scalar(info[0], "diagonal", [&]<class T>(T) {
    const std::span<const T> diagonal = typed<T>(info[0], "diagonal");
    if (diagonal.empty()) fail(ErrorCode::kShape, "diagonal", "at least one element", "none");
    return NativeOperator::create(info.Env(), krylov::diagonal_operator<T>(diagonal));
  });
}

Napi::Value make_sum_operator(const Napi::CallbackInfo& info) {
  const std::span<const double> given = typed<double>(info[1], "coefficients");
  const std::vector<double> coefficients(given.begin(), given.end());
  const double shift = number(info[2], "shift");
  return with_parts(info[0], [&]<class T>(std::vector<OperatorPointer<T>> parts) {
    if (coefficients.size() != parts.size()) {
      fail(ErrorCode::kShape, "coefficients", "one for each of " + std::to_string(parts.size()) + " operators",
           std::to_string(coefficients.size()));
    }
    std::vector<OperatorTerm<T>> terms;
    for (std::size_t i = 0; i < parts.size(); ++i) terms.push_back({coefficients[i], std::move(parts[i])});
    OperatorPointer<T> op;
    check(krylov::sum_operator<T>(std::move(terms), shift, op));
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value make_low_rank_operator(const Napi::CallbackInfo& info) {
  return with_scalar(info[0], "factor", [&]<class T>(T) {
    const std::span<const double> weights = typed<double>(info[1], "weights");
    const auto columns = static_cast<std::int64_t>(weights.size());
    if (columns == 0) fail(ErrorCode::kShape, "weights", "at least one", "none");
    const std::int64_t rows = integer(info[2], "rows", 1, kLargestInteger / columns);
    OperatorPointer<T> op;
    check(krylov::low_rank_operator<T>(typed<T>(info[0], "factor", rows * columns), weights, rows, op));
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value make_block_diagonal_operator(const Napi::CallbackInfo& info) {
  return with_parts(info[0], [&]<class T>(std::vector<OperatorPointer<T>> parts) {
    OperatorPointer<T> op;
    check(krylov::block_diagonal_operator<T>(std::move(parts), op));
    return NativeOperator::create(info.Env(), std::move(op));
  });
}

Napi::Value combine_vectors(const Napi::CallbackInfo& info) {
  const double a = number(info[0], "a"), b = number(info[2], "b");
  return with_scalar(info[1], "x", [&]<class T>(T) -> Napi::Value {
    const std::span<const T> x = typed<T>(info[1], "x");
    const auto length = static_cast<std::int64_t>(x.size());
    combine<T>(a, x, b, typed<T>(info[3], "y", length), typed<T>(info[4], "out", length));
    return info[4];
  });
}

}  // namespace krylov::binding
