#include "data/pixels.h"
#include "data/transform_list.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define SIDE  24
#define BYTES (SIDE * SIDE * 3)
#define N     6000

TestSuite(data_transform_color_jitter);

static fv_rng_key key_of(uint32_t sample) {
    return (fv_rng_key){.seed = 3, .purpose = FV_RNG_AUGMENT, .sample = sample, .layer = 5};
}

/* Runs one transform on a fresh pattern.  The caller destroys the image. */
static fv_image *run(const fv_transform *transform, const fv_augment *augment, uint32_t sample) {
    fv_image *image = test_pattern(SIDE, SIDE);
    fv_transform_state state = {.augment = augment, .key = key_of(sample), .image = image};

    cr_assert_eq(transform->apply(&state), FV_OK);
    return image;
}

static bool is_pattern(const fv_image *image) {
    fv_image *plain = test_pattern(SIDE, SIDE);
    const bool same = memcmp(plain->pixels, image->pixels, BYTES) == 0;

    fv_image_destroy(plain);
    return same;
}

Test(data_transform_color_jitter, applies_the_enhancements_that_it_draws) {
    const fv_augment augment = {.color_jitter = 0.4, .color_jitter_prob = 1.0};

    for (uint32_t i = 0; i < 30; i++) {
        const fv_rng_key key = key_of(i);
        fv_image *expected = test_pattern(SIDE, SIDE);
        fv_image *image = run(&fv_transform_color_jitter, &augment, i);
        fv_color_jitter j;

        cr_assert(fv_color_jitter_draw(&augment, &key, &j));
        for (int k = 0; k < 3; k++) {
            if (j.order[k] == 0) fv_pixels_brightness(expected, j.factor[0]);
            if (j.order[k] == 1) fv_pixels_contrast(expected, j.factor[1]);
            if (j.order[k] == 2) fv_pixels_color(expected, j.factor[2]);
        }
        cr_assert_eq(memcmp(image->pixels, expected->pixels, BYTES), 0, "sample %u", i);
        cr_assert_not(is_pattern(image), "sample %u", i);
        fv_image_destroy(image);
        fv_image_destroy(expected);
    }
}

/* Uniform in [max(0, 1 - strength), 1 + strength], three draws of their own, all six orders. */
static void check_draws(double strength, double low) {
    const fv_augment augment = {.color_jitter = strength, .color_jitter_prob = 0.5};
    const double high = 1.0 + strength, middle = 0.5 * (low + high);
    double sum[3] = {0.0}, least = high, most = low;
    int orders[3][3] = {{0}}, n = 0;

    for (uint32_t i = 0; i < N; i++) {
        const fv_rng_key key = key_of(i);
        fv_color_jitter j;
        if (!fv_color_jitter_draw(&augment, &key, &j)) continue;
        n++;
        cr_assert_eq(1 << j.order[0] | 1 << j.order[1] | 1 << j.order[2], 7);
        orders[j.order[0]][j.order[1]]++;
        cr_assert_neq(j.factor[0], j.factor[1]);
        for (int k = 0; k < 3; k++) {
            sum[k] += j.factor[k];
            least = fmin(least, j.factor[k]);
            most = fmax(most, j.factor[k]);
        }
    }
    cr_assert_lt(abs(n - N / 2), 160, "%d: more than four deviations from half", n);
    for (int k = 0; k < 3; k++)
        cr_assert_lt(fabs(sum[k] / n - middle), 4.0 * (high - low) / sqrt(12.0 * n));
    cr_assert(least >= low && least < low + 0.01 * (high - low), "%g", least);
    cr_assert(most <= high && most > high - 0.01 * (high - low), "%g", most);
    for (int k = 0; k < 9; k++)
        if (k / 3 != k % 3) cr_assert_lt(abs(orders[k / 3][k % 3] - n / 6), 90);
}

Test(data_transform_color_jitter, draws_from_its_range) {
    check_draws(0.4, 0.6);
    check_draws(1.5, 0.0);
}

Test(data_transform_color_jitter, is_off_without_strength) {
    const fv_augment off = {.color_jitter_prob = 1.0};
    fv_image *image = run(&fv_transform_color_jitter, &off, 1);

    cr_assert(is_pattern(image));
    fv_image_destroy(image);
}

Test(data_transform_color_jitter, grey_is_luma_with_its_probability) {
    const fv_augment augment = {.grayscale_prob = 0.25};
    int n = 0;

    for (uint32_t i = 0; i < 1000; i++) {
        fv_image *image = run(&fv_transform_grayscale, &augment, i);
        const uint8_t *p = image->pixels;
        const bool grey = !is_pattern(image);
        n += grey;
        for (int k = 0; k < BYTES && grey; k += 3)
            cr_assert(p[k] == p[k + 1] && p[k] == p[k + 2], "sample %u", i);
        fv_image_destroy(image);
    }
    cr_assert_lt(abs(n - 250), 55, "%d: more than four deviations from a quarter", n);
}

Test(data_transform_color_jitter, refuses_what_is_no_number_or_probability) {
    static const double bad[] = {-0.1, 1.1, (double)NAN, (double)INFINITY};

    for (int i = 0; i < 4; i++) {
        fv_augment augment;
        fv_augment_init(&augment);
        cr_assert_eq(fv_augment_check(&augment), FV_OK);
        augment.grayscale_prob = bad[i];
        cr_assert_eq(fv_augment_check(&augment), FV_ERR_CONFIG, "%g", bad[i]);
        fv_augment_init(&augment);
        augment.color_jitter_prob = bad[i];
        cr_assert_eq(fv_augment_check(&augment), FV_ERR_CONFIG, "%g", bad[i]);
        fv_augment_init(&augment);
        augment.color_jitter = bad[i];
        cr_assert_eq(fv_augment_check(&augment), i == 1 ? FV_OK : FV_ERR_CONFIG, "%g", bad[i]);
    }
}
