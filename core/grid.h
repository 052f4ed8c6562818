/* grid.h - the fixed work grid: how rows are cut into tasks, from shapes only.
 *
 * Rows of a variable [B, ..., C] belong to samples; samples to chunks.  A row tile lies inside one
 * chunk and its size depends on the rows per sample and the chunk size alone, so neither threads nor
 * accumulation nor neighbouring chunks change which rows a product sees together. */
#ifndef FV_CORE_GRID_H
#define FV_CORE_GRID_H

#include "core/tape.h"

typedef struct fv_grid {
    int64_t samples;         /* B */
    int64_t rows_per_sample; /* product of the axes between the first and the last */
    int64_t chunk_samples;
    int64_t n_chunks;
    int64_t tile_rows;       /* full tile; the last of a chunk (or sample) may be shorter */
    int64_t tiles_per_chunk; /* of a full chunk */
    int64_t n_tiles;
    int64_t tiles_per_sample; /* > 1 only when samples are cut, else 0 */
    int64_t samples_per_tile; /* >= 1 when samples are not cut, else 0 */
} fv_grid;

typedef struct fv_span {
    int64_t first, count;
} fv_span;

/* The grid of a variable (or of its last axis removed): axis 0 samples, rows up to the last axis. */
fv_grid fv_grid_of(const fv_var *x);
fv_span fv_grid_tile(const fv_grid *grid, int64_t tile);           /* rows */
fv_span fv_grid_chunk(const fv_grid *grid, int64_t chunk);         /* rows */
fv_span fv_grid_chunk_samples(const fv_grid *grid, int64_t chunk); /* samples */

/* Cuts n columns into equal tiles of at most `most` (rounded up to a multiple of 16). */
int64_t fv_column_tile(int64_t n, int64_t most);

/* n cut into tiles of `tile`, of which the last may be shorter: how many, and the i-th. */
int64_t fv_tile_count(int64_t n, int64_t tile);
fv_span fv_tile_span(int64_t n, int64_t tile, int64_t i);

/* A row kernel over all tiles of x: fn(first row, rows, arg). */
typedef void fv_rows_fn(int64_t first, int64_t count, void *arg);
void fv_parallel_rows(const fv_grid *grid, fv_rows_fn *fn, void *arg);

#endif
