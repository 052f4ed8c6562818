#include "data/transform.h"

#include "core/alloc.h"
#include "data/transform_list.h"
#include "tests/golden/images_generated.h"
#include "tests/support/picture.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static fv_preprocess imagenet(int64_t side, double crop_pct) {
    return (fv_preprocess){.img_h = side,
                           .img_w = side,
                           .mean = {0.485f, 0.456f, 0.406f},
                           .std = {0.229f, 0.224f, 0.225f},
                           .crop_pct = crop_pct};
}

static fv_rng_key key_of(uint64_t seed, uint32_t epoch, uint32_t sample) {
    return (fv_rng_key){.seed = seed, .purpose = FV_RNG_AUGMENT, .step = epoch, .sample = sample};
}

Test(data_transform, evaluation_equals_pillow) {
    fv_resize_scratch scratch = {0};
    fv_image out = {0};

    for (size_t i = 0; i < sizeof generated_evals / sizeof *generated_evals; i++) {
        const int64_t side = generated_evals[i].size;
        fv_image *src = test_pattern(generated_evals[i].height, generated_evals[i].width);
        fv_preprocess pre = imagenet(side, generated_evals[i].crop_pct);
        cr_assert_eq(fv_transform_eval_image(&pre, src, &scratch, &out), FV_OK);
        cr_expect_eq(test_fnv(out.pixels, (size_t)(side * side * 3)), generated_evals[i].bicubic,
                     "bicubic, case %zu", i);
        pre.interpolation = FV_INTERPOLATION_BILINEAR;
        cr_assert_eq(fv_transform_eval_image(&pre, src, &scratch, &out), FV_OK);
        cr_expect_eq(test_fnv(out.pixels, (size_t)(side * side * 3)), generated_evals[i].bilinear,
                     "bilinear, case %zu", i);
        fv_image_destroy(src);
    }
    fv_image_release(&out);
    fv_resize_scratch_free(&scratch);
}

Test(data_transform, normalisation_is_float32_arithmetic) {
    fv_image *src = test_pattern(16, 16);
    const fv_preprocess pre = imagenet(16, 1.0);
    float out[16 * 16 * 3];

    cr_assert_eq(fv_transform_eval(&pre, src, out), FV_OK);
    for (int i = 0; i < 16 * 16 * 3; i++) {
        const float expected = ((float)src->pixels[i] / 255.0f - pre.mean[i % 3]) / pre.std[i % 3];
        cr_assert(memcmp(&expected, &out[i], sizeof expected) == 0, "value %d", i);
    }
    fv_image_destroy(src);
}

Test(data_transform, an_input_that_is_not_square_is_covered) {
    static const int64_t sizes[][2] = {{50, 50}, {30, 90}, {90, 30}, {24, 40}, {7, 100}};
    fv_preprocess pre = imagenet(24, 0.9);
    fv_resize_scratch scratch = {0};
    fv_image out = {0};
    fv_view view;

    pre.img_w = 40;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fv_image *src = test_pattern(sizes[i][0], sizes[i][1]);
        cr_assert_eq(fv_transform_eval_image(&pre, src, &scratch, &out), FV_OK, "%s",
                     fv_error_message());
        cr_expect(out.height == 24 && out.width == 40);
        cr_assert_eq(fv_transform_eval_view(&pre, src->height, src->width, &view), FV_OK);
        cr_expect(view.top >= 0.0 && view.top + view.height <= (double)src->height + 1e-9);
        cr_expect(view.left >= 0.0 && view.left + view.width <= (double)src->width + 1e-9);
        fv_image_destroy(src);
    }
    fv_image_release(&out);
    fv_resize_scratch_free(&scratch);
}

Test(data_transform, view_of_evaluation) {
    const fv_preprocess pre = imagenet(224, 0.875);
    fv_view v;

    /* 512 x 512 -> 256, crop 224 at 16: 32 .. 480 of the source. */
    cr_assert_eq(fv_transform_eval_view(&pre, 512, 512, &v), FV_OK);
    cr_expect(fabs(v.top - 32.0) < 1e-12 && fabs(v.left - 32.0) < 1e-12);
    cr_expect(fabs(v.height - 448.0) < 1e-12 && fabs(v.width - 448.0) < 1e-12);
}

