/* The kernels with AVX2 and FMA.  This file is compiled with those instruction sets and entered only after a
 * CPU check. */
#include "core/kernels/kernels_avx2.h"
#include "core/kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <math.h>
#include <string.h>

static void axpy(int64_t n, float a, const float *x, float *y) {
    const __m256 va = _mm256_set1_ps(a);
    for (int64_t i = 0; i < n; i += LANES)
        store(n, i, y, _mm256_fmadd_ps(va, load(n, i, x), load(n, i, y)));
}

static void add_scaled(int64_t n, const float *x, float a, const float *r, float *y) {
    const __m256 va = _mm256_set1_ps(a);
    for (int64_t i = 0; i < n; i += LANES)
        store(n, i, y, _mm256_fmadd_ps(va, load(n, i, r), load(n, i, x)));
}

static void scale(int64_t n, float a, const float *x, float *y) {
    const __m256 va = _mm256_set1_ps(a);
    for (int64_t i = 0; i < n; i += LANES) store(n, i, y, _mm256_mul_ps(va, load(n, i, x)));
}

/* Four sums hide the latency of the multiply-add. */
static float dot(int64_t n, const float *x, const float *y) {
    __m256 s[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                   _mm256_setzero_ps()};
    for (int64_t i = 0; i < n; i += 4 * LANES)
        for (int j = 0; j < 4; j++)
            s[j] = _mm256_fmadd_ps(load(n, i + j * LANES, x), load(n, i + j * LANES, y), s[j]);
    return sum_of(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])));
}

static double sum_squares(int64_t n, const float *x) {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 v = load(n, i, x);
        const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
        const __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
        low = _mm256_fmadd_pd(a, a, low);
        high = _mm256_fmadd_pd(b, b, high);
    }
    const __m256d sum = _mm256_add_pd(low, high);
    const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(sum), _mm256_extractf128_pd(sum, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

/* Infinities and NaN have all bits of the exponent. */
static bool all_finite(int64_t n, const float *x) {
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256i bits = _mm256_and_si256(_mm256_castps_si256(load(n, i, x)), exponent);
        if (_mm256_movemask_epi8(_mm256_cmpeq_epi32(bits, exponent))) return false;
    }
    return true;
}

static void to_bf16(int64_t n, const float *x, fv_bf16 *y) {
    for (int64_t i = 0; i < n; i += LANES) store_as(FV_BF16, n, i, y, load(n, i, x));
}

static void from_bf16(int64_t n, const fv_bf16 *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) store(n, i, y, widen(n, i, x));
}

/* e^x as in kernels_avx512.c; 2^n is multiplied in two halves, so that the first product is exact and
 * denormal results are rounded once. */
