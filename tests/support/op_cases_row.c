/* Cases of the ops that work element by element or row by row. */
#include "tests/support/op_case.h"

#include <math.h>

#define RATE 0.4f

static fv_var *build_gelu(fv_var *const in[]) { return fv_gelu(in[0]); }
static fv_var *build_add(fv_var *const in[]) { return fv_add(in[0], in[1]); }
static fv_var *build_add_narrow(fv_var *const in[]) {
    return fv_add_to(in[0], in[1], fv_product_dtype(in[0]->tape));
}
static fv_var *build_cast(fv_var *const in[]) {
    return fv_cast(in[0], fv_product_dtype(in[0]->tape));
}
static fv_var *build_widen(fv_var *const in[]) { return fv_cast(in[0], FV_F32); }
static fv_var *build_residual(fv_var *const in[]) { return fv_residual(in[0], in[1], 0.0f); }
static fv_var *build_drop(fv_var *const in[]) { return fv_residual(in[0], in[1], RATE); }
static fv_var *build_drop_all(fv_var *const in[]) { return fv_residual(in[0], in[1], 1.0f); }
static fv_var *build_residual_relu(fv_var *const in[]) {
    return fv_residual_relu(in[0], in[1], 0.0f, fv_product_dtype(in[0]->tape));
}

static fv_var *build_drop_relu(fv_var *const in[]) {
    return fv_residual_relu(in[0], in[1], RATE, FV_F32);
}

static fv_var *build_scale(fv_var *const in[]) { return fv_scale(in[0], 1.7f); }
static fv_var *build_softmax(fv_var *const in[]) { return fv_softmax(in[0]); }

static fv_var *build_norm(fv_var *const in[]) {
    return fv_layernorm(in[0], in[1], in[2], 1e-5f, fv_product_dtype(in[0]->tape));
}

static fv_var *build_norm_f32(fv_var *const in[]) {
    return fv_layernorm(in[0], in[1], in[2], 1e-5f, FV_F32);
}

static void gelu(int64_t n, const double *x, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * 0.5 * erfc(-x[i] / sqrt(2.0));
}

static void oracle_gelu(int64_t samples, double *const in[], double *y) {
    gelu(samples * 21, in[0], y);
}

static void oracle_gelu_1d(int64_t samples, double *const in[], double *y) {
    gelu(samples, in[0], y);
}

static void oracle_same(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 15; i++) y[i] = in[0][i];
}

static void oracle_add(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 15; i++) y[i] = in[0][i] + in[1][i];
}

/* The keys that op_run's step implies: seed 5, update 3, the first op of the step is layer 0. */
static void oracle_drop(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 15; i++) {
        const fv_rng_key key = {
            .seed = 5, .purpose = FV_RNG_DROP, .step = 3, .sample = (uint32_t)(i / 15)};
        const bool dropped = fv_rng_uniform(&key, 0) < RATE;
        y[i] = in[0][i] + (dropped ? 0.0 : in[1][i] / (1.0 - (double)RATE));
    }
}

static void rectify(int64_t n, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = fmax(0.0, y[i]);
}

static void oracle_add_relu(int64_t samples, double *const in[], double *y) {
    oracle_add(samples, in, y);
    rectify(samples * 15, y);
}

static void oracle_drop_relu(int64_t samples, double *const in[], double *y) {
    oracle_drop(samples, in, y);
    rectify(samples * 15, y);
}

static void oracle_scale(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 21; i++) y[i] = (double)1.7f * in[0][i];
}

static void softmax(int64_t rows, int64_t n, const double *x, double *y) {
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++) sum += y[r * n + i] = exp(x[r * n + i]);
        for (int64_t i = 0; i < n; i++) y[r * n + i] /= sum;
    }
}

static void oracle_softmax(int64_t samples, double *const in[], double *y) {
    softmax(samples * 6, 7, in[0], y);
}

static void oracle_softmax_tiles(int64_t samples, double *const in[], double *y) {
    softmax(samples * 400, 3, in[0], y);
}

static void norm(int64_t rows, int64_t n, double *const in[], double *y) {
    for (int64_t r = 0; r < rows; r++) {
        const double *x = in[0] + r * n;
        double mean = 0.0, var = 0.0;
        for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
        for (int64_t i = 0; i < n; i++) var += (x[i] - mean) * (x[i] - mean) / (double)n;
        for (int64_t i = 0; i < n; i++)
            y[r * n + i] = in[1][i] * (x[i] - mean) / sqrt(var + (double)1e-5f) + in[2][i];
    }
}

static void oracle_norm(int64_t samples, double *const in[], double *y) {
    norm(samples * 40, 6, in, y);
}

static void oracle_norm_2d(int64_t samples, double *const in[], double *y) {
    norm(samples, 7, in, y);
}

