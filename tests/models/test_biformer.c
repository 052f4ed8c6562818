/* BiFormer: sizes, names, arguments, and what must not change a bit. */
#include "core/parallel.h"
#include "models/weights.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(models_biformer, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) { return model_run_yaml(&run, "biformer", text); }

/* A network of 30,000 parameters on maps of 8, 4, 2 and 1 pixels. */
static fv_model_config small(const char *name) {
    return (fv_model_config){.name = name,
                             .num_classes = 5,
                             .img_size = 32,
                             .kwargs = yaml("{depth: [1, 2, 1, 1], embed_dim: [16, 16, 32, 32], "
                                            "n_win: 2, topks: [1, 2, 4, -2], head_dim: 8}")};
}

static const struct {
    const char *name;
    int64_t params;
    double gmacs;
} published[] = {{"biformer_tiny", 13142760, 2.216}, {"biformer_small", 25536232, 4.464},
                 {"biformer_base", 56804968, 9.759}, {"biformer_stl", 28372552, 4.574},
                 {"mini_biformer", 1289354, 0.0},    {"mini_biformer_pad", 1460554, 0.0},
                 {"mini_biformer_stl", 1240074, 0.0}};

#define PUBLISHED (sizeof published / sizeof *published)

Test(models_biformer, parameters_and_costs_are_the_published_ones) {
    for (size_t i = 0; i < PUBLISHED; i++) {
        fv_model_cost cost;
        cr_assert_eq(fv_model_describe(&(fv_model_config){.name = published[i].name}, &run.model),
                     FV_OK, "%s", fv_error_message());
        cr_expect_eq(fv_params_count(&run.model->params), published[i].params, "%s",
                     published[i].name);
        cr_assert_eq(fv_model_cost_of(run.model, &cost), FV_OK, "%s", fv_error_message());
        if (published[i].gmacs > 0.0)
            cr_expect_float_eq(cost.macs / 1e9, published[i].gmacs, 0.0005, "%s: %g",
                               published[i].name, cost.macs / 1e9);
        const fv_model_input *in = &run.model->input;
        if (in->height == 224) cr_expect_eq((int64_t)floor((double)in->height / in->crop_pct), 256);
        fv_model_destroy(run.model);
        run.model = NULL;
    }
}

Test(models_biformer, names_and_shapes_are_the_authors) {
    for (size_t i = 0; i < PUBLISHED; i++) {
        const char *differs = model_run_compare_list(&run, published[i].name, published[i].name);
        cr_assert_null(differs, "%s: %s", published[i].name, differs);
    }
}

Test(models_biformer, small_images_have_a_small_network) {
    const fv_model_config config = {
        .name = "biformer_tiny",
        .num_classes = 20,
        .img_size = 64,
        .kwargs = yaml("{depth: [1, 1, 3, 1], embed_dim: [32, 64, 128, 256], mlp_ratios: 3, "
                       "n_win: 4, topks: [1, 4, 16, -2], head_dim: 32, side_dwconv: 5, "
                       "before_attn_dwconv: 3}")};
    cr_assert_eq(fv_model_describe(&config, &run.model), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_params_count(&run.model->params), 1631892);
    cr_assert_eq(fv_value_find(run.model->args, "depth")->count, 4);
    cr_assert_null(fv_value_find(run.model->args, "topks"), "as in the variant");
}

Test(models_biformer, features_are_tapped_by_name) {
    static const char *const shapes[] = {"2x8x8x16", "2x8x8x16", "2x4x4x16", "2x4x4x16",
                                         "2x2x2x32", "2x2x2x32", "2x1x1x32", "2x1x1x32"};
    const char *const names[] = {"biformer_tiny", "biformer_stl"};
    char text[FV_SHAPE_TEXT];

    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    for (int k = 0; k < 2; k++) {
        const fv_model_config config = small(names[k]);
        model_run_create(&run, &config);
        const fv_var *logits = model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2);
        cr_assert_eq(run.model->n_features, 8);
        for (int i = 0; i < 8; i++) {
            const fv_var *v = fv_tape_find(run.tape, run.model->feature_names[i]);
            cr_assert_not_null(v, "%s", run.model->feature_names[i]);
            cr_assert_str_eq(fv_shape_text(&v->shape, text), shapes[i]);
        }
        cr_assert_str_eq(fv_shape_text(&logits->shape, text), "2x5");
        const char *tap = k ? "stages.1.blocks.1.attn.routing" : "stages.1.1.attn.routing";
        const fv_var *chosen = fv_tape_find(run.tape, tap);
        cr_assert_not_null(chosen);
        cr_assert_str_eq(fv_shape_text(&chosen->shape, text), "2x4x2");
    }
}

