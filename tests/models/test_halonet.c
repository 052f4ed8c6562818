/* HaloNet: sizes, names, arguments, legal images, and what must not change a bit. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/parallel.h"
#include "models/weights.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) {
    fv_alloc_fail_at(0);
    model_run_close(&run);
}

TestSuite(models_halonet, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) { return model_run_yaml(&run, "halonet", text); }

/* A network of both kinds of blocks: maps of 8, 8 and 4 pixels. */
static fv_model_config small(void) {
    return (fv_model_config){.name = "halonet50ts",
                             .num_classes = 5,
                             .img_size = 16,
                             .kwargs = yaml("{stem_type: 3x3, stem_pool: '', stem_chs: 8, "
                                            "blocks: [b, bA, A], widths: [16, 32, 64], "
                                            "strides: [1, 1, 2], ratios: [0.5, 0.5, 0.25], "
                                            "block_size: [4, 4, 2], halo_size: 1, "
                                            "num_heads: 2}")};
}

/* ---- variants ---- */

static const struct {
    const char *name;
    int64_t params;
    double gmacs;
    int64_t shorter_side; /* of the evaluation resize */
} published[] = {
    {"halonet_h1", 8100056, 2.988, 269},        {"halonet26t", 12480288, 3.173, 269},
    {"halonet50ts", 22733280, 5.270, 272},      {"sehalonet33ts", 13691712, 3.530, 272},
    {"eca_halonext26ts", 10756885, 2.420, 272}, {"mini_halonet_h1", 221218, 0.0, 0},
    {"mini_halonet_ts", 658918, 0.0, 0}};

#define PUBLISHED (sizeof published / sizeof *published)

Test(models_halonet, sizes_and_pixels_are_the_published_ones) {
    for (size_t i = 0; i < PUBLISHED; i++) {
        fv_model_cost cost;
        cr_assert_eq(fv_model_describe(&(fv_model_config){.name = published[i].name}, &run.model),
                     FV_OK, "%s", fv_error_message());
        cr_expect_eq(fv_params_count(&run.model->params), published[i].params, "%s: %lld",
                     published[i].name, (long long)fv_params_count(&run.model->params));
        cr_assert_eq(fv_model_cost_of(run.model, &cost), FV_OK, "%s", fv_error_message());
        if (published[i].gmacs > 0.0)
            cr_expect_float_eq(cost.macs / 1e9, published[i].gmacs, 0.001 * published[i].gmacs,
                               "%s: %g", published[i].name, cost.macs / 1e9);
        const fv_model_input *in = &run.model->input;
        if (published[i].shorter_side)
            cr_expect_eq((int64_t)floor((double)in->height / in->crop_pct),
                         published[i].shorter_side);
        cr_expect_float_eq(in->mean[0], 0.485f, 0.0f);
        cr_expect_eq(run.model->grid_h, in->height / 32);
        fv_model_destroy(run.model);
        run.model = NULL;
    }
}

Test(models_halonet, names_and_shapes_are_the_published_ones) {
    int n = 0;

    for (int i = 0; fv_model_name(i); i++)
        n += strcmp(fv_model_family(fv_model_name(i))->name, "halonet") == 0;
    cr_assert_eq(n, (int)PUBLISHED, "a variant without an expected size");
    for (size_t i = 0; i < PUBLISHED; i++) {
        const char *differs = model_run_compare_list(&run, published[i].name, published[i].name);
        cr_assert_null(differs, "%s: %s", published[i].name, differs);
    }
}

/* ---- arguments ---- */

Test(models_halonet, arguments_shape_the_network) {
    const fv_model_config config = small();
    const char *const *features;

    model_run_create(&run, &config);
    features = run.model->feature_names;
    cr_assert_eq(run.model->n_features, 4);
    cr_assert_str_eq(features[3], "stages.2");
    cr_assert_str_eq(run.model->first_conv, "stem.conv");
    cr_assert_not_null(fv_params_find(&run.model->params, "stages.1.1.self_attn.q.weight"));
    cr_assert_null(fv_params_find(&run.model->params, "stages.1.0.self_attn.q.weight"));
    const fv_param *rel =
        fv_params_find(&run.model->params, "stages.2.0.self_attn.pos_embed.height_rel");
    cr_assert_eq(rel->shape.dim[0], 7, "block 2 and halo 1: a window of 4");
    cr_assert_eq(rel->shape.dim[1], 8, "64 / 4 channels for 2 heads");
    cr_assert_eq(run.model->tokens, 64, "the map of the stage before the last");
    const fv_value *blocks = fv_value_find(run.model->args, "blocks");
    cr_assert_eq(blocks->count, 3);
    cr_assert_str_eq(fv_value_at(blocks, 1)->text, "bA");
    cr_assert_null(fv_value_find(run.model->args, "act_layer"), "as the variant has it");
}

