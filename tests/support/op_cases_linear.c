/* Cases of the linear layers. */
#include "tests/support/op_case.h"

#include <math.h>

static void linear(int64_t rows, int64_t I, int64_t O, double *const in[], double *y) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < O; o++) {
            double sum = in[2] ? in[2][o] : 0.0;
            for (int64_t i = 0; i < I; i++) sum += in[0][r * I + i] * in[1][o * I + i];
            y[r * O + o] = sum;
        }
}

static fv_var *build(fv_var *const in[]) { return fv_linear(in[0], in[1], in[2]); }
static fv_var *build_f32(fv_var *const in[]) { return fv_linear_f32(in[0], in[1], in[2]); }
static fv_var *build_gelu(fv_var *const in[]) { return fv_linear_gelu(in[0], in[1], in[2]); }
static fv_var *build_no_bias(fv_var *const in[]) { return fv_linear(in[0], in[1], NULL); }

static void oracle(int64_t samples, double *const in[], double *y) {
    linear(3 * samples, 20, 24, in, y);
}

static void oracle_no_bias(int64_t samples, double *const in[], double *y) {
    linear(4 * samples, 12, 8, (double *[]){in[0], in[1], NULL}, y);
}

static void oracle_tiles(int64_t samples, double *const in[], double *y) {
    linear(390 * samples, 4, 390, in, y);
}

static void oracle_wide(int64_t samples, double *const in[], double *y) {
    linear(9 * samples, 130, 7, in, y);
}

static void oracle_head(int64_t samples, double *const in[], double *y) {
    linear(samples, 6, 3, in, y);
}

static void oracle_gelu(int64_t samples, double *const in[], double *y) {
    linear(5 * samples, 12, 20, in, y);
    for (int64_t i = 0; i < samples * 5 * 20; i++) y[i] *= 0.5 * erfc(-y[i] / sqrt(2.0));
}

const op_case op_cases_linear[] = {
    {.op = "linear",
     .variant = "bias",
     .n_in = 3,
     .in = {{OP_X, 3, {0, 3, 20}, true}, {OP_PARAM, 2, {24, 20}, true}, {OP_PARAM, 1, {24}, false}},
     .build = build,
     .oracle = oracle,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 3, 19}}, {OP_PARAM, 2, {24, 20}}, {OP_PARAM, 1, {24}}},
              .says = "linear: input 5x3x19 does not fit weight 24x20"},
             {.in = {{OP_X, 1, {0}}, {OP_PARAM, 2, {4, 5}}, {OP_PARAM, 1, {4}}},
              .says = "linear: input 5 does not fit weight 4x5"},
             {.in = {{OP_X, 3, {0, 3, 20}}, {OP_PARAM, 2, {24, 20}}, {OP_PARAM, 1, {23}}},
              .says = "linear: bias 23 does not fit weight 24x20"}}},
    {.op = "linear",
     .variant = "convolution weight, no bias",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 4, 12}, true}, {OP_PARAM, 4, {8, 3, 2, 2}, true}},
     .build = build_no_bias,
     .oracle = oracle_no_bias,
     .bf16 = 1e-2f},
    {.op = "linear",
     .variant = "several tiles",
     .n_in = 3,
     .in = {{OP_X, 3, {0, 390, 4}, true},
            {OP_PARAM, 2, {390, 4}, true},
            {OP_PARAM, 1, {390}, false}},
     .build = build,
     .oracle = oracle_tiles,
     .bf16 = 1e-2f},
    {.op = "linear",
     .variant = "wide", /* for sums over rows by our kernel */
     .n_in = 3,
     .in = {{OP_X, 3, {0, 9, 130}, true}, {OP_PARAM, 2, {7, 130}, true}, {OP_PARAM, 1, {7}, false}},
     .build = build,
     .oracle = oracle_wide,
     .bf16 = 1e-2f},
    {.op = "linear",
     .variant = "f32 output, rank 2",
     .n_in = 3,
     .in = {{OP_X, 2, {0, 6}, true}, {OP_PARAM, 2, {3, 6}, true}, {OP_PARAM, 1, {3}, false}},
     .build = build_f32,
     .oracle = oracle_head,
     .bf16 = 1e-2f},
    {.op = "linear_gelu",
     .variant = "",
     .n_in = 3,
     .in = {{OP_X, 3, {0, 5, 12}, true}, {OP_PARAM, 2, {20, 12}, true}, {OP_PARAM, 1, {20}, false}},
     .build = build_gelu,
     .oracle = oracle_gelu,
     .bf16 = 2e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 3, {0, 5, 12}}, {OP_PARAM, 2, {20, 11}}, {OP_PARAM, 1, {20}}},
              .says = "linear_gelu: input 5x5x12 does not fit weight 20x11"}}},
    {0}};
