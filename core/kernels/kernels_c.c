/* The kernels in plain C: the base of every table and what the others are compared with.  Sums run
 * in double where a row's accuracy depends on them. */
#include "core/kernels/kernels_c.h"
#include "core/kernels/kernels.h"

#include <math.h>

#define SQRT_HALF     0.70710678118654752f
#define INV_SQRT_2_PI 0.39894228040143268f
#define LANES         16 /* independent sums of dot */

static void axpy(int64_t n, float a, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void add_scaled(int64_t n, const float *x, float a, const float *r, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] + a * r[i];
}

static void scale(int64_t n, float a, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a * x[i];
}

static float dot(int64_t n, const float *x, const float *y) {
    float lane[LANES] = {0}, sum = 0.0f;
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * y[i + j];
    for (; i < n; i++) sum += x[i] * y[i];
    for (int j = 0; j < LANES; j++) sum += lane[j];
    return sum;
}

static void signed_sums(int64_t n, const float *x, const float *y, double out[3]) {
    double total = 0.0, size = 0.0, largest = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double r = !y ? (double)x[i] : isinf(y[i]) ? 0.0 : (double)x[i] * (double)y[i];
        total += r;
        size += fabs(r);
        if (fabs(r) > largest) largest = fabs(r);
    }
    out[0] = total;
    out[1] = size;
    out[2] = isnan(size) ? size : largest;
}

static double sum_squares(int64_t n, const float *x) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

static bool all_finite(int64_t n, const float *x) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static void to_bf16(int64_t n, const float *x, fv_bf16 *y) {
    for (int64_t i = 0; i < n; i++) y[i] = fv_bf16_from_f32(x[i]);
}

static void from_bf16(int64_t n, const fv_bf16 *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = fv_bf16_to_f32(x[i]);
}

/* Subtracting the largest x before scaling keeps the exponent exact where it matters, near 0. */
static void softmax(int64_t n, float a, const float *x, float *y, float *lse) {
    float largest = -INFINITY;
    double sum = 0.0;
    bool masked = true; /* every element is -inf */

    for (int64_t i = 0; i < n; i++) {
        if (x[i] > largest) largest = x[i];
        if (x[i] != -INFINITY) masked = false;
    }
    if (masked) {
        for (int64_t i = 0; i < n; i++) y[i] = 0.0f;
        if (lse) *lse = -INFINITY;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        y[i] = expf(a * (x[i] - largest));
        sum += (double)y[i];
    }
    const float inverse = (float)(1.0 / sum);
    for (int64_t i = 0; i < n; i++) y[i] *= inverse;
    if (lse) *lse = a * largest + logf((float)sum);
}

static void softmax_from_lse(int64_t n, float a, const float *x, float lse, float *y) {
    if (lse == -INFINITY) {
        for (int64_t i = 0; i < n; i++) y[i] = 0.0f;
        return;
    }
    for (int64_t i = 0; i < n; i++) y[i] = expf(a * x[i] - lse);
}

static void softmax_backward(int64_t n, float a, const float *y, const float *dy, float delta,
                             float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = a * y[i] * (dy[i] - delta);
}

static void layernorm(int64_t n, const float *x, const float *gamma, const float *beta, float eps,
                      float *y, float *mean, float *rstd) {
    double sum = 0.0, squares = 0.0;

    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    const float mu = n > 0 ? (float)(sum / (double)n) : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        const float centred = x[i] - mu;
        squares += (double)(centred * centred);
    }
    const float variance = n > 0 ? (float)(squares / (double)n) : 0.0f;
    const float r = 1.0f / sqrtf(variance + eps);
    for (int64_t i = 0; i < n; i++) y[i] = gamma[i] * ((x[i] - mu) * r) + beta[i];
    if (mean) *mean = mu;
    if (rstd) *rstd = r;
}

