#include "models/weights.h"

#include "core/alloc.h"
#include "core/file.h"
#include "core/json.h"
#include "core/ops.h"
#include "core/yaml.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[64], path[128];
static fv_arena arena;
static fv_model *model, *other;
static fv_model_meta meta;

static const char *const labels[] = {"ant", "bee", "cat", "dog",  "elk",
                                     "fox", "gnu", "hen", "ibis", "\"jay\" \xc3\xa9"};

static void enter(void) {
    strcpy(root, "/tmp/fovea_weights_XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/model.safetensors", root);
}

static void leave(void) {
    fv_alloc_fail_at(0);
    fv_model_destroy(model);
    fv_model_destroy(other);
    fv_model_meta_destroy(&meta);
    fv_arena_destroy(&arena);
    fv_folder_remove(root);
}

TestSuite(models_weights, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) {
    fv_value *v = NULL;
    cr_assert_eq(fv_yaml_parse(text, strlen(text), "", &arena, &v), FV_OK);
    return v;
}

static void save(const fv_model_config *config, const char *const *names) {
    cr_assert_eq(fv_model_create(config, false, &model), FV_OK, "%s", fv_error_message());
    fv_model_init(model, 3);
    cr_assert_eq(fv_model_save(model, names, root), FV_OK, "%s", fv_error_message());
}

static fv_status open_with(const char *what, fv_model_config config) {
    fv_model_destroy(other);
    fv_model_meta_destroy(&meta);
    return fv_model_open(what, &(fv_model_overrides){.config = config}, false, &other, &meta);
}

static void refuse(const char *what, fv_model_config config, fv_status status, const char *says) {
    cr_assert_eq(open_with(what, config), status, "%s", fv_error_message());
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
    cr_assert(!other && !meta.config && !meta.arena.first);
}

static void write_config(const char *json) {
    char file[128];
    snprintf(file, sizeof file, "%s/config.json", root);
    cr_assert_eq(fv_file_write(file, json, strlen(json)), FV_OK);
}

static void same_values(void) {
    cr_assert_eq(model->params.count, other->params.count);
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *a = model->params.item[i], *b = other->params.item[i];
        cr_assert_str_eq(a->name, b->name);
        cr_assert_eq(memcmp(a->value, b->value, (size_t)a->numel * sizeof(float)), 0, "%s",
                     a->name);
    }
}

Test(models_weights, a_folder_reads_back_to_the_same_bits) {
    save(&(fv_model_config){.name = "mini_vit",
                            .img_size = 16,
                            .kwargs = yaml("{depth: 3, embed_dim: 24, mlp_ratio: 2.5}"),
                            .attention = yaml("{scale: 0.3, proj_bias: false}")},
         labels);
    cr_assert_eq(open_with(root, (fv_model_config){0}), FV_OK, "%s", fv_error_message());
    same_values();
    cr_assert_str_eq(other->name, "mini_vit");
    cr_assert_eq(other->input.height, 16);
    cr_assert_eq(meta.n_labels, 10);
    for (int i = 0; i < 10; i++) cr_assert_str_eq(meta.label_names[i], labels[i]);
    cr_assert_str_eq(meta.weights, path);

    char *a = NULL, *b = NULL;
    cr_assert_eq(fv_model_config_json(model, labels, &arena, &a), FV_OK);
    cr_assert_eq(fv_model_config_json(other, meta.label_names, &arena, &b), FV_OK);
    cr_assert_str_eq(a, b, "nothing of the configuration is lost");
}

