/* The kernels of convolutional networks, of every instruction set of this machine. */
#include "tests/support/kernel_check.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static float x[MAX_N + PAD], z[MAX_N + PAD], y[MAX_N + PAD], g[MAX_N + PAD];
static float p[MAX_N + PAD], q[MAX_N + PAD];

TestSuite(core_kernels_map, .init = kernel_check_start);

Test(core_kernels_map, relu_passes_what_is_positive_or_not_a_number) {
    const float special[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, -1e-45f};
    const float live[] = {1, 1, 0, 0, 0, 1, 0};

    FOR_ALL(k, n) {
        random_row(x, n, 20, 1.0f);
        random_row(z, n, 21, 1.0f);
        for (int64_t i = 0; i < n && i < 7; i++) x[n - 1 - i] = special[i];
        mark(y, n);
        k->relu(n, x, y);
        check_mark("relu", y, n);
        mark(q, n);
        k->relu_backward(n, y, z, q);
        check_mark("relu_backward", q, n);
        for (int64_t i = 0; i < n; i++) {
            const bool passes = i >= n - 7 ? live[n - 1 - i] > 0.0f : x[i] > 0.0f;
            check(k->isa, "relu", n, i, (double)y[i], passes ? (double)x[i] : 0.0, 0.0, 0.0);
            check(k->isa, "relu_backward", n, i, (double)q[i], passes ? (double)z[i] : 0.0, 0.0,
                  0.0);
        }
        k->relu(n, x, x);
        cr_assert_eq(memcmp(x, y, (size_t)n * sizeof *y), 0);
        k->relu_backward(n, y, z, z);
        cr_assert_eq(memcmp(z, q, (size_t)n * sizeof *q), 0);
    }
}

/* Three rows of n channels. */
static float rows[2][3 * MAX_N + PAD], out[3 * MAX_N + PAD];

static void check_column(const fv_kernels *k, const char *what, int64_t n, const float *got,
                         double (*term)(double v, double w, double m)) {
    for (int64_t i = 0; i < n; i++) {
        double want = (double)g[i];
        for (int r = 0; r < 3; r++)
            want += term((double)rows[0][r * n + i], (double)rows[1][r * n + i], (double)z[i]);
        check(k->isa, what, n, i, (double)got[i], want, 4e-6, 4e-7);
    }
    check_mark(what, got, n);
}

static double plain(double v, double w, double m) { return (void)w, (void)m, v; }
static double square(double v, double w, double m) { return (void)w, (v - m) * (v - m); }
static double product(double v, double w, double m) { return w * (v - m); }
static double other(double v, double w, double m) { return (void)v, (void)m, w; }

/* What sums start from. */
static void start(float *sum, int64_t n) {
    mark(sum, n);
    for (int64_t i = 0; i < n; i++) sum[i] = g[i];
}

/* Of the first n - n / 3 columns, from f32 and from the same in bf16: the bits of sums one after the other. */
static void check_strided_sums(const fv_kernels *k, int64_t n) {
    static fv_bf16 narrow[3 * MAX_N];
    static float wide[3 * MAX_N];
    const int64_t m = n - n / 3;

    k->to_bf16(3 * n, rows[0], narrow);
    k->from_bf16(3 * n, narrow, wide);
    for (int i = 0; i < 2; i++) {
        start(y, m);
        k->column_sums(3, m, n, i ? (void *)narrow : (void *)wide, i ? FV_BF16 : FV_F32, y);
        for (int64_t c = 0; c < m; c++) {
            const float want = ((g[c] + wide[c]) + wide[n + c]) + wide[2 * n + c];
            cr_assert_eq(y[c], want, "%s n=%d", k->isa, (int)n);
        }
        check_mark("column_sums", y, m);
    }
}

