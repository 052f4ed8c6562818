/* SmoothGrad of a linear model is its gradient, without noise it is so for any model, and its numbers
 * depend on nothing but the seed. */
#include "eval/saliency/smoothgrad.h"
#include "tests/support/generator.h"
#include "tests/support/linear_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define PIXELS (5 * 4)

Test(eval_smoothgrad, of_a_linear_model_is_its_gradient) {
    linear_model m;
    fv_explanation gradient, smooth, squared, variance;

    linear_model_open(&m, 1, 5, 4, 3);
    linear_model_explain(&m, "gradient", 2, &gradient);
    linear_model_explain(&m, "smoothgrad:samples=7", 2, &smooth);
    linear_model_explain(&m, "smoothgrad:squared:samples=7", 2, &squared);
    linear_model_explain(&m, "smoothgrad:variance:samples=7", 2, &variance);
    for (int i = 0; i < PIXELS; i++) {
        const float g = gradient.map[i];
        cr_expect_eq(smooth.map[i], g);
        cr_expect_float_eq(squared.map[i], g * g, 1e-6f * g * g);
        cr_expect_eq(variance.map[i], 0.0f);
    }
    fv_explanation_destroy(&gradient);
    fv_explanation_destroy(&smooth);
    fv_explanation_destroy(&squared);
    fv_explanation_destroy(&variance);
    linear_model_close(&m);
}

/* ---- a model whose gradient is not constant ---- */

static fv_arena arena;
static fv_model *model;
static fv_tape *tape;
static float *pixels;
static int64_t n_pixels;

static void setup(void) {
    const fv_model_config config = {.name = "mini_vit", .num_classes = 10};

    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    fv_generate_params(&model->params, "");
    n_pixels = model->input.height * model->input.width;
    pixels = fv_arena_alloc(&arena, (size_t)(3 * n_pixels), sizeof *pixels);
    cr_assert_not_null(pixels);
    fv_generate_images("", "input", 1, 3, model->input.height, model->input.width, pixels);
}

static void teardown(void) {
    fv_tape_destroy(tape);
    fv_model_destroy(model);
    fv_arena_destroy(&arena);
}

static void explain(const char *method, uint64_t seed, int64_t max_images, fv_explanation *out) {
    fv_saliency_choice choice;

    cr_assert_eq(fv_saliency_parse(method, &arena, &choice), FV_OK, "%s", fv_error_message());
    const fv_explain_request request = {
        .choice = &choice, .against = FV_AGAINST_NOTHING, .seed = seed, .max_images = max_images};
    cr_assert_eq(fv_explain(tape, model, pixels, 1, &request, out), FV_OK, "%s",
                 fv_error_message());
}

static bool same(const fv_explanation *a, const fv_explanation *b) {
    return memcmp(a->map, b->map, (size_t)n_pixels * sizeof(float)) == 0;
}

Test(eval_smoothgrad, without_noise_is_the_gradient, .init = setup, .fini = teardown) {
    fv_explanation gradient, smooth, variance;

    explain("gradient", 0, 2, &gradient);
    explain("smoothgrad:sigma=0:samples=3", 0, 2, &smooth);
    explain("smoothgrad:variance:sigma=0:samples=3", 0, 2, &variance);
    cr_expect(same(&gradient, &smooth));
    for (int64_t i = 0; i < n_pixels; i++) cr_assert_eq(variance.map[i], 0.0f);
    fv_explanation_destroy(&gradient);
    fv_explanation_destroy(&smooth);
    fv_explanation_destroy(&variance);
}

Test(eval_smoothgrad, depends_on_the_seed_and_not_on_the_groups, .init = setup, .fini = teardown) {
    fv_explanation a, other_groups, other_seed;

    explain("smoothgrad:samples=5", 1, 2, &a);
    explain("smoothgrad:samples=5", 1, 5, &other_groups);
    explain("smoothgrad:samples=5", 2, 2, &other_seed);
    cr_expect(same(&a, &other_groups));
    cr_expect_not(same(&a, &other_seed));
    fv_explanation_destroy(&a);
    fv_explanation_destroy(&other_groups);
    fv_explanation_destroy(&other_seed);
}
