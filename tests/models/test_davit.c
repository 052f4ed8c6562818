/* DaViT: sizes, names, arguments, and what must not change a bit. */
#include "core/parallel.h"
#include "core/tree.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(models_davit, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) { return model_run_yaml(&run, "davit", text); }

/* Two stages of maps of 6x6 and 3x3 pixels, whose windows of 4 are padded. */
static fv_model_config small(void) {
    return (fv_model_config){.name = "mini_davit",
                             .num_classes = 5,
                             .img_size = 24,
                             .kwargs = yaml("{depths: [1, 2], embed_dims: [8, 16], "
                                            "num_heads: [2, 4], window_size: 4}")};
}

static const struct {
    const char *name;
    int64_t params;
    double gmacs;
} published[] = {{"davit_tiny", 28360168, 4.522},  {"davit_small", 49745896, 8.773},
                 {"davit_base", 87954408, 15.474}, {"davit_large", 196811752, 0.0},
                 {"mini_davit", 2301450, 0.0},     {"mini_davit_even", 1074858, 0.0}};

#define PUBLISHED ((int)(sizeof published / sizeof *published))

Test(models_davit, sizes_and_pixels_are_the_published_ones) {
    for (int i = 0; i < PUBLISHED; i++) {
        fv_model_cost cost;
        cr_assert_eq(fv_model_describe(&(fv_model_config){.name = published[i].name}, &run.model),
                     FV_OK, "%s", fv_error_message());
        cr_expect_eq(fv_params_count(&run.model->params), published[i].params, "%s: %lld",
                     published[i].name, (long long)fv_params_count(&run.model->params));
        cr_assert_eq(fv_model_cost_of(run.model, &cost), FV_OK, "%s", fv_error_message());
        if (published[i].gmacs > 0.0)
            cr_expect_float_eq(cost.macs / 1e9, published[i].gmacs, 0.001 * published[i].gmacs);
        const fv_model_input *in = &run.model->input;
        if (in->height == 224) cr_expect_eq((int64_t)floor(224.0 / in->crop_pct), 235);
        cr_expect_float_eq(in->mean[0], 0.485f, 0.0f);
        fv_model_destroy(run.model);
        run.model = NULL;
    }
}

Test(models_davit, every_variant_is_in_the_table_above) {
    int n = 0;
    for (int i = 0; fv_model_name(i); i++) {
        if (strcmp(fv_model_family(fv_model_name(i))->name, "davit") != 0) continue;
        cr_assert_lt(n, PUBLISHED);
        cr_assert_str_eq(published[n++].name, fv_model_name(i));
    }
    cr_assert_eq(n, PUBLISHED);
}

Test(models_davit, names_and_shapes_are_timms) {
    for (int i = 0; i < PUBLISHED; i++) {
        if (strcmp(published[i].name, "davit_large") == 0) continue; /* as base, but for widths */
        const char *differs = model_run_compare_list(&run, published[i].name, published[i].name);
        cr_assert_null(differs, "%s: %s", published[i].name, differs);
    }
}

/* models.md of the small configuration: 64 pixels, windows of 4, 20 classes. */
Test(models_davit, arguments_shape_the_network) {
    const fv_model_config config = {
        .name = "davit_tiny",
        .num_classes = 20,
        .img_size = 64,
        .kwargs = yaml("{depths: [1, 1, 3, 1], embed_dims: [32, 64, 128, 256], "
                       "num_heads: [2, 4, 8, 16], window_size: 4}")};
    model_run_create(&run, &config);
    cr_assert_eq(fv_params_count(&run.model->params), 3107348);
    cr_assert_eq(run.model->tokens, 16);
    cr_assert_eq(fv_value_find(run.model->args, "depths")->count, 4);
    cr_assert_eq(fv_value_find(run.model->args, "window_size")->integer, 4);
    cr_assert_null(fv_value_find(run.model->args, "img_size"));
}

Test(models_davit, features_are_tapped_by_name) {
    static const char *const shapes[] = {"2x6x6x8", "2x6x6x8", "2x3x3x16"};
    const fv_model_config config = small();
    char text[FV_SHAPE_TEXT];

    model_run_create(&run, &config);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    const fv_var *logits = model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2);
    cr_assert_eq(run.model->n_features, 3);
    for (int i = 0; i < 3; i++) {
        const fv_var *v = fv_tape_find(run.tape, run.model->feature_names[i]);
        cr_assert_not_null(v, "%s", run.model->feature_names[i]);
        cr_assert_str_eq(fv_shape_text(&v->shape, text), shapes[i]);
    }
    cr_assert_str_eq(fv_shape_text(&logits->shape, text), "2x5");
    cr_assert_eq(fv_dim(fv_tape_find(run.tape, "pre_logits"), 1), 16);
}

Test(models_davit, images_of_any_size_and_form) {
    fv_model_config config = small();

    config.img_size = 0;
    config.kwargs = yaml("{img_size: [21, 50], depths: [1, 1, 1], embed_dims: [8, 8, 16], "
                         "num_heads: [1, 2, 4], window_size: 3}");
    model_run_create(&run, &config);
    cr_assert_eq(fv_dim(model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2), 1), 5);
    cr_assert_eq(run.model->grid_h * 10 + run.model->grid_w, 24); /* 6x13, 3x7, 2x4 */
    cr_assert_eq(fv_value_at(fv_value_find(run.model->args, "img_size"), 1)->integer, 50);
}

