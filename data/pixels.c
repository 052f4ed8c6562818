#include "data/pixels.h"

#include <string.h>

static int64_t count(const fv_image *image) { return image->height * image->width; }

/* ---- tables ---- */

static void apply_table(fv_image *image, const uint8_t table[256]) {
    for (int64_t i = 0; i < 3 * count(image); i++) image->pixels[i] = table[image->pixels[i]];
}

static void apply_tables(fv_image *image, uint8_t table[3][256]) {
    uint8_t *p = image->pixels;
    for (int64_t i = 0; i < count(image); i++, p += 3)
        for (int c = 0; c < 3; c++) p[c] = table[c][p[c]];
}

void fv_pixels_invert(fv_image *image) {
    for (int64_t i = 0; i < 3 * count(image); i++)
        image->pixels[i] = (uint8_t)(255 - image->pixels[i]);
}

void fv_pixels_posterize(fv_image *image, int bits) {
    const uint8_t mask = (uint8_t)(0xFF << (8 - bits));
    for (int64_t i = 0; i < 3 * count(image); i++) image->pixels[i] &= mask;
}

void fv_pixels_solarize(fv_image *image, int threshold) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++) table[v] = (uint8_t)(v < threshold ? v : 255 - v);
    apply_table(image, table);
}

void fv_pixels_solarize_add(fv_image *image, int add, int below) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)(v >= below ? v : v + add > 255 ? 255 : v + add);
    apply_table(image, table);
}

/* ---- histograms ---- */

static void histogram(const fv_image *image, int64_t h[3][256]) {
    const uint8_t *p = image->pixels;

    memset(h, 0, 3 * sizeof *h);
    for (int64_t i = 0; i < count(image); i++, p += 3)
        for (int c = 0; c < 3; c++) h[c][p[c]]++;
}

static void stretch(const int64_t h[256], uint8_t table[256]) {
    int low = 0, high = 255;

    while (low < 255 && h[low] == 0) low++;
    while (high > 0 && h[high] == 0) high--;
    const double scale = high > low ? 255.0 / (double)(high - low) : 1.0;
    const double offset = high > low ? -(double)low * scale : 0.0;
    for (int v = 0; v < 256; v++) {
        const double to = (double)v * scale + offset;
        table[v] = (uint8_t)(to <= 0.0 ? 0 : to >= 255.0 ? 255 : (int)to);
    }
}

void fv_pixels_autocontrast(fv_image *image) {
    int64_t h[3][256];
    uint8_t table[3][256];

    histogram(image, h);
    for (int c = 0; c < 3; c++) stretch(h[c], table[c]);
    apply_tables(image, table);
}

/* The cumulated histogram without its last level, in 255 equal steps. */
static void even_out(const int64_t h[256], uint8_t table[256]) {
    int64_t total = 0, last = 0;
    int levels = 0;

    for (int v = 0; v < 256; v++) {
        total += h[v];
        if (h[v]) last = h[v];
        levels += h[v] != 0;
    }
    const int64_t step = (total - last) / 255;
    int64_t n = step / 2;
    for (int v = 0; v < 256; v++) {
        const int64_t to = levels <= 1 || step == 0 ? v : n / step;
        table[v] = (uint8_t)(to > 255 ? 255 : to);
        n += h[v];
    }
}

void fv_pixels_equalize(fv_image *image) {
    int64_t h[3][256];
    uint8_t table[3][256];

    histogram(image, h);
    for (int c = 0; c < 3; c++) even_out(h[c], table[c]);
    apply_tables(image, table);
}

/* ---- enhancements: a + factor (b - a), b the picture ---- */

static uint8_t blend(int a, int b, float factor) {
    const float v = (float)a + factor * (float)(b - a);
    return (uint8_t)(v <= 0.0f ? 0 : v >= 255.0f ? 255 : (int)v);
}

/* ITU-R 601-2 luma in 16 fractional bits. */
static int luma(const uint8_t *p) {
    return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16;
}

void fv_pixels_color(fv_image *image, double factor) {
    uint8_t *p = image->pixels;
    for (int64_t i = 0; i < count(image); i++, p += 3) {
        const int grey = luma(p);
        for (int c = 0; c < 3; c++) p[c] = blend(grey, p[c], (float)factor);
    }
}

/* All pixels from one level. */
static void from_level(fv_image *image, int level, double factor) {
    uint8_t table[256];
    for (int v = 0; v < 256; v++) table[v] = blend(level, v, (float)factor);
    apply_table(image, table);
}

void fv_pixels_contrast(fv_image *image, double factor) {
    int64_t sum = 0;

    for (int64_t i = 0; i < count(image); i++) sum += luma(image->pixels + 3 * i);
    from_level(image, (int)((double)sum / (double)count(image) + 0.5), factor);
}

void fv_pixels_brightness(fv_image *image, double factor) { from_level(image, 0, factor); }

/* ImageFilter.SMOOTH at value i of the middle row, rows below, here and above in this order. */
static int smooth(const uint8_t *below, const uint8_t *here, const uint8_t *above, int64_t i) {
    const float side = 1.0f / 13.0f, middle = 5.0f / 13.0f;
    float sum = 0.5f;

    sum += (float)below[i - 3] * side + (float)below[i] * side + (float)below[i + 3] * side;
    sum += (float)here[i - 3] * side + (float)here[i] * middle + (float)here[i + 3] * side;
    sum += (float)above[i - 3] * side + (float)above[i] * side + (float)above[i + 3] * side;
    return sum <= 0.0f ? 0 : sum >= 255.0f ? 255 : (int)sum;
}

fv_status fv_pixels_sharpness(fv_image *image, double factor, fv_buffer *copy) {
    const int64_t n = image->width * 3;

    FV_TRY(fv_buffer_reserve(copy, (size_t)(n * image->height)));
    memcpy(copy->bytes, image->pixels, (size_t)(n * image->height));
    for (int64_t y = 1; y < image->height - 1; y++) { /* the border is its own smoothed self */
        const uint8_t *here = copy->bytes + y * n;
        for (int64_t i = 3; i < n - 3; i++)
            image->pixels[y * n + i] =
                blend(smooth(here + n, here, here - n, i), here[i], (float)factor);
    }
    return FV_OK;
}
