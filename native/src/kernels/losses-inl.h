// Losses of rows of outputs and their derivatives, softmax and log-sum-exp.
// Formulas: docs, models and losses. Every reduction over columns runs in
// double and in an order that only the number of columns fixes, and lanes are
// independent, so a row gives the same bits wherever it stands in the batch.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"
#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

// Positions of lanes, to tell the first `count` of a vector from the rest.
template <class T>
inline constexpr T kLaneIndex[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

template <class T>
KRYLOV_SIMD_FN Mask<T> first_lanes(int count) {
  return lt(load(kLaneIndex<T>), set1<T>(T(count)));
}

template <class T>
KRYLOV_SIMD_FN Vec<T> keep_first(Vec<T> v, int count) {
  return select(first_lanes<T>(count), v, zero<T>());
}

// Zeros from the vector that holds column `columns` up to the end of the row's
// last panel; what stands in that vector is the caller's.
template <class T>
KRYLOV_SIMD_FN void zero_rest_of_panel(T* row, std::int64_t first, std::int64_t columns) {
  const std::int64_t end = round_up(columns, kPanel<T>);
  for (std::int64_t c = first; c < end; c += Vec<T>::kLanes) store(row + c, zero<T>());
}

// A term gives, for a vector of outputs that starts at column c and has `count` valid
// lanes, the loss of each (when wanted) and its slope divided by kSlope.

template <class T>
struct SquaredTerm {
  static constexpr double kSlope = 2;
  KRYLOV_SIMD void operator()(Vec<T> o, Vec<T> y, std::int64_t, int, bool, Vec<T>& value, Vec<T>& slope) const {
    slope = o - y;
    value = slope * slope;
  }
};

template <class T>
struct AbsoluteTerm {
  static constexpr double kSlope = 1;
  KRYLOV_SIMD void operator()(Vec<T> o, Vec<T> y, std::int64_t, int, bool, Vec<T>& value, Vec<T>& slope) const {
    const Vec<T> d = o - y;
    value = abs(d);
    // The sign of a zero is 0; a NaN stays.
    slope = select(eq(d, zero<T>()), zero<T>(), select(is_nan(d), d, copysign(set1<T>(T(1)), d)));
  }
};

template <class T>
struct HuberTerm {
  static constexpr double kSlope = 1;
  Vec<T> delta;
  KRYLOV_SIMD void operator()(Vec<T> o, Vec<T> y, std::int64_t, int, bool, Vec<T>& value, Vec<T>& slope) const {
    const Vec<T> half = set1<T>(T(0.5));
    const Vec<T> d = o - y;
    const Vec<T> size = abs(d);
    value = select(lt(size, delta), half * d * d, delta * fnma(half, delta, size));
    slope = max(-delta, min(delta, d));
  }
};

// Sigmoid cross-entropy on logits. With p the weight of the positive term,
//   l = (1 - y) o + (1 + (p - 1) y) softplus(-o),  softplus(-o) = log(1 + e^-|o|) + max(-o, 0),
//   dl/do = (1 - y) - (1 + (p - 1) y) sigmoid(-o),
// which for p = 1 is sigmoid(o) - y. Nothing overflows: only e^-|o| is taken.
template <class T, bool Weighted>
struct BinaryTerm {
  static constexpr double kSlope = 1;
  Vec<T> keep, add;       // smoothed target: keep y + add
  const double* weights;  // one a column, when Weighted
  KRYLOV_SIMD void operator()(Vec<T> o, Vec<T> target, std::int64_t c, int count, bool want_value, Vec<T>& value,
                              Vec<T>& slope) const {
    const Vec<T> one = set1<T>(T(1));
    const Vec<T> y = fma(keep, target, add);
    const Vec<T> e = exp(-abs(o));
    const Vec<T> larger = one / (one + e);  // sigmoid(|o|)
    const Mask<T> negative = lt(o, zero<T>());
    if constexpr (Weighted) {
      const Vec<T> p =
          count == Vec<T>::kLanes ? load_convert<T>(weights + c) : load_convert_partial<T>(weights + c, count);
      const Vec<T> weight = fma(p - one, y, one);
      slope = (one - y) - weight * select(negative, larger, e * larger);
      value = zero<T>();
      if (want_value) value = fma(weight, log1p(e) + max(-o, zero<T>()), (one - y) * o);
    } else {
      slope = select(negative, e * larger, larger) - y;
      value = zero<T>();
      if (want_value) value = log1p(e) + fnma(o, y, max(o, zero<T>()));
    }
  }
};

// One output: kLanes rows at once, gathered into a vector and scattered again. Every
// lane is column 0 to the term.
template <class T, class Term>
KRYLOV_SIMD_FN void single_output_rows(const LossRows<T>& a, const Term& term, double factor) {
  constexpr int lanes = Vec<T>::kLanes;
  alignas(kCacheLine) T o[lanes] = {}, y[lanes] = {}, values[lanes], slopes[lanes];
  for (std::int64_t first = 0; first < a.rows; first += lanes) {
    const int count = a.rows - first < lanes ? static_cast<int>(a.rows - first) : lanes;
    for (int i = 0; i < count; ++i) {
      o[i] = a.outputs[(first + i) * a.ldo];
      y[i] = a.targets[(first + i) * a.ldt];
    }
    Vec<T> value, slope;
    term(load(o), load(y), 0, lanes, a.losses != nullptr, value, slope);
    store(values, value);
    store(slopes, slope);
    if (a.losses != nullptr) {
      for (int i = 0; i < count; ++i) {
        const double w = a.weights != nullptr ? factor * a.weights[first + i] : factor;
        a.losses[first + i] = w * static_cast<double>(values[i]);
      }
    }
    if (a.delta != nullptr) {
      const double seed = a.seed * factor * Term::kSlope;
      for (int i = 0; i < count; ++i) {
        const double w = a.weights != nullptr ? seed * a.weights[first + i] : seed;
        T* row = a.delta + (first + i) * a.ldd;
        zero_rest_of_panel(row, 0, 1);
        row[0] = static_cast<T>(w) * slopes[i];
      }
    }
  }
}

template <class T, class Term>
KRYLOV_SIMD_FN void elementwise_rows(const LossRows<T>& a, const Term& term) {
  constexpr int lanes = Vec<T>::kLanes;
  const double factor = a.spec->sum_outputs ? a.spec->scale : a.spec->scale / static_cast<double>(a.columns);
  const std::int64_t whole = a.columns / lanes * lanes;
  const int tail = static_cast<int>(a.columns - whole);
  const bool want_value = a.losses != nullptr;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const T* o = a.outputs + r * a.ldo;
    const T* y = a.targets + r * a.ldt;
    T* d = a.delta != nullptr ? a.delta + r * a.ldd : nullptr;
    const double w = a.weights != nullptr ? factor * a.weights[r] : factor;
    const Vec<T> seed = set1<T>(static_cast<T>(a.seed * w * Term::kSlope));
    DoubleAcc<T> sum;
    Vec<T> value, slope;
    for (std::int64_t c = 0; c < whole; c += lanes) {
      term(load(o + c), load(y + c), c, lanes, want_value, value, slope);
      sum.add(value);
      if (d != nullptr) store(d + c, seed * slope);
    }
    if (tail != 0) {
      term(load_partial(o + whole, tail), load_partial(y + whole, tail), whole, tail, want_value, value, slope);
      sum.add(keep_first(value, tail));
      if (d != nullptr) store(d + whole, keep_first(seed * slope, tail));
    }
    if (d != nullptr) zero_rest_of_panel(d, whole + (tail != 0 ? lanes : 0), a.columns);
    if (want_value) a.losses[r] = w * sum.total();
  }
}

