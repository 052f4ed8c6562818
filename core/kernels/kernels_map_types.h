/* kernels_map_types.h - the kernels of batch norm, of which each instruction set has the bodies: with types that are
 * constants where they are usual.  Included behind the bodies, which the compiler inlines. */
#ifndef FV_CORE_KERNELS_KERNELS_MAP_TYPES_H
#define FV_CORE_KERNELS_KERNELS_MAP_TYPES_H

#if defined(__AVX2__)

#include "core/tensor.h"

static void column_sums(int64_t rows, int64_t n, int64_t ld, const void *x, fv_dtype type,
                        float *sum) {
    if (type == FV_F32)
        sum_columns(rows, n, ld, x, FV_F32, sum);
    else
        sum_columns(rows, n, ld, x, FV_BF16, sum);
}

static void square_sums(int64_t rows, int64_t n, const void *x, fv_dtype type, const float *mean,
                        float *sum) {
    if (type == FV_F32)
        sum_squares_of(rows, n, x, FV_F32, mean, sum);
    else
        sum_squares_of(rows, n, x, FV_BF16, mean, sum);
}

static void product_sums(int64_t rows, int64_t n, const void *x, fv_dtype x_type, const float *mean,
                         const void *y, fv_dtype y_type, float *product, float *sum) {
    if (x_type == FV_F32 && y_type == FV_F32)
        sum_products(rows, n, x, FV_F32, mean, y, FV_F32, product, sum);
    else if (x_type == FV_BF16 && y_type == FV_BF16)
        sum_products(rows, n, x, FV_BF16, mean, y, FV_BF16, product, sum);
    else
        sum_products(rows, n, x, x_type, mean, y, y_type, product, sum);
}

static void normalize(int64_t rows, int64_t n, const void *x, fv_dtype x_type, const float *mean,
                      const float *a, const float *b, void *y, fv_dtype y_type) {
    if (x_type == FV_F32 && y_type == FV_F32)
        normalize_as(rows, n, x, FV_F32, mean, a, b, y, FV_F32);
    else if (x_type == FV_BF16 && y_type == FV_BF16)
        normalize_as(rows, n, x, FV_BF16, mean, a, b, y, FV_BF16);
    else
        normalize_as(rows, n, x, x_type, mean, a, b, y, y_type);
}

static void normalize_backward(int64_t rows, int64_t n, const void *x, fv_dtype x_type,
                               const float *mean, const void *dy, fv_dtype dy_type, const float *a,
                               const float *c, const float *b, void *dx, fv_dtype dx_type) {
    if (x_type == FV_F32 && dy_type == FV_F32 && dx_type == FV_F32)
        normalize_back(rows, n, x, FV_F32, mean, dy, FV_F32, a, c, b, dx, FV_F32);
    else if (x_type == FV_BF16 && dy_type == FV_BF16 && dx_type == FV_BF16)
        normalize_back(rows, n, x, FV_BF16, mean, dy, FV_BF16, a, c, b, dx, FV_BF16);
    else
        normalize_back(rows, n, x, x_type, mean, dy, dy_type, a, c, b, dx, dx_type);
}

#endif

#endif
