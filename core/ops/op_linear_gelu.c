/* op_linear_gelu.c - y = gelu(x W^T + b) in one pass: a tile of z = x W^T + b goes through GELU while
 * it is in cache.  z is saved for backward, dz = dy gelu'(z), or gelu'(z) once y has been restored; in
 * FV_INFER it is written nowhere.
 * The composed form gelu(linear(x)) is the oracle in tests and what FV_EXPLAIN uses. */
#include "core/ops/linear_product.h"
#include "core/ops/row.h"

static fv_status shape(fv_var *y) {
    FV_TRY(fv_linear_shape(y));
    y->dtype = y->in[0]->dtype;
    if (y->needs_grad) {
        y->n_saved = 1;
        y->saved[0] = (fv_tensor){NULL, y->dtype, y->shape};
    }
    return FV_OK;
}

typedef struct gelu_args {
    const void *z;
    const void *dy; /* backward */
    float *slope;   /* gelu'(z), in the place of z; NULL: not there */
    void *out;
    fv_dtype dtype, dy_dtype;
    int64_t columns;
} gelu_args;

static void gelu_tile(fv_span rows, fv_span cols, void *arg) {
    const gelu_args *a = arg;

    for (int64_t r = rows.first; r < rows.first + rows.count; r++) {
        const int64_t i = r * a->columns + cols.first;
        fv_kernel()->gelu(cols.count, fv_row_at(a->z, a->dtype, i), fv_row_at(a->out, a->dtype, i),
                          a->dtype);
    }
}

static fv_status forward(fv_var *y) {
    void *z = y->n_saved ? y->saved[0].data : y->data;
    gelu_args args = {
        .z = z, .out = y->data, .dtype = y->dtype, .columns = fv_shape_last(&y->shape)};

    return fv_linear_product(y, z, y->dtype, gelu_tile, &args);
}

/* In f32 the slope gelu'(z), which costs little beside gelu(z), takes the place of z. */
static void restore_rows(int64_t first, int64_t count, void *arg) {
    const gelu_args *a = arg;
    const int64_t i = first * a->columns, n = count * a->columns;

    if (a->dtype == FV_F32)
        fv_kernel()->gelu_and_slope(n, (const float *)a->z + i, (float *)a->out + i, a->slope + i);
    else
        fv_kernel()->gelu(n, fv_row_at(a->z, a->dtype, i), fv_row_at(a->out, a->dtype, i),
                          a->dtype);
}

static fv_status restore(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    gelu_args args = {.z = y->saved[0].data,
                      .slope = y->saved[0].data,
                      .out = y->data,
                      .dtype = y->dtype,
                      .columns = fv_shape_last(&y->shape)};

    fv_parallel_rows(&grid, restore_rows, &args);
    return FV_OK;
}

static void gelu_backward_rows(int64_t first, int64_t count, void *arg) {
    const gelu_args *a = arg;
    const int64_t i = first * a->columns, n = count * a->columns;
    const void *dy = fv_row_at(a->dy, a->dy_dtype, i);
    void *dz = fv_row_at(a->out, a->dtype, i);

    if (a->slope)
        for (int64_t k = 0; k < n; k++) ((float *)dz)[k] = ((const float *)dy)[k] * a->slope[i + k];
    else
        fv_kernel()->gelu_backward(n, fv_row_at(a->z, a->dtype, i), a->dtype, dy, a->dy_dtype, dz);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_shape_last(&y->shape);
    float *slope = y->restored && y->dtype == FV_F32 ? y->saved[0].data : NULL;
    float *dz = fv_tape_scratch(y->tape, fv_shape_numel(&y->shape)); /* bf16 uses half of it */

    if (!dz) return FV_ERR_NOMEM;
    fv_parallel_rows(&grid, gelu_backward_rows,
                     &(gelu_args){.z = y->saved[0].data,
                                  .slope = slope,
                                  .dy = dy->data,
                                  .out = dz,
                                  .dtype = y->dtype,
                                  .dy_dtype = dy->dtype,
                                  .columns = n});
    return fv_linear_product_backward(y, dz, dx);
}

const fv_op fv_op_linear_gelu = {.name = "linear_gelu",
                                 .arity = 3,
                                 .params = 1u << 1 | 1u << 2,
                                 .reads = FV_READS_IN(0) | FV_READS_IN(1),
                                 .shape = shape,
                                 .forward = forward,
                                 .backward = backward,
                                 .restore = restore,
                                 .relevance = fv_relevance_refused,
                                 .cost = fv_linear_cost};

fv_var *fv_linear_gelu(fv_var *x, fv_var *weight, fv_var *bias) {
    if (fv_tape_step(x->tape)->mode == FV_EXPLAIN) {
        fv_var *h = fv_linear(x, weight, bias);
        return fv_gelu(fv_tap(h, h->scope)); /* the fused op has no value to name */
    }
    return fv_apply(&fv_op_linear_gelu, (fv_var *[]){x, weight, bias}, NULL);
}