const op_case op_cases_row[] = {
    {.op = "gelu",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 7}, true}},
     .build = build_gelu,
     .oracle = oracle_gelu,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_LABELS, 1, {0, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "gelu: input is I32"}}},
    {.op = "gelu",
     .variant = "rank 1",
     .n_in = 1,
     .in = {{OP_X, 1, {0}, true}},
     .build = build_gelu,
     .oracle = oracle_gelu_1d,
     .bf16 = 1e-2f},
    {.op = "layernorm",
     .variant = "several blocks of rows",
     .n_in = 3,
     .in = {{OP_X, 3, {0, 40, 6}, true}, {OP_PARAM, 1, {6}, false}, {OP_PARAM, 1, {6}, false}},
     .build = build_norm,
     .oracle = oracle_norm,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 1, {0}}, {OP_PARAM, 1, {5}}, {OP_PARAM, 1, {5}}},
              .says = "layernorm: input 5 is not [B,...,C]"},
             {.in = {{OP_X, 2, {0, 6}}, {OP_PARAM, 1, {5}}, {OP_PARAM, 1, {6}}},
              .says = "layernorm: gamma 5 does not fit input 5x6"},
             {.in = {{OP_X, 2, {0, 6}}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {7}}},
              .says = "layernorm: beta 7 does not fit input 5x6"}}},
    {.op = "layernorm",
     .variant = "rank 2, f32 output",
     .n_in = 3,
     .in = {{OP_X, 2, {0, 7}, false}, {OP_PARAM, 1, {7}, false}, {OP_PARAM, 1, {7}, false}},
     .build = build_norm_f32,
     .oracle = oracle_norm_2d,
     .bf16 = 1e-5f},
    {.op = "add",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, true}, {OP_X, 3, {0, 3, 5}, false}},
     .build = build_add,
     .oracle = oracle_add,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 3, 5}}, {OP_X, 3, {0, 5, 3}}},
              .says = "add: 5x3x5 and 5x5x3 differ"}}},
    {.op = "add",
     .variant = "before a product",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, true}, {OP_X, 3, {0, 3, 5}, true}},
     .build = build_add_narrow,
     .oracle = oracle_add,
     .bf16 = 1e-2f},
    {.op = "cast",
     .variant = "before a product",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 5}, false}},
     .build = build_cast,
     .oracle = oracle_same,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_LABELS, 1, {0, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "cast: input is I32"}}},
    {.op = "cast",
     .variant = "wider",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 5}, true}},
     .build = build_widen,
     .oracle = oracle_same,
     .bf16 = 1e-2f},
    {.op = "residual",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, false}, {OP_X, 3, {0, 3, 5}, true}},
     .build = build_residual,
     .oracle = oracle_add,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 3, 5}}, {OP_X, 2, {0, 15}}},
              .says = "residual: 5x3x5 and branch 5x15 differ"},
             {.in = {{OP_X, 2, {0, 3}}, {OP_X, 2, {0, 3}}},
              .build = build_drop_all,
              .status = FV_ERR_CONFIG,
              .says = "residual: rate 1 is not in [0, 1)"}}},
    {.op = "residual",
     .variant = "stochastic depth",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, false}, {OP_X, 3, {0, 3, 5}, true}},
     .build = build_drop,
     .oracle = oracle_drop,
     .bf16 = 1e-2f,
     .train_only = true},
    {.op = "residual_relu",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, true}, {OP_X, 3, {0, 3, 5}, true}},
     .build = build_residual_relu,
     .oracle = oracle_add_relu,
     .bf16 = 1e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 3, {0, 3, 5}}, {OP_X, 2, {0, 15}}},
              .says = "residual_relu: 5x3x5 and branch 5x15 differ"}}},
    {.op = "residual_relu",
     .variant = "stochastic depth, f32",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, false}, {OP_X, 3, {0, 3, 5}, true}},
     .build = build_drop_relu,
     .oracle = oracle_drop_relu,
     .bf16 = 1e-2f,
     .train_only = true},
    {.op = "scale",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 7}, true}},
     .build = build_scale,
     .oracle = oracle_scale,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_LABELS, 1, {0, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "scale: input is I32"}}},
    {.op = "softmax",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 3, 7}}},
     .build = build_softmax,
     .oracle = oracle_softmax,
     .bad = {{.in = {{OP_X, 1, {0}}}, .says = "softmax: input 5 is not [B,...,N]"},
             {.in = {{OP_X, 3, {0, 4, 0}}}, .says = "softmax: input 5x4x0 is not [B,...,N]"}}},
    {.op = "softmax",
     .variant = "several tiles",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 200, 3}}},
     .build = build_softmax,
     .oracle = oracle_softmax_tiles},
    {0}};
