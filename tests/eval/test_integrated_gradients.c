/* Of a linear model integrated gradients are (x - x0) w, with any number of steps; of any model their sum
 * is the score's change, the better the more steps there are. */
#include "eval/saliency/integrated_gradients.h"
#include "eval/saliency/reference_image.h"
#include "tests/support/generator.h"
#include "tests/support/linear_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static double number(const fv_explanation *e, const char *name) {
    for (int i = 0; i < e->n_numbers; i++)
        if (strcmp(e->number[i].name, name) == 0) return e->number[i].value;
    return (double)NAN;
}

static void expect_linear(const char *method, fv_reference reference) {
    enum { N = 3 * 5 * 4 };
    linear_model m;
    fv_explanation e[2];
    float x0[N];

    linear_model_open(&m, 2, 5, 4, 3);
    linear_model_explain(&m, method, 1, e);
    for (int b = 0; b < 2; b++) {
        const float *x = linear_model_image(&m, b), *w = linear_model_weight(&m, 1);
        double sum = 0.0;
        fv_reference_image(reference, &m.model->input, x, 5, 4, x0);
        for (int i = 0; i < N; i++) {
            cr_expect_float_eq(e[b].relevance[i], (x[i] - x0[i]) * w[i], 1e-5f, "%s", method);
            sum += ((double)x[i] - (double)x0[i]) * (double)w[i];
        }
        cr_expect_float_eq(number(&e[b], "delta"), 0.0, 1e-5, "%s", method);
        cr_expect_float_eq(number(&e[b], "relative_delta"), 0.0, 1e-5 / fabs(sum), "%s", method);
        cr_expect_str_eq(e[b].warning, "");
        fv_explanation_destroy(&e[b]);
    }
    linear_model_close(&m);
}

Test(eval_integrated_gradients, of_a_linear_model_are_weight_times_change) {
    expect_linear("integrated_gradients", FV_REFERENCE_MEAN);
    expect_linear("integrated_gradients:steps=1", FV_REFERENCE_MEAN);
    expect_linear("integrated_gradients:midpoint=1:steps=3", FV_REFERENCE_MEAN);
    expect_linear("integrated_gradients:black:steps=2", FV_REFERENCE_BLACK);
    expect_linear("integrated_gradients:blur:steps=2", FV_REFERENCE_BLUR);
}

Test(eval_integrated_gradients, average_is_the_mean_of_the_references) {
    linear_model m;
    fv_explanation one[3], average;
    static const char *const methods[] = {"integrated_gradients:steps=2",
                                          "integrated_gradients:black:steps=2",
                                          "integrated_gradients:blur:steps=2"};

    linear_model_open(&m, 1, 5, 4, 3);
    for (int i = 0; i < 3; i++) linear_model_explain(&m, methods[i], 1, &one[i]);
    linear_model_explain(&m, "integrated_gradients:average:steps=2", 1, &average);
    for (int i = 0; i < 3 * 5 * 4; i++) {
        const float mean = (one[0].relevance[i] + one[1].relevance[i] + one[2].relevance[i]) / 3.0f;
        cr_expect_float_eq(average.relevance[i], mean, 1e-5f);
    }
    cr_expect_float_eq(number(&average, "delta"), 0.0, 1e-5);
    for (int i = 0; i < 3; i++) fv_explanation_destroy(&one[i]);
    fv_explanation_destroy(&average);
    linear_model_close(&m);
}

/* An image that is its own reference: nothing to share out, and no relative delta. */
Test(eval_integrated_gradients, without_a_change_there_is_no_relative_delta) {
    linear_model m;
    fv_explanation e;

    linear_model_open(&m, 1, 5, 4, 3);
    memset(m.pixels, 0, 3 * 5 * 4 * sizeof *m.pixels);
    linear_model_explain(&m, "integrated_gradients:steps=2:tolerance=0.01", 1, &e);
    for (int i = 0; i < 3 * 5 * 4; i++) cr_expect_eq(e.relevance[i], 0.0f);
    cr_expect_eq(number(&e, "delta"), 0.0);
    cr_expect(isnan(number(&e, "relative_delta")));
    cr_expect_str_eq(e.warning, "");
    fv_explanation_destroy(&e);
    linear_model_close(&m);
}

/* ---- a model that is not linear ---- */

static void explain(fv_tape *tape, fv_model *model, const float *pixels, const char *method,
                    fv_explanation *out) {
    fv_arena arena = {0};
    fv_saliency_choice choice;

    cr_assert_eq(fv_saliency_parse(method, &arena, &choice), FV_OK, "%s", fv_error_message());
    const fv_explain_request request = {.choice = &choice, .against = FV_AGAINST_NOTHING};
    cr_assert_eq(fv_explain(tape, model, pixels, 1, &request, out), FV_OK, "%s",
                 fv_error_message());
    fv_arena_destroy(&arena);
}

Test(eval_integrated_gradients, steps_double_until_the_sum_is_right) {
    const fv_model_config config = {.name = "mini_vit", .num_classes = 10};
    fv_model *model;
    fv_tape *tape;
    fv_arena arena = {0};
    fv_explanation rough, fine, hopeless;

    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    fv_generate_params(&model->params, "");
    const int64_t H = model->input.height, W = model->input.width;
    float *pixels = fv_arena_alloc(&arena, (size_t)(3 * H * W), sizeof *pixels);
    cr_assert_not_null(pixels);
    fv_generate_images("", "input", 1, 3, H, W, pixels);

    explain(tape, model, pixels, "integrated_gradients:midpoint=1:steps=1", &rough);
    cr_expect_eq(number(&rough, "steps"), 1.0);
    cr_expect_gt(fabs(number(&rough, "relative_delta")), 0.01);
    explain(tape, model, pixels, "integrated_gradients:midpoint=1:steps=1:tolerance=0.01", &fine);
    cr_expect_gt(number(&fine, "steps"), 1.0);
    cr_expect_leq(fabs(number(&fine, "relative_delta")), 0.01);
    cr_expect_str_eq(fine.warning, "");
    explain(tape, model, pixels, "integrated_gradients:midpoint=1:steps=1:tolerance=1e-9",
            &hopeless);
    cr_expect_eq(number(&hopeless, "steps"), 32.0);
    cr_expect_not_null(strstr(hopeless.warning, "after 32 steps"), "%s", hopeless.warning);

    double sum = 0.0;
    for (int64_t i = 0; i < 3 * H * W; i++) sum += (double)fine.relevance[i];
    const double change = number(&fine, "delta") / number(&fine, "relative_delta");
    cr_expect_float_eq(fabs(sum - number(&fine, "delta")), fabs(change), 1e-4);
    fv_explanation_destroy(&rough);
    fv_explanation_destroy(&fine);
    fv_explanation_destroy(&hopeless);
    fv_tape_destroy(tape);
    fv_model_destroy(model);
    fv_arena_destroy(&arena);
}
