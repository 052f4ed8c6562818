/* param_sum.h - parameter gradients that are sums of rows: biases, scales, tokens, positions. */
#ifndef FV_CORE_OPS_PARAM_SUM_H
#define FV_CORE_OPS_PARAM_SUM_H

#include "core/op.h"

#define FV_SUM_ROWS \
    64 /* rows summed before a partial sum is added up; part of what a run's bits are */

/* Rows of n elements, row stride ld; every chunk_rows of them are one chunk, the last may be short. */
typedef struct fv_row_sum {
    const void *rows;
    fv_dtype dtype;
    int64_t n_rows, chunk_rows, n, ld;
} fv_row_sum;

/* The rows of a variable in blocks of at most FV_SUM_ROWS that lie inside one chunk: the tasks of an op
 * that leaves one row of partial sums per block.  The last block of a chunk may be short, and the last
 * chunk may have fewer; no block is empty. */
typedef struct fv_row_blocks {
    fv_grid grid;
    int64_t per_chunk, count;
} fv_row_blocks;
fv_row_blocks fv_row_blocks_of(const fv_var *x);
fv_span fv_row_block(const fv_row_blocks *blocks, int64_t i); /* rows */

/* Gradient of a parameter of n elements: column sums per chunk, handed to the tree.  Within a chunk
 * blocks of FV_SUM_ROWS rows are summed and added in index order; column tiles run in parallel. */
fv_status fv_param_sum(const fv_tree *tree, const fv_row_sum *sum);

/* One chunk's part: out = sum of rows first .. last-1 over columns column .. column + n - 1, in the same
 * blocks.  block: scratch for n floats. */
void fv_param_chunk_sum(const fv_row_sum *sum, int64_t first, int64_t last, int64_t column,
                        int64_t n, float *out, float *block);

#endif
