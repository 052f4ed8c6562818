#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "train/stepper.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EFFECTIVE 40 /* five chunks of eight: the tree is not full */
#define SIDE      32

static float pixels[EFFECTIVE * SIDE * SIDE * 3];
static int32_t labels[EFFECTIVE];

typedef struct rig {
    fv_arena arena;
    fv_model *model;
    fv_optimizer *optimizer;
    fv_stepper *stepper;
} rig;

static void make_data(void) {
    const fv_rng_key key = {.purpose = FV_RNG_TEST};
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = 2.0f * fv_rng_uniform(&key, i) - 1.0f;
    /* Brightness tells the classes apart: there is something to learn within a few updates. */
    for (int i = 0; i < EFFECTIVE; i++) {
        labels[i] = i % 2;
        for (int k = 0; k < SIDE * SIDE * 3; k++)
            pixels[i * SIDE * SIDE * 3 + k] += labels[i] ? 0.5f : -0.5f;
    }
}

TestSuite(train_stepper, .init = make_data);

/* 257 tokens: eight samples to a chunk. */
static void rig_create_with(rig *r, const fv_stepper_config *asked) {
    *r = (rig){0};
    fv_value *kwargs = fv_value_new(&r->arena, FV_VALUE_MAP);
    fv_value_set(&r->arena, kwargs, "patch_size", fv_value_int(&r->arena, 2));
    fv_value_set(&r->arena, kwargs, "embed_dim", fv_value_int(&r->arena, 16));
    fv_value_set(&r->arena, kwargs, "num_heads", fv_value_int(&r->arena, 2));
    const fv_model_config config = {
        .name = "mini_vit", .kwargs = kwargs, .drop_path = 0.3, .bf16 = asked->bf16};
    fv_optimizer_config optimizer;

    cr_assert_eq(fv_model_create(&config, true, &r->model), FV_OK, "%s", fv_error_message());
    fv_model_init(r->model, 3);
    fv_optimizer_config_init(&optimizer);
    cr_assert_eq(fv_optimizer_create(&optimizer, &r->model->params, &r->optimizer), FV_OK);
    cr_assert_eq(fv_model_chunk_samples(r->model), 8);
    fv_stepper_config stepper = *asked;
    stepper.model = r->model;
    stepper.optimizer = r->optimizer;
    stepper.effective_batch = EFFECTIVE;
    stepper.seed = 5;
    stepper.smoothing = 0.1f;
    stepper.clip_grad = 1.0;
    cr_assert_eq(fv_stepper_create(&stepper, &r->stepper), FV_OK, "%s", fv_error_message());
}

static void rig_create(rig *r, int64_t batch_size, bool bf16) {
    rig_create_with(r, &(fv_stepper_config){.batch_size = batch_size, .bf16 = bf16});
}

static void rig_destroy(rig *r) {
    fv_stepper_destroy(r->stepper);
    fv_optimizer_destroy(r->optimizer);
    fv_model_destroy(r->model);
    fv_arena_destroy(&r->arena);
}

static fv_status passes(rig *r, uint32_t index, bool check_finite) {
    const int64_t most = fv_stepper_pass_samples(r->stepper);

    for (int64_t first = 0; first < EFFECTIVE; first += most) {
        const int64_t left = EFFECTIVE - first;
        const fv_stepper_pass pass = {.index = index,
                                      .first = first,
                                      .n = left < most ? left : most,
                                      .pixels = pixels + first * SIDE * SIDE * 3,
                                      .labels = labels + first,
                                      .check_finite = check_finite};
        const fv_status status = fv_stepper_run(r->stepper, &pass);
        if (status != FV_OK) return status;
    }
    return FV_OK;
}

static void update(rig *r, uint32_t index, fv_stepper_result *result) {
    cr_assert_eq(passes(r, index, false), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_stepper_judge(r->stepper, result), FV_OK, "%s", fv_error_message());
    fv_stepper_commit(r->stepper, 1e-2, result);
}

