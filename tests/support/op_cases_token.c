/* Cases of the ops that move tokens, heads and patches. */
#include "tests/support/op_case.h"

static fv_var *build_patchify(fv_var *const in[]) { return fv_patchify(in[0], 2); }
static fv_var *build_patchify_0(fv_var *const in[]) { return fv_patchify(in[0], 0); }
static fv_var *build_prepend(fv_var *const in[]) { return fv_prepend_token(in[0], in[1]); }
static fv_var *build_pos(fv_var *const in[]) { return fv_add_pos(in[0], in[1]); }
static fv_var *build_select(fv_var *const in[]) { return fv_select_token(in[0], 2); }
static fv_var *build_select_9(fv_var *const in[]) { return fv_select_token(in[0], 9); }
static fv_var *build_slice(fv_var *const in[]) { return fv_slice_tokens(in[0], 1, 2); }
static fv_var *build_slice_all(fv_var *const in[]) { return fv_slice_tokens(in[0], 0, 3); }
static fv_var *build_slice_past(fv_var *const in[]) { return fv_slice_tokens(in[0], 2, 2); }
static fv_var *build_slice_none(fv_var *const in[]) { return fv_slice_tokens(in[0], 2, 0); }
static fv_var *build_join(fv_var *const in[]) { return fv_join_prefix(in[0], in[1]); }
static fv_var *build_join_channels(fv_var *const in[]) { return fv_join_channels(in[0], in[1]); }
static fv_var *build_part(fv_var *const in[]) { return fv_slice_channels(in[0], 1, 3); }
static fv_var *build_part_past(fv_var *const in[]) { return fv_slice_channels(in[0], 3, 3); }
static fv_var *build_part_none(fv_var *const in[]) { return fv_slice_channels(in[0], 1, 0); }
static fv_var *build_split(fv_var *const in[]) { return fv_heads_split(in[0], 2, 1, 3); }
static fv_var *build_split_all(fv_var *const in[]) { return fv_heads_split(in[0], 3, 0, 1); }
static fv_var *build_split_3(fv_var *const in[]) { return fv_heads_split(in[0], 2, 3, 3); }
static fv_var *build_merge(fv_var *const in[]) { return fv_heads_merge(in[0]); }

/* x [B,4,6,3], P = 2: element (c, i, j) of patch (p, q) is pixel (2p + i, 2q + j), channel c. */
static void oracle_patchify(int64_t samples, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++)
        for (int64_t row = 0; row < 4; row++)
            for (int64_t col = 0; col < 6; col++)
                for (int64_t c = 0; c < 3; c++) {
                    const int64_t patch = row / 2 * 3 + col / 2;
                    const int64_t element = (c * 2 + row % 2) * 2 + col % 2;
                    y[(b * 6 + patch) * 12 + element] = in[0][((b * 4 + row) * 6 + col) * 3 + c];
                }
}

static void oracle_prepend(int64_t samples, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++)
        for (int64_t n = 0; n < 4; n++)
            for (int64_t c = 0; c < 5; c++)
                y[(b * 4 + n) * 5 + c] = n ? in[0][(b * 3 + n - 1) * 5 + c] : in[1][c];
}

static void oracle_pos(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 15; i++) y[i] = in[0][i] + in[1][i % 15];
}

static void oracle_slice(int64_t samples, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++)
        for (int64_t i = 0; i < 2 * 5; i++) y[b * 2 * 5 + i] = in[0][b * 3 * 5 + 5 + i];
}

static void oracle_slice_all(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 3 * 5; i++) y[i] = in[0][i];
}

/* prefix [B,2,5], x [B,w,3,5] -> [B,w,5,5] */
static void join(int64_t samples, int64_t windows, double *const in[], double *y) {
    for (int64_t b = 0; b < samples * windows; b++)
        for (int64_t i = 0; i < 25; i++)
            y[b * 25 + i] = i < 10 ? in[0][b / windows * 10 + i] : in[1][b * 15 + i - 10];
}

/* a [B,3,2], b [B,3,4] */
static void oracle_join_channels(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 3 * 6; i++)
        y[i] = i % 6 < 2 ? in[0][i / 6 * 2 + i % 6] : in[1][i / 6 * 4 + i % 6 - 2];
}

