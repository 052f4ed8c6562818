/* analysis_picture.c - an analysis as two pictures: squares of offsets, and layers by rings. */
#include "data/image.h"
#include "eval/analysis/analysis.h"
#include "eval/saliency/colormap.h"

#include <string.h>

#define TILE_PX 72 /* room for the square of a head */
#define GAP_PX  4
#define CELL_PX 24 /* of the layers by rings */

static void paint_rect(fv_image *image, int64_t y, int64_t x, int64_t h, int64_t w,
                       const uint8_t rgb[3]) {
    for (int64_t i = y; i < y + h; i++)
        for (int64_t j = x; j < x + w; j++)
            memcpy(image->pixels + 3 * (i * image->width + j), rgb, 3);
}

/* A white image. */
static fv_status open_image(fv_image *image, int64_t height, int64_t width) {
    FV_TRY(fv_image_reshape(image, height, width));
    memset(image->pixels, 255, (size_t)(3 * height * width));
    return FV_OK;
}

static double largest(const fv_moments *m, int64_t n) {
    double most = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (m[i].mean > most) most = m[i].mean;
    return most;
}

static const uint8_t *colour(const fv_colormap_table *table, double v, double most) {
    return table->rgb[fv_colormap_index(most > 0.0 ? v / most : 0.0)];
}

/* Offsets [h,w] as a square, the nearest one at each pixel. */
static void paint_offsets(fv_image *image, int64_t top, int64_t left, const fv_moments *offset,
                          int64_t h, int64_t w, const fv_colormap_table *table) {
    const double most = largest(offset, h * w);

    for (int64_t y = 0; y < TILE_PX; y++)
        for (int64_t x = 0; x < TILE_PX; x++)
            paint_rect(image, top + y, left + x, 1, 1,
                       colour(table, offset[(y * h / TILE_PX) * w + x * w / TILE_PX].mean, most));
}

static bool has_map(const fv_analysis_layer *l) { return l->layout.kind != FV_ATTENTION_CHANNEL; }

fv_status fv_analysis_save_offsets(const fv_analysis *a, const char *path) {
    fv_colormap_table table;
    fv_image image = {0};
    int64_t rows = 0, cols = 1, row = 0;

    fv_colormap_fill(&fv_colormap_viridis, &table);
    for (int64_t l = 0; l < a->n_layers; l++) {
        if (!has_map(&a->layers[l])) continue;
        rows++;
        if (cols < a->layers[l].layout.heads) cols = a->layers[l].layout.heads;
    }
    const int64_t step = TILE_PX + GAP_PX;
    fv_status status = open_image(&image, GAP_PX + (rows ? rows : 1) * step, GAP_PX + cols * step);
    for (int64_t l = 0; status == FV_OK && l < a->n_layers; l++) {
        const fv_analysis_layer *layer = &a->layers[l];
        if (!has_map(layer)) continue;
        for (int64_t h = 0; h < layer->layout.heads; h++)
            paint_offsets(&image, GAP_PX + row * step, GAP_PX + h * step, layer->head[h].offset,
                          layer->profile.offset_h, layer->profile.offset_w, &table);
        row++;
    }
    if (status == FV_OK) status = fv_image_save_png(&image, path);
    fv_image_release(&image);
    return status;
}

/* Mean over the heads of a layer. */
static double ring_of(const fv_analysis_layer *layer, int64_t k) {
    double sum = 0.0;
    for (int64_t h = 0; h < layer->layout.heads; h++) sum += layer->head[h].ring_sum[k].mean;
    return sum / (double)layer->layout.heads;
}

fv_status fv_analysis_save_rings(const fv_analysis *a, const char *path) {
    fv_colormap_table table;
    fv_image image = {0};
    int64_t rows = 0, cols = 1, row = 0;
    double most = 0.0;

    fv_colormap_fill(&fv_colormap_viridis, &table);
    for (int64_t l = 0; l < a->n_layers; l++) {
        const int64_t n = a->layers[l].profile.n_rings; /* 0 of channels */
        rows += has_map(&a->layers[l]);
        if (cols < n) cols = n;
        for (int64_t k = 0; k < n; k++)
            if (ring_of(&a->layers[l], k) > most) most = ring_of(&a->layers[l], k);
    }
    fv_status status = open_image(&image, (rows ? rows : 1) * CELL_PX, cols * CELL_PX);
    for (int64_t l = 0; status == FV_OK && l < a->n_layers; l++) {
        if (!has_map(&a->layers[l])) continue;
        for (int64_t k = 0; k < a->layers[l].profile.n_rings; k++)
            paint_rect(&image, row * CELL_PX, k * CELL_PX, CELL_PX, CELL_PX,
                       colour(&table, ring_of(&a->layers[l], k), most));
        row++;
    }
    if (status == FV_OK) status = fv_image_save_png(&image, path);
    fv_image_release(&image);
    return status;
}
