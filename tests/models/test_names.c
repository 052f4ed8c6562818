/* Names of other publishers: the tables, and weights read and written by them. */
#include "models/names.h"

#include "core/alloc.h"
#include "core/file.h"
#include "models/weights.h"
#include "tests/support/generator.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[64], path[128];
static fv_arena arena;
static fv_model *model, *other;
static fv_model_meta meta;
static fv_load_report report;

static void enter(void) {
    strcpy(root, "/tmp/fovea_names_XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/other.safetensors", root);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_model_destroy(model);
    fv_model_destroy(other);
    fv_model_meta_destroy(&meta);
    fv_load_report_destroy(&report);
    fv_arena_destroy(&arena);
    fv_folder_remove(root);
}

TestSuite(models_names, .init = enter, .fini = leave);

static void make(const char *name, int64_t num_classes) {
    const fv_model_config config = {.name = name, .num_classes = num_classes};
    cr_assert_eq(fv_model_create(&config, false, &model), FV_OK, "%s", fv_error_message());
    fv_generate_params(&model->params, "names");
}

static fv_status open_as(const char *name) {
    const fv_model_overrides overrides = {.config = {.name = name}, .report = &report};
    fv_model_destroy(other);
    fv_model_meta_destroy(&meta);
    fv_load_report_destroy(&report);
    return fv_model_open(path, &overrides, false, &other, &meta);
}

static void same_values(void) {
    cr_assert_eq(model->params.count, other->params.count);
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *a = model->params.item[i], *b = other->params.item[i];
        cr_assert_str_eq(a->name, b->name);
        cr_assert(fv_shape_equal(&a->shape, &b->shape), "%s", a->name);
        cr_assert_eq(memcmp(a->value, b->value, (size_t)a->numel * sizeof(float)), 0, "%s",
                     a->name);
    }
}

/* The values under their own names, for the caller to spoil. */
static fv_safetensors_item *items(int64_t *n) {
    fv_safetensors_item *item =
        fv_arena_alloc(&arena, (size_t)model->params.count + 8, sizeof *item);
    *n = 0;
    cr_assert_eq(
        fv_params_items(&model->params, FV_PARAMS_ALL, &model->params.value, "", &arena, item, n),
        FV_OK);
    return item;
}

static fv_safetensors_item *named(fv_safetensors_item *item, int64_t n, const char *name) {
    for (int64_t i = 0; i < n; i++)
        if (strcmp(item[i].name, name) == 0) return &item[i];
    cr_assert(false, "no %s", name);
    return item;
}

static void save(const fv_safetensors_item *item, int64_t n) {
    cr_assert_eq(fv_safetensors_save(path, item, n, NULL, 0), FV_OK, "%s", fv_error_message());
}

