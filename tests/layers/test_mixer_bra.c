/* Routing attention as a token mixer against its definition, with prefix tokens and padded regions. */
#include "core/parallel.h"
#include "core/yaml.h"
#include "layers/mixer.h"
#include "layers/mixer_config.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = 2, C = 6, HEADS = 2, D = C / HEADS, MOST = 80, MOST_REGIONS = 16 };

static layer_run run;
static fv_mixer_layer layer;
static fv_mixer_shape shape;

/* Many small passes: threads would only wait for each other. */
static void enter(void) {
    fv_threads_set(1);
    layer_run_open(&run);
}

static void leave(void) {
    layer_run_close(&run);
    fv_threads_set(0);
}

TestSuite(layers_mixer_bra, .init = enter, .fini = leave);

static fv_status declare(int64_t prefix, int64_t H, int64_t W, const char *yaml) {
    fv_value *cfg = NULL;

    shape = (fv_mixer_shape){.n_tokens = prefix + H * W,
                             .n_prefix = prefix,
                             .grid_h = H,
                             .grid_w = W,
                             .dim = C,
                             .heads = HEADS,
                             .qkv_bias = true,
                             .proj_bias = true};
    layer_run_close(&run);
    layer_run_open(&run);
    cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "bra.yaml", &run.arena, &cfg), FV_OK);
    FV_TRY(fv_mixer_layer_init(&layer, layer_run_scope(&run, "attn"), cfg, &shape));
    return fv_mixer_config_check(cfg);
}

