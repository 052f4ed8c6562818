/* Every variant of the family, its arguments, and what must not change a bit. */
#include "core/alloc.h"
#include "core/file.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/tree.h"
#include "core/yaml.h"
#include "models/model.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fv_arena arena;
static fv_model *model;
static fv_tape *tape;

/* One thread unless a test is about threads: they wait for each other's cores on a busy machine. */
static void enter(void) {
    fv_threads_set(1);
    cr_assert_eq(fv_tape_create(&tape), FV_OK);
}

static void leave(void) {
    fv_threads_set(0);
    fv_model_destroy(model);
    fv_tape_destroy(tape);
    fv_arena_destroy(&arena);
    model = NULL;
}

TestSuite(models_vit, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) {
    fv_value *v = NULL;
    cr_assert_eq(fv_yaml_parse(text, strlen(text), "vit.yaml", &arena, &v), FV_OK);
    return v;
}

static void create(const fv_model_config *config) {
    cr_assert_eq(fv_model_create(config, true, &model), FV_OK, "%s", fv_error_message());
    fv_model_init(model, 1);
}

/* Pixels of samples first .. first + n - 1 of an endless batch. */
static fv_tensor pixels(int64_t first, int64_t n) {
    const int64_t per = model->input.height * model->input.width * 3;
    float *x = fv_arena_alloc(&arena, (size_t)(n * per), sizeof *x);

    for (int64_t b = 0; b < n; b++) {
        const fv_rng_key key = {.purpose = FV_RNG_TEST, .sample = (uint32_t)(first + b)};
        for (int64_t i = 0; i < per; i++) x[b * per + i] = fv_rng_normal(&key, (uint64_t)i);
    }
    return (fv_tensor){x, FV_F32,
                       fv_shape_of(4, n, model->input.height, model->input.width, (int64_t)3)};
}

static fv_var *forward(const fv_step *step, int64_t n) {
    const fv_tensor x = pixels(step->first_sample, n);
    fv_tape_begin(tape, step);
    fv_var *y = fv_keep(fv_model_forward(model, fv_input(tape, &x, false)));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    return y;
}

/* One pass of a batch: gradient of the mean cross entropy, labels 0, 1, 2 ...; returns its losses. */
static const float *pass(const fv_step *step, int64_t n) {
    const fv_tensor x = pixels(step->first_sample, n);
    int32_t labels[64];
    float dy[64];

    for (int64_t b = 0; b < n; b++) {
        labels[b] = (int32_t)((step->first_sample + b) % model->num_classes);
        dy[b] = 1.0f / (float)(step->total_samples ? step->total_samples : n);
    }
    fv_tape_begin(tape, step);
    fv_var *logits = fv_model_forward(model, fv_input(tape, &x, false));
    const fv_tensor y = {labels, FV_I32, fv_shape_of(1, n)};
    fv_var *loss = fv_keep(fv_cross_entropy(logits, fv_input(tape, &y, false), 0.0f));
    cr_assert_eq(fv_tape_status(tape), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_tape_backward(tape, loss, dy), FV_OK, "%s", fv_error_message());
    return loss->data;
}

/* ---- variants ---- */

static const struct {
    const char *name, *list; /* list: of parameters, the same for networks of one form */
    int64_t params;
    double gmacs;
} published[] = {
    {"vit_tiny_patch16_224", "vit_tiny_patch16_224", 5717416, 1.254},
    {"vit_small_patch16_224", "vit_small_patch16_224", 22050664, 4.599},
    {"vit_base_patch16_224", "vit_base_patch16_224", 86567656, 17.564},
    {"deit_tiny_patch16_224", "vit_tiny_patch16_224", 5717416, 1.254},
    {"deit_tiny_distilled_patch16_224", "deit_tiny_distilled_patch16_224", 5910800, 1.261},
    {"deit_small_patch16_224", "vit_small_patch16_224", 22050664, 4.599},
    {"deit_base_patch16_224", "vit_base_patch16_224", 86567656, 17.564},
    {"mini_vit", "mini_vit", 108106, 0.0},
    {"mini_deit_distilled", "mini_deit_distilled", 67844, 0.0}};

#define PUBLISHED (sizeof published / sizeof *published)

