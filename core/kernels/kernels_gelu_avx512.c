/* GELU with AVX-512.  Compiled with that instruction set and entered only after a CPU check.
 *
 * Phi(x) is Q(|x|) for x < 0 and 1 - Q(|x|) otherwise, Q(a) = erfc(a / sqrt 2) / 2; its derivative
 * product Phi(x) + x phi(x) has the same symmetry with D(a) = Q(a) - a phi(a).  Both are polynomials
 * of degree 4 on 32 intervals of width STEP, whose coefficients two registers hold: a permutation
 * looks them up, which beats an exponential and a division.  Beyond END both are below 1e-7: 0.
 * Largest measured error: 1e-7 for Phi, 9e-8 for the derivative. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx512.h"

#if defined(__AVX512F__)

#include <math.h>

#define INTERVALS 32
#define TERMS     5
#define STEP      0.1875
#define END       5.90625f /* (INTERVALS - 1/2) STEP */

typedef struct piecewise {
    float c[TERMS][INTERVALS];
} piecewise;

static piecewise tail_table, derivative_table;

static double tail_of(double a) { return 0.5 * erfc(a * 0.70710678118654752440); }

static double derivative_of(double a) {
    return tail_of(a) - a * 0.39894228040143267794 * exp(-0.5 * a * a);
}

/* Interpolates f at Chebyshev nodes t in [-1/2, 1/2], a = (interval + t) STEP: divided differences,
 * then expanded into powers of t. */
static void tabulate(double (*f)(double), piecewise *table) {
    for (int i = 0; i < INTERVALS; i++) {
        double node[TERMS], d[TERMS], c[TERMS] = {0};

        for (int j = 0; j < TERMS; j++) {
            node[j] = 0.5 * cos((2 * j + 1) * 3.14159265358979323846 / (2 * TERMS));
            d[j] = f((i + node[j]) * STEP);
        }
        for (int order = 1; order < TERMS; order++)
            for (int j = TERMS - 1; j >= order; j--)
                d[j] = (d[j] - d[j - 1]) / (node[j] - node[j - order]);
        for (int j = TERMS - 1; j >= 0; j--) { /* c(t) = c(t) (t - node_j) + d_j */
            for (int k = TERMS - 1; k > 0; k--) c[k] = c[k - 1] - node[j] * c[k];
            c[0] = d[j] - node[j] * c[0];
        }
        for (int k = 0; k < TERMS; k++) table->c[k][i] = (float)c[k];
    }
}

/* f(|x|) for x < 0, 1 - f(|x|) for x >= 0.  Adding 2^23 rounds |x| / STEP to the interval's number
 * and leaves it in the low bits, where the permutation reads it. */
static inline __m512 symmetric(const piecewise *f, __m512 x) {
    const __m512 a = _mm512_abs_ps(x), inverse = _mm512_set1_ps((float)(1.0 / STEP));
    const __m512 magic = _mm512_set1_ps(0x1p23f), one = _mm512_set1_ps(1.0f);
    const __m512 shifted = _mm512_fmadd_ps(a, inverse, magic);
    const __m512 t = _mm512_fmsub_ps(a, inverse, _mm512_sub_ps(shifted, magic));
    const __m512i interval = _mm512_castps_si512(shifted);
    __m512 p = _mm512_setzero_ps();

    for (int k = TERMS - 1; k >= 0; k--) {
        const __m512 low = _mm512_loadu_ps(f->c[k]), high = _mm512_loadu_ps(f->c[k] + LANES);
        p = _mm512_fmadd_ps(p, t, _mm512_permutex2var_ps(low, interval, high));
    }
    p = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, _mm512_set1_ps(END), _CMP_LT_OQ), p);
    const __mmask16 negative = _mm512_movepi32_mask(_mm512_castps_si512(x));
    return _mm512_mask_mov_ps(_mm512_sub_ps(one, p), negative, p);
}

/* Types are constants where these are inlined. */

static inline __attribute__((always_inline)) void values(int64_t n, const void *x, void *y,
                                                         fv_dtype type) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 v = load_as(type, k, x, i);
        store_as(type, k, y, i, _mm512_mul_ps(v, symmetric(&tail_table, v)));
    }
}

static void gelu(int64_t n, const void *x, void *y, fv_dtype type) {
    if (type == FV_F32)
        values(n, x, y, FV_F32);
    else
        values(n, x, y, FV_BF16);
}

/* Adding 0 x lets NaN through and makes infinities NaN, as the formula's inf * 0 does. */
static inline __m512 gelu_slope(__m512 x) {
    return _mm512_fmadd_ps(x, _mm512_setzero_ps(), symmetric(&derivative_table, x));
}

static inline __attribute__((always_inline)) void
slopes_times(int64_t n, const void *x, fv_dtype type, const void *dy, fv_dtype dy_type, void *dx) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 slope = gelu_slope(load_as(type, k, x, i));
        store_as(type, k, dx, i, _mm512_mul_ps(load_as(dy_type, k, dy, i), slope));
    }
}

static void gelu_backward(int64_t n, const void *x, fv_dtype type, const void *dy, fv_dtype dy_type,
                          void *dx) {
    if (type == FV_F32 && dy_type == FV_F32)
        slopes_times(n, x, FV_F32, dy, FV_F32, dx);
    else if (type == FV_BF16 && dy_type == FV_BF16)
        slopes_times(n, x, FV_BF16, dy, FV_BF16, dx);
    else
        slopes_times(n, x, type, dy, dy_type, dx);
}

static void gelu_and_slope(int64_t n, const float *x, float *y, float *slope) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 v = load(k, x + i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(v, symmetric(&tail_table, v)));
        _mm512_mask_storeu_ps(slope + i, k, gelu_slope(v));
    }
}

void fv_kernels_init_gelu_avx512(fv_kernels *table) {
    tabulate(tail_of, &tail_table);
    tabulate(derivative_of, &derivative_table);
    table->gelu = gelu;
    table->gelu_backward = gelu_backward;
    table->gelu_and_slope = gelu_and_slope;
}

#else

void fv_kernels_init_gelu_avx512(fv_kernels *table) { (void)table; }

#endif
