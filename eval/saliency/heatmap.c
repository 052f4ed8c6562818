#include "eval/saliency/heatmap.h"

#include <math.h>
#include <string.h>

static fv_status check_finite(const float *map, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(map[i]))
            return FV_FAIL(FV_ERR_NONFINITE, "heat map: value %lld is not finite", (long long)i);
    return FV_OK;
}

static const uint8_t *colour(const fv_colormap_table *table, const fv_heat_range *range, double v) {
    return table->rgb[fv_colormap_index(range->is_signed ? (v + 1.0) / 2.0 : v)];
}

fv_status fv_heat_paint(const float *map, int64_t height, int64_t width, const fv_heat_style *style,
                        fv_image *out) {
    fv_colormap_table table;

    FV_TRY(fv_image_reshape(out, height, width));
    FV_TRY(check_finite(map, height * width));
    fv_colormap_fill(style->colormap, &table);
    for (int64_t i = 0; i < height * width; i++) {
        const double v = fv_heat_value(&style->range, map[i]);
        memcpy(out->pixels + 3 * i, colour(&table, &style->range, v), 3);
    }
    return FV_OK;
}

fv_status fv_heat_overlay(const float *map, const fv_image *picture, const fv_heat_style *style,
                          const fv_heat_blend *blend, fv_image *out) {
    const int64_t n = picture->height * picture->width;
    const double alpha = (double)blend->alpha;
    fv_colormap_table table;

    if (!(alpha >= 0.0 && alpha <= 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "overlay: opacity %g is outside 0 to 1", alpha);
    FV_TRY(fv_image_reshape(out, picture->height, picture->width));
    FV_TRY(check_finite(map, n));
    fv_colormap_fill(style->colormap, &table);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *p = picture->pixels + 3 * i;
        const double grey = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
        const double v = fv_heat_value(&style->range, map[i]);
        const double a = blend->fade ? alpha * fabs(v) : alpha;
        const uint8_t *rgb = colour(&table, &style->range, v);
        for (int c = 0; c < 3; c++) {
            const double under = blend->fade ? grey : (double)p[c];
            out->pixels[3 * i + c] = (uint8_t)floor((1.0 - a) * under + a * rgb[c] + 0.5);
        }
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

int64_t fv_image_enlarge_factor(int64_t height, int64_t width, int64_t min_px) {
    const int64_t shorter = height < width ? height : width;
    return shorter < min_px ? (min_px + shorter - 1) / shorter : 1;
}
