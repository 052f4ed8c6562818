/* The method as a whole: layers, warnings, the step, what is refused.  Numbers are compared with stored
 * ones by the golden runner. */
#include "core/alloc.h"
#include "eval/saliency/combine_layers.h"
#include "eval/saliency/explain_run.h"
#include "eval/saliency/upsample.h"
#include "tests/support/approx.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static model_run r;
static fv_explanation e[2];

static void open_model(const char *name) {
    const fv_model_config config = {.name = name};
    model_run_open(&r);
    model_run_create(&r, &config);
}

static fv_status explain(const char *method, int64_t first, int64_t n, int64_t target,
                         fv_explanation *out) {
    const int64_t targets[2] = {target, target};
    const fv_tensor pixels = model_run_pixels(&r, first, n);
    fv_saliency_choice choice;

    cr_assert_eq(fv_saliency_parse(method, &r.arena, &choice), FV_OK, "%s", fv_error_message());
    const fv_explain_request request = {
        .choice = &choice, .target = targets, .against = FV_AGAINST_NOTHING};
    return fv_explain(r.tape, r.model, pixels.data, n, &request, out);
}

static void need(const char *method, int64_t target, fv_explanation *out) {
    cr_assert_eq(explain(method, 0, 1, target, out), FV_OK, "%s: %s", method, fv_error_message());
}

static void done(void) {
    fv_explanation_destroy(&e[0]);
    fv_explanation_destroy(&e[1]);
    model_run_close(&r);
}

static void expect_warning(const char *method, const char *text) {
    need(method, 1, &e[0]);
    cr_expect_not_null(strstr(e[0].warning, text), "%s warns of '%s'", method, e[0].warning);
    fv_explanation_destroy(&e[0]);
}

static void expect_refused(const char *method, const char *text) {
    cr_expect_eq(explain(method, 0, 1, 1, &e[0]), FV_ERR_CONFIG, "%s", method);
    cr_expect_not_null(strstr(fv_error_message(), text), "%s: %s", method, fv_error_message());
}

/* ---- layers ---- */

Test(eval_normgrad, one_layer_keeps_its_grid) {
    float *up;

    open_model("mini_davit_even");
    need("normgrad:layer=stages.1", 1, &e[0]);
    cr_assert_not_null(e[0].grid);
    const int64_t n = e[0].height * e[0].width;
    up = fv_alloc((size_t)n, sizeof *up);
    cr_assert_not_null(up);
    fv_upsample(e[0].grid, e[0].grid_h, e[0].grid_w, up, e[0].height, e[0].width);
    cr_expect(approx_same(n, up, e[0].map));
    cr_expect_str_eq(e[0].warning, "");
    fv_free(up);
    done();
}

/* By default all stages, none of which may be constant here; the last one alone has one gradient. */
Test(eval_normgrad, several_layers_are_multiplied_or_added) {
    const char *const layers[] = {"stages.0", "stages.2"};
    const float *maps[2];
    float *combined;

    open_model("mini_davit_even");
    const int64_t n = r.model->input.height * r.model->input.width;
    combined = fv_alloc((size_t)n, sizeof *combined);
    cr_assert_not_null(combined);
    for (int i = 0; i < 2; i++) {
        char text[64];
        snprintf(text, sizeof text, "normgrad:conv3x3:layer=%s", layers[i]);
        need(text, 1, &e[i]);
        cr_assert(fv_map_normalise(e[i].map, n));
        maps[i] = e[i].map;
    }
    static const struct {
        const char *text;
        fv_combination how;
        double weight[2];
    } ways[] = {{"", FV_COMBINE_PRODUCT, {1.0, 1.0}},
                {":arithmetic=1", FV_COMBINE_SUM, {1.0, 1.0}},
                {":arithmetic=1:linear_weights=1", FV_COMBINE_SUM, {1.0, 2.0}}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        fv_explanation both;
        char text[128];
        snprintf(text, sizeof text, "normgrad:conv3x3:layer=stages.0+stages.2%s", ways[i].text);
        need(text, 1, &both);
        fv_combine_maps(ways[i].how, maps, ways[i].weight, 2, n, combined);
        cr_expect(approx_same(n, combined, both.map), "%s", text);
        cr_expect_null(both.grid);
        cr_expect_str_eq(both.warning, "");
        fv_explanation_destroy(&both);
    }
    fv_free(combined);
    done();
}

/* The same layer: at the patch embedding's output, and in its weight gradient. */
Test(eval_normgrad, real_layers_are_found_by_their_weight) {
    open_model("mini_vit");
    need("normgrad:real", 1, &e[0]);
    need("normgrad:real:layer=patch_embed.proj", 1, &e[1]);
    cr_expect_eq(e[0].grid_h * e[0].grid_w, r.model->grid_h * r.model->grid_w);
    cr_expect(approx_same(e[0].grid_h * e[0].grid_w, e[0].grid, e[1].grid));
    fv_explanation_destroy(&e[0]);
    need("normgrad:real:layer=blocks.0.mlp.fc1", 1, &e[0]);
    cr_expect_eq(e[0].grid_h * e[0].grid_w, r.model->grid_h * r.model->grid_w);
    done();
}

Test(eval_normgrad, layers_that_are_no_maps_are_refused) {
    open_model("mini_davit_even");
    expect_refused("normgrad:layer=nowhere", "no such activation");
    expect_refused("normgrad:layer=stages.0.blocks.0.0.attn.qkv", "no map");
    expect_refused("normgrad:real:layer=stages.0.blocks.0.0.attn.qkv", "no map");
    expect_refused("normgrad:real:layer=stages.0.blocks.0.0.norm1", "not of a convolution");
    expect_refused("normgrad:real:layer=head.fc", "no map");
    expect_refused("normgrad:selective:aggregate=2", "positive components");
    done();
}

