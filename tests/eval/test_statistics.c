#include "eval/statistics.h"

#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

static const fv_resampling plain = {.seed = 3, .name = "test"};

Test(eval_statistics, mean_and_standard_error_by_hand) {
    const double x[6] = {1, NAN, 2, 3, INFINITY, 6};
    fv_summary s;

    CHECK(fv_summarise(x, 6, &plain, &s));
    cr_expect_eq(s.count, 4);
    cr_expect_eq(s.undefined, 2);
    cr_expect_float_eq(s.mean, 3, 1e-15);
    cr_expect_float_eq(s.sd, sqrt(14.0 / 3), 1e-15);
    cr_expect_float_eq(s.se, sqrt(14.0 / 3) / 2, 1e-15);
    cr_expect(s.interval.low >= 1 && s.interval.low < 3);
    cr_expect(s.interval.high <= 6 && s.interval.high > 3);
}

Test(eval_statistics, few_values_have_no_interval) {
    fv_summary s;

    CHECK(fv_summarise((double[]){7}, 1, &plain, &s));
    cr_expect_eq(s.mean, 7);
    cr_expect(isnan(s.se) && isnan(s.interval.low) && isnan(s.interval.high));
    CHECK(fv_summarise((double[]){NAN}, 1, &plain, &s));
    cr_expect(isnan(s.mean));
    cr_expect_eq(s.undefined, 1);
    CHECK(fv_summarise(NULL, 0, &plain, &s));
    cr_expect(isnan(s.mean));
}

Test(eval_statistics, equal_values_have_an_interval_of_a_point) {
    double x[30];
    fv_summary s;

    for (int i = 0; i < 30; i++) x[i] = 0.5;
    CHECK(fv_summarise(x, 30, &plain, &s));
    cr_expect_eq(s.interval.low, 0.5);
    cr_expect_eq(s.interval.high, 0.5);
}

static void normals(uint32_t stream, int64_t n, double shift, double *x) {
    const fv_rng_key key = {.seed = 11, .purpose = FV_RNG_TEST, .layer = stream};
    for (int64_t i = 0; i < n; i++) x[i] = shift + (double)fv_rng_normal(&key, (uint64_t)i);
}

/* A 90 % interval of 40 normal values holds the true mean in about 90 % of 300 data sets: 270, give or
 * take 5.2; percentile intervals of so few values fall a little short (about 88.5 %). */
Test(eval_statistics, interval_covers_the_mean) {
    double x[40];
    fv_summary s;
    int covered = 0;

    for (uint32_t k = 0; k < 300; k++) {
        const fv_resampling r = {.seed = k, .name = "coverage", .replicates = 400, .level = 0.9};
        normals(k, 40, 2.0, x);
        CHECK(fv_summarise(x, 40, &r, &s));
        covered += s.interval.low <= 2.0 && 2.0 <= s.interval.high;
    }
    cr_expect(covered >= 250 && covered <= 286, "%d of 300", covered);
}

/* Of the mean of normal values: 1.96 standard errors (n/(n-1) apart) on either side. */
Test(eval_statistics, interval_has_the_width_of_the_normal_one) {
    static double x[400];
    fv_summary s;

    normals(7, 400, 0.0, x);
    CHECK(fv_summarise(x, 400, &plain, &s));
    cr_expect_float_eq((s.interval.high - s.interval.low) / s.se, 2 * 1.96, 0.25);
}

static double largest(void *user, const int64_t *index, int64_t n) {
    const double *x = user;
    double most = -INFINITY;
    for (int64_t i = 0; i < n; i++) most = fmax(most, x[index[i]]);
    return most;
}

static double not_a_number(void *user, const int64_t *index, int64_t n) {
    (void)user, (void)index, (void)n;
    return NAN;
}

Test(eval_statistics, any_statistic_can_be_resampled) {
    double x[5] = {5, 1, 4, 2, 3};
    fv_interval i;

    CHECK(fv_bootstrap(5, largest, x, &plain, &i));
    cr_expect_eq(i.high, 5); /* in 1 - (4/5)^5 = 67 % of the draws */
    cr_expect(i.low == 3 || i.low == 2, "%g", i.low);
    cr_expect_eq(fv_bootstrap(5, not_a_number, NULL, &plain, &i), FV_ERR_NONFINITE);
    cr_expect(isnan(i.low) && isnan(i.high));
}

Test(eval_statistics, bad_settings_are_refused) {
    const double x[3] = {1, 2, 3};
    const fv_resampling bad[] = {{.level = 1}, {.level = -0.5}, {.level = NAN}, {.replicates = -1}};
    fv_summary s;
    fv_interval i;

    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        cr_expect_eq(fv_summarise(x, 3, &bad[k], &s), FV_ERR_CONFIG, "%zu", k);
        cr_expect_eq(fv_summarise(x, 1, &bad[k], &s), FV_ERR_CONFIG, "%zu", k);
    }
    cr_expect_eq(fv_bootstrap(1, largest, (void *)(uintptr_t)x, &plain, &i), FV_ERR_CONFIG);
}