Test(models_davit, fused_modes_equal_the_composed_one) {
    const fv_model_config config = small();
    float want[20];

    model_run_create(&run, &config);
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN}, 4)->data, sizeof want);
    for (int mode = FV_TRAIN; mode <= FV_INFER; mode++) {
        const float *y = model_run_forward(&run, &(fv_step){.mode = (fv_mode)mode}, 4)->data;
        for (int i = 0; i < 20; i++) cr_assert_float_eq(y[i], want[i], 1e-5f);
    }
}

Test(models_davit, bf16_is_near_f32) {
    fv_model_config config = small();
    double error = 0.0, size = 0.0;
    float want[20];

    config.bf16 = true;
    model_run_create(&run, &config);
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 4)->data, sizeof want);
    const fv_var *y = model_run_forward(&run, &(fv_step){.mode = FV_INFER, .bf16 = true}, 4);
    cr_assert_eq(y->dtype, FV_F32, "logits stay f32");
    for (int i = 0; i < 20; i++) {
        const double d = (double)((float *)y->data)[i] - (double)want[i];
        error += d * d;
        size += (double)want[i] * (double)want[i];
    }
    cr_assert_lt(sqrt(error / size), 0.05);
    cr_assert_gt(error, 0.0, "products were in bf16");
    model_run_pass(&run, &(fv_step){.mode = FV_TRAIN, .bf16 = true}, 4);
}

Test(models_davit, learns_one_batch) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8};
    const fv_model_config config = small();

    model_run_create(&run, &config);
    const model_run_losses losses = model_run_descend(&run, &step, 8, 60, 0.3f);
    cr_assert_float_eq(losses.first, logf(5.0f), 0.5f, "near chance at first, got %g",
                       (double)losses.first);
    cr_assert_lt(losses.last, 0.1f, "from %g to %g", (double)losses.first, (double)losses.last);
}

Test(models_davit, every_parameter_gets_a_gradient) {
    const fv_model_config config = small();

    model_run_create(&run, &config);
    model_run_pass(&run, &(fv_step){.mode = FV_TRAIN}, 4);
    for (int64_t i = 0; i < run.model->params.count; i++) {
        const fv_param *p = run.model->params.item[i];
        double sum = 0.0;
        for (int64_t k = 0; k < p->numel; k++) sum += fabs((double)p->grad[k]);
        cr_assert_gt(sum, 0.0, "%s", p->name);
    }
}

#define BATCH 8
#define CHUNK 2

/* The gradient of BATCH samples computed in passes of n each. */
static void gradient_in_passes(int64_t n, float *out) {
    fv_params *params = &run.model->params;
    fv_param_slab partial[FV_TREE_LEVELS] = {{0}};
    fv_step step = {.mode = FV_TRAIN,
                    .seed = 9,
                    .total_samples = BATCH,
                    .samples = n,
                    .chunk_samples = CHUNK,
                    .partial = n < BATCH ? partial : NULL};

    for (int i = 0; i < fv_tree_levels(BATCH / CHUNK); i++)
        cr_assert_eq(fv_params_slab_create(params, &partial[i]), FV_OK);
    fv_params_grad_zero(params);
    for (; step.first_sample < BATCH; step.first_sample += n) model_run_pass(&run, &step, n);
    memcpy(out, params->grad.base, (size_t)params->slab_numel * sizeof *out);
    for (int i = 0; i < FV_TREE_LEVELS; i++) fv_params_slab_destroy(&partial[i]);
}

Test(models_davit, threads_and_passes_change_no_bit) {
    fv_model_config config = small();

    config.drop_path = 0.3;
    model_run_create(&run, &config);
    const size_t bytes = (size_t)run.model->params.slab_numel * sizeof(float);
    float *want = fv_arena_alloc(&run.arena, 1, bytes), *got = fv_arena_alloc(&run.arena, 1, bytes);
    gradient_in_passes(BATCH, want);
    for (int threads = 1; threads < 4; threads++)
        for (int64_t n = CHUNK; n <= BATCH; n *= 2) {
            fv_threads_set(threads);
            gradient_in_passes(n, got);
            cr_assert_eq(memcmp(want, got, bytes), 0, "%d threads, passes of %d", threads, (int)n);
        }
}

static void refuse(const char *kwargs, const char *says) {
    const fv_model_config config = {.name = "mini_davit", .kwargs = yaml(kwargs)};
    cr_assert_eq(fv_model_create(&config, true, &run.model), FV_ERR_CONFIG, "%s", kwargs);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(models_davit, illegal_arguments_name_key_and_rule) {
    refuse("depths: [1, 1]", "embed_dims: 4 widths for 2 stages");
    refuse("{depths: [1, 1], embed_dims: [8, 8]}", "num_heads: 4 numbers for 2 stages");
    refuse("depths: [1, 1, 0, 1]", "davit.yaml:1:16: depths: 0 is outside 1");
    refuse("depths: []", "depths: there is no stage");
    refuse("num_heads: [3, 2, 4, 8]", "num_heads: 3 does not divide the width 32 of stage 0");
    refuse("window_size: 0", "window_size: 0 is outside 1");
    refuse("mlp_ratio: 0.01", "mlp_ratio: 0.01 leaves the MLP no width");
    refuse("window: 7", "unknown key 'window'");
    refuse("global_pool: max", "global_pool: 'max' is not available here; known: avg");
}