Test(models_biformer, learns_one_batch) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8};
    const fv_model_config config = small("biformer_tiny");

    model_run_create(&run, &config);
    const model_run_losses losses = model_run_descend(&run, &step, 8, 80, 0.2f);
    cr_assert_float_eq(losses.first, logf(5.0f), 0.3f, "near chance at first, got %g",
                       (double)losses.first);
    cr_assert_lt(losses.last, 0.1f, "from %g to %g", (double)losses.first, (double)losses.last);
}

Test(models_biformer, threads_change_no_bit) {
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const fv_step step = {
            .mode = FV_TRAIN, .samples = 8, .chunk_samples = 2, .seed = 9, .bf16 = bf16};
        fv_model_config config = small("biformer_tiny");

        config.drop_path = 0.3;
        config.bf16 = bf16;
        fv_threads_set(1);
        model_run_create(&run, &config);
        const size_t bytes = (size_t)run.model->params.slab_numel * sizeof(float);
        float *want = fv_arena_alloc(&run.arena, 1, bytes);
        model_run_pass(&run, &step, 8);
        memcpy(want, run.model->params.grad.base, bytes);
        for (int threads = 2; threads < 4; threads++) {
            fv_threads_set(threads);
            model_run_pass(&run, &step, 8);
            cr_assert_eq(memcmp(want, run.model->params.grad.base, bytes), 0, "%d threads",
                         threads);
        }
    }
}

/* Outside of training an image does not know its neighbours. */
Test(models_biformer, images_are_independent) {
    const fv_model_config config = small("biformer_tiny");
    float want[8 * 5];

    model_run_create(&run, &config);
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 8)->data, sizeof want);
    for (int first = 0; first < 8; first += 3) {
        const int n = first < 6 ? 3 : 2;
        const fv_step step = {.mode = FV_INFER, .first_sample = first};
        const fv_var *y = model_run_forward(&run, &step, n);
        cr_assert_eq(memcmp(want + first * 5, y->data, (size_t)n * 5 * sizeof *want), 0);
    }
}

Test(models_biformer, reduced_precision_is_close) {
    fv_model_config config = small("biformer_tiny");

    config.bf16 = true;
    model_run_create(&run, &config);
    const float *exact = model_run_pass(&run, &(fv_step){.mode = FV_TRAIN}, 8);
    float want[8];
    memcpy(want, exact, sizeof want);
    const float *got = model_run_pass(&run, &(fv_step){.mode = FV_TRAIN, .bf16 = true}, 8);
    for (int b = 0; b < 8; b++) cr_expect_float_eq(got[b], want[b], 0.03f, "sample %d", b);
}