Test(models_halonet, stages_beyond_the_variants_are_like_its_last) {
    const fv_model_config config = {.name = "mini_halonet_h1",
                                    .kwargs = yaml("{blocks: [b, b, b, b, AA], strides: 1}")};

    model_run_create(&run, &config);
    cr_assert_eq(run.model->num_features, 128);
    cr_assert_eq(run.model->grid_h, 32);
    cr_assert_not_null(
        fv_params_find(&run.model->params, "stages.4.1.self_attn.pos_embed.width_rel"));
}

Test(models_halonet, a_last_convolution_widens_the_classifiers_input) {
    fv_model_config config = small();

    config.kwargs = yaml("{blocks: [b, A], num_features: 40, group_size: 8, stem_pool: '', "
                         "dim_head: 12, block_size: 2, num_heads: 4, widths: [32, 48]}");
    model_run_create(&run, &config);
    cr_assert_eq(run.model->num_features, 40);
    cr_assert_eq(fv_params_find(&run.model->params, "final_conv.conv.weight")->shape.dim[0], 40);
    cr_assert_eq(
        fv_params_find(&run.model->params, "stages.0.0.conv2_kxk.conv.weight")->shape.dim[1], 8);
    cr_assert_eq(fv_params_find(&run.model->params, "stages.1.0.self_attn.q.weight")->shape.dim[0],
                 48);
    cr_assert_eq(fv_dim(model_run_forward(&run, &(fv_step){.mode = FV_TRAIN}, 2), 1), 5);
}

static void refuse(const char *kwargs, const char *says) {
    const fv_model_config config = {.name = "halonet26t", .kwargs = yaml(kwargs)};
    cr_assert_eq(fv_model_create(&config, true, &run.model), FV_ERR_CONFIG, "%s", kwargs);
    cr_assert_null(run.model);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(models_halonet, illegal_images_name_stage_map_and_block) {
    refuse("img_size: 224", "halonet.yaml:1:11: img_size: stage 2 attends in blocks of 8 pixels to "
                            "maps of 14x14 (image of 224x224 px): not a multiple of 8");
    refuse("img_size: [256, 320]", "stage 2 attends in blocks of 8 pixels to maps of 16x20");
    refuse("block_size: 5", "block_size: stage 2 attends in blocks of 5 pixels");
    refuse("{img_size: 240, block_size: 15}", "maps of 15x15 (image of 240x240 px): not a multiple "
                                              "of 30");
}

Test(models_halonet, illegal_arguments_name_key_and_rule) {
    refuse("num_heads: 7", "num_heads: 7 does not divide the inner width 256 of stage 2");
    refuse("group_size: 48", "group_size: 48 does not divide the inner width 64 of stage 0");
    refuse("stem_chs: 36", "stem_chs: 36 is not a multiple of 8");
    refuse("stem_type: deep", "'deep' is not available here; known: 7x7, 3x3, tiered");
    refuse("attn_layer: cbam", "attn_layer: 'cbam' is not available here; known: '', se, eca");
    refuse("act_layer: gelu", "act_layer: 'gelu'");
    refuse("blocks: bbAA", "blocks: expected a list of 1 to 8 stages");
    refuse("blocks: [b, x]", "blocks: stage 1 is not a word of b");
    refuse("blocks: [b, 3]", "blocks: stage 1 is not a word of b");
    refuse("widths: [64, 128]", "widths: 2 entries where one or 4 are meant");
    refuse("strides: 3", "strides: 3 is outside 1 to 2");
    refuse("ratios: [1, 2, x, 1]", "ratios: expected numbers");
    refuse("ratios: .nan", "ratios");
    refuse("halo_size: -1", "halo_size: -1 is outside 0");
    refuse("depth: 50", "unknown key 'depth'");
}

Test(models_halonet, groups_of_other_families_are_not_ignored) {
    const fv_model_config config = {.name = "halonet26t", .attention = yaml("kind: mhsa")};
    cr_assert_eq(fv_model_create(&config, true, &run.model), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "unknown key 'kind'"), "%s", fv_error_message());
}

