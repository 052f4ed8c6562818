#include "tests/support/layer_run.h"

#include "core/rng.h"

#include <stdio.h>
#include <stdlib.h>

static void need(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "layer_run: %s: %s\n", what, fv_error_message());
    abort();
}

void layer_run_open(layer_run *r) {
    *r = (layer_run){0};
    r->params.arena = &r->arena;
    need(fv_tape_create(&r->tape) == FV_OK, "tape");
}

void layer_run_close(layer_run *r) {
    fv_tape_destroy(r->tape);
    fv_params_destroy(&r->params);
    fv_arena_destroy(&r->arena);
}

fv_scope layer_run_scope(layer_run *r, const char *path) { return (fv_scope){&r->params, path}; }

void layer_run_ready(layer_run *r) {
    need(fv_params_alloc(&r->params, (fv_params_alloc_options){.grad = true, .bf16 = true}) ==
             FV_OK,
         "parameters");
    fv_params_init(&r->params, 1);
    for (int64_t p = 0; p < r->params.count; p++) {
        const fv_param *param = r->params.item[p];
        const fv_rng_key key = {.seed = 1, .purpose = FV_RNG_TEST, .layer = param->hash};
        for (int64_t i = 0; i < param->numel; i++)
            param->value[i] += 0.1f * fv_rng_normal(&key, (uint64_t)i);
    }
    fv_params_bf16_refresh(&r->params);
}

fv_var *layer_run_begin(layer_run *r, const fv_step *step, fv_shape shape) {
    const int64_t n = fv_shape_numel(&shape);
    const fv_rng_key key = {.seed = 2, .purpose = FV_RNG_TEST};
    float *x = fv_arena_alloc(&r->arena, (size_t)n, sizeof *x);

    need(x != NULL, "input");
    for (int64_t i = 0; i < n; i++) x[i] = fv_rng_normal(&key, (uint64_t)i);
    fv_tape_begin(r->tape, step);
    return fv_input(r->tape, &(fv_tensor){x, FV_F32, shape}, true);
}

float layer_run_value(const layer_run *r, const char *name, int64_t i) {
    const fv_param *param = fv_params_find(&r->params, name);
    need(param != NULL, name);
    return param->value[i];
}
