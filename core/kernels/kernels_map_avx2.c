/* The kernels of convolutional networks with AVX2 and FMA: ReLU, batch norm over rows of channels, depthwise
 * taps.  Compiled with those instruction sets and entered only after a CPU check. */
#include "core/kernels/kernels.h"
#include "core/kernels/kernels_avx2.h"

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

/* Below, rows go by in order; the sums and coefficients of their channels stay in the first cache. */

static void column_sums(int64_t rows, int64_t n, const float *x, float *sum) {
    for (int64_t r = 0; r < rows; r++, x += n)
        for (int64_t i = 0; i < n; i += LANES)
            store(n, i, sum, _mm256_add_ps(load(n, i, sum), load(n, i, x)));
}

static void square_sums(int64_t rows, int64_t n, const float *x, const float *mean, float *sum) {
    for (int64_t r = 0; r < rows; r++, x += n)
        for (int64_t i = 0; i < n; i += LANES) {
            const __m256 d = _mm256_sub_ps(load(n, i, x), load(n, i, mean));
            store(n, i, sum, _mm256_fmadd_ps(d, d, load(n, i, sum)));
        }
}

static void product_sums(int64_t rows, int64_t n, const float *x, const float *mean, const float *y,
                         float *product, float *sum) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n)
        for (int64_t i = 0; i < n; i += LANES) {
            const __m256 g = load(n, i, y), d = _mm256_sub_ps(load(n, i, x), load(n, i, mean));
            store(n, i, product, _mm256_fmadd_ps(g, d, load(n, i, product)));
            store(n, i, sum, _mm256_add_ps(load(n, i, sum), g));
        }
}

static void normalize(int64_t rows, int64_t n, const float *x, const float *mean, const float *a,
                      const float *b, float *y) {
    for (int64_t r = 0; r < rows; r++, x += n, y += n)
        for (int64_t i = 0; i < n; i += LANES) {
            const __m256 d = _mm256_sub_ps(load(n, i, x), load(n, i, mean));
            store(n, i, y, _mm256_fmadd_ps(d, load(n, i, a), load(n, i, b)));
        }
}

static void normalize_backward(int64_t rows, int64_t n, const float *x, const float *mean,
                               const float *dy, const float *a, const float *c, const float *b,
                               float *dx) {
    for (int64_t r = 0; r < rows; r++, x += n, dy += n, dx += n)
        for (int64_t i = 0; i < n; i += LANES) {
            const __m256 d = _mm256_sub_ps(load(n, i, x), load(n, i, mean));
            const __m256 rest = _mm256_fmadd_ps(load(n, i, c), d, load(n, i, b));
            store(n, i, dx, _mm256_fmadd_ps(load(n, i, a), load(n, i, dy), rest));
        }
}

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

void fv_kernels_init_map_avx2(fv_kernels *table) {
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
