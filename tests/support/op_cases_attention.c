/* Cases of attention and the products it is made of. */
#include "tests/support/op_case.h"

#include <math.h>
#include <string.h>

#define SCALE 0.35f

static fv_var *build_matmul(fv_var *const in[]) { return fv_matmul(in[0], in[1]); }
static fv_var *build_matmul_nt(fv_var *const in[]) { return fv_matmul_nt(in[0], in[1]); }
static fv_var *build_two_heads(fv_var *const in[]) { return fv_attention(in[0], 2, SCALE); }
static fv_var *build_one_head(fv_var *const in[]) { return fv_attention(in[0], 1, SCALE); }
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

static void oracle_square(int64_t samples, double *const in[], double *y) {
    matmul(samples, 4, 4, 4, false, in[0], in[0], y);
}

/* x [B,N,3,h,d] -> y [B,N,h,d] */
static void attention(int64_t samples, int64_t N, int64_t h, int64_t d, const double *x,
                      double *y) {
    const int64_t C = h * d;

    memset(y, 0, (size_t)(samples * N * C) * sizeof *y);
    for (int64_t b = 0; b < samples; b++)
        for (int64_t a = 0; a < h; a++)
            for (int64_t i = 0; i < N; i++) {
                const double *q = x + (b * N + i) * 3 * C + a * d;
                double *out = y + (b * N + i) * C + a * d, sum = 0.0;
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
    attention(samples, 6, 2, 4, in[0], y);
}

static void oracle_tiles(int64_t samples, double *const in[], double *y) {
    attention(samples, 330, 1, 4, in[0], y);
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
    {.op = "attention",
     .variant = "two heads",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 6, 24}, true}},
     .build = build_two_heads,
     .oracle = oracle_two_heads,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 3, {0, 6, 15}}},
              .says = "attention: 5x6x15 is not [B,N,3C] with C a multiple of 2 heads"},
             {.in = {{OP_X, 2, {0, 24}}}, .says = "attention: 5x24 is not [B,N,3C]"}}},
    {.op = "attention",
     .variant = "several query tiles",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 330, 12}, true}},
     .build = build_one_head,
     .oracle = oracle_tiles,
     .bf16 = 3e-2f,
     .composed = true},
    {0}};
