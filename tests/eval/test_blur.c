#include "eval/saliency/blur.h"

#include "tests/support/alloc_sweep.h"
#include "tests/support/linear_scorer.h"

#include <criterion/criterion.h>
#include <math.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

Test(eval_blur, kernels_sum_to_one_and_are_symmetric) {
    double k[11];

    for (int folded = 0; folded < 2; folded++) {
        double sum = 0;
        if (folded)
            fv_folded_gaussian_kernel(11, 5, k);
        else
            fv_gaussian_kernel(11, 5, k);
        for (int i = 0; i < 11; i++) sum += k[i];
        cr_expect_float_eq(sum, 1, 1e-15);
        for (int i = 0; i < 5; i++) cr_expect_float_eq(k[i], k[10 - i], 1e-16);
        cr_expect_gt(k[5], k[0]);
    }
    /* exp(-1/2) one sigma away */
    fv_gaussian_kernel(11, 5, k);
    cr_expect_float_eq(k[0] / k[5], exp(-0.5), 1e-14);
}

/* The 3 x 3 window of ones, by hand. */
Test(eval_blur, box_by_hand) {
    const float x[6] = {9, 0, 0, 0, 18, 0}; /* 2 x 3 */
    const double box[3] = {1.0 / 3, 1.0 / 3, 1.0 / 3};
    const float zero[6] = {3, 3, 2, 3, 3, 2}, replicate[6] = {6, 4, 2, 6, 5, 4};
    float y[6];

    CHECK(fv_blur(x, 2, 3, 1, box, 3, FV_BLUR_ZERO, y));
    for (int i = 0; i < 6; i++) cr_expect_float_eq(y[i], zero[i], 1e-6, "%d: %g", i, (double)y[i]);
    CHECK(fv_blur(x, 2, 3, 1, box, 3, FV_BLUR_REPLICATE, y));
    for (int i = 0; i < 6; i++)
        cr_expect_float_eq(y[i], replicate[i], 1e-6, "%d: %g", i, (double)y[i]);
}

Test(eval_blur, constants_stay_and_channels_do_not_mix) {
    float x[8 * 6 * 3], y[8 * 6 * 3];
    double k[11];

    for (int i = 0; i < 8 * 6 * 3; i++) x[i] = (float)(i % 3);
    fv_gaussian_kernel(11, 5, k);
    CHECK(fv_blur(x, 8, 6, 3, k, 11, FV_BLUR_REPLICATE, y));
    for (int i = 0; i < 8 * 6 * 3; i++) cr_assert_float_eq(y[i], x[i], 1e-6);
}

Test(eval_blur, a_kernel_of_one_is_the_identity) {
    float x[5 * 4 * 3], y[5 * 4 * 3];
    double k[1];

    random_floats(1, 60, x);
    fv_gaussian_kernel(1, 2, k);
    CHECK(fv_blur(x, 5, 4, 3, k, 1, FV_BLUR_ZERO, y));
    cr_expect_arr_eq(x, y, sizeof x);
    cr_expect_eq(fv_blur(x, 5, 4, 3, (double[]){.5, .5}, 2, FV_BLUR_ZERO, y), FV_ERR_CONFIG);
}

static fv_status blur(void *arg) {
    float x[12] = {0}, y[12];
    (void)arg;
    return fv_blur(x, 2, 2, 3, (double[]){1}, 1, FV_BLUR_ZERO, y);
}

Test(eval_blur, survives_failing_allocations) {
    cr_expect_eq(alloc_sweep(blur, NULL, NULL), FV_OK, "%s", fv_error_message());
}
