/* Cases of the ops on maps [B,H,W,C] apart from products. */
#include "tests/support/op_case.h"

#include <math.h>

#define EPS 1e-5f

/* ---- activations ---- */

static fv_var *build_relu(fv_var *const in[]) { return fv_relu(in[0]); }
static fv_var *build_silu(fv_var *const in[]) { return fv_silu(in[0]); }
static fv_var *build_sigmoid(fv_var *const in[]) { return fv_sigmoid(in[0]); }

/* What follows an f32 sum and precedes a product. */
static fv_var *build_relu_out(fv_var *const in[]) {
    return fv_activation(in[0], FV_RELU, fv_product_dtype(in[0]->tape));
}

static void oracle_relu(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 24; i++) y[i] = fmax(in[0][i], 0.0);
}

static double logistic(double v) { return 1.0 / (1.0 + exp(-v)); }

static void oracle_silu(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 24; i++) y[i] = in[0][i] * logistic(in[0][i]);
}

static void oracle_sigmoid(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 7; i++) y[i] = logistic(in[0][i]);
}

/* ---- batch norm ---- */

static float running[2][6] = {{0.3f, -0.2f, 0.0f, 1.1f, -0.7f, 0.4f},
                              {0.5f, 1.5f, 1.0f, 0.2f, 2.0f, 0.8f}};
static fv_param running_mean = {.numel = 6, .value = running[0]};
static fv_param running_var = {.numel = 6, .value = running[1]};

static fv_var *build_batchnorm(fv_var *const in[]) {
    const fv_batchnorm_stats stats = {&running_mean, &running_var, NULL, EPS, 0.1f};
    return fv_batchnorm(in[0], in[1], in[2], &stats, in[0]->dtype);
}

static fv_var *build_batchnorm_f32(fv_var *const in[]) {
    const fv_batchnorm_stats stats = {&running_mean, &running_var, NULL, EPS, 0.1f};
    return fv_batchnorm(in[0], in[1], in[2], &stats, FV_F32);
}

static fv_var *build_batchnorm_relu(fv_var *const in[]) {
    const fv_batchnorm_stats stats = {&running_mean, &running_var, NULL, EPS, 0.1f};
    return fv_batchnorm_relu(in[0], in[1], in[2], &stats, in[0]->dtype);
}

static void normalise(int64_t rows, double mean, double var, int c, double *const in[], double *y) {
    for (int64_t r = 0; r < rows; r++)
        y[r * 6 + c] = in[1][c] * (in[0][r * 6 + c] - mean) / sqrt(var + (double)EPS) + in[2][c];
}

static void batchnorm(int64_t rows, double *const in[], double *y) {
    for (int c = 0; c < 6; c++) {
        double mean = 0.0, var = 0.0;
        for (int64_t r = 0; r < rows; r++) mean += in[0][r * 6 + c] / (double)rows;
        for (int64_t r = 0; r < rows; r++) {
            const double d = in[0][r * 6 + c] - mean;
            var += d * d / (double)rows;
        }
        normalise(rows, mean, var, c, in, y);
    }
}

static void oracle_batchnorm(int64_t samples, double *const in[], double *y) {
    batchnorm(samples * 12, in, y);
}

static void oracle_batchnorm_blocks(int64_t samples, double *const in[], double *y) {
    batchnorm(samples * 70, in, y);
}

static void oracle_batchnorm_running(int64_t samples, double *const in[], double *y) {
    for (int c = 0; c < 6; c++)
        normalise(samples * 12, (double)running[0][c], (double)running[1][c], c, in, y);
}

static void rectify(int64_t n, double *y) {
    for (int64_t i = 0; i < n; i++) y[i] = fmax(0.0, y[i]);
}

static void oracle_batchnorm_relu(int64_t samples, double *const in[], double *y) {
    oracle_batchnorm(samples, in, y);
    rectify(samples * 12 * 6, y);
}

static void oracle_batchnorm_running_relu(int64_t samples, double *const in[], double *y) {
    oracle_batchnorm_running(samples, in, y);
    rectify(samples * 12 * 6, y);
}

/* ---- pooling ---- */

