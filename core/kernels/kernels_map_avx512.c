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

/* Below, coefficients of 16 channels stay in registers while the rows go by. */

#define SUMS 4 /* vectors of columns at a time: whole cache lines of a row, also of bf16 */

/* x: bf16 or floats, from the first column on; `narrow` is a constant where this is inlined. */
static inline __attribute__((always_inline)) void
sum_columns(int64_t rows, int64_t n, int64_t ld, const void *x, bool narrow, float *sum) {
    for (int64_t i = 0; i < n; i += SUMS * LANES) {
        __m512 s[SUMS];
#pragma GCC unroll 4
        for (int v = 0; v < SUMS; v++) s[v] = load(lanes(n, i + v * LANES), sum + i + v * LANES);
        for (int64_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < SUMS; v++) {
                const __mmask16 k = lanes(n, i + v * LANES);
                const int64_t at = r * ld + i + v * LANES;
                s[v] = _mm512_add_ps(s[v], narrow ? widen(k, (const fv_bf16 *)x + at)
                                                  : load(k, (const float *)x + at));
            }
        }
#pragma GCC unroll 4
        for (int v = 0; v < SUMS; v++)
            _mm512_mask_storeu_ps(sum + i + v * LANES, lanes(n, i + v * LANES), s[v]);
    }
}

static void column_sums(int64_t rows, int64_t n, int64_t ld, const float *x, float *sum) {
    sum_columns(rows, n, ld, x, false, sum);
}

static void column_sums_bf16(int64_t rows, int64_t n, int64_t ld, const fv_bf16 *x, float *sum) {
    sum_columns(rows, n, ld, x, true, sum);
}

static void square_sums(int64_t rows, int64_t n, const float *x, const float *mean, float *sum) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 m = load(k, mean + i);
        __m512 s = load(k, sum + i);
        for (int64_t r = 0; r < rows; r++) {
            const __m512 d = _mm512_sub_ps(load(k, x + r * n + i), m);
            s = _mm512_fmadd_ps(d, d, s);
        }
        _mm512_mask_storeu_ps(sum + i, k, s);
    }
}

static void product_sums(int64_t rows, int64_t n, const float *x, const float *mean, const float *y,
                         float *product, float *sum) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 m = load(k, mean + i);
        __m512 p = load(k, product + i), s = load(k, sum + i);
        for (int64_t r = 0; r < rows; r++) {
            const __m512 v = load(k, y + r * n + i);
            p = _mm512_fmadd_ps(v, _mm512_sub_ps(load(k, x + r * n + i), m), p);
            s = _mm512_add_ps(s, v);
        }
        _mm512_mask_storeu_ps(product + i, k, p);
        _mm512_mask_storeu_ps(sum + i, k, s);
    }
}

static void normalize(int64_t rows, int64_t n, const float *x, const float *mean, const float *a,
                      const float *b, float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 m = load(k, mean + i), va = load(k, a + i), vb = load(k, b + i);
        for (int64_t r = 0; r < rows; r++) {
            const __m512 d = _mm512_sub_ps(load(k, x + r * n + i), m);
            _mm512_mask_storeu_ps(y + r * n + i, k, _mm512_fmadd_ps(d, va, vb));
        }
    }
}

static void normalize_backward(int64_t rows, int64_t n, const float *x, const float *mean,
                               const float *dy, const float *a, const float *c, const float *b,
                               float *dx) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 m = load(k, mean + i), va = load(k, a + i);
        const __m512 vc = load(k, c + i), vb = load(k, b + i);
        for (int64_t r = 0; r < rows; r++) {
            const __m512 d = _mm512_sub_ps(load(k, x + r * n + i), m);
            const __m512 rest = _mm512_fmadd_ps(vc, d, vb);
            _mm512_mask_storeu_ps(dx + r * n + i, k,
                                  _mm512_fmadd_ps(va, load(k, dy + r * n + i), rest));
        }
    }
}

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
    table->column_sums_bf16 = column_sums_bf16;
    table->square_sums = square_sums;
    table->product_sums = product_sums;
    table->normalize = normalize;
    table->normalize_backward = normalize_backward;
}

#else

void fv_kernels_init_map_avx512(fv_kernels *table) { (void)table; }

#endif
