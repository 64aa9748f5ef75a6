// Operators made of numbers and of operators, against their dense matrices in
// public order, column by column; both directions; plain and in arena order.
#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "krylov/network.h"
#include "krylov/operators.h"
#include "support/comparison.h"
#include "support/kernel_cases.h"

namespace krylov {
namespace {

using test::Comparison;

template <Scalar T>
using Values = std::vector<T>;

// Small integers: every sum below is exact in both types.
template <Scalar T>
Values<T> integers(std::int64_t size, unsigned seed) {
  test::Random random(seed);
  Values<T> values(static_cast<std::size_t>(size));
  for (T& x : values) x = static_cast<T>(random.integer(-4, 4));
  return values;
}

template <Scalar T>
Values<T> into(const VectorLayout<T>& layout, const Values<T>& plain) {
  if (layout == nullptr) return plain;
  Values<T> arena(static_cast<std::size_t>(layout->arena_size()));
  layout->template to_arena<T>(plain, arena);
  return arena;
}

template <Scalar T>
Values<T> out_of(const VectorLayout<T>& layout, const Values<T>& stored) {
  if (layout == nullptr) return stored;
  Values<T> plain(static_cast<std::size_t>(layout->parameter_count()));
  layout->template to_public<T>(stored, std::span<T>(plain));
  CHECK_MESSAGE(into(layout, plain) == stored, "zeros in the padding");
  return plain;
}

template <Scalar T>
Values<T> product(LinearOperator<T>& op, const Values<T>& plain, bool transposed = false) {
  Team team;
  const Values<T> v = into(transposed ? op.output_layout() : op.layout(), plain);
  const std::int64_t size = transposed ? op.columns() : op.rows();
  Values<T> out(static_cast<std::size_t>(size), T(99));
  transposed ? op.apply_transposed(team, v.data(), out.data()) : op.apply(team, v.data(), out.data());
  return out_of(transposed ? op.layout() : op.output_layout(), out);
}

// `matrix` [rows, columns] is what the operator is to be, in public order.
template <Scalar T>
void check_matrix(LinearOperator<T>& op, const Values<T>& matrix, std::int64_t rows, std::int64_t columns) {
  REQUIRE(plain_rows(op) == rows);
  REQUIRE(plain_columns(op) == columns);
  Comparison c;
  for (std::int64_t j = 0; j < columns; ++j) {
    Values<T> unit(static_cast<std::size_t>(columns));
    unit[std::size_t(j)] = 1;
    const Values<T> column = product(op, unit);
    for (std::int64_t i = 0; i < rows; ++i) c.equal(i, j, column[std::size_t(i)], matrix[std::size_t(i * columns + j)]);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    Values<T> unit(static_cast<std::size_t>(rows));
    unit[std::size_t(i)] = 1;
    const Values<T> row = product(op, unit, true);
    for (std::int64_t j = 0; j < columns; ++j) c.equal(i, j, row[std::size_t(j)], matrix[std::size_t(i * columns + j)]);
  }
  c.check("by unit vectors");

  constexpr std::int64_t kCount = 3;
  Team team;
  Values<T> block, expected, out(static_cast<std::size_t>(kCount * op.rows()));
  for (std::int64_t k = 0; k < kCount; ++k) {
    const Values<T> v = into(op.layout(), integers<T>(columns, 70 + static_cast<unsigned>(k)));
    block.insert(block.end(), v.begin(), v.end());
    Values<T> one(static_cast<std::size_t>(op.rows()));
    op.apply(team, v.data(), one.data());
    expected.insert(expected.end(), one.begin(), one.end());
  }
  op.apply_block(team, block.data(), out.data(), kCount);
  CHECK(out == expected);
}

template <Scalar T>
OperatorPointer<T> dense(const Values<T>& matrix, std::int64_t rows, std::int64_t columns) {
  OperatorPointer<T> op;
  REQUIRE(dense_operator<T>(matrix, rows, columns, op).ok());
  return op;
}

template <Scalar T>
OperatorPointer<T> sum(std::vector<OperatorTerm<T>> terms, double shift) {
  OperatorPointer<T> op;
  REQUIRE(sum_operator<T>(std::move(terms), shift, op).ok());
  return op;
}

template <Scalar T>
OperatorPointer<T> reordered(OperatorPointer<T> from, VectorLayout<T> layout) {
  OperatorPointer<T> op;
  REQUIRE(reordered_operator<T>(std::move(from), std::move(layout), op).ok());
  return op;
}

// 3 inputs, 2 units, 1 unit: 11 parameters, far fewer than the arena has room for.
template <Scalar T>
VectorLayout<T> small_network(ActivationSpec activation = {Activation::kTanh, 0}) {
  NetworkSpec spec;
  spec.inputs = 3;
  for (const std::int64_t units : {2, 1}) {
    LayerSpec layer;
    layer.units = units;
    layer.activation = activation;
    spec.layers.push_back(layer);
  }
  std::unique_ptr<const Network<T>> network;
  REQUIRE(Network<T>::create(spec, network).ok());
  REQUIRE(network->parameter_count() == 11);
  return network;
}

template <Scalar T>
Values<T> diagonal_matrix(const Values<T>& d) {
  Values<T> matrix(d.size() * d.size());
  for (std::size_t i = 0; i < d.size(); ++i) matrix[i * d.size() + i] = d[i];
  return matrix;
}

TEST_CASE_TEMPLATE("operators made of numbers, plain and reordered", T, float, double) {
  const auto network = small_network<T>();
  for (const auto& [rows, columns] : {std::pair{1, 1}, {11, 11}, {5, 11}, {11, 5}, {3, 130}}) {
    const Values<T> matrix = integers<T>(rows * columns, 1);
    const OperatorPointer<T> op = dense(matrix, rows, columns);
    check_matrix(*op, matrix, rows, columns);
    if (columns == 11) check_matrix(*reordered(op, network), matrix, rows, columns);
  }
  const Values<T> d = integers<T>(11, 2);
  const OperatorPointer<T> diagonal = diagonal_operator<T>(d);
  check_matrix(*diagonal, diagonal_matrix(d), 11, 11);
  check_matrix(*reordered(diagonal, network), diagonal_matrix(d), 11, 11);

  const Values<T> threes = diagonal_matrix(Values<T>(11, T(3)));
  check_matrix(*scaled_identity<T>(3, 11, nullptr), threes, 11, 11);
  check_matrix(*scaled_identity<T>(3, network->arena_size(), network), threes, 11, 11);
  check_matrix(*reordered(scaled_identity<T>(3, 11, nullptr), network), threes, 11, 11);
  check_matrix(*reordered<T>(scaled_identity<T>(3, network->arena_size(), network), nullptr), threes, 11, 11);

  for (const std::int64_t rank : {1, 3, 12}) {
    const Values<T> factor = integers<T>(11 * rank, 3);
    std::vector<double> weights;
    for (std::int64_t k = 0; k < rank; ++k) weights.push_back(static_cast<double>(k % 5 - 2));
    Values<T> matrix(121);
    for (std::size_t i = 0; i < 11; ++i) {
      for (std::size_t j = 0; j < 11; ++j) {
        for (std::size_t k = 0; k < weights.size(); ++k) {
          matrix[i * 11 + j] +=
              static_cast<T>(weights[k]) * factor[i * weights.size() + k] * factor[j * weights.size() + k];
        }
      }
    }
    OperatorPointer<T> op;
    REQUIRE(low_rank_operator<T>(factor, weights, 11, op).ok());
    check_matrix(*op, matrix, 11, 11);
    check_matrix(*reordered(op, network), matrix, 11, 11);
  }
}

TEST_CASE_TEMPLATE("a sum of operators, whatever the layouts of its parts", T, float, double) {
  const auto network = small_network<T>();
  const auto twin = small_network<T>({Activation::kRelu, 0});
  const Values<T> a = integers<T>(121, 4), b = integers<T>(121, 5), d = integers<T>(11, 6);
  const OperatorPointer<T> pa = dense(a, 11, 11), pb = dense(b, 11, 11), pd = diagonal_operator<T>(d);
  const auto expected = [&](T ca, T cb, T cd, T shift) {
    Values<T> m(121);
    for (std::size_t i = 0; i < 121; ++i) m[i] = ca * a[i] + cb * b[i];
    for (std::size_t i = 0; i < 11; ++i) m[i * 12] += cd * d[i] + shift;
    return m;
  };
  const auto same = [](const OperatorPointer<T>& op, const VectorLayout<T>& layout) {
    return same_layout(op->layout(), layout) && same_layout(op->output_layout(), layout);
  };
  for (const VectorLayout<T>& first : {VectorLayout<T>(nullptr), network}) {
    for (const VectorLayout<T>& second : {VectorLayout<T>(nullptr), twin}) {
      const OperatorPointer<T> ra = reordered(pa, first), rb = reordered(pb, second);
      check_matrix(*sum<T>({{1, ra}}, 0), expected(1, 0, 0, 0), 11, 11);
      check_matrix(*sum<T>({{-2, ra}}, 0), expected(-2, 0, 0, 0), 11, 11);
      check_matrix(*sum<T>({{2, ra}}, 3), expected(2, 0, 0, 3), 11, 11);
      check_matrix(*sum<T>({{1, ra}, {-3, rb}}, 0), expected(1, -3, 0, 0), 11, 11);
      const OperatorPointer<T> all = sum<T>({{2, ra}, {3, rb}, {-1, pd}}, 5);
      check_matrix(*all, expected(2, 3, -1, 5), 11, 11);
      CHECK(same(all, first != nullptr ? first : second));
      const OperatorPointer<T> plain = reordered<T>(all, nullptr), arena = reordered<T>(all, network);
      check_matrix(*plain, expected(2, 3, -1, 5), 11, 11);
      check_matrix(*arena, expected(2, 3, -1, 5), 11, 11);
      CHECK(same(plain, nullptr));
      CHECK(same(arena, network));
      CHECK(same(reordered<T>(arena, nullptr), nullptr));
    }
  }
  // Rectangular: only the columns are parameters.
  const Values<T> j = integers<T>(44, 7), k = integers<T>(44, 8);
  Values<T> jk(44);
  for (std::size_t i = 0; i < jk.size(); ++i) jk[i] = j[i] - k[i];
  const OperatorPointer<T> jacobian = reordered(dense(j, 4, 11), network);
  CHECK(jacobian->output_layout() == nullptr);
  check_matrix(*sum<T>({{1, jacobian}, {-1, dense(k, 4, 11)}}, 0), jk, 4, 11);
}

TEST_CASE_TEMPLATE("blocks along the diagonal", T, float, double) {
  const auto network = small_network<T>();
  const Values<T> a = integers<T>(6, 9), b = integers<T>(121, 10), d = integers<T>(4, 11);
  OperatorPointer<T> op;
  REQUIRE(
      block_diagonal_operator<T>({dense(a, 2, 3), reordered(dense(b, 11, 11), network), diagonal_operator<T>(d)}, op)
          .ok());
  Values<T> matrix(17 * 18);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) matrix[i * 18 + j] = a[i * 3 + j];
  }
  for (std::size_t i = 0; i < 11; ++i) {
    for (std::size_t j = 0; j < 11; ++j) matrix[(2 + i) * 18 + 3 + j] = b[i * 11 + j];
  }
  for (std::size_t i = 0; i < 4; ++i) matrix[(13 + i) * 18 + 14 + i] = d[i];
  check_matrix(*op, matrix, 17, 18);
  CHECK(op->layout() == nullptr);
}

