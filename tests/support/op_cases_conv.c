/* Cases of convolutions. */
#include "tests/support/op_case.h"

typedef struct geometry {
    int64_t H, W, C, O, kh, kw;
    fv_conv2d_args args;
} geometry;

/* y = sum over taps and the channels of the group, zeros outside of the map. */
static void convolve(const geometry *g, int64_t samples, double *const in[], double *y) {
    const int64_t stride = g->args.stride, padding = g->args.padding;
    const int64_t groups = g->args.groups ? g->args.groups : 1;
    const int64_t C = g->C / groups, O = g->O / groups;
    const int64_t Ho = (g->H + 2 * padding + g->args.extra_bottom - g->kh) / stride + 1;
    const int64_t Wo = (g->W + 2 * padding + g->args.extra_right - g->kw) / stride + 1;

    for (int64_t at = 0; at < samples * Ho * Wo * g->O; at++) {
        const int64_t o = at % g->O, j = at / g->O % Wo, i = at / g->O / Wo % Ho;
        const int64_t b = at / g->O / Wo / Ho;
        double sum = in[2] ? in[2][o] : 0.0;
        for (int64_t u = 0; u < g->kh; u++)
            for (int64_t v = 0; v < g->kw; v++) {
                const int64_t r = i * stride - padding + u, q = j * stride - padding + v;
                if (r < 0 || r >= g->H || q < 0 || q >= g->W) continue;
                for (int64_t c = 0; c < C; c++)
                    sum += in[0][((b * g->H + r) * g->W + q) * g->C + o / O * C + c] *
                           in[1][((o * C + c) * g->kh + u) * g->kw + v];
            }
        y[at] = sum;
    }
}

/* A geometry with its builder and oracle, which take no user data. */
#define GEOMETRY(name, with_bias, ...)                                                     \
    static const geometry name = {__VA_ARGS__};                                            \
    static fv_var *name##_build(fv_var *const in[]) {                                      \
        return fv_conv2d(in[0], in[1], with_bias ? in[2] : NULL, &name.args);              \
    }                                                                                      \
    static void name##_oracle(int64_t samples, double *const in[], double *y) {            \
        convolve(&name, samples, (double *[]){in[0], in[1], with_bias ? in[2] : NULL}, y); \
    }

GEOMETRY(same, true, 6, 5, 5, 7, 3, 3, {.stride = 1, .padding = 1})
GEOMETRY(strided, false, 9, 8, 16, 24, 3, 3, {.stride = 2, .padding = 1})
GEOMETRY(stem, true, 9, 10, 3, 8, 7, 7,
         {.stride = 4, .padding = 3, .extra_bottom = 3, .extra_right = 2})
GEOMETRY(depthwise, true, 7, 6, 20, 20, 5, 5, {.stride = 1, .padding = 2, .groups = 20})
GEOMETRY(grouped, false, 5, 5, 8, 12, 3, 3, {.stride = 1, .padding = 1, .groups = 2})
GEOMETRY(unread, true, 5, 7, 4, 6, 2, 2, {.stride = 2, .f32 = true})
GEOMETRY(blocks, true, 4, 3, 3, 130, 3, 3, {.stride = 1, .padding = 1})
GEOMETRY(shortcut, false, 6, 6, 8, 16, 1, 1, {.stride = 2})

static fv_var *defaults(fv_var *const in[]) {
    return fv_conv2d(in[0], in[1], in[2], &(fv_conv2d_args){0});
}
static fv_var *wide_padding(fv_var *const in[]) {
    return fv_conv2d(in[0], in[1], in[2], &(fv_conv2d_args){.padding = 3});
}
static fv_var *odd_groups(fv_var *const in[]) {
    return fv_conv2d(in[0], in[1], in[2], &(fv_conv2d_args){.groups = 2});
}

static fv_var *channel_build(fv_var *const in[]) { return fv_channel_conv(in[0], in[1]); }

/* x [samples,C], k taps */
static void channel_conv(int64_t samples, int64_t C, int64_t k, const double *x, const double *w,
                         double *y) {
    for (int64_t i = 0; i < samples * C; i++) {
        y[i] = 0.0;
        for (int64_t t = 0; t < k; t++) {
            const int64_t c = i % C + t - k / 2;
            if (c >= 0 && c < C) y[i] += w[t] * x[i / C * C + c];
        }
    }
}

static void channel_oracle(int64_t samples, double *const in[], double *y) {
    channel_conv(samples, 7, 3, in[0], in[1], y);
}

static void wide_oracle(int64_t samples, double *const in[], double *y) {
    channel_conv(samples, 2, 5, in[0], in[1], y);
}

#define BIAS(n) \
    { OP_PARAM, 1, {n}, false }

