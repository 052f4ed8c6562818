/* What each reference is, in normalised pixels. */
#include "eval/saliency/reference_image.h"

#include <criterion/criterion.h>
#include <math.h>

static const fv_model_input input = {.mean = {0.5f, 0.4f, 0.3f}, .std = {0.2f, 0.25f, 0.5f}};

Test(eval_reference_image, mean_is_zero_and_black_is_pixel_zero) {
    const float image[6] = {1, 2, 3, 4, 5, 6};
    float out[6];

    fv_reference_image(FV_REFERENCE_MEAN, &input, image, 1, 2, out);
    for (int i = 0; i < 6; i++) cr_expect_eq(out[i], 0.0f);
    fv_reference_image(FV_REFERENCE_BLACK, &input, image, 1, 2, out);
    for (int i = 0; i < 6; i++)
        cr_expect_float_eq(out[i] * input.std[i % 3] + input.mean[i % 3], 0.0f, 1e-7f);
}

Test(eval_reference_image, blur_keeps_what_is_constant) {
    float image[3 * 6 * 5], out[3 * 6 * 5];

    for (int i = 0; i < 3 * 6 * 5; i++) image[i] = 1.0f + (float)(i % 3);
    fv_reference_image(FV_REFERENCE_BLUR, &input, image, 6, 5, out);
    for (int i = 0; i < 3 * 6 * 5; i++) cr_expect_float_eq(out[i], image[i], 1e-6f);
}

/* A point becomes the kernel: symmetric, of sum 1, exp(-d^2 / 50) from its peak. */
Test(eval_reference_image, blur_of_a_point_is_the_kernel) {
    enum { SIDE = 15, MID = 7 };
    float image[3 * SIDE * SIDE] = {0}, out[3 * SIDE * SIDE];
    double sum = 0.0;

    image[3 * (MID * SIDE + MID) + 1] = 1.0f;
    fv_reference_image(FV_REFERENCE_BLUR, &input, image, SIDE, SIDE, out);
    const float peak = out[3 * (MID * SIDE + MID) + 1];
    for (int i = 0; i < SIDE * SIDE; i++) {
        cr_expect_eq(out[3 * i], 0.0f);
        sum += (double)out[3 * i + 1];
    }
    cr_expect_float_eq(sum, 1.0, 1e-6);
    cr_expect_float_eq(out[3 * (MID * SIDE + MID + 3) + 1] / peak, expf(-9.0f / 50.0f), 1e-6f);
    cr_expect_float_eq(out[3 * ((MID - 2) * SIDE + MID) + 1] / peak, expf(-4.0f / 50.0f), 1e-6f);
    cr_expect_eq(out[3 * (MID * SIDE + MID + 6) + 1], 0.0f);
}
