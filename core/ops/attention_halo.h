/* attention_halo.h - the work of fused halo attention on one block, and the tasks made of it, for
 * op_attention_halo.c, which has the equations. */
#ifndef FV_CORE_OPS_ATTENTION_HALO_H
#define FV_CORE_OPS_ATTENTION_HALO_H

#include "core/backend/backend.h"
#include "core/ops/halo.h"

#include <stdatomic.h>

/* Offsets into a thread's scratch, in floats. */
typedef struct fv_halo_layout {
    int64_t q, kv, dy, S, dP, R, P16, dS16, dR16, rows, d_window, d_map, dT, end;
} fv_halo_layout;

typedef struct fv_halo_job {
    const fv_var *y;
    const void *dy; /* in the product dtype */
    const fv_grad *dx;
    fv_halo g;
    fv_rel rel;
    int64_t heads, dk, dv, bq, Hq, Wq, blocks, queries, keys; /* the latter two per block */
    float scale;
    fv_dtype dtype; /* of q, kv, y and the products */
    const void *T;  /* [2P,dk] */
    float *partial; /* [B h][2][2w-1,dk], NULL when not wanted */
    fv_halo_layout at;
    const fv_gemm_plan *scores, *terms, *output;
    const fv_gemm_plan *d_probs, *d_query, *d_query_terms, *d_table, *d_key, *d_value;
    atomic_int failed;
} fv_halo_job;

/* For an op with inputs q, kv, height, width and fv_halo_args as attr: packs the tables, reserves scratch,
 * finds the products.  dy, dx and partial are the caller's to set. */
fv_status fv_halo_job_init(const fv_var *y, bool backward, fv_halo_job *j);

/* One row of blocks of a sample and head: B h down of them. */
void fv_halo_forward_task(int64_t task, void *job);
/* One sample and head: B h of them. */
void fv_halo_backward_task(int64_t task, void *job);

#endif
