#include "eval/correlation.h"

#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <math.h>

static double spearman(const double *x, const double *y, int64_t n) {
    double r = 9;
    cr_assert_eq(fv_spearman(x, y, n, &r), FV_OK, "%s", fv_error_message());
    return r;
}

Test(eval_correlation, pearson_by_hand) {
    const double x[4] = {1, 2, 3, 4}, y[4] = {1, 3, 2, 5}, minus[4] = {-2, -4, -6, -8};

    /* sxy = 5.5, sxx = 5, syy = 8.75 */
    cr_expect_float_eq(fv_pearson(x, y, 4), 5.5 / sqrt(5 * 8.75), 1e-15);
    cr_expect_float_eq(fv_pearson(x, x, 4), 1, 1e-15);
    cr_expect_float_eq(fv_pearson(x, minus, 4), -1, 1e-15);
}

Test(eval_correlation, pearson_keeps_its_digits_far_from_zero) {
    double x[50], y[50], far[50];

    for (int i = 0; i < 50; i++) {
        x[i] = i % 7;
        y[i] = i % 5;
        far[i] = x[i] + 1e6;
    }
    cr_expect_float_eq(fv_pearson(x, y, 50), fv_pearson(far, y, 50), 1e-12);
}

Test(eval_correlation, is_not_defined_for_a_constant) {
    const double x[3] = {0.1, 0.1, 0.1}, y[3] = {1, 2, 3}, nan[3] = {1, NAN, 2};
    double r = 0;

    cr_expect(isnan(fv_pearson(x, y, 3)));
    cr_expect(isnan(fv_pearson(y, x, 3)));
    cr_expect(isnan(fv_pearson(y, y, 1)));
    cr_expect(isnan(fv_pearson(nan, y, 3)));
    cr_expect(isnan(spearman(x, y, 3)));
    cr_expect_eq(fv_spearman(nan, y, 3, &r), FV_ERR_NONFINITE);
    cr_expect(isnan(r));
}

/* Without ties: 1 - 6 sum d^2 / (n (n^2 - 1)). */
Test(eval_correlation, spearman_by_hand) {
    const double x[5] = {10, 20, 30, 40, 50}, y[5] = {2, 1, 4, 3, 5};
    const double curved[5] = {1, 8, 27, 64, 125};

    cr_expect_float_eq(spearman(x, y, 5), 1 - 6 * 4.0 / (5 * 24), 1e-15);
    cr_expect_float_eq(spearman(x, curved, 5), 1, 1e-15); /* monotone is enough */
}

/* Ranks 1.5 1.5 3 4 and 1 2 3.5 3.5. */
Test(eval_correlation, spearman_with_ties) {
    const double x[4] = {1, 1, 2, 3}, y[4] = {0, 5, 7, 7};
    const double rx[4] = {1.5, 1.5, 3, 4}, ry[4] = {1, 2, 3.5, 3.5};

    cr_expect_float_eq(spearman(x, y, 4), fv_pearson(rx, ry, 4), 1e-15);
    cr_expect_float_eq(spearman(x, y, 4), 4.0 / 4.5, 1e-15);
}

static fv_status correlate(void *arg) {
    double r;
    (void)arg;
    return fv_spearman((double[]){1, 2, 3}, (double[]){3, 1, 2}, 3, &r);
}

Test(eval_correlation, survives_failing_allocations) {
    cr_expect_eq(alloc_sweep(correlate, NULL, NULL), FV_OK, "%s", fv_error_message());
}
