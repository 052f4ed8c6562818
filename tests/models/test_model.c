#include "models/model.h"

#include "core/alloc.h"
#include "core/parallel.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static fv_model *model;

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_model_destroy(model);
    model = NULL;
}

TestSuite(models_model, .fini = leave);

static void refuse(const fv_model_config *config, const char *says) {
    cr_assert_eq(fv_model_create(config, false, &model), FV_ERR_CONFIG);
    cr_assert_null(model);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(models_model, names_are_listed_once_and_found) {
    int n = 0;
    for (const char *name; (name = fv_model_name(n)); n++) {
        cr_assert_not_null(fv_model_family(name));
        for (int i = 0; i < n; i++) cr_assert_str_neq(fv_model_name(i), name);
    }
    cr_assert_geq(n, 9);
    cr_assert_null(fv_model_name(-1));
    cr_assert_null(fv_model_family("vit_tiny"));
    cr_assert_null(fv_model_family(""));
    cr_assert_eq(fv_model_family("vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
                 fv_model_family("mini_vit"));
}

Test(models_model, patterns_select) {
    const char *name;
    int i = 0, n = 0;

    while ((name = fv_model_match("vit_*_patch16_224", &i))) {
        cr_assert_eq(strncmp(name, "vit_", 4), 0);
        n++;
    }
    cr_assert_eq(n, 3);
    i = 0;
    cr_assert_null(fv_model_match("vit", &i), "a pattern is the whole name");
}

Test(models_model, unknown_names_get_a_suggestion) {
    refuse(&(fv_model_config){.name = "vit_tiny_patch16_24"},
           "unknown model 'vit_tiny_patch16_24'; did you mean 'vit_tiny_patch16_224'?");
    refuse(&(fv_model_config){.name = "qqq"}, "unknown model 'qqq' (");
}

Test(models_model, tags_are_ignored) {
    cr_assert_eq(fv_model_create(&(fv_model_config){.name = "mini_vit.tag"}, false, &model), FV_OK);
    cr_assert_str_eq(model->name, "mini_vit");
}

Test(models_model, rates_and_sizes_are_checked) {
    refuse(&(fv_model_config){.name = "mini_vit", .drop_path = 1.0},
           "drop_path: 1 is not in [0, 1)");
    refuse(&(fv_model_config){.name = "mini_vit", .drop_path = NAN}, "drop_path");
    refuse(&(fv_model_config){.name = "mini_vit", .num_classes = -1}, "num_classes");
}

Test(models_model, gradients_and_bf16_only_when_asked) {
    fv_model_config config = {.name = "mini_vit"};
    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK);
    cr_assert(model->params.value.base && !model->params.grad.base && !model->params.value_bf16);
    fv_model_destroy(model);
    config.bf16 = true;
    cr_assert_eq(fv_model_create(&config, true, &model), FV_OK);
    cr_assert(model->params.grad.base && model->params.value_bf16);
    fv_model_destroy(model);
    cr_assert_eq(fv_model_describe(&config, &model), FV_OK);
    cr_assert(!model->params.value.base && model->params.count);
}

/* As many samples as fit into 2560 tokens, a power of two. */
Test(models_model, chunks_hold_a_fixed_count_of_tokens) {
    static const struct {
        const char *name;
        int64_t samples;
    } cases[] = {{"mini_vit", 32}, {"mini_deit_distilled", 128}, {"vit_base_patch16_224", 8}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_model_config config = {.name = cases[i].name};
        cr_assert_eq(fv_model_describe(&config, &model), FV_OK);
        cr_assert_eq(fv_model_chunk_samples(model), cases[i].samples, "%s", cases[i].name);
        leave();
    }
    fv_model_config config = {.name = "mini_vit", .img_size = 1024}; /* 65,537 tokens */
    cr_assert_eq(fv_model_describe(&config, &model), FV_OK);
    cr_assert_eq(fv_model_chunk_samples(model), 1);
}

Test(models_model, passes_are_whole_chunks_for_the_threads) {
    cr_assert_eq(fv_model_describe(&(fv_model_config){.name = "mini_vit"}, &model), FV_OK);
    const int64_t chunk = fv_model_chunk_samples(model);

    for (int threads = 1; threads <= 5; threads++) {
        fv_threads_set(threads);
        cr_expect_eq(fv_model_pass_samples(model, 1), chunk);
        cr_expect_eq(fv_model_pass_samples(model, chunk), chunk);
        cr_expect_eq(fv_model_pass_samples(model, chunk + 1), threads == 1 ? chunk : 2 * chunk);
        cr_expect_eq(fv_model_pass_samples(model, 1000000), threads * chunk);
    }
}

Test(models_model, initial_values_depend_on_the_seed_alone) {
    const fv_model_config config = {.name = "mini_vit"};
    fv_model *other = NULL;
    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK);
    cr_assert_eq(fv_model_create(&config, false, &other), FV_OK);
    const size_t bytes = (size_t)model->params.slab_numel * sizeof(float);
    fv_model_init(model, 5);
    fv_model_init(other, 5);
    cr_assert_eq(memcmp(model->params.value.base, other->params.value.base, bytes), 0);
    fv_model_init(other, 6);
    cr_assert_neq(memcmp(model->params.value.base, other->params.value.base, bytes), 0);
    fv_model_destroy(other);
}

Test(models_model, every_failed_allocation_is_an_error) {
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    for (; status != FV_OK && n < 1000; n++) {
        fv_alloc_fail_at(n);
        status = fv_model_create(&(fv_model_config){.name = "mini_vit"}, true, &model);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK ? model != NULL : status == FV_ERR_NOMEM && !model, "%s",
                  fv_error_message());
    }
    cr_assert_gt(n, 4);
}
