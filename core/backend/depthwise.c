/* dw[c,ky,kx] = sum over images and pixels of x[oh * s - top + ky, ow * s - left + kx, c] dy[oh, ow, c].
 *
 * A strip of FV_STRIP channels and a piece of the columns at a time: going down the rows, the pieces of
 * x under the kernel stay in a ring of dense f32 rows, widened and with the padding's zeros, and one
 * kernel call per row of the kernel keeps its sums in registers. */
#include "core/backend/depthwise.h"

#include "core/alloc.h"
#include "core/kernels/kernels.h"

#include <string.h>

#define MAX_KERNEL 7
#define MAX_STRIDE 4
#define WIDTH      80 /* pixels of a row of the ring */

bool fv_depthwise_weights_supports(const fv_conv *c) {
    return c->pass == FV_CONV_WEIGHTS && c->groups == c->C && c->groups == c->O &&
           c->kh <= MAX_KERNEL && c->kw <= MAX_KERNEL && c->stride <= MAX_STRIDE;
}

/* What is fixed while a piece is summed up. */
typedef struct piece {
    const fv_conv *c;
    const void *x, *dy;
    int64_t channel, lanes; /* of the strip */
    int64_t first, count;   /* columns of dy */
    _Alignas(FV_ALIGN) float ring[MAX_KERNEL][WIDTH * FV_STRIP];
    _Alignas(FV_ALIGN) float grad[WIDTH * FV_STRIP];
    _Alignas(FV_ALIGN) float sums[MAX_KERNEL * MAX_KERNEL * FV_STRIP];
} piece;

/* Pixels first .. first + count - 1 of a row of width W: the strip, zeros beyond the row and beyond the
 * lanes. */
static void load(const piece *p, const void *map, int64_t row, int64_t W, int64_t first,
                 int64_t count, float *to) {
    const size_t size = fv_dtype_bytes(p->c->in);

    for (int64_t i = first; i < first + count; i++, to += FV_STRIP) {
        const char *from =
            (const char *)map + (size_t)((row * W + i) * p->c->C + p->channel) * size;
        const bool outside = i < 0 || i >= W;
        if (outside || p->lanes < FV_STRIP) memset(to, 0, FV_STRIP * sizeof *to);
        if (outside) continue;
        if (p->c->in == FV_BF16)
            fv_kernel()->from_bf16(p->lanes, (const fv_bf16 *)from, to);
        else if (p->lanes == FV_STRIP) /* a constant: no call */
            memcpy(to, from, FV_STRIP * sizeof *to);
        else
            memcpy(to, from, (size_t)p->lanes * sizeof *to);
    }
}

static void add_image(piece *p, int64_t image) {
    const fv_conv *c = p->c;
    const int64_t Ho = fv_conv_rows(c), Wo = fv_conv_columns(c);
    const int64_t left = p->first * c->stride - c->left;
    const int64_t width = (p->count - 1) * c->stride + c->kw;
    int64_t loaded = 0; /* rows of x before this one have been in the ring */

    for (int64_t row = 0; row < Ho; row++) {
        const int64_t top = row * c->stride - c->top, end = top + c->kh;
        if (loaded < top) loaded = top;
        for (; loaded < end && loaded < c->H; loaded++)
            load(p, p->x, image * c->H + loaded, c->W, left, width, p->ring[loaded % c->kh]);
        load(p, p->dy, image * Ho + row, Wo, p->first, p->count, p->grad);
        for (int64_t r = top > 0 ? top : 0; r < end && r < c->H; r++)
            fv_kernel()->tap_sums(p->count, c->kw, c->stride, p->ring[r % c->kh], p->grad,
                                  p->sums + (r - top) * c->kw * FV_STRIP);
    }
}

void fv_depthwise_weights(const fv_conv *c, const void *x, const void *dy, float *dw) {
    const int64_t taps = c->kh * c->kw, Wo = fv_conv_columns(c);
    const int64_t most = (WIDTH - c->kw) / c->stride + 1;
    piece p;

    p.c = c;
    p.x = x;
    p.dy = dy;
    for (p.channel = 0; p.channel < c->C; p.channel += FV_STRIP) {
        p.lanes = c->C - p.channel < FV_STRIP ? c->C - p.channel : FV_STRIP;
        memset(p.sums, 0, (size_t)(taps * FV_STRIP) * sizeof(float));
        for (int64_t i = 0; i < c->n; i++)
            for (p.first = 0; p.first < Wo; p.first += most) {
                p.count = Wo - p.first < most ? Wo - p.first : most;
                add_image(&p, i);
            }
        for (int64_t j = 0; j < p.lanes; j++)
            for (int64_t t = 0; t < taps; t++)
                dw[(p.channel + j) * taps + t] = p.sums[t * FV_STRIP + j];
    }
}
