/* op_cast.c - y = x in another dtype, f32 or bf16, rounded to nearest even where it gets narrower.
 * dx = dy. */
#include "core/ops/row.h"

typedef struct cast_attr {
    fv_dtype out;
} cast_attr;

static fv_status shape(fv_var *y) {
    FV_TRY(fv_check_dtype(y, y->in[0], true));
    y->shape = y->in[0]->shape;
    y->dtype = ((const cast_attr *)y->attr)->out;
    return FV_OK;
}

/* Rows of one tensor stored into another. */
typedef struct args {
    const void *from;
    fv_dtype dtype;
    fv_grad to;
    int64_t n;
} args;

static void copy_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t i = first * a->n; i < (first + count) * a->n; i += a->n)
        fv_grad_copy(&a->to, i, a->from, a->dtype, i, a->n, buffer);
}

static fv_status copy(const fv_var *y, const void *from, fv_dtype dtype, const fv_grad *to) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_row_length(y);

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    fv_parallel_rows(&grid, copy_rows, &(args){from, dtype, *to, n});
    return FV_OK;
}

static fv_status forward(fv_var *y) {
    return copy(y, y->in[0]->data, y->in[0]->dtype, &(fv_grad){.data = y->data, .dtype = y->dtype});
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    return dx[0].data ? copy(y, dy->data, dy->dtype, &dx[0]) : FV_OK;
}

/* The same number. */
const fv_op fv_op_cast = {.name = "cast",
                          .arity = 1,
                          .attr_bytes = sizeof(cast_attr),
                          .shape = shape,
                          .forward = forward,
                          .backward = backward,
                          .relevance = fv_relevance_identity,
                          .cost = fv_cost_elementwise};

fv_var *fv_cast(fv_var *x, fv_dtype out) {
    return fv_apply(&fv_op_cast, (fv_var *[]){x}, &(cast_attr){out});
}