static fv_var *build_max(fv_var *const in[]) { return fv_max_pool(in[0], 3, 2, 1); }
static fv_var *build_max_plain(fv_var *const in[]) { return fv_max_pool(in[0], 2, 3, 0); }
static fv_var *build_max_padded(fv_var *const in[]) { return fv_max_pool(in[0], 3, 1, 2); }
static fv_var *build_avg(fv_var *const in[]) { return fv_avg_pool(in[0], 2, 2); }
static fv_var *build_avg_overlap(fv_var *const in[]) { return fv_avg_pool(in[0], 3, 1); }
static fv_var *build_avg_17(fv_var *const in[]) { return fv_avg_pool(in[0], 17, 1); }

static fv_var *build_mean(fv_var *const in[]) { return fv_mean_tokens(in[0], 0, FV_F32); }
static fv_var *build_mean_prefix(fv_var *const in[]) {
    return fv_mean_tokens(in[0], 2, in[0]->dtype);
}
static fv_var *build_mean_none(fv_var *const in[]) { return fv_mean_tokens(in[0], 70, FV_F32); }

static void pool(int64_t samples, int H, int W, int C, int k, int stride, int pad, bool max,
                 const double *x, double *y) {
    const int Ho = (H + 2 * pad - k) / stride + 1, Wo = (W + 2 * pad - k) / stride + 1;

    for (int64_t i = 0; i < samples * Ho * Wo * C; i++) {
        const int64_t c = i % C, ow = i / C % Wo, oh = i / C / Wo % Ho, b = i / C / Wo / Ho;
        double best = -INFINITY, sum = 0.0;
        for (int64_t h = oh * stride - pad; h < oh * stride - pad + k; h++)
            for (int64_t w = ow * stride - pad; w < ow * stride - pad + k; w++) {
                if (h < 0 || h >= H || w < 0 || w >= W) continue;
                const double v = x[((b * H + h) * W + w) * C + c];
                best = fmax(best, v);
                sum += v / (k * k);
            }
        y[i] = max ? best : sum;
    }
}

static void oracle_max(int64_t samples, double *const in[], double *y) {
    pool(samples, 6, 5, 3, 3, 2, 1, true, in[0], y);
}

static void oracle_max_plain(int64_t samples, double *const in[], double *y) {
    pool(samples, 6, 5, 3, 2, 3, 0, true, in[0], y);
}

static void oracle_avg(int64_t samples, double *const in[], double *y) {
    pool(samples, 6, 5, 3, 2, 2, 0, false, in[0], y);
}

static void oracle_avg_overlap(int64_t samples, double *const in[], double *y) {
    pool(samples, 6, 5, 3, 3, 1, 0, false, in[0], y);
}

static void mean(int64_t samples, int N, int C, int skip, const double *x, double *y) {
    for (int64_t i = 0; i < samples * C; i++) {
        y[i] = 0.0;
        for (int64_t n = skip; n < N; n++) y[i] += x[(i / C * N + n) * C + i % C] / (N - skip);
    }
}

static void oracle_mean(int64_t samples, double *const in[], double *y) {
    mean(samples, 70, 4, 0, in[0], y);
}

static void oracle_mean_prefix(int64_t samples, double *const in[], double *y) {
    mean(samples, 7, 5, 2, in[0], y);
}

/* ---- windows: a map of 5 x 7 pixels and 2 channels, in windows of 2 x 3 ---- */

static fv_var *build_partition(fv_var *const in[]) { return fv_window_partition(in[0], 2, 3); }
static fv_var *build_partition_0(fv_var *const in[]) { return fv_window_partition(in[0], 2, 0); }
static fv_var *build_merge(fv_var *const in[]) { return fv_window_merge(in[0], 2, 3, 5, 7); }
static fv_var *build_merge_0(fv_var *const in[]) { return fv_window_merge(in[0], 2, 3, 0, 7); }
static fv_var *build_pad(fv_var *const in[]) { return fv_pad_map(in[0], 4, 2); }
static fv_var *build_pad_0(fv_var *const in[]) { return fv_pad_map(in[0], 0, 2); }
static fv_var *build_crop(fv_var *const in[]) { return fv_crop_map(in[0], 4, 3); }
static fv_var *build_crop_9(fv_var *const in[]) { return fv_crop_map(in[0], 4, 9); }

