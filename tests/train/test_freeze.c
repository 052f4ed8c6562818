#include "core/alloc.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "models/freeze.h"
#include "tests/support/trainer_run.h"
#include "train/stepper.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define BATCH    4
#define MAX_SIDE 128

static float pixels[BATCH * MAX_SIDE * MAX_SIDE * 3];
static int32_t labels[BATCH];

typedef struct rig {
    fv_model *model;
    fv_optimizer *optimizer;
    fv_stepper *stepper;
} rig;

static void make_data(void) {
    const fv_rng_key key = {.purpose = FV_RNG_TEST};

    run_enter();
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = 2.0f * fv_rng_uniform(&key, i) - 1.0f;
    for (int i = 0; i < BATCH; i++) labels[i] = i % 3;
}

TestSuite(train_freeze, .init = make_data, .fini = run_leave);

static void rig_create(rig *r, const char *name, const char *freeze, int64_t batch_size) {
    const fv_model_config config = {
        .name = name, .num_classes = 3, .drop_path = 0.2, .freeze = freeze};
    fv_optimizer_config optimizer;

    *r = (rig){0};
    OK(fv_model_create(&config, true, &r->model));
    fv_model_init(r->model, 3);
    fv_optimizer_config_init(&optimizer);
    optimizer.weight_decay = 0.1;
    OK(fv_optimizer_create(&optimizer, &r->model->params, &r->optimizer));
    OK(fv_stepper_create(&(fv_stepper_config){.model = r->model,
                                              .optimizer = r->optimizer,
                                              .effective_batch = BATCH,
                                              .batch_size = batch_size,
                                              .seed = 5},
                         &r->stepper));
}

static void rig_destroy(rig *r) {
    fv_stepper_destroy(r->stepper);
    fv_optimizer_destroy(r->optimizer);
    fv_model_destroy(r->model);
}

/* Forward and backward of one update; its result. */
static fv_stepper_result backward(rig *r, uint32_t index) {
    const int64_t most = fv_stepper_pass_samples(r->stepper), side = r->model->input.height;
    fv_stepper_result result;

    cr_assert_leq(side, MAX_SIDE);
    for (int64_t first = 0; first < BATCH; first += most)
        OK(fv_stepper_run(r->stepper,
                          &(fv_stepper_pass){.index = index,
                                             .first = first,
                                             .n = BATCH - first < most ? BATCH - first : most,
                                             .pixels = pixels + first * side * side * 3,
                                             .labels = labels + first,
                                             .check_finite = true}));
    OK(fv_stepper_judge(r->stepper, &result));
    return result;
}

/* Every gradient that is left is the one without freezing, to the bit; no other has memory. */
static void same_gradients(const char *name, const char *freeze) {
    rig all, part;
    int64_t compared = 0;

    rig_create(&all, name, NULL, BATCH);
    rig_create(&part, name, freeze, BATCH);
    const double loss = backward(&all, 0).loss;
    cr_assert_eq(backward(&part, 0).loss, loss);
    for (int64_t i = 0; i < all.model->params.count; i++) {
        const fv_param *a = all.model->params.item[i], *b = part.model->params.item[i];
        if (b->frozen) {
            cr_expect(!b->grad && b->offset >= part.model->params.train_numel, "%s", b->name);
        } else if (b->grad) {
            cr_expect_eq(memcmp(a->grad, b->grad, (size_t)a->numel * sizeof(float)), 0,
                         "%s, %s frozen: %s", name, freeze, b->name);
            compared++;
        }
    }
    cr_assert_gt(compared, 0);
    cr_assert_lt(part.model->params.train_numel, all.model->params.train_numel);
    rig_destroy(&all);
    rig_destroy(&part);
}

Test(train_freeze, gradients_of_the_rest_are_those_without_freezing) {
    same_gradients("mini_vit", "backbone");
    same_gradients("mini_vit", "cls_token,pos_embed,patch_embed,blocks.0");
    same_gradients("mini_vit", "patch_embed,blocks.1.mlp,head.bias");
    same_gradients("mini_vit", "blocks.1,norm,head");
    /* The first layer that learns reads what nothing can be walked back to. */
    same_gradients("mini_vit", "cls_token,pos_embed,patch_embed,blocks.0.norm1,blocks.0.attn,"
                               "blocks.0.norm2,blocks.0.mlp.fc1");
    same_gradients("mini_deit_distilled", "blocks.0.attn,dist_token,head_dist");
    same_gradients("mini_davit", "stem,stages.0,stages.1");
    same_gradients("mini_davit", "stages.2");
}

