/* kernels_avx2.h - 8 floats at a time, for the files compiled with AVX2 and FMA only.  Whole vectors are
 * read and written as such and only tails by masks: masked stores are slow on some CPUs. */
#ifndef FV_CORE_KERNELS_KERNELS_AVX2_H
#define FV_CORE_KERNELS_KERNELS_AVX2_H

#if defined(__AVX2__) && defined(__FMA__)

#include "core/tensor.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LANES 8

/* Lanes of the vector at element i that exist, as all ones. */
static inline __m256i lanes(int64_t n, int64_t i) {
    const int64_t left = n - i;
    const int count = left >= LANES ? LANES : left > 0 ? (int)left : 0;
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), index);
}

static inline bool whole(int64_t n, int64_t i) { return n - i >= LANES; }

/* The vector at element i of n; lanes beyond n are 0. */
static inline __m256 load(int64_t n, int64_t i, const float *x) {
    return whole(n, i) ? _mm256_loadu_ps(x + i) : _mm256_maskload_ps(x + i, lanes(n, i));
}

/* The same of bf16. */
static inline __m256 widen(int64_t n, int64_t i, const fv_bf16 *x) {
    fv_bf16 some[LANES] = {0};
    const void *from = x + i;

    if (!whole(n, i)) from = memcpy(some, from, (size_t)(n - i) * sizeof *x);
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline void store(int64_t n, int64_t i, float *y, __m256 v) {
    if (whole(n, i))
        _mm256_storeu_ps(y + i, v);
    else
        _mm256_maskstore_ps(y + i, lanes(n, i), v);
}

/* Rounded to bf16: to nearest, ties to even, a NaN kept and quiet. */
static inline __m128i narrow(__m256 v) {
    const __m256i bits = _mm256_castps_si256(v), upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(_mm256_set1_epi32(0x7fff), odd));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i y = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
}

/* The vector at element i of n elements of f32 or bf16. */
static inline __m256 load_as(fv_dtype type, int64_t n, int64_t i, const void *x) {
    return type == FV_F32 ? load(n, i, x) : widen(n, i, x);
}

static inline void store_as(fv_dtype type, int64_t n, int64_t i, void *y, __m256 v) {
    if (type == FV_F32) {
        store(n, i, y, v);
        return;
    }
    const __m128i rounded = narrow(v);
    const size_t some = whole(n, i) ? LANES : (size_t)(n - i);
    memcpy((fv_bf16 *)y + i, &rounded, some * sizeof(fv_bf16));
}

/* v, and 0 in lanes beyond n. */
static inline __m256 keep(int64_t n, int64_t i, __m256 v) {
    return whole(n, i) ? v : _mm256_and_ps(v, _mm256_castsi256_ps(lanes(n, i)));
}

static inline float sum_of(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#endif

#endif