/* The pattern of the differences is their own in 2 of 2^n cases, all of one sign. */
Test(eval_statistics, exact_p_value_by_hand) {
    const double a[4] = {2, 3, 5, 9}, b[4] = {1, 1, 1, 1}, mixed[4] = {3, 1, 5, 9};
    fv_comparison c;

    CHECK(fv_compare_paired(a, b, 4, &plain, &c));
    cr_expect(c.exact);
    cr_expect_eq(c.difference.count, 4);
    cr_expect_float_eq(c.difference.mean, 3.75, 1e-15);
    cr_expect_float_eq(c.p_value, 2.0 / 16, 1e-15);
    /* Differences -1, 2, 0, 0: |sum| >= 1 always. */
    CHECK(fv_compare_paired(a, mixed, 4, &plain, &c));
    cr_expect_float_eq(c.p_value, 1, 1e-15);
    CHECK(fv_compare_paired(a, a, 4, &plain, &c));
    cr_expect_float_eq(c.p_value, 1, 1e-15);
    CHECK(fv_compare_paired(b, a, 4, &plain, &c));
    cr_expect_float_eq(c.p_value, 2.0 / 16, 1e-15);
    cr_expect_float_eq(c.difference.mean, -3.75, 1e-15);
}

Test(eval_statistics, undefined_pairs_are_left_out_and_counted) {
    const double a[4] = {2, NAN, 5, 9}, b[4] = {1, 1, NAN, 1};
    fv_comparison c;

    CHECK(fv_compare_paired(a, b, 4, &plain, &c));
    cr_expect_eq(c.difference.count, 2);
    cr_expect_eq(c.difference.undefined, 2);
    cr_expect_float_eq(c.p_value, 2.0 / 4, 1e-15);
    CHECK(fv_compare_paired((double[]){NAN}, b, 1, &plain, &c));
    cr_expect(isnan(c.p_value));
}

/* The random test agrees with the exact one: 16 pairs exactly, and with a 17th of difference 0, which
 * changes nothing, by random flips. */
Test(eval_statistics, random_sign_flips_agree_with_all_of_them) {
    double a[17], b[17] = {0};
    fv_comparison exact, sampled;

    normals(3, 16, 0.45, a);
    a[16] = 0.0;
    CHECK(fv_compare_paired(a, b, 16, &plain, &exact));
    CHECK(fv_compare_paired(a, b, 17, &plain, &sampled));
    cr_expect(exact.exact && !sampled.exact);
    const double p = exact.p_value, sigma = sqrt(p * (1 - p) / FV_SIGN_FLIPS);
    cr_expect(p > 0.001 && p < 0.5, "%g", p);
    cr_expect_lt(fabs(sampled.p_value - p), 4 * sigma + 1.0 / FV_SIGN_FLIPS, "%g, not %g",
                 sampled.p_value, p);
}

Test(eval_statistics, p_value_falls_with_the_effect_and_is_never_zero) {
    static double a[200], b[200], c[200];
    fv_comparison none, some;

    normals(1, 200, 0.0, a);
    normals(2, 200, 0.0, b);
    normals(2, 200, 2.0, c);
    CHECK(fv_compare_paired(a, b, 200, &plain, &none));
    CHECK(fv_compare_paired(a, c, 200, &plain, &some));
    cr_expect_gt(none.p_value, 0.05);
    cr_expect_float_eq(some.p_value, 1.0 / (1 + FV_SIGN_FLIPS), 1e-15);
    cr_expect(none.difference.interval.low < 0 && none.difference.interval.high > 0);
    cr_expect(some.difference.interval.high < 0);
}

Test(eval_statistics, depends_on_key_and_data_alone) {
    static double a[300], b[300];
    const fv_resampling other = {.seed = 3, .name = "other"};
    fv_comparison one, many, renamed;

    normals(1, 300, 0.1, a);
    normals(2, 300, 0.0, b);
    fv_threads_set(1);
    CHECK(fv_compare_paired(a, b, 300, &plain, &one));
    fv_threads_set(3);
    CHECK(fv_compare_paired(a, b, 300, &plain, &many));
    CHECK(fv_compare_paired(a, b, 300, &other, &renamed));
    fv_threads_set(1);
    cr_expect_eq(memcmp(&one.difference, &many.difference, sizeof one.difference), 0);
    cr_expect_eq(one.p_value, many.p_value);
    cr_expect_neq(one.difference.interval.low, renamed.difference.interval.low);
}

Test(eval_statistics, holm_by_hand) {
    const double p[5] = {0.01, 0.04, NAN, 0.03, 0.005};
    const double expected[5] = {0.03, 0.06, NAN, 0.06, 0.02};
    double adjusted[5], big[2] = {0.7, 0.8};

    CHECK(fv_holm(p, 5, adjusted));
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(isnan(adjusted[i]), isnan(expected[i]));
        if (i != 2) cr_expect_float_eq(adjusted[i], expected[i], 1e-15, "%d: %g", i, adjusted[i]);
    }
    CHECK(fv_holm(big, 2, big)); /* in place; never above 1 */
    cr_expect_eq(big[0], 1);
    cr_expect_eq(big[1], 1);
    CHECK(fv_holm((double[]){0.02, 0.02}, 2, big)); /* equal ones stay equal */
    cr_expect_eq(big[0], 0.04);
    cr_expect_eq(big[1], 0.04);
}

static fv_status everything(void *arg) {
    static double a[20], b[20];
    fv_comparison c;
    fv_summary s;

    (void)arg;
    normals(1, 20, 0.0, a);
    FV_TRY(fv_summarise(a, 20, &plain, &s));
    FV_TRY(fv_compare_paired(a, b, 20, &plain, &c));
    return fv_holm(&c.p_value, 1, a);
}

Test(eval_statistics, survives_failing_allocations) {
    alloc_sweep_result result;

    fv_threads_set(1);
    fv_scratch_release();
    cr_expect_eq(alloc_sweep(everything, NULL, &result), FV_OK, "%s", fv_error_message());
    cr_expect_geq(result.failures, 6);
}
