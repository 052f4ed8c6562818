/* affine.c - the affine transforms of pixels.h: Pillow's generic transform, in double. */
#include "data/pixels.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct source {
    const uint8_t *pixels;
    int64_t height, width;
} source;

static int64_t clip(int64_t v, int64_t n) { return v < 0 ? 0 : v < n ? v : n - 1; }

static bool row_inside(const source *s, int64_t y) { return y >= 0 && y < s->height; }

static const uint8_t *row(const source *s, int64_t y) { return s->pixels + y * s->width * 3; }

/* Around the pixel (x, y) whose centre is dx, dy to the upper left. */
static void bilinear(const source *s, int64_t x, int64_t y, double dx, double dy, uint8_t *out) {
    const int64_t x0 = 3 * clip(x, s->width), x1 = 3 * clip(x + 1, s->width);
    const uint8_t *upper = row(s, clip(y, s->height));
    const uint8_t *lower = row_inside(s, y + 1) ? row(s, y + 1) : upper;

    for (int c = 0; c < 3; c++) {
        const int a = upper[x0 + c], b = upper[x1 + c], d = lower[x0 + c], e = lower[x1 + c];
        const double v1 = a + (b - a) * dx, v2 = d + (e - d) * dx;
        out[c] = (uint8_t)(v1 + (v2 - v1) * dy);
    }
}

static double cubic(double v1, double v2, double v3, double v4, double d) {
    const double p2 = -v1 + v3, p3 = 2 * (v1 - v2) + v3 - v4, p4 = -v1 + v2 - v3 + v4;
    return v2 + d * (p2 + d * (p3 + d * p4));
}

/* Rows below the picture repeat the last one before them. */
static void bicubic(const source *s, int64_t x, int64_t y, double dx, double dy, uint8_t *out) {
    const uint8_t *rows[4];
    int64_t at[4];

    for (int i = 0; i < 4; i++) {
        at[i] = 3 * clip(x - 1 + i, s->width);
        const int64_t yi = y - 1 + i;
        rows[i] = i == 0              ? row(s, clip(yi, s->height))
                  : row_inside(s, yi) ? row(s, yi)
                                      : rows[i - 1];
    }
    for (int c = 0; c < 3; c++) {
        double v[4];
        for (int i = 0; i < 4; i++) {
            const uint8_t *p = rows[i] + c;
            v[i] = cubic(p[at[0]], p[at[1]], p[at[2]], p[at[3]], dx);
        }
        const double value = cubic(v[0], v[1], v[2], v[3], dy);
        out[c] = (uint8_t)(value <= 0.0 ? 0.0 : value >= 255.0 ? 255.0 : value);
    }
}

static void sample(const source *s, const fv_affine *a, double x, double y, uint8_t *out) {
    if (!(x >= 0.0 && x < (double)s->width && y >= 0.0 && y < (double)s->height)) {
        memcpy(out, a->fill, 3);
        return;
    }
    const double fx = floor(x - 0.5), fy = floor(y - 0.5);
    const double dx = x - 0.5 - fx, dy = y - 0.5 - fy;
    if (a->interpolation == FV_INTERPOLATION_BILINEAR)
        bilinear(s, (int64_t)fx, (int64_t)fy, dx, dy, out);
    else
        bicubic(s, (int64_t)fx, (int64_t)fy, dx, dy, out);
}

fv_status fv_pixels_affine(fv_image *image, const fv_affine *a, fv_buffer *copy) {
    const size_t n_bytes = (size_t)(image->height * image->width * 3);
    const double *m = a->m;

    if (a->interpolation == FV_INTERPOLATION_RANDOM)
        return FV_FAIL(FV_ERR_CONFIG,
                       "an affine transform needs bicubic or bilinear interpolation");
    FV_TRY(fv_buffer_reserve(copy, n_bytes));
    memcpy(copy->bytes, image->pixels, n_bytes);
    const source s = {copy->bytes, image->height, image->width};
    uint8_t *out = image->pixels;
    for (int64_t y = 0; y < image->height; y++)
        for (int64_t x = 0; x < image->width; x++, out += 3) {
            const double xc = (double)x + 0.5, yc = (double)y + 0.5;
            sample(&s, a, m[0] * xc + m[1] * yc + m[2], m[3] * xc + m[4] * yc + m[5], out);
        }
    return FV_OK;
}

/* Pillow keeps 15 decimals of sine and cosine. */
static double rounded(double v) {
    char text[64];
    snprintf(text, sizeof text, "%.15f", v);
    return strtod(text, NULL);
}

void fv_rotation(double degrees, int64_t height, int64_t width, double m[6]) {
    const double turn =
        fmod(degrees, 360.0) < 0.0 ? fmod(degrees, 360.0) + 360.0 : fmod(degrees, 360.0);
    const double angle = -(turn * 3.14159265358979323846 / 180.0);
    const double x = (double)width / 2.0, y = (double)height / 2.0;

    m[0] = m[4] = rounded(cos(angle));
    m[1] = rounded(sin(angle));
    m[3] = rounded(-sin(angle));
    m[2] = m[0] * -x + m[1] * -y + 0.0 + x;
    m[5] = m[3] * -x + m[4] * -y + 0.0 + y;
}