template <class T, class Term>
__attribute__((noinline)) void term_rows(const LossRows<T>& a, const Term& term) noexcept {
  if (a.columns == 1) {
    single_output_rows(a, term, a.spec->scale);
  } else {
    elementwise_rows(a, term);
  }
}

// Softmax --------------------------------------------------------------------

template <class T>
KRYLOV_SIMD_FN T row_max(const T* z, std::int64_t columns) {
  constexpr int lanes = Vec<T>::kLanes;
  const std::int64_t whole = columns / lanes * lanes;
  const int tail = static_cast<int>(columns - whole);
  Vec<T> m = set1<T>(z[0]);
  for (std::int64_t c = 0; c < whole; c += lanes) m = max(m, load(z + c));
  if (tail != 0) m = select(first_lanes<T>(tail), max(m, load_partial(z + whole, tail)), m);
  return reduce_max(m);
}

// Sum of exp(z - shift); the exponentials go to e when given. Where e is padded the last
// vector is stored whole, zeros beyond the columns: a masked store would delay its reader.
template <class T, bool Padded>
KRYLOV_SIMD_FN double exponentials(const T* z, T shift, std::int64_t columns, T* e) {
  constexpr int lanes = Vec<T>::kLanes;
  const std::int64_t whole = columns / lanes * lanes;
  const int tail = static_cast<int>(columns - whole);
  const Vec<T> m = set1<T>(shift);
  DoubleAcc<T> sum;
  for (std::int64_t c = 0; c < whole; c += lanes) {
    const Vec<T> x = exp(load(z + c) - m);
    sum.add(x);
    if (e != nullptr) store(e + c, x);
  }
  if (tail != 0) {
    const Vec<T> x = keep_first(exp(load_partial(z + whole, tail) - m), tail);
    sum.add(x);
    if (e != nullptr) {
      if constexpr (Padded) {
        store(e + whole, x);
      } else {
        store_partial(e + whole, x, tail);
      }
    }
  }
  return sum.total();
}

