/* op_scale.c - y = factor x, of x's dtype.  dx = factor dy. */
#include "core/ops/row.h"

typedef struct scale_attr {
    float factor;
} scale_attr;

static fv_status shape(fv_var *y) {
    FV_TRY(fv_check_dtype(y, y->in[0], true));
    y->shape = y->in[0]->shape;
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

/* Forward y = factor x, backward dx = factor dy: both scale a source into a gradient-like target. */
typedef struct args {
    const void *from;
    fv_dtype dtype;
    fv_grad to;
    float factor;
    int64_t n;
} args;

static void scale_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t i = first * a->n; i < (first + count) * a->n; i += a->n) {
        const float *x = fv_row_read(a->from, a->dtype, i, a->n, buffer);
        float *out = fv_grad_open(&a->to, i, buffer);
        fv_kernel()->scale(a->n, a->factor, x, out);
        fv_grad_close(&a->to, i, a->n, out);
    }
}

static fv_status run(const fv_var *y, const void *from, fv_dtype dtype, const fv_grad *to) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_row_length(y);

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    fv_parallel_rows(&grid, scale_rows,
                     &(args){from, dtype, *to, ((const scale_attr *)y->attr)->factor, n});
    return FV_OK;
}

static fv_status forward(fv_var *y) {
    return run(y, y->in[0]->data, y->in[0]->dtype, &(fv_grad){.data = y->data, .dtype = y->dtype});
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    return run(y, dy->data, dy->dtype, &dx[0]);
}

/* A constant factor takes no relevance. */
const fv_op fv_op_scale = {.name = "scale",
                           .arity = 1,
                           .attr_bytes = sizeof(scale_attr),
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .relevance = fv_relevance_identity,
                           .cost = fv_cost_elementwise};

fv_var *fv_scale(fv_var *x, float factor) {
    return fv_apply(&fv_op_scale, (fv_var *[]){x}, &(scale_attr){factor});
}
