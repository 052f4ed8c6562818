/* plan_table.h - what the backends share: checking descriptors, adding a bias, and finding plans
 * again. */
#ifndef FV_CORE_PLAN_TABLE_H
#define FV_CORE_PLAN_TABLE_H

#include "core/backend/backend.h"

#define FV_PLAN_BUCKETS 256

/* The first member of every plan. */
typedef struct fv_plan_node {
    struct fv_plan_node *next;
    const void *key; /* a normalised descriptor inside the plan */
} fv_plan_node;

/* Plans of one kind: all keys have key_bytes bytes. */
typedef struct fv_plan_table {
    size_t key_bytes;
    fv_plan_node *bucket[FV_PLAN_BUCKETS];
} fv_plan_table;

/* Check sizes and dtypes, and write a copy whose bytes are equal whenever the work is: padding zero,
 * defaults filled in, flags 0 or 1.  FV_ERR_SHAPE, FV_ERR_UNSUPPORTED. */
fv_status fv_gemm_normalise(const fv_gemm *desc, fv_gemm *out);
fv_status fv_conv_normalise(const fv_conv *desc, fv_conv *out);

/* For kernels whose sums start from C or from the bias: adds the bias to the rows of C where both are wanted. */
void fv_gemm_add_bias(const fv_gemm *desc, const float *bias, float *c);

/* NULL when there is none.  Not thread-safe, like the others. */
fv_plan_node *fv_plan_table_find(const fv_plan_table *table, const void *key);
void fv_plan_table_add(fv_plan_table *table, fv_plan_node *node);
void fv_plan_table_clear(fv_plan_table *table, void (*destroy)(fv_plan_node *node));

#endif
