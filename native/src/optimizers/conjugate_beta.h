// The formulas of nonlinear conjugate gradients, d_+ = -g_+ + beta d, in dot
// products: y = g_+ - g.
#pragma once

#include <cstdint>

namespace krylov {

// The words of the option "formula", in this order.
enum class BetaFormula : std::uint8_t {
  kFletcherReeves, kPolakRibiere, kHestenesStiefel, kDaiYuan, kHagerZhang, kHagerZhang2005
};

struct BetaProducts {
  double gg;      // g'g
  double next;    // g_+'g_+
  double next_y;  // g_+'y
  double dy;      // d'y
  double yy;      // y'y
  double next_d;  // g_+'d
  double dd;      // d'd
  double dg;      // d'g
};

double conjugate_beta(BetaFormula formula, const BetaProducts& p) noexcept;

}  // namespace krylov
