#include "core/parallel.h"
#include "core/yaml.h"
#include "layers/mixer.h"
#include "layers/mixer_config.h"
#include "tests/support/gradcheck.h"
#include "tests/support/layer_run.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { B = 2, C = 6, HEADS = 2, D = 3, MOST = 64 };

static layer_run run;
static fv_mixer_layer layer;
static fv_mixer_shape shape;
static int b, halo; /* of the mixer under test */

static void enter(void) { layer_run_open(&run); }
static void leave(void) {
    layer_run_close(&run);
    fv_threads_set(1);
    fv_scratch_release();
}

TestSuite(layers_mixer_halo, .init = enter, .fini = leave);

static fv_status init(const char *yaml, int prefix, int h, int w) {
    fv_value *cfg = NULL;

    layer_run_close(&run);
    layer_run_open(&run);
    shape = (fv_mixer_shape){.n_tokens = prefix + h * w,
                             .n_prefix = prefix,
                             .grid_h = h,
                             .grid_w = w,
                             .dim = C,
                             .heads = HEADS,
                             .qkv_bias = true,
                             .proj_bias = true,
                             .window = shape.window};
    cr_assert_eq(fv_yaml_parse(yaml, strlen(yaml), "grid.yaml", &run.arena, &cfg), FV_OK);
    FV_TRY(fv_mixer_layer_init(&layer, layer_run_scope(&run, "m"), cfg, &shape));
    return fv_mixer_config_check(cfg);
}

/* A mixer with random parameters. */
static void ready(int prefix, int h, int w, int block, int its_halo) {
    char yaml[96];

    b = block;
    halo = its_halo;
    snprintf(yaml, sizeof yaml, "{kind: halo, halo: {block: %d, halo: %d}}", b, halo);
    cr_assert_eq(init(yaml, prefix, h, w), FV_OK, "%s", fv_error_message());
    layer_run_ready(&run);
}

static fv_var *forward(const fv_step *step, fv_var **x) {
    fv_var *in =
        layer_run_begin(&run, step, fv_shape_of(3, (int64_t)B, shape.n_tokens, (int64_t)C));
    fv_var *y = fv_keep(fv_mixer_layer_forward(&layer, in));
    cr_assert_eq(fv_tape_status(run.tape), FV_OK, "%s", fv_error_message());
    if (x) *x = in;
    return y;
}

/* ---- the definition, in loops ---- */

static void affine(const char *name, int64_t n, int64_t out, const double *x, double *y) {
    char weight[32], bias[32];

    snprintf(weight, sizeof weight, "m.%s.weight", name);
    snprintf(bias, sizeof bias, "m.%s.bias", name);
    const float *w = fv_params_find(&run.params, weight)->value;
    const float *v = fv_params_find(&run.params, bias)->value;
    for (int64_t i = 0; i < n * out; i++) {
        y[i] = (double)v[i % out];
        for (int c = 0; c < C; c++) y[i] += x[i / out * C + c] * (double)w[i % out * C + c];
    }
}

static double dot(const double *q, const double *k) {
    return k ? q[0] * k[0] + q[1] * k[1] + q[2] * k[2] : 0.0;
}

static double dot_row(const double *q, const float *row) {
    return q[0] * (double)row[0] + q[1] * (double)row[1] + q[2] * (double)row[2];
}

/* One key: adds its part to the softmax. */
static void take(double logit, const double *v, double *out, double *sum) {
    const double p = exp(logit);
    *sum += p;
    for (int c = 0; v && c < D; c++) out[c] += p * v[c];
}

/* The w x w positions around the block of grid query (i, j); outside of the grid key and value are 0. */
static void near(const double *q, const double *kv, int i, int j, double *out, double *sum) {
    const float *height = fv_params_find(&run.params, "m.pos_embed.height_rel")->value;
    const float *width = fv_params_find(&run.params, "m.pos_embed.width_rel")->value;
    const int w = b + 2 * halo, H = (int)shape.grid_h, W = (int)shape.grid_w;

    for (int y = 0; y < w; y++)
        for (int x = 0; x < w; x++) {
            const int r = i / b * b - halo + y, c = j / b * b - halo + x;
            const bool inside = r >= 0 && r < H && c >= 0 && c < W;
            const double *k = inside ? kv + (r * W + c) * 2 * C : NULL;
            take(dot(q, k) / sqrt(3.0) + dot_row(q, height + (y - i % b + w - 1) * D) +
                     dot_row(q, width + (x - j % b + w - 1) * D),
                 k ? k + D : NULL, out, sum);
        }
}

