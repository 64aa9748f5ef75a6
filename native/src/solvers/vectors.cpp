#include "solvers/vectors.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernel_table.h"

namespace krylov {

namespace {

// Elements of a partial result: it fixes the order of every sum.
constexpr std::int64_t kChunk = 8192;
// Rows that dots() takes at a time: their partial results have room of their own, and x is read once for all of them.
constexpr std::int64_t kRows = 8;
// Below this a pass over a vector takes less time than two threads take to meet.
constexpr std::int64_t kWorthSharing = 4 * kChunk;

}  // namespace

template <Scalar T>
Vectors<T>::Vectors(Session& session, std::int64_t size)
    : session_(&session),
      threads_(session.threads()),
      size_(size),
      chunks_(ceil_div(size, kChunk)),
      partials_(static_cast<std::size_t>(chunks_ * kRows)) {}

template <Scalar T>
Vectors<T>::Vectors(int threads, std::int64_t size)
    : threads_(threads),
      size_(size),
      chunks_(ceil_div(size, kChunk)),
      partials_(static_cast<std::size_t>(chunks_ * kRows)) {}

template <Scalar T>
template <class Body>
void Vectors<T>::each(Body&& body) noexcept {
  struct Work {
    Body& body;
    std::int64_t size;
  } work{body, size_};
  const auto run = [](void* context, int thread, int threads) noexcept {
    const auto& w = *static_cast<const Work*>(context);
    const std::int64_t chunks = ceil_div(w.size, kChunk);
    for (std::int64_t c = chunks * thread / threads; c < chunks * (thread + 1) / threads; ++c) {
      w.body(c * kChunk, std::min(kChunk, w.size - c * kChunk));
    }
  };
  if (size_ < kWorthSharing) {
    run(&work, 0, 1);
  } else {
    (session_ != nullptr ? session_->team() : *team_).run(threads_, run, &work);
  }
}

template <Scalar T>
template <class Body>
double Vectors<T>::reduce(Body&& body) noexcept {
  double* partials = partials_.data();
  each([&](std::int64_t first, std::int64_t count) { partials[first / kChunk] = body(first, count); });
  return total(0);
}

template <Scalar T>
double Vectors<T>::total(std::int64_t row) const noexcept {
  return sum_in_order({partials_.data() + row * chunks_, static_cast<std::size_t>(chunks_)});
}

template <Scalar T>
double Vectors<T>::dot(const T* x, const T* y) noexcept {
  return reduce([&](std::int64_t i, std::int64_t n) { return kernels<T>().dot(x + i, y + i, n); });
}

template <Scalar T>
double Vectors<T>::norm(const T* x) noexcept {
  return std::sqrt(reduce([&](std::int64_t i, std::int64_t n) { return kernels<T>().sum_squares(x + i, n); }));
}

template <Scalar T>
void Vectors<T>::dots(const T* rows, std::int64_t count, const T* x, std::span<double> out) noexcept {
  double* partials = partials_.data();
  for (std::int64_t row = 0; row < count; row += kRows) {
    const std::int64_t together = std::min(kRows, count - row);
    each([&](std::int64_t first, std::int64_t n) {
      for (std::int64_t i = 0; i < together; ++i) {
        partials[i * chunks_ + first / kChunk] = kernels<T>().dot(rows + (row + i) * size_ + first, x + first, n);
      }
    });
    for (std::int64_t i = 0; i < together; ++i) out[static_cast<std::size_t>(row + i)] = total(i);
  }
}

template <Scalar T>
double Vectors<T>::sum_magnitudes(const T* x) noexcept {
  return reduce([&](std::int64_t first, std::int64_t n) {
    double sum = 0;
    for (std::int64_t i = first; i < first + n; ++i) sum += std::abs(static_cast<double>(x[i]));
    return sum;
  });
}

template <Scalar T>
double Vectors<T>::largest_magnitude(const T* x) noexcept {
  double* partials = partials_.data();
  each([&](std::int64_t first, std::int64_t n) {
    double most = 0;
    for (std::int64_t i = first; i < first + n; ++i) {
      const double size = std::abs(static_cast<double>(x[i]));
      if (!(size <= most)) most = size;  // a NaN comes through
    }
    partials[first / kChunk] = most;
  });
  double most = 0;
  for (std::int64_t c = 0; c < chunks_; ++c) {
    if (!(partials[c] <= most)) most = partials[c];
  }
  return most;
}

template <Scalar T>
bool Vectors<T>::all_finite(const T* x) noexcept {
  return reduce([&](std::int64_t i, std::int64_t n) { return kernels<T>().all_finite(x + i, n) ? 0.0 : 1.0; }) == 0;
}

template <Scalar T>
void Vectors<T>::fill(T value, T* x) noexcept {
  each([&](std::int64_t i, std::int64_t n) { std::fill_n(x + i, n, value); });
}

template <Scalar T>
void Vectors<T>::copy(const T* x, T* out) noexcept {
  each([&](std::int64_t i, std::int64_t n) { std::memcpy(out + i, x + i, static_cast<std::size_t>(n) * sizeof(T)); });
}

template <Scalar T>
void Vectors<T>::scale(double a, T* x) noexcept {
  each([&](std::int64_t i, std::int64_t n) { kernels<T>().scale(static_cast<T>(a), x + i, n); });
}

template <Scalar T>
void Vectors<T>::add(const T* x, double a, const T* y, T* out) noexcept {
  each([&](std::int64_t i, std::int64_t n) { kernels<T>().scaled_sum(x + i, static_cast<T>(a), y + i, out + i, n); });
}

template <Scalar T>
void Vectors<T>::combine(double a, const T* x, double b, const T* y, T* out) noexcept {
  const T p = static_cast<T>(a), q = static_cast<T>(b);
  each([&](std::int64_t first, std::int64_t n) {
    for (std::int64_t i = first; i < first + n; ++i) out[i] = p * x[i] + q * y[i];
  });
}

template <Scalar T>
void Vectors<T>::add_rows(std::span<const double> a, const T* rows, T* x) noexcept {
  each([&](std::int64_t first, std::int64_t n) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      const T* row = rows + static_cast<std::int64_t>(i) * size_ + first;
      kernels<T>().scaled_sum(x + first, static_cast<T>(a[i]), row, x + first, n);
    }
  });
}

