/* Cases of attention and the products it is made of. */
#include "tests/support/op_case.h"

#include <math.h>
#include <string.h>

#define SCALE 0.35f

static fv_var *build_matmul(fv_var *const in[]) { return fv_matmul(in[0], in[1]); }
static fv_var *build_matmul_nt(fv_var *const in[]) { return fv_matmul_nt(in[0], in[1]); }
static fv_var *build_two_heads(fv_var *const in[]) { return fv_attention(in[0], 2, SCALE); }
static fv_var *build_one_head(fv_var *const in[]) { return fv_attention(in[0], 1, SCALE); }
static fv_var *build_matmul_tn(fv_var *const in[]) { return fv_matmul_tn(in[0], in[1]); }
static fv_var *build_queries(fv_var *const in[]) {
    return fv_attention_queries(in[0], 2, SCALE, 1, 3);
}
static fv_var *build_tiled_queries(fv_var *const in[]) {
    return fv_attention_queries(in[0], 1, SCALE, 20, 300);
}
static fv_var *build_queries_past(fv_var *const in[]) {
    return fv_attention_queries(in[0], 2, SCALE, 4, 3);
}
static fv_var *build_channel_kv(fv_var *const in[]) {
    return fv_channel_attention(in[0], 2, SCALE, FV_CHANNEL_KV);
}
static fv_var *build_channel_qk(fv_var *const in[]) {
    return fv_channel_attention(in[0], 3, 0.0f, FV_CHANNEL_QK);
}
static fv_var *build_square(fv_var *const in[]) { return fv_matmul(in[0], in[0]); }

static void matmul(int64_t batch, int64_t N, int64_t K, int64_t M, bool nt, const double *a,
                   const double *b, double *y) {
    for (int64_t i = 0; i < batch; i++)
        for (int64_t n = 0; n < N; n++)
            for (int64_t m = 0; m < M; m++) {
                double sum = 0.0;
                for (int64_t k = 0; k < K; k++)
                    sum += a[(i * N + n) * K + k] *
                           (nt ? b[(i * M + m) * K + k] : b[(i * K + k) * M + m]);
                y[(i * N + n) * M + m] = sum;
            }
}

static void oracle_matmul(int64_t samples, double *const in[], double *y) {
    matmul(2 * samples, 4, 5, 3, false, in[0], in[1], y);
}

static void oracle_matmul_nt(int64_t samples, double *const in[], double *y) {
    matmul(2 * samples, 4, 5, 3, true, in[0], in[1], y);
}

/* a [2 samples, 5, 4], b [2 samples, 5, 3] -> a^T b */
static void oracle_matmul_tn(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < 2 * samples; i++)
        for (int64_t n = 0; n < 4; n++)
            for (int64_t m = 0; m < 3; m++) {
                double sum = 0.0;
                for (int64_t k = 0; k < 5; k++)
                    sum += in[0][(i * 5 + k) * 4 + n] * in[1][(i * 5 + k) * 3 + m];
                y[(i * 4 + n) * 3 + m] = sum;
            }
}

static void oracle_square(int64_t samples, double *const in[], double *y) {
    matmul(samples, 4, 4, 4, false, in[0], in[0], y);
}

/* x [windows,N,3,h,d] -> y [windows,Q,h,d] for Q queries from `first` on. */
static void queries(int64_t windows, int64_t N, int64_t first, int64_t Q, int64_t h, int64_t d,
                    const double *x, double *y) {
    const int64_t C = h * d;

    memset(y, 0, (size_t)(windows * Q * C) * sizeof *y);
    for (int64_t b = 0; b < windows; b++)
        for (int64_t a = 0; a < h; a++)
            for (int64_t i = 0; i < Q; i++) {
                const double *q = x + (b * N + first + i) * 3 * C + a * d;
                double *out = y + (b * Q + i) * C + a * d, sum = 0.0;
                for (int64_t j = 0; j < N; j++) {
                    const double *k = x + (b * N + j) * 3 * C + C + a * d, *v = k + C;
                    double s = 0.0;
                    for (int64_t c = 0; c < d; c++) s += q[c] * k[c];
                    const double p = exp((double)SCALE * s);
                    sum += p;
                    for (int64_t c = 0; c < d; c++) out[c] += p * v[c];
                }
                for (int64_t c = 0; c < d; c++) out[c] /= sum;
            }
}

static void oracle_two_heads(int64_t samples, double *const in[], double *y) {
    queries(samples, 6, 0, 6, 2, 4, in[0], y);
}

static void oracle_tiles(int64_t samples, double *const in[], double *y) {
    queries(samples, 330, 0, 330, 1, 4, in[0], y);
}

static void oracle_windows(int64_t samples, double *const in[], double *y) {
    queries(3 * samples, 4, 0, 4, 2, 3, in[0], y);
}

static void oracle_queries(int64_t samples, double *const in[], double *y) {
    queries(samples, 6, 1, 3, 2, 4, in[0], y);
}

static void oracle_window_queries(int64_t samples, double *const in[], double *y) {
    queries(2 * samples, 5, 1, 3, 2, 3, in[0], y);
}

static void oracle_tiled_queries(int64_t samples, double *const in[], double *y) {
    queries(samples, 330, 20, 300, 1, 4, in[0], y);
}

/* x [B,N,3,g,d]: weights softmax(scale left_c . right_c') over c', from blocks l and r of x, mix the
 * channels of block m. */