/* The packed element of pixel (h, w), channel c, of the map continued to 6 x 9. */
static int64_t packed(int64_t b, int64_t h, int64_t w, int64_t c) {
    const int64_t window = h / 2 * 3 + w / 3, pixel = h % 2 * 3 + w % 3;
    return ((b * 9 + window) * 6 + pixel) * 2 + c;
}

static void oracle_partition(int64_t samples, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++)
        for (int64_t h = 0; h < 6; h++)
            for (int64_t w = 0; w < 9; w++)
                for (int64_t c = 0; c < 2; c++)
                    y[packed(b, h, w, c)] =
                        h < 5 && w < 7 ? in[0][((b * 5 + h) * 7 + w) * 2 + c] : 0.0;
}

static void oracle_merge(int64_t samples, double *const in[], double *y) {
    for (int64_t b = 0; b < samples; b++)
        for (int64_t h = 0; h < 5; h++)
            for (int64_t w = 0; w < 7; w++)
                for (int64_t c = 0; c < 2; c++)
                    y[((b * 5 + h) * 7 + w) * 2 + c] = in[0][packed(b, h, w, c)];
}

static void oracle_pad(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 8 * 8 * 2; i++) {
        const int64_t w = i / 2 % 8, h = i / 16 % 8, b = i / 128;
        y[i] = h < 5 && w < 7 ? in[0][((b * 5 + h) * 7 + w) * 2 + i % 2] : 0.0;
    }
}

static void oracle_crop(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 4 * 3 * 2; i++) {
        const int64_t w = i / 2 % 3, h = i / 6 % 4, b = i / 24;
        y[i] = in[0][((b * 5 + h) * 7 + w) * 2 + i % 2];
    }
}

/* ---- factors ---- */

static fv_var *build_channel_scale(fv_var *const in[]) { return fv_channel_scale(in[0], in[1]); }
static fv_var *build_gate(fv_var *const in[]) { return fv_gate(in[0], in[1]); }

static void oracle_channel_scale(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 70 * 4; i++) y[i] = in[0][i] * in[1][i % 4];
}

static void oracle_gate(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 70 * 4; i++) y[i] = in[0][i] * in[1][i / 280 * 4 + i % 4];
}

/* ---- reshape ---- */

static fv_var *build_tokens(fv_var *const in[]) { return fv_map_to_tokens(in[0]); }
static fv_var *build_map(fv_var *const in[]) { return fv_tokens_to_map(in[0], 3, 2); }
static fv_var *build_map_7(fv_var *const in[]) { return fv_tokens_to_map(in[0], 7, 2); }
static fv_var *build_scalar(fv_var *const in[]) { return fv_reshape(in[0], (fv_shape){0}); }

static void oracle_reshape(int64_t samples, double *const in[], double *y) {
    for (int64_t i = 0; i < samples * 24; i++) y[i] = in[0][i];
}