Test(models_vit, parameters_and_costs_are_the_published_ones) {
    for (size_t i = 0; i < PUBLISHED; i++) {
        const fv_model_config config = {.name = published[i].name};
        fv_model_cost cost;
        cr_assert_eq(fv_model_describe(&config, &model), FV_OK, "%s", fv_error_message());
        cr_assert_eq(fv_params_count(&model->params), published[i].params, "%s", published[i].name);
        cr_assert_eq(fv_model_cost_of(model, &cost), FV_OK, "%s", fv_error_message());
        if (published[i].gmacs > 0.0)
            cr_assert_float_eq(cost.macs / 1e9, published[i].gmacs, 0.005 * published[i].gmacs,
                               "%s: %g", published[i].name, cost.macs / 1e9);
        cr_assert_gt(cost.activations, 0.0);
        fv_model_destroy(model);
        model = NULL;
    }
}

Test(models_vit, every_variant_is_in_the_table_above) {
    int n = 0;
    for (int i = 0; fv_model_name(i); i++) {
        if (strcmp(fv_model_family(fv_model_name(i))->name, "vit") != 0) continue;
        size_t k = 0;
        while (k < PUBLISHED && strcmp(published[k].name, fv_model_name(i)) != 0) k++;
        cr_assert_lt(k, PUBLISHED, "%s has no expected size here", fv_model_name(i));
        n++;
    }
    cr_assert_eq(n, (int)PUBLISHED);
}

/* Lists are lines "param NAME DxDx..." in state_dict order. */
static void compare_list(const char *name, const char *list) {
    char path[512], line[512], text[FV_SHAPE_TEXT];
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;

    snprintf(path, sizeof path, FOVEA_SOURCE_DIR "/tests/golden/params/%s.txt", list);
    cr_assert_eq(fv_file_read(path, 1 << 20, &bytes, &n_bytes), FV_OK, "%s", fv_error_message());
    cr_assert_eq(fv_model_describe(&(fv_model_config){.name = name}, &model), FV_OK);
    const char *at = (const char *)bytes;
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        const int n =
            snprintf(line, sizeof line, "param %s %s\n", p->name, fv_shape_text(&p->shape, text));
        cr_assert_eq(strncmp(at, line, (size_t)n), 0, "%s: got %s instead of %.60s", name, line,
                     at);
        at += n;
    }
    cr_assert_eq(*at, '\0', "%s: missing %.60s", name, at);
    fv_free(bytes);
    fv_model_destroy(model);
    model = NULL;
}

Test(models_vit, names_and_shapes_are_the_published_ones) {
    for (size_t i = 0; i < PUBLISHED; i++) compare_list(published[i].name, published[i].list);
}

Test(models_vit, pixels_are_prepared_as_published) {
    for (size_t i = 0; i < PUBLISHED; i++) {
        const bool deit = strstr(published[i].name, "deit") != NULL;
        cr_assert_eq(fv_model_describe(&(fv_model_config){.name = published[i].name}, &model),
                     FV_OK);
        const fv_model_input *in = &model->input;
        cr_assert_float_eq(in->mean[0], deit ? 0.485f : 0.5f, 0.0f);
        cr_assert_float_eq(in->std[2], deit ? 0.225f : 0.5f, 0.0f);
        cr_assert_str_eq(in->interpolation, "bicubic");
        if (in->height == 224) cr_assert_eq((int64_t)floor((double)in->height / in->crop_pct), 248);
        fv_model_destroy(model);
        model = NULL;
    }
}

Test(models_vit, tokens_and_their_parameters_take_no_weight_decay) {
    create(&(fv_model_config){.name = "mini_deit_distilled"});
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        const bool token = strstr(p->name, "_token") || strcmp(p->name, "pos_embed") == 0;
        cr_assert_eq(p->no_decay_hint, token, "%s", p->name);
    }
    cr_assert_eq(model->prefix_tokens, 2);
    cr_assert_eq(model->grid_h * model->grid_w + 2, model->tokens);
}

/* ---- arguments ---- */

Test(models_vit, arguments_shape_the_network) {
    create(&(fv_model_config){.name = "vit_tiny_patch16_224",
                              .num_classes = 20,
                              .img_size = 64,
                              .drop_path = 0.05,
                              .kwargs = yaml("{patch_size: 8, depth: 6}")});
    cr_assert_eq(fv_params_count(&model->params), 2723156);
    cr_assert_eq(model->tokens, 65);
    cr_assert_eq(model->n_features, 7);
    cr_assert_eq(fv_value_find(model->args, "img_size")->integer, 64);
    cr_assert_eq(fv_value_find(model->args, "embed_dim")->integer, 192);
}

