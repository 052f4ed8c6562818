#include "core/param.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/parallel.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[64], path[128];
static fv_arena arena;
static fv_params params;

static void enter(void) {
    strcpy(root, "/tmp/fovea_param_XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/a.safetensors", root);
    params = (fv_params){.arena = &arena};
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_params_destroy(&params);
    fv_arena_destroy(&arena);
    fv_folder_remove(root);
}

TestSuite(core_param, .init = enter, .fini = leave);

/* Odd sizes, a tensor longer than a block of the sums, a buffer, a counter, a scalar. */
static void declare(fv_params *p) {
    const fv_init normal = {FV_INIT_NORMAL, 0.5f};
    fv_params_add(p, "embed.weight", fv_shape_of(2, (int64_t)3, (int64_t)7), normal);
    fv_params_add(p, "big.weight", fv_shape_of(2, (int64_t)500, (int64_t)401), normal);
    fv_params_add(p, "norm.weight", fv_shape_of(1, (int64_t)5), (fv_init){FV_INIT_ONES, 0});
    fv_params_add_buffer(p, "norm.running_var", fv_shape_of(1, (int64_t)5),
                         (fv_init){FV_INIT_CONSTANT, 2.0f});
    fv_params_add_buffer(p, "norm.num_batches_tracked", fv_shape_of(0), (fv_init){0})->flags =
        FV_PARAM_I64;
    fv_params_add(p, "scale", fv_shape_of(0), (fv_init){FV_INIT_UNIFORM, 0.1f});
}

static void make(bool bf16) {
    declare(&params);
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){.grad = true, .bf16 = bf16}),
                 FV_OK, "%s", fv_error_message());
}

Test(core_param, layout_follows_declaration) {
    make(true);
    cr_assert_eq(params.count, 6);
    cr_assert_eq(fv_params_count(&params), 21 + 200500 + 5 + 1, "buffers do not count");
    float *end = params.value.base;
    for (int64_t i = 0; i < params.count; i++) {
        const fv_param *p = params.item[i];
        cr_assert_eq(p->index, i);
        cr_assert_eq((uintptr_t)p->value % 64, 0);
        cr_assert_eq((uintptr_t)p->value_bf16 % 64, 0);
        cr_assert_geq(p->value, end);
        end = p->value + p->numel;
        cr_assert_eq(p->grad == NULL, !p->trainable);
        if (p->grad) cr_assert_eq(p->grad - params.grad.base, p->offset);
        cr_assert_eq(fv_params_find(&params, p->name), p);
    }
    cr_assert_leq(end - params.value.base, params.slab_numel);
    cr_assert_null(fv_params_find(&params, "embed"));
}

Test(core_param, initial_values_have_their_distributions) {
    fv_param *normal = fv_params_add(&params, "n", fv_shape_of(1, (int64_t)100000),
                                     (fv_init){FV_INIT_NORMAL, 0.02f});
    fv_param *cut = fv_params_add(&params, "t", fv_shape_of(1, (int64_t)100000),
                                  (fv_init){FV_INIT_TRUNC_NORMAL, 1.0f});
    fv_param *wide = fv_params_add(&params, "w", fv_shape_of(1, (int64_t)100),
                                   (fv_init){FV_INIT_TRUNC_NORMAL, 1e6f});
    fv_param *uniform = fv_params_add(&params, "u", fv_shape_of(1, (int64_t)100000),
                                      (fv_init){FV_INIT_UNIFORM, 3.0f});
    double sum = 0, squares = 0, u_sum = 0, u_squares = 0, t_squares = 0;

    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){0}), FV_OK);
    fv_params_init(&params, 7);
    for (int i = 0; i < 100000; i++) {
        const double n = (double)normal->value[i], u = (double)uniform->value[i],
                     t = (double)cut->value[i];
        sum += n;
        squares += n * n;
        u_sum += u;
        u_squares += u * u;
        t_squares += t * t;
        cr_assert(fabsf(uniform->value[i]) <= 3.0f && fabsf(cut->value[i]) <= 2.0f);
    }
    cr_assert_lt(fabs(sum / 1e5), 5 * 0.02 / sqrt(1e5));
    cr_assert_float_eq(sqrt(squares / 1e5), 0.02, 0.0003);
    cr_assert_lt(fabs(u_sum / 1e5), 0.03);
    cr_assert_float_eq(u_squares / 1e5, 3.0, 0.05, "variance of U(-3, 3)");
    cr_assert_float_eq(t_squares / 1e5, 0.7737, 0.02, "variance of a normal cut at two deviations");
    for (int i = 0; i < 100; i++) cr_assert(fabsf(wide->value[i]) <= 2.0f);
}

