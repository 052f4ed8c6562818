#include "core/ops/row.h"

#include <string.h>

void fv_grad_store(const fv_grad *g, int64_t offset, int64_t n, const float *values) {
    const fv_kernels *k = fv_kernel();

    if (g->dtype == FV_BF16)
        k->to_bf16(n, values, (fv_bf16 *)g->data + offset);
    else if (g->add)
        k->axpy(n, 1.0f, values, (float *)g->data + offset);
    else
        memcpy((float *)g->data + offset, values, (size_t)n * sizeof(float));
}

void fv_grad_zero(const fv_grad *g, int64_t i, int64_t n) {
    const size_t size = fv_dtype_bytes(g->dtype);

    if (!g->add) memset((char *)g->data + (size_t)i * size, 0, (size_t)n * size);
}

void fv_row_copy(void *y, fv_dtype y_dtype, int64_t to, const void *x, fv_dtype x_dtype,
                 int64_t from, int64_t n) {
    const size_t size = fv_dtype_bytes(x_dtype);

    if (y_dtype == x_dtype)
        memcpy((char *)y + (size_t)to * size, (const char *)x + (size_t)from * size,
               (size_t)n * size);
    else if (y_dtype == FV_F32)
        fv_kernel()->from_bf16(n, (const fv_bf16 *)x + from, (float *)y + to);
    else
        fv_kernel()->to_bf16(n, (const float *)x + from, (fv_bf16 *)y + to);
}

fv_status fv_check_dtype(const fv_var *y, const fv_var *x, bool allow_bf16) {
    if (x->dtype == FV_F32 || (x->dtype == FV_BF16 && allow_bf16)) return FV_OK;
    return FV_FAIL(FV_ERR_UNSUPPORTED, "%s: input is %s", y->op->name, fv_dtype_name(x->dtype));
}

typedef struct narrow_args {
    const float *from;
    fv_bf16 *to;
    int64_t columns;
} narrow_args;

static void narrow_rows(int64_t first, int64_t count, void *arg) {
    const narrow_args *a = arg;
    fv_kernel()->to_bf16(count * a->columns, a->from + first * a->columns,
                         a->to + first * a->columns);
}

fv_status fv_grad_narrow(const fv_var *y, const fv_tensor *dy, fv_dtype dtype, const void **dz) {
    *dz = dy->data;
    if (dy->dtype == dtype) return FV_OK;
    const fv_grid grid = fv_grid_of(y);
    fv_bf16 *copy = (fv_bf16 *)fv_tape_scratch(y->tape, (fv_shape_numel(&y->shape) + 1) / 2);
    if (!copy) return FV_ERR_NOMEM;
    fv_parallel_rows(&grid, narrow_rows, &(narrow_args){dy->data, copy, fv_row_length(y)});
    *dz = copy;
    return FV_OK;
}