Test(models_weights, an_argument_goes_over_the_file_s_and_the_others_stay) {
    save(&(fv_model_config){.name = "mini_vit", .kwargs = yaml("{depth: 3, embed_dim: 24}")},
         labels);
    cr_assert_eq(open_with(root, (fv_model_config){.kwargs = yaml("{img_size: 16}")}), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(other->input.height, 16);
    cr_assert_eq(other->num_features, 24);
    cr_assert_eq(meta.n_labels, 10);
    refuse(root, (fv_model_config){.kwargs = yaml("{depth: 2}")}, FV_ERR_SHAPE, "blocks.2");
    refuse(root, (fv_model_config){.kwargs = yaml("{dept: 2}")}, FV_ERR_CONFIG, "did you mean");
}

Test(models_weights, every_variant_survives_its_own_config) {
    for (int i = 0; fv_model_name(i); i++) {
        if (strncmp(fv_model_name(i), "mini_", 5) != 0) continue;
        save(&(fv_model_config){.name = fv_model_name(i)}, NULL);
        cr_assert_eq(open_with(root, (fv_model_config){0}), FV_OK, "%s", fv_error_message());
        same_values();
        cr_assert_null(meta.label_names);
        fv_model_destroy(model);
        model = NULL;
    }
}

Test(models_weights, config_json_has_the_form_of_hub_folders) {
    static const char *const keys[] = {"architecture",  "num_classes", "num_features",
                                       "global_pool",   "label_names", "model_args",
                                       "pretrained_cfg"};
    char *text = NULL;
    fv_value *v = NULL;

    save(&(fv_model_config){.name = "mini_deit_distilled"}, labels);
    cr_assert_eq(fv_model_config_json(model, labels, &arena, &text), FV_OK);
    cr_assert_eq(fv_json_parse(text, strlen(text), "", &arena, &v), FV_OK);
    for (int i = 0; i < 7; i++) cr_assert_str_eq(fv_value_at(v, i)->key, keys[i]);
    cr_assert_eq(v->count, 7);
    const fv_value *cfg = fv_value_find(v, "pretrained_cfg");
    cr_assert_eq(fv_value_find(fv_value_find(v, "model_args"), "patch_size")->integer, 8);
    cr_assert_eq(fv_value_at(fv_value_find(cfg, "input_size"), 0)->integer, 3);
    cr_assert_str_eq(fv_value_at(fv_value_find(cfg, "classifier"), 1)->text, "head_dist");
    cr_assert(strstr(text, "0.485") && !strstr(text, "0.48500"), "short decimals: %s", text);
}

Test(models_weights, pixels_of_the_file_win_over_the_variant) {
    save(&(fv_model_config){.name = "mini_vit"}, NULL);
    write_config("{\"architecture\": \"mini_vit.tag\", \"num_classes\": 10, \"pretrained_cfg\": "
                 "{\"mean\": [0.1, 0.2, 0.3], \"std\": [1, 2, 3], \"crop_pct\": 1.0, "
                 "\"interpolation\": \"bilinear\", \"input_size\": [3, 32, 32]}}");
    cr_assert_eq(open_with(root, (fv_model_config){0}), FV_OK, "%s", fv_error_message());
    cr_assert_eq(other->input.mean[1], 0.2f);
    cr_assert_eq(other->input.std[2], 3.0f);
    cr_assert_eq(other->input.crop_pct, 1.0);
    cr_assert_str_eq(other->input.interpolation, "bilinear");
}

Test(models_weights, older_hub_folders_keep_pixels_at_the_top) {
    save(&(fv_model_config){.name = "mini_vit"}, NULL);
    write_config("{\"architecture\": \"mini_vit\", \"num_classes\": 10, \"crop_pct\": 0.75}");
    cr_assert_eq(open_with(root, (fv_model_config){0}), FV_OK, "%s", fv_error_message());
    cr_assert_eq(other->input.crop_pct, 0.75);
}

/* timm 1.0.31 writes the arguments that all its models have. */
Test(models_weights, arguments_that_newer_timm_spells_out) {
    const char *start = "{\"architecture\": \"mini_vit\", \"model_args\": {\"num_classes\": 7, ";
    static const struct {
        const char *rest, *says;
    } cases[] = {
        {"\"in_chans\": 3, \"global_pool\": \"token\", \"img_size\": [32, 32]}}", NULL},
        {"\"in_chans\": 1}}", "in_chans"},
        {"\"global_pool\": \"map\"}}", "global_pool"},
        {"\"img_size\": 32}, \"num_classes\": 8}", "num_classes: 7, but there are 8"},
    };
    save(&(fv_model_config){.name = "mini_vit", .num_classes = 7}, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_config(fv_arena_printf(&arena, "%s%s", start, cases[i].rest));
        if (cases[i].says) {
            refuse(root, (fv_model_config){0}, FV_ERR_FORMAT, cases[i].says);
            continue;
        }
        cr_assert_eq(open_with(root, (fv_model_config){0}), FV_OK, "%s", fv_error_message());
        cr_assert_eq(other->num_classes, 7);
        same_values();
    }
}

Test(models_weights, bare_files_need_a_name_and_know_their_classes) {
    char bare[128];
    save(&(fv_model_config){.name = "mini_vit", .num_classes = 7}, NULL);
    snprintf(bare, sizeof bare, "%s/bare.safetensors", root);
    cr_assert_eq(rename(path, bare), 0);
    refuse(bare, (fv_model_config){0}, FV_ERR_CONFIG, "name it with --model");
    cr_assert_eq(open_with(bare, (fv_model_config){.name = "mini_vit"}), FV_OK, "%s",
                 fv_error_message());
    cr_assert_eq(other->num_classes, 7);
    same_values();
}

Test(models_weights, a_bad_file_is_told_before_a_missing_name) {
    cr_assert_eq(fv_file_write(path, "not a tensor", 12), FV_OK);
    refuse(path, (fv_model_config){0}, FV_ERR_FORMAT, path);
    refuse("/nowhere/at/all", (fv_model_config){0}, FV_ERR_NOT_FOUND, "/nowhere/at/all");
}

Test(models_weights, averaged_weights_are_read_when_asked_and_there) {
    const fv_model_overrides ema = {.use_ema = true};
    char file[128];

    save(&(fv_model_config){.name = "mini_vit"}, NULL);
    cr_assert_eq(fv_model_open(root, &ema, false, &other, &meta), FV_ERR_NOT_FOUND);
    cr_assert(strstr(fv_error_message(), "model_ema.safetensors"), "%s", fv_error_message());
    model->params.value.base[0] += 1.0f;
    snprintf(file, sizeof file, "%s/model_ema.safetensors", root);
    cr_assert_eq(fv_params_save(&model->params, NULL, file, NULL, 0), FV_OK);
    cr_assert_eq(fv_model_open(root, &ema, false, &other, &meta), FV_OK, "%s", fv_error_message());
    same_values();
    cr_assert_eq(open_with(root, (fv_model_config){0}), FV_OK);
    cr_assert_neq(other->params.value.base[0], model->params.value.base[0]);
}

Test(models_weights, what_is_not_the_file_s_model_is_refused) {
    save(&(fv_model_config){.name = "mini_vit"}, NULL);
    refuse(root, (fv_model_config){.name = "mini_deit_distilled"}, FV_ERR_CONFIG,
           "holds a mini_vit, not a mini_deit_distilled");
    refuse(root, (fv_model_config){.num_classes = 5}, FV_ERR_SHAPE, "head.weight");
}

/* ---- another resolution, other classes ---- */

/* Reads root's weights into a new model; the text that tells of it. */
static const char *adapt(fv_model_config config, fv_load_head head, fv_status expected) {
    static char text[FV_LOAD_REPORT_TEXT];
    fv_load_report report = {0};
    fv_safetensors *st = NULL;

    fv_model_destroy(other);
    cr_assert_eq(fv_model_create(&config, false, &other), FV_OK, "%s", fv_error_message());
    fv_model_init(other, 77);
    cr_assert_eq(fv_safetensors_open(path, &st), FV_OK);
    cr_assert_eq(fv_model_load_values(other, st, head, &report), expected, "%s",
                 fv_error_message());
    fv_load_report_text(&report, text);
    fv_load_report_destroy(&report);
    fv_safetensors_close(st);
    return text;
}

static bool same_param(const char *name) {
    const fv_param *a = fv_params_find(&model->params, name);
    const fv_param *b = fv_params_find(&other->params, name);
    return a->numel == b->numel && memcmp(a->value, b->value, (size_t)a->numel * 4) == 0;
}

Test(models_weights, positions_follow_the_size_and_it_is_said) {
    save(&(fv_model_config){.name = "mini_vit"}, NULL);
    fv_load_report report = {0};
    char text[FV_LOAD_REPORT_TEXT];
    const fv_model_overrides at64 = {.config = {.img_size = 64}, .report = &report};
    cr_assert_eq(fv_model_open(root, &at64, false, &other, &meta), FV_OK, "%s", fv_error_message());
    cr_assert(strstr(fv_load_report_text(&report, text), ": positions resized from 8x8 to 16x16"),
              "%s", text);
    fv_load_report_destroy(&report);
    const fv_param *a = fv_params_find(&model->params, "pos_embed");
    const fv_param *b = fv_params_find(&other->params, "pos_embed");
    float *expected = fv_alloc((size_t)b->numel, sizeof *expected);
    cr_assert_eq(fv_pos_resample(a->value + 64, (fv_grid_size){8, 8}, (fv_grid_size){16, 16}, 64,
                                 expected + 64),
                 FV_OK);
    memcpy(expected, a->value, 64 * sizeof *expected); /* the class token's */
    cr_assert_eq(memcmp(expected, b->value, (size_t)b->numel * sizeof *expected), 0);
    cr_assert(same_param("blocks.1.mlp.fc2.weight") && same_param("head.weight"));
    fv_free(expected);
}

Test(models_weights, positions_of_no_square_grid_are_refused) {
    save(&(fv_model_config){.name = "mini_vit", .kwargs = yaml("{img_size: [16, 32]}")}, NULL);
    adapt((fv_model_config){.name = "mini_vit"}, FV_HEAD_FITS, FV_ERR_UNSUPPORTED);
    cr_assert(strstr(fv_error_message(), "no square grid"), "%s", fv_error_message());
}

Test(models_weights, the_head_of_other_classes_stays_as_initialised) {
    save(&(fv_model_config){.name = "mini_deit_distilled"}, NULL);
    const fv_model_config four = {.name = "mini_deit_distilled", .num_classes = 4};
    adapt(four, FV_HEAD_FITS, FV_ERR_SHAPE);
    const char *text = adapt(four, FV_HEAD_ADAPTS, FV_OK);
    cr_assert(strstr(text, ": head re-initialised: 10 classes there, 4 here"), "%s", text);
    fv_model *fresh = NULL;
    cr_assert_eq(fv_model_create(&four, false, &fresh), FV_OK);
    fv_model_init(fresh, 77);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "head_dist.weight" : "head.weight";
        const fv_param *a = fv_params_find(&fresh->params, name);
        const fv_param *b = fv_params_find(&other->params, name);
        cr_assert_eq(memcmp(a->value, b->value, (size_t)a->numel * sizeof(float)), 0);
    }
    cr_assert(same_param("blocks.0.attn.qkv.weight") && same_param("norm.bias"));
    fv_model_destroy(fresh);
}