/* x [B,3,5] */
static void oracle_part(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 3 * 3; i++) y[i] = in[0][i / 3 * 5 + 1 + i % 3];
}

static void oracle_join(int64_t samples, double *const in[], double *y) { join(samples, 1, in, y); }

static void oracle_join_windows(int64_t samples, double *const in[], double *y) {
    join(samples, 4, in, y);
}

static void oracle_slice_windows(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 4 * 10; i++) y[i] = in[0][i / 10 * 15 + 5 + i % 10];
}

static void oracle_select(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 5; i++) y[i] = in[0][(i / 5 * 3 + 2) * 5 + i % 5];
}

/* y [B,h,N,d] from part `index` of x [B,N,S h d] */
static void split(int64_t samples, int64_t N, int64_t h, int64_t d, int64_t index, int64_t parts,
                  const double *x, double *y) {
    for (int64_t b = 0; b < samples; b++)
        for (int64_t n = 0; n < N; n++)
            for (int64_t a = 0; a < h; a++)
                for (int64_t c = 0; c < d; c++)
                    y[((b * h + a) * N + n) * d + c] =
                        x[((b * N + n) * parts + index) * h * d + a * d + c];
}

static void oracle_split(int64_t samples, double *const in[], double *y) {
    split(samples, 4, 2, 3, 1, 3, in[0], y);
}

static void oracle_split_all(int64_t samples, double *const in[], double *y) {
    split(samples, 4, 3, 2, 0, 1, in[0], y);
}

static void oracle_split_windows(int64_t samples, double *const in[], double *y) {
    split(3 * samples, 4, 2, 3, 1, 3, in[0], y);
}

static void merge(int64_t windows, double *const in[], double *y) {
    for (int64_t b = 0; b < windows; b++)
        for (int64_t a = 0; a < 2; a++)
            for (int64_t n = 0; n < 4; n++)
                for (int64_t c = 0; c < 3; c++)
                    y[(b * 4 + n) * 6 + a * 3 + c] = in[0][((b * 2 + a) * 4 + n) * 3 + c];
}

static void oracle_merge(int64_t samples, double *const in[], double *y) { merge(samples, in, y); }

static void oracle_merge_windows(int64_t samples, double *const in[], double *y) {
    merge(3 * samples, in, y);
}