static void make(int64_t prefix, int64_t H, int64_t W, const char *yaml) {
    cr_assert_eq(declare(prefix, H, W, yaml), FV_OK, "%s", fv_error_message());
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

/* One sample: projections of the padded map and of the prefix. */
typedef struct sample {
    int S, k, h, w; /* regions a side, chosen, tokens of a region */
    double map[MOST][3 * C], prefix[4][3 * C];
} sample;

static int height(const sample *s) { return s->S * s->h; }
static int width(const sample *s) { return s->S * s->w; }

static void project(sample *s, const float *x) {
    const int P = (int)shape.n_prefix;

    for (int t = 0; t < P + height(s) * width(s); t++) {
        const int i = (t - P) / width(s), j = (t - P) % width(s);
        double token[C] = {0};
        const bool real = t < P || (i < shape.grid_h && j < shape.grid_w);
        const int64_t row = t < P ? t : P + i * shape.grid_w + j;
        for (int c = 0; real && c < C; c++) token[c] = (double)x[row * C + c];
        for (int o = 0; o < 3 * C; o++)
            (t < P ? s->prefix[t] : s->map[t - P])[o] = affine("qkv", token, o);
    }
}

static int region_of(const sample *s, int i, int j) { return i / s->h * s->S + j / s->w; }

/* The k regions for region r. */
static void choose(const sample *s, int r, bool chosen[MOST_REGIONS]) {
    double q[C] = {0}, k[MOST_REGIONS][C] = {{0}}, affinity[MOST_REGIONS] = {0};

    for (int t = 0; t < height(s) * width(s); t++) {
        const int region = region_of(s, t / width(s), t % width(s));
        for (int c = 0; c < C; c++) {
            if (region == r) q[c] += s->map[t][c] / (s->h * s->w);
            k[region][c] += s->map[t][C + c] / (s->h * s->w);
        }
    }
    for (int a = 0; a < s->S * s->S; a++) {
        chosen[a] = false;
        for (int c = 0; c < C; c++) affinity[a] += q[c] * k[a][c];
    }
    for (int n = 0; n < s->k; n++) {
        int best = -1;
        for (int a = 0; a < s->S * s->S; a++)
            if (!chosen[a] && (best < 0 || affinity[a] > affinity[best])) best = a;
        chosen[best] = true;
    }
}

/* Attention of q to n keys, heads concatenated. */
static void attend(const double *q, const double *const keys[], int n, double scale, double *y) {
    for (int a = 0; a < HEADS; a++) {
        double sum = 0.0;
        for (int c = a * D; c < (a + 1) * D; c++) y[c] = 0.0;
        for (int j = 0; j < n; j++) {
            double logit = 0.0;
            for (int c = a * D; c < (a + 1) * D; c++) logit += q[c] * keys[j][C + c];
            const double p = exp(scale * logit);
            sum += p;
            for (int c = a * D; c < (a + 1) * D; c++) y[c] += p * keys[j][2 * C + c];
        }
        for (int c = a * D; c < (a + 1) * D; c++) y[c] /= sum;
    }
}

/* Depthwise convolution of the values around (i, j). */
static double local(const sample *s, int i, int j, int c, int kernel) {
    double sum = (double)layer_run_value(&run, "attn.lepe.bias", c);

    for (int u = 0; u < kernel; u++)
        for (int v = 0; v < kernel; v++) {
            const int y = i + u - kernel / 2, x = j + v - kernel / 2;
            if (y < 0 || x < 0 || y >= height(s) || x >= width(s)) continue;
            sum +=
                (double)layer_run_value(&run, "attn.lepe.weight", (c * kernel + u) * kernel + v) *
                s->map[y * width(s) + x][2 * C + c];
        }
    return sum;
}

static void expect(const sample *s, int t, int kernel, double *y) {
    static const double *keys[MOST + 4];
    bool chosen[MOST_REGIONS];
    double mixed[C];
    const int P = (int)shape.n_prefix, i = (t - P) / (int)shape.grid_w;
    const int j = (t - P) % (int)shape.grid_w;
    int n = 0;

    for (int p = 0; p < P; p++) keys[n++] = s->prefix[p];
    if (t >= P) choose(s, region_of(s, i, j), chosen);
    for (int a = 0; a < height(s) * width(s); a++) {
        const int row = a / width(s), column = a % width(s);
        if (t < P ? row < shape.grid_h && column < shape.grid_w : chosen[region_of(s, row, column)])
            keys[n++] = s->map[a];
    }
    attend(t < P ? s->prefix[t] : s->map[i * width(s) + j], keys, n, 1.0 / sqrt((double)C), mixed);
    for (int c = 0; t >= P && kernel && c < C; c++) mixed[c] += local(s, i, j, c, kernel);
    for (int o = 0; o < C; o++) y[o] = affine("proj", mixed, o);
}

static void check(int64_t prefix, int64_t H, int64_t W, int S, int k, int kernel) {
    static sample s;
    char yaml[128];

    snprintf(yaml, sizeof yaml, "{kind: bra, bra: {regions: %d, topk: %d, lepe: %d}}", S, k,
             kernel);
    make(prefix, H, W, yaml);
    s = (sample){.S = S, .k = k, .h = ((int)H + S - 1) / S, .w = ((int)W + S - 1) / S};
    for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++) {
        const fv_var *y = forward((fv_mode)mode);
        const float *x = fv_tape_at(run.tape, 0)->data;
        for (int b = 0; b < B; b++) {
            project(&s, x + b * shape.n_tokens * C);
            for (int t = 0; t < shape.n_tokens; t++) {
                double want[C];
                expect(&s, t, kernel, want);
                for (int c = 0; c < C; c++)
                    cr_assert_float_eq((double)((float *)y->data)[(b * shape.n_tokens + t) * C + c],
                                       want[c], 1e-5, "mode %d, sample %d, token %d", mode, b, t);
            }
        }
    }
}

Test(layers_mixer_bra, is_routing_attention_on_the_grid) { check(0, 4, 6, 2, 2, 3); }
Test(layers_mixer_bra, the_convolution_can_be_left_out) { check(0, 4, 4, 4, 3, 0); }
Test(layers_mixer_bra, padded_tokens_are_keys_and_count_in_means) { check(0, 5, 7, 3, 4, 5); }
Test(layers_mixer_bra, prefix_tokens_see_all_and_are_seen) { check(2, 4, 4, 2, 1, 3); }
Test(layers_mixer_bra, prefix_tokens_do_not_see_padding) { check(1, 5, 3, 2, 2, 3); }