// p = softmax(z), row by row; p may be z. Writes the columns only.
template <Scalar T>
void softmax_rows(const T* z, std::int64_t ldz, T* p, std::int64_t ldp, std::int64_t rows,
                  std::int64_t columns) noexcept {
  constexpr int lanes = Vec<T>::kLanes;
  const std::int64_t whole = columns / lanes * lanes;
  const int tail = static_cast<int>(columns - whole);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* in = z + r * ldz;
    T* out = p + r * ldp;
    const double sum = exponentials<T, false>(in, row_max(in, columns), columns, out);
    const Vec<T> inverse = set1<T>(static_cast<T>(1.0 / sum));
    for (std::int64_t c = 0; c < whole; c += lanes) store(out + c, load(out + c) * inverse);
    if (tail != 0) store_partial(out + whole, load_partial(out + whole, tail) * inverse, tail);
  }
}

// Rows whose sums of exponentials wait for one vector logarithm.
inline constexpr int kLogBlock = 16;

KRYLOV_SIMD_FN void logarithms(double (&sums)[kLogBlock]) {
  for (int i = 0; i < kLogBlock; i += Vec<double>::kLanes) store(sums + i, log(load(sums + i)));
}

// out[r] = log sum_k exp(z[r][k]), shifted by the row's maximum.
template <Scalar T>
void log_sum_exp_rows(const T* z, std::int64_t ldz, double* out, std::int64_t rows, std::int64_t columns) noexcept {
  for (std::int64_t first = 0; first < rows; first += kLogBlock) {
    const int count = rows - first < kLogBlock ? static_cast<int>(rows - first) : kLogBlock;
    double sums[kLogBlock], shifts[kLogBlock];
    for (int i = 0; i < kLogBlock; ++i) sums[i] = 1;
    for (int i = 0; i < count; ++i) {
      const T* row = z + (first + i) * ldz;
      const T m = row_max(row, columns);
      shifts[i] = static_cast<double>(m);
      sums[i] = exponentials<T, false>(row, m, columns, nullptr);
    }
    logarithms(sums);
    for (int i = 0; i < count; ++i) out[first + i] = shifts[i] + sums[i];
  }
}