static void check_splits(bool bf16) {
    static const int64_t sizes[] = {40, 3, 16, 24};
    float *expected = NULL;
    fv_stepper_result first = {0};
    rig r;

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        fv_stepper_result result;
        const int threads = k % 2 ? 3 : 1;
        fv_threads_set(threads);
        rig_create(&r, sizes[k], bf16);
        const size_t n = (size_t)r.model->params.slab_numel * sizeof(float);
        for (uint32_t i = 0; i < 2; i++) update(&r, i, &result);
        if (!expected) {
            expected = fv_alloc(n, 1);
            memcpy(expected, r.model->params.value.base, n);
            first = result;
        }
        cr_assert_eq(memcmp(expected, r.model->params.value.base, n), 0, "batch %lld, %d threads",
                     (long long)sizes[k], threads);
        cr_assert_eq(memcmp(&first, &result, sizeof first), 0);
        rig_destroy(&r);
    }
    fv_free(expected);
}

Test(train_stepper, bits_depend_on_neither_split_nor_threads) { check_splits(false); }

Test(train_stepper, nor_do_those_of_bf16) { check_splits(true); }

Test(train_stepper, overfits_one_batch) {
    fv_stepper_result result;
    double loss = 0.0;
    rig r;

    rig_create(&r, EFFECTIVE, false);
    for (uint32_t i = 0; i < 8; i++) {
        update(&r, i, &result);
        if (i == 0) loss = result.loss;
    }
    cr_assert_lt(result.loss, loss - 0.5, "%g -> %g", loss, result.loss);
    rig_destroy(&r);
}

Test(train_stepper, allocates_nothing_after_warm_up) {
    static const int64_t sizes[] = {EFFECTIVE, 16};
    fv_stepper_result result;
    rig r;

    for (int k = 0; k < 2; k++) {
        rig_create(&r, sizes[k], false);
        for (uint32_t i = 0; i < 3; i++) update(&r, i, &result);
        const uint64_t calls = fv_alloc_calls(), plans = fv_backend()->plans_created();
        for (uint32_t i = 3; i < 6; i++) update(&r, i, &result);
        cr_assert_eq(fv_alloc_calls(), calls, "%llu calls",
                     (unsigned long long)(fv_alloc_calls() - calls));
        cr_assert_eq(fv_backend()->plans_created(), plans);
        rig_destroy(&r);
    }
}

static size_t value_bytes;

/* Values after three updates; *bytes of the tape then. */
static float *trained_values(const fv_stepper_config *asked, size_t *bytes, int64_t *recomputed) {
    fv_stepper_result result;
    int64_t blocks;
    rig r;

    rig_create_with(&r, asked);
    const size_t n = value_bytes = (size_t)r.model->params.slab_numel * sizeof(float);
    for (uint32_t i = 0; i < 3; i++) update(&r, i, &result);
    *bytes = fv_stepper_bytes(r.stepper);
    *recomputed = fv_stepper_recomputed(r.stepper, &blocks);
    cr_assert_eq(blocks, 2);
    float *copy = fv_alloc(n, 1);
    memcpy(copy, r.model->params.value.base, n);
    if (asked->mem_limit)
        cr_assert_leq(FV_STEPPER_RESERVE + fv_alloc_bytes() - n + *bytes, asked->mem_limit);
    rig_destroy(&r);
    return copy;
}

/* What a rig holds beside the tape. */
static size_t held_bytes(int64_t batch_size) {
    rig r;

    rig_create(&r, batch_size, false);
    fv_stepper_result result;
    for (uint32_t i = 0; i < 3; i++) update(&r, i, &result);
    const size_t bytes = fv_alloc_bytes();
    rig_destroy(&r);
    return bytes;
}