const op_case op_cases_conv[] = {
    {.op = "conv2d",
     .variant = "3x3",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 6, 5, 5}, true}, {OP_PARAM, 4, {7, 5, 3, 3}, true}, BIAS(7)},
     .build = same_build,
     .oracle = same_oracle,
     .bf16 = 1e-2f,
     .bad = {{.in = {{OP_X, 4, {0, 6, 5, 4}}, {OP_PARAM, 4, {7, 5, 3, 3}}, BIAS(7)},
              .says = "conv2d: input 5x6x5x4 does not fit weight 7x5x3x3, groups 1"},
             {.in = {{OP_X, 4, {0, 6, 5, 5}}, {OP_PARAM, 4, {7, 5, 3, 3}}, BIAS(5)},
              .says = "conv2d: bias 5 does not fit weight 7x5x3x3"},
             {.in = {{OP_X, 4, {0, 2, 5, 5}}, {OP_PARAM, 4, {7, 5, 3, 3}}, BIAS(7)},
              .build = defaults,
              .says = "conv2d: a map of 5x2x5x5 is too small for weight 7x5x3x3"},
             {.in = {{OP_X, 4, {0, 6, 5, 5}}, {OP_PARAM, 4, {7, 5, 3, 3}}, BIAS(7)},
              .build = wide_padding,
              .says = "conv2d: stride 1 and padding 3 with weight 7x5x3x3"},
             {.in = {{OP_X, 4, {0, 6, 5, 10}}, {OP_PARAM, 4, {7, 5, 3, 3}}, BIAS(7)},
              .build = odd_groups,
              .says = "conv2d: input 5x6x5x10 does not fit weight 7x5x3x3, groups 2"}}},
    {.op = "conv2d",
     .variant = "3x3, stride 2, no bias",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 9, 8, 16}, true}, {OP_PARAM, 4, {24, 16, 3, 3}, true}},
     .build = strided_build,
     .oracle = strided_oracle,
     .bf16 = 1e-2f},
    {.op = "conv2d",
     .variant = "7x7, stride 4, more padding below and right",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 9, 10, 3}, true}, {OP_PARAM, 4, {8, 3, 7, 7}, true}, BIAS(8)},
     .build = stem_build,
     .oracle = stem_oracle},
    {.op = "conv2d",
     .variant = "depthwise 5x5",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 7, 6, 20}, true}, {OP_PARAM, 4, {20, 1, 5, 5}, true}, BIAS(20)},
     .build = depthwise_build,
     .oracle = depthwise_oracle,
     .bf16 = 1e-2f},
    {.op = "conv2d",
     .variant = "two groups, no bias",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 5, 5, 8}, true}, {OP_PARAM, 4, {12, 4, 3, 3}, true}},
     .build = grouped_build,
     .oracle = grouped_oracle},
    {.op = "conv2d",
     .variant = "2x2, stride 2, f32 output, rows that nothing reads",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 5, 7, 4}, true}, {OP_PARAM, 4, {6, 4, 2, 2}, true}, BIAS(6)},
     .build = unread_build,
     .oracle = unread_oracle,
     .bf16 = 1e-2f},
    {.op = "conv2d",
     .variant = "several blocks of output channels",
     .n_in = 3,
     .in = {{OP_X, 4, {0, 4, 3, 3}, true}, {OP_PARAM, 4, {130, 3, 3, 3}, true}, BIAS(130)},
     .build = blocks_build,
     .oracle = blocks_oracle,
     .bf16 = 1e-2f},
    {.op = "conv2d",
     .variant = "1x1, stride 2",
     .n_in = 2,
     .in = {{OP_X, 4, {0, 6, 6, 8}, true}, {OP_PARAM, 4, {16, 8, 1, 1}, true}},
     .build = shortcut_build,
     .oracle = shortcut_oracle},
    {.op = "channel_conv",
     .variant = "",
     .n_in = 2,
     .in = {{OP_X, 2, {0, 7}}, {OP_PARAM, 3, {1, 1, 3}}},
     .build = channel_build,
     .oracle = channel_oracle,
     .bad = {{.in = {{OP_X, 2, {0, 7}}, {OP_PARAM, 3, {1, 1, 4}}},
              .says = "channel_conv: 5x7 is not [B,C], or 1x1x4 not an odd kernel"},
             {.in = {{OP_X, 3, {0, 2, 7}}, {OP_PARAM, 3, {1, 1, 3}}},
              .says = "channel_conv: 5x2x7 is not [B,C]"},
             {.in = {{OP_X, 2, {0, 7}, true}, {OP_PARAM, 3, {1, 1, 3}}},
              .status = FV_ERR_UNSUPPORTED,
              .says = "channel_conv: input is BF16"}}},
    {.op = "channel_conv",
     .variant = "wider than the channels",
     .n_in = 2,
     .in = {{OP_X, 2, {0, 2}}, {OP_PARAM, 3, {1, 1, 5}}},
     .build = channel_build,
     .oracle = wide_oracle},
    {0}};