static void train(const fv_augment *augment, fv_rng_key key, const fv_image *src, float *out) {
    const fv_preprocess pre = imagenet(24, 1.0);
    cr_assert_eq(fv_transform_train(&pre, augment, key, src, out), FV_OK, "%s", fv_error_message());
}

Test(data_transform, training_is_a_function_of_the_key) {
    fv_image *src = test_pattern(60, 80);
    const size_t n = 24 * 24 * 3;
    float a[24 * 24 * 3], b[24 * 24 * 3];
    fv_augment augment;

    fv_augment_init(&augment);
    train(&augment, key_of(1, 2, 3), src, a);
    train(&augment, key_of(1, 2, 3), src, b);
    cr_expect_eq(memcmp(a, b, n * sizeof *a), 0);
    const fv_rng_key other[] = {key_of(2, 2, 3), key_of(1, 3, 3), key_of(1, 2, 4)};
    for (int i = 0; i < 3; i++) {
        train(&augment, other[i], src, b);
        cr_expect_neq(memcmp(a, b, n * sizeof *a), 0, "entry %d of the key has no effect", i);
    }
    fv_image_destroy(src);
}

/* Without freedom training is evaluation; a certain flip mirrors it. */
Test(data_transform, training_without_freedom_is_evaluation) {
    fv_image *src = test_pattern(50, 50);
    const fv_preprocess pre = imagenet(24, 1.0);
    fv_augment augment = {.scale = {1, 1}, .ratio = {1, 1}};
    float plain[24][24][3], out[24][24][3];

    cr_assert_eq(fv_transform_eval(&pre, src, &plain[0][0][0]), FV_OK);
    train(&augment, key_of(1, 0, 0), src, &out[0][0][0]);
    cr_expect_eq(memcmp(plain, out, sizeof out), 0);
    augment.hflip = 1.0;
    train(&augment, key_of(1, 0, 0), src, &out[0][0][0]);
    for (int y = 0; y < 24; y++)
        for (int x = 0; x < 24; x++)
            cr_assert_eq(memcmp(plain[y][x], out[y][23 - x], sizeof out[y][x]), 0);
    augment.hflip = 0.0;
    augment.vflip = 1.0;
    train(&augment, key_of(1, 0, 0), src, &out[0][0][0]);
    for (int y = 0; y < 24; y++) cr_assert_eq(memcmp(plain[y], out[23 - y], sizeof out[y]), 0);
    fv_image_destroy(src);
}

Test(data_transform, a_flip_does_not_move_the_crop) {
    fv_image *src = test_pattern(60, 70);
    fv_augment augment;
    float plain[24][24][3], out[24][24][3];

    fv_augment_init(&augment);
    augment.hflip = 0.0;
    train(&augment, key_of(5, 0, 9), src, &plain[0][0][0]);
    augment.hflip = 1.0;
    train(&augment, key_of(5, 0, 9), src, &out[0][0][0]);
    for (int y = 0; y < 24; y++)
        for (int x = 0; x < 24; x++)
            cr_assert_eq(memcmp(plain[y][x], out[y][23 - x], sizeof out[y][x]), 0);
    fv_image_destroy(src);
}

Test(data_transform, crops_keep_to_their_ranges) {
    fv_augment augment;
    double area = 0.0, log_ratio = 0.0;
    const int n = 4000;

    fv_augment_init(&augment);
    augment.scale[0] = 0.1;
    augment.scale[1] = 0.5;
    for (int i = 0; i < n; i++) {
        const fv_rng_key key = key_of(7, 0, (uint32_t)i);
        const fv_crop c = fv_resized_crop_draw(&augment, &key, 300, 400);
        cr_assert(c.top >= 0 && c.left >= 0 && c.top + c.height <= 300 && c.left + c.width <= 400);
        const double share = (double)(c.height * c.width) / (300.0 * 400.0);
        const double ratio = (double)c.width / (double)c.height;
        cr_assert(share > 0.098 && share < 0.502, "share %g", share);
        cr_assert(ratio > 0.745 && ratio < 1.345, "ratio %g", ratio);
        area += share;
        log_ratio += log(ratio);
    }
    /* Means 0.3 and 0; standard errors 0.0018 and 0.0026. */
    cr_expect(fabs(area / n - 0.3) < 0.01, "mean area %g", area / n);
    cr_expect(fabs(log_ratio / n) < 0.015, "mean log ratio %g", log_ratio / n);
}

