/* dw[c,ky,kx] = sum over images and pixels of x[oh * s - top + ky, ow * s - left + kx, c] dy[oh, ow, c].
 *
 * A strip of FV_STRIP channels at a time: a piece of a row of dy and the pieces of x under it are
 * copied into dense buffers in L1, widened to f32 and with the padding's zeros, and one kernel call
 * per kernel row keeps the row's sums in registers. */
#include "core/backend/depthwise.h"

#include "core/kernels/kernels.h"

#include <string.h>

#define MAX_KERNEL 11
#define MAX_STRIDE 4
#define PIECE      64 /* pixels of dy */

bool fv_depthwise_weights_supports(const fv_conv *c) {
    return c->pass == FV_CONV_WEIGHTS && c->groups == c->C && c->groups == c->O &&
           c->kh <= MAX_KERNEL && c->kw <= MAX_KERNEL && c->stride <= MAX_STRIDE;
}

/* Pixels first .. first + count - 1 of a row of width W, `lanes` channels from `channel`, zeros beyond
 * the row and beyond the lanes. */
static void load(const void *map, fv_dtype dtype, int64_t row, int64_t W, int64_t C,
                 int64_t channel, int64_t lanes, int64_t first, int64_t count, float *to) {
    for (int64_t i = 0; i < count; i++, to += FV_STRIP) {
        const int64_t column = first + i, at = (row * W + column) * C + channel;
        if (column < 0 || column >= W) {
            memset(to, 0, FV_STRIP * sizeof *to);
            continue;
        }
        if (dtype == FV_BF16)
            fv_kernel()->from_bf16(lanes, (const fv_bf16 *)map + at, to);
        else
            memcpy(to, (const float *)map + at, (size_t)lanes * sizeof *to);
        if (lanes < FV_STRIP) memset(to + lanes, 0, (size_t)(FV_STRIP - lanes) * sizeof *to);
    }
}

/* Adds what one row of dy gives. */
static void add_row(const fv_conv *c, const void *x, const void *dy, int64_t image, int64_t row,
                    int64_t channel, int64_t lanes, float *sums) {
    float from[((PIECE - 1) * MAX_STRIDE + MAX_KERNEL) * FV_STRIP], grad[PIECE * FV_STRIP];
    const int64_t Wo = fv_conv_columns(c), top = row * c->stride - c->top;

    for (int64_t p = 0; p < Wo; p += PIECE) {
        const int64_t n = Wo - p < PIECE ? Wo - p : PIECE;
        load(dy, c->in, image * fv_conv_rows(c) + row, Wo, c->C, channel, lanes, p, n, grad);
        for (int64_t ky = 0; ky < c->kh; ky++) {
            if (top + ky < 0 || top + ky >= c->H) continue;
            load(x, c->in, image * c->H + top + ky, c->W, c->C, channel, lanes,
                 p * c->stride - c->left, (n - 1) * c->stride + c->kw, from);
            fv_kernel()->tap_sums(n, c->kw, c->stride, from, grad, sums + ky * c->kw * FV_STRIP);
        }
    }
}

void fv_depthwise_weights(const fv_conv *c, const void *x, const void *dy, float *dw) {
    const int64_t taps = c->kh * c->kw, rows = fv_conv_rows(c);
    float sums[MAX_KERNEL * MAX_KERNEL * FV_STRIP];

    for (int64_t channel = 0; channel < c->C; channel += FV_STRIP) {
        const int64_t lanes = c->C - channel < FV_STRIP ? c->C - channel : FV_STRIP;
        memset(sums, 0, (size_t)(taps * FV_STRIP) * sizeof *sums);
        for (int64_t i = 0; i < c->n * rows; i++)
            add_row(c, x, dy, i / rows, i % rows, channel, lanes, sums);
        for (int64_t j = 0; j < lanes; j++)
            for (int64_t t = 0; t < taps; t++)
                dw[(channel + j) * taps + t] = sums[t * FV_STRIP + j];
    }
}
