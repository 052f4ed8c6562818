/* RISE: masks, and what the map is when the model sees nothing, or one spot. */
#include "eval/saliency/rise.h"
#include "tests/support/linear_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* Probabilities that do not depend on the image: the map is the masks' mean over p. */
Test(eval_rise, of_a_blind_model_is_flat) {
    enum { H = 12, W = 10, N = H * W };
    linear_model m;
    fv_explanation e;
    double mean = 0.0, deviation = 0.0;

    linear_model_open(&m, 1, H, W, 4);
    memset(m.weight, 0, 4 * 3 * N * sizeof *m.weight);
    memset(m.bias, 0, 4 * sizeof *m.bias);
    linear_model_explain(&m, "rise:masks=3000:cells=3", 2, &e);
    for (int i = 0; i < N; i++) mean += (double)e.map[i] / N;
    for (int i = 0; i < N; i++) deviation = fmax(deviation, fabs((double)e.map[i] - 0.25));
    /* A mask's pixel has at most the deviation of a coin: 0.25 / sqrt(3000) = 0.0046, five times. */
    cr_expect_float_eq(mean, 0.25, 0.01);
    cr_expect_leq(deviation, 0.023);
    fv_explanation_destroy(&e);
    linear_model_close(&m);
}

/* All cells kept: every mask is the image, and the map the class's probability. */
Test(eval_rise, without_masking_is_the_probability) {
    linear_model m;
    fv_explanation e[2];

    linear_model_open(&m, 2, 6, 6, 3);
    linear_model_explain(&m, "rise:masks=4:p=1", 1, e);
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < 36; i++) cr_expect_float_eq(e[b].map[i], e[b].probability, 1e-6f);
        fv_explanation_destroy(&e[b]);
    }
    linear_model_close(&m);
}

/* One pixel decides: it is the map's largest. */
Test(eval_rise, finds_the_pixel_that_decides) {
    enum { SIDE = 16, SPOT = 5 * SIDE + 11 };
    linear_model m;
    fv_explanation e;
    int best = 0;

    linear_model_open(&m, 1, SIDE, SIDE, 2);
    memset(m.weight, 0, 2 * 3 * SIDE * SIDE * sizeof *m.weight);
    m.weight[3 * SPOT] = 4.0f;
    m.pixels[3 * SPOT] = 1.0f;
    linear_model_explain(&m, "rise:masks=2000:cells=4", 0, &e);
    for (int i = 1; i < SIDE * SIDE; i++)
        if (e.map[i] > e.map[best]) best = i;
    const int dy = best / SIDE - SPOT / SIDE, dx = best % SIDE - SPOT % SIDE;
    cr_expect_leq(dy * dy + dx * dx, 4, "at %d, %d", best / SIDE, best % SIDE);
    fv_explanation_destroy(&e);
    linear_model_close(&m);
}

Test(eval_rise, masks_are_crops_of_the_enlarged_grid) {
    const float grid[4] = {0, 1, 1, 0};
    float room[9 * 6], mask[5 * 3];

    cr_assert_eq(fv_rise_side(2, 5), 9); /* cells of 3 */
    cr_assert_eq(fv_rise_side(2, 3), 6); /* cells of 2 */
    fv_rise_mask(grid, 2, 2, 1, 5, 3, room, mask);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 3; x++) cr_expect_eq(mask[3 * y + x], room[6 * (y + 2) + x + 1]);
    cr_expect_eq(room[0], 0.0f);
    cr_expect_eq(room[5], 1.0f);
    cr_expect_eq(room[6 * 8], 1.0f);
    for (int i = 0; i < 15; i++) cr_expect(mask[i] >= 0.0f && mask[i] <= 1.0f);
}

Test(eval_rise, depends_on_the_seed_and_not_on_the_groups) {
    enum { N = 9 * 9 };
    linear_model m;
    fv_explanation a, b, c;

    linear_model_open(&m, 1, 9, 9, 3);
    m.seed = 1;
    linear_model_explain(&m, "rise:masks=20", 0, &a);
    m.max_images = 7;
    linear_model_explain(&m, "rise:masks=20", 0, &b);
    m.seed = 2;
    linear_model_explain(&m, "rise:masks=20", 0, &c);
    cr_expect_eq(memcmp(a.map, b.map, N * sizeof *a.map), 0);
    cr_expect_neq(memcmp(a.map, c.map, N * sizeof *a.map), 0);
    fv_explanation_destroy(&a);
    fv_explanation_destroy(&b);
    fv_explanation_destroy(&c);
    linear_model_close(&m);
}