Test(models_vit, images_need_not_be_square) {
    create(&(fv_model_config){.name = "mini_vit", .kwargs = yaml("{img_size: [16, 32]}")});
    cr_assert_eq(model->input.height, 16);
    cr_assert_eq(model->grid_w, 8);
    cr_assert_eq(fv_dim(forward(&(fv_step){.mode = FV_INFER}, 2), 1), 10);
    cr_assert_eq(fv_value_at(fv_value_find(model->args, "img_size"), 1)->integer, 32);
}

Test(models_vit, groups_reach_the_network) {
    create(&(fv_model_config){.name = "mini_vit",
                              .attention = yaml("{heads: 8, qkv_bias: false}"),
                              .pos = yaml("kind: none"),
                              .pool = yaml("kind: cls")});
    cr_assert_null(fv_params_find(&model->params, "pos_embed"));
    cr_assert_null(fv_params_find(&model->params, "blocks.0.attn.qkv.bias"));
    cr_assert_eq(fv_value_find(model->args, "num_heads")->integer, 8);
    cr_assert_eq(fv_value_find(model->args, "qkv_bias")->integer, 0);
    cr_assert_str_eq(fv_value_find(model->args, "pos_embed")->text, "none");
    forward(&(fv_step){.mode = FV_TRAIN}, 2);
}

static void refuse(const char *kwargs, const char *says) {
    const fv_model_config config = {.name = "mini_vit", .kwargs = yaml(kwargs)};
    cr_assert_eq(fv_model_create(&config, true, &model), FV_ERR_CONFIG, "%s", kwargs);
    cr_assert_null(model);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(models_vit, illegal_arguments_name_key_and_rule) {
    refuse("patch_size: 5", "vit.yaml:1:13: patch_size: an image of 32x32 px does not divide into "
                            "patches of 5 px");
    refuse("img_size: 33", "img_size: an image of 33x33 px does not divide");
    refuse("img_size: [32, 33]", "32x33");
    refuse("embed_dim: 66", "num_heads: 4 does not divide embed_dim 66");
    refuse("num_heads: 0", "num_heads: 0 is outside 1");
    refuse("depth: two", "depth: expected an integer");
    refuse("mlp_ratio: 0.01", "mlp_ratio: 0.01 leaves the MLP no width");
    refuse("mlp_ratio: .nan", "mlp_ratio");
    refuse("patchsize: 4", "unknown key 'patchsize'; did you mean 'patch_size'?");
    refuse("global_pool: max", "global_pool: 'max' is not available here; known: token, avg");
    refuse("class_token: false", "class_token: without one, global_pool must be avg");
    refuse("pos_embed: sincos", "pos_embed: 'sincos' is not available here; known: learn, none");
    refuse("[1, 2]", "expected a map");
}

Test(models_vit, what_groups_ask_for_is_never_ignored) {
    fv_model_config config = {.name = "mini_vit", .pool = yaml("kind: attn")};
    cr_assert_eq(fv_model_create(&config, true, &model), FV_ERR_CONFIG);
    config = (fv_model_config){.name = "mini_deit_distilled", .pool = yaml("kind: mean")};
    cr_assert_eq(fv_model_create(&config, true, &model), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "global_pool: a distilled model"), "%s",
              fv_error_message());
    config = (fv_model_config){.name = "mini_vit", .pool = yaml("size: 2")};
    cr_assert_eq(fv_model_create(&config, true, &model), FV_ERR_CONFIG);
    config = (fv_model_config){.name = "mini_vit", .pos = yaml("kind: laplacian")};
    cr_assert_eq(fv_model_create(&config, true, &model), FV_ERR_CONFIG);
    config = (fv_model_config){.name = "mini_vit", .attention = yaml("layerscale: 1e-4")};
    cr_assert_eq(fv_model_create(&config, true, &model), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "unknown key 'layerscale'"), "%s", fv_error_message());
}