Test(core_param, draws_do_not_depend_on_order_or_threads) {
    fv_arena other_arena = {0};
    fv_params other = {.arena = &other_arena};

    make(false);
    fv_threads_set(1);
    fv_params_init(&params, 3);
    fv_params_add(&other, "scale", fv_shape_of(0), (fv_init){FV_INIT_UNIFORM, 0.1f});
    fv_params_add(&other, "extra", fv_shape_of(1, (int64_t)9), (fv_init){FV_INIT_NORMAL, 1.0f});
    fv_params_add(&other, "big.weight", fv_shape_of(2, (int64_t)500, (int64_t)401),
                  (fv_init){FV_INIT_NORMAL, 0.5f});
    cr_assert_eq(fv_params_alloc(&other, (fv_params_alloc_options){0}), FV_OK);
    fv_threads_set(4);
    fv_params_init(&other, 3);
    const fv_param *a = fv_params_find(&params, "big.weight");
    const fv_param *b = fv_params_find(&other, "big.weight");
    cr_assert_eq(memcmp(a->value, b->value, (size_t)a->numel * 4), 0);
    cr_assert_eq(*fv_params_find(&params, "scale")->value, *fv_params_find(&other, "scale")->value);
    const float first = a->value[0];
    fv_params_init(&params, 4);
    cr_assert_neq(a->value[0], first, "the seed matters");
    cr_assert_eq(fv_params_find(&params, "norm.weight")->value[4], 1.0f);
    cr_assert_eq(fv_params_find(&params, "norm.running_var")->value[0], 2.0f);
    fv_params_destroy(&other);
    fv_arena_destroy(&other_arena);
}

Test(core_param, bf16_copy_follows_the_values) {
    make(true);
    fv_params_init(&params, 1);
    const fv_param *p = fv_params_find(&params, "big.weight");
    for (int64_t i = 0; i < p->numel; i++)
        cr_assert_eq(p->value_bf16[i], fv_bf16_from_f32(p->value[i]));
    p->value[p->numel - 1] = 123.0f;
    fv_params_bf16_refresh(&params);
    cr_assert_eq(p->value_bf16[p->numel - 1], fv_bf16_from_f32(123.0f));
}

Test(core_param, gradient_norm) {
    double expected = 0;

    make(false);
    cr_assert_eq(fv_params_grad_norm(&params), 0.0);
    for (int64_t i = 0; i < params.count; i++) {
        const fv_param *p = params.item[i];
        for (int64_t j = 0; p->grad && j < p->numel; j++) {
            p->grad[j] = (float)((j * 7919 + i) % 1000) * 0.01f;
            expected += (double)p->grad[j] * (double)p->grad[j];
        }
    }
    fv_threads_set(1);
    const double one = fv_params_grad_norm(&params);
    fv_threads_set(4);
    const double four = fv_params_grad_norm(&params);
    cr_assert_float_eq(one, sqrt(expected), 1e-9 * sqrt(expected));
    cr_assert_eq(memcmp(&one, &four, sizeof one), 0, "same bits");
    fv_params_grad_zero(&params);
    cr_assert_eq(fv_params_grad_norm(&params), 0.0);
}

Test(core_param, slabs_share_the_layout) {
    fv_param_slab moments = {0};

    make(false);
    cr_assert_eq(fv_params_slab_create(&params, &moments), FV_OK);
    const fv_param *p = params.item[2];
    cr_assert_eq(fv_param_slab_at(&params, &moments, p) - moments.base,
                 p->value - params.value.base);
    fv_param_slab_at(&params, &moments, p)[0] = 3.0f;
    cr_assert_eq(fv_params_slab_sum_squares(&params, &moments), 9.0);
    fv_params_slab_destroy(&moments);
    fv_params_slab_destroy(&moments);
}

