/* plan_table.h - what the backends share: checking a descriptor and finding its plan again. */
#ifndef FV_CORE_PLAN_TABLE_H
#define FV_CORE_PLAN_TABLE_H

#include "core/backend/backend.h"

#define FV_PLAN_BUCKETS 256

/* The first member of every plan. */
typedef struct fv_plan_node {
    struct fv_plan_node *next;
    fv_gemm desc; /* as fv_gemm_normalise left it */
} fv_plan_node;

typedef struct fv_plan_table {
    fv_plan_node *bucket[FV_PLAN_BUCKETS];
} fv_plan_table;

/* Checks sizes, leading dimensions and dtypes, and writes a copy whose bytes are equal whenever the
 * products are: padding zero, alpha never 0, flags 0 or 1.  FV_ERR_SHAPE, FV_ERR_UNSUPPORTED. */
fv_status fv_gemm_normalise(const fv_gemm *desc, fv_gemm *out);

/* NULL when there is none.  Not thread-safe, like the others. */
fv_plan_node *fv_plan_table_find(const fv_plan_table *table, const fv_gemm *normalised);
void fv_plan_table_add(fv_plan_table *table, fv_plan_node *node);
void fv_plan_table_clear(fv_plan_table *table, void (*destroy)(fv_plan_node *node));

#endif
