/* Cases of the losses. */
#include "tests/support/op_case.h"

#include <math.h>

#define K      10
#define SMOOTH 0.1f

static fv_var *build_hard(fv_var *const in[]) { return fv_cross_entropy(in[0], in[1], 0.0f); }
static fv_var *build_smooth(fv_var *const in[]) { return fv_cross_entropy(in[0], in[1], SMOOTH); }
static fv_var *build_excess(fv_var *const in[]) { return fv_cross_entropy(in[0], in[1], 1.5f); }
static fv_var *build_soft(fv_var *const in[]) { return fv_soft_cross_entropy(in[0], in[1]); }
static fv_var *build_bce(fv_var *const in[]) { return fv_bce(in[0], in[1]); }

static double log_sum_exp(const double *z) {
    double sum = 0.0;
    for (int k = 0; k < K; k++) sum += exp(z[k]);
    return log(sum);
}

static void hard(int64_t samples, double smoothing, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++) {
        const double *z = in[0] + b * K, lse = log_sum_exp(z);
        const int64_t label = (int64_t)in[1][b];
        y[b] = (1.0 - smoothing) * (lse - z[label]);
        for (int k = 0; k < K; k++) y[b] += smoothing / K * (lse - z[k]);
    }
}

static void oracle_hard(int64_t samples, double *const in[], double *y) {
    hard(samples, 0.0, in, y);
}

static void oracle_smooth(int64_t samples, double *const in[], double *y) {
    hard(samples, (double)SMOOTH, in, y);
}

static void oracle_soft(int64_t samples, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++) {
        const double *z = in[0] + b * K, *t = in[1] + b * K, lse = log_sum_exp(z);
        y[b] = 0.0;
        for (int k = 0; k < K; k++) y[b] += t[k] * (lse - z[k]);
    }
}

/* -t log sigma(z) - (1 - t) log(1 - sigma(z)) as it is written in books. */
static void oracle_bce(int64_t samples, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++) {
        const double *z = in[0] + b * K, *t = in[1] + b * K;
        y[b] = 0.0;
        for (int k = 0; k < K; k++)
            y[b] += (t[k] * log(1.0 + exp(-z[k])) + (1.0 - t[k]) * log(1.0 + exp(z[k]))) / K;
    }
}

const op_case op_cases_loss[] = {
    {.op = "cross_entropy",
     .variant = "hard",
     .n_in = 2,
     .in = {{OP_X, 2, {0, K}}, {OP_LABELS, 1, {0, K}}},
     .build = build_hard,
     .oracle = oracle_hard,
     .bad = {{.in = {{OP_X, 3, {0, 2, K}}, {OP_LABELS, 1, {0, K}}},
              .says = "cross_entropy: logits 5x2x10 are not [B,K]"},
             {.in = {{OP_X, 2, {0, K}}, {OP_X, 1, {0}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "cross_entropy: labels are F32, not I32"},
             {.in = {{OP_X, 2, {0, K}}, {OP_LABELS, 1, {0, K}}},
              .build = build_excess,
              .status = FV_ERR_CONFIG,
              .says = "cross_entropy: smoothing 1.5 is not in [0, 1]"}}},
    {.op = "cross_entropy",
     .variant = "label smoothing",
     .n_in = 2,
     .in = {{OP_X, 2, {0, K}}, {OP_LABELS, 1, {0, K}}},
     .build = build_smooth,
     .oracle = oracle_smooth},
    {.op = "soft_cross_entropy",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 2, {0, K}}, {OP_TARGETS, 2, {0, K}}},
     .build = build_soft,
     .oracle = oracle_soft,
     .bad = {{.in = {{OP_X, 2, {0, K}}, {OP_TARGETS, 2, {0, K + 1}}},
              .says = "soft_cross_entropy: targets 5x11 do not fit logits 5x10"}}},
    {.op = "bce",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 2, {0, K}}, {OP_TARGETS, 2, {0, K}}},
     .build = build_bce,
     .oracle = oracle_bce,
     .bad = {{.in = {{OP_X, 2, {0, K}}, {OP_TARGETS, 2, {0, K + 1}}},
              .says = "bce: targets 5x11 do not fit logits 5x10"},
             {.in = {{OP_X, 3, {0, 2, K}}, {OP_TARGETS, 3, {0, 2, K}}},
              .says = "bce: logits 5x2x10 are not [B,K]"}}},
    {0}};
