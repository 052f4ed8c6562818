/* kernels_avx2.h - 8 floats at a time, tails by masks: for the files compiled with AVX2 and FMA only. */
#ifndef FV_CORE_KERNELS_KERNELS_AVX2_H
#define FV_CORE_KERNELS_KERNELS_AVX2_H

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>
#include <stdint.h>

#define LANES 8

/* Lanes of the vector at element i that exist, as all ones. */
static inline __m256i lanes(int64_t n, int64_t i) {
    const int64_t left = n - i;
    const int count = left >= LANES ? LANES : left > 0 ? (int)left : 0;
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), index);
}

/* Lanes outside of the mask are neither read nor written; they load as 0. */
static inline __m256 load(__m256i k, const float *p) { return _mm256_maskload_ps(p, k); }
static inline void store(float *p, __m256i k, __m256 v) { _mm256_maskstore_ps(p, k, v); }

#endif

#endif