Test(models_weights, a_head_that_fits_is_read_unless_the_classes_are_others) {
    save(&(fv_model_config){.name = "mini_biformer"}, NULL);
    const fv_model_config same = {.name = "mini_biformer"};
    cr_assert_str_eq(adapt(same, FV_HEAD_ADAPTS, FV_OK), "");
    same_values();
    const char *text = adapt(same, FV_HEAD_NEW, FV_OK);
    cr_assert(strstr(text, "head re-initialised: its 10 classes are others"), "%s", text);
    cr_assert(!same_param("head.weight"));
}

Test(models_weights, another_width_of_the_head_is_no_other_number_of_classes) {
    save(&(fv_model_config){.name = "mini_vit"}, NULL);
    adapt(
        (fv_model_config){.name = "mini_vit", .num_classes = 4, .kwargs = yaml("{embed_dim: 32}")},
        FV_HEAD_ADAPTS, FV_ERR_SHAPE);
}

Test(models_weights, missing_and_unexpected_tensors_are_listed) {
    save(&(fv_model_config){.name = "mini_deit_distilled"}, NULL);
    write_config("{\"architecture\": \"mini_deit_distilled\", \"model_args\": {\"depth\": 1}}");
    refuse(root, (fv_model_config){0}, FV_ERR_SHAPE, "blocks.1.norm1.weight");
    write_config("{\"architecture\": \"mini_deit_distilled\", \"model_args\": {\"depth\": 3}}");
    refuse(root, (fv_model_config){0}, FV_ERR_SHAPE, "blocks.2.norm1.weight");
}

