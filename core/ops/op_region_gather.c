/* op_region_gather.c - the pixels of the regions chosen for each region, one after the other:
 * x [B,R,n,C], index [B,R,K] i32 -> y [B,R,K n,C],  y[b,r,k n + i] = x[b,index[b,r,k],i].
 * dx is the sum of dy over the places that read an element, in the order of r, then of the index.
 * A part of composed routed attention. */
#include "core/ops/row.h"

#include <string.h>

static fv_status shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape, *index = &y->in[1]->shape;
    char xs[FV_SHAPE_TEXT], is[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4 || y->in[1]->dtype != FV_I32 || index->rank != 3 ||
        index->dim[0] != x->dim[0] || index->dim[1] != x->dim[1] || index->dim[2] < 1)
        return FV_FAIL(FV_ERR_SHAPE, "region_gather: index %s does not fit %s, [B,R,n,C]",
                       fv_shape_text(index, is), fv_shape_text(x, xs));
    y->shape = fv_shape_of(4, x->dim[0], x->dim[1], index->dim[2] * x->dim[2], x->dim[3]);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    const int32_t *index;
    int64_t R, K, size; /* size: elements of a region, n C */
} args;

static args make_args(const fv_var *y) {
    const int64_t *x = y->in[0]->shape.dim;
    return (args){.y = y,
                  .index = y->in[1]->data,
                  .R = x[1],
                  .K = y->in[1]->shape.dim[2],
                  .size = x[2] * x[3]};
}

static fv_status check_index(const args *a) {
    const int64_t n = fv_shape_numel(&a->y->in[1]->shape);

    for (int64_t i = 0; i < n; i++)
        if (a->index[i] < 0 || a->index[i] >= a->R)
            return FV_FAIL(FV_ERR_FORMAT, "%s: region %d is not in 0..%d", a->y->op->name,
                           (int)a->index[i], (int)a->R - 1);
    return FV_OK;
}

/* What is read for region `task` of all samples' regions. */
static void forward_region(int64_t task, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    const int64_t b = task / a->R;

    for (int64_t i = task * a->K; i < (task + 1) * a->K; i++)
        fv_row_copy(a->y->data, a->y->dtype, i * a->size, x->data, x->dtype,
                    (b * a->R + a->index[i]) * a->size, a->size);
}

static fv_status forward(fv_var *y) {
    args a = make_args(y);

    FV_TRY(check_index(&a));
    fv_parallel(y->shape.dim[0] * a.R, forward_region, &a);
    return FV_OK;
}

static void backward_sample(int64_t b, void *arg) {
    const args *a = arg;
    const int64_t n = a->R * a->K;
    float *sum = fv_scratch((size_t)((a->R + 1) * a->size) * sizeof(float));
    float *buffer = sum + a->R * a->size;

    memset(sum, 0, (size_t)(a->R * a->size) * sizeof *sum);
    for (int64_t i = b * n; i < (b + 1) * n; i++) {
        const float *dy = fv_row_read(a->dy->data, a->dy->dtype, i * a->size, a->size, buffer);
        fv_kernel()->axpy(a->size, 1.0f, dy, sum + a->index[i] * a->size);
    }
    fv_grad_store(a->dx, b * a->R * a->size, a->R * a->size, sum);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y);

    if (!dx[0].data) return FV_OK;
    a.dy = dy;
    a.dx = &dx[0];
    FV_TRY(fv_scratch_reserve((size_t)((a.R + 1) * a.size) * sizeof(float)));
    fv_parallel(y->shape.dim[0], backward_sample, &a);
    return FV_OK;
}

/* Copies: an element that several regions read collects what each of them sends. */
const fv_op fv_op_region_gather = {.name = "region_gather",
                                   .arity = 2,
                                   .reads = FV_READS_IN(1),
                                   .shape = shape,
                                   .forward = forward,
                                   .backward = backward,
                                   .moves = true,
                                   .relevance = fv_relevance_move,
                                   .cost = fv_cost_elementwise};

fv_var *fv_region_gather(fv_var *x, fv_var *index) {
    return fv_apply(&fv_op_region_gather, (fv_var *[]){x, index}, NULL);
}
