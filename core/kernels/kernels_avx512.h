/* kernels_avx512.h - 16 floats at a time, tails by masks: for the files compiled with AVX-512 only. */
#ifndef FV_CORE_KERNELS_KERNELS_AVX512_H
#define FV_CORE_KERNELS_KERNELS_AVX512_H

#if defined(__AVX512F__)

#include "core/tensor.h"

#include <immintrin.h>
#include <stdint.h>

#define LANES 16

/* Lanes of the vector at element i that exist. */
static inline __mmask16 lanes(int64_t n, int64_t i) {
    const int64_t left = n - i;
    return (__mmask16)(left >= LANES ? 0xffffu : left > 0 ? (1u << left) - 1u : 0u);
}

static inline __m512 load(__mmask16 k, const float *p) { return _mm512_maskz_loadu_ps(k, p); }

/* The same of bf16. */
static inline __m512 widen(__mmask16 k, const fv_bf16 *p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* The upper or the lower 64 bits of each pair of rows, as floats. */
static inline __m512 low(__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
static inline __m512 high(__m512 a, __m512 b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* 16 x 16: quarters of 4 x 4 first (u[4 i + j] holds rows 4 i .. 4 i + 3 of columns j, j + 4, j + 8 and
 * j + 12), then the quarters. */
static inline __attribute__((always_inline)) void transpose_block(const __m512 x[16],
                                                                  __m512 y[16]) {
    __m512 u[16];

#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        const __m512 a = _mm512_unpacklo_ps(x[i], x[i + 1]);
        const __m512 b = _mm512_unpackhi_ps(x[i], x[i + 1]);
        const __m512 c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]);
        const __m512 d = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        u[i] = low(a, c);
        u[i + 1] = high(a, c);
        u[i + 2] = low(b, d);
        u[i + 3] = high(b, d);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512 a = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x88);
        const __m512 b = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x88);
        const __m512 c = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xdd);
        const __m512 d = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xdd);
        y[j] = _mm512_shuffle_f32x4(a, b, 0x88);
        y[4 + j] = _mm512_shuffle_f32x4(c, d, 0x88);
        y[8 + j] = _mm512_shuffle_f32x4(a, b, 0xdd);
        y[12 + j] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

#endif

#endif
