#include "tests/support/model_run.h"

#include <criterion/criterion.h>
#include <string.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(models_recompute, .init = enter, .fini = leave);

#define SAMPLES 4

typedef struct outcome {
    float losses[SAMPLES];
    float *grad;    /* [slab_numel] */
    float *buffers; /* running statistics, one behind the other */
    int64_t n_buffers, parts;
} outcome;

static void copy_buffers(outcome *o) {
    const fv_params *params = &run.model->params;

    o->buffers = fv_arena_calloc(&run.arena, (size_t)params->slab_numel + 1, sizeof(float));
    for (int64_t i = 0; i < params->count; i++) {
        const fv_param *p = params->item[i];
        if (p->grad) continue;
        memcpy(o->buffers + o->n_buffers, p->value, (size_t)p->numel * sizeof(float));
        o->n_buffers += p->numel;
    }
}

/* A fresh model; the first pass is recorded, the second follows its plan. */
static outcome train(const fv_model_config *config, int64_t recompute) {
    const fv_step step = {.mode = FV_TRAIN,
                          .bf16 = config->bf16,
                          .samples = SAMPLES,
                          .chunk_samples = 2,
                          .recompute = recompute,
                          .seed = 7,
                          .index = 3};
    outcome o = {.n_buffers = 0};

    model_run_create(&run, config);
    const fv_params *params = &run.model->params;
    const size_t n = (size_t)params->slab_numel * sizeof(float);
    o.grad = fv_arena_alloc(&run.arena, 1, n);
    for (int i = 0; i < 2; i++) {
        memset(params->grad.base, 0x7f, n);
        memcpy(o.losses, model_run_pass(&run, &step, SAMPLES), sizeof o.losses);
    }
    memcpy(o.grad, params->grad.base, n);
    o.parts = fv_tape_parts(run.tape);
    fv_tape_commit(run.tape);
    copy_buffers(&o);
    return o;
}

/* Stochastic depth and batch statistics included. */
static void check(const char *name, bool bf16) {
    const fv_model_config config = {.name = name, .drop_path = 0.4, .bf16 = bf16};
    const outcome want = train(&config, 0);
    const size_t n = (size_t)run.model->params.slab_numel * sizeof(float);

    cr_assert_gt(want.parts, 1, "%s has no parts", name);
    for (int64_t k = 1; k <= want.parts; k += want.parts - 1) {
        const outcome got = train(&config, k);
        cr_assert_eq(got.parts, want.parts);
        cr_assert_arr_eq(got.losses, want.losses, sizeof want.losses, "%s, %d parts", name, (int)k);
        cr_assert_arr_eq(got.grad, want.grad, n, "%s, %d parts", name, (int)k);
        cr_assert_eq(got.n_buffers, want.n_buffers);
        cr_assert_arr_eq(got.buffers, want.buffers, (size_t)want.n_buffers * sizeof(float),
                         "%s, %d parts", name, (int)k);
    }
}

static const char *const names[] = {"mini_vit", "mini_biformer", "mini_davit", "mini_halonet_h1"};

Test(models_recompute, gives_the_same_bits) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], false);
}

Test(models_recompute, gives_the_same_bits_in_bf16) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], true);
}

static void no_edit(fv_var *v, const char *name, void *user) { (void)v, (void)name, (void)user; }

/* Nothing can be forgotten that somebody may edit: the same bits with all values in memory. */
Test(models_recompute, forgotten_values_change_no_bit) {
    for (int k = 0; k < 2 * (int)(sizeof names / sizeof *names); k++) {
        const fv_model_config config = {.name = names[k / 2], .bf16 = k % 2, .drop_path = 0.4};
        fv_tape_set_edit(run.tape, no_edit, NULL);
        const outcome want = train(&config, 0);
        const size_t n = (size_t)run.model->params.slab_numel;
        fv_tape_set_edit(run.tape, NULL, NULL);
        const outcome got = train(&config, 0);
        cr_expect_arr_eq(got.losses, want.losses, sizeof want.losses, "%s", config.name);
        cr_expect_arr_eq(got.grad, want.grad, n * sizeof(float), "%s", config.name);
        cr_expect_arr_eq(got.buffers, want.buffers, (size_t)want.n_buffers * sizeof(float), "%s",
                         config.name);
    }
}

/* A watched value inside of a part stays readable, and changes no bit. */
Test(models_recompute, leaves_kept_values_alone) {
    const fv_model_config config = {.name = "mini_vit"};
    const outcome want = train(&config, 0);
    const size_t n = (size_t)run.model->params.slab_numel * sizeof(float);

    cr_assert_eq(fv_tape_watch(run.tape, "blocks.0.mid", FV_WATCH_VALUE), FV_OK);
    cr_assert_eq(fv_tape_watch(run.tape, "*.fc1.weight.output", FV_WATCH_VALUE), FV_OK);
    float *before = NULL;
    for (int64_t k = 0; k <= 2; k++) {
        const outcome got = train(&config, k);
        const fv_var *mid = fv_tape_find(run.tape, "blocks.0.mid");
        cr_assert_not_null(mid);
        const size_t bytes = (size_t)fv_shape_numel(&mid->shape) * sizeof(float);
        if (!before) {
            before = fv_arena_alloc(&run.arena, 1, bytes);
            memcpy(before, mid->data, bytes);
        }
        cr_assert_arr_eq(mid->data, before, bytes, "%d parts", (int)k);
        cr_assert_arr_eq(got.grad, want.grad, n, "%d parts", (int)k);
    }
    fv_tape_clear_watches(run.tape);
}
