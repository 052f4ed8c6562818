/* op_linear.c - y = x W^T + b, x [B, ..., I], W [O, I], b [O] -> y [B, ..., O].
 *
 * A convolution with kernel = stride is this op on patchified input: W may have any shape [O, ...].
 * dx = dy W;  dW = sum over rows of dy^T x;  db = sum over rows of dy. */
#include "core/ops/linear_product.h"
#include "core/ops/row.h"

typedef struct linear_attr {
    int32_t f32; /* write f32 whatever x is */
} linear_attr;

static fv_status shape(fv_var *y) {
    const linear_attr *attr = y->attr;
    y->dtype = attr->f32 ? FV_F32 : y->in[0]->dtype;
    return fv_linear_shape(y);
}

static fv_status forward(fv_var *y) { return fv_linear_product(y, y->data, y->dtype, NULL, NULL); }

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const void *dz;

    FV_TRY(fv_grad_narrow(y, dy, y->in[0]->dtype, &dz));
    return fv_linear_product_backward(y, dz, dx);
}

const fv_op fv_op_linear = {.name = "linear",
                            .arity = 3,
                            .params = 1u << 1 | 1u << 2,
                            .reads = FV_READS_IN(0) | FV_READS_IN(1),
                            .attr_bytes = sizeof(linear_attr),
                            .shape = shape,
                            .forward = forward,
                            .backward = backward,
                            .relevance = fv_relevance_affine,
                            .cost = fv_linear_cost};

fv_var *fv_linear(fv_var *x, fv_var *weight, fv_var *bias) {
    return fv_apply(&fv_op_linear, (fv_var *[]){x, weight, bias}, &(linear_attr){0});
}

fv_var *fv_linear_f32(fv_var *x, fv_var *weight, fv_var *bias) {
    return fv_apply(&fv_op_linear, (fv_var *[]){x, weight, bias}, &(linear_attr){1});
}
