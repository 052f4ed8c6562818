/* The kernels of convolutional networks and of relevance with AVX-512: ReLU, batch norm over rows of
 * channels, sums over signals.  Compiled with that instruction set and entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx512.h"

#include <math.h>

#if defined(__AVX512F__)

/* x > 0, or NaN */
static inline __mmask16 passes(__m512 x) {
    return _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NLE_UQ);
}

static void relu(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 v = load(k, x + i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_maskz_mov_ps(passes(v), v));
    }
}

static void relu_backward(int64_t n, const float *y, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __mmask16 live = passes(load(k, y + i));
        _mm512_mask_storeu_ps(dx + i, k, load(k & live, dy + i));
    }
}

/* Below, sums and coefficients of a block of columns stay in registers while the rows go by.  Types are
 * constants where these are inlined (kernels_map_types.h), but for mixed ones. */

#define VECTORS 4 /* of columns at a time: whole cache lines of a row, also of bf16 */

/* Lanes of the vectors at column i. */
static inline __attribute__((always_inline)) void live(int64_t n, int64_t i, __mmask16 k[VECTORS]) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) k[v] = lanes(n, i + v * LANES);
}

static inline __attribute__((always_inline)) void load_all(const __mmask16 k[VECTORS],
                                                           const float *x, __m512 y[VECTORS]) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) y[v] = load(k[v], x + v * LANES);
}

static inline __attribute__((always_inline)) void store_all(const __mmask16 k[VECTORS], float *y,
                                                            const __m512 x[VECTORS]) {
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) _mm512_mask_storeu_ps(y + v * LANES, k[v], x[v]);
}

static inline __attribute__((always_inline)) void
sum_columns(int64_t rows, int64_t n, int64_t ld, const void *x, fv_dtype type, float *sum) {
    for (int64_t i = 0; i < n; i += VECTORS * LANES) {
        __mmask16 k[VECTORS];
        __m512 s[VECTORS];
        live(n, i, k);
        load_all(k, sum + i, s);
        for (int64_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = r * ld + i + v * LANES;
                s[v] = _mm512_add_ps(s[v], load_as(type, k[v], x, at));
            }
        }
        store_all(k, sum + i, s);
    }
}

static inline __attribute__((always_inline)) void sum_squares_of(int64_t rows, int64_t n,
                                                                 const void *x, fv_dtype type,
                                                                 const float *mean, float *sum) {
    for (int64_t i = 0; i < n; i += VECTORS * LANES) {
        __mmask16 k[VECTORS];
        __m512 m[VECTORS], s[VECTORS];
        live(n, i, k);
        load_all(k, mean + i, m);
        load_all(k, sum + i, s);
        for (int64_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = r * n + i + v * LANES;
                const __m512 d = _mm512_sub_ps(load_as(type, k[v], x, at), m[v]);
                s[v] = _mm512_fmadd_ps(d, d, s[v]);
            }
        }
        store_all(k, sum + i, s);
    }
}

/* Lanes that ReLU behind batch norm lets pass. */
static inline __attribute__((always_inline)) __mmask16 gate(__mmask16 k, bool relu, __m512 e,
                                                            __m512 a, __m512 b) {
    return relu ? k & passes(_mm512_fmadd_ps(e, a, b)) : k;
}

static inline __attribute__((always_inline)) void sum_products(const fv_norm_rows *in, bool relu,
                                                               fv_dtype x_type, const void *dy,
                                                               fv_dtype dy_type, float *product,
                                                               float *sum) {
    for (int64_t i = 0; i < in->n; i += VECTORS * LANES) {
        __mmask16 k[VECTORS];
        __m512 m[VECTORS], va[VECTORS], vb[VECTORS], p[VECTORS], s[VECTORS];
        live(in->n, i, k);
        load_all(k, in->mean + i, m);
        load_all(k, in->a + i, va);
        load_all(k, in->b + i, vb);
        load_all(k, product + i, p);
        load_all(k, sum + i, s);
        for (int64_t r = 0; r < in->rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = r * in->n + i + v * LANES;
                const __m512 e = _mm512_sub_ps(load_as(x_type, k[v], in->x, at), m[v]);
                const __m512 g = load_as(dy_type, gate(k[v], relu, e, va[v], vb[v]), dy, at);
                p[v] = _mm512_fmadd_ps(g, e, p[v]);
                s[v] = _mm512_add_ps(s[v], g);
            }
        }
        store_all(k, product + i, p);
        store_all(k, sum + i, s);
    }
}