static void layernorm_backward(int64_t n, const float *x, const float *gamma, const float *dy,
                               float mean, float rstd, float *dx, float *dgamma, float *dbeta) {
    double sum_g = 0.0, sum_gx = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const float xhat = (x[i] - mean) * rstd, g = gamma[i] * dy[i];
        sum_g += (double)g;
        sum_gx += (double)(g * xhat);
        if (dgamma) dgamma[i] += dy[i] * xhat;
        if (dbeta) dbeta[i] += dy[i];
    }
    const float mean_g = n > 0 ? (float)(sum_g / (double)n) : 0.0f;
    const float mean_gx = n > 0 ? (float)(sum_gx / (double)n) : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        const float xhat = (x[i] - mean) * rstd;
        dx[i] = rstd * (gamma[i] * dy[i] - mean_g - xhat * mean_gx);
    }
}

/* Phi(x) = erfc(-x / sqrt 2) / 2: no cancellation for negative x, unlike (1 + erf) / 2. */
static float normal_cdf(float x) { return 0.5f * erfcf(-x * SQRT_HALF); }

static void gelu(int64_t n, const void *x, void *y, fv_dtype type) {
    for (int64_t i = 0; i < n; i++) {
        const float v = load_as(type, x, i);
        store_as(type, y, i, v * normal_cdf(v));
    }
}

static float gelu_slope(float x) {
    const float density = INV_SQRT_2_PI * expf(-0.5f * x * x);
    return normal_cdf(x) + x * density;
}

static void gelu_backward(int64_t n, const void *x, fv_dtype type, const void *dy, fv_dtype dy_type,
                          void *dx) {
    for (int64_t i = 0; i < n; i++)
        store_as(type, dx, i, load_as(dy_type, dy, i) * gelu_slope(load_as(type, x, i)));
}

static void gelu_and_slope(int64_t n, const float *x, float *y, float *slope) {
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i];
        y[i] = v * normal_cdf(v);
        slope[i] = gelu_slope(v);
    }
}

static float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

static void sigmoid(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = logistic(x[i]);
}

static void silu(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * logistic(x[i]);
}

static void silu_backward(int64_t n, const float *x, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++) {
        const float s = logistic(x[i]);
        dx[i] = dy[i] * (s + x[i] * s * (1.0f - s));
    }
}

static void tap_sums(int64_t n, int64_t taps, int64_t step, const float *x, const float *y,
                     float *sum) {
    for (int64_t k = 0; k < taps; k++) {
        float row[FV_STRIP] = {0.0f};
        for (int64_t i = 0; i < n; i++) {
            const float *px = x + (i * step + k) * FV_STRIP, *py = y + i * FV_STRIP;
            for (int c = 0; c < FV_STRIP; c++) row[c] += px[c] * py[c];
        }
        for (int c = 0; c < FV_STRIP; c++) sum[k * FV_STRIP + c] += row[c];
    }
}

static void adamw(int64_t n, const fv_adamw_args *args, const float *grad, float *m, float *v,
                  float *w) {
    const float keep = (float)(1.0 - args->lr * args->weight_decay);
    const float b1 = (float)args->beta1, new1 = (float)(1.0 - args->beta1);
    const float b2 = (float)args->beta2, new2 = (float)(1.0 - args->beta2);
    const float root = (float)sqrt(args->bias2), eps = (float)args->eps;
    const float step = (float)(args->lr / args->bias1);

    for (int64_t i = 0; i < n; i++) {
        const float g = args->grad_scale * grad[i];
        m[i] = b1 * m[i] + new1 * g;
        v[i] = b2 * v[i] + new2 * g * g;
        w[i] = keep * w[i] - step * m[i] / (sqrtf(v[i]) / root + eps);
    }
}

void fv_kernels_init_c(fv_kernels *table) {
    *table = (fv_kernels){.isa = "c",
                          .axpy = axpy,
                          .add_scaled = add_scaled,
                          .scale = scale,
                          .dot = dot,
                          .sum_squares = sum_squares,
                          .signed_sums = signed_sums,
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
                          .tap_sums = tap_sums,
                          .adamw = adamw};
    fv_kernels_init_map_c(table);
    fv_kernels_init_pool_c(table);
    fv_kernels_init_product_c(table);
    fv_kernels_init_pairs_c(table);
}
