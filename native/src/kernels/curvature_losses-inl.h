// Second derivatives of the losses by the outputs, row by row: H u, a root S z
// with S S' = H, and the diagonal of H. Contracts: kernel_table.h. Formulas:
// docs, models and losses. The order of all sums depends on the number of
// columns alone, as in losses-inl.h.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/losses-inl.h"
#include "kernels/math-inl.h"
#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

enum class CurvatureForm { kProduct, kRoot, kDiagonal };

// A term gives the second derivative of the loss of each output, divided by kCurvature.

template <class T>
struct ConstantCurvature {
  static constexpr double kCurvature = 2;
  KRYLOV_SIMD Vec<T> operator()(Vec<T> o, Vec<T>, std::int64_t, int) const {
    return select(is_nan(o), o, set1<T>(T(1)));
  }
};

template <class T>
struct NoCurvature {
  static constexpr double kCurvature = 1;
  KRYLOV_SIMD Vec<T> operator()(Vec<T> o, Vec<T>, std::int64_t, int) const { return select(is_nan(o), o, zero<T>()); }
};

template <class T>
struct HuberCurvature {
  static constexpr double kCurvature = 1;
  Vec<T> delta;
  KRYLOV_SIMD Vec<T> operator()(Vec<T> o, Vec<T> y, std::int64_t, int) const {
    const Vec<T> size = abs(o - y);
    const Vec<T> inside = select(lt(size, delta), set1<T>(T(1)), zero<T>());
    return select(is_nan(size), size, inside);
  }
};

// (1 + (p - 1) y) s (1 - s), s = sigmoid(o), the product from e^-|o|: s itself rounds to 1 long before it is 0.
template <class T, bool Weighted>
struct BinaryCurvature {
  static constexpr double kCurvature = 1;
  Vec<T> keep, add;       // smoothed target: keep y + add
  const double* weights;  // one a column, when Weighted
  KRYLOV_SIMD Vec<T> operator()(Vec<T> o, Vec<T> target, std::int64_t c, int count) const {
    const Vec<T> one = set1<T>(T(1));
    const Vec<T> e = exp(-abs(o));
    const Vec<T> larger = one / (one + e);
    const Vec<T> h = e * larger * larger;
    if constexpr (Weighted) {
      const Vec<T> p =
          count == Vec<T>::kLanes ? load_convert<T>(weights + c) : load_convert_partial<T>(weights + c, count);
      return h * fma(p - one, fma(keep, target, add), one);
    } else {
      return h;
    }
  }
};

// One vector of h u, sqrt(h) z or h; `factor` is the row's, or its root.
template <class T, CurvatureForm Form>
KRYLOV_SIMD_FN Vec<T> through_curvature(Vec<T> h, Vec<T> u, Vec<T> factor) {
  if constexpr (Form == CurvatureForm::kProduct) return factor * h * u;
  if constexpr (Form == CurvatureForm::kRoot) return factor * sqrt(max(zero<T>(), h)) * u;
  return factor * h;
}

template <class T, CurvatureForm Form>
KRYLOV_SIMD_FN double row_factor(const LossCurvatureRows<T>& a, double factor, std::int64_t r) {
  const double f = a.weights != nullptr ? a.seed * factor * a.weights[r] : a.seed * factor;
  if constexpr (Form == CurvatureForm::kRoot) return f > 0 ? __builtin_sqrt(f) : 0;
  return f;
}

// One output: kLanes rows at once, as in single_output_rows.
template <class T, CurvatureForm Form, class Term>
KRYLOV_SIMD_FN void single_output_curvature(const LossCurvatureRows<T>& a, const Term& term, double factor) {
  constexpr int lanes = Vec<T>::kLanes;
  alignas(kCacheLine) T o[lanes] = {}, y[lanes] = {}, u[lanes] = {}, factors[lanes] = {}, results[lanes];
  for (std::int64_t first = 0; first < a.rows; first += lanes) {
    const int count = a.rows - first < lanes ? static_cast<int>(a.rows - first) : lanes;
    for (int i = 0; i < count; ++i) {
      o[i] = a.outputs[(first + i) * a.ldo];
      y[i] = a.targets[(first + i) * a.ldt];
      if (Form != CurvatureForm::kDiagonal) u[i] = a.u[(first + i) * a.ldu];
      factors[i] = static_cast<T>(row_factor<T, Form>(a, factor, first + i));
    }
    store(results, through_curvature<T, Form>(term(load(o), load(y), 0, lanes), load(u), load(factors)));
    for (int i = 0; i < count; ++i) {
      T* row = a.out + (first + i) * a.ld_out;
      zero_rest_of_panel(row, 0, 1);
      row[0] = results[i];
    }
  }
}