// Class targets, smoothed: y_k = [k = class] (1 - epsilon) + epsilon / K. Writes delta, returns sum_k y_k (o_k - m).
template <class T>
KRYLOV_SIMD_FN double class_target_row(const LossRows<T>& a, const T* o, std::int64_t label, T shift, double sum,
                                       double seed, T* d) {
  constexpr int lanes = Vec<T>::kLanes;
  const double smoothing = a.spec->label_smoothing;
  const double share = smoothing / static_cast<double>(a.columns);
  const std::int64_t whole = a.columns / lanes * lanes;
  const int tail = static_cast<int>(a.columns - whole);
  if (d != nullptr) {
    const double e = static_cast<double>(d[label]);
    const Vec<T> factor = set1<T>(static_cast<T>(seed / sum));
    const Vec<T> offset = set1<T>(static_cast<T>(-seed * share));
    for (std::int64_t c = 0; c < whole; c += lanes) store(d + c, fma(load(d + c), factor, offset));
    if (tail != 0) store(d + whole, keep_first(fma(load(d + whole), factor, offset), tail));
    zero_rest_of_panel(d, whole + (tail != 0 ? lanes : 0), a.columns);
    // p - 1 without cancellation, for samples that are almost certain.
    d[label] = static_cast<T>(seed * ((e - sum) / sum + (smoothing - share)));
  }
  double dot = (1 - smoothing) * static_cast<double>(o[label] - shift);
  if (smoothing != 0 && a.losses != nullptr) {
    const Vec<T> m = set1<T>(shift);
    DoubleAcc<T> gaps;
    for (std::int64_t c = 0; c < whole; c += lanes) gaps.add(load(o + c) - m);
    if (tail != 0) gaps.add(keep_first(load_partial(o + whole, tail) - m, tail));
    dot += share * gaps.total();
  }
  return dot;
}

// Rows of probabilities: y_k = weight_k ((1 - epsilon) t_k + epsilon / K); their sum need not be 1.
// Writes delta = seed (mass p - y); returns sum_k y_k (o_k - m) and mass = sum_k y_k.
template <class T>
KRYLOV_SIMD_FN double probability_target_row(const LossRows<T>& a, const T* o, const T* t, T shift, double sum,
                                             double seed, T* d, double& mass) {
  constexpr int lanes = Vec<T>::kLanes;
  const LossSpec& spec = *a.spec;
  const double* weights = spec.class_weights.size() != 0 ? spec.class_weights.data() : nullptr;
  const Vec<T> keep = set1<T>(static_cast<T>(1 - spec.label_smoothing));
  const Vec<T> add = set1<T>(static_cast<T>(spec.label_smoothing / static_cast<double>(a.columns)));
  const Vec<T> m = set1<T>(shift);
  const auto target = [&](std::int64_t c, int count) __attribute__((always_inline)) {
    const bool full = count == lanes;
    Vec<T> y = fma(keep, full ? load(t + c) : load_partial(t + c, count), add);
    if (!full) y = keep_first(y, count);
    if (weights != nullptr) {
      y = y * (full ? load_convert<T>(weights + c) : load_convert_partial<T>(weights + c, count));
    }
    return y;
  };
  const std::int64_t whole = a.columns / lanes * lanes;
  const int tail = static_cast<int>(a.columns - whole);
  DoubleAcc<T> masses, dots;
  for (std::int64_t c = 0; c < whole; c += lanes) {
    const Vec<T> y = target(c, lanes);
    masses.add(y);
    dots.add_product(y, load(o + c) - m);
  }
  if (tail != 0) {
    const Vec<T> y = target(whole, tail);
    masses.add(y);
    dots.add_product(y, load_partial(o + whole, tail) - m);
  }
  mass = masses.total();
  if (d != nullptr) {
    const Vec<T> factor = set1<T>(static_cast<T>(seed * mass / sum));
    const Vec<T> minus = set1<T>(static_cast<T>(seed));
    for (std::int64_t c = 0; c < whole; c += lanes) store(d + c, fms(load(d + c), factor, minus * target(c, lanes)));
    if (tail != 0) store(d + whole, fms(load(d + whole), factor, minus * target(whole, tail)));
    zero_rest_of_panel(d, whole + (tail != 0 ? lanes : 0), a.columns);
  }
  return dots.total();
}

