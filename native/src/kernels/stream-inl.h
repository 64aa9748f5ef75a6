// Stores past the caches, for what is written once and not read soon.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/simd-inl.h"

namespace krylov {
namespace KRYLOV_SET {

// To an address that is aligned to the vector; a plain store where the set has no other.
#if defined(KRYLOV_SET_AVX512)
KRYLOV_SIMD_FN void stream(float* p, Vec<float> a) { _mm512_stream_ps(p, a.v); }
KRYLOV_SIMD_FN void stream(double* p, Vec<double> a) { _mm512_stream_pd(p, a.v); }
#elif defined(KRYLOV_SET_AVX2)
KRYLOV_SIMD_FN void stream(float* p, Vec<float> a) { _mm256_stream_ps(p, a.v); }
KRYLOV_SIMD_FN void stream(double* p, Vec<double> a) { _mm256_stream_pd(p, a.v); }
#elif defined(__SSE2__)
KRYLOV_SIMD_FN void stream(float* p, Vec<float> a) { _mm_stream_ps(p, (__m128)a.v); }
KRYLOV_SIMD_FN void stream(double* p, Vec<double> a) { _mm_stream_pd(p, (__m128d)a.v); }
#else
template <class T>
KRYLOV_SIMD_FN void stream(T* p, Vec<T> a) { store(p, a); }
#endif

// Streamed stores are not ordered by the release that hands the rows over.
KRYLOV_SIMD_FN void finish_stream() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace KRYLOV_SET
}  // namespace krylov
