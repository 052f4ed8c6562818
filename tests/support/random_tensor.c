#include "tests/support/random_tensor.h"

#include "core/alloc.h"

#include <stdlib.h>

fv_tensor random_tensor(const fv_rng_key *key, fv_dtype dtype, int64_t n) {
    fv_tensor t = {.dtype = dtype, .shape = fv_shape_of(1, n)};

    t.data = fv_alloc((size_t)n, fv_dtype_bytes(dtype));
    if (!t.data) abort();
    for (int64_t i = 0; i < n; i++)
        fv_tensor_set(&t, i, 2.0f * fv_rng_uniform(key, (uint64_t)i) - 1.0f);
    return t;
}
