/* Every kernel of every instruction set of this machine against double precision. */
#include "core/kernels/kernels.h"
#include "tests/support/kernel_check.h"

#include <criterion/criterion.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static float x[MAX_N + PAD], z[MAX_N + PAD], y[MAX_N + PAD], g[MAX_N + PAD], b[MAX_N + PAD];
static float p[MAX_N + PAD], q[MAX_N + PAD];

TestSuite(core_kernels, .init = kernel_check_start);

Test(core_kernels, linear) {
    FOR_ALL(k, n) {
        random_row(x, n, 1, 1.0f);
        random_row(z, n, 2, 1.0f);
        double dot = 0.0, squares = 0.0, size = 0.0;
        for (int64_t i = 0; i < n; i++) {
            dot += (double)x[i] * (double)z[i];
            size += fabs((double)x[i] * (double)z[i]);
            squares += (double)x[i] * (double)x[i];
        }
        check(k->isa, "dot", n, 0, (double)k->dot(n, x, z), dot, 4e-7 * size, 0.0);
        check(k->isa, "sum_squares", n, 0, k->sum_squares(n, x), squares, 0.0, 1e-14);

        mark(y, n);
        k->scale(n, -1.7f, x, y);
        check_mark("scale", y, n);
        for (int64_t i = 0; i < n; i++)
            check(k->isa, "scale", n, i, (double)y[i], -1.7 * (double)x[i], 0.0, 2e-7);
        mark(y, n);
        k->add_scaled(n, x, 0.3f, z, y);
        check_mark("add_scaled", y, n);
        for (int64_t i = 0; i < n; i++)
            check(k->isa, "add_scaled", n, i, (double)y[i], (double)x[i] + 0.3 * (double)z[i], 3e-7,
                  2e-7);
        mark(y, n);
        memcpy(y, z, (size_t)n * sizeof *y);
        k->axpy(n, 0.3f, x, y);
        check_mark("axpy", y, n);
        for (int64_t i = 0; i < n; i++)
            check(k->isa, "axpy", n, i, (double)y[i], (double)z[i] + 0.3 * (double)x[i], 3e-7,
                  2e-7);
        k->scale(n, 2.0f, x, x); /* in place */
        for (int64_t i = 0; i < n; i++) cr_assert(isfinite(x[i]));
    }
}

/* Every seventh y is infinite. */
Test(core_kernels, signed_sums) {
    FOR_ALL(k, n) {
        double total = 0.0, ones = 0.0, size = 0.0, ones_size = 0.0, largest = 0.0, out[3];
        random_row(x, n, 1, 1.0f);
        random_row(z, n, 2, 1.0f);
        for (int64_t i = 0; i < n; i++) {
            if (i % 7 == 3) z[i] = i % 2 ? INFINITY : -INFINITY;
            const double r = isinf(z[i]) ? 0.0 : (double)x[i] * (double)z[i];
            total += r;
            size += fabs(r);
            largest = fmax(largest, fabs(r));
            ones += (double)x[i];
            ones_size += fabs((double)x[i]);
        }
        k->signed_sums(n, x, z, out);
        check(k->isa, "signed_sums", n, 0, out[0], total, 1e-14 * size, 0.0);
        check(k->isa, "signed_sums", n, 1, out[1], size, 0.0, 1e-14);
        cr_expect_eq(out[2], largest);
        k->signed_sums(n, x, NULL, out);
        check(k->isa, "signed_sums", n, 0, out[0], ones, 1e-14 * ones_size, 0.0);
        for (int64_t i = 0; i < n; i++) {
            const float kept = x[i];
            x[i] = NAN;
            k->signed_sums(n, x, NULL, out);
            cr_assert(isnan(out[0]) && isnan(out[1]) && isnan(out[2]), "%s %d", k->isa, (int)i);
            x[i] = kept;
        }
    }
}

Test(core_kernels, sum_squares_does_not_overflow) {
    for (int t = 0; t < n_tables; t++) {
        for (int i = 0; i < 40; i++) x[i] = i % 2 ? 1e30f : 1e-30f;
        check(tables[t].isa, "sum_squares", 40, 0, tables[t].sum_squares(40, x), 2e61, 0.0, 1e-6);
    }
}