Test(core_param, save_and_load_give_the_same_bits) {
    fv_safetensors *st = NULL;
    const fv_safetensors_meta meta = {"arch", "mini"};

    make(true);
    fv_params_init(&params, 11);
    *fv_params_find(&params, "norm.num_batches_tracked")->value = 42.0f;
    float *copy = malloc((size_t)params.slab_numel * 4);
    memcpy(copy, params.value.base, (size_t)params.slab_numel * 4);
    cr_assert_eq(fv_params_save(&params, NULL, path, &meta, 1), FV_OK, "%s", fv_error_message());

    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_find(st, "norm.num_batches_tracked")->dtype, FV_I64);
    cr_assert_str_eq(fv_safetensors_at(st, 1)->name, "embed.weight", "parameter order");
    cr_assert_str_eq(fv_safetensors_at(st, 2)->name, "big.weight");
    memset(params.value.base, 0, (size_t)params.slab_numel * 4);
    cr_assert_eq(fv_params_load(&params, st), FV_OK, "%s", fv_error_message());
    cr_assert_eq(memcmp(copy, params.value.base, (size_t)params.slab_numel * 4), 0);
    cr_assert_eq(params.item[0]->value_bf16[0], fv_bf16_from_f32(copy[0]));
    fv_safetensors_close(st);
    free(copy);
}

Test(core_param, a_file_that_does_not_fit_changes_nothing) {
    float data[40] = {0};
    int32_t ints[5] = {0};
    fv_safetensors *st = NULL;
    const fv_safetensors_item items[] = {
        {"embed.weight", {data, FV_F32, {2, {7, 3}}}}, /* transposed */
        {"norm.weight", {ints, FV_I32, {1, {5}}}},
        {"head.weight", {data, FV_F32, {1, {2}}}},
        {"norm.running_var", {data, FV_F32, {1, {5}}}},
    };

    make(false);
    fv_params_init(&params, 1);
    cr_assert_eq(fv_safetensors_save(path, items, 4, NULL, 0), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    cr_assert_eq(fv_params_load(&params, st), FV_ERR_SHAPE);
    static const char *const parts[] = {"2 missing (big.weight, scale)",
                                        "1 unexpected (head.weight)", "embed.weight: 7x3, not 3x7",
                                        "norm.weight: I32", "a.safetensors"};
    for (size_t i = 0; i < 5; i++)
        cr_assert_not_null(strstr(fv_error_message(), parts[i]), "%s", fv_error_message());
    cr_assert_eq(fv_params_find(&params, "norm.running_var")->value[0], 2.0f, "untouched");
    fv_safetensors_close(st);
}

Test(core_param, long_lists_are_cut_short) {
    fv_safetensors *st = NULL;

    for (int i = 0; i < 50; i++) {
        char name[200];
        snprintf(name, sizeof name, "%0150d.%d", 0, i);
        fv_params_add(&params, name, fv_shape_of(1, (int64_t)2), (fv_init){0});
    }
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){0}), FV_OK);
    cr_assert_eq(fv_safetensors_save(path, NULL, 0, NULL, 0), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    cr_assert_eq(fv_params_load(&params, st), FV_ERR_SHAPE);
    cr_assert_not_null(strstr(fv_error_message(), "50 missing ("));
    cr_assert_not_null(strstr(fv_error_message(), ", ...)"), "%s", fv_error_message());
    fv_safetensors_close(st);
}

