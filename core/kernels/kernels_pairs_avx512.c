/* Products of bf16 with the dot products of AVX-512: tiles of C in registers.  Compiled with that instruction
 * set and entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx512.h"

#if defined(__AVX512BF16__)

#include <string.h>

#define ROWS    6 /* of a tile of registers: with 4 vectors of columns 24 sums */
#define VECTORS 4

static inline __m512 dot_pairs(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

static inline __m512i pair_of(const fv_bf16 *a) {
    int32_t pair;
    memcpy(&pair, a, sizeof pair);
    return _mm512_set1_epi32(pair);
}

static inline void store(fv_dtype type, void *c, int64_t at, __mmask16 k, __m512 sum) {
    if (type == FV_F32)
        _mm512_mask_storeu_ps((float *)c + at, k, sum);
    else
        _mm256_mask_storeu_epi16((fv_bf16 *)c + at, k, (__m256i)_mm512_cvtneps_pbh(sum));
}

/* sum += one pair of every row times one row of pairs; odd: the last element of a row, alone */
static inline __attribute__((always_inline)) void step(__m512 sum[ROWS][VECTORS], const fv_bf16 *a,
                                                       int64_t a_row, const fv_bf16 *b,
                                                       const int rows, const int vectors,
                                                       __mmask16 last, const bool odd) {
    __m512i row[VECTORS];

#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        row[v] = _mm512_maskz_loadu_epi32(v == vectors - 1 ? last : 0xffffu, b + 2 * v * LANES);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        const __m512i factor = odd ? _mm512_set1_epi32(a[i * a_row]) : pair_of(a + i * a_row);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[i][v] = dot_pairs(sum[i][v], factor, row[v]);
    }
}

/* rows x vectors of C, from its element `at` on; both are constants where this is inlined.  last: the lanes of
 * the last vector. */
static inline __attribute__((always_inline)) void
tile(const fv_product *p, const fv_bf16 *a, const fv_bf16 *b, void *c, int64_t at, fv_dtype type,
     const float *start, const int rows, const int vectors, __mmask16 last) {
    const int64_t stride = p->add ? p->ldc : 0;
    const float *from = p->add ? (const float *)c + at : start;
    __m512 sum[ROWS][VECTORS];
    int64_t k = p->k;

#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = from
                            ? load(v == vectors - 1 ? last : 0xffffu, from + i * stride + v * LANES)
                            : _mm512_setzero_ps();
    for (; k > 1; k -= 2, a += p->a_column, b += p->ldb)
        step(sum, a, p->a_row, b, rows, vectors, last, false);
    if (k) step(sum, a, p->a_row, b, rows, vectors, last, true);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store(type, c, at + i * p->ldc + v * LANES, v == vectors - 1 ? last : 0xffffu,
                  sum[i][v]);
}

/* All rows of a strip of columns; the last few together. */
static inline __attribute__((always_inline)) void strip(const fv_product *p, const fv_bf16 *a,
                                                        const fv_bf16 *b, void *c, int64_t at,
                                                        fv_dtype type, const float *start,
                                                        const int vectors, __mmask16 last) {
    int64_t i = 0;

    for (; i + ROWS <= p->m; i += ROWS, a += ROWS * p->a_row, at += ROWS * p->ldc)
        tile(p, a, b, c, at, type, start, ROWS, vectors, last);
    if (p->m - i == 5) tile(p, a, b, c, at, type, start, 5, vectors, last);
    if (p->m - i == 4) tile(p, a, b, c, at, type, start, 4, vectors, last);
    if (p->m - i == 3) tile(p, a, b, c, at, type, start, 3, vectors, last);
    if (p->m - i == 2) tile(p, a, b, c, at, type, start, 2, vectors, last);
    if (p->m - i == 1) tile(p, a, b, c, at, type, start, 1, vectors, last);
}

static void product_bf16(const fv_product *p, const fv_bf16 *a, const fv_bf16 *b, void *c,
                         fv_dtype type) {
    for (int64_t j = 0; j < p->n;) {
        const int64_t left = p->n - j;
        const int vectors =
            left > (VECTORS - 1) * LANES ? VECTORS : (int)((left + LANES - 1) / LANES);
        const __mmask16 last = lanes(p->n, j + (vectors - 1) * LANES);
        const float *start = p->start ? p->start + j : NULL;
        if (vectors == 4) strip(p, a, b + 2 * j, c, j, type, start, 4, last);
        if (vectors == 3) strip(p, a, b + 2 * j, c, j, type, start, 3, last);
        if (vectors == 2) strip(p, a, b + 2 * j, c, j, type, start, 2, last);
        if (vectors == 1) strip(p, a, b + 2 * j, c, j, type, start, 1, last);
        j += vectors * LANES;
    }
}

/* A row and the next, which the last of an odd number lacks. */
static inline void pair_row(int64_t n, const fv_bf16 *x, const fv_bf16 *next, fv_bf16 *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        __m512i pairs = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, x + i));
        if (next) {
            const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(k, next + i));
            pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(high, 16));
        }
        _mm512_mask_storeu_epi32(y + 2 * i, k, pairs);
    }
}

static void pair_rows(int64_t rows, int64_t columns, const fv_bf16 *x, int64_t ldx, fv_bf16 *y,
                      int64_t ldy) {
    for (int64_t p = 0; p < rows; p += 2, x += 2 * ldx, y += ldy)
        pair_row(columns, x, p + 1 < rows ? x + ldx : NULL, y);
}

/* The lanes of 32 bf16 at element i that exist. */
static inline __mmask32 wide_lanes(int64_t n, int64_t i) {
    return (__mmask32)lanes(n, i) | (__mmask32)lanes(n, i + LANES) << LANES;
}

/* As a transpose of pairs. */
static void pair_columns(int64_t rows, int64_t columns, const fv_bf16 *x, int64_t ldx, fv_bf16 *y,
                         int64_t ldy) {
    __m512 in[16], out[16];

    for (int64_t i = 0; i < rows; i += LANES)
        for (int64_t j = 0; j < columns; j += 2 * LANES) {
            const __mmask32 wide = wide_lanes(columns, j);
            const __mmask16 tall = lanes(rows, i);
            for (int r = 0; r < LANES; r++)
                in[r] =
                    i + r < rows
                        ? _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(wide, x + (i + r) * ldx + j))
                        : _mm512_setzero_ps();
            transpose_block(in, out);
            for (int r = 0; r < LANES && j + 2 * r < columns; r++)
                _mm512_mask_storeu_epi32(y + (j / 2 + r) * ldy + 2 * i, tall,
                                         _mm512_castps_si512(out[r]));
        }
}

void fv_kernels_init_pairs_avx512(fv_kernels *table) {
    table->product_bf16 = product_bf16;
    table->pair_rows = pair_rows;
    table->pair_columns = pair_columns;
}

#else

void fv_kernels_init_pairs_avx512(fv_kernels *table) { (void)table; }

#endif
