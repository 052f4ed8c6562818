#include "data/transform_list.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define H    24
#define W    32
#define N    2000
#define GREY 100

TestSuite(data_transform_erase);

static fv_image *picture;
static fv_augment augment;
static float plain[H * W * 3], out[H * W * 3];

static fv_rng_key key_of(uint32_t sample) {
    return (fv_rng_key){.seed = 4, .purpose = FV_RNG_AUGMENT, .step = 1, .sample = sample};
}

static void transform(uint32_t sample, float *to) {
    const fv_preprocess pre = {.img_h = H,
                               .img_w = W,
                               .mean = {0.485f, 0.456f, 0.406f},
                               .std = {0.229f, 0.224f, 0.225f},
                               .crop_pct = 1.0};
    cr_assert_eq(fv_transform_train(&pre, &augment, key_of(sample), picture, to), FV_OK);
}

/* One colour: what is not it was erased. */
static void make(double reprob, fv_erase_mode mode) {
    cr_assert_eq(fv_image_create(H, W, &picture), FV_OK);
    memset(picture->pixels, GREY, H * W * 3);
    fv_augment_init(&augment);
    transform(0, plain);
    augment.reprob = reprob;
    augment.remode = mode;
}

static bool erased(int i) { return memcmp(out + 3 * i, plain + 3 * i, 12) != 0; }

static int count_erased(void) {
    int n = 0;
    for (int i = 0; i < H * W; i++) n += erased(i);
    return n;
}

Test(data_transform_erase, happens_with_its_probability_over_its_areas) {
    int n = 0;
    double area = 0.0;

    make(0.25, FV_ERASE_PIXEL);
    for (uint32_t i = 0; i < N; i++) {
        transform(i, out);
        const int count = count_erased();
        n += count > 0;
        area += count;
        cr_assert_lt(count, H * W * 0.4);
    }
    cr_assert_float_eq((double)n / N, 0.25, 0.04);
    cr_assert_float_eq(area / n / (H * W), 0.5 * (0.02 + 1.0 / 3.0), 0.02);
    fv_image_destroy(picture);
}

Test(data_transform_erase, rectangles_lie_inside_and_have_their_ratios) {
    fv_crop r;
    int wide = 0;

    fv_augment_init(&augment);
    for (uint32_t i = 0; i < N; i++) {
        const fv_rng_key key = key_of(i);
        cr_assert(fv_erase_draw(&augment, &key, 0, 300, 200, &r));
        cr_assert(r.top >= 0 && r.left >= 0 && r.top + r.height <= 300 && r.left + r.width <= 200);
        const double ratio = (double)r.height / (double)r.width;
        cr_assert(ratio > 0.29 && ratio < 1.0 / 0.29, "%g", ratio);
        wide += ratio < 1.0;
    }
    cr_assert_float_eq((double)wide / N, 0.5, 0.06);
    const fv_rng_key key = key_of(0);
    cr_assert(!fv_erase_draw(&augment, &key, 0, 1, 1, &r) || r.height * r.width == 0);
}

Test(data_transform_erase, noise_of_pixels_is_standard_normal) {
    double sum = 0.0, squares = 0.0;
    int n = 0;

    make(1.0, FV_ERASE_PIXEL);
    for (uint32_t i = 0; i < 100; i++) {
        transform(i, out);
        for (int k = 0; k < H * W * 3; k++) {
            if (!erased(k / 3)) continue;
            sum += (double)out[k];
            squares += (double)out[k] * (double)out[k];
            n++;
        }
    }
    cr_assert_lt(fabs(sum / n), 4.0 / sqrt(n));
    cr_assert_float_eq(squares / n, 1.0, 0.02);
    fv_image_destroy(picture);
}

Test(data_transform_erase, one_colour_and_the_mean_colour) {
    make(1.0, FV_ERASE_RAND);
    transform(3, out);
    const float *colour = NULL;
    for (int i = 0; i < H * W; i++) {
        if (!erased(i)) continue;
        if (!colour) colour = out + 3 * i;
        cr_assert_eq(memcmp(colour, out + 3 * i, 12), 0);
    }
    cr_assert_not_null(colour);
    cr_assert(colour[0] != colour[1]);
    augment.remode = FV_ERASE_CONST;
    transform(3, out);
    for (int i = 0; i < H * W; i++)
        cr_assert(!erased(i) || (out[3 * i] == 0.0f && out[3 * i + 2] == 0.0f));
    cr_assert_gt(count_erased(), 0);
    fv_image_destroy(picture);
}

Test(data_transform_erase, several_rectangles_share_the_area) {
    int one = 0, four = 0;

    make(1.0, FV_ERASE_PIXEL);
    for (uint32_t i = 0; i < 300; i++) {
        augment.recount = 1;
        transform(i, out);
        one += count_erased();
        augment.recount = 4;
        transform(i, out);
        four += count_erased();
    }
    cr_assert_float_eq((double)four / one, 1.0, 0.15); /* overlaps make it a little less */
    augment.recount = 0;
    cr_assert_eq(fv_augment_check(&augment), FV_ERR_CONFIG);
    augment.recount = 1;
    augment.reprob = 1.5;
    cr_assert_eq(fv_augment_check(&augment), FV_ERR_CONFIG);
    fv_image_destroy(picture);
}

Test(data_transform_erase, the_rest_of_the_augmentation_stays_as_it_is) {
    float again[H * W * 3];

    picture = test_pattern(50, 70);
    fv_augment_init(&augment);
    transform(7, plain);
    augment.reprob = 1.0;
    transform(7, out);
    transform(7, again);
    cr_assert_eq(memcmp(out, again, sizeof out), 0);
    const int n = count_erased();
    cr_assert(n > 0 && n < H * W / 2);
    fv_image_destroy(picture);
}

Test(data_transform_erase, names_of_modes) {
    fv_erase_mode mode;

    cr_assert_eq(fv_erase_mode_parse("const", &mode), FV_OK);
    cr_assert_eq(mode, FV_ERASE_CONST);
    cr_assert_eq(fv_erase_mode_parse("black", &mode), FV_ERR_CONFIG);
}