Test(core_kernels_map, sums_of_columns) {
    FOR_ALL(k, n) {
        random_row(rows[0], 3 * n, 22, 1.0f);
        random_row(rows[1], 3 * n, 23, 1.0f);
        random_row(z, n, 24, 1.0f);
        random_row(g, n, 25, 1.0f);
        start(y, n);
        k->column_sums(3, n, n, rows[0], FV_F32, y);
        check_column(k, "column_sums", n, y, plain);
        check_strided_sums(k, n);
        start(y, n);
        k->square_sums(3, n, rows[0], FV_F32, z, y);
        check_column(k, "square_sums", n, y, square);
        start(y, n);
        start(q, n);
        k->product_sums(&(fv_norm_rows){3, n, rows[0], FV_F32, z, z, z, false}, rows[1], FV_F32, y,
                        q);
        check_column(k, "product_sums", n, y, product);
        check_column(k, "product_sums", n, q, other);
    }
}

Test(core_kernels_map, normalization_of_rows) {
    FOR_ALL(k, n) {
        float *coefficient[] = {z, g, p, q}; /* mean, a, c, b = d */
        random_row(rows[0], 3 * n, 26, 1.0f);
        random_row(rows[1], 3 * n, 27, 1.0f);
        for (uint32_t i = 0; i < 4; i++) random_row(coefficient[i], n, 28 + i, 1.0f);
        const fv_norm_rows norm = {3, n, rows[0], FV_F32, z, g, q, false};
        mark(out, 3 * n);
        k->normalize(&norm, out, FV_F32);
        check_mark("normalize", out, 3 * n);
        for (int64_t i = 0; i < 3 * n; i++) {
            const double d = (double)rows[0][i] - (double)z[i % n];
            check(k->isa, "normalize", n, i, (double)out[i],
                  d * (double)g[i % n] + (double)q[i % n], 4e-6, 0.0);
        }
        mark(out, 3 * n);
        k->normalize_backward(&norm, rows[1], FV_F32, p, q, out, FV_F32);
        check_mark("normalize_backward", out, 3 * n);
        for (int64_t i = 0; i < 3 * n; i++) {
            const double d = (double)rows[0][i] - (double)z[i % n];
            check(k->isa, "normalize_backward", n, i, (double)out[i],
                  (double)g[i % n] * (double)rows[1][i] + (double)p[i % n] * d + (double)q[i % n],
                  8e-6, 0.0);
        }
    }
}

/* The same bits as ReLU behind it. */
Test(core_kernels_map, relu_behind_normalization) {
    static float plain_z[3 * MAX_N], want[3 * MAX_N], sums[2][2 * MAX_N];

    FOR_ALL(k, n) {
        float *coefficient[] = {z, g, p, q}; /* mean, a, c, b = d */
        random_row(rows[0], 3 * n, 37, 1.0f);
        random_row(rows[1], 3 * n, 38, 1.0f);
        for (uint32_t i = 0; i < 4; i++) random_row(coefficient[i], n, 39 + i, 1.0f);
        for (int r = 0; r < 3 && n > 1; r++) rows[0][r * n] = z[0]; /* zeros of either sign */
        for (int r = 0; r < 3 && n > 1; r++) rows[0][r * n + 1] = z[1];
        if (n > 1) q[0] = 0.0f;
        if (n > 1) q[1] = -0.0f;
        if (n > 2) rows[0][n + n / 2] = NAN;
        fv_norm_rows norm = {3, n, rows[0], FV_F32, z, g, q, false};
        k->normalize(&norm, plain_z, FV_F32);
        norm.relu = true;
        mark(out, 3 * n);
        k->normalize(&norm, out, FV_F32);
        check_mark("normalize", out, 3 * n);
        k->relu(3 * n, plain_z, want);
        cr_assert_eq(memcmp(out, want, (size_t)(3 * n) * sizeof *out), 0, "%s n=%d", k->isa,
                     (int)n);

        static float dz[3 * MAX_N], dx[2][3 * MAX_N];
        k->relu_backward(3 * n, plain_z, rows[1], dz);
        memset(sums, 0, sizeof sums);
        for (int i = 0; i < 2; i++) {
            norm.relu = i;
            const float *dy = i ? rows[1] : dz;
            k->product_sums(&norm, dy, FV_F32, sums[i], sums[i] + n);
            k->normalize_backward(&norm, dy, FV_F32, p, q, dx[i], FV_F32);
        }
        cr_assert_eq(memcmp(sums[0], sums[1], (size_t)(2 * n) * sizeof(float)), 0, "%s n=%d",
                     k->isa, (int)n);
        cr_assert_eq(memcmp(dx[0], dx[1], (size_t)(3 * n) * sizeof(float)), 0, "%s n=%d", k->isa,
                     (int)n);
    }
}

