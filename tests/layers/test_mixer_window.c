/* Window attention with prefix tokens and padded windows against its definition. */
#include "core/yaml.h"
#include "layers/mixer.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = 2, C = 6, HEADS = 2, D = C / HEADS, MOST = 40 };

static layer_run run;
static fv_mixer_layer layer;
static fv_mixer_shape shape;

static void enter(void) { layer_run_open(&run); }
static void leave(void) { layer_run_close(&run); }

TestSuite(layers_mixer_window, .init = enter, .fini = leave);

static void declare(const char *kind, int64_t prefix, int64_t H, int64_t W, int64_t window,
                    const char *yaml) {
    fv_value *cfg = NULL;

    shape = (fv_mixer_shape){.n_tokens = prefix + H * W,
                             .n_prefix = prefix,
                             .grid_h = H,
                             .grid_w = W,
                             .dim = C,
                             .heads = HEADS,
                             .qkv_bias = true,
                             .proj_bias = true,
                             .kind = kind,
                             .window = window};
    layer_run_close(&run);
    layer_run_open(&run);
    cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "", &run.arena, &cfg), FV_OK);
    cr_assert_eq(fv_mixer_layer_init(&layer, layer_run_scope(&run, "attn"), cfg, &shape), FV_OK,
                 "%s", fv_error_message());
}

static void make(const char *kind, int64_t prefix, int64_t H, int64_t W, int64_t window) {
    declare(kind, prefix, H, W, window, "{}");
    layer_run_ready(&run);
}

static fv_var *forward(fv_mode mode) {
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = mode},
                                fv_shape_of(3, (int64_t)B, shape.n_tokens, (int64_t)C));
    fv_var *y = fv_keep(fv_mixer_layer_forward(&layer, x));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    return y;
}

static double affine(const char *name, const double *x, int64_t out) {
    char text[64];
    double sum;

    snprintf(text, sizeof text, "attn.%s.bias", name);
    sum = (double)layer_run_value(&run, text, out);
    snprintf(text, sizeof text, "attn.%s.weight", name);
    for (int64_t i = 0; i < C; i++) sum += (double)layer_run_value(&run, text, out * C + i) * x[i];
    return sum;
}

/* Tokens of one sample and the keys of one query, as [., 3C] projections. */
static double projections[MOST][3 * C];
static const double *keys[MOST];

static void attend(const double *q, int n, double *y) {
    double mixed[C] = {0};

    for (int a = 0; a < HEADS; a++) {
        double sum = 0.0;
        for (int j = 0; j < n; j++) {
            double s = 0.0;
            for (int c = a * D; c < (a + 1) * D; c++) s += q[c] * keys[j][C + c];
            const double p = exp(s / sqrt((double)D));
            sum += p;
            for (int c = a * D; c < (a + 1) * D; c++) mixed[c] += p * keys[j][2 * C + c];
        }
        for (int c = a * D; c < (a + 1) * D; c++) mixed[c] /= sum;
    }
    for (int o = 0; o < C; o++) y[o] = affine("proj", mixed, o);
}

/* The update of token t of a sample x [N,C] by the definition: a padded token is a zero before qkv. */
static void expect(const float *x, int64_t t, int64_t w, double *y) {
    static const double zero[C];
    static double pad[3 * C];
    const int64_t P = shape.n_prefix, H = shape.grid_h, W = shape.grid_w;
    int n = 0;

    for (int64_t i = 0; i < shape.n_tokens; i++) {
        double token[C];
        for (int c = 0; c < C; c++) token[c] = (double)x[i * C + c];
        for (int o = 0; o < 3 * C; o++) projections[i][o] = affine("qkv", token, o);
        if (i < P || t < P) keys[n++] = projections[i];
    }
    for (int o = 0; o < 3 * C; o++) pad[o] = affine("qkv", zero, o);
    if (t >= P) {
        const int64_t top = (t - P) / W / w * w, left = (t - P) % W / w * w;
        for (int64_t i = top; i < top + w; i++)
            for (int64_t j = left; j < left + w; j++)
                keys[n++] = i < H && j < W ? projections[P + i * W + j] : pad;
    }
    attend(projections[t], n, y);
}