Test(layers_mixer_bra, all_regions_are_global_attention) {
    for (int64_t prefix = 0; prefix < 3; prefix++) {
        float want[B * 38 * C];
        make(prefix, 6, 6, "{kind: mhsa}");
        const int64_t n = B * shape.n_tokens * C;
        memcpy(want, forward(FV_TRAIN)->data, (size_t)n * sizeof *want);
        make(prefix, 6, 6,
             "{kind: bra, scale: 0.5773502691896258, bra: {regions: 3, topk: 9, lepe: 0}}");
        const float *y = forward(FV_TRAIN)->data;
        for (int64_t i = 0; i < n; i++) cr_assert_float_eq(y[i], want[i], 1e-5f);
    }
}

static int64_t regions_of(int64_t H, int64_t W, int64_t *chosen) {
    make(0, H, W, "kind: bra");
    cr_assert_eq(fv_tape_watch(run.tape, "attn.routing", FV_WATCH_VALUE), FV_OK);
    forward(FV_INFER);
    const fv_var *v = fv_tape_find(run.tape, "attn.routing");
    cr_assert_not_null(v);
    *chosen = fv_dim(v, 2);
    return fv_dim(v, 1);
}

Test(layers_mixer_bra, defaults_suit_the_grid) {
    int64_t chosen;
    cr_assert_eq(regions_of(7, 14, &chosen), 49);
    cr_assert_eq(chosen, 4);
    cr_assert_eq(regions_of(8, 8, &chosen), 16);
    cr_assert_eq(regions_of(7, 8, &chosen), 16);
    cr_assert_eq(regions_of(3, 5, &chosen), 9);
    cr_assert_eq(regions_of(1, 5, &chosen), 1);
    cr_assert_eq(chosen, 1);
    cr_assert_not_null(fv_params_find(&run.params, "attn.lepe.weight"));
}

static void refuse(const char *yaml, const char *says) {
    cr_assert_eq(declare(0, 4, 4, yaml), FV_ERR_CONFIG, "%s", yaml);
    cr_assert(strstr(fv_error_message(), says), "%s", fv_error_message());
}

Test(layers_mixer_bra, illegal_keys_are_named) {
    refuse("{kind: bra, bra: {regions: 2, topk: 5}}", "attention.bra.topk: 5 of 2x2 regions");
    refuse("{kind: bra, bra: {lepe: 2}}", "attention.bra.lepe: 2 is not odd");
    refuse("{kind: bra, bra: {region: 2}}", "region");
    refuse("{kind: bra, heads: 4}", "attention.heads: 4 does not divide the width 6");
}

/* Gradients of parameters against differences of the loss, small enough that no choice changes. */
Test(layers_mixer_bra, gradients_match_differences) {
    static float dy[B * 17 * C];
    float *want;

    make(1, 4, 4, "{kind: bra, bra: {regions: 2, topk: 2, lepe: 3}}");
    for (int i = 0; i < B * 17 * C; i++) dy[i] = sinf((float)i);
    fv_var *y = forward(FV_TRAIN);
    cr_assert_eq(fv_tape_backward(run.tape, y, dy), FV_OK, "%s", fv_error_message());
    want = fv_arena_alloc(&run.arena, (size_t)run.params.slab_numel, sizeof *want);
    memcpy(want, run.params.grad.base, (size_t)run.params.slab_numel * sizeof *want);
    for (int64_t p = 0; p < run.params.count; p++) {
        fv_param *param = run.params.item[p];
        const float *grad = want + (param->grad - run.params.grad.base);
        for (int64_t i = 0; i < param->numel; i += 1 + param->numel / 3) {
            const float step = 2e-3f, before = param->value[i];
            double loss[2] = {0.0, 0.0};
            for (int side = 0; side < 2; side++) {
                param->value[i] = before + (side ? step : -step);
                const float *v = forward(FV_TRAIN)->data;
                for (int e = 0; e < B * 17 * C; e++) loss[side] += (double)v[e] * (double)dy[e];
            }
            param->value[i] = before;
            const double slope = (loss[1] - loss[0]) / (2.0 * (double)step);
            cr_expect_float_eq((double)grad[i], slope, 3e-3 * (1.0 + fabs(slope)), "%s[%d]: %g %g",
                               param->name, (int)i, (double)grad[i], slope);
        }
    }
}
