/* Every token mixer in every network that takes them: a ViT with a class token, a ViT without, a DaViT. */
#include "core/parallel.h"
#include "layers/mixer.h"
#include "tests/support/model_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static model_run run;

static void enter(void) { model_run_open(&run); }
static void leave(void) { model_run_close(&run); }

TestSuite(models_mixers, .init = enter, .fini = leave);

static const fv_value *yaml(const char *text) { return model_run_yaml(&run, "mixers", text); }

#define NETWORKS 3

/* Grids of 4 x 4 tokens; the DaViT's second stage has 2 x 2. */
static fv_model_config network(int i) {
    static const char *const kwargs[NETWORKS] = {
        "{patch_size: 4, embed_dim: 16, num_heads: 2}",
        "{patch_size: 4, embed_dim: 16, num_heads: 2, class_token: false, global_pool: avg}",
        "{depths: [1, 1], embed_dims: [8, 16], num_heads: [2, 4], window_size: 2}"};
    return (fv_model_config){.name = i < 2 ? "mini_vit" : "mini_davit",
                             .num_classes = 4,
                             .img_size = 16,
                             .kwargs = yaml(kwargs[i])};
}

/* Network i with mixer k in every block. */
static void create(int i, int k, bool bf16) {
    fv_model_config config = network(i);
    char text[64];

    snprintf(text, sizeof text, "kind: %s", fv_mixer_at(k)->kind);
    config.attention = yaml(text);
    config.bf16 = bf16;
    model_run_create(&run, &config);
}

typedef void check_fn(const char *what);

static void for_all(check_fn *check, bool bf16) {
    char what[64];
    for (int k = 0; fv_mixer_at(k); k++)
        for (int i = 0; i < NETWORKS; i++) {
            create(i, k, bf16);
            snprintf(what, sizeof what, "%s in network %d", fv_mixer_at(k)->kind, i);
            check(what);
        }
}

static void check_modes(const char *what) {
    float want[16];
    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN}, 4)->data, sizeof want);
    for (int mode = FV_TRAIN; mode <= FV_INFER; mode++) {
        const float *y = model_run_forward(&run, &(fv_step){.mode = (fv_mode)mode}, 4)->data;
        for (int i = 0; i < 16; i++) cr_assert_float_eq(y[i], want[i], 1e-5f, "%s", what);
    }
}

Test(models_mixers, fused_modes_equal_the_composed_one) { for_all(check_modes, false); }