Test(core_kernels, all_finite_finds_every_position) {
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    FOR_ALL(k, n) {
        random_row(x, n, 3, 1e37f); /* the padding is NaN and must not count */
        if (n) x[0] = 1e-42f;
        cr_assert(k->all_finite(n, x), "%s n=%d", k->isa, (int)n);
        for (int64_t i = 0; i < n; i++) {
            const float was = x[i];
            x[i] = bad[i % 4];
            cr_assert_not(k->all_finite(n, x), "%s n=%d i=%d", k->isa, (int)n, (int)i);
            x[i] = was;
        }
    }
}

static float from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

Test(core_kernels, bf16_equals_the_scalar_conversion) {
    static const uint32_t special[] = {0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000,
                                       0x7f800001, 0xff80ffff, 0x00000001, 0x80008000, 0x00018000,
                                       0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff};
    const fv_rng_key key = {.seed = 2, .purpose = FV_RNG_TEST};
    fv_bf16 h[MAX_N + PAD];

    FOR_ALL(k, n) {
        for (int64_t i = 0; i < n; i++)
            x[i] = from_bits(i < 14 ? special[i] : fv_rng_u32(&key, (uint64_t)(n * MAX_N + i)));
        for (int64_t i = 0; i < n + PAD; i++) h[i] = 0x1234;
        k->to_bf16(n, x, h);
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            cr_assert_eq(h[i], fv_bf16_from_f32(x[i]), "%s %08x: %04x", k->isa, bits, h[i]);
        }
        for (int64_t i = n; i < n + PAD; i++) cr_assert_eq(h[i], 0x1234);
        mark(y, n);
        k->from_bf16(n, h, y);
        check_mark("from_bf16", y, n);
        for (int64_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &y[i], sizeof bits);
            cr_assert_eq(bits, (uint32_t)h[i] << 16);
        }
    }
}

/* ---- softmax ---- */

static void check_softmax(const fv_kernels *k, int64_t n, float a) {
    double largest = -INFINITY, sum = 0.0;
    float lse;

    for (int64_t i = 0; i < n; i++) largest = fmax(largest, (double)a * (double)x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)a * (double)x[i] - largest);
    mark(y, n);
    k->softmax(n, a, x, y, &lse);
    check_mark("softmax", y, n);
    check(k->isa, "lse", n, 0, (double)lse, n ? largest + log(sum) : (double)-INFINITY, 1e-6, 2e-7);
    for (int64_t i = 0; i < n; i++) {
        const double down = (double)a * (double)x[i] - largest;
        const double loose = 1e-6 + 2e-7 * fmin(-down, 200.0); /* the exponent is rounded to f32 */
        check(k->isa, "softmax", n, i, (double)y[i], exp(down) / sum, 1e-38, loose);
    }
    mark(y, n);
    k->softmax_from_lse(n, a, x, lse, y);
    check_mark("softmax_from_lse", y, n);
    for (int64_t i = 0; i < n; i++)
        check(k->isa, "softmax_from_lse", n, i, (double)y[i],
              exp((double)a * (double)x[i] - (double)lse), 1e-38, 8e-6);
    memcpy(y, x, (size_t)n * sizeof *y);
    memcpy(z, x, (size_t)n * sizeof *z);
    k->softmax(n, a, y, y, NULL); /* in place */
    mark(q, n);
    k->softmax(n, a, z, q, NULL);
    cr_assert_eq(memcmp(y, q, (size_t)n * sizeof *y), 0);
}

Test(core_kernels, softmax) {
    FOR_ALL(k, n) {
        random_row(x, n, 4, 10.0f);
        check_softmax(k, n, 0.125f);
        check_softmax(k, n, 1.7f);
        for (int64_t i = 0; i < n; i += 3) x[i] = -INFINITY;
        if (n != 1) check_softmax(k, n, 0.5f);
    }
}

