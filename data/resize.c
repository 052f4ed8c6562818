#include "data/resize.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define FRACTION_BITS 22
#define MAX_SIDE      ((int64_t)1 << 24) /* of an enlarged result; keeps index arithmetic small */

static const char *const names[] = {"bicubic", "bilinear", "random"};

const char *fv_interpolation_name(fv_interpolation interpolation) { return names[interpolation]; }

fv_status fv_interpolation_parse(const char *name, fv_interpolation *out) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (fv_interpolation)i;
            return FV_OK;
        }
    }
    return FV_FAIL(FV_ERR_CONFIG, "interpolation '%s': expected bicubic, bilinear or random", name);
}

void fv_resize_scratch_free(fv_resize_scratch *scratch) {
    fv_buffer_free(&scratch->weights[0]);
    fv_buffer_free(&scratch->weights[1]);
    fv_buffer_free(&scratch->rows);
}

static double bilinear(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

/* One axis: output o is the sum over i < count[o] of weight[o * stride + i] * in[first[o] + i]. */
typedef struct axis {
    int64_t n_out, stride;
    int32_t *first, *count, *weight; /* point into one scratch buffer */
} axis;

/* Weights of the outputs begin .. begin + n_out - 1 of n_in samples resampled to n_full. */
static fv_status make_axis(int64_t n_in, int64_t n_full, int64_t begin, int64_t n_out,
                           fv_interpolation interpolation, fv_buffer *buffer, axis *out) {
    double (*const kernel)(double) = interpolation == FV_INTERPOLATION_BICUBIC ? bicubic : bilinear;
    const double scale = (double)n_in / (double)n_full;
    const double widen = scale > 1.0 ? scale : 1.0;
    const double support = (interpolation == FV_INTERPOLATION_BICUBIC ? 2.0 : 1.0) * widen;
    const int64_t stride = (int64_t)ceil(support) * 2 + 1;

    /* The double weights of one output stand behind the integer tables. */
    const size_t table = (size_t)(2 * n_out + stride * n_out) * sizeof(int32_t);
    const size_t padded = (table + 7) & ~(size_t)7;
    FV_TRY(fv_buffer_reserve(buffer, padded + (size_t)stride * sizeof(double)));
    *out = (axis){.n_out = n_out, .stride = stride, .first = (int32_t *)(void *)buffer->bytes};
    out->count = out->first + n_out;
    out->weight = out->count + n_out;
    double *w = (double *)(void *)(buffer->bytes + padded);

    for (int64_t o = 0; o < n_out; o++) {
        const double centre = ((double)(begin + o) + 0.5) * scale;
        int64_t lo = (int64_t)(centre - support + 0.5), hi = (int64_t)(centre + support + 0.5);
        lo = lo < 0 ? 0 : lo;
        hi = hi > n_in ? n_in : hi;
        double sum = 0.0;
        for (int64_t i = 0; i < hi - lo; i++) {
            w[i] = kernel(((double)(lo + i) - centre + 0.5) * (1.0 / widen));
            sum += w[i];
        }
        int32_t *k = out->weight + o * stride;
        for (int64_t i = 0; i < hi - lo; i++) {
            const double v = (sum != 0.0 ? w[i] / sum : w[i]) * (double)(1 << FRACTION_BITS);
            k[i] = (int32_t)(v < 0.0 ? v - 0.5 : v + 0.5);
        }
        out->first[o] = (int32_t)lo;
        out->count[o] = (int32_t)(hi - lo);
    }
    return FV_OK;
}

static inline uint8_t to_byte(int32_t sum) {
    const int32_t v = sum >> FRACTION_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* src [n_rows, *, 3] with src_stride bytes a row -> out [n_rows, ax->n_out, 3] */
static void resample_rows(const uint8_t *src, int64_t src_stride, int64_t n_rows, const axis *ax,
                          uint8_t *out) {
    for (int64_t y = 0; y < n_rows; y++, src += src_stride) {
        for (int64_t x = 0; x < ax->n_out; x++, out += 3) {
            const uint8_t *p = src + 3 * (int64_t)ax->first[x];
            const int32_t *k = ax->weight + x * ax->stride;
            const int32_t n = ax->count[x];
            int32_t r = 1 << (FRACTION_BITS - 1), g = r, b = r;
            for (int32_t i = 0; i < n; i++) {
                r += k[i] * p[3 * i];
                g += k[i] * p[3 * i + 1];
                b += k[i] * p[3 * i + 2];
            }
            out[0] = to_byte(r);
            out[1] = to_byte(g);
            out[2] = to_byte(b);
        }
    }
}

#define STRIP 256 /* columns whose sums stay in the first-level cache */

/* src [*, n_columns] with src_stride bytes a row -> out [ax->n_out, n_columns]; row first_row of
 * the axis is the first of src. */
static void resample_columns(const uint8_t *src, int64_t src_stride, int64_t first_row,
                             int64_t n_columns, const axis *ax, uint8_t *out) {
    int32_t sum[STRIP];

    for (int64_t y = 0; y < ax->n_out; y++, out += n_columns) {
        const uint8_t *rows = src + (ax->first[y] - first_row) * src_stride;
        const int32_t *k = ax->weight + y * ax->stride;
        for (int64_t x0 = 0; x0 < n_columns; x0 += STRIP) {
            const int64_t n = n_columns - x0 < STRIP ? n_columns - x0 : STRIP;
            for (int64_t x = 0; x < n; x++) sum[x] = 1 << (FRACTION_BITS - 1);
            for (int32_t i = 0; i < ax->count[y]; i++) {
                const uint8_t *row = rows + i * src_stride + x0;
                const int32_t weight = k[i];
                for (int64_t x = 0; x < n; x++) sum[x] += weight * row[x];
            }
            for (int64_t x = 0; x < n; x++) out[x0 + x] = to_byte(sum[x]);
        }
    }
}

static bool inside(const fv_crop *r, int64_t height, int64_t width) {
    return r->top >= 0 && r->left >= 0 && r->height >= 1 && r->width >= 1 &&
           r->height <= height - r->top && r->width <= width - r->left;
}

static fv_status check(const fv_image *src, const fv_resize_spec *spec, const fv_crop *crop,
                       const fv_crop *window) {
    if (spec->interpolation != FV_INTERPOLATION_BICUBIC &&
        spec->interpolation != FV_INTERPOLATION_BILINEAR)
        return FV_FAIL(FV_ERR_CONFIG, "resize: interpolation must be bicubic or bilinear");
    if (spec->height < 1 || spec->width < 1 || spec->height > MAX_SIDE || spec->width > MAX_SIDE)
        return FV_FAIL(FV_ERR_SHAPE, "resize: to %lld x %lld pixels", (long long)spec->width,
                       (long long)spec->height);
    if (!inside(crop, src->height, src->width))
        return FV_FAIL(FV_ERR_SHAPE, "resize: crop %lldx%lld at (%lld, %lld) of a %lldx%lld image",
                       (long long)crop->width, (long long)crop->height, (long long)crop->left,
                       (long long)crop->top, (long long)src->width, (long long)src->height);
    if (!inside(window, spec->height, spec->width))
        return FV_FAIL(FV_ERR_SHAPE, "resize: window outside the resized image");
    return FV_OK;
}

static void copy_rows(const uint8_t *src, int64_t src_stride, int64_t n_rows, int64_t n_bytes,
                      uint8_t *out) {
    for (int64_t y = 0; y < n_rows; y++) memcpy(out + y * n_bytes, src + y * src_stride, n_bytes);
}

fv_status fv_resize(const fv_image *src, const fv_resize_spec *spec, fv_resize_scratch *scratch,
                    fv_image *out) {
    const fv_crop crop = spec->crop ? *spec->crop : (fv_crop){0, 0, src->height, src->width};
    const fv_crop window =
        spec->window ? *spec->window : (fv_crop){0, 0, spec->height, spec->width};
    axis across = {0}, down = {0};

    FV_TRY(check(src, spec, &crop, &window));
    FV_TRY(fv_image_reshape(out, window.height, window.width));
    const bool wide = crop.width != spec->width, high = crop.height != spec->height;
    if (wide)
        FV_TRY(make_axis(crop.width, spec->width, window.left, window.width, spec->interpolation,
                         &scratch->weights[0], &across));
    if (high)
        FV_TRY(make_axis(crop.height, spec->height, window.top, window.height, spec->interpolation,
                         &scratch->weights[1], &down));

    /* Rows of the crop that the window needs. */
    const int64_t last = window.height - 1;
    const int64_t row0 = high ? down.first[0] : window.top;
    const int64_t n_rows = high ? down.first[last] + down.count[last] - row0 : window.height;
    const int64_t src_stride = 3 * src->width, n_bytes = 3 * window.width;
    const uint8_t *first = src->pixels + (crop.top + row0) * src_stride + 3 * crop.left;
    const int64_t skip = wide ? 0 : 3 * window.left; /* columns left of the window */

    if (!high) {
        if (wide)
            resample_rows(first, src_stride, n_rows, &across, out->pixels);
        else
            copy_rows(first + skip, src_stride, n_rows, n_bytes, out->pixels);
        return FV_OK;
    }
    if (!wide) {
        resample_columns(first + skip, src_stride, row0, n_bytes, &down, out->pixels);
        return FV_OK;
    }
    FV_TRY(fv_buffer_reserve(&scratch->rows, (size_t)(n_rows * n_bytes)));
    resample_rows(first, src_stride, n_rows, &across, scratch->rows.bytes);
    resample_columns(scratch->rows.bytes, n_bytes, row0, n_bytes, &down, out->pixels);
    return FV_OK;
}
