/* The kernels of convolutional networks and of relevance with AVX2 and FMA: ReLU, batch norm over rows of
 * channels, depthwise taps, sums over signals.  Compiled with those instruction sets and entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx2.h"

#include <math.h>

#if defined(__AVX2__) && defined(__FMA__)

/* x > 0, or NaN */
static inline __m256 passes(__m256 x) { return _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_NLE_UQ); }

static void relu(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 v = load(n, i, x);
        store(n, i, y, _mm256_and_ps(passes(v), v));
    }
}

static void relu_backward(int64_t n, const float *y, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i += LANES)
        store(n, i, dx, _mm256_and_ps(passes(load(n, i, y)), load(n, i, dy)));
}

/* Below, rows go by in order; the sums and coefficients of their channels stay in the first cache.  Types are
 * constants where these are inlined (kernels_map_types.h), but for mixed ones. */

/* The vector at column i of row r of x. */
static inline __m256 load_row(fv_dtype type, int64_t n, int64_t ld, int64_t r, int64_t i,
                              const void *x) {
    return type == FV_F32 ? load(n, i, (const float *)x + r * ld)
                          : widen(n, i, (const fv_bf16 *)x + r * ld);
}

static inline void store_row(fv_dtype type, int64_t n, int64_t r, int64_t i, void *y, __m256 v) {
    if (type == FV_F32)
        store(n, i, (float *)y + r * n, v);
    else
        store_as(FV_BF16, n, i, (fv_bf16 *)y + r * n, v);
}

static inline __attribute__((always_inline)) void
sum_columns(int64_t rows, int64_t n, int64_t ld, const void *x, fv_dtype type, float *sum) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i += LANES)
            store(n, i, sum, _mm256_add_ps(load(n, i, sum), load_row(type, n, ld, r, i, x)));
}

static inline __attribute__((always_inline)) void sum_squares_of(int64_t rows, int64_t n,
                                                                 const void *x, fv_dtype type,
                                                                 const float *mean, float *sum) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i += LANES) {
            const __m256 d = _mm256_sub_ps(load_row(type, n, n, r, i, x), load(n, i, mean));
            store(n, i, sum, _mm256_fmadd_ps(d, d, load(n, i, sum)));
        }
}

/* x - mean of row r at column i */
static inline __m256 centred(const fv_norm_rows *in, fv_dtype type, int64_t r, int64_t i) {
    return _mm256_sub_ps(load_row(type, in->n, in->n, r, i, in->x), load(in->n, i, in->mean));
}

static inline __m256 affine(const fv_norm_rows *in, int64_t i, __m256 e) {
    return _mm256_fmadd_ps(e, load(in->n, i, in->a), load(in->n, i, in->b));
}

/* dy where ReLU behind batch norm lets it pass */
static inline __attribute__((always_inline)) __m256 gated(const fv_norm_rows *in, bool relu,
                                                          int64_t i, __m256 e, __m256 dy) {
    return relu ? _mm256_and_ps(passes(affine(in, i, e)), dy) : dy;
}

static inline __attribute__((always_inline)) void sum_products(const fv_norm_rows *in, bool relu,
                                                               fv_dtype x_type, const void *dy,
                                                               fv_dtype dy_type, float *product,
                                                               float *sum) {
    const int64_t n = in->n;

    for (int64_t r = 0; r < in->rows; r++)
        for (int64_t i = 0; i < n; i += LANES) {
            const __m256 e = centred(in, x_type, r, i);
            const __m256 g = gated(in, relu, i, e, load_row(dy_type, n, n, r, i, dy));
            store(n, i, product, _mm256_fmadd_ps(g, e, load(n, i, product)));
            store(n, i, sum, _mm256_add_ps(load(n, i, sum), g));
        }
}

static inline __attribute__((always_inline)) void
normalize_as(const fv_norm_rows *in, bool relu, fv_dtype x_type, void *y, fv_dtype y_type) {
    for (int64_t r = 0; r < in->rows; r++)
        for (int64_t i = 0; i < in->n; i += LANES) {
            const __m256 z = affine(in, i, centred(in, x_type, r, i));
            store_row(y_type, in->n, r, i, y, relu ? _mm256_and_ps(passes(z), z) : z);
        }
}

static inline __attribute__((always_inline)) void
normalize_back(const fv_norm_rows *in, bool relu, fv_dtype x_type, const void *dy, fv_dtype dy_type,
               const float *c, const float *d, void *dx, fv_dtype dx_type) {
    const int64_t n = in->n;

    for (int64_t r = 0; r < in->rows; r++)
        for (int64_t i = 0; i < n; i += LANES) {
            const __m256 e = centred(in, x_type, r, i);
            const __m256 g = gated(in, relu, i, e, load_row(dy_type, n, n, r, i, dy));
            const __m256 rest = _mm256_fmadd_ps(load(n, i, c), e, load(n, i, d));
            store_row(dx_type, n, r, i, dx, _mm256_fmadd_ps(load(n, i, in->a), g, rest));
        }
}

