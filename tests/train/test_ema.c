#include "train/ema.h"

#include "core/alloc.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "tests/support/alloc_sweep.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static fv_arena arena;
static fv_params params;
static fv_param *counter;

/* Longer than two tasks, with running statistics and their counter. */
static void make_params(void) {
    const fv_init normal = {FV_INIT_NORMAL, 0.5f};

    arena = (fv_arena){0};
    params = (fv_params){.arena = &arena};
    fv_params_add(&params, "a.weight", fv_shape_of(2, (int64_t)500, (int64_t)301), normal);
    fv_params_add_buffer(&params, "bn.running_mean", fv_shape_of(1, (int64_t)9), normal);
    counter = fv_params_add_buffer(&params, "bn.num_batches_tracked", (fv_shape){0},
                                   (fv_init){FV_INIT_ZEROS, 0.0f});
    counter->flags = FV_PARAM_I64;
    fv_params_add(&params, "b.bias", fv_shape_of(1, (int64_t)3), normal);
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){.bf16 = true}), FV_OK);
    fv_params_init(&params, 1);
}

static void free_params(void) {
    fv_params_destroy(&params);
    fv_arena_destroy(&arena);
}

TestSuite(train_ema, .init = make_params, .fini = free_params);

static fv_ema *create(double decay, bool warmup) {
    fv_ema *ema;
    cr_assert_eq(fv_ema_create(&(fv_ema_config){decay, warmup}, &params, &ema), FV_OK, "%s",
                 fv_error_message());
    return ema;
}

static void move_values(int64_t t) {
    fv_params_init(&params, (uint64_t)t + 1);
    counter->value[0] = (float)t;
    fv_params_bf16_refresh(&params);
}

Test(train_ema, follows_the_recurrence_in_double) {
    fv_ema *ema = create(0.9, false);
    double *expected = fv_alloc((size_t)params.slab_numel, sizeof *expected);

    cr_assert_not_null(expected);
    for (int64_t t = 1; t <= 4; t++) {
        move_values(t);
        fv_ema_update(ema, t);
        for (int64_t i = 0; i < params.slab_numel; i++) {
            const double w = (double)params.value.base[i];
            expected[i] = t == 1 ? w : 0.9 * expected[i] + 0.1 * w;
        }
    }
    const float *average = fv_ema_slab(ema)->base;
    for (int64_t i = 0; i < params.slab_numel; i++)
        if (i != counter->offset)
            cr_assert_float_eq((double)average[i], expected[i], 4e-7, "%lld", (long long)i);
    cr_assert_eq(average[counter->offset], 4.0f, "counters are copied");
    fv_free(expected);
    fv_ema_destroy(ema);
}

Test(train_ema, decays) {
    const fv_ema_config plain = {0.99, false}, warm = {0.99, true};

    cr_assert_eq(fv_ema_decay(&plain, 1), 0.0, "the first update is a copy, as in timm");
    cr_assert_eq(fv_ema_decay(&plain, 2), 0.99);
    cr_assert_eq(fv_ema_decay(&warm, 1), 0.0);
    cr_assert_float_eq(fv_ema_decay(&warm, 8), 0.75, 1e-15);
    cr_assert_float_eq(fv_ema_decay(&warm, 1000), 0.99, 1e-15);
    cr_assert_eq(fv_ema_decay(&warm, 100000), 0.99);
}

Test(train_ema, a_decay_of_one_keeps_and_of_zero_copies) {
    fv_ema *ema = create(1.0, false);
    const size_t n = (size_t)params.slab_numel * sizeof(float);
    float *first = fv_alloc(n, 1);

    memcpy(first, params.value.base, n);
    move_values(1);
    counter->value[0] = 0.0f;
    fv_ema_average(ema, 1.0);
    cr_assert_eq(memcmp(fv_ema_slab(ema)->base, first, n), 0);
    fv_ema_average(ema, 0.0);
    cr_assert_eq(memcmp(fv_ema_slab(ema)->base, params.value.base, n), 0);
    fv_free(first);
    fv_ema_destroy(ema);
}

