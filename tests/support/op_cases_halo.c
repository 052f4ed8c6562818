/* Cases of halo attention and its parts. */
#include "tests/support/op_case.h"

#include <math.h>
#include <string.h>

/* A case in numbers: map, heads, widths of keys and values, block, halo, stride. */
typedef struct halo {
    int64_t H, W, h, dk, dv, b, a, s;
} halo;

static const halo plain = {4, 6, 2, 3, 3, 2, 1, 1};
static const halo strided = {4, 8, 2, 3, 5, 4, 1, 2};
static const halo bare = {4, 6, 2, 4, 2, 2, 0, 1};  /* no halo: window attention */
static const halo whole = {3, 3, 1, 4, 4, 3, 2, 1}; /* one block, mostly outside */
static const halo wide = {8, 8, 1, 16, 16, 4, 2, 1};

static fv_var *build(const halo *g, fv_var *const in[]) {
    return fv_attention_halo(
        in[0], in[1], in[2], in[3],
        &(fv_halo_args){.heads = g->h, .block = g->b, .halo = g->a, .stride = g->s});
}

/* One query and head: out [dv]. */
static void attend(const halo *g, const double *q, const double *kv, const double *height,
                   const double *width, int64_t i, int64_t j, double *out) {
    const int64_t bq = g->b / g->s, w = g->b + 2 * g->a;
    const int64_t top = i / bq * g->b - g->a, left = j / bq * g->b - g->a;
    double sum = 0.0;

    memset(out, 0, (size_t)g->dv * sizeof *out);
    for (int64_t y = 0; y < w; y++)
        for (int64_t x = 0; x < w; x++) {
            const int64_t r = top + y, c = left + x;
            const bool inside = r >= 0 && r < g->H && c >= 0 && c < g->W;
            const double *k = kv + (r * g->W + c) * g->h * (g->dk + g->dv);
            double logit = 0.0;
            for (int64_t d = 0; d < g->dk; d++) {
                if (inside) logit += q[d] * k[d] / sqrt((double)g->dk);
                logit += q[d] * (height[(y - i % bq + w - 1) * g->dk + d] +
                                 width[(x - j % bq + w - 1) * g->dk + d]);
            }
            sum += exp(logit);
            for (int64_t d = 0; inside && d < g->dv; d++) out[d] += exp(logit) * k[g->dk + d];
        }
    for (int64_t d = 0; d < g->dv; d++) out[d] /= sum;
}

static void oracle(const halo *g, int64_t samples, double *const in[], double *y) {
    const int64_t Hq = g->H / g->s, Wq = g->W / g->s, d = g->dk + g->dv;

    for (int64_t b = 0; b < samples; b++)
        for (int64_t i = 0; i < Hq; i++)
            for (int64_t j = 0; j < Wq; j++)
                for (int64_t head = 0; head < g->h; head++) {
                    const int64_t query = ((b * Hq + i) * Wq + j) * g->h + head;
                    attend(g, in[0] + query * g->dk, in[1] + (b * g->H * g->W * g->h + head) * d,
                           in[2], in[3], i, j, y + query * g->dv);
                }
}

#define VARIANT(name)                                                            \
    static fv_var *build_##name(fv_var *const in[]) { return build(&name, in); } \
    static void oracle_##name(int64_t samples, double *const in[], double *y) {  \
        oracle(&name, samples, in, y);                                           \
    }

VARIANT(plain)
VARIANT(strided)
VARIANT(bare)
VARIANT(whole)
VARIANT(wide)

static fv_var *build_gather(fv_var *const in[]) { return fv_halo_gather(in[0], 2, 1, 2, 1, 2); }
static fv_var *build_far(fv_var *const in[]) { return fv_halo_gather(in[0], 2, 3, 1, 0, 2); }
static fv_var *build_no_heads(fv_var *const in[]) { return fv_halo_gather(in[0], 2, 1, 0, 0, 1); }
static fv_var *build_rel(fv_var *const in[]) { return fv_rel_logits(in[0], in[1], in[2], 2, 4); }