const op_case op_cases_token[] = {
    {.op = "patchify",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 4, 6, 3}, false}},
     .build = build_patchify,
     .oracle = oracle_patchify,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 4, 6}}}, .says = "patchify: input 5x4x6 is not [B,H,W,C]"},
             {.in = {{OP_X, 4, {0, 4, 5, 3}}},
              .says = "patchify: 5x4x5x3 does not divide into patches of 2"},
             {.in = {{OP_X, 4, {0, 4, 6, 3}}},
              .build = build_patchify_0,
              .says = "patchify: 5x4x6x3 does not divide into patches of 0"}}},
    {.op = "prepend_token",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, true}, {OP_PARAM, 3, {1, 1, 5}, false}},
     .build = build_prepend,
     .oracle = oracle_prepend,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 2, {0, 5}}, {OP_PARAM, 3, {1, 1, 5}}},
              .says = "prepend_token: input 5x5 is not [B,N,C]"},
             {.in = {{OP_X, 3, {0, 3, 5}}, {OP_PARAM, 3, {1, 2, 5}}},
              .says = "prepend_token: token 1x2x5 does not fit input 5x3x5"}}},
    {.op = "add_pos",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 5}, true}, {OP_PARAM, 3, {1, 3, 5}, false}},
     .build = build_pos,
     .oracle = oracle_pos,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 2, {0, 5}}, {OP_PARAM, 3, {1, 3, 5}}},
              .says = "add_pos: input 5x5 is not [B,N,C]"},
             {.in = {{OP_X, 3, {0, 3, 5}}, {OP_PARAM, 3, {1, 4, 5}}},
              .says = "add_pos: pos 1x4x5 does not fit input 5x3x5"}}},
    {.op = "select_token",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 5}, true}},
     .build = build_select,
     .oracle = oracle_select,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 2, {0, 5}}}, .says = "select_token: input 5x5 is not [B,N,C]"},
             {.in = {{OP_X, 3, {0, 3, 5}}},
              .build = build_select_9,
              .says = "select_token: no token 9 in 5x3x5"}}},
    {.op = "slice_tokens",
     .variant = "two of three",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 5}, true}},
     .build = build_slice,
     .oracle = oracle_slice,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 2, {0, 5}}}, .says = "slice_tokens: input 5x5 is not [B,N,C]"},
             {.in = {{OP_X, 3, {0, 3, 5}}},
              .build = build_slice_past,
              .says = "slice_tokens: no 2 tokens from 2 on in 5x3x5"},
             {.in = {{OP_X, 3, {0, 3, 5}}},
              .build = build_slice_none,
              .says = "slice_tokens: no 0 tokens from 2 on in 5x3x5"}}},
    {.op = "slice_tokens",
     .variant = "the whole",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 5}, true}},
     .build = build_slice_all,
     .oracle = oracle_slice_all,
     .bf16 = 1e-2f},
    {.op = "slice_tokens",
     .variant = "of windows",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 4, 3, 5}, true}},
     .build = build_slice,
     .oracle = oracle_slice_windows,
     .bf16 = 1e-2f},
    {.op = "join_prefix",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 2, 5}, true}, {OP_X, 3, {0, 3, 5}, true}},
     .build = build_join,
     .oracle = oracle_join,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 2, 5}}, {OP_X, 3, {0, 3, 4}}},
              .says = "join_prefix: 5x2x5 and 5x3x4 are not [B,P,C] and [B,(nW,)N,C]"},
             {.in = {{OP_X, 3, {0, 2, 5}}, {OP_X, 3, {0, 3, 5}, true}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "join_prefix: prefix and tokens differ in type"}}},
    {.op = "join_prefix",
     .variant = "of windows",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 2, 5}, true}, {OP_X, 4, {0, 4, 3, 5}, true}},
     .build = build_join,
     .oracle = oracle_join_windows,
     .bf16 = 1e-2f},
    {.op = "join_channels",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 3, 2}, true}, {OP_X, 3, {0, 3, 4}, true}},
     .build = build_join_channels,
     .oracle = oracle_join_channels,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 3, 2}}, {OP_X, 3, {0, 2, 4}}},
              .says = "join_channels: 5x3x2 and 5x2x4 differ before the last axis"},
             {.in = {{OP_X, 3, {0, 3, 2}}, {OP_X, 2, {0, 4}}},
              .says = "join_channels: 5x3x2 and 5x4 differ before the last axis"},
             {.in = {{OP_X, 3, {0, 3, 2}, true}, {OP_X, 3, {0, 3, 4}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "join_channels: inputs differ in type"}}},
    {.op = "slice_channels",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 3, 5}, true}},
     .build = build_part,
     .oracle = oracle_part,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 3, 5}}},
              .build = build_part_past,
              .says = "slice_channels: no 3 channels from 3 on in 5x3x5"},
             {.in = {{OP_X, 3, {0, 3, 5}}},
              .build = build_part_none,
              .says = "slice_channels: no 0 channels from 1 on in 5x3x5"}}},
    {.op = "heads_split",
     .variant = "one of three",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 4, 18}, true}},
     .build = build_split,
     .oracle = oracle_split,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 4, 16}}},
              .says = "heads_split: 5x4x16 is not [B,N,C] or [B,nW,N,C] with C a multiple of 3"},
             {.in = {{OP_X, 3, {0, 4, 18}}},
              .build = build_split_3,
              .says = "heads_split: no part 3 of 3 with 2 heads"}}},
    {.op = "heads_split",
     .variant = "the whole",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 4, 6}, true}},
     .build = build_split_all,
     .oracle = oracle_split_all,
     .bf16 = 1e-2f},
    {.op = "heads_split",
     .variant = "in windows",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 3, 4, 18}, true}},
     .build = build_split,
     .oracle = oracle_split_windows,
     .bf16 = 1e-2f},
    {.op = "heads_merge",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 4, 3}, true}},
     .build = build_merge,
     .oracle = oracle_merge,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 4, 6}}}, .says = "heads_merge: 5x4x6 is not [B,h,N,d]"}}},
    {.op = "heads_merge",
     .variant = "in windows",
     .n_in = 1,
     .in = {{OP_X, 5, {0, 3, 2, 4, 3}, true}},
     .build = build_merge,
     .oracle = oracle_merge_windows,
     .bf16 = 1e-2f},
    {0}};
