/* Colours with known coordinates, and min-max at its edges. */
#include "eval/saliency/sr_stages.h"
#include "tests/support/sr_input.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

Test(eval_sr_feature, lab_of_known_colours) {
    /* white, black, and the primaries as colour science tables give them */
    const uint8_t rgb[5][3] = {{255, 255, 255}, {0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}};
    const float want[5][3] = {{100.0f, 0.0f, 0.0f},
                              {0.0f, 0.0f, 0.0f},
                              {53.24f, 80.09f, 67.20f},
                              {87.73f, -86.18f, 83.18f},
                              {32.30f, 79.19f, -107.86f}};
    float lab[5][3];

    fv_sr_lab(rgb[0], 5, lab[0]);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++)
            cr_assert(fabsf(lab[i][k] - want[i][k]) < 0.02f, "%d.%d: %g", i, k, (double)lab[i][k]);
}

Test(eval_sr_feature, picture_is_cut_not_rounded) {
    const float relevance[5] = {-1.0f, 0.5f, 0.0f, 0.999f, 0.25f};
    const uint8_t want[5] = {255, 127, 0, 254, 63};
    uint8_t picture[5];

    fv_sr_picture(relevance, 5, picture);
    cr_assert_eq(memcmp(picture, want, 5), 0);
}

Test(eval_sr_feature, kinds_read_sign_and_channels) {
    const float relevance[4 * 3] = {1, -2, -3, 0, 0, 0, 1, 1, 0, 2, 2, 0}; /* sums -4 0 2 4 */
    const float want_abs[4] = {1.0f, 0.0f, 0.5f, 1.0f}, want_pos[4] = {0.0f, 0.0f, 0.5f, 1.0f};
    fv_sr_image f;

    cr_assert_eq(fv_sr_feature(FV_SR_ABS, relevance, 2, 2, &f), FV_OK);
    cr_assert_eq(f.C, 1);
    cr_assert_eq(memcmp(f.data, want_abs, sizeof want_abs), 0);
    fv_sr_image_release(&f);
    cr_assert_eq(fv_sr_feature(FV_SR_POS, relevance, 2, 2, &f), FV_OK);
    cr_assert_eq(memcmp(f.data, want_pos, sizeof want_pos), 0);
    fv_sr_image_release(&f);
}

Test(eval_sr_feature, constant_maps_are_zero) {
    float relevance[9 * 3];
    fv_sr_image f;

    for (int i = 0; i < 27; i++) relevance[i] = -0.7f;
    for (int kind = 0; fv_sr_feature_name((fv_sr_feature_kind)kind); kind++) {
        cr_assert_eq(fv_sr_feature((fv_sr_feature_kind)kind, relevance, 3, 3, &f), FV_OK);
        for (int64_t i = 0; i < 9 * f.C; i++) cr_assert_eq(f.data[i], 0.0f);
        fv_sr_image_release(&f);
    }
}

/* The largest numbers neither overflow nor lose the order. */
Test(eval_sr_feature, extreme_relevance_stays_finite) {
    const float relevance[3 * 3] = {FLT_MAX,  FLT_MAX,  FLT_MAX,  0, FLT_MIN,
                                    -FLT_MIN, -FLT_MAX, -FLT_MAX, 0};
    fv_sr_image f;

    for (int kind = 0; fv_sr_feature_name((fv_sr_feature_kind)kind); kind++) {
        cr_assert_eq(fv_sr_feature((fv_sr_feature_kind)kind, relevance, 1, 3, &f), FV_OK);
        for (int64_t i = 0; i < 3 * f.C; i++)
            cr_assert(f.data[i] >= 0.0f && f.data[i] <= 1.0f, "%g", (double)f.data[i]);
        fv_sr_image_release(&f);
    }
}

Test(eval_sr_feature, names) {
    fv_sr_feature_kind kind;

    for (int i = 0; fv_sr_feature_name((fv_sr_feature_kind)i); i++) {
        cr_assert_eq(fv_sr_feature_parse(fv_sr_feature_name((fv_sr_feature_kind)i), &kind), FV_OK);
        cr_assert_eq((int)kind, i);
    }
    cr_assert_eq(fv_sr_feature_parse("colour", &kind), FV_ERR_CONFIG);
    cr_assert_null(fv_sr_feature_name((fv_sr_feature_kind)17));
}
