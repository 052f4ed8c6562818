/* The gradient of a linear model is its weight, whatever the image. */
#include "eval/saliency/gradient.h"
#include "tests/support/linear_model.h"

#include <criterion/criterion.h>
#include <math.h>

Test(eval_gradient, of_a_linear_model_is_its_weight) {
    linear_model m;
    fv_explanation largest[2], sum[2];

    linear_model_open(&m, 2, 5, 4, 3);
    linear_model_explain(&m, "gradient", 1, largest);
    linear_model_explain(&m, "gradient:sum", 1, sum);
    const float *w = linear_model_weight(&m, 1);
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < 5 * 4; i++) {
            const float r = fabsf(w[3 * i]), g = fabsf(w[3 * i + 1]), y = fabsf(w[3 * i + 2]);
            cr_expect_eq(largest[b].map[i], fmaxf(r, fmaxf(g, y)));
            cr_expect_float_eq(sum[b].map[i], r + g + y, 1e-6f);
        }
        fv_explanation_destroy(&largest[b]);
        fv_explanation_destroy(&sum[b]);
    }
    linear_model_close(&m);
}

Test(eval_gradient, signs_do_not_cancel) {
    const float g[6] = {-3.0f, 2.0f, 1.0f, 0.0f, 0.5f, -0.25f};
    float map[2];

    fv_gradient_map(g, 2, false, map);
    cr_expect_eq(map[0], 3.0f);
    cr_expect_eq(map[1], 0.5f);
    fv_gradient_map(g, 2, true, map);
    cr_expect_eq(map[0], 6.0f);
    cr_expect_eq(map[1], 0.75f);
}
