/* Curves, and the series of images behind them. */
#include "eval/saliency/perturbation.h"

#include "core/parallel.h"
#include "tests/support/linear_scorer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define CHECK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())
#define N             10 /* pixels */

static float ones[3 * N], zeros[3 * N];
static int64_t order[N];
static linear_scorer model;
static fv_scorer scorer;

static void setup(void) {
    for (int i = 0; i < 3 * N; i++) ones[i] = 1.0f;
    for (int i = 0; i < N; i++) order[i] = N - 1 - i;
    model = (linear_scorer){.size = 3 * N};
    scorer = (fv_scorer){.score = linear_score, .user = &model};
}

static void remember(void *user, int64_t i, float *image) {
    const float *value = user;
    for (int k = 0; k < 3 * N; k++) image[k] = value[i];
}

Test(eval_perturbation, series_come_in_bounded_batches, .init = setup) {
    const float value[7] = {0, 1, 2, 3, 4, 5, 6};
    float weight[3 * N];
    fv_class_score out[7];

    for (int i = 0; i < 3 * N; i++) weight[i] = 1.0f / (3 * N);
    model.weight = weight;
    for (int64_t batch = 1; batch <= 9; batch++) {
        model.calls = model.images = model.largest_batch = 0;
        scorer.batch = batch;
        CHECK(fv_score_series(&scorer, 7, 3 * N, remember, (void *)(uintptr_t)value, out));
        cr_expect_eq(model.images, 7);
        cr_expect_eq(model.calls, (7 + batch - 1) / batch);
        cr_expect_leq(model.largest_batch, batch);
        for (int i = 0; i < 7; i++) cr_expect_float_eq(out[i].logit, i, 1e-5);
    }
}

Test(eval_perturbation, scores_that_are_not_finite_are_refused, .init = setup) {
    fv_class_score out[7];

    model.last_logit = NAN;
    cr_expect_eq(fv_score_series(&scorer, 7, 3 * N, remember, ones, out), FV_ERR_NONFINITE);
    cr_expect_eq(fv_score_image(&scorer, ones, out), FV_ERR_NONFINITE);
}

Test(eval_perturbation, the_callback_may_fail, .init = setup) {
    fv_class_score out[7];

    model.fail_with = FV_ERR_IO;
    model.fail_at = 2;
    scorer.batch = 3;
    cr_expect_eq(fv_score_series(&scorer, 7, 3 * N, remember, ones, out), FV_ERR_IO);
    cr_expect_eq(model.calls, 2, "nothing is scored after a failure");
}

/* Pixel 9 - k turns k-th; the logit counts what is left, in steps of 3. */
Test(eval_perturbation, states_turn_pixels_in_order, .init = setup) {
    float weight[3 * N], probability[5];
    const fv_curve curve = {ones, zeros, order, N, 3};

    for (int i = 0; i < 3 * N; i++) weight[i] = (float)(1 << (i / 3)) / 3000.0f;
    model.weight = weight;
    scorer.batch = 2;
    cr_assert_eq(fv_curve_steps(&curve), 4); /* 3 3 3 1 */
    CHECK(fv_curve_run(&curve, &scorer, probability));
    const int left[5] = {1023, 127, 15, 1, 0};
    for (int i = 0; i < 5; i++)
        cr_expect_float_eq(probability[i], 1 / (1 + exp(-left[i] / 1000.0)), 1e-6, "%d", i);
}

Test(eval_perturbation, a_constant_score_is_its_own_area, .init = setup) {
    float probability[N + 1];

    model.bias = 0.7;
    for (int64_t step = 1; step <= N; step++) {
        const fv_curve curve = {ones, zeros, order, N, step};
        const int64_t steps = fv_curve_steps(&curve);
        CHECK(fv_curve_run(&curve, &scorer, probability));
        cr_expect_float_eq(fv_curve_auc(probability, steps), 1 / (1 + exp(-0.7)), 1e-7);
        cr_expect_float_eq(fv_curve_mean(probability, steps), 1 / (1 + exp(-0.7)), 1e-7);
    }
}

Test(eval_perturbation, areas_by_hand) {
    const float p[4] = {1, 0.5f, 0.25f, 0};

    cr_expect_float_eq(fv_curve_auc(p, 3), (0.75 + 0.375 + 0.125) / 3, 1e-15);
    cr_expect_float_eq(fv_curve_mean(p, 3), 0.25, 1e-15);
}

Test(eval_perturbation, a_step_of_nothing_is_refused, .init = setup) {
    float probability[2];
    const fv_curve curve = {ones, zeros, order, N, 0};

    cr_expect_eq(fv_curve_run(&curve, &scorer, probability), FV_ERR_CONFIG);
}