static void check(int64_t prefix, int64_t H, int64_t W, int64_t w) {
    make("window", prefix, H, W, w);
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        const fv_var *y = forward((fv_mode)mode);
        const float *x = fv_tape_at(run.tape, 0)->data;
        for (int64_t t = 0; t < B * shape.n_tokens; t++) {
            const int64_t sample = t / shape.n_tokens;
            double want[C];
            expect(x + sample * shape.n_tokens * C, t % shape.n_tokens, w, want);
            for (int c = 0; c < C; c++)
                cr_assert_float_eq((double)((float *)y->data)[t * C + c], want[c], 1e-5,
                                   "mode %d, %d prefix tokens, %dx%d, windows of %d, token %d",
                                   mode, (int)prefix, (int)H, (int)W, (int)w, (int)t);
        }
    }
}

Test(layers_mixer_window, is_attention_inside_windows) { check(0, 4, 6, 2); }
Test(layers_mixer_window, padded_tokens_are_keys) { check(0, 5, 4, 3); }
Test(layers_mixer_window, a_window_may_be_larger_than_the_grid) { check(0, 2, 3, 4); }
Test(layers_mixer_window, prefix_tokens_see_all_and_are_seen) { check(2, 4, 4, 2); }
Test(layers_mixer_window, prefix_tokens_do_not_see_padding) { check(1, 3, 5, 2); }

Test(layers_mixer_window, one_window_is_global_attention) {
    for (int64_t prefix = 0; prefix < 3; prefix++) {
        float want[B * 27 * C];
        make("mhsa", prefix, 5, 5, 0);
        const int64_t n = B * shape.n_tokens * C;
        memcpy(want, forward(FV_TRAIN)->data, (size_t)n * sizeof *want);
        make("window", prefix, 5, 5, 5);
        const float *y = forward(FV_TRAIN)->data;
        for (int64_t i = 0; i < n; i++) cr_assert_float_eq(y[i], want[i], 1e-5f);
    }
}

Test(layers_mixer_window, windows_do_not_see_each_other) {
    float before[16 * C];
    make("window", 0, 4, 4, 2);
    memcpy(before, forward(FV_INFER)->data, sizeof before);
    fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_INFER},
                                fv_shape_of(3, (int64_t)B, (int64_t)16, (int64_t)C));
    ((float *)x->data)[5 * C] += 1.0f; /* in the upper left window */
    const float *y = fv_keep(fv_mixer_layer_forward(&layer, x))->data;
    for (int t = 0; t < 16; t++) {
        const bool same = memcmp(y + t * C, before + t * C, C * sizeof *y) == 0;
        cr_assert_eq(same, t / 4 >= 2 || t % 4 >= 2, "token %d", t);
    }
}

Test(layers_mixer_window, size_is_that_of_the_key_else_the_backbones_else_7) {
    static const struct {
        const char *yaml;
        int64_t window, want;
    } cases[] = {
        {"window: {size: 3}", 4, 3}, {"{}", 4, 4}, {"window: {size: 0}", 2, 2}, {"{}", 0, 7}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        declare("window", 0, 7, 7, cases[i].window, cases[i].yaml);
        cr_assert_eq(fv_tape_watch(run.tape, "attn.weights", FV_WATCH_VALUE), FV_OK);
        fv_var *x = layer_run_begin(&run, &(fv_step){.mode = FV_EXPLAIN, .dry = true},
                                    fv_shape_of(3, (int64_t)B, (int64_t)49, (int64_t)C));
        fv_mixer_layer_forward(&layer, x);
        const fv_var *attn = fv_tape_find(run.tape, "attn.weights"); /* [B,nW,h,n,n] */
        cr_assert_not_null(attn);
        cr_assert_eq(fv_dim(attn, -1), cases[i].want * cases[i].want);
    }
}
