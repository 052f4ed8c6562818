#include "eval/saliency/heatmap.h"

#include "core/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

fv_status fv_heat_scale(const float *map, int64_t n, double percentile, float *scale) {
    *scale = 0.0f;
    if (n <= 0) return FV_OK;
    float *sorted = fv_alloc((size_t)n, sizeof *sorted);
    if (!sorted) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) sorted[i] = fabsf(map[i]);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    const double at = percentile / 100.0 * (double)(n - 1);
    const int64_t low = (int64_t)floor(at), high = low + 1 < n ? low + 1 : low;
    const double part = at - (double)low;
    *scale = (float)((1.0 - part) * (double)sorted[low] + part * (double)sorted[high]);
    if (*scale <= 0.0f) *scale = sorted[n - 1]; /* a map with few non-zero pixels */
    fv_free(sorted);
    return FV_OK;
}

static float normalised(float r, float scale) {
    const float v = scale > 0.0f ? r / scale : 0.0f;
    return v > 1.0f ? 1.0f : v < -1.0f ? -1.0f : v;
}

/* bwr: piecewise linear between blue, white and red over 256 entries, rounded half up. */
static void colour(float v, uint8_t rgb[3]) {
    const double at = floor(255.0 * ((double)v + 1.0) / 2.0 + 0.5) / 255.0;
    const double faded = at < 0.5 ? at / 0.5 : (1.0 - at) / 0.5;
    const uint8_t c = (uint8_t)floor(255.0 * faded + 0.5);

    rgb[0] = at < 0.5 ? c : 255;
    rgb[1] = c;
    rgb[2] = at < 0.5 ? 255 : c;
}

fv_status fv_heat_paint(const float *map, int64_t height, int64_t width, float scale,
                        fv_image *out) {
    FV_TRY(fv_image_reshape(out, height, width));
    for (int64_t i = 0; i < height * width; i++)
        colour(normalised(map[i], scale), out->pixels + 3 * i);
    return FV_OK;
}

fv_status fv_heat_overlay(const float *map, const fv_image *picture, float scale, float alpha,
                          fv_image *out) {
    FV_TRY(fv_image_reshape(out, picture->height, picture->width));
    for (int64_t i = 0; i < picture->height * picture->width; i++) {
        const uint8_t *p = picture->pixels + 3 * i;
        const double grey = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
        const float v = normalised(map[i], scale);
        const double a = (double)alpha * fabs((double)v);
        uint8_t rgb[3];
        colour(v, rgb);
        for (int c = 0; c < 3; c++)
            out->pixels[3 * i + c] = (uint8_t)floor((1.0 - a) * grey + a * rgb[c] + 0.5);
    }
    return FV_OK;
}

fv_status fv_image_enlarge(const fv_image *image, int64_t factor, fv_image *out) {
    FV_TRY(fv_image_reshape(out, image->height * factor, image->width * factor));
    for (int64_t y = 0; y < out->height; y++)
        for (int64_t x = 0; x < out->width; x++)
            memcpy(out->pixels + 3 * (y * out->width + x),
                   image->pixels + 3 * (y / factor * image->width + x / factor), 3);
    return FV_OK;
}
