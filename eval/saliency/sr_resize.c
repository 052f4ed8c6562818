/* sr_resize.c - a separable triangle filter on float images, weights and sums in double. */
#include "core/alloc.h"
#include "eval/saliency/sr_stages.h"

#include <math.h>

/* Output o is the sum over i < count[o] of weight[o * stride + i] * in[first[o] + i]. */
typedef struct axis {
    int64_t stride;
    int64_t *first, *count;
    double *weight;
} axis;

static void axis_free(axis *a) {
    fv_free(a->first);
    fv_free(a->count);
    fv_free(a->weight);
}

/* Sample i sits at i + 1/2; the triangle around an output's centre reaches one output pixel to either
 * side, one input pixel when enlarging. */
static fv_status axis_make(int64_t n_in, int64_t n_out, axis *out) {
    const double scale = (double)n_in / (double)n_out, reach = fmax(scale, 1.0);

    *out = (axis){.stride = 2 * (int64_t)ceil(reach) + 2};
    out->first = fv_alloc((size_t)n_out, sizeof *out->first);
    out->count = fv_alloc((size_t)n_out, sizeof *out->count);
    out->weight = fv_alloc((size_t)n_out, (size_t)out->stride * sizeof *out->weight);
    if (!out->first || !out->count || !out->weight) return FV_ERR_NOMEM;
    for (int64_t o = 0; o < n_out; o++) {
        const double centre = ((double)o + 0.5) * scale;
        const int64_t low = (int64_t)fmax(0.0, floor(centre - reach - 0.5));
        const int64_t high = (int64_t)fmin((double)n_in, ceil(centre + reach + 0.5));
        double *w = out->weight + o * out->stride, sum = 0.0;
        int64_t first = low, count = 0;
        for (int64_t i = low; i < high; i++) {
            const double v = 1.0 - fabs(((double)i + 0.5 - centre) / reach);
            if (v <= 0.0) {
                if (count == 0) first = i + 1;
                continue;
            }
            w[count++] = v;
            sum += v;
        }
        for (int64_t i = 0; i < count; i++) w[i] /= sum;
        out->first[o] = first;
        out->count[o] = count;
    }
    return FV_OK;
}

/* One axis of in [outer, n_in, inner] -> out [outer, n_out, inner]. */
static void resample(const float *in, int64_t outer, int64_t n_in, int64_t inner, const axis *a,
                     int64_t n_out, float *out) {
    for (int64_t b = 0; b < outer; b++)
        for (int64_t o = 0; o < n_out; o++) {
            const double *w = a->weight + o * a->stride;
            const float *from = in + (b * n_in + a->first[o]) * inner;
            float *to = out + (b * n_out + o) * inner;
            for (int64_t c = 0; c < inner; c++) {
                double sum = 0.0;
                for (int64_t i = 0; i < a->count[o]; i++) sum += w[i] * (double)from[i * inner + c];
                to[c] = (float)sum;
            }
        }
}

fv_status fv_sr_resize(const fv_sr_image *in, int64_t H, int64_t W, fv_sr_image *out) {
    fv_sr_image half = {0};
    axis down = {0}, across = {0};

    *out = (fv_sr_image){0};
    fv_status status = fv_sr_image_create(H, in->W, in->C, &half);
    if (status == FV_OK) status = fv_sr_image_create(H, W, in->C, out);
    if (status == FV_OK) status = axis_make(in->H, H, &down);
    if (status == FV_OK) status = axis_make(in->W, W, &across);
    if (status == FV_OK) {
        resample(in->data, 1, in->H, in->W * in->C, &down, H, half.data);
        resample(half.data, H, in->W, in->C, &across, W, out->data);
    }
    axis_free(&down);
    axis_free(&across);
    fv_sr_image_release(&half);
    if (status != FV_OK) fv_sr_image_release(out);
    return status;
}

void fv_sr_fill(const float *samples, int64_t stride, int64_t H, int64_t W, float *out) {
    const int64_t h = (H + stride - 1) / stride, w = (W + stride - 1) / stride;

    for (int64_t y = 0; y < H; y++) {
        const int64_t y0 = y / stride, y1 = y0 + 1 < h ? y0 + 1 : y0;
        const double b = (double)(y % stride) / (double)stride;
        for (int64_t x = 0; x < W; x++) {
            const int64_t x0 = x / stride, x1 = x0 + 1 < w ? x0 + 1 : x0;
            const double a = (double)(x % stride) / (double)stride;
            const double top =
                (1.0 - a) * (double)samples[y0 * w + x0] + a * (double)samples[y0 * w + x1];
            const double bottom =
                (1.0 - a) * (double)samples[y1 * w + x0] + a * (double)samples[y1 * w + x1];
            out[y * W + x] = (float)((1.0 - b) * top + b * bottom);
        }
    }
}
