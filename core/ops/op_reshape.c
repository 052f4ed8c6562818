/* op_reshape.c - the same elements in another shape; axis 0, the sample, stays.
 *
 * y is an alias of x (fv_op.alias): no op writes into its inputs, buffers are known to the memory plan
 * by number and y carries x's, so every later read of y keeps x's buffer alive.  Hence nothing is
 * copied forward, and in backward only where x already has a gradient from another reader. */
#include "core/ops/row.h"

typedef struct reshape_attr {
    fv_shape shape;
} reshape_attr;

static fv_status shape(fv_var *y) {
    const fv_shape *to = &((const reshape_attr *)y->attr)->shape, *x = &y->in[0]->shape;
    char xs[FV_SHAPE_TEXT], ys[FV_SHAPE_TEXT];
    int64_t numel;

    FV_TRY(fv_shape_check(to, &numel));
    if (to->rank < 1 || x->rank < 1 || to->dim[0] != x->dim[0] || numel != fv_shape_numel(x))
        return FV_FAIL(FV_ERR_SHAPE, "reshape: %s cannot be %s", fv_shape_text(x, xs),
                       fv_shape_text(to, ys));
    y->shape = *to;
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

typedef struct args {
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t n;
} args;

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t i = first * a->n; i < (first + count) * a->n; i += a->n)
        fv_grad_copy(a->dx, i, a->dy->data, a->dy->dtype, i, a->n, buffer);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_row_length(y);

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &(args){dy, &dx[0], n});
    return FV_OK;
}

static fv_cost no_cost(const fv_var *y) {
    (void)y;
    return (fv_cost){0};
}

const fv_op fv_op_reshape = {.name = "reshape",
                             .arity = 1,
                             .attr_bytes = sizeof(reshape_attr),
                             .alias = true,
                             .passes = 1u << 0,
                             .shape = shape,
                             .backward = backward,
                             .moves = true,
                             .relevance = fv_relevance_move,
                             .cost = no_cost};

fv_var *fv_reshape(fv_var *x, fv_shape shape) {
    return fv_apply(&fv_op_reshape, (fv_var *[]){x}, &(reshape_attr){shape});
}

fv_var *fv_map_to_tokens(fv_var *x) {
    const fv_shape *s = &x->shape;
    return s->rank == 4 ? fv_reshape(x, fv_shape_of(3, s->dim[0], s->dim[1] * s->dim[2], s->dim[3]))
                        : fv_reshape(x, (fv_shape){0});
}

fv_var *fv_tokens_to_map(fv_var *x, int64_t H, int64_t W) {
    return fv_reshape(x, fv_shape_of(4, x->shape.dim[0], H, W, fv_shape_last(&x->shape)));
}
