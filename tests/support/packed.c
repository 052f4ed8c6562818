#include "tests/support/packed.h"

#include "core/alloc.h"

#include <criterion/criterion.h>

#include <string.h>

void *packed_operand(const fv_backend_table *table, const fv_gemm_plan *plan, int64_t n,
                     const void *b) {
    const size_t bytes = table->gemm_packed_bytes(plan);

    if (bytes == 0) return NULL;
    void *packed = fv_alloc(bytes, 1);
    cr_assert(packed);
    memset(packed, 0xff, bytes); /* NaN: what is not packed must not count */
    for (int64_t first = (n - 1) / 64 * 64; first >= 0; first -= 64)
        table->gemm_pack(plan, b, first, n - first < 64 ? n - first : 64, packed);
    return packed;
}