Test(core_kernels, softmax_special_rows) {
    FOR_ALL(k, n) {
        float lse = 1.0f;

        for (int64_t i = 0; i < n + PAD; i++) x[i] = -INFINITY;
        mark(y, n);
        k->softmax(n, 1.0f, x, y, &lse);
        cr_assert(lse == -INFINITY);
        for (int64_t i = 0; i < n; i++) cr_assert(y[i] == 0.0f, "%s n=%d", k->isa, (int)n);
        mark(y, n);
        k->softmax_from_lse(n, 1.0f, x, lse, y);
        check_mark("softmax_from_lse", y, n);
        for (int64_t i = 0; i < n; i++) cr_assert(y[i] == 0.0f, "%s n=%d", k->isa, (int)n);

        for (int64_t bad = 0; bad < n; bad++) { /* one NaN, the rest -inf or numbers */
            for (int64_t i = 0; i < n; i++) x[i] = bad % 2 ? 1.0f : -INFINITY;
            x[bad] = NAN;
            k->softmax(n, 1.0f, x, y, &lse);
            cr_assert(isnan(lse), "%s n=%d NaN at %d", k->isa, (int)n, (int)bad);
            for (int64_t i = 0; i < n; i++) cr_assert(isnan(y[i]));
        }
    }
}

Test(core_kernels, softmax_backward) {
    FOR_ALL(k, n) {
        random_row(x, n, 5, 1.0f);
        random_row(z, n, 6, 1.0f);
        mark(y, n);
        k->softmax_backward(n, 0.125f, x, z, 0.4f, y);
        check_mark("softmax_backward", y, n);
        for (int64_t i = 0; i < n; i++)
            check(k->isa, "softmax_backward", n, i, (double)y[i],
                  0.125 * (double)x[i] * ((double)z[i] - (double)0.4f), 1e-8, 4e-7);
        k->softmax_backward(n, 0.125f, x, z, 0.4f, z); /* in place */
        cr_assert_eq(memcmp(y, z, (size_t)n * sizeof *y), 0);
    }
}

/* softmax_from_lse with lse 0 is e^x. */
Test(core_kernels, exponential_is_within_two_ulp) {
    const float in[] = {-INFINITY, -FLT_MAX, -200.0f, -105.0f, 89.0f, 1e10f, INFINITY, NAN};
    const double out[] = {0.0, 0.0, 0.0, 0.0, INFINITY, INFINITY, INFINITY, NAN};

    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        k->softmax_from_lse(8, 1.0f, in, 0.0f, y);
        for (int i = 0; i < 8; i++) check(k->isa, "exp", 8, i, (double)y[i], out[i], 0.0, 0.0);
        for (float v = -103.9f; v < 88.7f; v += 0.0137f) {
            k->softmax_from_lse(1, 1.0f, &v, 0.0f, y);
            const double want = exp((double)v);
            const double ulp = (double)nextafterf((float)want, INFINITY) - (double)(float)want;
            check(k->isa, "exp", 1, 0, (double)*y, want, 2.0 * ulp, 0.0);
        }
    }
}

/* ---- layer normalisation ---- */

static void moments(int64_t n, const float *row, double eps, double *mean, double *rstd) {
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < n; i++) sum += (double)row[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += ((double)row[i] - *mean) * ((double)row[i] - *mean);
    *rstd = 1.0 / sqrt(squares / (double)n + eps);
}

Test(core_kernels, layernorm) {
    FOR_ALL(k, n) {
        for (int offset = 0; offset <= 100; offset += 100) {
            float mu = MARK, r = MARK;
            double mean, rstd;

            random_row(x, n, 7, 2.0f);
            random_row(g, n, 8, 1.0f);
            random_row(b, n, 9, 1.0f);
            for (int64_t i = 0; i < n; i++) x[i] += (float)offset;
            mark(y, n);
            k->layernorm(n, x, g, b, 1e-6f, y, &mu, &r);
            check_mark("layernorm", y, n);
            if (n == 0) continue;
            moments(n, x, 1e-6, &mean, &rstd);
            const double loose = n == 1 ? 1e-2 : 4e-6 * (1.0 + offset); /* one element: rstd 1000 */
            check(k->isa, "mean", n, 0, (double)mu, mean, 4e-7 * (1.0 + offset), 4e-7);
            if (n > 1) check(k->isa, "rstd", n, 0, (double)r, rstd, 0.0, 2e-6);
            for (int64_t i = 0; i < n; i++)
                check(k->isa, "layernorm", n, i, (double)y[i],
                      (double)g[i] * (((double)x[i] - mean) * rstd) + (double)b[i], loose * rstd,
                      loose);
            memcpy(z, x, (size_t)n * sizeof *z);
            k->layernorm(n, z, g, b, 1e-6f, z, NULL, NULL); /* in place */
            cr_assert_eq(memcmp(y, z, (size_t)n * sizeof *y), 0);
        }
    }
}

