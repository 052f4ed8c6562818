#include "eval/saliency/metric_sparsity.h"

#include <criterion/criterion.h>
#include <math.h>

static double gini(const float *map, int64_t n) {
    double out;
    cr_assert_eq(fv_gini(map, n, &out), FV_OK, "%s", fv_error_message());
    return out;
}

/* 1 2 3 4 ascending: (-3 + -2 + 3 + 12) / (4 * 10). */
Test(eval_metric_sparsity, gini_by_hand) {
    const float map[4] = {3, -4, 1, -2}, flat[4] = {1, -1, 1, 1}, one[4] = {0, 0, -7, 0};

    cr_expect_float_eq(gini(map, 4), 0.25, 1e-15);
    cr_expect_float_eq(gini(flat, 4), 0, 1e-15);
    cr_expect_float_eq(gini(one, 4), 0.75, 1e-15);
    cr_expect(isnan(gini((float[]){0, 0}, 2)));
}

Test(eval_metric_sparsity, entropy_by_hand) {
    const float map[3] = {-1, 2, 1}, flat[4] = {1, -1, 1, 1}, one[4] = {0, 0, -7, 0};

    cr_expect_float_eq(fv_map_entropy(map, 3), 1.5 * log(2), 1e-15);
    cr_expect_float_eq(fv_map_entropy(flat, 4), log(4), 1e-15);
    cr_expect_float_eq(fv_map_entropy(one, 4), 0, 1e-15);
    cr_expect(isnan(fv_map_entropy((float[]){0, 0}, 2)));
}

Test(eval_metric_sparsity, neither_depends_on_scale_or_sign) {
    float map[50], other[50];

    for (int i = 0; i < 50; i++) map[i] = (float)(i * i % 17);
    for (int i = 0; i < 50; i++) other[i] = -0.25f * map[49 - i];
    cr_expect_float_eq(gini(map, 50), gini(other, 50), 1e-14);
    cr_expect_float_eq(fv_map_entropy(map, 50), fv_map_entropy(other, 50), 1e-14);
}