template <Scalar T>
void Vectors<T>::multiply(const T* x, const T* y, T* out) noexcept {
  each([&](std::int64_t first, std::int64_t n) {
    for (std::int64_t i = first; i < first + n; ++i) out[i] = x[i] * y[i];
  });
}

template <Scalar T>
double Vectors<T>::add_and_dot(const T* x, double a, const T* y, T* out, const T* z) noexcept {
  const T factor = static_cast<T>(a);
  return reduce([&](std::int64_t i, std::int64_t n) {
    kernels<T>().scaled_sum(x + i, factor, y + i, out + i, n);
    return kernels<T>().dot(out + i, z + i, n);
  });
}

template <Scalar T>
void Vectors<T>::combine_and_add(double a, const T* x, double b, const T* y, double c, const T* z, T* out, double d,
                                 T* sum) noexcept {
  const T p = static_cast<T>(a), q = static_cast<T>(b), r = static_cast<T>(c), s = static_cast<T>(d);
  each([&](std::int64_t first, std::int64_t n) {
    for (std::int64_t i = first; i < first + n; ++i) {
      const T value = p * x[i] + q * y[i] + r * z[i];
      out[i] = value;
      sum[i] += s * value;
    }
  });
}

template <Scalar T>
double Vectors<T>::step(double a, const T* p, const T* w, T* x, T* r) noexcept {
  const T forward = static_cast<T>(a), back = static_cast<T>(-a);
  return reduce([&](std::int64_t i, std::int64_t n) {
    kernels<T>().scaled_sum(x + i, forward, p + i, x + i, n);
    kernels<T>().scaled_sum(r + i, back, w + i, r + i, n);
    return kernels<T>().sum_squares(r + i, n);
  });
}

template class Vectors<float>;
template class Vectors<double>;

}  // namespace krylov