static void sample(const double *x, double *y) {
    static double q[MOST * C], kv[MOST * 2 * C], mixed[MOST * C];
    const int N = (int)shape.n_tokens, P = (int)shape.n_prefix, W = (int)shape.grid_w;

    affine("q", N, C, x, q);
    affine("kv", N, 2 * C, x, kv);
    memset(mixed, 0, sizeof mixed);
    for (int t = 0; t < N; t++)
        for (int h = 0; h < HEADS; h++) {
            const double *query = q + t * C + h * D, *keys = kv + h * 2 * D;
            double *out = mixed + t * C + h * D, sum = 0.0;
            for (int k = 0; k < (t < P ? N : P); k++)
                take(dot(query, keys + k * 2 * C) / sqrt(3.0), keys + k * 2 * C + D, out, &sum);
            if (t >= P) near(query, keys + P * 2 * C, (t - P) / W, (t - P) % W, out, &sum);
            for (int c = 0; c < D; c++) out[c] /= sum;
        }
    affine("proj", N, C, mixed, y);
}

static void batch(double *const in[], double *y, void *user) {
    (void)user;
    for (int s = 0; s < B; s++) sample(in[0] + s * shape.n_tokens * C, y + s * shape.n_tokens * C);
}

static double x64[B * MOST * C], y64[B * MOST * C];

static void expect_values(const fv_step *step, double tolerance) {
    fv_var *x;
    const fv_var *y = forward(step, &x);
    const int64_t n = B * shape.n_tokens * C;

    for (int64_t i = 0; i < n; i++) x64[i] = (double)((const float *)x->data)[i];
    batch((double *[]){x64}, y64, NULL);
    for (int64_t i = 0; i < n; i++)
        cr_assert_float_eq((double)fv_tensor_get(&(fv_tensor){y->data, y->dtype, y->shape}, i),
                           y64[i], tolerance, "mode %d, element %d", (int)step->mode, (int)i);
}

static void expect_gradient(void) {
    static float dy[B * MOST * C];
    const int64_t n = B * shape.n_tokens * C;
    fv_var *x, *y = forward(&(fv_step){.mode = FV_TRAIN}, &x);

    for (int64_t i = 0; i < n; i++) dy[i] = 0.25f * (float)(i * 7 % 5 - 2);
    cr_assert_eq(fv_tape_backward(run.tape, y, dy), FV_OK, "%s", fv_error_message());
    for (int64_t i = 0; i < n; i++) x64[i] = (double)((const float *)x->data)[i];
    for (int64_t i = 0; i < n; i += 5) {
        const double want = gradcheck_derivative(batch, NULL, (double *[]){x64}, 0, i, n, dy, y64);
        cr_assert_float_eq((double)((const float *)x->grad.data)[i], want, 1e-4);
    }
}

/* grid, block, halo: with and without padding, one block, windows beyond the grid */
static const int grids[][4] = {{4, 6, 2, 1}, {5, 3, 2, 1}, {3, 3, 4, 0}, {2, 4, 2, 3}};

Test(layers_mixer_halo, computes_its_definition) {
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++)
        for (int prefix = 0; prefix <= 2; prefix++) {
            ready(prefix, grids[i][0], grids[i][1], grids[i][2], grids[i][3]);
            for (int mode = FV_TRAIN; mode <= FV_EXPLAIN; mode++)
                expect_values(&(fv_step){.mode = (fv_mode)mode}, 1e-5);
            expect_values(&(fv_step){.mode = FV_TRAIN, .bf16 = true}, 0.05);
            expect_gradient();
        }
}

/* Copies the projections of a mixer with packed ones; q is C rows, then per head its keys and values. */
static void take_packed(const fv_params *from) {
    const char *const parts[] = {"weight", "bias"};

    for (int part = 0; part < 2; part++) {
        char name[3][32];
        const char *const layers[] = {"qkv", "q", "kv"};
        for (int i = 0; i < 3; i++)
            snprintf(name[i], sizeof name[i], "m.%s.%s", layers[i], parts[part]);
        const int64_t width = part ? 1 : C;
        const float *qkv = fv_params_find(from, name[0])->value;
        float *q = fv_params_find(&run.params, name[1])->value;
        float *kv = fv_params_find(&run.params, name[2])->value;
        memcpy(q, qkv, (size_t)(C * width) * sizeof *q);
        for (int64_t o = 0; o < C; o++)
            for (int k = 0; k < 2; k++)
                memcpy(kv + (o / D * 2 * D + k * D + o % D) * width,
                       qkv + ((k + 1) * C + o) * width, (size_t)width * sizeof *kv);
        snprintf(name[0], sizeof name[0], "m.proj.%s", parts[part]);
        const fv_param *proj = fv_params_find(from, name[0]);
        memcpy(fv_params_find(&run.params, name[0])->value, proj->value,
               (size_t)proj->numel * sizeof(float));
    }
}

