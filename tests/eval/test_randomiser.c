/* Random stages: every weight belongs to one, and all come back. */
#include "core/alloc.h"
#include "eval/saliency/randomisation.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static fv_model *model;
static float *own; /* the model's values before */

static void enter_model(const char *name) {
    cr_assert_eq(fv_model_create(&(fv_model_config){.name = name}, false, &model), FV_OK);
    fv_generate_params(&model->params, "");
    const size_t n = (size_t)model->params.slab_numel;
    own = fv_alloc(n, sizeof *own);
    cr_assert_not_null(own);
    memcpy(own, model->params.value.base, n * sizeof *own);
}

static void leave(void) {
    fv_free(own);
    fv_model_destroy(model);
}

TestSuite(eval_randomiser, .fini = leave);

static bool is_own(const fv_param *p) {
    return memcmp(p->value, own + p->offset, (size_t)p->numel * sizeof *own) == 0;
}

static void check(const char *name) {
    fv_randomiser *r;

    enter_model(name);
    cr_assert_eq(fv_randomiser_create(model, 1, &r), FV_OK);
    const int64_t n = fv_randomiser_stages(r);
    cr_expect_str_eq(fv_randomiser_name(r, 0), "head");
    cr_expect_str_eq(fv_randomiser_name(r, n - 1), "stem");
    for (int64_t i = 0; i < model->params.count; i++) cr_expect(is_own(model->params.item[i]));
    fv_randomiser_apply(r, 0);
    for (int c = 0; c < 2 && model->classifiers[c]; c++) {
        char weight[256];
        snprintf(weight, sizeof weight, "%s.weight", model->classifiers[c]);
        cr_expect_not(is_own(fv_params_find(&model->params, weight)), "%s", weight);
    }
    for (int64_t s = 1; s < n; s++) fv_randomiser_apply(r, s);
    for (int64_t i = 0; i < model->params.count; i++)
        if (!(model->params.item[i]->flags &
              FV_PARAM_I64)) /* counters of passes are 0 either way */
            cr_expect_not(is_own(model->params.item[i]), "%s", model->params.item[i]->name);
    fv_randomiser_destroy(r);
    for (int64_t i = 0; i < model->params.count; i++) cr_expect(is_own(model->params.item[i]));
}

Test(eval_randomiser, vit) { check("mini_vit"); }

Test(eval_randomiser, distilled) { check("mini_deit_distilled"); }

Test(eval_randomiser, davit) { check("mini_davit"); }

Test(eval_randomiser, biformer) { check("mini_biformer"); }

Test(eval_randomiser, halonet) { check("mini_halonet_h1"); }

/* Maps of the trained model are like themselves and unlike those of a random one. */
Test(eval_randomiser, maps_change) {
    fv_randomiser *r;
    fv_map_similarity out[16];
    fv_saliency_choice choice;
    fv_arena arena = {0};
    fv_tape *tape;
    float image[32 * 32 * 3];

    enter_model("mini_vit");
    fv_generate_images("", "input", 1, 3, 32, 32, image);
    cr_assert_eq(fv_saliency_parse("lrp", &arena, &choice), FV_OK);
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
    cr_assert_eq(fv_randomiser_create(model, 1, &r), FV_OK);
    const int64_t n = fv_randomiser_stages(r);
    cr_assert_leq(n, 16);
    const fv_randomisation test = {
        .tape = tape, .model = model, .randomiser = r, .cascade = true, .method = &choice};
    cr_assert_eq(fv_randomisation_run(&test, image, -1, out), FV_OK, "%s", fv_error_message());
    for (int64_t s = 0; s < n; s++)
        cr_expect(fabs(out[s].spearman) < 0.9, "%s: %g", fv_randomiser_name(r, s), out[s].spearman);
    for (int64_t i = 0; i < model->params.count; i++) cr_expect(is_own(model->params.item[i]));
    fv_randomiser_destroy(r);
    fv_tape_destroy(tape);
    fv_arena_destroy(&arena);
}