Test(models_biformer, what_was_saved_comes_back) {
    const fv_model_config config = small("mini_biformer_pad");
    char folder[] = "/tmp/fovea-biformer-XXXXXX", path[64];
    fv_model *other = NULL;
    fv_model_meta meta;
    float want[10];

    cr_assert_not_null(mkdtemp(folder));
    model_run_create(&run, &config);
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2)->data, sizeof want);
    cr_assert_eq(fv_model_save(run.model, NULL, folder), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_model_open(folder, NULL, false, &other, &meta), FV_OK, "%s",
                 fv_error_message());
    fv_model_destroy(run.model);
    run.model = other;
    const fv_var *y = model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2);
    cr_assert_eq(memcmp(want, y->data, sizeof want), 0);
    cr_assert_eq(other->grid_h, 1);
    fv_model_meta_destroy(&meta);
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void refuse(const char *name, const char *kwargs, const char *says) {
    const fv_model_config config = {.name = name, .kwargs = yaml(kwargs)};
    cr_assert_eq(fv_model_create(&config, true, &run.model), FV_ERR_CONFIG, "%s", kwargs);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(models_biformer, illegal_arguments_name_key_and_rule) {
    refuse("biformer_tiny", "n_win: 8",
           "biformer.yaml:1:8: n_win: stage 1: a map of 28x28 px does not divide into 8x8 regions; "
           "auto_pad: true continues it by zeros");
    refuse("biformer_tiny", "img_size: 256", "n_win: stage 0: a map of 64x64 px does not divide");
    refuse("mini_biformer", "topks: [1, 17, 4, -2]", "topks: stage 1: 17 of 4x4 regions");
    refuse("mini_biformer", "topks: [1, 2, -1, -2]", "topks: stage 2: -1 of 4x4 regions");
    refuse("mini_biformer", "topks: -3", "topks: -3 is outside -2");
    refuse("mini_biformer", "topks: [1, 2]", "topks: 2 entries where one or 4 are meant");
    refuse("mini_biformer", "head_dim: 24", "head_dim: 24 does not divide embed_dim 32");
    refuse("mini_biformer", "embed_dim: [32, 64, 128, 100]", "stages.3.0.attn: 8 heads do not");
    refuse("mini_biformer", "{embed_dim: [33, 64, 128, 256], head_dim: 1}",
           "downsample_layers.0: a stem of 33 channels, which is odd");
    refuse("mini_biformer", "side_dwconv: 4", "side_dwconv: 4 px is not odd");
    refuse("mini_biformer", "before_attn_dwconv: 2", "before_attn_dwconv: 2 px is not odd");
    refuse("mini_biformer", "mlp_ratios: 0.01", "mlp_ratios: 0.01 leaves the MLP no width");
    refuse("mini_biformer_stl", "before_attn_dwconv: 3", "unknown key 'before_attn_dwconv'");
    refuse("mini_biformer_stl", "{img_size: 16, topks: -2}",
           "img_size: 16x16 px leave stage 3 no pixels");
    refuse("mini_biformer", "depths: 2", "unknown key 'depths'; did you mean 'depth'?");
}

Test(models_biformer, padding_allows_any_size) {
    fv_model_config config = small("biformer_tiny");

    config.img_size = 0;
    config.kwargs = yaml("{img_size: [45, 70], depth: 1, embed_dim: 16, n_win: 3, head_dim: 8, "
                         "topks: [1, 4, 9, -2], auto_pad: true, side_dwconv: 0, "
                         "before_attn_dwconv: 0, layer_scale_init_value: 0.1}");
    model_run_create(&run, &config);
    cr_assert_eq(fv_dim(model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2), 1), 5);
    cr_assert_eq(run.model->grid_h * 10 + run.model->grid_w, 23);
    cr_assert_null(fv_params_find(&run.model->params, "stages.0.0.attn.lepe.weight"));
    cr_assert_null(fv_params_find(&run.model->params, "stages.0.0.pos_embed.weight"));
    const fv_param *gamma = fv_params_find(&run.model->params, "stages.0.0.gamma1");
    cr_assert_float_eq(gamma->value[3], 0.1f, 0.0f);
}

/* A map of another size than the model's, at the layer that cannot cut it. */
Test(models_biformer, maps_that_do_not_divide_are_errors_of_the_layer) {
    static float x[24 * 24 * 3];
    const fv_model_config config = small("biformer_tiny");

    model_run_create(&run, &config);
    const fv_tensor t = {x, FV_F32,
                         fv_shape_of(4, (int64_t)1, (int64_t)24, (int64_t)24, (int64_t)3)};
    fv_tape_begin(run.tape, &(fv_step){.mode = FV_INFER});
    fv_model_forward(run.model, fv_input(run.tape, &t, false));
    cr_assert_eq(fv_tape_status(run.tape), FV_ERR_SHAPE);
    cr_assert(
        strstr(fv_error_message(), "stages.1.0.attn: a map of 3x3 px does not divide into 2x2"),
        "%s", fv_error_message());
}
