/* op_gelu.c - y = x Phi(x), Phi the standard normal distribution function (Hendrycks and Gimpel 2016).
 * x [...] -> y [...], of x's dtype.  dx = dy (Phi(x) + x phi(x)). */
#include "core/ops/row.h"

#include <math.h>

static fv_status shape(fv_var *y) {
    FV_TRY(fv_check_dtype(y, y->in[0], true));
    y->shape = y->in[0]->shape;
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t n;
} args;

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t i = first * a->n; i < (first + count) * a->n; i += a->n) {
        float *out = fv_row_open(a->y->data, a->y->dtype, i, buffer);
        fv_kernel()->gelu(a->n, fv_row_read(x->data, x->dtype, i, a->n, buffer), out);
        fv_row_close(a->y->data, a->y->dtype, i, a->n, out);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_row_length(y);

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, &(args){.y = y, .n = n});
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    float *buffer = fv_scratch((size_t)(3 * a->n) * sizeof(float));

    for (int64_t i = first * a->n; i < (first + count) * a->n; i += a->n) {
        const float *xi = fv_row_read(x->data, x->dtype, i, a->n, buffer);
        const float *dy = fv_row_read(a->dy->data, a->dy->dtype, i, a->n, buffer + a->n);
        float *dx = fv_grad_open(a->dx, i, buffer + 2 * a->n);
        fv_kernel()->gelu_backward(a->n, xi, dy, dx);
        fv_grad_close(a->dx, i, a->n, dx);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_row_length(y);

    FV_TRY(fv_scratch_reserve((size_t)(3 * n) * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &(args){.y = y, .dy = dy, .dx = &dx[0], .n = n});
    return FV_OK;
}

/* GI: g Phi(x), which is g y / x without the division.  R: passes. */
static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    const float *x = y->in[0]->data;
    const int64_t n = fv_shape_numel(&y->shape);

    if (ry->kind == FV_SIGNAL_R) return fv_relevance_identity(y, ry, rx, rule);
    for (int64_t i = 0; rx[0].data && i < n; i++)
        rx[0].data[i] = ry->data[i] * 0.5f * erfcf(-x[i] * 0.70710678118654752f);
    return FV_OK;
}

const fv_op fv_op_gelu = {.name = "gelu",
                          .arity = 1,
                          .reads = FV_READS_IN(0),
                          .shape = shape,
                          .forward = forward,
                          .backward = backward,
                          .relevance = relevance,
                          .cost = fv_cost_elementwise};

fv_var *fv_gelu(fv_var *x) { return fv_apply(&fv_op_gelu, (fv_var *[]){x}, NULL); }
