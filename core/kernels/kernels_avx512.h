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

/* Rounded to bf16: to nearest, ties to even, a NaN kept and quiet. */
static inline __m256i narrow(__m512 v) {
    const __m512i bits = _mm512_castps_si512(v), upper = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(_mm512_set1_epi32(0x7fff), odd));
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i y =
        _mm512_mask_or_epi32(_mm512_srli_epi32(up, 16), nan, upper, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(y);
}

/* Elements i on of f32 or bf16 memory. */
static inline __m512 load_as(fv_dtype type, __mmask16 k, const void *p, int64_t i) {
    return type == FV_F32 ? load(k, (const float *)p + i) : widen(k, (const fv_bf16 *)p + i);
}

static inline void store_as(fv_dtype type, __mmask16 k, void *p, int64_t i, __m512 v) {
    if (type == FV_F32)
        _mm512_mask_storeu_ps((float *)p + i, k, v);
    else
        _mm256_mask_storeu_epi16((fv_bf16 *)p + i, k, narrow(v));
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