/* Values of three rows in both types. */
typedef struct both {
    float wide[4 * MAX_N];
    fv_bf16 narrow[3 * MAX_N];
} both;

static both first, second, third;

static void *as(both *b, fv_dtype type) {
    return type == FV_F32 ? (void *)b->wide : (void *)b->narrow;
}

static void random_both(const fv_kernels *k, both *b, int64_t n, uint32_t seed) {
    random_row(b->wide, n, seed, 1.0f);
    k->to_bf16(n, b->wide, b->narrow);
    k->from_bf16(n, b->narrow, b->wide);
}

/* third, computed as `type`, is `out` of f32, rounded where it is bf16. */
static void check_third(const fv_kernels *k, const char *what, int64_t n, fv_dtype type) {
    static fv_bf16 rounded[3 * MAX_N];
    const void *want = out;

    k->to_bf16(n, out, rounded);
    if (type == FV_BF16) want = rounded;
    cr_assert_eq(memcmp(as(&third, type), want, (size_t)n * fv_dtype_bytes(type)), 0, "%s %s of %d",
                 k->isa, what, (int)n);
}

static void check_types(const fv_kernels *k, int64_t n, fv_dtype x_type, fv_dtype dy_type,
                        fv_dtype type, bool relu) {
    const void *of_dy = as(&second, dy_type);
    const fv_norm_rows wide = {3, n, first.wide, FV_F32, z, g, p, relu};
    const fv_norm_rows norm = {3, n, as(&first, x_type), x_type, z, g, p, relu};

    start(y, n);
    start(q, n);
    k->square_sums(3, n, first.wide, FV_F32, z, y);
    k->square_sums(3, n, norm.x, x_type, z, q);
    cr_assert_eq(memcmp(y, q, (size_t)n * sizeof *y), 0, "%s squares of %d", k->isa, (int)n);
    for (int i = 0; i < 2; i++) {
        float *sum = third.wide + i * 2 * n, *product = sum + n;
        memcpy(sum, g, (size_t)n * sizeof *sum);
        memcpy(product, g, (size_t)n * sizeof *product);
        if (i)
            k->product_sums(&norm, of_dy, dy_type, product, sum);
        else
            k->product_sums(&wide, second.wide, FV_F32, product, sum);
    }
    cr_assert_eq(memcmp(third.wide, third.wide + 2 * n, (size_t)(2 * n) * sizeof(float)), 0,
                 "%s products of %d", k->isa, (int)n);
    k->normalize(&wide, out, FV_F32);
    k->normalize(&norm, as(&third, type), type);
    check_third(k, "normalize", 3 * n, type);
    k->normalize_backward(&wide, second.wide, FV_F32, p, z, out, FV_F32);
    k->normalize_backward(&norm, of_dy, dy_type, p, z, as(&third, type), type);
    check_third(k, "normalize_backward", 3 * n, type);
}

Test(core_kernels_map, types_of_batch_norm) {
    static const fv_dtype types[] = {FV_F32, FV_BF16};

    FOR_ALL(k, n) {
        random_both(k, &first, 3 * n, 32);
        random_both(k, &second, 3 * n, 33);
        random_row(z, n, 34, 1.0f);
        random_row(g, n, 35, 1.0f);
        random_row(p, n, 36, 1.0f);
        for (int i = 0; i < 16; i++)
            check_types(k, n, types[i % 2], types[i / 2 % 2], types[i / 4 % 2], i / 8);
    }
}