static void check_limit(int64_t batch_size) {
    fv_stepper_config asked = {.batch_size = batch_size};
    const size_t held = held_bytes(batch_size);
    size_t plain, checkpointed, limited;
    int64_t recomputed;

    float *want = trained_values(&asked, &plain, &recomputed);
    cr_assert_eq(recomputed, 0);
    asked.grad_checkpointing = true;
    float *got = trained_values(&asked, &checkpointed, &recomputed);
    cr_assert_eq(recomputed, 2);
    cr_assert_lt(checkpointed, plain);
    cr_assert_arr_eq(got, want, value_bytes);
    fv_free(got);

    asked.grad_checkpointing = false;
    asked.mem_limit = FV_STEPPER_RESERVE + held + plain - 1;
    got = trained_values(&asked, &limited, &recomputed);
    cr_assert_gt(recomputed, 0);
    cr_assert_lt(limited, plain);
    cr_assert_arr_eq(got, want, value_bytes);
    fv_free(got);
    fv_free(want);
}

Test(train_stepper, computes_blocks_again_to_stay_within_a_limit) { check_limit(EFFECTIVE); }

/* Passes of two chunks, the last one of one. */
Test(train_stepper, the_first_of_several_passes_settles_it) { check_limit(16); }

Test(train_stepper, a_limit_that_cannot_be_kept_is_an_error) {
    rig r;

    rig_create_with(&r, &(fv_stepper_config){.batch_size = EFFECTIVE,
                                             .mem_limit = FV_STEPPER_RESERVE + fv_alloc_bytes()});
    cr_assert_eq(passes(&r, 0, false), FV_ERR_NOMEM);
    cr_assert(strstr(fv_error_message(), "all blocks recomputed"), "%s", fv_error_message());
    rig_destroy(&r);
}

Test(train_stepper, names_what_is_not_finite_and_changes_nothing) {
    rig r;

    rig_create(&r, 16, false);
    const size_t n = (size_t)r.model->params.slab_numel * sizeof(float);
    fv_params_find(&r.model->params, "blocks.1.mlp.fc1.weight")->value[3] = INFINITY;
    float *before = fv_alloc(n, 1);
    memcpy(before, r.model->params.value.base, n);

    cr_assert_eq(passes(&r, 0, false), FV_ERR_NONFINITE);
    cr_assert_eq(passes(&r, 0, true), FV_ERR_NONFINITE);
    cr_assert(strstr(fv_error_message(), "blocks.1"), "%s", fv_error_message());
    cr_assert_eq(memcmp(before, r.model->params.value.base, n), 0);
    fv_free(before);
    rig_destroy(&r);
}

Test(train_stepper, a_bad_gradient_is_found_before_it_is_used) {
    fv_stepper_result result;
    rig r;

    rig_create(&r, EFFECTIVE, false);
    cr_assert_eq(passes(&r, 0, false), FV_OK);
    fv_params_find(&r.model->params, "norm.bias")->grad[2] = NAN;
    cr_assert_eq(fv_stepper_judge(r.stepper, &result), FV_ERR_NONFINITE);
    cr_assert(strstr(fv_error_message(), "norm.bias"), "%s", fv_error_message());
    rig_destroy(&r);
}

static void check_precision(bool native) {
    bool bf16, emulated;

    cr_assert_eq(fv_precision_resolve("f32", &bf16, &emulated), FV_OK);
    cr_assert(!bf16 && !emulated);
    cr_assert_eq(fv_precision_resolve("auto", &bf16, &emulated), FV_OK);
    cr_assert_eq(bf16, native);
    cr_assert(!emulated);
    cr_assert_eq(fv_precision_resolve("bf16", &bf16, &emulated), FV_OK);
    cr_assert(bf16);
    cr_assert_eq(emulated, !native);
    cr_assert_eq(fv_precision_resolve("f16", &bf16, &emulated), FV_ERR_CONFIG);
}

static void set_avx2(void) { setenv("FOVEA_CPU", "avx2", 1); }

Test(train_stepper, precision_by_name) {
    check_precision((fv_cpu_flags() & FV_CPU_AVX512_BF16) != 0);
}
Test(train_stepper, precision_below_avx512, .init = set_avx2) { check_precision(false); }
