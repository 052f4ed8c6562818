#include "core/alloc.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "train/optimizer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STEPS 5

static fv_arena arena;
static fv_params params;

/* A weight longer than a task, a bias, a marked table, a buffer and a weight at the end. */
static void make_params(void) {
    const fv_init normal = {FV_INIT_NORMAL, 0.5f};

    arena = (fv_arena){0};
    params = (fv_params){.arena = &arena};
    fv_params_add(&params, "a.weight", fv_shape_of(2, (int64_t)300, (int64_t)301), normal);
    fv_params_add(&params, "a.bias", fv_shape_of(1, (int64_t)301), normal);
    fv_params_add(&params, "odd.bias", fv_shape_of(2, (int64_t)3, (int64_t)5), normal);
    fv_params_add(&params, "pos_embed", fv_shape_of(3, (int64_t)1, (int64_t)7, (int64_t)3), normal)
        ->no_decay_hint = true;
    fv_params_add_buffer(&params, "mean", fv_shape_of(1, (int64_t)9), normal);
    fv_params_add(&params, "b.weight", fv_shape_of(2, (int64_t)4, (int64_t)3), normal);
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){true, true}), FV_OK);
    fv_params_init(&params, 1);
}

static void free_params(void) {
    fv_params_destroy(&params);
    fv_arena_destroy(&arena);
}

TestSuite(train_adamw, .init = make_params, .fini = free_params);

static void make_gradient(int step) {
    for (int64_t i = 0; i < params.count; i++) {
        const fv_param *p = params.item[i];
        const fv_rng_key key = {.purpose = FV_RNG_TEST, .step = (uint32_t)step, .layer = p->hash};
        for (int64_t k = 0; p->grad && k < p->numel; k++)
            p->grad[k] = fv_rng_normal(&key, (uint64_t)k);
    }
}

static fv_optimizer *create(const char *name, double weight_decay) {
    fv_optimizer *o;
    fv_optimizer_config config;

    fv_optimizer_config_init(&config);
    config.name = name;
    config.weight_decay = weight_decay;
    cr_assert_eq(fv_optimizer_create(&config, &params, &o), FV_OK, "%s", fv_error_message());
    return o;
}

static float *copy_values(void) {
    float *copy = fv_alloc((size_t)params.slab_numel, sizeof *copy);
    memcpy(copy, params.value.base, (size_t)params.slab_numel * sizeof *copy);
    return copy;
}

/* One element by the formulas, in double. */
static double reference(const char *name, double w, const fv_param *p, int64_t k, double wd) {
    double m = 0.0, v = 0.0;

    for (int t = 1; t <= STEPS; t++) {
        const fv_rng_key key = {.purpose = FV_RNG_TEST, .step = (uint32_t)t, .layer = p->hash};
        const double lr = 0.01 * t, g = 0.5 * (double)fv_rng_normal(&key, (uint64_t)k);
        if (strcmp(name, "adamw") == 0) {
            w *= 1.0 - lr * wd;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            w -= lr / (1.0 - pow(0.9, t)) * m / (sqrt(v) / sqrt(1.0 - pow(0.999, t)) + 1e-8);
        } else {
            const double d = g + wd * w;
            m = t == 1 ? d : 0.9 * m + d;
            w -= lr * (d + 0.9 * m);
        }
    }
    return w;
}

static void check_against_formulas(const char *name) {
    const double wd = 0.3;
    fv_optimizer *o = create(name, wd);
    float *before = copy_values();

    for (int t = 1; t <= STEPS; t++) {
        make_gradient(t);
        fv_optimizer_step(o, 0.01 * t, 0.5f);
    }
    for (int64_t i = 0; i < params.count; i++) {
        const fv_param *p = params.item[i];
        const bool decays = strstr(p->name, ".weight") != NULL;
        for (int64_t k = 0; k < p->numel; k += 1 + p->numel / 200) {
            const double w = (double)before[p->offset + k];
            const double expected = p->trainable ? reference(name, w, p, k, decays ? wd : 0.0) : w;
            cr_assert(fabs((double)p->value[k] - expected) < 2e-6, "%s[%lld]: %.9g, not %.9g",
                      p->name, (long long)k, (double)p->value[k], expected);
        }
    }
    fv_free(before);
    fv_optimizer_destroy(o);
}

Test(train_adamw, follows_the_formula_with_decay_by_group) { check_against_formulas("adamw"); }

Test(train_adamw, sgd_follows_the_formula) { check_against_formulas("sgd"); }