static inline __m256 exponential(__m256 x) {
    x = _mm256_max_ps(_mm256_set1_ps(-105.0f), x);
    x = _mm256_min_ps(_mm256_set1_ps(89.0f), x);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e43p-1f), x); /* ln 2 in two parts */
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-0x1.05c61p-29f), r);
    __m256 p = _mm256_set1_ps(0x1.6a2434p-10f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.1239e2p-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5558f2p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555492p-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffffcp-2f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
    const __m256i all = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(all, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(all, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
}

static void fill(int64_t n, float value, float *y) {
    for (int64_t i = 0; i < n; i += LANES) store(n, i, y, _mm256_set1_ps(value));
}

/* A row whose largest element is -inf: zeros if all are, NaN if there was a NaN among them. */
static void softmax_masked(int64_t n, const float *x, float *y, float *lse) {
    int nans = 0; /* counted: GCC 12 makes a maximum of "if (isnan(x[i])) value = NAN" */
    for (int64_t i = 0; i < n; i++) nans += isnan(x[i]) != 0;
    const float value = nans ? NAN : 0.0f;
    fill(n, value, y);
    if (lse) *lse = value - INFINITY;
}

/* Of the numbers among n; -inf if there are none. */
static float largest_of(int64_t n, const float *x) {
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 top = lowest;

    for (int64_t i = 0; i < n; i += LANES) {
        __m256 v = load(n, i, x);
        if (!whole(n, i)) v = _mm256_blendv_ps(lowest, v, _mm256_castsi256_ps(lanes(n, i)));
        top = _mm256_max_ps(v, top);
    }
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static void softmax(int64_t n, float a, const float *x, float *y, float *lse) {
    const float largest = largest_of(n, x);
    const __m256 shift = _mm256_set1_ps(largest), va = _mm256_set1_ps(a);
    __m256 sum = _mm256_setzero_ps();

    if (largest == -INFINITY) {
        softmax_masked(n, x, y, lse);
        return;
    }
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 e = exponential(_mm256_mul_ps(va, _mm256_sub_ps(load(n, i, x), shift)));
        store(n, i, y, e);
        sum = _mm256_add_ps(sum, keep(n, i, e));
    }
    const float total = sum_of(sum);
    scale(n, 1.0f / total, y, y);
    if (lse) *lse = a * largest + logf(total);
}

static void softmax_from_lse(int64_t n, float a, const float *x, float lse, float *y) {
    const __m256 va = _mm256_set1_ps(a), shift = _mm256_set1_ps(lse);

    if (lse == -INFINITY) {
        fill(n, 0.0f, y);
        return;
    }
    for (int64_t i = 0; i < n; i += LANES)
        store(n, i, y, exponential(_mm256_fmsub_ps(va, load(n, i, x), shift)));
}

static void softmax_backward(int64_t n, float a, const float *y, const float *dy, float delta,
                             float *dx) {
    const __m256 va = _mm256_set1_ps(a), vd = _mm256_set1_ps(delta);
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 ay = _mm256_mul_ps(va, load(n, i, y));
        store(n, i, dx, _mm256_mul_ps(ay, _mm256_sub_ps(load(n, i, dy), vd)));
    }
}

static void layernorm(int64_t n, const float *x, const float *gamma, const float *beta, float eps,
                      float *y, float *mean, float *rstd) {
    const float inverse_n = n > 0 ? 1.0f / (float)n : 0.0f;
    __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    __m256 squares[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};

    for (int64_t i = 0; i < n; i += 2 * LANES)
        for (int j = 0; j < 2; j++) sum[j] = _mm256_add_ps(sum[j], load(n, i + j * LANES, x));
    const float mu = sum_of(_mm256_add_ps(sum[0], sum[1])) * inverse_n;
    const __m256 vmu = _mm256_set1_ps(mu);
    for (int64_t i = 0; i < n; i += 2 * LANES)
        for (int j = 0; j < 2; j++) {
            const int64_t at = i + j * LANES;
            const __m256 d = keep(n, at, _mm256_sub_ps(load(n, at, x), vmu));
            squares[j] = _mm256_fmadd_ps(d, d, squares[j]);
        }
    const float variance = sum_of(_mm256_add_ps(squares[0], squares[1])) * inverse_n;
    const float r = 1.0f / sqrtf(variance + eps);
    const __m256 vr = _mm256_set1_ps(r);
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 xhat = _mm256_mul_ps(_mm256_sub_ps(load(n, i, x), vmu), vr);
        store(n, i, y, _mm256_fmadd_ps(load(n, i, gamma), xhat, load(n, i, beta)));
    }
    if (mean) *mean = mu;
    if (rstd) *rstd = r;
}

