/* The residual networks: sizes, names, arguments, and what must not change a bit. */
#include "core/parallel.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(models_resnet, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) { return model_run_yaml(&run, "resnet", text); }

/* A network of 60,000 parameters. */
static fv_model_config small(const char *name) {
    return (fv_model_config){.name = name,
                             .num_classes = 5,
                             .img_size = 64,
                             .kwargs = yaml("{layers: [1, 2, 1, 1], channels: [8, 8, 16, 16]}")};
}

static const struct {
    const char *name;
    int64_t params;
    double gmacs;
    int64_t shorter_side; /* of the evaluation resize */
} published[] = {{"resnet26t", 16011872, 3.33, 272}, {"resnet50", 25557032, 4.09, 235}};

Test(models_resnet, sizes_and_pixels_are_timms) {
    for (size_t i = 0; i < 2; i++) {
        fv_model_cost cost;
        cr_assert_eq(fv_model_describe(&(fv_model_config){.name = published[i].name}, &run.model),
                     FV_OK, "%s", fv_error_message());
        cr_expect_eq(fv_params_count(&run.model->params), published[i].params, "%s: %lld",
                     published[i].name, (long long)fv_params_count(&run.model->params));
        cr_assert_eq(fv_model_cost_of(run.model, &cost), FV_OK, "%s", fv_error_message());
        cr_expect_float_eq(cost.macs / 1e9, published[i].gmacs, 0.005 * published[i].gmacs);
        const fv_model_input *in = &run.model->input;
        cr_expect_eq((int64_t)floor((double)in->height / in->crop_pct), published[i].shorter_side);
        cr_expect_float_eq(in->std[1], 0.224f, 0.0f);
        fv_model_destroy(run.model);
        run.model = NULL;
    }
}

Test(models_resnet, names_and_shapes_are_timms) {
    for (size_t i = 0; i < 2; i++) {
        const char *differs = model_run_compare_list(&run, published[i].name, published[i].name);
        cr_assert_null(differs, "%s: %s", published[i].name, differs);
    }
}

Test(models_resnet, features_are_tapped_by_name) {
    static const char *const shapes[] = {"2x16x16x64", "2x16x16x32", "2x8x8x32", "2x4x4x64",
                                         "2x2x2x64"};
    const fv_model_config config = small("resnet26t");
    char text[FV_SHAPE_TEXT];

    model_run_create(&run, &config);
    cr_assert_eq(fv_tape_watch(run.tape, "*", FV_WATCH_VALUE), FV_OK);
    const fv_var *logits = model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2);
    for (int i = 0; i < run.model->n_features; i++) {
        const fv_var *v = fv_tape_find(run.tape, run.model->feature_names[i]);
        cr_assert_not_null(v, "%s", run.model->feature_names[i]);
        cr_assert_str_eq(fv_shape_text(&v->shape, text), shapes[i]);
    }
    cr_assert_str_eq(fv_shape_text(&logits->shape, text), "2x5");
    cr_assert_eq(fv_dim(fv_tape_find(run.tape, "pre_logits"), 1), 64);
}

Test(models_resnet, learns_one_batch) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8};
    const fv_model_config config = small("resnet50");

    model_run_create(&run, &config);
    const model_run_losses losses = model_run_descend(&run, &step, 8, 60, 0.05f);
    cr_assert_float_eq(losses.first, logf(5.0f), 1.0f, "near chance at first, got %g",
                       (double)losses.first);
    cr_assert_lt(losses.last, 0.1f, "from %g to %g", (double)losses.first, (double)losses.last);
}

Test(models_resnet, threads_change_no_bit) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8, .chunk_samples = 2, .seed = 9};
    fv_model_config config = small("resnet26t");

    config.drop_path = 0.3;
    model_run_create(&run, &config);
    const size_t bytes = (size_t)run.model->params.slab_numel * sizeof(float);
    float *want = fv_arena_alloc(&run.arena, 1, bytes);
    model_run_pass(&run, &step, 8);
    memcpy(want, run.model->params.grad.base, bytes);
    for (int threads = 2; threads < 4; threads++) {
        fv_threads_set(threads);
        model_run_pass(&run, &step, 8);
        cr_assert_eq(memcmp(want, run.model->params.grad.base, bytes), 0, "%d threads", threads);
    }
}

static void refuse(const char *name, const char *kwargs, const char *says) {
    const fv_model_config config = {.name = name, .kwargs = yaml(kwargs)};
    cr_assert_eq(fv_model_create(&config, true, &run.model), FV_ERR_CONFIG, "%s", kwargs);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(models_resnet, illegal_arguments_name_key_and_rule) {
    refuse("resnet26t", "img_size: 240",
           "resnet.yaml:1:11: img_size: 240x240 px: means in the shortcuts need a multiple of 32");
    refuse("resnet50", "layers: [1, 2]", "layers: 2 entries where one or 4 are meant");
    refuse("resnet50", "layers: [1, 2, 0, 1]", "layers: 0 is outside 1");
    refuse("resnet50", "stem_width: 32", "stem_width: a 7x7 stem has 64 channels");
    refuse("resnet50", "stem_type: deep",
           "stem_type: 'deep' is not available here; known: '', "
           "deep_tiered");
    refuse("resnet26t", "stem_width: 30", "stem_width: 30 is not a multiple of 4");
    refuse("resnet50", "depth: 50", "unknown key 'depth'");
}

Test(models_resnet, any_size_will_do_without_means) {
    fv_model_config config = small("resnet50");

    config.img_size = 0;
    config.kwargs = yaml("{img_size: [45, 50], layers: 1, channels: 8}");
    model_run_create(&run, &config);
    cr_assert_eq(fv_dim(model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 2), 1), 5);
    cr_assert_eq(run.model->grid_h * 10 + run.model->grid_w, 22);
    cr_assert_eq(fv_value_find(run.model->args, "layers")->count, 4);
}
