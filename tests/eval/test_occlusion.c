/* Occlusion of an additive model: a square's score is the sum of what its pixels add. */
#include "tests/support/linear_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* Squares side by side: each pixel has its square's sum, and all squares the score without the bias. */
Test(eval_occlusion, shares_out_the_score_of_an_additive_model) {
    enum { H = 6, W = 9, K = 3 };
    linear_model m;
    fv_explanation e[2];

    linear_model_open(&m, 2, H, W, K);
    linear_model_explain(&m, "occlusion:size=3:stride=3", 1, e);
    for (int b = 0; b < 2; b++) {
        const float *x = linear_model_image(&m, b), *w = linear_model_weight(&m, 1);
        double total = 0.0;
        for (int y = 0; y < H; y++)
            for (int c = 0; c < W; c++) {
                double square = 0.0;
                for (int i = 0; i < 9; i++) {
                    const int at = (y / 3 * 3 + i / 3) * W + c / 3 * 3 + i % 3;
                    for (int k = 3 * at; k < 3 * at + 3; k++) square += (double)x[k] * (double)w[k];
                }
                cr_expect_float_eq(e[b].map[y * W + c], square, 1e-4);
                total += (double)e[b].map[y * W + c] / 9.0;
            }
        cr_expect_float_eq(total, (double)e[b].logit - (double)m.bias[1], 1e-4);
        fv_explanation_destroy(&e[b]);
    }
    linear_model_close(&m);
}

/* Squares of one pixel: x * w, the map of gradient times input. */
Test(eval_occlusion, of_single_pixels_is_gradient_times_input) {
    linear_model m;
    fv_explanation e, product;

    linear_model_open(&m, 1, 4, 5, 2);
    linear_model_explain(&m, "occlusion:size=1", 0, &e);
    linear_model_explain(&m, "gradient_x_input", 0, &product);
    for (int i = 0; i < 20; i++) cr_expect_float_eq(e.map[i], product.map[i], 2e-5f);
    fv_explanation_destroy(&e);
    fv_explanation_destroy(&product);
    linear_model_close(&m);
}

/* A side that squares do not divide ends with one of its own: only the last pixels are lit, and found. */
Test(eval_occlusion, reaches_the_last_pixel) {
    enum { SIDE = 7 };
    linear_model m;
    fv_explanation e;

    linear_model_open(&m, 1, SIDE, SIDE, 2);
    memset(m.pixels, 0, 3 * SIDE * SIDE * sizeof *m.pixels);
    m.pixels[3 * SIDE * SIDE - 1] = 1.0f;
    linear_model_explain(&m, "occlusion:size=3:stride=3", 0, &e);
    const float w = linear_model_weight(&m, 0)[3 * SIDE * SIDE - 1];
    cr_expect_float_eq(e.map[SIDE * SIDE - 1], w, 1e-5f);
    cr_expect_eq(e.map[0], 0.0f);
    /* Two squares cover row 5 of the last column: rows 3 to 5 and 4 to 6. */
    cr_expect_float_eq(e.map[5 * SIDE + SIDE - 1], w / 2.0f, 1e-5f);
    fv_explanation_destroy(&e);
    linear_model_close(&m);
}

Test(eval_occlusion, sizes_that_make_no_sense_are_refused) {
    linear_model m;
    fv_explanation e;

    linear_model_open(&m, 1, 8, 4, 2);
    cr_expect_eq(linear_model_try(&m, "occlusion:size=5", 0, &e), FV_ERR_CONFIG);
    cr_expect_eq(linear_model_try(&m, "occlusion:size=2:stride=3", 0, &e), FV_ERR_CONFIG);
    cr_expect_eq(linear_model_try(&m, "occlusion", 0, &e), FV_OK, "%s", fv_error_message());
    fv_explanation_destroy(&e);
    linear_model_close(&m);
}