static void channels(int64_t samples, int64_t N, int64_t g, int64_t d, double scale,
                     const int part[3], const double *x, double *y) {
    const int64_t C = g * d;

    memset(y, 0, (size_t)(samples * N * C) * sizeof *y);
    for (int64_t b = 0; b < samples; b++)
        for (int64_t a = 0; a < g; a++)
            for (int64_t c = 0; c < d; c++) {
                const double *sample = x + b * N * 3 * C + a * d;
                double *out = y + b * N * C + a * d + c, sum = 0.0;
                for (int64_t other = 0; other < d; other++) {
                    double s = 0.0;
                    for (int64_t t = 0; t < N; t++)
                        s += sample[(t * 3 + part[0]) * C + c] *
                             sample[(t * 3 + part[1]) * C + other];
                    const double p = exp(scale * s);
                    sum += p;
                    for (int64_t t = 0; t < N; t++)
                        out[t * C] += p * sample[(t * 3 + part[2]) * C + other];
                }
                for (int64_t t = 0; t < N; t++) out[t * C] /= sum;
            }
}

static void oracle_channel_kv(int64_t samples, double *const in[], double *y) {
    channels(samples, 5, 2, 4, (double)SCALE, (const int[]){1, 2, 0}, in[0], y);
}

static void oracle_channel_qk(int64_t samples, double *const in[], double *y) {
    channels(samples, 4, 3, 2, 0.5, (const int[]){0, 1, 2}, in[0], y);
}

const op_case op_cases_attention[] = {
    {.op = "matmul",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 2, 4, 5}}, {OP_X, 4, {0, 2, 5, 3}}},
     .build = build_matmul,
     .oracle = oracle_matmul,
     .bad = {{.in = {{OP_X, 4, {0, 2, 4, 5}}, {OP_X, 4, {0, 2, 4, 3}}},
              .says = "matmul: 5x2x4x5 and 5x2x4x3 do not fit"},
             {.in = {{OP_X, 4, {0, 2, 4, 5}}, {OP_X, 4, {0, 3, 5, 3}}},
              .says = "matmul: 5x2x4x5 and 5x3x5x3 do not fit"},
             {.in = {{OP_X, 4, {0, 2, 4, 5}}, {OP_X, 3, {0, 5, 3}}},
              .says = "matmul: 5x2x4x5 and 5x5x3 do not fit"},
             {.in = {{OP_X, 4, {0, 2, 4, 5}, true}, {OP_X, 4, {0, 2, 5, 3}, true}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "matmul: input is BF16"}}},
    {.op = "matmul",
     .variant = "both factors one variable",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 4, 4}}},
     .build = build_square,
     .oracle = oracle_square},
    {.op = "matmul_nt",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 2, 4, 5}}, {OP_X, 4, {0, 2, 3, 5}}},
     .build = build_matmul_nt,
     .oracle = oracle_matmul_nt,
     .bad = {{.in = {{OP_X, 4, {0, 2, 4, 5}}, {OP_X, 4, {0, 2, 5, 3}}},
              .says = "matmul_nt: 5x2x4x5 and 5x2x5x3 do not fit"}}},
    {.op = "matmul_tn",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 2, 5, 4}}, {OP_X, 4, {0, 2, 5, 3}}},
     .build = build_matmul_tn,
     .oracle = oracle_matmul_tn,
     .bad = {{.in = {{OP_X, 4, {0, 2, 5, 4}}, {OP_X, 4, {0, 2, 4, 3}}},
              .says = "matmul_tn: 5x2x5x4 and 5x2x4x3 do not fit"}}},
    {.op = "attention",
     .variant = "two heads",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 6, 24}, true}},
     .build = build_two_heads,
     .oracle = oracle_two_heads,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 3, {0, 6, 15}}},
              .says = "attention: 5x6x15 is not [B,N,3C] or [B,nW,N,3C] with C a multiple of 2"},
             {.in = {{OP_X, 2, {0, 24}}}, .says = "attention: 5x24 is not [B,N,3C]"}}},
    {.op = "attention",
     .variant = "several query tiles",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 330, 12}, true}},
     .build = build_one_head,
     .oracle = oracle_tiles,
     .bf16 = 3e-2f,
     .composed = true},
    {.op = "attention",
     .variant = "windows",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 3, 4, 18}, true}},
     .build = build_two_heads,
     .oracle = oracle_windows,
     .bf16 = 3e-2f,
     .composed = true},
    {.op = "attention",
     .variant = "some queries",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 6, 24}, true}},
     .build = build_queries,
     .oracle = oracle_queries,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 3, {0, 6, 24}}},
              .build = build_queries_past,
              .says = "attention: no 3 queries from 4 on in 5x6x24"}}},
    {.op = "attention",
     .variant = "some queries of windows",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 5, 18}, true}},
     .build = build_queries,
     .oracle = oracle_window_queries,
     .bf16 = 3e-2f,
     .composed = true},
    {.op = "attention",
     .variant = "some queries in tiles",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 330, 12}, true}},
     .build = build_tiled_queries,
     .oracle = oracle_tiled_queries,
     .bf16 = 3e-2f,
     .composed = true},
    {.op = "channel_attention",
     .variant = "keys and values weigh queries",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 5, 24}, true}},
     .build = build_channel_kv,
     .oracle = oracle_channel_kv,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 3, {0, 5, 15}}},
              .says = "channel_attention: 5x5x15 is not [B,N,3C] with C a multiple of 2 groups"},
             {.in = {{OP_X, 4, {0, 2, 5, 24}}},
              .says = "channel_attention: 5x2x5x24 is not [B,N,3C]"}}},
    {.op = "channel_attention",
     .variant = "queries and keys weigh values",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 4, 18}, true}},
     .build = build_channel_qk,
     .oracle = oracle_channel_qk,
     .bf16 = 3e-2f,
     .composed = true},
    {0}};
