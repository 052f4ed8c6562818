/* Small matrix products with AVX-512: tiles of C in registers.  Compiled with that instruction set and
 * entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx512.h"

#if defined(__AVX512F__)

/* rows x vectors of C; both are constants where this is inlined.  last: the lanes of the last vector. */
static inline __attribute__((always_inline)) void tile(const fv_product *p, const float *a,
                                                       const float *b, float *c, const float *start,
                                                       const int rows, const int vectors,
                                                       __mmask16 last) {
    const int64_t step = p->add ? p->ldc : 0;
    const float *from = p->add ? c : start;
    __m512 sum[8][4], row[4];

#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = from ? load(v == vectors - 1 ? last : 0xffffu, from + i * step + v * LANES)
                             : _mm512_setzero_ps();
    for (int64_t k = 0; k < p->k; k++, a += p->a_column, b += p->ldb) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            row[v] = load(v == vectors - 1 ? last : 0xffffu, b + v * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const __m512 factor = _mm512_set1_ps(a[i * p->a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] = _mm512_fmadd_ps(factor, row[v], sum[i][v]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(c + i * p->ldc + v * LANES,
                                  v == vectors - 1 ? last : (__mmask16)0xffffu, sum[i][v]);
}

/* All rows of a strip of columns: `most` at a time, then four, then one. */
static inline __attribute__((always_inline)) void strip(const fv_product *p, const float *a,
                                                        const float *b, float *c,
                                                        const float *start, const int most,
                                                        const int vectors, __mmask16 last) {
    int64_t i = 0;

    for (; i + most <= p->m; i += most)
        tile(p, a + i * p->a_row, b, c + i * p->ldc, start, most, vectors, last);
    for (; most > 4 && i + 4 <= p->m; i += 4)
        tile(p, a + i * p->a_row, b, c + i * p->ldc, start, 4, vectors, last);
    for (; i < p->m; i++) tile(p, a + i * p->a_row, b, c + i * p->ldc, start, 1, vectors, last);
}

static void plain(const fv_product *p, const float *a, const float *b, float *c) {
    for (int64_t j = 0; j < p->n;) {
        const int64_t left = p->n - j;
        const int vectors = left > 3 * LANES ? 4 : (int)((left + LANES - 1) / LANES);
        const __mmask16 last = lanes(p->n, j + (vectors - 1) * LANES);
        const float *start = p->start ? p->start + j : NULL;
        if (vectors == 4) strip(p, a, b + j, c + j, start, 4, 4, last);
        if (vectors == 3) strip(p, a, b + j, c + j, start, 4, 3, last);
        if (vectors == 2) strip(p, a, b + j, c + j, start, 8, 2, last);
        if (vectors == 1) strip(p, a, b + j, c + j, start, 8, 1, last);
        j += vectors * LANES;
    }
}

/* Strips of packed rows one by one. */
static void product(const fv_product *p, const float *a, const float *b, float *c) {
    fv_product rows = *p;

    if (p->a_strip == 0) {
        plain(p, a, b, c);
        return;
    }
    for (int64_t i = 0; i < p->m;
         i += FV_STRIP_ROWS, a += p->a_strip, c += FV_STRIP_ROWS * p->ldc) {
        rows.m = p->m - i < FV_STRIP_ROWS ? p->m - i : FV_STRIP_ROWS;
        plain(&rows, a, b, c);
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
    table->product = product;
    table->transpose = transpose;
}

#else

void fv_kernels_init_product_avx512(fv_kernels *table) { (void)table; }

#endif