/* Statistics of a frozen norm are the running ones, so only what has none is comparable. */
Test(train_freeze, frozen_values_and_statistics_stay_and_others_move) {
    static const char *const cases[][2] = {{"mini_vit", "cls_token,pos_embed,patch_embed,blocks.0"},
                                           {"mini_biformer", "downsample_layers.0,stages.0"},
                                           {"mini_biformer", "backbone"},
                                           {"mini_halonet_h1", "stem,stages.0"},
                                           {"mini_halonet_h1", "stages.1"},
                                           {"mini_davit", "backbone"}};

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        rig r;
        rig_create(&r, cases[k][0], cases[k][1], BATCH);
        const size_t n = (size_t)r.model->params.slab_numel * sizeof(float);
        float *before = fv_alloc(n, 1);
        memcpy(before, r.model->params.value.base, n);
        for (uint32_t i = 0; i < 2; i++) {
            const fv_stepper_result result = backward(&r, i);
            fv_stepper_commit(r.stepper, 1e-2, &result);
        }
        for (int64_t i = 0; i < r.model->params.count; i++) {
            const fv_param *p = r.model->params.item[i];
            const bool same =
                memcmp(p->value, before + p->offset, (size_t)p->numel * sizeof(float)) == 0;
            cr_expect_eq(same, p->frozen, "%s, %s frozen: %s", cases[k][0], cases[k][1], p->name);
        }
        fv_free(before);
        rig_destroy(&r);
    }
}

static size_t step_bytes(const char *freeze) {
    rig r;

    rig_create(&r, "mini_vit", freeze, BATCH);
    for (uint32_t i = 0; i < 3; i++) {
        const fv_stepper_result result = backward(&r, i);
        fv_stepper_commit(r.stepper, 1e-2, &result);
    }
    const size_t bytes = fv_stepper_bytes(r.stepper);
    rig_destroy(&r);
    return bytes;
}

Test(train_freeze, a_frozen_prefix_keeps_no_activations) {
    const size_t all = step_bytes(NULL);
    const size_t half = step_bytes("cls_token,pos_embed,patch_embed,blocks.0");
    const size_t head = step_bytes("backbone");

    cr_expect_lt(half, all - all / 4, "%zu of %zu", half, all);
    cr_expect_lt(head, half - half / 4, "%zu of %zu", head, half);
}

Test(train_freeze, names_are_whole_components) {
    fv_model *model = NULL;

    OK(fv_model_describe(&(fv_model_config){.name = "vit_tiny_patch16_224"}, &model));
    OK(fv_model_freeze(model, "blocks.1"));
    cr_assert(fv_params_find(&model->params, "blocks.1.norm1.weight")->frozen);
    cr_assert(!fv_params_find(&model->params, "blocks.10.norm1.weight")->frozen);
    cr_assert_eq(fv_model_freeze(model, "blocks.12"), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "'blocks.12' is no part of"), "%s", fv_error_message());
    cr_assert_eq(fv_model_freeze(model, "blocks.2,,norm"), FV_ERR_CONFIG);
    cr_assert_eq(fv_model_freeze(model, "backbone,head"), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "nothing"), "%s", fv_error_message());
    fv_model_destroy(model);
}

Test(train_freeze, runs_resume_and_do_not_depend_on_threads) {
    const char *const part[] = {"freeze=patch_embed,cls_token,pos_embed,blocks.0", "model_ema=true",
                                NULL};
    run_watch w = {.stop_after = 3};

    fv_threads_set(1);
    OK(run_train(run_path("whole"), part));
    fv_threads_set(3);
    cr_assert_eq(run_train_watched(&w, run_path("cut"), part), FV_ERR_INTERRUPTED);
    OK(run_train(run_path("cut"), OPTIONS("resume=auto", part[0], part[1])));
    SAME_FILE(run_path("whole/last/model.safetensors"), run_path("cut/last/model.safetensors"));
    SAME_FILE(run_path("whole/last/model_ema.safetensors"),
              run_path("cut/last/model_ema.safetensors"));
    SAME_FILE(run_path("whole/last/optimizer.safetensors"),
              run_path("cut/last/optimizer.safetensors"));
    cr_assert_eq(run_train(run_path("cut"), OPTIONS("resume=auto", "freeze=blocks.0", part[1])),
                 FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "freeze was"), "%s", fv_error_message());
}
