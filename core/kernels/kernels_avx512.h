/* kernels_avx512.h - 16 floats at a time, tails by masks: for the files compiled with AVX-512 only. */
#ifndef FV_CORE_KERNELS_KERNELS_AVX512_H
#define FV_CORE_KERNELS_KERNELS_AVX512_H

#if defined(__AVX512F__)

#include <immintrin.h>
#include <stdint.h>

#define LANES 16

/* Lanes of the vector at element i that exist. */
static inline __mmask16 lanes(int64_t n, int64_t i) {
    const int64_t left = n - i;
    return (__mmask16)(left >= LANES ? 0xffffu : left > 0 ? (1u << left) - 1u : 0u);
}

static inline __m512 load(__mmask16 k, const float *p) { return _mm512_maskz_loadu_ps(k, p); }

#endif

#endif
