/* packed.h - op(B) as a plan of packed products wants it. */
#ifndef FV_TESTS_SUPPORT_PACKED_H
#define FV_TESTS_SUPPORT_PACKED_H

#include "core/backend/backend.h"

/* Packed in pieces of 64 columns, the last first; NULL where the plan reads B as it is.  fv_free it. */
void *packed_operand(const fv_backend_table *table, const fv_gemm_plan *plan, int64_t n,
                     const void *b);

#endif
