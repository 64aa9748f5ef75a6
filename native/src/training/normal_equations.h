// J'J and J'e, summed over rows of J as they come. Row r of `rows` holds the
// derivatives of residual r, then the residual itself as one more column.
#pragma once

#include <cstdint>

namespace krylov {

// Distance of rows for `columns` derivatives: whole cache lines, an odd number of them.
std::int64_t equation_stride(std::int64_t columns) noexcept;

// Adds `count` rows to the part of jtj [columns, columns] on and below the diagonal, and to jte [columns]. By every
// thread of a body; a piece belongs to one thread, so the bits do not depend on the threads.
void add_equations(const double* rows, std::int64_t stride, std::int64_t count, std::int64_t columns, double* jtj,
                   double* jte, int thread, int threads) noexcept;
// After a barrier: the part above the diagonal from the one below.
void mirror_equations(double* jtj, std::int64_t columns, int thread, int threads) noexcept;

}  // namespace krylov