Test(data_transform, impossible_crops_fall_back_to_the_centre) {
    const fv_augment augment = {.scale = {1, 1}, .ratio = {0.75, 4.0 / 3.0}};
    const fv_rng_key key = key_of(1, 0, 0);

    /* 90 x 10: at most 10 * 4/3 wide. */
    fv_crop c = fv_resized_crop_draw(&augment, &key, 10, 90);
    cr_expect(c.height == 10 && c.width == 13 && c.top == 0 && c.left == 38);
    c = fv_resized_crop_draw(&augment, &key, 90, 10);
    cr_expect(c.width == 10 && c.height == 13 && c.left == 0 && c.top == 38);
    c = fv_resized_crop_draw(&augment, &key, 1, 1);
    cr_expect(c.height == 1 && c.width == 1 && c.left == 0 && c.top == 0);
}

Test(data_transform, every_transform_has_its_own_stream) {
#define FV_X(name) &fv_transform_##name,
    static const fv_transform *const all[] = {FV_TRANSFORM_LIST(FV_X)};
#undef FV_X
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cr_expect(all[i]->name && all[i]->summary && (all[i]->apply || all[i]->finish));
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(fv_rng_name(all[i]->name), fv_rng_name(all[j]->name));
    }
}

Test(data_transform, refuses_bad_settings) {
    fv_image *src = test_pattern(10, 10);
    float out[24 * 24 * 3];
    fv_preprocess pre = imagenet(24, 0.0);
    fv_augment augment;

    cr_expect_eq(fv_transform_eval(&pre, src, out), FV_ERR_CONFIG);
    pre = imagenet(24, 1.5);
    cr_expect_eq(fv_transform_eval(&pre, src, out), FV_ERR_CONFIG);
    pre = imagenet(24, (double)NAN);
    cr_expect_eq(fv_transform_eval(&pre, src, out), FV_ERR_CONFIG);
    pre = imagenet(0, 1.0);
    cr_expect_eq(fv_transform_eval(&pre, src, out), FV_ERR_CONFIG);
    pre = imagenet(24, 1.0);
    pre.std[1] = 0.0f;
    cr_expect_eq(fv_transform_eval(&pre, src, out), FV_ERR_CONFIG);
    pre = imagenet(24, 1.0);
    fv_augment_init(&augment);
    augment.scale[0] = 0.0;
    cr_expect_eq(fv_transform_train(&pre, &augment, key_of(1, 1, 1), src, out), FV_ERR_CONFIG);
    fv_augment_init(&augment);
    augment.ratio[1] = 0.1;
    cr_expect_eq(fv_transform_train(&pre, &augment, key_of(1, 1, 1), src, out), FV_ERR_CONFIG);
    fv_augment_init(&augment);
    augment.hflip = 1.1;
    cr_expect_eq(fv_transform_train(&pre, &augment, key_of(1, 1, 1), src, out), FV_ERR_CONFIG);
    fv_image_destroy(src);
}

Test(data_transform, a_workspace_stops_allocating) {
    fv_image *src = test_pattern(60, 80);
    const fv_preprocess pre = imagenet(24, 0.9);
    fv_augment augment;
    fv_workspace ws = {0};
    float out[24 * 24 * 3];

    fv_augment_init(&augment);
    augment.scale[0] = 0.9; /* sizes of all crops are near */
    augment.interpolation = FV_INTERPOLATION_BICUBIC;
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(fv_transform_train_with(&pre, &augment, key_of(1, 0, i), src, &ws, out),
                     FV_OK);
    cr_assert_eq(fv_transform_eval_with(&pre, src, &ws, out), FV_OK);
    const uint64_t calls = fv_alloc_calls();
    for (uint32_t i = 20; i < 60; i++)
        cr_assert_eq(fv_transform_train_with(&pre, &augment, key_of(1, 0, i), src, &ws, out),
                     FV_OK);
    cr_assert_eq(fv_transform_eval_with(&pre, src, &ws, out), FV_OK);
    cr_expect_eq(fv_alloc_calls(), calls);
    fv_workspace_free(&ws);
    fv_image_destroy(src);
}
