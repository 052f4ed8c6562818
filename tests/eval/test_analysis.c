/* Analyses over images: means of what single images give, similarities, files, failing memory. */
#include "core/alloc.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "data/image.h"
#include "eval/analysis/analysis.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/generator.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IMAGES 4

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(eval_analysis, .init = enter, .fini = leave);

static void create(const char *name, const char *kwargs) {
    fv_model_config config = {.name = name, .num_classes = 4};
    if (kwargs) config.kwargs = model_run_yaml(&run, "kwargs", kwargs);
    if (kwargs) config.img_size = 16;
    model_run_create(&run, &config);
    fv_generate_params(&run.model->params, "");
}

#define SMALL "{patch_size: 4, embed_dim: 16, num_heads: 2}"

static fv_analysis *analyse(int64_t n, int64_t max_batch) {
    const fv_model_input *in = &run.model->input;
    const fv_tensor x = model_run_pixels(&run, 0, n);
    fv_analysis *a = NULL;

    cr_assert_eq(fv_analysis_create(run.model, n, max_batch, &a), FV_OK);
    for (int64_t i = 0; i < n; i++)
        cr_assert_eq(
            fv_analysis_add(a, (float *)x.data + i * in->height * in->width * 3, (int32_t)(i % 4)),
            FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_analysis_finish(a), FV_OK, "%s", fv_error_message());
    return a;
}

/* The same, as text. */
static const char *described(const fv_analysis *a) {
    fv_value *map = fv_value_new(&run.arena, FV_VALUE_MAP);
    char *text = NULL;

    fv_analysis_describe(a, &run.arena, map);
    cr_assert_eq(fv_json_write(map, FV_JSON_COMPACT, &run.arena, &text), FV_OK);
    return text;
}

Test(eval_analysis, means_are_those_of_single_images) {
    const fv_tensor x = (create("mini_vit", SMALL), model_run_pixels(&run, 0, IMAGES));
    fv_arena arena = {0};
    fv_head_probe probe = {.tape = run.tape, .model = run.model, .max_images = 4, .arena = &arena};
    fv_head_importance one[4];
    double dloss[4] = {0}, sink[4] = {0};
    int64_t right = 0, right_without[4] = {0};

    for (int64_t i = 0; i < IMAGES; i++) {
        bool whole;
        fv_head_profile p;
        cr_assert_eq(fv_head_probe_record(&probe, (float *)x.data + i * 16 * 16 * 3, NULL), FV_OK);
        for (int h = 0; h < 4; h++) {
            const fv_attention_matrix *m = &probe.record.item[h / 2];
            cr_assert_eq(fv_head_profile_init(&p, m, &arena), FV_OK);
            fv_head_profile_of(m, 0, h % 2, &p);
            sink[h] += p.number[FV_HEAD_sink] / IMAGES;
        }
        cr_assert_eq(fv_head_importance_of(&probe, i % 4, one, &whole), FV_OK);
        right += whole;
        for (int h = 0; h < 4; h++) {
            dloss[h] += one[h].number[FV_IMPORTANCE_dloss] / IMAGES;
            right_without[h] += one[h].right;
        }
    }
    fv_arena_destroy(&arena);
    fv_analysis *a = analyse(IMAGES, 3);
    cr_expect_eq(a->n_images, IMAGES);
    cr_expect_eq(a->right, right);
    cr_assert_eq(a->n_heads, 4);
    for (int h = 0; h < 4; h++) {
        const fv_analysis_head *head = &a->layers[h / 2].head[h % 2];
        cr_expect_float_eq(head->importance[FV_IMPORTANCE_dloss].mean, dloss[h], 1e-12);
        cr_expect_float_eq(head->profile[FV_HEAD_sink].mean, sink[h], 1e-12);
        cr_expect_eq(head->accuracy_drop, 100.0 * (double)(right - right_without[h]) / IMAGES);
        cr_expect_gt(fv_moments_se(&head->importance[FV_IMPORTANCE_dloss]), 0.0);
    }
    fv_analysis_destroy(a);
}

/* Results do not depend on how many masked copies go into one pass. */
Test(eval_analysis, batches_change_nothing) {
    create("mini_davit", NULL);
    fv_analysis *a = analyse(2, 1), *b = analyse(2, 7);
    cr_expect_str_eq(described(a), described(b));
    fv_analysis_destroy(a);
    fv_analysis_destroy(b);
}

Test(eval_analysis, similarity_and_ranks_are_symmetric) {
    create("mini_vit", SMALL);
    fv_analysis *a = analyse(IMAGES, 0);
    const int F = run.model->n_features;

    for (int i = 0; i < F; i++)
        for (int j = 0; j < F; j++) {
            const double s = a->similarity[i * F + j];
            cr_expect_float_eq(s, a->similarity[j * F + i], 1e-12);
            cr_expect(s >= 0.0 && s <= 1.0 + 1e-12, "%g", s);
            if (i == j) cr_expect_float_eq(s, 1.0, 1e-12);
        }
    for (int i = 0; i < FV_IMPORTANCE_COUNT; i++)
        cr_expect_float_eq(a->rank_correlation[i][i], 1.0, 1e-12);
    cr_expect_float_eq(a->rank_correlation[FV_IMPORTANCE_kl][FV_IMPORTANCE_js],
                       a->rank_correlation[FV_IMPORTANCE_js][FV_IMPORTANCE_kl], 1e-12);
    fv_analysis_destroy(a);
}