Test(core_kernels, layernorm_propagates_nan) {
    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        float mu, r;
        random_row(x, 33, 7, 1.0f);
        random_row(g, 33, 8, 1.0f);
        x[32] = NAN;
        k->layernorm(33, x, g, g, 1e-6f, y, &mu, &r);
        cr_assert(isnan(mu) && isnan(r) && isnan(y[0]) && isnan(y[32]));
    }
}

Test(core_kernels, layernorm_backward) {
    FOR_ALL(k, n) {
        double mean, rstd, sum_g = 0.0, sum_gx = 0.0;

        if (n < 2) continue;
        random_row(x, n, 10, 2.0f);
        random_row(g, n, 11, 1.0f);
        random_row(z, n, 12, 1.0f);
        moments(n, x, 1e-6, &mean, &rstd);
        for (int64_t i = 0; i < n; i++) {
            const double xhat = ((double)x[i] - mean) * rstd, gi = (double)g[i] * (double)z[i];
            sum_g += gi / (double)n;
            sum_gx += gi * xhat / (double)n;
        }
        mark(y, n);
        mark(p, n);
        mark(q, n);
        for (int64_t i = 0; i < n; i++) p[i] = q[i] = 0.5f;
        k->layernorm_backward(n, x, g, z, (float)mean, (float)rstd, y, p, q);
        check_mark("layernorm_backward dx", y, n);
        check_mark("layernorm_backward dgamma", p, n);
        check_mark("layernorm_backward dbeta", q, n);
        for (int64_t i = 0; i < n; i++) {
            const double xhat = ((double)x[i] - mean) * rstd, gi = (double)g[i] * (double)z[i];
            check(k->isa, "dx", n, i, (double)y[i], rstd * (gi - sum_g - xhat * sum_gx),
                  6e-6 * rstd * (1.0 + fabs(xhat)), 1e-5);
            check(k->isa, "dgamma", n, i, (double)p[i], 0.5 + (double)z[i] * xhat, 4e-6, 4e-6);
            check(k->isa, "dbeta", n, i, (double)q[i], 0.5 + (double)z[i], 2e-7, 2e-7);
        }
        k->layernorm_backward(n, x, g, z, (float)mean, (float)rstd, z, NULL, NULL); /* in place */
        cr_assert_eq(memcmp(y, z, (size_t)n * sizeof *y), 0);
    }
}

/* ---- GELU ---- */

static double cdf(double v) { return 0.5 * erfc(-v / sqrt(2.0)); }

static double gelu_slope(double v) {
    return cdf(v) + v * exp(-0.5 * v * v) / sqrt(2.0 * 3.14159265358979323846);
}

Test(core_kernels, gelu_is_accurate_everywhere) {
    const float one = 1.0f;
    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        for (float v = -12.0f; v < 12.0f; v += 0.00037f) {
            k->gelu(1, &v, y, FV_F32);
            const double want = (double)v * cdf((double)v);
            check(k->isa, "gelu", 1, 0, (double)*y, want, 2e-8, fabsf(v) < 4.0f ? 4e-6 : 1e-3);
            check(k->isa, "gelu", 1, 0, (double)*y, want, 1.5e-7 * fabs((double)v), 0.0);
            k->gelu_backward(1, &v, FV_F32, &one, FV_F32, y);
            check(k->isa, "gelu_backward", 1, 0, (double)*y, gelu_slope((double)v), 2.5e-7, 0.0);
        }
    }
}