#include "core/kernels/kernels_map_types.h"

/* Half of a strip; taps is a constant where this is inlined: 2 taps sums stay in registers. */
static inline __attribute__((always_inline)) void
tap_half(int64_t n, const int taps, int64_t step, const float *x, const float *y, float *sum) {
    __m256 low[7], high[7];

#pragma GCC unroll 7
    for (int k = 0; k < taps; k++) low[k] = high[k] = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i++, x += step * FV_STRIP, y += FV_STRIP) {
        const __m256 yl = _mm256_loadu_ps(y), yh = _mm256_loadu_ps(y + LANES);
#pragma GCC unroll 7
        for (int k = 0; k < taps; k++) {
            low[k] = _mm256_fmadd_ps(yl, _mm256_loadu_ps(x + k * FV_STRIP), low[k]);
            high[k] = _mm256_fmadd_ps(yh, _mm256_loadu_ps(x + k * FV_STRIP + LANES), high[k]);
        }
    }
#pragma GCC unroll 7
    for (int k = 0; k < taps; k++) {
        float *to = sum + k * FV_STRIP;
        _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), low[k]));
        _mm256_storeu_ps(to + LANES, _mm256_add_ps(_mm256_loadu_ps(to + LANES), high[k]));
    }
}

static inline __attribute__((always_inline)) void
tap_block(int64_t n, const int taps, int64_t step, const float *x, const float *y, float *sum) {
    for (int c = 0; c < FV_STRIP; c += 2 * LANES) tap_half(n, taps, step, x + c, y + c, sum + c);
}

/* The usual kernel widths in one sweep, others in pieces. */
static void tap_sums(int64_t n, int64_t taps, int64_t step, const float *x, const float *y,
                     float *sum) {
    while (taps > 0) {
        const int now = taps == 3 ? 3 : taps == 7 ? 7 : taps >= 5 ? 5 : 1;
        if (now == 3) tap_block(n, 3, step, x, y, sum);
        if (now == 7) tap_block(n, 7, step, x, y, sum);
        if (now == 5) tap_block(n, 5, step, x, y, sum);
        if (now == 1) tap_block(n, 1, step, x, y, sum);
        taps -= now;
        x += now * FV_STRIP;
        sum += now * FV_STRIP;
    }
}

typedef struct sums_pd {
    __m256d total, size, largest;
} sums_pd;

static inline void add_signed(sums_pd *s, __m256d r) {
    const __m256d size = _mm256_andnot_pd(_mm256_set1_pd(-0.0), r);
    s->total = _mm256_add_pd(s->total, r);
    s->size = _mm256_add_pd(s->size, size);
    s->largest = _mm256_max_pd(s->largest, size);
}

/* Lanes of infinite y become 0 times 0. */
static inline __m256 finite_lanes(__m256 y) {
    const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), y);
    return _mm256_cmp_ps(size, _mm256_set1_ps(INFINITY), _CMP_NEQ_UQ);
}

static double reduce(__m256d v, bool sum) {
    const __m128d a = _mm256_castpd256_pd128(v), b = _mm256_extractf128_pd(v, 1);
    const __m128d half = sum ? _mm_add_pd(a, b) : _mm_max_pd(a, b),
                  other = _mm_unpackhi_pd(half, half);
    return _mm_cvtsd_f64(sum ? _mm_add_sd(half, other) : _mm_max_sd(half, other));
}

static void signed_sums(int64_t n, const float *x, const float *y, double out[3]) {
    const __m256d zero = _mm256_setzero_pd();
    sums_pd low = {zero, zero, zero}, high = low;

    for (int64_t i = 0; i < n; i += LANES) {
        __m256 a = load(n, i, x), b = _mm256_set1_ps(1.0f);
        if (y) {
            b = load(n, i, y);
            const __m256 finite = finite_lanes(b);
            a = _mm256_and_ps(a, finite);
            b = _mm256_and_ps(b, finite);
        }
        add_signed(&low, _mm256_mul_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
                                       _mm256_cvtps_pd(_mm256_castps256_ps128(b))));
        add_signed(&high, _mm256_mul_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)),
                                        _mm256_cvtps_pd(_mm256_extractf128_ps(b, 1))));
    }
    out[0] = reduce(_mm256_add_pd(low.total, high.total), true);
    out[1] = reduce(_mm256_add_pd(low.size, high.size), true);
    out[2] = isnan(out[1]) ? out[1] : reduce(_mm256_max_pd(low.largest, high.largest), false);
}

void fv_kernels_init_map_avx2(fv_kernels *table) {
    table->signed_sums = signed_sums;
    table->relu = relu;
    table->relu_backward = relu_backward;
    table->column_sums = column_sums;
    table->square_sums = square_sums;
    table->product_sums = product_sums;
    table->normalize = normalize;
    table->normalize_backward = normalize_backward;
    table->tap_sums = tap_sums;
}

#else

void fv_kernels_init_map_avx2(fv_kernels *table) { (void)table; }

#endif
