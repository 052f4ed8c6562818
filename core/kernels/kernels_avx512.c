/* The kernels with AVX-512 (F, BW, DQ, VL).  This file is compiled with that instruction set and entered
 * only after a CPU check. */
#include "core/kernels/kernels_avx512.h"
#include "core/kernels/kernels.h"

#if defined(__AVX512F__)

#include <math.h>

static void axpy(int64_t n, float a, const float *x, float *y) {
    const __m512 va = _mm512_set1_ps(a);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_fmadd_ps(va, load(k, x + i), load(k, y + i)));
    }
}

static void add_scaled(int64_t n, const float *x, float a, const float *r, float *y) {
    const __m512 va = _mm512_set1_ps(a);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_fmadd_ps(va, load(k, r + i), load(k, x + i)));
    }
}

static void scale(int64_t n, float a, const float *x, float *y) {
    const __m512 va = _mm512_set1_ps(a);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(va, load(k, x + i)));
    }
}

/* Four sums hide the latency of the multiply-add. */
static float dot(int64_t n, const float *x, const float *y) {
    __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                   _mm512_setzero_ps()};
    for (int64_t i = 0; i < n; i += 4 * LANES) {
        for (int j = 0; j < 4; j++) {
            const __mmask16 k = lanes(n, i + j * LANES);
            s[j] = _mm512_fmadd_ps(load(k, x + i + j * LANES), load(k, y + i + j * LANES), s[j]);
        }
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3])));
}

static double sum_squares(int64_t n, const float *x) {
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (int64_t i = 0; i < n; i += LANES) {
        const __m512 v = load(lanes(n, i), x + i);
        const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
        const __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
        low = _mm512_fmadd_pd(a, a, low);
        high = _mm512_fmadd_pd(b, b, high);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

/* classes of vfpclass: quiet NaN, +inf, -inf, signalling NaN */
static bool all_finite(int64_t n, const float *x) {
    for (int64_t i = 0; i < n; i += LANES)
        if (_mm512_fpclass_ps_mask(load(lanes(n, i), x + i), 0x01 | 0x08 | 0x10 | 0x80))
            return false;
    return true;
}

static void to_bf16(int64_t n, const float *x, fv_bf16 *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        store_as(FV_BF16, k, y, i, load(k, x + i));
    }
}

static void from_bf16(int64_t n, const fv_bf16 *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        _mm512_mask_storeu_ps(y + i, k, widen(k, x + i));
    }
}

/* e^x within 1 ulp: x = n ln 2 + r, |r| <= ln 2 / 2, a minimax polynomial of (e^r - 1 - r) / r^2.
 * The bounds make -inf give exactly 0 and large x inf; max and min return the second operand when
 * one is NaN, so NaN passes; scalef rounds denormal results correctly. */
static inline __m512 exponential(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-105.0f), x);
    x = _mm512_min_ps(_mm512_set1_ps(89.0f), x);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e43p-1f), x); /* ln 2 in two parts */
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-0x1.05c61p-29f), r);
    __m512 p = _mm512_set1_ps(0x1.6a2434p-10f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.1239e2p-7f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.5558f2p-5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555492p-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.fffffcp-2f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
    return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1.0f)), n);
}

static void fill(int64_t n, float value, float *y) {
    for (int64_t i = 0; i < n; i += LANES)
        _mm512_mask_storeu_ps(y + i, lanes(n, i), _mm512_set1_ps(value));
}

/* A row whose largest element is -inf: zeros if all are, NaN if there was a NaN among them. */
static void softmax_masked(int64_t n, const float *x, float *y, float *lse) {
    int nans = 0; /* counted: GCC 12 makes a maximum of "if (isnan(x[i])) value = NAN" */
    for (int64_t i = 0; i < n; i++) nans += isnan(x[i]) != 0;
    const float value = nans ? NAN : 0.0f;
    fill(n, value, y);
    if (lse) *lse = value - INFINITY;
}

static void softmax(int64_t n, float a, const float *x, float *y, float *lse) {
    const __m512 lowest = _mm512_set1_ps(-INFINITY), va = _mm512_set1_ps(a);
    __m512 top = lowest, sum = _mm512_setzero_ps();

    for (int64_t i = 0; i < n; i += LANES)
        top = _mm512_max_ps(_mm512_mask_loadu_ps(lowest, lanes(n, i), x + i), top);
    const float largest = _mm512_reduce_max_ps(top);
    if (largest == -INFINITY) {
        softmax_masked(n, x, y, lse);
        return;
    }
    const __m512 shift = _mm512_set1_ps(largest);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 e = exponential(_mm512_mul_ps(va, _mm512_sub_ps(load(k, x + i), shift)));
        _mm512_mask_storeu_ps(y + i, k, e);
        sum = _mm512_mask_add_ps(sum, k, sum, e);
    }
    const float total = _mm512_reduce_add_ps(sum);
    scale(n, 1.0f / total, y, y);
    if (lse) *lse = a * largest + logf(total);
}