Test(core_kernels, gelu_tails_and_aliasing) {
    FOR_ALL(k, n) {
        random_row(x, n, 13, 3.0f);
        random_row(z, n, 14, 1.0f);
        mark(y, n);
        k->gelu(n, x, y, FV_F32);
        check_mark("gelu", y, n);
        for (int64_t i = 0; i < n; i++)
            check(k->isa, "gelu", n, i, (double)y[i], (double)x[i] * cdf((double)x[i]), 1e-6, 0.0);
        memcpy(q, x, (size_t)n * sizeof *q);
        k->gelu(n, q, q, FV_F32);
        cr_assert_eq(memcmp(y, q, (size_t)n * sizeof *y), 0);
        mark(y, n);
        k->gelu_backward(n, x, FV_F32, z, FV_F32, y);
        check_mark("gelu_backward", y, n);
        for (int64_t i = 0; i < n; i++)
            check(k->isa, "gelu_backward", n, i, (double)y[i],
                  (double)z[i] * gelu_slope((double)x[i]), 1e-6, 0.0);
        k->gelu_backward(n, x, FV_F32, z, FV_F32, z);
        cr_assert_eq(memcmp(y, z, (size_t)n * sizeof *y), 0);

        for (int64_t i = 0; i < n; i++) g[i] = 1.0f;
        k->gelu_backward(n, x, FV_F32, g, FV_F32, z);
        memcpy(q, x, (size_t)n * sizeof *q);
        mark(y, n);
        k->gelu_and_slope(n, q, y, q);
        check_mark("gelu_and_slope", y, n);
        cr_assert_arr_eq(q, z, (size_t)n * sizeof *q, "%s: slopes of %d", k->isa, (int)n);
        k->gelu(n, x, q, FV_F32);
        cr_assert_arr_eq(q, y, (size_t)n * sizeof *q, "%s: values of %d", k->isa, (int)n);
    }
}

/* As widened, computed and rounded: dy may be f32 beside them. */
Test(core_kernels, gelu_of_bf16) {
    FOR_ALL(k, n) {
        fv_bf16 *narrow = (fv_bf16 *)g, *narrow_dy = narrow + n, *out = (fv_bf16 *)b;
        random_row(x, n, 13, 3.0f);
        random_row(z, n, 14, 1.0f);
        k->to_bf16(n, x, narrow);
        k->to_bf16(n, z, narrow_dy);
        k->from_bf16(n, narrow, x);
        for (int mixed = 0; mixed < 2; mixed++) {
            if (!mixed) k->from_bf16(n, narrow_dy, z);
            k->gelu_backward(n, x, FV_F32, z, FV_F32, y);
            k->to_bf16(n, y, (fv_bf16 *)q);
            k->gelu_backward(n, narrow, FV_BF16, mixed ? (void *)z : (void *)narrow_dy,
                             mixed ? FV_F32 : FV_BF16, out);
            cr_assert_arr_eq(out, q, (size_t)n * sizeof *out, "%s: slopes of %d", k->isa, (int)n);
            random_row(z, n, 15, 1.0f);
        }
        k->gelu(n, x, y, FV_F32);
        k->to_bf16(n, y, (fv_bf16 *)q);
        k->gelu(n, narrow, narrow, FV_BF16);
        cr_assert_arr_eq(narrow, q, (size_t)n * sizeof *narrow, "%s: values of %d", k->isa, (int)n);
    }
}

Test(core_kernels, gelu_special_values) {
    const float in[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-42f, -1e-42f, 1e30f, -1e30f};
    const double value[] = {NAN, INFINITY, NAN, 0.0, 0.0, 5e-43, -5e-43, 1e30, 0.0};
    const double slope[] = {NAN, NAN, NAN, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0};
    const float ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};

    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        k->gelu(9, in, y, FV_F32);
        k->gelu_backward(9, in, FV_F32, ones, FV_F32, z);
        for (int i = 0; i < 9; i++) {
            check(k->isa, "gelu", 9, i, (double)y[i], value[i], 2e-45, 1e-6);
            check(k->isa, "gelu_backward", 9, i, (double)z[i], slope[i], 2e-7, 0.0);
        }
    }
}

/* ---- SiLU and its sigmoid ---- */

static double logistic(double v) { return 1.0 / (1.0 + exp(-v)); }

static double silu_slope(double v) { return logistic(v) + v * logistic(v) * (1.0 - logistic(v)); }

Test(core_kernels, silu_is_accurate_everywhere) {
    const float one = 1.0f;
    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        for (float v = -60.0f; v < 60.0f; v += 0.0037f) {
            const double s = logistic((double)v);
            k->sigmoid(1, &v, y);
            check(k->isa, "sigmoid", 1, 0, (double)*y, s, 0.0, 5e-7);
            k->silu(1, &v, y);
            check(k->isa, "silu", 1, 0, (double)*y, (double)v * s, 0.0, 6e-7);
            k->silu_backward(1, &v, &one, y);
            check(k->isa, "silu_backward", 1, 0, (double)*y, silu_slope((double)v), 1.2e-6, 0.0);
        }
    }
}