static void layernorm_backward(int64_t n, const float *x, const float *gamma, const float *dy,
                               float mean, float rstd, float *dx, float *dgamma, float *dbeta) {
    const float inverse_n = n > 0 ? 1.0f / (float)n : 0.0f;
    const __m256 mu = _mm256_set1_ps(mean), r = _mm256_set1_ps(rstd);
    __m256 sum_g = _mm256_setzero_ps(), sum_gx = _mm256_setzero_ps();

    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 xhat = _mm256_mul_ps(_mm256_sub_ps(load(n, i, x), mu), r);
        const __m256 d = load(n, i, dy), g = _mm256_mul_ps(load(n, i, gamma), d);
        sum_g = _mm256_add_ps(sum_g, g);
        sum_gx = _mm256_fmadd_ps(g, keep(n, i, xhat), sum_gx);
        if (dgamma) store(n, i, dgamma, _mm256_fmadd_ps(d, xhat, load(n, i, dgamma)));
        if (dbeta) store(n, i, dbeta, _mm256_add_ps(d, load(n, i, dbeta)));
    }
    const __m256 mean_g = _mm256_set1_ps(sum_of(sum_g) * inverse_n);
    const __m256 mean_gx = _mm256_set1_ps(sum_of(sum_gx) * inverse_n);
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 xhat = _mm256_mul_ps(_mm256_sub_ps(load(n, i, x), mu), r);
        const __m256 g = _mm256_fmsub_ps(load(n, i, gamma), load(n, i, dy), mean_g);
        store(n, i, dx, _mm256_mul_ps(r, _mm256_fnmadd_ps(xhat, mean_gx, g)));
    }
}

/* ---- GELU ----
 * Phi(x) is Q(|x|) for x < 0 and 1 - Q(|x|) otherwise; Q(a) = e^(-a^2/2) P(a / (a + 3)), P of degree 8
 * fitted on 0 <= a <= 6 to 2.4e-8 of Q.  In that variable rounding does no harm at a = 0, where Q is largest.
 * Largest error in f32: 8e-8 of Phi. */
static const float tail_term[] = {0x1p-1f,         -0x1.326364p+0f, 0x1.0da182p+0f,
                                  -0x1.2723d4p-2f, -0x1.33242ap-3f, 0x1.bd8bd4p-6f,
                                  0x1.7835aap-4f,  -0x1.f8243ep-6f, -0x1.bbd736p-8f};

/* *density: e^(-x^2/2).  The bound keeps infinity out of the quotient, and lets NaN pass. */
static inline __m256 normal_cdf(__m256 x, __m256 *density) {
    const __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    const __m256 near = _mm256_min_ps(_mm256_set1_ps(64.0f), a);
    const __m256 t = _mm256_div_ps(near, _mm256_add_ps(near, _mm256_set1_ps(3.0f)));
    __m256 p = _mm256_set1_ps(tail_term[8]);

#pragma GCC unroll 8
    for (int k = 7; k >= 0; k--) p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(tail_term[k]));
    *density = exponential(_mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(-0.5f), a), a));
    const __m256 q = _mm256_mul_ps(*density, p);
    return _mm256_blendv_ps(_mm256_sub_ps(_mm256_set1_ps(1.0f), q), q, x);
}

static void gelu(int64_t n, const void *x, void *y, fv_dtype type) {
    for (int64_t i = 0; i < n; i += LANES) {
        __m256 density;
        const __m256 v = load_as(type, n, i, x), phi = normal_cdf(v, &density);
        store_as(type, n, i, y, _mm256_mul_ps(v, phi));
    }
}

/* *phi: Phi(x) */
static inline __m256 gelu_slope(__m256 x, __m256 *phi) {
    const __m256 factor = _mm256_set1_ps(0.39894228040143268f); /* 1 / sqrt(2 pi) */
    __m256 density;

    *phi = normal_cdf(x, &density);
    return _mm256_fmadd_ps(x, _mm256_mul_ps(factor, density), *phi);
}

static void gelu_backward(int64_t n, const void *x, fv_dtype type, const void *dy, fv_dtype dy_type,
                          void *dx) {
    for (int64_t i = 0; i < n; i += LANES) {
        __m256 phi;
        const __m256 slope = gelu_slope(load_as(type, n, i, x), &phi);
        store_as(type, n, i, dx, _mm256_mul_ps(load_as(dy_type, n, i, dy), slope));
    }
}