Test(train_ema, bits_do_not_depend_on_threads) {
    const size_t n = (size_t)params.slab_numel * sizeof(float);
    float *expected = fv_alloc(n, 1);

    for (int threads = 1; threads <= 3; threads += 2) {
        fv_threads_set(threads);
        fv_params_init(&params, 1);
        fv_ema *ema = create(0.97, true);
        for (int64_t t = 1; t <= 5; t++) {
            move_values(t);
            fv_ema_update(ema, t);
        }
        if (threads == 1) memcpy(expected, fv_ema_slab(ema)->base, n);
        cr_assert_eq(memcmp(expected, fv_ema_slab(ema)->base, n), 0);
        fv_ema_destroy(ema);
    }
    fv_free(expected);
}

Test(train_ema, two_swaps_change_nothing) {
    const size_t n = (size_t)params.slab_numel * sizeof(float);
    fv_ema *ema = create(0.5, false);
    float *raw = fv_alloc(n, 1), *average = fv_alloc(n, 1);
    fv_bf16 *narrow = fv_alloc((size_t)params.slab_numel, sizeof *narrow);

    move_values(1);
    fv_ema_average(ema, 0.5);
    memcpy(raw, params.value.base, n);
    memcpy(average, fv_ema_slab(ema)->base, n);
    memcpy(narrow, params.value_bf16, (size_t)params.slab_numel * sizeof *narrow);
    fv_ema_swap(ema);
    cr_assert_eq(memcmp(average, params.value.base, n), 0);
    cr_assert_neq(memcmp(narrow, params.value_bf16, (size_t)params.slab_numel * sizeof *narrow), 0);
    fv_ema_swap(ema);
    cr_assert_eq(memcmp(raw, params.value.base, n), 0);
    cr_assert_eq(memcmp(average, fv_ema_slab(ema)->base, n), 0);
    cr_assert_eq(memcmp(narrow, params.value_bf16, (size_t)params.slab_numel * sizeof *narrow), 0);
    fv_free(raw);
    fv_free(average);
    fv_free(narrow);
    fv_ema_destroy(ema);
}

Test(train_ema, survives_a_file) {
    const size_t n = (size_t)params.slab_numel * sizeof(float);
    char path[] = "/tmp/fovea_ema_XXXXXX";
    fv_ema *ema = create(0.5, false);

    cr_assert_geq(mkstemp(path), 0);
    move_values(7);
    fv_ema_average(ema, 0.5);
    cr_assert_eq(fv_ema_save(ema, path), FV_OK, "%s", fv_error_message());
    fv_ema *other = create(0.5, false);
    cr_assert_neq(memcmp(fv_ema_slab(ema)->base, fv_ema_slab(other)->base, n), 0);
    cr_assert_eq(fv_ema_load(other, path), FV_OK, "%s", fv_error_message());
    cr_assert_eq(memcmp(fv_ema_slab(ema)->base, fv_ema_slab(other)->base, n), 0);
    unlink(path);
    cr_assert_eq(fv_ema_load(other, path), FV_ERR_NOT_FOUND);
    fv_ema_destroy(ema);
    fv_ema_destroy(other);
}

static fv_status create_and_destroy(void *arg) {
    fv_ema *ema;
    (void)arg;
    const fv_status status = fv_ema_create(&(fv_ema_config){.decay = 0.5}, &params, &ema);
    fv_ema_destroy(ema);
    return status;
}

Test(train_ema, refuses_bad_decays_and_survives_failed_allocations) {
    fv_ema *ema;

    cr_assert_eq(fv_ema_create(&(fv_ema_config){.decay = 1.5}, &params, &ema), FV_ERR_CONFIG);
    cr_assert_eq(fv_ema_create(&(fv_ema_config){.decay = (double)NAN}, &params, &ema),
                 FV_ERR_CONFIG);
    alloc_sweep_result sweep;
    cr_assert_eq(alloc_sweep(create_and_destroy, NULL, &sweep), FV_OK, "%s", fv_error_message());
    cr_assert_eq(sweep.failures, 2);
    cr_assert_eq(sweep.tolerated, 0);
}
