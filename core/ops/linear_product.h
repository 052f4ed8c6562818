/* linear_product.h - the matrix products of a linear layer on the fixed grid, for op_linear.c and
 * op_linear_gelu.c.  Inputs of y: x [B, ..., I], W [O, ...] of I = numel / O, optional bias [O]. */
#ifndef FV_CORE_OPS_LINEAR_PRODUCT_H
#define FV_CORE_OPS_LINEAR_PRODUCT_H

#include "core/op.h"

/* Checks the three inputs and sets y->shape. */
fv_status fv_linear_shape(fv_var *y);

/* A weight in the dtype of the product: its value, or its bf16 copy. */
fv_status fv_weight_data(const fv_var *w, fv_dtype dtype, const void **data);

/* Called for each finished tile of the output, by the thread that computed it. */
typedef void fv_linear_tile_fn(fv_span rows, fv_span cols, void *arg);

/* out [rows, O] = x W^T + b, in x's dtype; after may be NULL. */
fv_status fv_linear_product(const fv_var *y, void *out, fv_dtype out_dtype,
                            fv_linear_tile_fn *after, void *arg);

/* From dz = gradient of x W^T + b, in x's dtype: dx[0] = dz W, dx[1] = dz^T x and dx[2] = column sums
 * of dz, chunk by chunk.  All tiles of both products are tasks of one parallel region. */
fv_status fv_linear_product_backward(const fv_var *y, const void *dz, fv_grad dx[]);

fv_cost fv_linear_cost(const fv_var *y);

#endif