// l = mass log sum_k exp(o_k) - sum_k y_k o_k, both shifted by the maximum m. Delta holds the exponentials meanwhile.
template <class T, bool ClassTargets>
__attribute__((noinline)) void softmax_loss_rows(const LossRows<T>& a) noexcept {
  for (std::int64_t first = 0; first < a.rows; first += kLogBlock) {
    const int count = a.rows - first < kLogBlock ? static_cast<int>(a.rows - first) : kLogBlock;
    double sums[kLogBlock], masses[kLogBlock], dots[kLogBlock];
    for (int i = 0; i < kLogBlock; ++i) sums[i] = masses[i] = 1;
    for (int i = 0; i < count; ++i) {
      const std::int64_t r = first + i;
      const T* o = a.outputs + r * a.ldo;
      T* d = a.delta != nullptr ? a.delta + r * a.ldd : nullptr;
      const double w = a.weights != nullptr ? a.spec->scale * a.weights[r] : a.spec->scale;
      const T shift = row_max(o, a.columns);
      sums[i] = exponentials<T, true>(o, shift, a.columns, d);
      if constexpr (ClassTargets) {
        dots[i] = class_target_row(a, o, a.classes[r], shift, sums[i], a.seed * w, d);
      } else {
        dots[i] = probability_target_row(a, o, a.targets + r * a.ldt, shift, sums[i], a.seed * w, d, masses[i]);
      }
    }
    if (a.losses == nullptr) continue;
    logarithms(sums);
    for (int i = 0; i < count; ++i) {
      const double w = a.weights != nullptr ? a.spec->scale * a.weights[first + i] : a.spec->scale;
      a.losses[first + i] = w * (masses[i] * sums[i] - dots[i]);
    }
  }
}

// Class weights: with class targets they are in a.weights already; rows of probabilities take them term by
// term, binary cross-entropy as factors of the positive terms. Delta overlaps neither outputs nor targets.
template <Scalar T>
void loss_rows(const LossRows<T>& a) noexcept {
  const LossSpec& spec = *a.spec;
  switch (spec.kind) {
    case Loss::kMeanSquaredError: term_rows(a, SquaredTerm<T>{}); break;
    case Loss::kMeanAbsoluteError: term_rows(a, AbsoluteTerm<T>{}); break;
    case Loss::kHuber: term_rows(a, HuberTerm<T>{set1<T>(static_cast<T>(spec.delta))}); break;
    case Loss::kBinaryCrossEntropy: {
      const Vec<T> keep = set1<T>(static_cast<T>(1 - spec.label_smoothing));
      const Vec<T> add = set1<T>(static_cast<T>(spec.label_smoothing / 2));
      if (spec.class_weights.size() != 0) {
        // A single output puts rows into the lanes: all of them take the one weight.
        double repeated[16];
        for (double& weight : repeated) weight = spec.class_weights.data()[0];
        term_rows(a, BinaryTerm<T, true>{keep, add, a.columns == 1 ? repeated : spec.class_weights.data()});
      } else {
        term_rows(a, BinaryTerm<T, false>{keep, add, nullptr});
      }
      break;
    }
    case Loss::kSoftmaxCrossEntropy:
      if (spec.class_targets) {
        softmax_loss_rows<T, true>(a);
      } else {
        softmax_loss_rows<T, false>(a);
      }
      break;
  }
}

}  // namespace KRYLOV_SET
}  // namespace krylov
