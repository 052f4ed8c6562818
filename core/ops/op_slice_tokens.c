/* op_slice_tokens.c - `count` tokens of each sample from `first` on, x [B,N,C] -> y [B,count,C], or of
 * each window, x [B,nW,N,C] -> y [B,nW,count,C], in x's dtype.  dx is dy there and zero elsewhere. */
#include "core/ops/row.h"

#include <inttypes.h>

typedef struct slice_attr {
    int64_t first, count;
} slice_attr;

static fv_status shape(fv_var *y) {
    const slice_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 3 && x->rank != 4)
        return FV_FAIL(FV_ERR_SHAPE, "slice_tokens: input %s is not [B,N,C] or [B,nW,N,C]",
                       fv_shape_text(x, text));
    if (a->first < 0 || a->count < 1 || a->first > x->dim[x->rank - 2] - a->count)
        return FV_FAIL(FV_ERR_SHAPE,
                       "slice_tokens: no %" PRId64 " tokens from %" PRId64 " on in %s", a->count,
                       a->first, fv_shape_text(x, text));
    y->shape = *x;
    y->shape.dim[x->rank - 2] = a->count;
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

static fv_status forward(fv_var *y) {
    const slice_attr *a = y->attr;
    const fv_var *x = y->in[0];
    const int64_t N = fv_dim(x, -2), C = fv_dim(x, -1), n = a->count * C;
    const int64_t windows = n ? fv_shape_numel(&y->shape) / n : 0;

    for (int64_t b = 0; b < windows; b++)
        fv_row_copy(y->data, y->dtype, b * n, x->data, x->dtype, (b * N + a->first) * C, n);
    return FV_OK;
}

typedef struct args {
    const slice_attr *attr;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t N, C;
} args;

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->C * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        const int64_t b = row / a->N, token = row % a->N - a->attr->first;
        if (token < 0 || token >= a->attr->count)
            fv_grad_zero(a->dx, row * a->C, a->C);
        else
            fv_grad_copy(a->dx, row * a->C, a->dy->data, a->dy->dtype,
                         (b * a->attr->count + token) * a->C, a->C, buffer);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_var *x = y->in[0];
    const fv_grid grid = fv_grid_of(x);
    args a = {y->attr, dy, dx, fv_dim(x, -2), fv_dim(x, -1)};

    FV_TRY(fv_scratch_reserve((size_t)a.C * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    return FV_OK;
}

/* Tokens that are not read get zeros. */
const fv_op fv_op_slice_tokens = {.name = "slice_tokens",
                                  .arity = 1,
                                  .attr_bytes = sizeof(slice_attr),
                                  .shape = shape,
                                  .forward = forward,
                                  .backward = backward,
                                  .moves = true,
                                  .relevance = fv_relevance_move,
                                  .cost = fv_cost_elementwise};

fv_var *fv_slice_tokens(fv_var *x, int64_t first, int64_t count) {
    return fv_apply(&fv_op_slice_tokens, (fv_var *[]){x}, &(slice_attr){first, count});
}