Test(train_adamw, groups_are_timms) {
    static const bool decays[] = {true, false, false, false, false, true};
    for (int64_t i = 0; i < params.count; i++)
        cr_expect_eq(fv_optimizer_decays(params.item[i]), decays[i], "%s", params.item[i]->name);
}

Test(train_adamw, writes_the_bf16_copy) {
    fv_optimizer *o = create("adamw", 0.1);

    make_gradient(1);
    fv_optimizer_step(o, 0.1, 1.0f);
    for (int64_t i = 0; i < params.count; i++) {
        const fv_param *p = params.item[i];
        for (int64_t k = 0; k < p->numel; k++)
            cr_assert_eq(p->value_bf16[k], fv_bf16_from_f32(p->value[k]), "%s", p->name);
    }
    fv_optimizer_destroy(o);
}

Test(train_adamw, leaves_the_padding_zero_and_bits_alone_of_threads) {
    float *first = NULL;

    for (int threads = 1; threads <= 3; threads++) {
        fv_threads_set(threads);
        fv_params_init(&params, 1);
        fv_optimizer *o = create("adamw", 0.1);
        for (int t = 1; t <= 3; t++) {
            make_gradient(t);
            fv_optimizer_step(o, 0.01, 1.0f);
        }
        fv_optimizer_destroy(o);
        if (!first) first = copy_values();
        cr_assert_eq(memcmp(first, params.value.base, (size_t)params.slab_numel * 4), 0);
    }
    for (int64_t i = 0; i + 1 < params.count; i++)
        for (int64_t k = params.item[i]->offset + params.item[i]->numel;
             k < params.item[i + 1]->offset; k++)
            cr_assert_eq(params.value.base[k], 0.0f);
    fv_free(first);
}

static void temporary_path(char path[64]) {
    snprintf(path, 64, "/tmp/fovea_adamw_%d.safetensors", (int)getpid());
}

Test(train_adamw, goes_on_from_a_file_with_the_same_bits) {
    char path[64];
    fv_optimizer *o = create("adamw", 0.1);

    temporary_path(path);
    for (int t = 1; t <= 3; t++) {
        make_gradient(t);
        fv_optimizer_step(o, 0.01, 1.0f);
    }
    cr_assert_eq(fv_optimizer_save(o, path), FV_OK, "%s", fv_error_message());
    float *middle = copy_values();
    make_gradient(4);
    fv_optimizer_step(o, 0.01, 1.0f);
    float *end = copy_values();
    fv_optimizer_destroy(o);

    o = create("adamw", 0.1);
    cr_assert_eq(fv_optimizer_load(o, path), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_optimizer_updates(o), 3);
    memcpy(params.value.base, middle, (size_t)params.slab_numel * 4);
    fv_optimizer_step(o, 0.01, 1.0f);
    cr_assert_eq(memcmp(end, params.value.base, (size_t)params.slab_numel * 4), 0);
    fv_optimizer_destroy(o);

    o = create("sgd", 0.1); /* another optimiser's state */
    cr_assert_eq(fv_optimizer_load(o, path), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "adamw"), "%s", fv_error_message());
    fv_optimizer_destroy(o);
    fv_free(middle);
    fv_free(end);
    unlink(path);
}

Test(train_adamw, survives_every_failing_allocation) {
    char path[64];
    fv_optimizer_config config;
    fv_status status = FV_ERR_NOMEM;

    temporary_path(path);
    fv_optimizer_config_init(&config);
    for (uint64_t n = 1; status != FV_OK; n++) {
        fv_optimizer *o = NULL;
        cr_assert_lt(n, 200);
        fv_alloc_fail_at(n);
        status = fv_optimizer_create(&config, &params, &o);
        if (status == FV_OK) status = fv_optimizer_save(o, path);
        if (status == FV_OK) status = fv_optimizer_load(o, path);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%s", fv_error_message());
        fv_optimizer_destroy(o);
    }
    unlink(path);
}

Test(train_adamw, refuses_an_unknown_name) {
    fv_optimizer_config config;
    fv_optimizer *o;

    fv_optimizer_config_init(&config);
    config.name = "adamv";
    cr_assert_eq(fv_optimizer_create(&config, &params, &o), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "did you mean 'adamw'"), "%s", fv_error_message());
}

Test(train_adamw, clips_by_the_norm) {
    cr_assert_eq(fv_clip_factor(5.0, 0.0), 1.0f);
    cr_assert_eq(fv_clip_factor(0.5, 1.0), 1.0f);
    cr_assert_eq(fv_clip_factor(4.0, 1.0), (float)(1.0 / (4.0 + 1e-6)));
}
