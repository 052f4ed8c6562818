/* sr_patch.c - patches as rows of a matrix. */
#include "core/alloc.h"
#include "eval/saliency/sr_stages.h"

#include <string.h>

static fv_status grow(float **block, int64_t rows, int64_t width) {
    float *larger = fv_realloc(*block, (size_t)rows, (size_t)width * sizeof **block);
    if (!larger) return FV_ERR_NOMEM;
    *block = larger;
    return FV_OK;
}

static fv_status reserve(fv_sr_patches *p, int64_t n) {
    if (n <= p->capacity) return FV_OK;
    FV_TRY(grow(&p->value, n, p->D));
    FV_TRY(grow(&p->norm, n, 1));
    FV_TRY(grow(&p->y, n, 1));
    FV_TRY(grow(&p->x, n, 1));
    p->capacity = n;
    return FV_OK;
}

static float squared_length(const float *v, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    return (float)sum;
}

fv_status fv_sr_patches_add(fv_sr_patches *p, const fv_sr_image *image, int64_t u,
                            const fv_sr_frame *frame) {
    const int64_t H = image->H, W = image->W, C = image->C, step = (u - 1) / 2;
    const int64_t D = u * u * C;

    if (H < u || W < u) return FV_OK;
    if (p->n > 0 && p->D != D)
        return FV_FAIL(FV_ERR_SHAPE, "salient relevance: patches of different sizes");
    p->D = D;
    FV_TRY(reserve(p, p->n + ((H - u) / step + 1) * ((W - u) / step + 1)));
    for (int64_t top = 0; top + u <= H; top += step)
        for (int64_t left = 0; left + u <= W; left += step) {
            float *to = p->value + p->n * D;
            for (int64_t i = 0; i < u; i++)
                memcpy(to + i * u * C, image->data + ((top + i) * W + left) * C,
                       (size_t)(u * C) * sizeof *to);
            p->norm[p->n] = squared_length(to, D);
            p->y[p->n] = (float)(((double)(top + u / 2) + 0.5) / (double)H * frame->height);
            p->x[p->n] = (float)(((double)(left + u / 2) + 0.5) / (double)W * frame->width);
            p->n++;
        }
    return FV_OK;
}

void fv_sr_patches_release(fv_sr_patches *p) {
    fv_free(p->value);
    fv_free(p->norm);
    fv_free(p->y);
    fv_free(p->x);
    *p = (fv_sr_patches){0};
}

static int64_t clamp(int64_t v, int64_t n) { return v < 0 ? 0 : v >= n ? n - 1 : v; }

fv_status fv_sr_pad(const fv_sr_image *in, int64_t margin, fv_sr_image *out) {
    const int64_t C = in->C;

    FV_TRY(fv_sr_image_create(in->H + 2 * margin, in->W + 2 * margin, C, out));
    for (int64_t y = 0; y < out->H; y++) {
        const float *row = in->data + clamp(y - margin, in->H) * in->W * C;
        for (int64_t x = 0; x < out->W; x++)
            memcpy(out->data + (y * out->W + x) * C, row + clamp(x - margin, in->W) * C,
                   (size_t)C * sizeof *row);
    }
    return FV_OK;
}