static inline __attribute__((always_inline)) void
normalize_as(const fv_norm_rows *in, bool relu, fv_dtype x_type, void *y, fv_dtype y_type) {
    for (int64_t i = 0; i < in->n; i += VECTORS * LANES) {
        __mmask16 k[VECTORS];
        __m512 m[VECTORS], va[VECTORS], vb[VECTORS];
        live(in->n, i, k);
        load_all(k, in->mean + i, m);
        load_all(k, in->a + i, va);
        load_all(k, in->b + i, vb);
        for (int64_t r = 0; r < in->rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = r * in->n + i + v * LANES;
                const __m512 e = _mm512_sub_ps(load_as(x_type, k[v], in->x, at), m[v]);
                __m512 z = _mm512_fmadd_ps(e, va[v], vb[v]);
                if (relu) z = _mm512_maskz_mov_ps(passes(z), z);
                store_as(y_type, k[v], y, at, z);
            }
        }
    }
}

static inline __attribute__((always_inline)) void
normalize_back(const fv_norm_rows *in, bool relu, fv_dtype x_type, const void *dy, fv_dtype dy_type,
               const float *c, const float *d, void *dx, fv_dtype dx_type) {
    for (int64_t i = 0; i < in->n; i += VECTORS * LANES) {
        __mmask16 k[VECTORS];
        __m512 m[VECTORS], va[VECTORS], vb[VECTORS], vc[VECTORS], vd[VECTORS];
        live(in->n, i, k);
        load_all(k, in->mean + i, m);
        load_all(k, in->a + i, va);
        load_all(k, in->b + i, vb);
        load_all(k, c + i, vc);
        load_all(k, d + i, vd);
        for (int64_t r = 0; r < in->rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const int64_t at = r * in->n + i + v * LANES;
                const __m512 e = _mm512_sub_ps(load_as(x_type, k[v], in->x, at), m[v]);
                const __m512 g = load_as(dy_type, gate(k[v], relu, e, va[v], vb[v]), dy, at);
                const __m512 rest = _mm512_fmadd_ps(vc[v], e, vd[v]);
                store_as(dx_type, k[v], dx, at, _mm512_fmadd_ps(va[v], g, rest));
            }
        }
    }
}

#include "core/kernels/kernels_map_types.h"

typedef struct sums_pd {
    __m512d total, size, largest;
} sums_pd;

static inline void add_signed(sums_pd *s, __m512d r) {
    const __m512d size = _mm512_abs_pd(r);
    s->total = _mm512_add_pd(s->total, r);
    s->size = _mm512_add_pd(s->size, size);
    s->largest = _mm512_max_pd(s->largest, size);
}

/* Lanes of infinite y become 0 times 0; class 0x18: both infinities. */
static void signed_sums(int64_t n, const float *x, const float *y, double out[3]) {
    const __m512d zero = _mm512_setzero_pd();
    sums_pd low = {zero, zero, zero}, high = low;

    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 present = lanes(n, i);
        __m512 a = load(present, x + i), b = _mm512_set1_ps(1.0f);
        if (y) {
            b = load(present, y + i);
            const __mmask16 finite = (__mmask16)~_mm512_fpclass_ps_mask(b, 0x18);
            a = _mm512_maskz_mov_ps(finite, a);
            b = _mm512_maskz_mov_ps(finite, b);
        }
        add_signed(&low, _mm512_mul_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(a)),
                                       _mm512_cvtps_pd(_mm512_castps512_ps256(b))));
        add_signed(&high, _mm512_mul_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)),
                                        _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1))));
    }
    out[0] = _mm512_reduce_add_pd(_mm512_add_pd(low.total, high.total));
    out[1] = _mm512_reduce_add_pd(_mm512_add_pd(low.size, high.size));
    out[2] =
        isnan(out[1]) ? out[1] : _mm512_reduce_max_pd(_mm512_max_pd(low.largest, high.largest));
}

void fv_kernels_init_map_avx512(fv_kernels *table) {
    table->signed_sums = signed_sums;
    table->relu = relu;
    table->relu_backward = relu_backward;
    table->column_sums = column_sums;
    table->square_sums = square_sums;
    table->product_sums = product_sums;
    table->normalize = normalize;
    table->normalize_backward = normalize_backward;
}

#else

void fv_kernels_init_map_avx512(fv_kernels *table) { (void)table; }

#endif
