/* random_tensor.h - tensors of numbers in [-1, 1). */
#ifndef FV_TESTS_SUPPORT_RANDOM_TENSOR_H
#define FV_TESTS_SUPPORT_RANDOM_TENSOR_H

#include "core/rng.h"
#include "core/tensor.h"

/* [n], f32 or bf16, drawn with the key; fv_free its data.  Aborts when memory runs out. */
fv_tensor random_tensor(const fv_rng_key *key, fv_dtype dtype, int64_t n);

#endif