/* Gates on channels and groups of channels, trained and composed. */
Test(models_halonet, gates_follow_3x3_convolutions) {
    static const char *const gates[] = {"se", "eca"}, *const names[] = {
                                                          "stages.0.0.attn.fc2.bias",
                                                          "stages.0.0.attn.conv.weight"};
    fv_model_config config = small();
    float want[10];

    for (int i = 0; i < 2; i++) {
        const char *text = fv_arena_printf(&run.arena,
                                           "{blocks: [b, bA], widths: [32, 64], "
                                           "group_size: 4, stem_pool: '', "
                                           "block_size: 2, num_heads: 4, "
                                           "attn_layer: %s}",
                                           gates[i]);
        config.kwargs = yaml(text);
        model_run_create(&run, &config);
        cr_assert_not_null(fv_params_find(&run.model->params, names[i]), "%s", names[i]);
        cr_assert_null(fv_params_find(&run.model->params, names[!i]));
        const model_run_losses losses =
            model_run_descend(&run, &(fv_step){.mode = FV_TRAIN}, 4, 8, 0.1f);
        cr_assert_lt(losses.last, losses.first);
        memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2)->data, sizeof want);
        const float *y = model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN}, 2)->data;
        for (int k = 0; k < 10; k++) cr_assert_float_eq(y[k], want[k], 1e-5f);
    }
}

/* A rectangle of legal maps runs; another size than the model's does not. */
Test(models_halonet, images_need_not_be_square) {
    fv_model_config config = {.name = "mini_halonet_ts", .kwargs = yaml("img_size: [64, 128]")};
    static float x[96 * 96 * 3];

    model_run_create(&run, &config);
    cr_assert_eq(fv_dim(model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2), 1), 10);
    const fv_tensor t = {x, FV_F32,
                         fv_shape_of(4, (int64_t)1, (int64_t)80, (int64_t)80, (int64_t)3)};
    fv_tape_begin(run.tape, &(fv_step){.mode = FV_INFER});
    fv_model_forward(run.model, fv_input(run.tape, &t, false));
    cr_assert_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
}

/* ---- forward ---- */

Test(models_halonet, features_are_tapped_by_name) {
    static const char *const shapes[] = {"2x8x8x8", "2x8x8x16", "2x8x8x32", "2x4x4x64"};
    const fv_model_config config = small();
    char text[FV_SHAPE_TEXT];

    model_run_create(&run, &config);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2);
    for (int i = 0; i < run.model->n_features; i++) {
        const fv_var *v = fv_tape_find(run.tape, run.model->feature_names[i]);
        cr_assert_not_null(v, "%s", run.model->feature_names[i]);
        cr_assert_str_eq(fv_shape_text(&v->shape, text), shapes[i]);
    }
    cr_assert_eq(fv_dim(fv_tape_find(run.tape, "pre_logits"), 1), 64);
}

static void open_branches(void) {
    for (int64_t i = 0; i < run.model->params.count; i++) {
        const fv_param *p = run.model->params.item[i];
        if (strstr(p->name, "conv3_1x1.bn.weight"))
            for (int64_t k = 0; k < p->numel; k++) p->value[k] = 0.5f;
    }
}

Test(models_halonet, composed_mode_equals_the_fused_one) {
    const fv_model_config config = small();
    float want[20];

    model_run_create(&run, &config);
    open_branches();
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 4)->data, sizeof want);
    const float *y = model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN}, 4)->data;
    for (int i = 0; i < 20; i++) cr_assert_float_eq(y[i], want[i], 1e-6f);
    cr_assert_neq(want[0], want[5]);
}

Test(models_halonet, bf16_is_near_f32) {
    fv_model_config config = small();
    double error = 0.0, size = 0.0;
    float want[40];

    config.bf16 = true;
    model_run_create(&run, &config);
    open_branches();
    fv_params_bf16_refresh(&run.model->params);
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_TRAIN}, 8)->data, sizeof want);
    const fv_var *y = model_run_forward(&run, &(fv_step){.mode = FV_TRAIN, .bf16 = true}, 8);
    cr_assert_eq(y->dtype, FV_F32, "logits stay f32");
    for (int i = 0; i < 40; i++) {
        const double d = (double)((float *)y->data)[i] - (double)want[i];
        error += d * d;
        size += (double)want[i] * (double)want[i];
    }
    cr_assert_lt(sqrt(error / size), 0.1);
    cr_assert_gt(error, 0.0, "products were in bf16");
}

