/* linear_sums.h - the parameter gradients of a linear layer, chunk by chunk through the tree: dW = dz^T x
 * and the column sums of dz. */
#ifndef FV_CORE_OPS_LINEAR_SUMS_H
#define FV_CORE_OPS_LINEAR_SUMS_H

#include "core/ops/chunk_slots.h"
#include "core/ops/gemm_tiles.h"

#include <stdatomic.h>

/* Within a chunk, runs of a fixed number of rows are summed up apart and added in index order.  A task is
 * a tile of the weight over all runs in turn, or, where that makes fewer tasks than there are threads,
 * over one run. */
typedef struct fv_linear_sums {
    fv_grid grid;
    fv_gemm_tiles tiles[3]; /* a full run, the rest of a chunk, of the last chunk */
    int64_t O, I, tile_o, tile_i, n_o, n_i;
    int64_t n_tasks;
    const void *x, *dz;
    fv_dtype dtype; /* of both */
    fv_chunk_slots slots;
    size_t scratch_bytes;
    atomic_int *failed;
} fv_linear_sums;

/* For y of a linear op with inputs x [B, ..., I], W [O, ...], b; dx[1] and dx[2] have trees where their
 * gradients are wanted.  Reserves scratch for its tasks. */
fv_status fv_linear_sums_begin(const fv_var *y, const void *dz, const fv_grad dx[],
                               atomic_int *failed, fv_linear_sums *sums);
void fv_linear_sums_task(const fv_linear_sums *sums, int64_t task);
fv_status fv_linear_sums_end(const fv_linear_sums *sums); /* after all tasks */

#endif