template <Scalar T>
Values<T> on_threads(LinearOperator<T>& op, const Values<T>& v, int threads, bool transposed) {
  Values<T> out(static_cast<std::size_t>(op.rows()));
  struct Call {
    LinearOperator<T>& op;
    const Values<T>& v;
    Values<T>& out;
    bool transposed;
  } call{op, v, out, transposed};
  ComputeThread::instance().lead_and_wait(
      threads,
      [](void* context, Team& team) noexcept {
        const Call& c = *static_cast<const Call*>(context);
        c.transposed ? c.op.apply_transposed(team, c.v.data(), c.out.data())
                     : c.op.apply(team, c.v.data(), c.out.data());
      },
      &call);
  return out;
}

TEST_CASE_TEMPLATE("products have the same bits for any number of threads", T, float, double) {
  constexpr std::int64_t kSize = 700;
  test::Random random(12);
  const auto uniform = [&](std::int64_t size) {
    Values<T> values(static_cast<std::size_t>(size));
    for (T& x : values) x = static_cast<T>(random.uniform());
    return values;
  };
  OperatorPointer<T> low_rank;
  REQUIRE(low_rank_operator<T>(uniform(100000 * 3), std::vector<double>{1, -2, 0.3}, 100000, low_rank).ok());
  const std::vector<OperatorPointer<T>> operators = {
      sum<T>({{0.7, dense(uniform(kSize * kSize), kSize, kSize)}, {1.1, diagonal_operator<T>(uniform(kSize))}}, 0.3),
      sum<T>({{0.7, low_rank}, {0.3, diagonal_operator<T>(uniform(100000))}}, 0.1)};
  for (const auto& op : operators) {
    const Values<T> v = uniform(op->columns());
    for (const bool transposed : {false, true}) {
      const Values<T> one = on_threads(*op, v, 1, transposed);
      for (const int threads : {2, 3}) CHECK(on_threads(*op, v, threads, transposed) == one);
    }
  }
}