Test(models_names, rules_carry_numbers_and_the_rest_over) {
    static const struct {
        const fv_naming *naming;
        const char *ours, *theirs[3];
    } cases[] = {
        {&fv_naming_timm, "blocks.0.norm1.weight", {"blocks.0.norm1.weight"}},
        {&fv_naming_davit_authors, "stem.conv.weight", {"patch_embeds.0.proj.weight"}},
        {&fv_naming_davit_authors, "stem.norm.bias", {"patch_embeds.0.norm.bias"}},
        {&fv_naming_davit_authors, "stages.3.downsample.conv.bias", {"patch_embeds.3.proj.bias"}},
        {&fv_naming_davit_authors, "stages.1.downsample.norm.bias", {"patch_embeds.1.norm.bias"}},
        {&fv_naming_davit_authors,
         "stages.2.blocks.10.1.cpe2.proj.weight",
         {"main_blocks.2.10.1.cpe.1.proj.weight"}},
        {&fv_naming_davit_authors,
         "stages.2.blocks.0.0.cpe1.proj.bias",
         {"main_blocks.2.0.0.cpe.0.proj.bias"}},
        {&fv_naming_davit_authors,
         "stages.0.blocks.0.1.attn.qkv.weight",
         {"main_blocks.0.0.1.attn.qkv.weight"}},
        {&fv_naming_davit_authors, "head.norm.weight", {"norms.weight"}},
        {&fv_naming_davit_authors, "head.fc.bias", {"head.bias"}},
        {&fv_naming_davit_authors, "head.weight", {NULL}},
        {&fv_naming_davit_authors, "stages.x.blocks.0.0.norm1.bias", {NULL}},
        {&fv_naming_vit_transformers, "pos_embed", {"vit.embeddings.position_embeddings"}},
        {&fv_naming_vit_transformers, "pos_embed.weight", {NULL}},
        {&fv_naming_vit_transformers,
         "blocks.11.attn.qkv.bias",
         {"vit.encoder.layer.11.attention.attention.query.bias",
          "vit.encoder.layer.11.attention.attention.key.bias",
          "vit.encoder.layer.11.attention.attention.value.bias"}},
        {&fv_naming_deit_transformers, "head_dist.bias", {"distillation_classifier.bias"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_param_source source;
        int n = 0;
        cr_assert_eq(fv_naming_apply(cases[i].naming, "module.", cases[i].ours, &arena, &source),
                     FV_OK);
        for (; n < 3 && cases[i].theirs[n]; n++) {
            cr_assert_lt(n, source.n, "%s", cases[i].ours);
            cr_assert_eq(strncmp(source.part[n], "module.", 7), 0);
            cr_assert_str_eq(source.part[n] + 7, cases[i].theirs[n]);
        }
        cr_assert_eq(source.n, n, "%s", cases[i].ours);
    }
}

/* Every model and every naming that serves it: one name each, no name twice, back to the same bits. */
Test(models_names, every_naming_of_every_small_model_reads_back) {
    const char *name;

    for (int i = 0; (name = fv_model_match("mini_*", &i));) {
        const fv_naming *naming;
        make(name, 0);
        int written = 0;
        for (int k = 0; (naming = fv_naming_at(model->family->name, k)); k++) {
            fv_tensor_names names;
            if (fv_tensor_names_called(model, naming->name, &arena, &names) != FV_OK) continue;
            if (names.naming != naming) continue;
            cr_assert_eq(fv_model_save_named(model, NULL, &names, root), FV_OK, "%s: %s", name,
                         fv_error_message());
            snprintf(path, sizeof path, "%s/model.safetensors", root);
            cr_assert_eq(open_as(NULL), FV_OK, "%s by %s: %s", name, naming->whose,
                         fv_error_message());
            cr_assert_str_eq(report.whose, naming->whose);
            cr_assert_eq(report.foreign, naming != &fv_naming_timm);
            same_values();
            written++;
        }
        cr_assert_geq(written, 1 + (strcmp(model->family->name, "vit") == 0), "%s", name);
        fv_model_destroy(model);
        model = NULL;
    }
}

Test(models_names, query_key_and_value_are_three_tensors_elsewhere) {
    fv_safetensors *st = NULL;
    fv_tensor_names names;

    make("mini_vit", 7);
    cr_assert_eq(fv_tensor_names_called(model, "transformers", &arena, &names), FV_OK);
    cr_assert_eq(fv_model_save_named(model, NULL, &names, root), FV_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", root);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    const fv_safetensors_entry *key =
        fv_safetensors_find(st, "vit.encoder.layer.1.attention.attention.key.weight");
    cr_assert_not_null(key);
    cr_assert_eq(key->shape.dim[0], 64);
    float values[64 * 64];
    cr_assert_eq(fv_safetensors_read(st, key, values), FV_OK);
    const fv_param *qkv = fv_params_find(&model->params, "blocks.1.attn.qkv.weight");
    cr_assert_eq(memcmp(values, qkv->value + 64 * 64, sizeof values), 0, "the middle rows");
    fv_safetensors_close(st);

    char bare[160];
    snprintf(bare, sizeof bare, "%s/bare.safetensors", root);
    cr_assert_eq(rename(path, bare), 0);
    strcpy(path, bare);
    cr_assert_eq(open_as("mini_vit"), FV_OK, "%s", fv_error_message());
    cr_assert_eq(other->num_classes, 7, "counted by their name of the classifier");
    same_values();
}

Test(models_names, wrappers_in_front_of_all_names_are_taken_off) {
    static const char *const prefixes[] = {"module.", "model.", "state_dict.module.",
                                           "model.module."};
    make("mini_vit", 5);
    for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
        int64_t n;
        fv_safetensors_item *item = items(&n);
        for (int64_t i = 0; i < n; i++)
            item[i].name = fv_arena_printf(&arena, "%s%s", prefixes[k], item[i].name);
        save(item, n);
        cr_assert_eq(open_as("mini_vit"), FV_OK, "%s", fv_error_message());
        cr_assert_str_eq(report.prefix, prefixes[k]);
        cr_assert_not(report.foreign);
        same_values();
        item[0].name = "cls_token"; /* one without */
        save(item, n);
        cr_assert_eq(open_as("mini_vit"), FV_ERR_SHAPE);
    }
}

Test(models_names, a_matrix_stands_for_a_kernel_and_is_reported) {
    int64_t n;

    make("mini_vit", 0);
    fv_safetensors_item *item = items(&n);
    fv_tensor *proj = &named(item, n, "patch_embed.proj.weight")->tensor;
    fv_tensor *head = &named(item, n, "head.weight")->tensor;
    proj->shape = fv_shape_of(2, (int64_t)64, (int64_t)48);
    head->shape = fv_shape_of(4, (int64_t)10, (int64_t)64, (int64_t)1, (int64_t)1);
    save(item, n);
    cr_assert_eq(open_as("mini_vit"), FV_OK, "%s", fv_error_message());
    same_values();
    cr_assert_eq(report.tensors.reshaped.count, 2);
    cr_assert_str_eq(report.tensors.reshaped.name[0], "patch_embed.proj.weight: 64x48 to 64x3x4x4");
    cr_assert_str_eq(report.tensors.reshaped.name[1], "head.weight: 10x64x1x1 to 10x64");
    cr_assert_eq(report.tensors.read, n);

    proj->shape = fv_shape_of(2, (int64_t)48, (int64_t)64); /* as many values, another matrix */
    save(item, n);
    cr_assert_eq(open_as("mini_vit"), FV_ERR_SHAPE);
    cr_assert_eq(report.tensors.unfit.count, 1);
    proj->shape = fv_shape_of(3, (int64_t)64, (int64_t)3, (int64_t)16);
    save(item, n);
    cr_assert_eq(open_as("mini_vit"), FV_ERR_SHAPE);
}

Test(models_names, what_does_not_fit_is_listed_in_full) {
    int64_t n;

    make("mini_vit", 0);
    fv_safetensors_item *item = items(&n);
    for (int64_t i = 0; i < 5; i++) item[i].name = fv_arena_printf(&arena, "stranger.%d", (int)i);
    named(item, n, "head.bias")->tensor.shape.dim[0] = 9;
    save(item, n);
    cr_assert_eq(open_as("mini_vit"), FV_ERR_SHAPE);
    cr_assert_eq(report.tensors.missing.count, 5);
    cr_assert_eq(report.tensors.unexpected.count, 5);
    cr_assert_str_eq(report.tensors.unexpected.name[4], "stranger.4");
    cr_assert_eq(report.tensors.unfit.count, 1);
    cr_assert_str_eq(report.tensors.unfit.name[0], "head.bias: 9, not 10");
    cr_assert_eq(report.tensors.read, n - 5);
    cr_assert_not_null(strstr(fv_error_message(), "5 missing (cls_token"), "%s",
                       fv_error_message());
    cr_assert_null(strstr(fv_error_message(), "our own names"), "our own names go without saying");
}

Test(models_names, a_message_names_the_foreign_table) {
    fv_tensor_names names;
    fv_safetensors_item item[256];
    int64_t n = 0;

    make("mini_deit_distilled", 0);
    cr_assert_eq(fv_tensor_names_called(model, "transformers", &arena, &names), FV_OK);
    cr_assert_eq(names.naming, &fv_naming_deit_transformers);
    fv_safetensors_item *own = items(&n);
    for (int64_t i = 0; i < n; i++)
        item[i] = (fv_safetensors_item){names.source[i].part[0], own[i].tensor};
    save(item, n);
    cr_assert_eq(open_as("mini_deit_distilled"), FV_ERR_SHAPE);
    cr_assert_not_null(strstr(fv_error_message(), "by transformers' DeiT names: "), "%s",
                       fv_error_message());
    cr_assert_not_null(strstr(fv_error_message(), "attention.key.weight"), "%s",
                       fv_error_message());
}

Test(models_names, a_naming_that_is_not_there) {
    fv_tensor_names names;

    make("mini_vit", 0);
    cr_assert_eq(fv_tensor_names_called(model, "keras", &arena, &names), FV_ERR_CONFIG);
    cr_assert_not_null(
        strstr(fv_error_message(), "'keras' for mini_vit; known: timm, transformers"), "%s",
        fv_error_message());
}

Test(models_names, every_failed_allocation_is_an_error) {
    fv_tensor_names names;
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    make("mini_vit", 0);
    cr_assert_eq(fv_tensor_names_called(model, "transformers", &arena, &names), FV_OK);
    cr_assert_eq(fv_model_save_named(model, NULL, &names, root), FV_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", root);
    for (; status != FV_OK && n < 1000; n++) {
        fv_alloc_fail_at(n);
        status = open_as("mini_vit");
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%d: %s", (int)n, fv_error_message());
    }
    cr_assert_gt(n, 8);
    for (status = FV_ERR_NOMEM, n = 1; status != FV_OK && n < 1000; n++) {
        fv_alloc_fail_at(n);
        status = fv_model_save_named(model, NULL, &names, root);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%d: %s", (int)n, fv_error_message());
    }
}
