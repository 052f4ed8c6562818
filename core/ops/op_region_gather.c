/* op_region_gather.c - the pixels of the regions chosen for each region, one after the other:
 * x [B,h,R,n,d], index [B,R,K] i32 -> y [B,h,R,K n,d],  y[b,a,r,k n + i] = x[b,a,index[b,r,k],i].
 * dx is the sum of dy over the places that read an element, in the order of r, then of the index.
 * A part of composed routed attention. */
#include "core/ops/row.h"

#include <string.h>

static fv_status shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape, *index = &y->in[1]->shape;
    char xs[FV_SHAPE_TEXT], is[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 5 || y->in[1]->dtype != FV_I32 || index->rank != 3 ||
        index->dim[0] != x->dim[0] || index->dim[1] != x->dim[2] || index->dim[2] < 1)
        return FV_FAIL(FV_ERR_SHAPE, "region_gather: index %s does not fit %s, [B,h,R,n,d]",
                       fv_shape_text(index, is), fv_shape_text(x, xs));
    y->shape =
        fv_shape_of(5, x->dim[0], x->dim[1], x->dim[2], index->dim[2] * x->dim[3], x->dim[4]);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    const int32_t *index;
    int64_t h, R, K, size; /* size: elements of a region, n d */
} args;

static args make_args(const fv_var *y) {
    const int64_t *x = y->in[0]->shape.dim;
    return (args){.y = y,
                  .index = y->in[1]->data,
                  .h = x[1],
                  .R = x[2],
                  .K = y->in[1]->shape.dim[2],
                  .size = x[3] * x[4]};
}

static fv_status check_index(const args *a) {
    const int64_t n = fv_shape_numel(&a->y->in[1]->shape);

    for (int64_t i = 0; i < n; i++)
        if (a->index[i] < 0 || a->index[i] >= a->R)
            return FV_FAIL(FV_ERR_FORMAT, "%s: region %d is not in 0..%d", a->y->op->name,
                           (int)a->index[i], (int)a->R - 1);
    return FV_OK;
}

/* One sample and head. */
static void forward_head(int64_t task, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    const int32_t *index = a->index + task / a->h * a->R * a->K;

    for (int64_t i = 0; i < a->R * a->K; i++)
        fv_row_copy(a->y->data, a->y->dtype, (task * a->R * a->K + i) * a->size, x->data, x->dtype,
                    (task * a->R + index[i]) * a->size, a->size);
}

static fv_status forward(fv_var *y) {
    args a = make_args(y);

    FV_TRY(check_index(&a));
    fv_parallel(y->shape.dim[0] * a.h, forward_head, &a);
    return FV_OK;
}

static void backward_head(int64_t task, void *arg) {
    const args *a = arg;
    const int32_t *index = a->index + task / a->h * a->R * a->K;
    float *sum = fv_scratch((size_t)((a->R + 1) * a->size) * sizeof(float));
    float *buffer = sum + a->R * a->size;

    memset(sum, 0, (size_t)(a->R * a->size) * sizeof *sum);
    for (int64_t i = 0; i < a->R * a->K; i++)
        fv_kernel()->axpy(a->size, 1.0f,
                          fv_row_read(a->dy->data, a->dy->dtype, (task * a->R * a->K + i) * a->size,
                                      a->size, buffer),
                          sum + index[i] * a->size);
    fv_grad_store(a->dx, task * a->R * a->size, a->R * a->size, sum);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y);

    if (!dx[0].data) return FV_OK;
    a.dy = dy;
    a.dx = &dx[0];
    FV_TRY(fv_scratch_reserve((size_t)((a.R + 1) * a.size) * sizeof(float)));
    fv_parallel(y->shape.dim[0] * a.h, backward_head, &a);
    return FV_OK;
}

/* Copies: an element that several regions read collects what each of them sends. */
const fv_op fv_op_region_gather = {.name = "region_gather",
                                   .arity = 2,
                                   .reads = FV_READS_IN(1),
                                   .shape = shape,
                                   .forward = forward,
                                   .backward = backward,
                                   .relevance = fv_relevance_move,
                                   .cost = fv_cost_elementwise};

fv_var *fv_region_gather(fv_var *x, fv_var *index) {
    return fv_apply(&fv_op_region_gather, (fv_var *[]){x, index}, NULL);
}
