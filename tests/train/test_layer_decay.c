#include "models/layer_index.h"
#include "tests/support/trainer_run.h"
#include "train/layer_decay.h"
#include "train/optimizer.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#define MAX_PARAMS 256
#define UPDATES    3

TestSuite(train_layer_decay, .init = run_enter, .fini = run_leave);

static fv_model *create(void) {
    const fv_model_config config = {.name = "mini_davit", .num_classes = 3};
    fv_model *model;

    OK(fv_model_create(&config, true, &model));
    cr_assert_leq(model->params.count, MAX_PARAMS);
    fv_model_init(model, 3);
    return model;
}

Test(train_layer_decay, scales_are_powers_with_a_floor) {
    fv_model *model = create();
    int64_t layer[MAX_PARAMS], n_layers;
    double scale[MAX_PARAMS];

    OK(fv_model_layer_index(model, layer, &n_layers));
    OK(fv_layer_decay_scales(&(fv_layer_decay){0.5, 0.2}, model, scale));
    for (int64_t i = 0; i < model->params.count; i++) {
        const int64_t behind = n_layers - 1 - layer[i];
        cr_assert_eq(scale[i], behind == 0 ? 1.0 : behind == 1 ? 0.5 : behind == 2 ? 0.25 : 0.2);
    }
    cr_assert_eq(scale[0], 0.2, "the stem is more than two layers from the head");
    fv_model_destroy(model);
}

/* The values after some updates with made-up gradients; scale may be NULL. */
static fv_model *trained(const char *name, const double *scale, double lr) {
    fv_model *model = create();
    fv_optimizer_config config;
    fv_optimizer *optimizer;

    fv_optimizer_config_init(&config);
    config.name = name;
    config.weight_decay = 0.1;
    config.lr_scale = scale;
    OK(fv_optimizer_create(&config, &model->params, &optimizer));
    for (int k = 0; k < UPDATES; k++) {
        for (int64_t i = 0; i < model->params.count; i++) {
            const fv_param *p = model->params.item[i];
            for (int64_t j = 0; p->grad && j < p->numel; j++)
                p->grad[j] = sinf((float)(j + 7 * k)) + 0.1f;
        }
        fv_optimizer_step(optimizer, lr, 1.0f);
    }
    fv_optimizer_destroy(optimizer);
    return model;
}

static bool same(const fv_param *a, const fv_param *b) {
    return memcmp(a->value, b->value, (size_t)a->numel * sizeof *a->value) == 0;
}

/* Powers of 1/2, so that rate times share is exact. */
static void check_optimizer(const char *name) {
    fv_model *plain = create();
    double scale[MAX_PARAMS];

    OK(fv_layer_decay_scales(&(fv_layer_decay){0.5, 0.0}, plain, scale));
    fv_model *scaled = trained(name, scale, 0.125);
    for (double lr = 0.125; lr > 1e-3; lr *= 0.5) {
        fv_model *single = trained(name, NULL, lr);
        for (int64_t i = 0; i < plain->params.count; i++) {
            const bool equal = same(scaled->params.item[i], single->params.item[i]);
            if (plain->params.item[i]->trainable)
                cr_assert_eq(equal, scale[i] == lr / 0.125, "%s of %s at a rate of %g", name,
                             plain->params.item[i]->name, lr);
        }
        fv_model_destroy(single);
    }
    fv_model_destroy(scaled);
    fv_model_destroy(plain);
}

Test(train_layer_decay, a_share_is_a_smaller_rate) {
    check_optimizer("adamw");
    check_optimizer("sgd");
}
