/* kernels_c.h - elements of f32 or bf16 memory, for the kernels in plain C. */
#ifndef FV_CORE_KERNELS_KERNELS_C_H
#define FV_CORE_KERNELS_KERNELS_C_H

#include "core/tensor.h"

static inline float load_as(fv_dtype type, const void *x, int64_t i) {
    return type == FV_F32 ? ((const float *)x)[i] : fv_bf16_to_f32(((const fv_bf16 *)x)[i]);
}

static inline void store_as(fv_dtype type, void *y, int64_t i, float v) {
    if (type == FV_F32)
        ((float *)y)[i] = v;
    else
        ((fv_bf16 *)y)[i] = fv_bf16_from_f32(v);
}

#endif