Test(core_kernels, silu_tails_and_aliasing) {
    FOR_ALL(k, n) {
        random_row(x, n, 18, 3.0f);
        random_row(z, n, 19, 1.0f);
        for (int which = 0; which < 2; which++) {
            mark(y, n);
            (which ? k->silu : k->sigmoid)(n, x, y);
            check_mark("silu", y, n);
            for (int64_t i = 0; i < n; i++)
                check(k->isa, "silu", n, i, (double)y[i],
                      (which ? (double)x[i] : 1.0) * logistic((double)x[i]), 1e-6, 0.0);
            memcpy(q, x, (size_t)n * sizeof *q);
            (which ? k->silu : k->sigmoid)(n, q, q);
            cr_assert_eq(memcmp(y, q, (size_t)n * sizeof *y), 0);
        }
        mark(y, n);
        k->silu_backward(n, x, z, y);
        check_mark("silu_backward", y, n);
        for (int64_t i = 0; i < n; i++)
            check(k->isa, "silu_backward", n, i, (double)y[i],
                  (double)z[i] * silu_slope((double)x[i]), 2e-6, 0.0);
        k->silu_backward(n, x, z, z);
        cr_assert_eq(memcmp(y, z, (size_t)n * sizeof *y), 0);
    }
}

Test(core_kernels, silu_special_values) {
    const float in[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e30f, -1e30f};
    const double value[] = {NAN, INFINITY, NAN, 0.0, 0.0, 1e30, 0.0};
    const double gate[] = {NAN, 1.0, 0.0, 0.5, 0.5, 1.0, 0.0};
    const double slope[] = {NAN, NAN, NAN, 0.5, 0.5, 1.0, 0.0};
    const float ones[] = {1, 1, 1, 1, 1, 1, 1};

    for (const fv_kernels *k = tables; k < tables + n_tables; k++) {
        k->silu(7, in, y);
        k->sigmoid(7, in, z);
        k->silu_backward(7, in, ones, q);
        for (int i = 0; i < 7; i++) {
            check(k->isa, "silu", 7, i, (double)y[i], value[i], 0.0, 1e-6);
            check(k->isa, "sigmoid", 7, i, (double)z[i], gate[i], 0.0, 1e-6);
            check(k->isa, "silu_backward", 7, i, (double)q[i], slope[i], 0.0, 1e-6);
        }
    }
}

/* ---- AdamW ---- */

Test(core_kernels, tap_sums) {
    enum { N = 70, STEP = 3, TAPS = 11, ROOM = ((N - 1) * STEP + TAPS) * FV_STRIP };
    static float from[ROOM], grad[N * FV_STRIP], sum[TAPS * FV_STRIP + PAD];
    const fv_rng_key key = {.seed = 2, .purpose = FV_RNG_TEST};

    for (int64_t i = 0; i < ROOM; i++) from[i] = fv_rng_normal(&key, (uint64_t)i);
    for (int64_t i = 0; i < N * FV_STRIP; i++) grad[i] = fv_rng_normal(&key, (uint64_t)(ROOM + i));
    for (const fv_kernels *k = tables; k < tables + n_tables; k++)
        for (int64_t taps = 1; taps <= TAPS; taps++)
            for (int64_t step = 1; step <= STEP; step++)
                for (int64_t n = 0; n <= N; n = 2 * n + 1) {
                    for (int64_t i = 0; i < taps * FV_STRIP; i++) sum[i] = 0.5f;
                    for (int i = 0; i < PAD; i++) sum[taps * FV_STRIP + i] = MARK;
                    k->tap_sums(n, taps, step, from, grad, sum);
                    check_mark("tap_sums", sum, taps * FV_STRIP);
                    for (int64_t i = 0; i < taps * FV_STRIP; i++) {
                        double want = 0.5;
                        for (int64_t j = 0; j < n; j++)
                            want += (double)from[j * step * FV_STRIP + i] *
                                    (double)grad[j * FV_STRIP + i % FV_STRIP];
                        check(k->isa, "tap_sums", n, i, (double)sum[i], want, 1e-5, 1e-6);
                    }
                }
}