/* x [B,4,6,heads S] */
static void gather(int64_t samples, int64_t a, int64_t heads, int64_t S, int64_t first,
                   int64_t count, const double *x, double *y) {
    const int64_t H = 4, W = 6, b = 2, w = b + 2 * a;

    for (int64_t s = 0; s < samples; s++)
        for (int64_t head = 0; head < heads; head++)
            for (int64_t block = 0; block < 6; block++)
                for (int64_t i = 0; i < w * w; i++, y += count) {
                    const int64_t r = block / 3 * b - a + i / w, c = block % 3 * b - a + i % w;
                    const bool inside = r >= 0 && r < H && c >= 0 && c < W;
                    for (int64_t k = 0; k < count; k++)
                        y[k] = inside ? x[((s * H + r) * W + c) * heads * S + head * S + first + k]
                                      : 0.0;
                }
}

static void oracle_gather(int64_t samples, double *const in[], double *y) {
    gather(samples, 1, 2, 4, 1, 2, in[0], y);
}

static void oracle_far(int64_t samples, double *const in[], double *y) {
    gather(samples, 3, 1, 2, 0, 2, in[0], y);
}

/* q [B,2,3,4,5], window 4 */
static void oracle_rel(int64_t samples, double *const in[], double *y) {
    for (int64_t row = 0; row < samples * 2 * 3 * 4; row++)
        for (int64_t key = 0; key < 16; key++, y++) {
            const int64_t h = key / 4 - row % 4 / 2 + 3, v = key % 4 - row % 2 + 3;
            *y = 0.0;
            for (int64_t d = 0; d < 5; d++)
                *y += in[0][row * 5 + d] * (in[1][h * 5 + d] + in[2][v * 5 + d]);
        }
}