template <class T, CurvatureForm Form, class Term>
__attribute__((noinline)) void curvature_term_rows(const LossCurvatureRows<T>& a, const Term& term) noexcept {
  constexpr int lanes = Vec<T>::kLanes;
  const double scale = a.spec->scale * Term::kCurvature;
  if (a.columns == 1) return single_output_curvature<T, Form>(a, term, scale);
  const double factor = a.spec->sum_outputs ? scale : scale / static_cast<double>(a.columns);
  const std::int64_t whole = a.columns / lanes * lanes;
  const int tail = static_cast<int>(a.columns - whole);
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const T* o = a.outputs + r * a.ldo;
    const T* y = a.targets + r * a.ldt;
    const T* u = Form != CurvatureForm::kDiagonal ? a.u + r * a.ldu : o;
    T* out = a.out + r * a.ld_out;
    const Vec<T> f = set1<T>(static_cast<T>(row_factor<T, Form>(a, factor, r)));
    for (std::int64_t c = 0; c < whole; c += lanes) {
      store(out + c, through_curvature<T, Form>(term(load(o + c), load(y + c), c, lanes), load(u + c), f));
    }
    if (tail != 0) {
      const Vec<T> h = term(load_partial(o + whole, tail), load_partial(y + whole, tail), whole, tail);
      store(out + whole, keep_first(through_curvature<T, Form>(h, load_partial(u + whole, tail), f), tail));
    }
    zero_rest_of_panel(out, whole + (tail != 0 ? lanes : 0), a.columns);
  }
}

// Softmax: H = mass (diag p - p p') ---------------------------------------------
//
// A confident row has one p near 1, and 1 - p must not be taken by subtraction. With m the class of the
// largest output, sums leave m out: rest = sum_{k != m} p_k = 1 - p_m, and as H does not see a constant,
//   (H u)_k = p_k (v_k - sum_{j != m} p_j v_j),  v = u - u_m.

// Where the first element that equals `value` stands; 0 where none does (NaN).
template <class T>
KRYLOV_SIMD_FN std::int64_t position_of(T value, const T* z, std::int64_t columns) {
  for (std::int64_t c = 0; c < columns; ++c) {
    if (z[c] == value) return c;
  }
  return 0;
}

template <class T>
KRYLOV_SIMD_FN Vec<T> load_first(const T* x, int count) {
  return count == Vec<T>::kLanes ? load(x) : load_partial(x, count);
}

// sum_k y_k of one row of probability targets, smoothed and weighted.
template <class T>
KRYLOV_SIMD_FN double target_mass(const LossSpec& spec, const T* t, std::int64_t columns) {
  constexpr int lanes = Vec<T>::kLanes;
  const double* weights = spec.class_weights.size() != 0 ? spec.class_weights.data() : nullptr;
  const Vec<T> keep = set1<T>(static_cast<T>(1 - spec.label_smoothing));
  const Vec<T> add = set1<T>(static_cast<T>(spec.label_smoothing / static_cast<double>(columns)));
  DoubleAcc<T> mass;
  for (std::int64_t c = 0; c < columns; c += lanes) {
    const int count = columns - c < lanes ? static_cast<int>(columns - c) : lanes;
    Vec<T> y = keep_first(fma(keep, load_first(t + c, count), add), count);
    if (weights != nullptr) {
      y = y * (count == lanes ? load_convert<T>(weights + c) : load_convert_partial<T>(weights + c, count));
    }
    mass.add(y);
  }
  return mass.total();
}