/* ---- training ---- */

static void check_learns(bool bf16) {
    const fv_step step = {.mode = FV_TRAIN, .bf16 = bf16, .samples = 8};
    fv_model_config config = small();

    config.bf16 = bf16;
    model_run_create(&run, &config);
    const model_run_losses losses = model_run_descend(&run, &step, 8, 60, 0.3f);
    cr_assert_float_eq(losses.first, logf(5.0f), 0.5f, "chance at first, got %g",
                       (double)losses.first);
    cr_assert_lt(losses.last, 0.1f, "from %g to %g", (double)losses.first, (double)losses.last);
}

Test(models_halonet, learns_one_batch) {
    check_learns(false);
    check_learns(true);
}

Test(models_halonet, every_parameter_gets_a_gradient) {
    const fv_model_config config = small();

    model_run_create(&run, &config);
    open_branches();
    model_run_pass(&run, &(fv_step){.mode = FV_TRAIN}, 4);
    for (int64_t i = 0; i < run.model->params.count; i++) {
        const fv_param *p = run.model->params.item[i];
        double sum = 0.0;
        if (!p->trainable) continue;
        for (int64_t k = 0; k < p->numel; k++) sum += fabs((double)p->grad[k]);
        cr_assert_gt(sum, 0.0, "%s", p->name);
    }
}

/* Gradients, and the running statistics that a pass proposes. */
Test(models_halonet, threads_change_no_bit) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8, .chunk_samples = 2, .seed = 9};
    fv_model_config config = small();

    config.drop_path = 0.3;
    float *want[2] = {NULL};
    size_t bytes = 0;
    for (int threads = 1; threads < 4; threads++) {
        fv_threads_set(threads);
        model_run_create(&run, &config);
        open_branches();
        bytes = (size_t)run.model->params.slab_numel * sizeof(float);
        for (int i = 0; i < 2 && threads == 1; i++) want[i] = fv_arena_alloc(&run.arena, 1, bytes);
        model_run_pass(&run, &step, 8);
        fv_tape_commit(run.tape);
        const float *got[2] = {run.model->params.grad.base, run.model->params.value.base};
        for (int i = 0; i < 2; i++) {
            if (threads == 1) memcpy(want[i], got[i], bytes);
            cr_assert_eq(memcmp(want[i], got[i], bytes), 0, "%d threads", threads);
        }
    }
    const fv_param *seen = fv_params_find(&run.model->params, "stem.bn.num_batches_tracked");
    cr_assert_eq(seen->value[0], 1.0f);
}

/* Weights, buffers and arguments come back from a folder. */
Test(models_halonet, saved_and_opened_it_gives_the_same_bits) {
    const fv_model_config config = small();
    char folder[] = "/tmp/fovea_halonet_XXXXXX";
    float want[20];
    fv_model *opened = NULL;
    fv_model_meta meta;

    cr_assert_not_null(mkdtemp(folder));
    model_run_create(&run, &config);
    model_run_descend(&run, &(fv_step){.mode = FV_TRAIN}, 8, 2, 0.05f);
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 4)->data, sizeof want);
    cr_assert_eq(fv_model_save(run.model, NULL, folder), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_model_open(folder, NULL, false, &opened, &meta), FV_OK, "%s",
                 fv_error_message());
    fv_model_destroy(run.model);
    run.model = opened;
    cr_assert_eq(
        memcmp(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 4)->data, sizeof want),
        0);
    fv_model_meta_destroy(&meta);
    fv_folder_remove(folder);
}

Test(models_halonet, a_warm_step_allocates_nothing) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8};
    const fv_model_config config = small();
    uint64_t calls = 0;

    model_run_create(&run, &config);
    for (int i = 0; i < 4; i++) {
        calls = fv_alloc_calls();
        model_run_pass(&run, &step, 8);
    }
    cr_assert_eq(fv_alloc_calls(), calls);
}

Test(models_halonet, every_failed_allocation_is_an_error) {
    const fv_model_config config = small();
    fv_status status = FV_ERR_NOMEM;
    uint64_t n = 1;

    for (; status != FV_OK && n < 1000; n++) {
        fv_alloc_fail_at(n);
        status = fv_model_create(&config, true, &run.model);
        fv_alloc_fail_at(0);
        cr_assert(status == FV_OK ? run.model != NULL : status == FV_ERR_NOMEM && !run.model, "%s",
                  fv_error_message());
    }
    cr_assert_gt(n, 4);
}
