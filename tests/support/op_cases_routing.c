/* Cases of bi-level routing: the choice of regions, attention to them, and the gather it is made of. */
#include "tests/support/op_case.h"

#include <math.h>
#include <string.h>

#define SCALE 0.35f

static fv_var *build_route(fv_var *const in[]) { return fv_route(in[0], 2); }
static fv_var *build_route_all(fv_var *const in[]) { return fv_route(in[0], 4); }
static fv_var *build_route_five(fv_var *const in[]) { return fv_route(in[0], 5); }
static fv_var *build_two_heads(fv_var *const in[]) {
    return fv_routed_attention(in[0], in[1], NULL, 2, SCALE);
}
static fv_var *build_prefix(fv_var *const in[]) {
    return fv_routed_attention(in[0], in[1], in[2], 1, SCALE);
}
static fv_var *build_gather(fv_var *const in[]) { return fv_region_gather(in[0], in[1]); }

/* Four regions of three pixels, C = 8. */
static void route(int64_t samples, int topk, const double *x, double *y) {
    for (int64_t b = 0; b < samples; b++) {
        double mean[4][16] = {{0}};
        for (int r = 0; r < 4; r++)
            for (int i = 0; i < 3; i++)
                for (int c = 0; c < 16; c++) mean[r][c] += x[((b * 4 + r) * 3 + i) * 24 + c] / 3.0;
        for (int r = 0; r < 4; r++) {
            double affinity[4] = {0};
            for (int s = 0; s < 4; s++)
                for (int c = 0; c < 8; c++) affinity[s] += mean[r][c] * mean[s][8 + c] / sqrt(8.0);
            for (int k = 0; k < topk; k++) {
                int best = 0;
                for (int s = 1; s < 4; s++)
                    if (affinity[s] > affinity[best]) best = s;
                affinity[best] = -INFINITY;
                *y++ = best;
            }
        }
    }
}

static void oracle_route(int64_t samples, double *const in[], double *y) {
    route(samples, 2, in[0], y);
}

static void oracle_route_all(int64_t samples, double *const in[], double *y) {
    route(samples, 4, in[0], y);
}

/* Four regions of three pixels, two of them chosen, behind P prefix tokens; C = 8 in h heads. */
static void attention(int64_t samples, int h, int P, double *const in[], double *y) {
    const int d = 8 / h;

    memset(y, 0, (size_t)(samples * 4 * 3 * 8) * sizeof *y);
    for (int64_t row = 0; row < samples * 4 * 3; row++)
        for (int a = 0; a < h; a++) {
            const double *q = in[0] + row * 24 + a * d, *chosen = in[1] + row / 3 * 2;
            double *out = y + row * 8 + a * d, sum = 0.0;
            for (int j = -P; j < 6; j++) {
                const int64_t region = row / 12 * 4 + (j < 0 ? 0 : (int64_t)chosen[j / 3]);
                const double *from =
                    j < 0 ? in[2] + (row / 12 * P + P + j) * 24 : in[0] + (region * 3 + j % 3) * 24;
                const double *k = from + 8 + a * d;
                double s = 0.0;
                for (int c = 0; c < d; c++) s += q[c] * k[c];
                const double p = exp((double)SCALE * s);
                sum += p;
                for (int c = 0; c < d; c++) out[c] += p * k[8 + c];
            }
            for (int c = 0; c < d; c++) out[c] /= sum;
        }
}

static void oracle_two_heads(int64_t samples, double *const in[], double *y) {
    attention(samples, 2, 0, in, y);
}

static void oracle_prefix(int64_t samples, double *const in[], double *y) {
    attention(samples, 1, 2, in, y);
}

/* x [B,4,3,5], two regions chosen */
static void oracle_gather(int64_t samples, double *const in[], double *y) {
    for (int64_t row = 0; row < samples * 4; row++)
        for (int k = 0; k < 2; k++) {
            const int64_t region = (int64_t)in[1][row * 2 + k];
            memcpy(y + (row * 2 + k) * 15, in[0] + (row / 4 * 4 + region) * 15, 15 * sizeof *y);
        }
}

const op_case op_cases_routing[] = {
    {.op = "route",
     .variant = "two of four",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 4, 3, 24}, true}},
     .build = build_route,
     .oracle = oracle_route,
     .bf16 = 1e-6f, /* the same choice */
     .bad = {{.in = {{OP_X, 4, {0, 4, 3, 23}}}, .says = "route: 5x4x3x23 is not [B,R,n,3C]"},
             {.in = {{OP_X, 3, {0, 4, 24}}}, .says = "route: 5x4x24 is not [B,R,n,3C]"},
             {.in = {{OP_X, 4, {0, 4, 3, 24}}},
              .build = build_route_five,
              .says = "route: 5 of 4 regions"},
             {.in = {{OP_INDEX, 4, {0, 4, 3, 24}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "route: input is I32"}}},
    {.op = "route",
     .variant = "all",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 4, 3, 24}}},
     .build = build_route_all,
     .oracle = oracle_route_all},
    {.op = "routed_attention",
     .variant = "two heads",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 4, 3, 24}, true}, {OP_INDEX, 3, {0, 4, 2}}},
     .build = build_two_heads,
     .oracle = oracle_two_heads,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 4, {0, 4, 3, 15}}, {OP_INDEX, 3, {0, 4, 2}}},
              .says = "routed_attention: 5x4x3x15 is not [B,R,n,3C] with C a multiple of 2 heads"},
             {.in = {{OP_X, 3, {0, 12, 24}}, {OP_INDEX, 3, {0, 4, 2}}},
              .says = "routed_attention: 5x12x24 is not"},
             {.in = {{OP_X, 4, {0, 4, 3, 24}}, {OP_INDEX, 3, {0, 3, 2}}},
              .says = "routed_attention: index 5x3x2 does not fit 5x4x3x24"},
             {.in = {{OP_X, 4, {0, 4, 3, 24}}, {OP_X, 3, {0, 4, 2}}},
              .says = "routed_attention: index 5x4x2 does not fit"}}},
    {.op = "routed_attention",
     .variant = "one head, two prefix tokens",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 4, 3, 24}, true}, {OP_INDEX, 3, {0, 4, 2}}, {OP_X, 3, {0, 2, 24}, true}},
     .build = build_prefix,
     .oracle = oracle_prefix,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 4, {0, 4, 3, 24}}, {OP_INDEX, 3, {0, 4, 2}}, {OP_X, 3, {0, 2, 8}}},
              .says = "routed_attention: prefix 5x2x8 does not fit 5x4x3x24"},
             {.in = {{OP_X, 4, {0, 4, 3, 24}},
                     {OP_INDEX, 3, {0, 4, 2}},
                     {OP_X, 3, {0, 2, 24}, true}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "prefix and regions differ in type"}}},
    {.op = "region_gather",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 4, 3, 5}, true}, {OP_INDEX, 3, {0, 4, 2}}},
     .build = build_gather,
     .oracle = oracle_gather,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 4, 5}}, {OP_INDEX, 3, {0, 4, 2}}},
              .says = "region_gather: index 5x4x2 does not fit 5x4x5"},
             {.in = {{OP_X, 4, {0, 4, 3, 5}}, {OP_INDEX, 3, {0, 3, 2}}},
              .says = "region_gather: index 5x3x2 does not fit 5x4x3x5"}}},
    {0}};