template <class T, CurvatureForm Form>
__attribute__((noinline)) void softmax_curvature_rows(const LossCurvatureRows<T>& a) noexcept {
  constexpr int lanes = Vec<T>::kLanes;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const T* o = a.outputs + r * a.ldo;
    const T* u = Form != CurvatureForm::kDiagonal ? a.u + r * a.ldu : o;
    T* out = a.out + r * a.ld_out;
    const double mass = a.spec->class_targets ? 1 : target_mass(*a.spec, a.targets + r * a.ldt, a.columns);
    const double factor = row_factor<T, Form>(a, a.spec->scale * mass, r);
    const T top = row_max(o, a.columns);
    const std::int64_t m = position_of(top, o, a.columns);
    const T u_top = u[m];
    const Vec<T> shift = set1<T>(top), at = load(kLaneIndex<T>);
    // e_k = exp(o_k - o_m) without class m; what it weighs.
    const auto exponential = [&](std::int64_t c, int count) __attribute__((always_inline)) {
      const Vec<T> e = exp(load_first(o + c, count) - shift);
      return keep_first(select(eq(at, set1<T>(T(m - c))), zero<T>(), e), count);
    };
    DoubleAcc<T> rests, sums;
    for (std::int64_t c = 0; c < a.columns; c += lanes) {
      const int count = a.columns - c < lanes ? static_cast<int>(a.columns - c) : lanes;
      const Vec<T> e = exponential(c, count);
      rests.add(e);
      if constexpr (Form == CurvatureForm::kProduct) {
        sums.add_product(e, load_first(u + c, count) - set1<T>(u_top));
      } else if constexpr (Form == CurvatureForm::kRoot) {
        sums.add_product(sqrt(e), load_first(u + c, count));
      }
    }
    const double total = static_cast<double>(top == top ? T(1) : top) + rests.total();  // e_m is 1; a NaN stays
    const double rest = rests.total() / total;
    const Vec<T> inverse = set1<T>(static_cast<T>(1 / total)), scale = set1<T>(static_cast<T>(factor));
    // The sum in the formula, class m included where it is not 0.
    double sum = 0;
    if constexpr (Form == CurvatureForm::kProduct) sum = sums.total() / total;
    if constexpr (Form == CurvatureForm::kRoot) {
      sum = (sums.total() + static_cast<double>(u_top)) / __builtin_sqrt(total);
    }
    const Vec<T> middle = set1<T>(static_cast<T>(sum));
    for (std::int64_t c = 0; c < a.columns; c += lanes) {
      const int count = a.columns - c < lanes ? static_cast<int>(a.columns - c) : lanes;
      const Vec<T> p = exponential(c, count) * inverse;
      Vec<T> value;
      if constexpr (Form == CurvatureForm::kProduct) {
        value = scale * p * (load_first(u + c, count) - set1<T>(u_top) - middle);
      } else if constexpr (Form == CurvatureForm::kRoot) {
        value = scale * (sqrt(p) * load_first(u + c, count) - p * middle);
      } else {
        value = scale * p * (set1<T>(T(1)) - p);
      }
      store(out + c, keep_first(value, count));
    }
    zero_rest_of_panel(out, round_up(a.columns, lanes), a.columns);
    double at_top = 0;
    if constexpr (Form == CurvatureForm::kProduct) at_top = -sum / total;
    if constexpr (Form == CurvatureForm::kRoot) {
      at_top = (static_cast<double>(u_top) * rest - sums.total() / total) / __builtin_sqrt(total);
    }
    if constexpr (Form == CurvatureForm::kDiagonal) at_top = rest / total;
    out[m] = static_cast<T>(factor * at_top);
  }
}

template <class T, CurvatureForm Form>
void loss_curvature_form(const LossCurvatureRows<T>& a) noexcept {
  const LossSpec& spec = *a.spec;
  switch (spec.kind) {
    case Loss::kMeanSquaredError: curvature_term_rows<T, Form>(a, ConstantCurvature<T>{}); break;
    case Loss::kMeanAbsoluteError: curvature_term_rows<T, Form>(a, NoCurvature<T>{}); break;
    case Loss::kHuber:
      curvature_term_rows<T, Form>(a, HuberCurvature<T>{set1<T>(static_cast<T>(spec.delta))});
      break;
    case Loss::kBinaryCrossEntropy: {
      const Vec<T> keep = set1<T>(static_cast<T>(1 - spec.label_smoothing));
      const Vec<T> add = set1<T>(static_cast<T>(spec.label_smoothing / 2));
      if (spec.class_weights.size() != 0) {
        // A single output puts rows into the lanes: all of them take the one weight.
        double repeated[16];
        for (double& weight : repeated) weight = spec.class_weights.data()[0];
        const double* weights = a.columns == 1 ? repeated : spec.class_weights.data();
        curvature_term_rows<T, Form>(a, BinaryCurvature<T, true>{keep, add, weights});
      } else {
        curvature_term_rows<T, Form>(a, BinaryCurvature<T, false>{keep, add, nullptr});
      }
      break;
    }
    case Loss::kSoftmaxCrossEntropy: softmax_curvature_rows<T, Form>(a); break;
  }
}

}  // namespace KRYLOV_SET
}  // namespace krylov
