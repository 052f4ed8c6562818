/* Matrix products with AVX2 and FMA: tiles of C in registers, each element one chain of fused
 * multiply-adds, whatever the tile.  Compiled with those instruction sets and entered only after a CPU
 * check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx2.h"

#if defined(__AVX2__) && defined(__FMA__)

/* x 2 vectors: 12 sums, 2 vectors of B and a factor fill 15 of 16 registers */
#define ROWS FV_STRIP_ROWS

static inline __attribute__((always_inline)) __m256 get(const float *p, const bool masked,
                                                        __m256i last) {
    return masked ? _mm256_maskload_ps(p, last) : _mm256_loadu_ps(p);
}

static inline __attribute__((always_inline)) void put(float *p, const bool masked, __m256i last,
                                                      __m256 v) {
    if (masked)
        _mm256_maskstore_ps(p, last, v);
    else
        _mm256_storeu_ps(p, v);
}

/* rows x vectors of C; those and cut are constants where this is inlined. */
static inline __attribute__((always_inline)) void tile(const fv_product *p, const float *a,
                                                       const float *b, float *c, const float *start,
                                                       const int rows, const int vectors,
                                                       const bool cut, __m256i last) {
    const int64_t a_row = p->a_row, a_column = p->a_column, ldb = p->ldb, ldc = p->ldc;
    const int64_t step = p->add ? ldc : 0;
    const float *from = p->add ? c : start;
    __m256 sum[ROWS][2], row[2];

#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            sum[i][v] = from ? get(from + i * step + v * LANES, cut && v == vectors - 1, last)
                             : _mm256_setzero_ps();
    for (int64_t k = p->k; k > 0; k--, a += a_column, b += ldb) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            row[v] = get(b + v * LANES, cut && v == vectors - 1, last);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const __m256 factor = _mm256_broadcast_ss(a + i * a_row);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sum[i][v] = _mm256_fmadd_ps(factor, row[v], sum[i][v]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            put(c + i * ldc + v * LANES, cut && v == vectors - 1, last, sum[i][v]);
}

/* All rows of a strip of columns: six at a time, then the rest together. */
static inline __attribute__((always_inline)) void strip(const fv_product *p, const float *a,
                                                        const float *b, float *c,
                                                        const float *start, const int vectors,
                                                        const bool cut, __m256i last) {
    const int64_t a_strip = p->a_strip ? p->a_strip : ROWS * p->a_row;
    int64_t left = p->m;

    for (; left >= ROWS; left -= ROWS, a += a_strip, c += ROWS * p->ldc)
        tile(p, a, b, c, start, ROWS, vectors, cut, last);
    if (left == 5) tile(p, a, b, c, start, 5, vectors, cut, last);
    if (left == 4) tile(p, a, b, c, start, 4, vectors, cut, last);
    if (left == 3) tile(p, a, b, c, start, 3, vectors, cut, last);
    if (left == 2) tile(p, a, b, c, start, 2, vectors, cut, last);
    if (left == 1) tile(p, a, b, c, start, 1, vectors, cut, last);
}

static void product(const fv_product *p, const float *a, const float *b, float *c) {
    for (int64_t j = 0; j < p->n; j += 2 * LANES) {
        const int64_t left = p->n - j;
        const __m256i last = lanes(p->n, left > LANES ? j + LANES : j);
        const float *start = p->start ? p->start + j : NULL;
        if (left >= 2 * LANES)
            strip(p, a, b + j, c + j, start, 2, false, last);
        else if (left > LANES)
            strip(p, a, b + j, c + j, start, 2, true, last);
        else
            strip(p, a, b + j, c + j, start, 1, true, last);
    }
}

/* 8 x 8: pairs of rows, quarters of 4 x 4, then their halves change places. */
static inline void transpose_block(const __m256 x[8], __m256 y[8]) {
    __m256 u[8];

#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        const __m256 a = _mm256_unpacklo_ps(x[i], x[i + 1]);
        const __m256 b = _mm256_unpackhi_ps(x[i], x[i + 1]);
        const __m256 c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]);
        const __m256 d = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        u[i] = _mm256_shuffle_ps(a, c, 0x44);
        u[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        u[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        u[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        y[j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
        y[4 + j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
    }
}

static void transpose(int64_t rows, int64_t columns, const float *x, int64_t ldx, float *y,
                      int64_t ldy) {
    __m256 in[LANES], out[LANES];

    for (int64_t i = 0; i < rows; i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            for (int r = 0; r < LANES; r++)
                in[r] = i + r < rows ? load(columns, j, x + (i + r) * ldx) : _mm256_setzero_ps();
            transpose_block(in, out);
            for (int r = 0; r < LANES && j + r < columns; r++)
                store(rows, i, y + (j + r) * ldy, out[r]);
        }
}

void fv_kernels_init_product_avx2(fv_kernels *table) {
    table->panel = 2 * LANES;
    table->product = product;
    table->transpose = transpose;
}

#else

void fv_kernels_init_product_avx2(fv_kernels *table) { (void)table; }

#endif