/* timm: fc_norm in the place of norm, behind the mean of the grid's tokens. */
Test(models_vit, pools_by_mean_with_and_without_class_token) {
    for (int class_token = 0; class_token < 2; class_token++) {
        create(&(fv_model_config){
            .name = "mini_vit",
            .kwargs =
                yaml(class_token ? "global_pool: avg" : "{global_pool: avg, class_token: false}")});
        cr_assert_null(fv_params_find(&model->params, "norm.weight"));
        cr_assert_not_null(fv_params_find(&model->params, "fc_norm.weight"));
        cr_assert_eq(fv_params_find(&model->params, "cls_token") != NULL, class_token);
        cr_assert_eq(fv_params_find(&model->params, "pos_embed")->shape.dim[1], 64 + class_token);
        cr_assert_str_eq(model->global_pool, "avg");
        cr_assert_str_eq(fv_value_find(model->args, "global_pool")->text, "avg");
        cr_assert_eq(fv_value_find(model->args, "class_token") == NULL, class_token);
        cr_assert_eq(fv_tape_watch(tape, "*", FV_WATCH_VALUE), FV_OK);
        forward(&(fv_step){.mode = FV_INFER}, 2);
        const fv_var *last = fv_tape_find(tape, "blocks.1"), *y = fv_tape_find(tape, "pre_logits");
        const int64_t N = fv_dim(last, 1);
        double mean[64] = {0}, m = 0.0, var = 0.0;
        for (int64_t t = class_token; t < N; t++)
            for (int c = 0; c < 64; c++) mean[c] += (double)((float *)last->data)[t * 64 + c] / 64;
        for (int c = 0; c < 64; c++) m += mean[c] / 64;
        for (int c = 0; c < 64; c++) var += (mean[c] - m) * (mean[c] - m) / 64;
        for (int c = 0; c < 64; c++)
            cr_assert_float_eq((double)((float *)y->data)[c], (mean[c] - m) / sqrt(var + 1e-6),
                               1e-4);
        pass(&(fv_step){.mode = FV_TRAIN}, 2);
        fv_model_destroy(model);
        model = NULL;
    }
}

Test(models_vit, an_image_of_another_size_is_an_error) {
    static float x[16 * 16 * 3];
    create(&(fv_model_config){.name = "mini_vit"});
    const fv_tensor t = {x, FV_F32,
                         fv_shape_of(4, (int64_t)1, (int64_t)16, (int64_t)16, (int64_t)3)};
    fv_tape_begin(tape, &(fv_step){.mode = FV_INFER});
    fv_model_forward(model, fv_input(tape, &t, false));
    cr_assert_eq(fv_tape_status(tape), FV_ERR_SHAPE);
}

/* ---- forward ---- */

Test(models_vit, features_are_tapped_by_name) {
    char text[FV_SHAPE_TEXT];
    create(&(fv_model_config){.name = "mini_deit_distilled"});
    cr_assert_eq(fv_tape_watch(tape, "*", FV_WATCH_VALUE), FV_OK);
    const fv_var *logits = forward(&(fv_step){.mode = FV_INFER}, 3);
    for (int i = 0; i < model->n_features; i++) {
        const fv_var *v = fv_tape_find(tape, model->feature_names[i]);
        cr_assert_not_null(v, "%s", model->feature_names[i]);
        cr_assert_str_eq(fv_shape_text(&v->shape, text), "3x18x48");
    }
    cr_assert_str_eq(model->feature_names[2], "blocks.1");
    cr_assert_str_eq(fv_shape_text(&logits->shape, text), "3x10");
    cr_assert_eq(fv_tape_find(tape, "logits"), logits);
    cr_assert_str_eq(fv_shape_text(&fv_tape_find(tape, "pre_logits")->shape, text), "3x2x48");
}

Test(models_vit, distilled_logits_are_the_mean_of_two_heads) {
    create(&(fv_model_config){.name = "mini_deit_distilled"});
    cr_assert_eq(fv_tape_watch(tape, "head*", FV_WATCH_VALUE), FV_OK);
    const float *y = forward(&(fv_step){.mode = FV_INFER}, 2)->data;
    const float *a = fv_tape_find(tape, "head")->data, *b = fv_tape_find(tape, "head_dist")->data;
    for (int i = 0; i < 20; i++) cr_assert_float_eq(y[i], 0.5f * (a[i] + b[i]), 1e-7f);
    cr_assert_neq(a[0], b[0]);
}

Test(models_vit, fused_modes_equal_the_composed_one) {
    static const char *const names[] = {"mini_vit", "mini_deit_distilled"};
    float want[40];

    for (int m = 0; m < 2; m++) {
        create(&(fv_model_config){.name = names[m]});
        memcpy(want, forward(&(fv_step){.mode = FV_EXPLAIN}, 4)->data, sizeof want);
        for (int mode = FV_TRAIN; mode <= FV_INFER; mode++) {
            const float *y = forward(&(fv_step){.mode = (fv_mode)mode}, 4)->data;
            for (int i = 0; i < 40; i++) cr_assert_float_eq(y[i], want[i], 1e-5f);
        }
        fv_model_destroy(model);
        model = NULL;
    }
}