static void softmax_from_lse(int64_t n, float a, const float *x, float lse, float *y) {
    const __m512 va = _mm512_set1_ps(a), shift = _mm512_set1_ps(lse);

    if (lse == -INFINITY) {
        fill(n, 0.0f, y);
        return;
    }
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        _mm512_mask_storeu_ps(y + i, k, exponential(_mm512_fmsub_ps(va, load(k, x + i), shift)));
    }
}

static void softmax_backward(int64_t n, float a, const float *y, const float *dy, float delta,
                             float *dx) {
    const __m512 va = _mm512_set1_ps(a), vd = _mm512_set1_ps(delta);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 ay = _mm512_mul_ps(va, load(k, y + i));
        _mm512_mask_storeu_ps(dx + i, k, _mm512_mul_ps(ay, _mm512_sub_ps(load(k, dy + i), vd)));
    }
}

static void layernorm(int64_t n, const float *x, const float *gamma, const float *beta, float eps,
                      float *y, float *mean, float *rstd) {
    const float inverse_n = n > 0 ? 1.0f / (float)n : 0.0f;
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    __m512 squares[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};

    for (int64_t i = 0; i < n; i += 2 * LANES)
        for (int j = 0; j < 2; j++)
            sum[j] = _mm512_add_ps(sum[j], load(lanes(n, i + j * LANES), x + i + j * LANES));
    const float mu = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1])) * inverse_n;
    const __m512 vmu = _mm512_set1_ps(mu);
    for (int64_t i = 0; i < n; i += 2 * LANES) {
        for (int j = 0; j < 2; j++) {
            const __mmask16 k = lanes(n, i + j * LANES);
            const __m512 d = _mm512_maskz_sub_ps(k, load(k, x + i + j * LANES), vmu);
            squares[j] = _mm512_fmadd_ps(d, d, squares[j]);
        }
    }
    const float variance = _mm512_reduce_add_ps(_mm512_add_ps(squares[0], squares[1])) * inverse_n;
    const float r = 1.0f / sqrtf(variance + eps);
    const __m512 vr = _mm512_set1_ps(r);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 xhat = _mm512_mul_ps(_mm512_sub_ps(load(k, x + i), vmu), vr);
        _mm512_mask_storeu_ps(y + i, k,
                              _mm512_fmadd_ps(load(k, gamma + i), xhat, load(k, beta + i)));
    }
    if (mean) *mean = mu;
    if (rstd) *rstd = r;
}

static void layernorm_backward(int64_t n, const float *x, const float *gamma, const float *dy,
                               float mean, float rstd, float *dx, float *dgamma, float *dbeta) {
    const float inverse_n = n > 0 ? 1.0f / (float)n : 0.0f;
    const __m512 mu = _mm512_set1_ps(mean), r = _mm512_set1_ps(rstd);
    __m512 sum_g = _mm512_setzero_ps(), sum_gx = _mm512_setzero_ps();

    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 xhat = _mm512_maskz_mul_ps(k, _mm512_sub_ps(load(k, x + i), mu), r);
        const __m512 d = load(k, dy + i), g = _mm512_mul_ps(load(k, gamma + i), d);
        sum_g = _mm512_add_ps(sum_g, g);
        sum_gx = _mm512_fmadd_ps(g, xhat, sum_gx);
        if (dgamma)
            _mm512_mask_storeu_ps(dgamma + i, k, _mm512_fmadd_ps(d, xhat, load(k, dgamma + i)));
        if (dbeta) _mm512_mask_storeu_ps(dbeta + i, k, _mm512_add_ps(d, load(k, dbeta + i)));
    }
    const __m512 mean_g = _mm512_set1_ps(_mm512_reduce_add_ps(sum_g) * inverse_n);
    const __m512 mean_gx = _mm512_set1_ps(_mm512_reduce_add_ps(sum_gx) * inverse_n);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 xhat = _mm512_mul_ps(_mm512_sub_ps(load(k, x + i), mu), r);
        const __m512 g = _mm512_fmsub_ps(load(k, gamma + i), load(k, dy + i), mean_g);
        _mm512_mask_storeu_ps(dx + i, k, _mm512_mul_ps(r, _mm512_fnmadd_ps(xhat, mean_gx, g)));
    }
}

static inline __m512 logistic(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one,
                         _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

static void sigmoid(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        _mm512_mask_storeu_ps(y + i, k, logistic(load(k, x + i)));
    }
}

static void silu(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 v = load(k, x + i);
        _mm512_mask_storeu_ps(y + i, k, _mm512_mul_ps(v, logistic(v)));
    }
}

