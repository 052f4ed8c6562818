/* Bringing maps to [0,1] and combining them. */
#include "eval/saliency/combine_layers.h"

#include "tests/support/approx.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const float a[] = {2.0f, 4.0f, 3.0f, 2.5f}, a01[] = {0.0f, 1.0f, 0.5f, 0.25f};
static const float b01[] = {1.0f, 0.0f, 0.5f, 1.0f};

Test(eval_combine_layers, normalise_is_min_max) {
    float map[4];

    memcpy(map, a, sizeof map);
    cr_expect(fv_map_normalise(map, 4));
    cr_expect(approx_same(4, map, a01));
}

/* Rounding noise is not stretched to a picture. */
Test(eval_combine_layers, constant_maps_become_zeros) {
    const float none[3] = {0};
    float zeros[3] = {0}, noise[3] = {1.0f, 1.0f + 5e-7f, 1.0f}, little[3] = {1.0f, 1.00001f, 1.0f};

    cr_expect_not(fv_map_normalise(zeros, 3));
    cr_expect_not(fv_map_normalise(noise, 3));
    cr_expect(approx_same(3, noise, none));
    cr_expect(fv_map_normalise(little, 3));
    cr_expect_eq(little[1], 1.0f);
}

Test(eval_combine_layers, one_layer_is_its_own_combination) {
    const float *maps[] = {a01};
    float out[4];

    for (int how = FV_COMBINE_PRODUCT; how <= FV_COMBINE_PLAIN; how++) {
        fv_combine_maps((fv_combination)how, maps, (double[]){3.0}, 1, 4, out);
        cr_expect(approx_same(4, out, a01), "%d", how);
    }
}

Test(eval_combine_layers, weights_are_normalised) {
    const float *maps[] = {a01, b01};
    const double weight[] = {1.0, 3.0};
    float out[4];

    fv_combine_maps(FV_COMBINE_SUM, maps, weight, 2, 4, out);
    cr_expect(approx_same(4, out, (float[]){0.75f, 0.25f, 0.5f, 0.8125f}));
    fv_combine_maps(FV_COMBINE_PRODUCT, maps, weight, 2, 4, out);
    cr_expect_eq(out[0], 0.0f); /* 0^w is 0 */
    cr_expect_eq(out[1], 0.0f);
    cr_expect_float_eq(out[2], 0.5, 1e-7);
    cr_expect_float_eq(out[3], pow(0.25, 0.25), 1e-7);
    fv_combine_maps(FV_COMBINE_PLAIN, maps, weight, 2, 4, out);
    cr_expect(approx_same(4, out, (float[]){0.0f, 0.0f, 0.25f, 0.25f}));
}

/* A constant layer's zeros would put out all others. */
Test(eval_combine_layers, layers_of_weight_zero_are_left_out) {
    const float zeros[4] = {0}, *maps[] = {zeros, a01, zeros};
    float out[4];

    for (int how = FV_COMBINE_PRODUCT; how <= FV_COMBINE_PLAIN; how++) {
        fv_combine_maps((fv_combination)how, maps, (double[]){0.0, 0.5, 0.0}, 3, 4, out);
        cr_expect(approx_same(4, out, a01), "%d", how);
        fv_combine_maps((fv_combination)how, maps, (double[]){0.0, 0.0, 0.0}, 3, 4, out);
        cr_expect(approx_same(4, out, zeros), "%d", how);
    }
}
