/* softmax_rows.h - the rows of attention's scores between its products: n elements each, ld apart, in f32, and
 * rounded for products of bf16 (x16, dx16; NULL where products take f32). */
#ifndef FV_CORE_OPS_SOFTMAX_ROWS_H
#define FV_CORE_OPS_SOFTMAX_ROWS_H

#include "core/tensor.h"

/* x = softmax(a x) of each row; lse [rows] = log sum_j exp(a x_j), NULL: nobody asks. */
void fv_softmax_rows(int64_t rows, int64_t n, int64_t ld, float a, float *x, fv_bf16 *x16,
                     float *lse);

/* x = y, the softmax of each row again, from its lse, and dx = a y (dx - sum_j y_j dx_j), dx having been the
 * gradient of y. */
void fv_softmax_rows_gradient(int64_t rows, int64_t n, int64_t ld, float a, const float *lse,
                              float *x, float *dx, fv_bf16 *x16, fv_bf16 *dx16);

/* What products then take: x as it is, or as it was rounded. */
static inline const void *fv_rows_operand(const float *x, const fv_bf16 *x16) {
    return x16 ? (const void *)x16 : x;
}

#endif
