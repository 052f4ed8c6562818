#include "core/tensor.h"

#include <string.h>

size_t fv_dtype_bytes(fv_dtype dtype) {
    static const size_t bytes[] = {
#define FV_X(name, n, text) n,
        FV_DTYPE_LIST(FV_X)
#undef FV_X
    };
    return bytes[dtype];
}

const char *fv_dtype_name(fv_dtype dtype) {
    static const char *const names[] = {
#define FV_X(name, n, text) text,
        FV_DTYPE_LIST(FV_X)
#undef FV_X
    };
    return names[dtype];
}

size_t fv_tensor_bytes(const fv_tensor *t) {
    return (size_t)fv_shape_numel(&t->shape) * fv_dtype_bytes(t->dtype);
}

float fv_bf16_to_f32(fv_bf16 v) {
    const uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

fv_bf16 fv_bf16_from_f32(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (fv_bf16)((bits >> 16) | 0x40u);
    return (fv_bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float fv_f16_to_f32(uint16_t v) {
    const uint32_t exponent = (v >> 10) & 31u, mantissa = v & 0x3ffu;
    float f = (float)mantissa * 0x1p-24f; /* zero and subnormals */

    if (exponent != 0) {
        const uint32_t bits =
            (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | (mantissa << 13);
        memcpy(&f, &bits, sizeof f);
    }
    return v & 0x8000u ? -f : f;
}

float fv_tensor_get(const fv_tensor *t, int64_t i) {
    if (t->dtype == FV_I32) return (float)((const int32_t *)t->data)[i];
    return t->dtype == FV_BF16 ? fv_bf16_to_f32(((const fv_bf16 *)t->data)[i])
                               : ((const float *)t->data)[i];
}

void fv_tensor_set(fv_tensor *t, int64_t i, float value) {
    if (t->dtype == FV_BF16)
        ((fv_bf16 *)t->data)[i] = fv_bf16_from_f32(value);
    else
        ((float *)t->data)[i] = value;
}