static void silu_backward(int64_t n, const float *x, const float *dy, float *dx) {
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 v = load(k, x + i), s = logistic(v);
        const __m512 slope =
            _mm512_fmadd_ps(_mm512_mul_ps(v, s), _mm512_sub_ps(one, s), s); /* s + x s (1 - s) */
        _mm512_mask_storeu_ps(dx + i, k, _mm512_mul_ps(load(k, dy + i), slope));
    }
}

/* taps is a constant where this is inlined: 2 taps sums stay in registers. */
static inline __attribute__((always_inline)) void
tap_block(int64_t n, const int taps, int64_t step, const float *x, const float *y, float *sum) {
    __m512 low[7], high[7];

#pragma GCC unroll 7
    for (int k = 0; k < taps; k++) low[k] = high[k] = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i++, x += step * FV_STRIP, y += FV_STRIP) {
        const __m512 yl = _mm512_loadu_ps(y), yh = _mm512_loadu_ps(y + LANES);
#pragma GCC unroll 7
        for (int k = 0; k < taps; k++) {
            low[k] = _mm512_fmadd_ps(_mm512_loadu_ps(x + k * FV_STRIP), yl, low[k]);
            high[k] = _mm512_fmadd_ps(_mm512_loadu_ps(x + k * FV_STRIP + LANES), yh, high[k]);
        }
    }
#pragma GCC unroll 7
    for (int k = 0; k < taps; k++) {
        float *to = sum + k * FV_STRIP;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), low[k]));
        _mm512_storeu_ps(to + LANES, _mm512_add_ps(_mm512_loadu_ps(to + LANES), high[k]));
    }
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

/* The operations of the C kernel in its order, none fused: the bits are the same. */
static void adamw(int64_t n, const fv_adamw_args *args, const float *grad, float *m, float *v,
                  float *w) {
    const __m512 keep = _mm512_set1_ps((float)(1.0 - args->lr * args->weight_decay));
    const __m512 b1 = _mm512_set1_ps((float)args->beta1);
    const __m512 new1 = _mm512_set1_ps((float)(1.0 - args->beta1));
    const __m512 b2 = _mm512_set1_ps((float)args->beta2);
    const __m512 new2 = _mm512_set1_ps((float)(1.0 - args->beta2));
    const __m512 root = _mm512_set1_ps((float)sqrt(args->bias2));
    const __m512 eps = _mm512_set1_ps((float)args->eps);
    const __m512 step = _mm512_set1_ps((float)(args->lr / args->bias1));
    const __m512 factor = _mm512_set1_ps(args->grad_scale);

    for (int64_t i = 0; i < n; i += LANES) {
        const __mmask16 k = lanes(n, i);
        const __m512 g = _mm512_mul_ps(factor, load(k, grad + i));
        const __m512 vm = _mm512_add_ps(_mm512_mul_ps(b1, load(k, m + i)), _mm512_mul_ps(new1, g));
        const __m512 vv = _mm512_add_ps(_mm512_mul_ps(b2, load(k, v + i)),
                                        _mm512_mul_ps(_mm512_mul_ps(new2, g), g));
        const __m512 divisor = _mm512_add_ps(_mm512_div_ps(_mm512_sqrt_ps(vv), root), eps);
        const __m512 update = _mm512_div_ps(_mm512_mul_ps(step, vm), divisor);
        _mm512_mask_storeu_ps(m + i, k, vm);
        _mm512_mask_storeu_ps(v + i, k, vv);
        _mm512_mask_storeu_ps(w + i, k, _mm512_sub_ps(_mm512_mul_ps(keep, load(k, w + i)), update));
    }
}

void fv_kernels_init_avx512(fv_kernels *table) {
    *table = (fv_kernels){.isa = "avx512",
                          .axpy = axpy,
                          .add_scaled = add_scaled,
                          .scale = scale,
                          .dot = dot,
                          .sum_squares = sum_squares,
                          .all_finite = all_finite,
                          .to_bf16 = to_bf16,
                          .from_bf16 = from_bf16,
                          .softmax = softmax,
                          .softmax_from_lse = softmax_from_lse,
                          .softmax_backward = softmax_backward,
                          .layernorm = layernorm,
                          .layernorm_backward = layernorm_backward,
                          .sigmoid = sigmoid,
                          .silu = silu,
                          .silu_backward = silu_backward,
                          .tap_sums = tap_sums,
                          .adamw = adamw};
    fv_kernels_init_gelu_avx512(table);
    fv_kernels_init_map_avx512(table);
    fv_kernels_init_pool_avx512(table);
    fv_kernels_init_product_avx512(table);
    fv_kernels_init_pairs_c(table);
}

#else

void fv_kernels_init_avx512(fv_kernels *table) { (void)table; }

#endif
