#include "eval/ranking.h"

#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <math.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

Test(eval_ranking, orders_are_stable) {
    const float x[7] = {2, -1, 5, 2, -0.0f, 0, 5};
    const int64_t down[7] = {2, 6, 0, 3, 4, 5, 1}, up[7] = {1, 4, 5, 0, 3, 2, 6};
    int64_t order[7];

    CHECK(fv_order_descending(x, 7, order));
    cr_expect_arr_eq(order, down, sizeof down);
    CHECK(fv_order_ascending(x, 7, order));
    cr_expect_arr_eq(order, up, sizeof up);
}

Test(eval_ranking, equal_values_keep_their_place_in_both_directions) {
    float x[100] = {0};
    int64_t order[100];

    CHECK(fv_order_descending(x, 100, order));
    for (int i = 0; i < 100; i++) cr_assert_eq(order[i], i);
    CHECK(fv_order_ascending(x, 100, order));
    for (int i = 0; i < 100; i++) cr_assert_eq(order[i], i);
}

Test(eval_ranking, ties_share_their_mean_rank) {
    const double x[6] = {3, 1, 3, 2, 3, 1}, expected[6] = {5, 1.5, 5, 3, 5, 1.5};
    double ranks[6];

    CHECK(fv_midranks(x, 6, ranks));
    cr_expect_arr_eq(ranks, expected, sizeof expected);
}

Test(eval_ranking, infinities_are_ranked_and_nan_is_refused) {
    const double x[3] = {INFINITY, 0, -INFINITY}, expected[3] = {3, 2, 1};
    const float bad[2] = {0, NAN};
    double ranks[3];
    int64_t order[2];

    CHECK(fv_midranks(x, 3, ranks));
    cr_expect_arr_eq(ranks, expected, sizeof expected);
    cr_expect_eq(fv_order_descending(bad, 2, order), FV_ERR_NONFINITE);
    cr_expect_eq(fv_order_ascending(bad, 2, order), FV_ERR_NONFINITE);
    cr_expect_eq(fv_midranks((double[]){NAN}, 1, ranks), FV_ERR_NONFINITE);
}

Test(eval_ranking, percentiles_are_linear_between_values) {
    const double x[5] = {0, 10, 20, 30, 70};

    cr_expect_eq(fv_percentile(x, 5, 0), 0);
    cr_expect_eq(fv_percentile(x, 5, 25), 10);
    cr_expect_float_eq(fv_percentile(x, 5, 40), 16, 1e-12);
    cr_expect_float_eq(fv_percentile(x, 5, 90), 54, 1e-12);
    cr_expect_eq(fv_percentile(x, 5, 100), 70);
    cr_expect_eq(fv_percentile(x, 1, 37), 0);
}

static fv_status rank_everything(void *arg) {
    int64_t order[4];
    double ranks[4];

    (void)arg;
    FV_TRY(fv_order_descending((float[]){1, 2, 3, 4}, 4, order));
    return fv_midranks((double[]){1, 2, 3, 4}, 4, ranks);
}

Test(eval_ranking, survives_failing_allocations) {
    cr_expect_eq(alloc_sweep(rank_everything, NULL, NULL), FV_OK, "%s", fv_error_message());
}