Test(eval_analysis, channels_have_no_profile) {
    create("mini_davit", NULL);
    fv_analysis *a = analyse(1, 0);
    fv_value *map = fv_value_new(&run.arena, FV_VALUE_MAP);
    int channels = 0;

    fv_analysis_describe(a, &run.arena, map);
    const fv_value *heads = fv_value_find(map, "heads");
    cr_assert_eq(heads->count, a->n_heads);
    for (const fv_value *h = heads->first; h; h = h->next) {
        const bool channel = strcmp(fv_value_find(h, "kind")->text, "channel") == 0;
        channels += channel;
        cr_expect_eq(fv_value_find(h, "entropy")->kind == FV_VALUE_NULL, channel);
        cr_expect_eq(fv_value_find(h, "ring_sum")->kind == FV_VALUE_NULL, channel);
        cr_expect_eq(fv_value_find(h, "to_cls")->kind, FV_VALUE_NULL, "no class token");
        cr_expect_eq(fv_value_find(h, "kl")->kind, FV_VALUE_MAP);
    }
    cr_expect_eq(channels, 15);
    fv_analysis_destroy(a);
}

Test(eval_analysis, files_hold_what_was_found) {
    char path[] = "/tmp/fovea-analysis-XXXXXX", raw[64], picture[64];
    fv_safetensors *file = NULL;
    fv_tensor t;
    fv_image *image = NULL;

    create("mini_vit", SMALL);
    fv_analysis *a = analyse(2, 0);
    cr_assert_not_null(mkdtemp(path));
    snprintf(raw, sizeof raw, "%s/a.safetensors", path);
    snprintf(picture, sizeof picture, "%s/a.png", path);
    cr_assert_eq(fv_analysis_save(a, "ckpt", raw), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_open(raw, &file), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_safetensors_load(file, "importance.mean", &run.arena, &t), FV_OK);
    cr_expect_eq(t.shape.dim[0], 4);
    cr_expect_eq(((float *)t.data)[3 * FV_IMPORTANCE_COUNT + FV_IMPORTANCE_kl],
                 (float)a->layers[1].head[1].importance[FV_IMPORTANCE_kl].mean);
    cr_assert_eq(fv_safetensors_load(file, "offset.blocks.1.attn", &run.arena, &t), FV_OK);
    cr_expect_eq(fv_shape_numel(&t.shape), 2 * 7 * 7);
    cr_expect_eq(((float *)t.data)[49 + 24], (float)a->layers[1].head[1].offset[24].mean);
    cr_expect_str_eq(fv_safetensors_metadata(file, "checkpoint"), "ckpt");
    fv_safetensors_close(file);
    unlink(raw);

    cr_assert_eq(fv_analysis_save_offsets(a, picture), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_image_load(picture, &image), FV_OK);
    cr_expect_eq(image->height, image->width, "two layers of two heads");
    fv_image_destroy(image);
    cr_assert_eq(fv_analysis_save_rings(a, picture), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_image_load(picture, &image), FV_OK);
    cr_expect_eq(image->width, 2 * image->height, "two layers, four rings");
    fv_image_destroy(image);
    unlink(picture);
    rmdir(path);
    fv_analysis_destroy(a);
}

Test(eval_analysis, bad_labels_and_no_images_are_refused) {
    fv_analysis *a = NULL;

    create("mini_vit", SMALL);
    const fv_tensor x = model_run_pixels(&run, 0, 1);
    cr_assert_eq(fv_analysis_create(run.model, 1, 0, &a), FV_OK);
    cr_expect_eq(fv_analysis_finish(a), FV_ERR_FORMAT);
    cr_expect_eq(fv_analysis_add(a, x.data, 4), FV_ERR_CONFIG);
    cr_expect_eq(fv_analysis_add(a, x.data, -1), FV_ERR_CONFIG);
    fv_analysis_destroy(a);
}

static fv_status one_image(void *arg) {
    const fv_tensor *x = arg;
    fv_analysis *a = NULL;
    fv_value *map;
    fv_arena arena = {0};
    char *text = NULL;

    fv_status status = fv_analysis_create(run.model, 1, 2, &a);
    if (status == FV_OK) status = fv_analysis_add(a, x->data, 1);
    if (status == FV_OK) status = fv_analysis_finish(a);
    if (status == FV_OK) {
        map = fv_value_new(&arena, FV_VALUE_MAP);
        fv_analysis_describe(a, &arena, map);
        status = map ? fv_json_write(map, FV_JSON_COMPACT, &arena, &text) : FV_ERR_NOMEM;
    }
    fv_arena_destroy(&arena);
    fv_analysis_destroy(a);
    return status;
}

Test(eval_analysis, failing_allocations) {
    create("mini_vit", SMALL);
    fv_tensor x = model_run_pixels(&run, 0, 1);
    cr_assert_eq(alloc_sweep(one_image, &x, NULL), FV_OK, "%s", fv_error_message());
}