/* ---- warnings ---- */

Test(eval_normgrad, patch_tokens_without_a_gradient_are_told) {
    open_model("mini_vit");
    expect_warning("normgrad:layer=blocks.1", "blocks.0");
    expect_warning("normgrad:layer=blocks.1", "no position has a gradient");
    need("normgrad", 1, &e[0]);
    cr_expect_str_eq(e[0].warning, "");
    fv_explanation_destroy(&e[0]);
    expect_warning("normgrad:layer=blocks.0+blocks.1", "no position has a gradient");
    need("normgrad:layer=blocks.0+blocks.1", 1, &e[0]); /* left out */
    need("normgrad:layer=blocks.0", 1, &e[1]);
    cr_assert(fv_map_normalise(e[1].map, e[1].height * e[1].width));
    cr_expect(approx_same(e[0].height * e[0].width, e[0].map, e[1].map));
    done();
}

/* Global pooling hands one gradient to all positions: |x_u| times a constant for every class. */
Test(eval_normgrad, the_last_layer_before_pooling_knows_no_classes) {
    open_model("mini_halonet_h1");
    need("normgrad:layer=stages.3", 1, &e[0]);
    need("normgrad:layer=stages.3", 2, &e[1]);
    const int64_t n = e[0].grid_h * e[0].grid_w;
    const double ratio = (double)e[1].grid[0] / (double)e[0].grid[0];
    for (int64_t i = 0; i < n; i++)
        cr_expect_float_eq(e[1].grid[i], ratio * (double)e[0].grid[i],
                           1e-5 * ratio * (double)e[0].grid[i]);
    fv_explanation_destroy(&e[0]);
    fv_explanation_destroy(&e[1]);
    expect_warning("normgrad:layer=stages.3", "the same gradient");
    expect_warning("normgrad:bias:layer=stages.3", "constant map");
    need("normgrad", 1, &e[0]); /* the other stages do know */
    cr_expect_str_eq(e[0].warning, "");
    need("normgrad:layer=stages.1", 1, &e[1]);
    cr_expect_str_eq(e[1].warning, "");
    done();
}

/* ---- the step ---- */

static const char with_step[] = "normgrad:meta_lr=0.01";

Test(eval_normgrad, a_step_changes_the_map_and_nothing_else) {
    open_model("mini_halonet_h1");
    const int64_t n = r.model->input.height * r.model->input.width;
    need("normgrad", 1, &e[0]);
    need(with_step, 1, &e[1]);
    cr_expect_not(approx_same(n, e[0].map, e[1].map));
    cr_expect_eq(e[0].logit, e[1].logit);
    fv_explanation_destroy(&e[1]);
    need("normgrad:meta_lr=0", 1, &e[1]);
    cr_expect(approx_same(n, e[0].map, e[1].map));
    done();
}

Test(eval_normgrad, images_take_their_steps_alone) {
    fv_explanation batch[2];

    open_model("mini_biformer");
    const int64_t n = r.model->input.height * r.model->input.width;
    cr_assert_eq(explain(with_step, 0, 2, 1, batch), FV_OK, "%s", fv_error_message());
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(explain(with_step, i, 1, 1, &e[i]), FV_OK, "%s", fv_error_message());
        cr_expect(approx_same(n, batch[i].map, e[i].map));
        fv_explanation_destroy(&batch[i]);
    }
    done();
}

Test(eval_normgrad, a_step_needs_gradients) {
    const fv_model_config config = {.name = "mini_vit"};
    fv_model *without = NULL;

    open_model("mini_vit");
    cr_assert_eq(fv_model_create(&config, false, &without), FV_OK, "%s", fv_error_message());
    fv_model_init(without, 1);
    fv_model *with = r.model;
    r.model = without;
    expect_refused(with_step, "without gradients");
    need("normgrad", 1, &e[0]);
    r.model = with;
    fv_model_destroy(without);
    done();
}

/* ---- memory ---- */

/* Every allocation on the way may fail: an ordinary error, nothing leaks, the weights are as before. */
Test(eval_normgrad, failing_allocations) {
    fv_saliency_choice choice;
    fv_status status = FV_ERR_NOMEM;

    open_model("mini_vit");
    const fv_tensor pixels = model_run_pixels(&r, 0, 1);
    const size_t bytes = (size_t)r.model->params.slab_numel * sizeof(float);
    float *before = fv_alloc(bytes, 1);
    cr_assert_not_null(before);
    memcpy(before, r.model->params.value.base, bytes);
    cr_assert_eq(
        fv_saliency_parse("normgrad:meta_lr=0.01:layer=tokens+blocks.0", &r.arena, &choice), FV_OK);
    const fv_explain_request request = {.choice = &choice, .against = FV_AGAINST_NOTHING};
    for (uint64_t n = 1; n < 10000 && status != FV_OK; n++) {
        fv_tape *tape = NULL;
        fv_alloc_fail_at(n);
        status = fv_tape_create(&tape);
        if (status == FV_OK) status = fv_explain(tape, r.model, pixels.data, 1, &request, &e[0]);
        fv_alloc_fail_at(0);
        cr_expect(status == FV_OK || status == FV_ERR_NOMEM, "%s", fv_error_message());
        cr_expect_eq(memcmp(before, r.model->params.value.base, bytes), 0);
        fv_tape_destroy(tape);
    }
    cr_expect_eq(status, FV_OK);
    fv_free(before);
    done();
}
