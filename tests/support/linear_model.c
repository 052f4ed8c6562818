#include "tests/support/linear_model.h"

#include "core/alloc.h"
#include "core/rng.h"

#include <stdio.h>
#include <stdlib.h>

static void need(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "linear_model: %s: %s\n", what, fv_error_message());
    abort();
}

/* ---- the family ---- */

typedef struct parameters {
    fv_param *weight, *bias; /* [K,3HW], [K] */
} parameters;

/* x [B,H,W,3] -> [B,K] */
static fv_var *forward(const fv_model *model, fv_var *x) {
    const parameters *p = model->self;
    const int64_t pixels = fv_dim(x, 1) * fv_dim(x, 2);

    x = fv_reshape(fv_tap(x, "input"), fv_shape_of(2, fv_dim(x, 0), 3 * pixels)); /* [B,3HW] */
    return fv_linear_f32(x, fv_param_var(x->tape, p->weight), fv_param_var(x->tape, p->bias));
}

static const fv_family family = {.name = "linear", .forward = forward};
static const char *features[] = {"input"};

static fv_model *create(int64_t H, int64_t W, int64_t K) {
    fv_model *model = fv_calloc(1, sizeof *model);
    need(model, "model");
    parameters *p = fv_arena_alloc(&model->arena, 1, sizeof *p);
    need(p, "parameters");
    const fv_init normal = {FV_INIT_NORMAL, 1.0f}, small = {FV_INIT_NORMAL, 0.1f};

    model->params.arena = &model->arena;
    p->weight = fv_params_add(&model->params, "weight", fv_shape_of(2, K, 3 * H * W), normal);
    p->bias = fv_params_add(&model->params, "bias", fv_shape_of(1, K), small);
    need(fv_params_alloc(&model->params, (fv_params_alloc_options){.grad = true}) == FV_OK, "slab");
    fv_params_init(&model->params, 1);
    model->family = &family;
    model->name = family.name;
    model->self = p;
    model->input = (fv_model_input){
        .height = H, .width = W, .mean = {0.5f, 0.4f, 0.3f}, .std = {0.2f, 0.25f, 0.5f}};
    model->num_classes = K;
    model->tokens = 1;
    model->feature_names = features;
    model->n_features = 1;
    return model;
}

/* ---- what is around it ---- */

void linear_model_open(linear_model *m, int64_t B, int64_t H, int64_t W, int64_t K) {
    const fv_rng_key key = {.seed = 2, .purpose = FV_RNG_TEST};

    *m = (linear_model){.B = B, .H = H, .W = W, .K = K, .max_images = 3};
    m->model = create(H, W, K);
    need(fv_tape_create(&m->tape) == FV_OK, "tape");
    m->pixels = fv_arena_alloc(&m->arena, (size_t)(B * H * W * 3), sizeof *m->pixels);
    need(m->pixels, "pixels");
    for (int64_t i = 0; i < 3 * B * H * W; i++) m->pixels[i] = fv_rng_normal(&key, (uint64_t)i);
    m->weight = fv_params_find(&m->model->params, "weight")->value;
    m->bias = fv_params_find(&m->model->params, "bias")->value;
}

void linear_model_close(linear_model *m) {
    fv_model_destroy(m->model);
    fv_tape_destroy(m->tape);
    fv_arena_destroy(&m->arena);
    *m = (linear_model){0};
}

fv_saliency_choice linear_model_choice(linear_model *m, const char *method) {
    fv_saliency_choice choice;
    need(fv_saliency_parse(method, &m->arena, &choice) == FV_OK, method);
    return choice;
}

fv_status linear_model_try(linear_model *m, const char *method, int64_t target,
                           fv_explanation out[]) {
    const fv_saliency_choice choice = linear_model_choice(m, method);
    int64_t *targets = fv_arena_alloc(&m->arena, (size_t)m->B, sizeof *targets);

    need(targets, "targets");
    for (int64_t b = 0; b < m->B; b++) targets[b] = target;
    const fv_explain_request request = {.choice = &choice,
                                        .target = targets,
                                        .against = FV_AGAINST_NOTHING,
                                        .seed = m->seed,
                                        .max_images = m->max_images};
    return fv_explain(m->tape, m->model, m->pixels, m->B, &request, out);
}

void linear_model_explain(linear_model *m, const char *method, int64_t target,
                          fv_explanation out[]) {
    need(linear_model_try(m, method, target, out) == FV_OK, method);
}

const float *linear_model_image(const linear_model *m, int64_t b) {
    return m->pixels + b * 3 * m->H * m->W;
}

const float *linear_model_weight(const linear_model *m, int64_t k) {
    return m->weight + k * 3 * m->H * m->W;
}