static void gelu_and_slope(int64_t n, const float *x, float *y, float *slope) {
    for (int64_t i = 0; i < n; i += LANES) {
        __m256 phi;
        const __m256 v = load(n, i, x), s = gelu_slope(v, &phi);
        store(n, i, y, _mm256_mul_ps(v, phi));
        store(n, i, slope, s);
    }
}

static inline __m256 logistic(__m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f);
    return _mm256_div_ps(one,
                         _mm256_add_ps(one, exponential(_mm256_sub_ps(_mm256_setzero_ps(), x))));
}

static void sigmoid(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) store(n, i, y, logistic(load(n, i, x)));
}

static void silu(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 v = load(n, i, x);
        store(n, i, y, _mm256_mul_ps(v, logistic(v)));
    }
}

static void silu_backward(int64_t n, const float *x, const float *dy, float *dx) {
    const __m256 one = _mm256_set1_ps(1.0f);
    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 v = load(n, i, x), s = logistic(v);
        const __m256 slope =
            _mm256_fmadd_ps(_mm256_mul_ps(v, s), _mm256_sub_ps(one, s), s); /* s + x s (1 - s) */
        store(n, i, dx, _mm256_mul_ps(load(n, i, dy), slope));
    }
}

/* The operations of the C kernel in its order, none fused: the bits are the same. */
static void adamw(int64_t n, const fv_adamw_args *args, const float *grad, float *m, float *v,
                  float *w) {
    const __m256 keep_w = _mm256_set1_ps((float)(1.0 - args->lr * args->weight_decay));
    const __m256 b1 = _mm256_set1_ps((float)args->beta1);
    const __m256 new1 = _mm256_set1_ps((float)(1.0 - args->beta1));
    const __m256 b2 = _mm256_set1_ps((float)args->beta2);
    const __m256 new2 = _mm256_set1_ps((float)(1.0 - args->beta2));
    const __m256 root = _mm256_set1_ps((float)sqrt(args->bias2));
    const __m256 eps = _mm256_set1_ps((float)args->eps);
    const __m256 step = _mm256_set1_ps((float)(args->lr / args->bias1));
    const __m256 factor = _mm256_set1_ps(args->grad_scale);

    for (int64_t i = 0; i < n; i += LANES) {
        const __m256 g = _mm256_mul_ps(factor, load(n, i, grad));
        const __m256 vm = _mm256_add_ps(_mm256_mul_ps(b1, load(n, i, m)), _mm256_mul_ps(new1, g));
        const __m256 vv = _mm256_add_ps(_mm256_mul_ps(b2, load(n, i, v)),
                                        _mm256_mul_ps(_mm256_mul_ps(new2, g), g));
        const __m256 divisor = _mm256_add_ps(_mm256_div_ps(_mm256_sqrt_ps(vv), root), eps);
        const __m256 update = _mm256_div_ps(_mm256_mul_ps(step, vm), divisor);
        store(n, i, m, vm);
        store(n, i, v, vv);
        store(n, i, w, _mm256_sub_ps(_mm256_mul_ps(keep_w, load(n, i, w)), update));
    }
}

void fv_kernels_init_avx2(fv_kernels *table) {
    *table = (fv_kernels){.isa = "avx2",
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
                          .gelu = gelu,
                          .gelu_backward = gelu_backward,
                          .gelu_and_slope = gelu_and_slope,
                          .sigmoid = sigmoid,
                          .silu = silu,
                          .silu_backward = silu_backward,
                          .adamw = adamw};
    fv_kernels_init_map_avx2(table);
    fv_kernels_init_pool_avx2(table);
    fv_kernels_init_product_avx2(table);
    fv_kernels_init_pairs_c(table);
}

#else

void fv_kernels_init_avx2(fv_kernels *table) { (void)table; }

#endif