static void check_bf16(const char *what) {
    double error = 0.0, size = 0.0;
    float want[16];

    memcpy(want, model_run_forward(&run, &(fv_step){.mode = FV_INFER}, 4)->data, sizeof want);
    const float *y = model_run_forward(&run, &(fv_step){.mode = FV_INFER, .bf16 = true}, 4)->data;
    for (int i = 0; i < 16; i++) {
        error += ((double)y[i] - (double)want[i]) * ((double)y[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    cr_assert_lt(sqrt(error / size), 0.05, "%s", what);
    model_run_pass(&run, &(fv_step){.mode = FV_TRAIN, .bf16 = true}, 4);
}

Test(models_mixers, products_in_bf16_are_near) { for_all(check_bf16, true); }

/* Initial projections are so small that all matrices of attention are the same, and the class token
 * learns through nothing else when channels are mixed: they start larger here. */
static void enlarge_projections(void) {
    for (int64_t i = 0; i < run.model->params.count; i++) {
        const fv_param *p = run.model->params.item[i];
        for (int64_t k = 0; strstr(p->name, ".attn.") && k < p->numel; k++) p->value[k] *= 10.0f;
    }
}

static void check_descent(const char *what) {
    enlarge_projections();
    const model_run_losses losses =
        model_run_descend(&run, &(fv_step){.mode = FV_TRAIN, .samples = 4}, 4, 120, 0.2f);
    cr_assert_lt(losses.last, 0.2f, "%s: from %g to %g", what, (double)losses.first,
                 (double)losses.last);
}

Test(models_mixers, each_learns_one_batch) { for_all(check_descent, false); }

static void check_bits(const char *what) {
    const fv_step step = {.mode = FV_TRAIN, .samples = 4, .chunk_samples = 2};
    const size_t bytes = (size_t)run.model->params.slab_numel * sizeof(float);
    float *want = fv_arena_alloc(&run.arena, 1, bytes);

    model_run_pass(&run, &step, 4);
    memcpy(want, run.model->params.grad.base, bytes);
    for (int threads = 2; threads < 4; threads++) {
        fv_threads_set(threads);
        model_run_pass(&run, &step, 4);
        cr_assert_eq(memcmp(want, run.model->params.grad.base, bytes), 0, "%s, %d threads", what,
                     threads);
    }
    fv_threads_set(1);
}

Test(models_mixers, threads_change_no_bit) { for_all(check_bits, false); }

/* The loss along a random direction of all parameters, against the gradient. */
static double mean_loss(void) {
    const float *losses = model_run_pass(&run, &(fv_step){.mode = FV_TRAIN}, 4);
    double sum = 0.0;
    for (int b = 0; b < 4; b++) sum += (double)losses[b] / 4.0;
    return sum;
}

static void check_gradient(const char *what) {
    const fv_params *params = &run.model->params;
    const int64_t n = params->slab_numel;
    const double step = 5e-4;
    float *grad = fv_arena_alloc(&run.arena, (size_t)n, sizeof *grad);
    float *value = fv_arena_alloc(&run.arena, (size_t)n, sizeof *value);
    double squares = 0.0, loss[2];

    mean_loss();
    memcpy(grad, params->grad.base, (size_t)n * sizeof *grad);
    memcpy(value, params->value.base, (size_t)n * sizeof *value);
    for (int64_t i = 0; i < n; i++) squares += (double)grad[i] * (double)grad[i];
    const double norm = sqrt(squares);
    for (int side = 0; side < 2; side++) {
        const double by = (side ? 1.0 : -1.0) * step / norm;
        for (int64_t i = 0; i < n; i++)
            params->value.base[i] = value[i] + (float)(by * (double)grad[i]);
        loss[side] = mean_loss();
    }
    cr_assert_float_eq((loss[1] - loss[0]) / (2.0 * step), norm, 2e-3 * norm, "%s: %g, not %g",
                       what, (loss[1] - loss[0]) / (2.0 * step), norm);
}

Test(models_mixers, gradients_match_differences_of_the_loss) { for_all(check_gradient, false); }

/* The matrix of channel attention has another name than that of tokens: told apart by their taps. */
static bool mixes_channels(const char *block) {
    char text[64];
    snprintf(text, sizeof text, "%s.attn.channel_weights", block);
    return fv_tape_find(run.tape, text) != NULL;
}

Test(models_mixers, stages_and_layers_choose_their_own) {
    fv_model_config config = network(2);

    config.attention = yaml("{stage: {1: {kind: channel}}, layer: {1: {kind: mhsa}}}");
    model_run_create(&run, &config);
    cr_assert_eq(fv_tape_watch(run.tape, "*_weights", FV_WATCH_VALUE), FV_OK);
    model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN}, 2);
    cr_assert(!mixes_channels("stages.0.blocks.0.0"));
    cr_assert(!mixes_channels("stages.0.blocks.0.1"), "layer 1 is mhsa");
    cr_assert(mixes_channels("stages.1.blocks.0.0"), "stage 1 is channel");
    cr_assert(mixes_channels("stages.1.blocks.0.1"));

    config = network(0);
    config.attention = yaml("{layer: {1: {kind: channel}}}");
    model_run_create(&run, &config);
    model_run_forward(&run, &(fv_step){.mode = FV_EXPLAIN}, 2);
    cr_assert(!mixes_channels("blocks.0"));
    cr_assert(mixes_channels("blocks.1"));
}

Test(models_mixers, a_mixer_without_a_block_is_an_error) {
    fv_model_config config = network(2);

    config.attention = yaml("{kind: mhsa, window: {size: 2}}");
    cr_assert_eq(fv_model_create(&config, true, &run.model), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "attention.window: no block has the token mixer"), "%s",
              fv_error_message());
    config = network(0);
    config.attention = yaml("layer: {2: {kind: channel}}");
    cr_assert_eq(fv_model_create(&config, true, &run.model), FV_ERR_CONFIG);
    cr_assert(strstr(fv_error_message(), "attention.layer.2: there is no such layer"), "%s",
              fv_error_message());
}