Test(models_weights, faults_of_config_json_are_faults_of_the_file) {
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"[1]", "not a JSON object"},
        {"{", "config.json"},
        {"{\"num_classes\": 10}", "no architecture"},
        {"{\"architecture\": 3}", "architecture: expected a string"},
        {"{\"architecture\": \"mini_vitt\"}", "did you mean 'mini_vit'"},
        {"{\"architecture\": \"mini_vit\", \"num_classes\": \"ten\"}", "num_classes"},
        {"{\"architecture\": \"mini_vit\", \"model_args\": {\"patch_size\": 3}}", "patch_size"},
        {"{\"architecture\": \"mini_vit\", \"label_names\": [\"a\"]}", "1 label_names for 10"},
        {"{\"architecture\": \"mini_vit\", \"pretrained_cfg\": {\"mean\": [1, 2]}}", "mean"},
        {"{\"architecture\": \"mini_vit\", \"pretrained_cfg\": {\"std\": [1, 2, 0]}}", "std"},
        {"{\"architecture\": \"mini_vit\", \"pretrained_cfg\": {\"crop_pct\": 3}}", "crop_pct"},
    };

    save(&(fv_model_config){.name = "mini_vit"}, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_config(cases[i].json);
        refuse(root, (fv_model_config){0}, FV_ERR_FORMAT, cases[i].says);
        cr_assert(strstr(fv_error_message(), "config.json"), "%s", fv_error_message());
    }
    write_config("{\"architecture\": \"mini_vit\", \"interpolation\": \"lanczos\"}");
    refuse(root, (fv_model_config){0}, FV_ERR_UNSUPPORTED, "lanczos");
}

Test(models_weights, every_failed_allocation_is_an_error) {
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    save(&(fv_model_config){.name = "mini_vit"}, labels);
    for (; status != FV_OK && n < 1000; n++) {
        fv_alloc_fail_at(n);
        status = open_with(root, (fv_model_config){0});
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%d: %s", (int)n, fv_error_message());
    }
    cr_assert_gt(n, 8);
    for (status = FV_ERR_NOMEM, n = 1; status != FV_OK && n < 1000; n++) {
        fv_alloc_fail_at(n);
        status = fv_model_save(model, labels, root);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK || status == FV_ERR_NOMEM, "%d: %s", (int)n, fv_error_message());
    }
}
