/* tensor.h - a dense row-major array that somebody else owns. */
#ifndef FV_CORE_TENSOR_H
#define FV_CORE_TENSOR_H

#include "core/shape.h"

#include <stddef.h>

/* name, bytes per element, safetensors name */
#define FV_DTYPE_LIST(X) \
    X(F32, 4, "F32")     \
    X(BF16, 2, "BF16")   \
    X(I32, 4, "I32")     \
    X(U8, 1, "U8")       \
    X(F64, 8, "F64")     \
    X(I64, 8, "I64")     \
    X(F16, 2, "F16")

typedef enum fv_dtype {
#define FV_X(name, bytes, text) FV_##name,
    FV_DTYPE_LIST(FV_X)
#undef FV_X
        FV_DTYPE_COUNT
} fv_dtype; /* the tape computes with the first four; F64, I64 and F16 occur in files only */

typedef uint16_t fv_bf16; /* the upper half of an IEEE float, round to nearest even */

typedef struct fv_tensor {
    void *data; /* FV_ALIGN aligned unless it points into another tensor */
    fv_dtype dtype;
    fv_shape shape;
} fv_tensor;

size_t fv_dtype_bytes(fv_dtype dtype);
const char *fv_dtype_name(fv_dtype dtype); /* safetensors spelling: "F32", "BF16" ... */
size_t fv_tensor_bytes(const fv_tensor *t);

float fv_bf16_to_f32(fv_bf16 v);
fv_bf16 fv_bf16_from_f32(float v); /* nearest even; NaN stays NaN */
float fv_f16_to_f32(uint16_t v);   /* IEEE half precision, in files only */

/* Element i of an f32, bf16 or (read only) i32 tensor as float, and back.  For tests and cold paths. */
float fv_tensor_get(const fv_tensor *t, int64_t i);
void fv_tensor_set(fv_tensor *t, int64_t i, float value);

#endif