const op_case op_cases_map[] = {
    {.op = "relu",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 3, 4}, true}},
     .build = build_relu,
     .oracle = oracle_relu,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_LABELS, 1, {0, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "relu: input is I32"}}},
    {.op = "relu",
     .variant = "from f32 to a product",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 3, 4}, false}},
     .build = build_relu_out,
     .oracle = oracle_relu,
     .bf16 = 1e-2f},
    {.op = "silu",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 3, 4}, true}},
     .build = build_silu,
     .oracle = oracle_silu,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_LABELS, 1, {0, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "silu: input is I32"}}},
    {.op = "sigmoid",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 2, {0, 7}, true}},
     .build = build_sigmoid,
     .oracle = oracle_sigmoid,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_LABELS, 1, {0, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "sigmoid: input is I32"}}},
    {.op = "batchnorm",
     .variant = "",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 3, 4, 6}, true}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {6}}},
     .build = build_batchnorm,
     .oracle = oracle_batchnorm,
     .bf16 = 2e-2f,
     .train_only = true,
     .whole_batch = true,
     .bad = {{.in = {{OP_X, 1, {0}}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {6}}},
              .says = "batchnorm: input 5 is not [B,...,C]"},
             {.in = {{OP_X, 2, {0, 6}}, {OP_PARAM, 1, {5}}, {OP_PARAM, 1, {6}}},
              .says = "batchnorm: gamma has 5 values, input is 5x6"},
             {.in = {{OP_X, 2, {0, 7}}, {OP_PARAM, 1, {7}}, {OP_PARAM, 1, {7}}},
              .says = "batchnorm: running mean has 6 values, input is 5x7"},
             {.in = {{OP_PARAM, 2, {1, 6}}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {6}}},
              .says = "batchnorm: one value per channel in 1x6 has no variance"}}},
    {.op = "batchnorm",
     .variant = "several blocks of rows, f32 output",
     .n_in = 3,
     .in = {{OP_X, 3, {0, 70, 6}, true}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {6}}},
     .build = build_batchnorm_f32,
     .oracle = oracle_batchnorm_blocks,
     .bf16 = 2e-2f,
     .train_only = true,
     .whole_batch = true},
    {.op = "batchnorm_relu",
     .variant = "",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 3, 4, 6}, true}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {6}}},
     .build = build_batchnorm_relu,
     .oracle = oracle_batchnorm_relu,
     .bf16 = 2e-2f,
     .train_only = true,
     .whole_batch = true,
     .bad = {{.in = {{OP_X, 2, {0, 6}}, {OP_PARAM, 1, {5}}, {OP_PARAM, 1, {6}}},
              .says = "batchnorm_relu: gamma has 5 values, input is 5x6"}}},
    {.op = "batchnorm_running_relu",
     .variant = "",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 3, 4, 6}, true}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {6}}},
     .build = build_batchnorm_relu,
     .oracle = oracle_batchnorm_running_relu,
     .bf16 = 1e-2f,
     .running_stats = true,
     .composed = true,
     .bad = {{.in = {{OP_X, 2, {0, 6}}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {3}}},
              .says = "batchnorm_running_relu: beta has 3 values, input is 5x6"}}},
    {.op = "batchnorm_running",
     .variant = "",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 3, 4, 6}, true}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {6}}},
     .build = build_batchnorm,
     .oracle = oracle_batchnorm_running,
     .bf16 = 1e-2f,
     .running_stats = true,
     .bad = {{.in = {{OP_X, 2, {0, 6}}, {OP_PARAM, 1, {6}}, {OP_PARAM, 1, {3}}},
              .says = "batchnorm_running: beta has 3 values, input is 5x6"}}},
    {.op = "max_pool",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 6, 5, 3}, true}},
     .build = build_max,
     .oracle = oracle_max,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 6, 5}}}, .says = "max_pool: input 5x6x5 is not [B,H,W,C]"},
             {.in = {{OP_X, 4, {0, 6, 5, 3}}},
              .build = build_max_padded,
              .says = "max_pool: no windows of 3, stride 1, padding 2"},
             {.in = {{OP_X, 4, {0, 6, 1, 3}}},
              .build = build_max_plain,
              .says = "max_pool: 5x6x1x3 is smaller than a window of 2"}}},
    {.op = "max_pool",
     .variant = "gaps between the windows",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 6, 5, 3}, true}},
     .build = build_max_plain,
     .oracle = oracle_max_plain,
     .bf16 = 1e-2f},
    {.op = "avg_pool",
     .variant = "a column left over",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 6, 5, 3}, true}},
     .build = build_avg,
     .oracle = oracle_avg,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 4, {0, 20, 20, 3}}},
              .build = build_avg_17,
              .says = "avg_pool: no windows of 17, stride 1, padding 0"}}},
    {.op = "avg_pool",
     .variant = "overlapping",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 6, 5, 3}, true}},
     .build = build_avg_overlap,
     .oracle = oracle_avg_overlap,
     .bf16 = 1e-2f},
    {.op = "mean_tokens",
     .variant = "a map, several blocks",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 7, 10, 4}, true}},
     .build = build_mean,
     .oracle = oracle_mean,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 2, {0, 6}}}, .says = "mean_tokens: input 5x6 is not [B,...,C]"},
             {.in = {{OP_X, 3, {0, 70, 4}}},
              .build = build_mean_none,
              .says = "mean_tokens: nothing left of 5x70x4 without the first 70"}}},
    {.op = "mean_tokens",
     .variant = "tokens behind a prefix",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 7, 5}, true}},
     .build = build_mean_prefix,
     .oracle = oracle_mean_prefix,
     .bf16 = 1e-2f},
    {.op = "window_partition",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 5, 7, 2}, true}},
     .build = build_partition,
     .oracle = oracle_partition,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 6, 5}}},
              .says = "window_partition: input 5x6x5 is not [B,H,W,C]"},
             {.in = {{OP_X, 4, {0, 5, 7, 2}}},
              .build = build_partition_0,
              .says = "window_partition: input 5x5x7x2 cannot be cut"}}},
    {.op = "window_merge",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 9, 6, 2}, true}},
     .build = build_merge,
     .oracle = oracle_merge,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 3, {0, 9, 12}}},
              .says = "window_merge: input 5x9x12 is not [B,nW,hw,C]"},
             {.in = {{OP_X, 4, {0, 8, 6, 2}}},
              .says = "window_merge: input 5x8x6x2 does not fit the map (windows 2x3, map 5x7)"},
             {.in = {{OP_X, 4, {0, 9, 6, 2}}},
              .build = build_merge_0,
              .says = "window_merge: input 5x9x6x2 makes no map"}}},
    {.op = "pad_map",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 5, 7, 2}, true}},
     .build = build_pad,
     .oracle = oracle_pad,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 4, {0, 5, 7, 2}}},
              .build = build_pad_0,
              .says = "pad_map: input 5x5x7x2 cannot be cut"}}},
    {.op = "crop_map",
     .variant = "",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 5, 7, 2}, true}},
     .build = build_crop,
     .oracle = oracle_crop,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 4, {0, 5, 7, 2}}},
              .build = build_crop_9,
              .says = "crop_map: input 5x5x7x2 does not fit the map"}}},
    {.op = "channel_scale",
     .variant = "several blocks of rows",
     .n_in = 2,
     .in = {{OP_X, 3, {0, 70, 4}, true}, {OP_PARAM, 1, {4}}},
     .build = build_channel_scale,
     .oracle = oracle_channel_scale,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 1, {0}}, {OP_PARAM, 1, {5}}},
              .says = "channel_scale: input 5 is not [B,...,C]"},
             {.in = {{OP_X, 3, {0, 7, 4}}, {OP_PARAM, 1, {5}}},
              .says = "channel_scale: factors 5 do not fit input 5x7x4"}}},
    {.op = "gate",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 7, 10, 4}, true}, {OP_X, 2, {0, 4}, true}},
     .build = build_gate,
     .oracle = oracle_gate,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 4, {0, 7, 10, 4}}, {OP_X, 2, {0, 5}}},
              .says = "gate: factors 5x5 do not fit input 5x7x10x4"},
             {.in = {{OP_X, 4, {0, 7, 10, 4}}, {OP_X, 3, {0, 7, 4}}},
              .says = "gate: factors 5x7x4 do not fit input 5x7x10x4"}}},
    {.op = "gate",
     .variant = "[B,1,1,C], f32",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 7, 10, 4}, true}, {OP_X, 4, {0, 1, 1, 4}, false}},
     .build = build_gate,
     .oracle = oracle_gate,
     .bf16 = 1e-2f},
    {.op = "reshape",
     .variant = "map to tokens",
     .n_in = 1,
     .in = {{OP_X, 4, {0, 2, 3, 4}, true}},
     .build = build_tokens,
     .oracle = oracle_reshape,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 4, {0, 2, 3, 4}}},
              .build = build_map_7,
              .says = "reshape: 5x2x3x4 cannot be 5x7x2x4"},
             {.in = {{OP_X, 4, {0, 2, 3, 4}}},
              .build = build_scalar,
              .says = "reshape: 5x2x3x4 cannot be scalar"}}},
    {.op = "reshape",
     .variant = "tokens to map",
     .n_in = 1,
     .in = {{OP_X, 3, {0, 6, 4}, true}},
     .build = build_map,
     .oracle = oracle_reshape,
     .bf16 = 1e-2f},
    {0}};
