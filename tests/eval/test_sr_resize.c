/* Identities of the triangle filter. */
#include "eval/saliency/sr_stages.h"
#include "tests/support/sr_input.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define ROWS     13
#define COLS     18
#define CHANNELS 3

static float pixels[ROWS * COLS * CHANNELS];

static const fv_sr_image image = {ROWS, COLS, CHANNELS, pixels};

Test(eval_sr_resize, same_size_is_the_identity) {
    fv_sr_image out;

    sr_noise(pixels, ROWS * COLS * CHANNELS, 1);
    cr_assert_eq(fv_sr_resize(&image, ROWS, COLS, &out), FV_OK);
    cr_assert_eq(memcmp(out.data, pixels, sizeof pixels), 0);
    fv_sr_image_release(&out);
}

Test(eval_sr_resize, constant_stays_constant) {
    const int64_t sizes[][2] = {{1, 1}, {7, 5}, {26, 36}, {40, 3}};
    fv_sr_image out;

    for (int i = 0; i < ROWS * COLS * CHANNELS; i++) pixels[i] = 0.3f;
    for (int s = 0; s < 4; s++) {
        cr_assert_eq(fv_sr_resize(&image, sizes[s][0], sizes[s][1], &out), FV_OK);
        for (int64_t i = 0; i < out.H * out.W * CHANNELS; i++)
            cr_assert(fabsf(out.data[i] - 0.3f) <= 3e-8f, "%.9g", (double)out.data[i]);
        fv_sr_image_release(&out);
    }
}

/* Transposing before is transposing after. */
Test(eval_sr_resize, axes_are_alike) {
    static float turned[ROWS * COLS];
    fv_sr_image a, b;

    sr_noise(pixels, ROWS * COLS, 2);
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLS; x++) turned[x * ROWS + y] = pixels[y * COLS + x];
    const fv_sr_image plain = {ROWS, COLS, 1, pixels}, other = {COLS, ROWS, 1, turned};
    cr_assert_eq(fv_sr_resize(&plain, 9, 31, &a), FV_OK);
    cr_assert_eq(fv_sr_resize(&other, 31, 9, &b), FV_OK);
    for (int y = 0; y < 9; y++)
        for (int x = 0; x < 31; x++)
            cr_assert(fabsf(a.data[y * 31 + x] - b.data[x * 9 + y]) <= 1e-6f);
    fv_sr_image_release(&a);
    fv_sr_image_release(&b);
}

/* Halving: weights 1 3 3 1 over eight, renormalised at the border. */
Test(eval_sr_resize, halving_by_hand) {
    float line[6] = {1, 2, 4, 8, 16, 32};
    const fv_sr_image in = {1, 6, 1, line};
    fv_sr_image out;

    cr_assert_eq(fv_sr_resize(&in, 1, 3, &out), FV_OK);
    cr_assert_float_eq(out.data[0], (3 * 1 + 3 * 2 + 4) / 7.0f, 1e-6);
    cr_assert_float_eq(out.data[1], (2 + 3 * 4 + 3 * 8 + 16) / 8.0f, 1e-6);
    cr_assert_float_eq(out.data[2], (8 + 3 * 16 + 3 * 32) / 7.0f, 1e-5);
    fv_sr_image_release(&out);
}

Test(eval_sr_resize, impossible_sizes_are_errors) {
    fv_sr_image out;

    cr_assert_eq(fv_sr_resize(&image, 0, 4, &out), FV_ERR_SHAPE);
    cr_assert_null(out.data);
    cr_assert_eq(fv_sr_resize(&image, INT64_MAX / 2, 4, &out), FV_ERR_SHAPE);
}

Test(eval_sr_resize, filling_is_linear_between_samples) {
    float samples[3 * 4], out[5 * 8];

    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 4; x++) samples[y * 4 + x] = (float)(10 * (2 * y) + 2 * x);
    fv_sr_fill(samples, 2, 5, 8, out);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 8; x++) /* column 7 lies beyond the last sample */
            cr_assert_eq(out[y * 8 + x], (float)(10 * y + (x < 7 ? x : 6)));
    fv_sr_fill(samples, 1, 3, 4, out);
    cr_assert_eq(memcmp(out, samples, sizeof samples), 0);
}
