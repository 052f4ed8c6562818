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

static inline __attribute__((always_inline)) void product_sums_as(const fv_norm_rows *in, bool relu,
                                                                  const void *dy, fv_dtype dy_type,
                                                                  float *product, float *sum) {
    if (in->type == FV_F32 && dy_type == FV_F32)
        sum_products(in, relu, FV_F32, dy, FV_F32, product, sum);
    else if (in->type == FV_BF16 && dy_type == FV_BF16)
        sum_products(in, relu, FV_BF16, dy, FV_BF16, product, sum);
    else
        sum_products(in, relu, in->type, dy, dy_type, product, sum);
}

static void product_sums(const fv_norm_rows *in, const void *dy, fv_dtype dy_type, float *product,
                         float *sum) {
    if (in->relu)
        product_sums_as(in, true, dy, dy_type, product, sum);
    else
        product_sums_as(in, false, dy, dy_type, product, sum);
}

static inline __attribute__((always_inline)) void normalize_rows(const fv_norm_rows *in, bool relu,
                                                                 void *y, fv_dtype y_type) {
    if (in->type == FV_F32 && y_type == FV_F32)
        normalize_as(in, relu, FV_F32, y, FV_F32);
    else if (in->type == FV_BF16 && y_type == FV_BF16)
        normalize_as(in, relu, FV_BF16, y, FV_BF16);
    else
        normalize_as(in, relu, in->type, y, y_type);
}

static void normalize(const fv_norm_rows *in, void *y, fv_dtype y_type) {
    if (in->relu)
        normalize_rows(in, true, y, y_type);
    else
        normalize_rows(in, false, y, y_type);
}

static inline __attribute__((always_inline)) void
normalize_rows_back(const fv_norm_rows *in, bool relu, const void *dy, fv_dtype dy_type,
                    const float *c, const float *d, void *dx, fv_dtype dx_type) {
    if (in->type == FV_F32 && dy_type == FV_F32 && dx_type == FV_F32)
        normalize_back(in, relu, FV_F32, dy, FV_F32, c, d, dx, FV_F32);
    else if (in->type == FV_BF16 && dy_type == FV_BF16 && dx_type == FV_BF16)
        normalize_back(in, relu, FV_BF16, dy, FV_BF16, c, d, dx, FV_BF16);
    else
        normalize_back(in, relu, in->type, dy, dy_type, c, d, dx, dx_type);
}

static void normalize_backward(const fv_norm_rows *in, const void *dy, fv_dtype dy_type,
                               const float *c, const float *d, void *dx, fv_dtype dx_type) {
    if (in->relu)
        normalize_rows_back(in, true, dy, dy_type, c, d, dx, dx_type);
    else
        normalize_rows_back(in, false, dy, dy_type, c, d, dx, dx_type);
}

#endif

#endif