const op_case op_cases_halo[] = {
    {.op = "attention_halo",
     .variant = "two heads, rectangular map",
     .n_in = 4,
     .in = {{OP_X, 4, {0, 4, 6, 6}, true},
            {OP_X, 4, {0, 4, 6, 12}, true},
            {OP_PARAM, 2, {7, 3}, true},
            {OP_PARAM, 2, {7, 3}, true}},
     .build = build_plain,
     .oracle = oracle_plain,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 4, {0, 5, 6, 6}},
                     {OP_X, 4, {0, 5, 6, 12}},
                     {OP_PARAM, 2, {7, 3}},
                     {OP_PARAM, 2, {7, 3}}},
              .says = "attention_halo: 5x6 map, block 2, halo 1"},
             {.in = {{OP_X, 4, {0, 4, 6, 6}},
                     {OP_X, 4, {0, 4, 6, 6}},
                     {OP_PARAM, 2, {7, 3}},
                     {OP_PARAM, 2, {7, 3}}},
              .says = "attention_halo: 5x4x6x6 and 5x4x6x6 are not maps of 2 heads"},
             {.in = {{OP_X, 4, {0, 2, 6, 6}},
                     {OP_X, 4, {0, 4, 6, 12}},
                     {OP_PARAM, 2, {7, 3}},
                     {OP_PARAM, 2, {7, 3}}},
              .says = "queries 5x2x6x6 do not fit keys 5x4x6x12, block 2, stride 1"},
             {.in = {{OP_X, 4, {0, 4, 6, 6}, true},
                     {OP_X, 4, {0, 4, 6, 12}},
                     {OP_PARAM, 2, {7, 3}},
                     {OP_PARAM, 2, {7, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "attention_halo: queries are BF16, keys F32"}}},
    {.op = "attention_halo",
     .variant = "stride 2, narrow keys",
     .n_in = 4,
     .in = {{OP_X, 4, {0, 2, 4, 6}, true},
            {OP_X, 4, {0, 4, 8, 16}, true},
            {OP_PARAM, 2, {11, 3}, true},
            {OP_PARAM, 2, {11, 3}, true}},
     .build = build_strided,
     .oracle = oracle_strided,
     .bf16 = 3e-2f,
     .composed = true,
     .bad = {{.in = {{OP_X, 4, {0, 2, 4, 6}},
                     {OP_X, 4, {0, 4, 8, 16}},
                     {OP_PARAM, 2, {11, 3}},
                     {OP_PARAM, 2, {9, 3}}},
              .says = "table 9x3 does not fit a window of 6 and queries of 3"},
             {.in = {{OP_X, 4, {0, 2, 4, 6}},
                     {OP_X, 4, {0, 4, 8, 16}},
                     {OP_PARAM, 2, {11, 5}},
                     {OP_PARAM, 2, {11, 3}}},
              .says = "table 11x5 does not fit a window of 6 and queries of 3"}}},
    {.op = "attention_halo",
     .variant = "no halo",
     .n_in = 4,
     .in = {{OP_X, 4, {0, 4, 6, 8}, true},
            {OP_X, 4, {0, 4, 6, 12}, true},
            {OP_PARAM, 2, {3, 4}, true},
            {OP_PARAM, 2, {3, 4}, true}},
     .build = build_bare,
     .oracle = oracle_bare,
     .bf16 = 3e-2f,
     .composed = true},
    {.op = "attention_halo",
     .variant = "the map is one block",
     .n_in = 4,
     .in = {{OP_X, 4, {0, 3, 3, 4}, true},
            {OP_X, 4, {0, 3, 3, 8}, true},
            {OP_PARAM, 2, {13, 4}, true},
            {OP_PARAM, 2, {13, 4}, true}},
     .build = build_whole,
     .oracle = oracle_whole,
     .bf16 = 3e-2f,
     .composed = true},
    {.op = "attention_halo",
     .variant = "wide head",
     .n_in = 4,
     .in = {{OP_X, 4, {0, 8, 8, 16}, true},
            {OP_X, 4, {0, 8, 8, 32}, true},
            {OP_PARAM, 2, {15, 16}, true},
            {OP_PARAM, 2, {15, 16}, true}},
     .build = build_wide,
     .oracle = oracle_wide,
     .bf16 = 3e-2f,
     .composed = true},
    {.op = "halo_gather",
     .variant = "part of two heads",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 4, 6, 8}, true}},
     .build = build_gather,
     .oracle = oracle_gather,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 4, {0, 4, 5, 8}}}, .says = "halo_gather: 4x5 map, block 2, halo 1"},
             {.in = {{OP_X, 4, {0, 4, 6, 7}}},
              .says = "halo_gather: 5x4x6x7 is not [B,H,W,C] with C a multiple of 2 heads"},
             {.in = {{OP_X, 4, {0, 4, 6, 4}}}, .says = "halo_gather: no channels 1..2 in 5x4x6x4"},
             {.in = {{OP_X, 4, {0, 4, 6, 8}}},
              .build = build_no_heads,
              .says = "is not [B,H,W,C] with C a multiple of 0 heads"}}},
    {.op = "halo_gather",
     .variant = "halo beyond the neighbours",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 4, 6, 2}, true}},
     .build = build_far,
     .oracle = oracle_far,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 4, 8}}}, .says = "halo_gather: 5x4x8 is not [B,H,W,C]"}}},
    {.op = "rel_logits",
     .variant = "",
     .n_in = 3,
     .in = {{OP_X, 5, {0, 2, 3, 4, 5}}, {OP_PARAM, 2, {7, 5}}, {OP_PARAM, 2, {7, 5}}},
     .build = build_rel,
     .oracle = oracle_rel,
     .bad = {{.in = {{OP_X, 5, {0, 2, 3, 9, 5}}, {OP_PARAM, 2, {7, 5}}, {OP_PARAM, 2, {7, 5}}},
              .says = "rel_logits: 5x2x3x9x5 are not queries of 2 x 2, window 4"},
             {.in = {{OP_X, 5, {0, 2, 3, 4, 5}}, {OP_PARAM, 2, {7, 5}}, {OP_PARAM, 2, {7, 4}}},
              .says = "rel_logits: table 7x4 does not fit queries 5x2x3x4x5, window 4"},
             {.in = {{OP_X, 5, {0, 2, 3, 4, 5}}, {OP_PARAM, 2, {5, 5}}, {OP_PARAM, 2, {7, 5}}},
              .says = "rel_logits: table 5x5 does not fit"},
             {.in = {{OP_X, 5, {0, 2, 3, 4, 5}, true},
                     {OP_PARAM, 2, {7, 5}},
                     {OP_PARAM, 2, {7, 5}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "rel_logits: input is BF16"}}},
    {0}};
