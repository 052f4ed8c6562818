/* Rules against integrals that are known. */
#include "eval/saliency/quadrature.h"

#include <criterion/criterion.h>
#include <math.h>

#define MOST 200

static double at[MOST], weight[MOST];

/* Integral of t^k by the rule. */
static double power(int64_t n, int k) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += weight[i] * pow(at[i], k);
    return sum;
}

Test(eval_quadrature, gauss_legendre_is_exact_for_polynomials) {
    for (int64_t n = 1; n <= 12; n++) {
        fv_quadrature_gauss_legendre(n, at, weight);
        for (int k = 0; k <= 2 * n - 1; k++)
            cr_expect_float_eq(power(n, k), 1.0 / (k + 1.0), 1e-14, "%d points, t^%d", (int)n, k);
    }
}

Test(eval_quadrature, many_points_are_ascending_and_have_sum_one) {
    fv_quadrature_gauss_legendre(MOST, at, weight);
    for (int i = 1; i < MOST; i++) cr_assert_lt(at[i - 1], at[i]);
    cr_expect_gt(at[0], 0.0);
    cr_expect_lt(at[MOST - 1], 1.0);
    cr_expect_float_eq(power(MOST, 0), 1.0, 1e-13);
    cr_expect_float_eq(power(MOST, 7), 1.0 / 8.0, 1e-13);
}

Test(eval_quadrature, midpoint_is_exact_for_straight_lines) {
    fv_quadrature_midpoint(7, at, weight);
    cr_expect_float_eq(power(7, 0), 1.0, 1e-15);
    cr_expect_float_eq(power(7, 1), 0.5, 1e-15);
    /* of t^2 it misses f'' / (24 n^2) */
    cr_expect_float_eq(power(7, 2), 1.0 / 3.0 - 2.0 / (24.0 * 49.0), 1e-15);
}