Test(core_kernels, adamw_follows_the_paper_and_agrees_in_bits) {
    const fv_adamw_args args = {.lr = 3e-3,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .weight_decay = 0.05,
                                .bias1 = 1.0 - 0.9 * 0.9,
                                .bias2 = 1.0 - 0.999 * 0.999,
                                .grad_scale = 0.7f};
    static float m[3][MAX_N + PAD], v[3][MAX_N + PAD], w[3][MAX_N + PAD];
    FOR_ALL(k, n) {
        const int t = (int)(k - tables);
        random_row(x, n, 15, 1.0f);
        random_row(m[t], n, 16, 0.1f);
        random_row(v[t], n, 17, 0.1f);
        random_row(w[t], n, 18, 1.0f);
        for (int64_t i = 0; i < n; i++) v[t][i] *= v[t][i];
        memcpy(y, m[t], sizeof y);
        memcpy(z, v[t], sizeof z);
        memcpy(q, w[t], sizeof q);
        for (int64_t i = n; i < n + PAD; i++) m[t][i] = v[t][i] = w[t][i] = MARK;
        k->adamw(n, &args, x, m[t], v[t], w[t]);
        check_mark("adamw m", m[t], n);
        check_mark("adamw v", v[t], n);
        check_mark("adamw w", w[t], n);
        for (int64_t i = 0; i < n; i++) {
            const double gi = (double)args.grad_scale * (double)x[i];
            const double mi = 0.9 * (double)y[i] + 0.1 * gi;
            const double vi = 0.999 * (double)z[i] + 0.001 * gi * gi;
            const double wi = (1.0 - args.lr * args.weight_decay) * (double)q[i] -
                              args.lr / args.bias1 * mi / (sqrt(vi / args.bias2) + args.eps);
            check(k->isa, "adamw m", n, i, (double)m[t][i], mi, 2e-8, 2e-7);
            check(k->isa, "adamw v", n, i, (double)v[t][i], vi, 0.0, 4e-7);
            check(k->isa, "adamw w", n, i, (double)w[t][i], wi, 2e-7, 2e-7);
        }
        tables[0].adamw(n, &args, x, y, z, q);
        cr_assert_eq(memcmp(m[t], y, (size_t)n * sizeof *y), 0, "%s n=%d", k->isa, (int)n);
        cr_assert_eq(memcmp(v[t], z, (size_t)n * sizeof *z), 0, "%s n=%d", k->isa, (int)n);
        cr_assert_eq(memcmp(w[t], q, (size_t)n * sizeof *q), 0, "%s n=%d", k->isa, (int)n);
    }
}

/* ---- the choice ---- */

Test(core_kernels, the_table_is_complete) {
    const fv_kernels *k = fv_kernel();
    cr_assert_eq(k, fv_kernel());
    void (*entries[64])(void);
    const size_t n = (sizeof *k - offsetof(fv_kernels, axpy)) / sizeof *entries;
    cr_assert_leq(n, sizeof entries / sizeof *entries);
    memcpy(entries, &k->axpy, n * sizeof *entries);
    for (size_t i = 0; i < n; i++) cr_assert(entries[i], "entry %d is missing", (int)i);
    cr_assert(fv_cpu_model()[0]);
    const unsigned cpu = fv_cpu_flags();
    if (cpu & FV_CPU_AVX2) cr_assert_str_eq(k->isa, cpu & FV_CPU_AVX512 ? "avx512" : "avx2");
}

static void set_c(void) { setenv("FOVEA_CPU", "c", 1); }
static void set_avx2(void) { setenv("FOVEA_CPU", "avx2", 1); }
static void set_nonsense(void) { setenv("FOVEA_CPU", "sparc", 1); }

Test(core_kernels_c, fovea_cpu_lowers_to_c, .init = set_c) {
    cr_assert_eq(fv_cpu_flags(), 0u);
    cr_assert_str_eq(fv_cpu_limit(), "c");
    cr_assert_str_eq(fv_cpu_isa(), "c");
    cr_assert_str_eq(fv_kernel()->isa, "c");
}

Test(core_kernels_c, fovea_cpu_lowers_to_avx2, .init = set_avx2) {
    cr_assert_eq(fv_cpu_flags() & (FV_CPU_AVX512 | FV_CPU_AVX512_BF16 | FV_CPU_AMX_BF16), 0u);
    cr_assert_str_eq(fv_cpu_limit(), "avx2");
    cr_assert_str_eq(fv_kernel()->isa, fv_cpu_flags() & FV_CPU_AVX2 ? "avx2" : "c");
}

Test(core_kernels_c, an_unknown_fovea_cpu_lowers_nothing, .init = set_nonsense) {
    cr_assert_str_eq(fv_cpu_limit(), "");
}