Test(models_vit, bf16_is_near_f32) {
    float want[40];
    create(&(fv_model_config){.name = "mini_vit", .bf16 = true});
    memcpy(want, forward(&(fv_step){.mode = FV_INFER}, 4)->data, sizeof want);
    const fv_var *y = forward(&(fv_step){.mode = FV_INFER, .bf16 = true}, 4);
    cr_assert_eq(y->dtype, FV_F32, "logits stay f32");
    double error = 0.0, size = 0.0;
    for (int i = 0; i < 40; i++) {
        const double d = (double)((float *)y->data)[i] - (double)want[i];
        error += d * d;
        size += (double)want[i] * (double)want[i];
    }
    cr_assert_lt(sqrt(error / size), 0.05);
    cr_assert_gt(error, 0.0, "products were in bf16");
}

/* ---- training ---- */

Test(models_vit, learns_one_batch) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8};
    float first = 0.0f, last = 0.0f;

    create(&(fv_model_config){.name = "mini_vit", .img_size = 16});
    for (int i = 0; i < 40; i++) {
        const float *losses = pass(&step, 8);
        last = 0.0f;
        for (int b = 0; b < 8; b++) last += losses[b] / 8.0f;
        if (i == 0) first = last;
        for (int64_t k = 0; k < model->params.slab_numel; k++)
            model->params.value.base[k] -= 0.3f * model->params.grad.base[k];
    }
    cr_assert_float_eq(first, logf(10.0f), 0.5f, "chance at first, got %g", (double)first);
    cr_assert_lt(last, 0.1f, "from %g to %g", (double)first, (double)last);
}

Test(models_vit, every_parameter_gets_a_gradient) {
    create(&(fv_model_config){.name = "mini_deit_distilled"});
    pass(&(fv_step){.mode = FV_TRAIN}, 4);
    for (int64_t i = 0; i < model->params.count; i++) {
        const fv_param *p = model->params.item[i];
        double sum = 0.0;
        for (int64_t k = 0; k < p->numel; k++) sum += fabs((double)p->grad[k]);
        cr_assert_gt(sum, 0.0, "%s", p->name);
    }
}

#define BATCH 16
#define CHUNK 4

/* The gradient of BATCH samples computed in passes of n each. */
static void gradient_in_passes(int64_t n, float *out) {
    const int levels = fv_tree_levels(BATCH / CHUNK);
    fv_param_slab partial[FV_TREE_LEVELS] = {{0}};
    fv_step step = {.mode = FV_TRAIN,
                    .seed = 9,
                    .total_samples = BATCH,
                    .samples = n,
                    .chunk_samples = CHUNK,
                    .partial = n < BATCH ? partial : NULL};

    for (int i = 0; i < levels; i++)
        cr_assert_eq(fv_params_slab_create(&model->params, &partial[i]), FV_OK);
    fv_params_grad_zero(&model->params);
    for (; step.first_sample < BATCH; step.first_sample += n) pass(&step, n);
    memcpy(out, model->params.grad.base, (size_t)model->params.slab_numel * sizeof *out);
    for (int i = 0; i < levels; i++) fv_params_slab_destroy(&partial[i]);
}

Test(models_vit, threads_and_passes_change_no_bit) {
    static const struct {
        int threads;
        int64_t pass; /* samples */
    } cases[] = {{1, CHUNK}, {1, 2 * CHUNK}, {2, BATCH}, {3, CHUNK}, {2, 2 * CHUNK}};
    create(&(fv_model_config){.name = "mini_vit", .img_size = 16, .drop_path = 0.3});
    const size_t n = (size_t)model->params.slab_numel;
    float *want = fv_arena_alloc(&arena, n, sizeof *want);
    float *got = fv_arena_alloc(&arena, n, sizeof *got);

    gradient_in_passes(BATCH, want);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fv_threads_set(cases[i].threads);
        gradient_in_passes(cases[i].pass, got);
        cr_assert_eq(memcmp(want, got, n * sizeof *want), 0, "%d threads, passes of %d",
                     cases[i].threads, (int)cases[i].pass);
    }
}

Test(models_vit, a_warm_step_allocates_nothing) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 8};
    uint64_t calls = 0;

    create(&(fv_model_config){.name = "mini_vit"});
    for (int i = 0; i < 4; i++) {
        fv_arena_rewind(&arena, (fv_arena_mark){0}); /* the test's own pixels */
        calls = fv_alloc_calls();
        pass(&step, 8);
    }
    cr_assert_eq(fv_alloc_calls(), calls);
}
