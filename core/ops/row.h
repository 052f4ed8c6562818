/* row.h - rows of f32 or bf16 tensors as f32, for the ops that compute row by row. */
#ifndef FV_CORE_OPS_ROW_H
#define FV_CORE_OPS_ROW_H

#include "core/op.h"

/* Elements of a row on fv_grid_of's grid: the last axis, unless that is the sample axis itself. */
static inline int64_t fv_row_length(const fv_var *x) {
    return x->shape.rank > 1 ? fv_shape_last(&x->shape) : 1;
}

/* Element i of a tensor. */
static inline void *fv_row_at(const void *base, fv_dtype dtype, int64_t i) {
    return (char *)base + i * (int64_t)fv_dtype_bytes(dtype);
}

/* n elements at element i: in place, or widened into buffer. */
static inline const float *fv_row_read(const void *base, fv_dtype dtype, int64_t i, int64_t n,
                                       float *buffer) {
    if (dtype == FV_F32) return (const float *)base + i;
    fv_kernel()->from_bf16(n, (const fv_bf16 *)base + i, buffer);
    return buffer;
}

/* Where to compute n values that fv_row_close then stores: in place when base is f32. */
static inline float *fv_row_open(void *base, fv_dtype dtype, int64_t i, float *buffer) {
    return dtype == FV_F32 ? (float *)base + i : buffer;
}

static inline void fv_row_close(void *base, fv_dtype dtype, int64_t i, int64_t n,
                                const float *values) {
    if (dtype == FV_BF16) fv_kernel()->to_bf16(n, values, (fv_bf16 *)base + i);
}

/* fv_row_open and fv_row_close for a gradient; NULL data computes into buffer and stores nothing. */
static inline float *fv_grad_open(const fv_grad *g, int64_t i, float *buffer) {
    const bool in_place = g->data && g->dtype == FV_F32 && !g->add;
    return in_place ? (float *)g->data + i : buffer;
}

static inline void fv_grad_close(const fv_grad *g, int64_t i, int64_t n, const float *values) {
    if (!g->data || (g->dtype == FV_F32 && !g->add)) return;
    fv_grad_store(g, i, n, values);
}

/* The same for kernels that write f32 and bf16: *dtype is the one to write in; buffer holds f32. */
static inline void *fv_grad_open_as(const fv_grad *g, int64_t i, float *buffer, fv_dtype *dtype) {
    const bool in_place = g->data && !g->add;
    *dtype = in_place ? g->dtype : FV_F32;
    return in_place ? fv_row_at(g->data, g->dtype, i) : buffer;
}

static inline void fv_grad_close_as(const fv_grad *g, int64_t i, int64_t n, const void *values) {
    if (g->data && g->add) fv_grad_store(g, i, n, values);
}

/* Zeros n elements of a gradient that is written; one that is added to stays as it is. */
void fv_grad_zero(const fv_grad *g, int64_t i, int64_t n);

/* y[to..] = x[from..], n elements, converted where the types differ. */
void fv_row_copy(void *y, fv_dtype y_dtype, int64_t to, const void *x, fv_dtype x_dtype,
                 int64_t from, int64_t n);

/* Stores n elements of a tensor; buffer is for those that are added. */
static inline void fv_grad_copy(const fv_grad *g, int64_t to, const void *base, fv_dtype dtype,
                                int64_t from, int64_t n, float *buffer) {
    if (g->add)
        fv_grad_store(g, to, n, fv_row_read(base, dtype, from, n, buffer));
    else
        fv_row_copy(g->data, g->dtype, to, base, dtype, from, n);
}

/* dy in the dtype of a product: as it is, or (a bf16 product whose output is f32 or has several readers)
 * rounded to bf16 in scratch of the tape. */
fv_status fv_grad_narrow(const fv_var *y, const fv_tensor *dy, fv_dtype dtype, const void **dz);

/* FV_ERR_UNSUPPORTED unless x is f32, or bf16 where that is allowed. */
fv_status fv_check_dtype(const fv_var *y, const fv_var *x, bool allow_bf16);

#endif
