/* kernels_map_types.h - the kernels of batch norm, of which each instruction set has the bodies: with types, and ReLU,
 * that are constants where they are usual.  Included behind the bodies, which the compiler inlines. */
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

static inline __attribute__((always_inline)) void product_sums_as(const fv_norm_rows *x, bool relu,
                                                                  const void *dy, fv_dtype dy_type,
                                                                  float *product, float *sum) {
    if (x->type == FV_F32 && dy_type == FV_F32)
        sum_products(x, relu, FV_F32, dy, FV_F32, product, sum);
    else if (x->type == FV_BF16 && dy_type == FV_BF16)
        sum_products(x, relu, FV_BF16, dy, FV_BF16, product, sum);
    else
        sum_products(x, relu, x->type, dy, dy_type, product, sum);
}

static void product_sums(const fv_norm_rows *x, const void *dy, fv_dtype dy_type, float *product,
                         float *sum) {
    if (x->relu)
        product_sums_as(x, true, dy, dy_type, product, sum);
    else
        product_sums_as(x, false, dy, dy_type, product, sum);
}

static inline __attribute__((always_inline)) void normalize_rows(const fv_norm_rows *x, bool relu,
                                                                 void *y, fv_dtype y_type) {
    if (x->type == FV_F32 && y_type == FV_F32)
        normalize_as(x, relu, FV_F32, y, FV_F32);
    else if (x->type == FV_BF16 && y_type == FV_BF16)
        normalize_as(x, relu, FV_BF16, y, FV_BF16);
    else
        normalize_as(x, relu, x->type, y, y_type);
}

static void normalize(const fv_norm_rows *x, void *y, fv_dtype y_type) {
    if (x->relu)
        normalize_rows(x, true, y, y_type);
    else
        normalize_rows(x, false, y, y_type);
}

static inline __attribute__((always_inline)) void
normalize_rows_back(const fv_norm_rows *x, bool relu, const void *dy, fv_dtype dy_type,
                    const float *c, const float *d, void *dx, fv_dtype dx_type) {
    if (x->type == FV_F32 && dy_type == FV_F32 && dx_type == FV_F32)
        normalize_back(x, relu, FV_F32, dy, FV_F32, c, d, dx, FV_F32);
    else if (x->type == FV_BF16 && dy_type == FV_BF16 && dx_type == FV_BF16)
        normalize_back(x, relu, FV_BF16, dy, FV_BF16, c, d, dx, FV_BF16);
    else
        normalize_back(x, relu, x->type, dy, dy_type, c, d, dx, dx_type);
}

static void normalize_backward(const fv_norm_rows *x, const void *dy, fv_dtype dy_type,
                               const float *c, const float *d, void *dx, fv_dtype dx_type) {
    if (x->relu)
        normalize_rows_back(x, true, dy, dy_type, c, d, dx, dx_type);
    else
        normalize_rows_back(x, false, dy, dy_type, c, d, dx, dx_type);
}

#endif

#endif