/* Without halo and positions: the mixer of that kind with the same projections. */
static void expect_same_as(const char *yaml, int prefix, int h, int w, int block) {
    static float want[B * MOST * C];
    layer_run other;

    cr_assert_eq(init(yaml, prefix, h, w), FV_OK, "%s", fv_error_message());
    layer_run_ready(&run);
    memcpy(want, forward(&(fv_step){.mode = FV_INFER}, NULL)->data,
           (size_t)(B * shape.n_tokens * C) * sizeof *want);
    other = run;
    layer_run_open(&run);
    ready(prefix, h, w, block, 0);
    take_packed(&other.params);
    layer_run_close(&other);
    for (int i = 0; i < 2; i++) {
        fv_param *table =
            fv_params_find(&run.params, i ? "m.pos_embed.height_rel" : "m.pos_embed.width_rel");
        memset(table->value, 0, (size_t)table->numel * sizeof(float));
    }
    const fv_var *y = forward(&(fv_step){.mode = FV_INFER}, NULL);
    for (int64_t i = 0; i < B * shape.n_tokens * C; i++)
        cr_assert_float_eq(((const float *)y->data)[i], want[i], 1e-5f, "%s", yaml);
}

Test(layers_mixer_halo, without_halo_is_window_attention) {
    expect_same_as("{kind: window, window: {size: 2}}", 0, 4, 6, 2);
    expect_same_as("{kind: window, window: {size: 2}}", 1, 4, 6, 2);
}

Test(layers_mixer_halo, one_block_is_global_attention) {
    expect_same_as("{kind: mhsa}", 0, 4, 4, 4);
    expect_same_as("{kind: mhsa}", 2, 4, 4, 4);
}

static int64_t rows_of_table(void) {
    return fv_params_find(&run.params, "m.pos_embed.height_rel")->shape.dim[0];
}

/* Tables have 2 (b + 2 halo) - 1 rows. */
Test(layers_mixer_halo, chooses_blocks_by_the_grid) {
    const int want[][3] = {{2, 0, 3}, {8, 0, 11}, {16, 0, 27}, {8, 7, 25}, {4, 7, 11}};

    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        shape.window = want[i][1];
        cr_assert_eq(init("{kind: halo}", 1, want[i][0], want[i][0]), FV_OK);
        cr_expect_eq(rows_of_table(), want[i][2], "%d", (int)i);
    }
    shape.window = 0;
    cr_assert_eq(init("{kind: halo, halo: {block: 7}}", 1, 14, 14), FV_OK);
    cr_expect_eq(rows_of_table(), 25);
    cr_assert_eq(init("{kind: halo, halo: {halo: 0}}", 1, 8, 8), FV_OK);
    cr_expect_eq(rows_of_table(), 7);
}

Test(layers_mixer_halo, refuses_what_it_cannot_do) {
    const struct {
        const char *yaml, *says;
    } bad[] = {
        {"{kind: halo, heads: 4}", "attention.heads: 4 does not divide the width 6"},
        {"{kind: halo, scale: 0.5}", "attention.scale"},
        {"{kind: halo, halo: {blok: 2}}", "blok"},
        {"{kind: halo, halo: {block: -1}}", "block"},
        {"{kind: halo, halo: 3}", "halo"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(init(bad[i].yaml, 1, 4, 4), FV_ERR_CONFIG, "%s", bad[i].yaml);
        cr_expect(strstr(fv_error_message(), bad[i].says), "%s", fv_error_message());
    }
}

Test(layers_mixer_halo, taps_weights_that_sum_to_one) {
    ready(1, 4, 4, 2, 1);
    cr_assert_eq(fv_tape_watch(run.tape, "m.weights", FV_WATCH_VALUE), FV_OK);
    forward(&(fv_step){.mode = FV_EXPLAIN}, NULL);
    const fv_var *attn = fv_tape_find(run.tape, "m.weights");
    cr_assert_not_null(attn);
    cr_assert_eq(fv_dim(attn, -1), 17); /* the class token and 4 x 4 positions */
    for (int64_t row = 0; row < fv_shape_rows(&attn->shape); row++) {
        float sum = 0.0f;
        for (int i = 0; i < 17; i++) sum += ((const float *)attn->data)[row * 17 + i];
        cr_assert_float_eq(sum, 1.0f, 1e-5f);
    }
}