TEST_CASE("operators that do not fit are refused by name") {
  const auto network = small_network<double>();
  const std::vector<double> six(6), eleven(121);
  OperatorPointer<double> out;
  const auto refused = [&out](const Status& status, ErrorCode code, const char* argument) {
    CHECK(status.code == code);
    CHECK(std::string(status.argument) == argument);
    CHECK(out == nullptr);
  };
  refused(dense_operator<double>(six, 2, 2, out), ErrorCode::kShape, "matrix");
  refused(dense_operator<double>(six, 4, 2, out), ErrorCode::kShape, "matrix");
  refused(dense_operator<double>(six, 0, 2, out), ErrorCode::kShape, "shape");
  refused(low_rank_operator<double>(six, std::vector<double>{1, 2}, 4, out), ErrorCode::kShape, "factor");
  refused(low_rank_operator<double>(six, {}, 4, out), ErrorCode::kShape, "shape");
  const auto a = dense(six, 2, 3), b = dense(six, 3, 2), square = dense(eleven, 11, 11);
  refused(sum_operator<double>({}, 0, out), ErrorCode::kShape, "operators");
  refused(sum_operator<double>({{1, a}, {1, b}}, 0, out), ErrorCode::kShape, "operators");
  refused(sum_operator<double>({{1, a}}, 1, out), ErrorCode::kShape, "shift");
  refused(block_diagonal_operator<double>({}, out), ErrorCode::kShape, "operators");
  refused(reordered_operator<double>(a, network, out), ErrorCode::kShape, "operator");

  NetworkSpec spec = network->spec();  // as many parameters in another order
  spec.inputs = 2;
  spec.layers[0].units = 3;
  spec.layers[1].units = 1;
  spec.layers[1].bias = false;
  spec.layers[0].bias = true;
  std::unique_ptr<const Network<double>> other;
  REQUIRE(Network<double>::create(spec, other).ok());
  const VectorLayout<double> shared = std::move(other);
  const std::int64_t n = shared->parameter_count();
  const auto elsewhere = reordered(dense(std::vector<double>(std::size_t(n * n)), n, n), shared);
  refused(reordered_operator<double>(elsewhere, network, out), ErrorCode::kShape, "operator");
  refused(sum_operator<double>({{1, reordered(square, network)}, {1, elsewhere}}, 0, out), ErrorCode::kShape,
          "operators");
}

}  // namespace
}  // namespace krylov
