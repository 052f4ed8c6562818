/* Matrix products with AVX-512: tiles of C in registers, each element one chain of fused multiply-adds,
 * whatever the tile.  Compiled with that instruction set and entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx512.h"

#if defined(__AVX512F__)

/* x 4 vectors: 24 sums, 4 vectors of B and a factor fill 29 of 32 registers */
#define ROWS    FV_STRIP_ROWS
#define VECTORS 4

/* rows x vectors of C; both are constants where this is inlined.  last: the lanes of the last vector. */
static inline __attribute__((always_inline)) void tile(const fv_product *p, const float *a,
                                                       const float *b, float *c, const float *start,
                                                       const int rows, const int vectors,
                                                       __mmask16 last) {
    const int64_t step = p->add ? p->ldc : 0;
    const float *from = p->add ? c : start;
    __m512 sum[ROWS][VECTORS], row[VECTORS];

#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = from ? load(v == vectors - 1 ? last : 0xffffu, from + i * step + v * LANES)
                             : _mm512_setzero_ps();
    for (int64_t k = p->k; k > 0; k--, a += p->a_column, b += p->ldb) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            row[v] = load(v == vectors - 1 ? last : 0xffffu, b + v * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const __m512 factor = _mm512_set1_ps(a[i * p->a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] = _mm512_fmadd_ps(factor, row[v], sum[i][v]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(c + i * p->ldc + v * LANES,
                                  v == vectors - 1 ? last : (__mmask16)0xffffu, sum[i][v]);
}

/* All rows of a strip of columns: six at a time, then the rest together. */
static inline __attribute__((always_inline)) void strip(const fv_product *p, const float *a,
                                                        const float *b, float *c,
                                                        const float *start, const int vectors,
                                                        __mmask16 last) {
    const int64_t a_strip = p->a_strip ? p->a_strip : ROWS * p->a_row;
    int64_t left = p->m;

    for (; left >= ROWS; left -= ROWS, a += a_strip, c += ROWS * p->ldc)
        tile(p, a, b, c, start, ROWS, vectors, last);
    if (left == 5) tile(p, a, b, c, start, 5, vectors, last);
    if (left == 4) tile(p, a, b, c, start, 4, vectors, last);
    if (left == 3) tile(p, a, b, c, start, 3, vectors, last);
    if (left == 2) tile(p, a, b, c, start, 2, vectors, last);
    if (left == 1) tile(p, a, b, c, start, 1, vectors, last);
}

static void product(const fv_product *p, const float *a, const float *b, float *c) {
    for (int64_t j = 0; j < p->n;) {
        const int64_t left = p->n - j;
        const int vectors =
            left > (VECTORS - 1) * LANES ? VECTORS : (int)((left + LANES - 1) / LANES);
        const __mmask16 last = lanes(p->n, j + (vectors - 1) * LANES);
        const float *start = p->start ? p->start + j : NULL;
        if (vectors == 4) strip(p, a, b + j, c + j, start, 4, last);
        if (vectors == 3) strip(p, a, b + j, c + j, start, 3, last);
        if (vectors == 2) strip(p, a, b + j, c + j, start, 2, last);
        if (vectors == 1) strip(p, a, b + j, c + j, start, 1, last);
        j += vectors * LANES;
    }
}

static void transpose(int64_t rows, int64_t columns, const float *x, int64_t ldx, float *y,
                      int64_t ldy) {
    __m512 in[16], out[16];

    for (int64_t i = 0; i < rows; i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            const __mmask16 wide = lanes(columns, j), tall = lanes(rows, i);
            for (int r = 0; r < LANES; r++)
                in[r] = i + r < rows ? load(wide, x + (i + r) * ldx + j) : _mm512_setzero_ps();
            transpose_block(in, out);
            for (int r = 0; r < LANES && j + r < columns; r++)
                _mm512_mask_storeu_ps(y + (j + r) * ldy + i, tall, out[r]);
        }
}

void fv_kernels_init_product_avx512(fv_kernels *table) {
    table->panel = VECTORS * LANES;
    table->product = product;
    table->transpose = transpose;
}

#else

void fv_kernels_init_product_avx512(fv_kernels *table) { (void)table; }

#endif