Test(core_param, slabs_travel_under_a_prefix) {
    fv_param_slab m = {0}, v = {0};
    fv_safetensors_item items[12];
    int64_t n = 0;
    fv_safetensors *st = NULL;

    make(false);
    cr_assert_eq(fv_params_slab_create(&params, &m), FV_OK);
    cr_assert_eq(fv_params_slab_create(&params, &v), FV_OK);
    const fv_param *norm = fv_params_find(&params, "norm.weight");
    fv_param_slab_at(&params, &m, norm)[1] = 1.5f;
    fv_param_slab_at(&params, &v, norm)[1] = 2.5f;
    cr_assert_eq(fv_params_items(&params, FV_PARAMS_TRAINABLE, &m, "m.", &arena, items, &n), FV_OK);
    cr_assert_eq(fv_params_items(&params, FV_PARAMS_TRAINABLE, &v, "v.", &arena, items, &n), FV_OK);
    cr_assert_eq(n, 8);
    cr_assert_eq(fv_safetensors_save(path, items, n, NULL, 0), FV_OK);
    fv_params_slab_destroy(&m);
    cr_assert_eq(fv_params_slab_create(&params, &m), FV_OK);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    cr_assert_eq(fv_params_slab_load(&params, FV_PARAMS_TRAINABLE, "v.", st, &m), FV_OK);
    cr_assert_eq(fv_param_slab_at(&params, &m, norm)[1], 2.5f);
    cr_assert_eq(fv_params_slab_load(&params, FV_PARAMS_TRAINABLE, "w.", st, &m), FV_ERR_SHAPE);
    cr_assert_not_null(strstr(fv_error_message(), "4 missing (w.embed.weight"), "%s",
                       fv_error_message());
    fv_safetensors_close(st);
    fv_params_slab_destroy(&m);
    fv_params_slab_destroy(&v);
}

Test(core_param, bad_declarations_are_remembered) {
    declare(&params);
    fv_param *poison = fv_params_add(&params, "scale", fv_shape_of(0), (fv_init){0});
    cr_assert_not_null(poison);
    cr_assert_null(fv_params_find(&params, "later"));
    fv_params_add(&params, "later", fv_shape_of(1, (int64_t)-1), (fv_init){0});
    cr_assert_eq(fv_params_status(&params), FV_ERR_INTERNAL);
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){0}), FV_ERR_INTERNAL);
    cr_assert_not_null(strstr(fv_error_message(), "'scale'"), "%s", fv_error_message());
}

Test(core_param, sizes_that_overflow_are_shape_errors) {
    fv_params_add(&params, "a", fv_shape_of(1, (int64_t)1 << 60), (fv_init){0});
    fv_params_add(&params, "b", fv_shape_of(1, (int64_t)1 << 60), (fv_init){0});
    cr_assert_eq(fv_params_status(&params), FV_ERR_SHAPE);
    fv_params huge = {.arena = &arena};
    fv_params_add(&huge, "c", fv_shape_of(2, (int64_t)1 << 40, (int64_t)1 << 40), (fv_init){0});
    cr_assert_eq(fv_params_status(&huge), FV_ERR_SHAPE);
}

Test(core_param, an_empty_list_is_fine) {
    cr_assert_eq(fv_params_alloc(&params, (fv_params_alloc_options){.grad = true, .bf16 = true}),
                 FV_OK);
    fv_params_init(&params, 1);
    cr_assert_eq(fv_params_grad_norm(&params), 0.0);
    cr_assert_eq(fv_params_save(&params, NULL, path, NULL, 0), FV_OK);
}

Test(core_param, the_n_th_allocation_fails) {
    fv_safetensors *st = NULL;
    int failures = 0;

    for (uint64_t n = 1;; n++) {
        fv_arena own = {0};
        fv_params p = {.arena = &own};
        fv_alloc_fail_at(n);
        declare(&p);
        fv_status status =
            fv_params_alloc(&p, (fv_params_alloc_options){.grad = true, .bf16 = true});
        if (status == FV_OK) status = fv_params_save(&p, NULL, path, NULL, 0);
        if (status == FV_OK) status = fv_safetensors_open(path, &st);
        if (status == FV_OK) status = fv_params_load(&p, st);
        fv_alloc_fail_at(0);
        fv_safetensors_close(st);
        st = NULL;
        fv_params_destroy(&p);
        fv_arena_destroy(&own);
        if (status == FV_OK) break;
        cr_assert_eq(status, FV_ERR_NOMEM, "%llu: %s", (unsigned long long)n, fv_error_message());
        failures++;
    }
    cr_assert_gt(failures, 8);
}

Test(core_param, steady_work_allocates_nothing) {
    make(true);
    fv_params_init(&params, 1);
    fv_params_grad_norm(&params);
    const uint64_t calls = fv_alloc_calls();
    fv_params_bf16_refresh(&params);
    fv_params_grad_norm(&params);
    fv_params_grad_zero(&params);
    cr_assert_eq(fv_alloc_calls(), calls);
}
