/* op_join_prefix.c - prefix tokens (class token, registers) in front of grid tokens, so that one softmax
 * sees both: prefix [B,P,C], x [B,N,C] -> y [B,P+N,C];  x [B,nW,N,C] -> y [B,nW,P+N,C], every window
 * with its own copy of the prefix, whose gradient is the sum over windows in their order. */
#include "core/ops/row.h"

#include <string.h>

static fv_status shape(fv_var *y) {
    const fv_shape *p = &y->in[0]->shape, *x = &y->in[1]->shape;
    char ps[FV_SHAPE_TEXT], xs[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    FV_TRY(fv_check_dtype(y, y->in[1], true));
    if (p->rank != 3 || (x->rank != 3 && x->rank != 4) || p->dim[0] != x->dim[0] ||
        p->dim[2] != fv_shape_last(x))
        return FV_FAIL(FV_ERR_SHAPE, "join_prefix: %s and %s are not [B,P,C] and [B,(nW,)N,C]",
                       fv_shape_text(p, ps), fv_shape_text(x, xs));
    if (y->in[0]->dtype != y->in[1]->dtype)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "join_prefix: prefix and tokens differ in type");
    y->shape = *x;
    y->shape.dim[x->rank - 2] += p->dim[1];
    y->dtype = y->in[1]->dtype;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t P, N, C, windows; /* windows: per sample */
} args;

static args make_args(const fv_var *y, const fv_tensor *dy, const fv_grad *dx) {
    return (args){.y = y,
                  .dy = dy,
                  .dx = dx,
                  .P = y->in[0]->shape.dim[1],
                  .N = fv_dim(y->in[1], -2),
                  .C = fv_dim(y, -1),
                  .windows = y->shape.rank == 4 ? y->shape.dim[1] : 1};
}

static fv_status over_rows(const fv_var *x, fv_rows_fn *fn, args *a) {
    const fv_grid grid = fv_grid_of(x);

    FV_TRY(fv_scratch_reserve((size_t)(2 * a->C) * sizeof(float)));
    fv_parallel_rows(&grid, fn, a);
    return FV_OK;
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_dtype dtype = a->y->dtype;

    for (int64_t row = first; row < first + count; row++) {
        const int64_t window = row / (a->P + a->N), i = row % (a->P + a->N);
        const int64_t from = i < a->P ? window / a->windows * a->P + i : window * a->N + i - a->P;
        fv_row_copy(a->y->data, dtype, row * a->C, a->y->in[i < a->P ? 0 : 1]->data, dtype,
                    from * a->C, a->C);
    }
}

static fv_status forward(fv_var *y) {
    args a = make_args(y, NULL, NULL);
    return over_rows(y, forward_rows, &a);
}

static void prefix_backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *sum = fv_scratch((size_t)(2 * a->C) * sizeof(float)), *buffer = sum + a->C;

    for (int64_t row = first; row < first + count; row++) {
        const int64_t b = row / a->P, i = row % a->P;
        memset(sum, 0, (size_t)a->C * sizeof(float));
        for (int64_t w = b * a->windows; w < (b + 1) * a->windows; w++)
            fv_kernel()->axpy(a->C, 1.0f,
                              fv_row_read(a->dy->data, a->dy->dtype, (w * (a->P + a->N) + i) * a->C,
                                          a->C, buffer),
                              sum);
        fv_grad_store(&a->dx[0], row * a->C, a->C, sum);
    }
}

static void token_backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)(2 * a->C) * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        const int64_t from = row / a->N * (a->P + a->N) + a->P + row % a->N;
        fv_grad_copy(&a->dx[1], row * a->C, a->dy->data, a->dy->dtype, from * a->C, a->C, buffer);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y, dy, dx);

    if (dx[0].data) FV_TRY(over_rows(y->in[0], prefix_backward_rows, &a));
    if (dx[1].data) FV_TRY(over_rows(y->in[1], token_backward_rows, &a));
    return FV_OK;
}

/* Copies: what reaches those of a prefix token adds up. */
const fv_op fv_op_join_prefix = {.name = "join_prefix",
                                 .arity = 2,
                                 .shape = shape,
                                 .forward = forward,
                                 .backward = backward,
                                 .moves = true,
                                 .relevance = fv_relevance_move,
                                 .cost = fv_cost_elementwise};

fv_var *fv_join_prefix(fv_var *prefix, fv_var *x) {
    return fv_apply(&fv_op_join_prefix, (fv_var *[]){prefix, x}, NULL);
}
