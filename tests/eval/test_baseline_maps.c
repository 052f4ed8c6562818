/* The maps that look at no model. */
#include "tests/support/linear_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

Test(eval_baseline_maps, centre_is_a_gaussian_in_the_middle) {
    enum { H = 9, W = 5 };
    linear_model m;
    fv_explanation e;

    linear_model_open(&m, 1, H, W, 2);
    linear_model_explain(&m, "centre", 0, &e);
    cr_expect_eq(e.map[4 * W + 2], 1.0f);
    for (int i = 0; i < H * W; i++) cr_expect_float_eq(e.map[i], e.map[H * W - 1 - i], 1e-7f);
    /* One standard deviation of H/4 = 2.25 px away: 2 px are exp(-(2/2.25)^2 / 2). */
    cr_expect_float_eq(e.map[6 * W + 2], expf(-0.5f * (2.0f / 2.25f) * (2.0f / 2.25f)), 1e-6f);
    fv_explanation_destroy(&e);
    linear_model_close(&m);
}

/* A step of brightness from the third to the fourth column, 0 to 1 in each channel. */
Test(eval_baseline_maps, edge_is_where_brightness_changes) {
    enum { SIDE = 6 };
    linear_model m;
    fv_explanation e;

    linear_model_open(&m, 1, SIDE, SIDE, 2);
    for (int i = 0; i < 3 * SIDE * SIDE; i++) {
        const float value = i / 3 % SIDE >= 3 ? 1.0f : 0.0f;
        m.pixels[i] = (value - m.model->input.mean[i % 3]) / m.model->input.std[i % 3];
    }
    linear_model_explain(&m, "edge", 0, &e);
    for (int i = 0; i < SIDE * SIDE; i++) {
        const bool edge = i % SIDE == 2 || i % SIDE == 3;
        cr_expect_float_eq(e.map[i], edge ? 4.0f : 0.0f, 1e-5f);
    }
    fv_explanation_destroy(&e);
    linear_model_close(&m);
}

Test(eval_baseline_maps, random_depends_on_the_seed_alone) {
    enum { N = 16 * 16 };
    linear_model m;
    fv_explanation a[2], b[2];
    double mean = 0.0;

    linear_model_open(&m, 2, 16, 16, 2);
    linear_model_explain(&m, "random", 0, a);
    m.seed = 1;
    linear_model_explain(&m, "random", 1, b);
    cr_expect_eq(memcmp(a[0].map, a[1].map, N * sizeof(float)), 0);
    cr_expect_neq(memcmp(a[0].map, b[0].map, N * sizeof(float)), 0);
    for (int i = 0; i < N; i++) {
        cr_assert(a[0].map[i] >= 0.0f && a[0].map[i] < 1.0f);
        mean += (double)a[0].map[i] / N;
    }
    cr_expect_float_eq(mean, 0.5, 0.09); /* five deviations of 1 / sqrt(12 N) */
    for (int i = 0; i < 2; i++) {
        fv_explanation_destroy(&a[i]);
        fv_explanation_destroy(&b[i]);
    }
    linear_model_close(&m);
}
