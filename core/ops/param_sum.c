#include "core/ops/param_sum.h"

#include "core/ops/row.h"

#include <string.h>

#define COLUMNS 512 /* of a tile, at most */

fv_row_blocks fv_row_blocks_of(const fv_var *x) {
    fv_row_blocks b = {.grid = fv_grid_of(x)};
    if (b.grid.n_chunks == 0) return b;
    const int64_t last = fv_grid_chunk(&b.grid, b.grid.n_chunks - 1).count;
    b.per_chunk = (fv_grid_chunk(&b.grid, 0).count + FV_SUM_ROWS - 1) / FV_SUM_ROWS;
    b.count = (b.grid.n_chunks - 1) * b.per_chunk + (last + FV_SUM_ROWS - 1) / FV_SUM_ROWS;
    return b;
}

fv_span fv_row_block(const fv_row_blocks *blocks, int64_t i) {
    const fv_span chunk = fv_grid_chunk(&blocks->grid, i / blocks->per_chunk);
    const int64_t skip = i % blocks->per_chunk * FV_SUM_ROWS, left = chunk.count - skip;
    return (fv_span){chunk.first + skip, left < FV_SUM_ROWS ? left : FV_SUM_ROWS};
}

typedef struct sum_job {
    const fv_tree *tree;
    const fv_row_sum *sum;
    int64_t tile, scratch; /* columns, floats */
} sum_job;

void fv_param_chunk_sum(const fv_row_sum *s, int64_t first, int64_t last, int64_t column, int64_t n,
                        float *out, float *block) {
    memset(out, 0, (size_t)n * sizeof *out);
    for (int64_t r0 = first; r0 < last; r0 += FV_SUM_ROWS) {
        const int64_t r1 = r0 + FV_SUM_ROWS < last ? r0 + FV_SUM_ROWS : last;
        memset(block, 0, (size_t)n * sizeof *block);
        fv_kernel()->column_sums(
            r1 - r0, n, s->ld, fv_row_at(s->rows, s->dtype, r0 * s->ld + column), s->dtype, block);
        fv_kernel()->axpy(n, 1.0f, block, out);
    }
}

static void sum_columns(int64_t task, void *arg) {
    const sum_job *j = arg;
    const fv_row_sum *s = j->sum;
    const fv_span cols = fv_tile_span(s->n, j->tile, task);
    const int64_t first = cols.first, n = cols.count;
    float *scratch = fv_scratch((size_t)j->scratch * sizeof(float));
    float *block = scratch + fv_tree_scratch(j->tree, n);
    fv_tree_tile tile;

    fv_tree_begin(&tile, j->tree, first, 1, n, n, scratch);
    for (int64_t r = 0; r < s->n_rows; r += s->chunk_rows) {
        const int64_t end = r + s->chunk_rows < s->n_rows ? r + s->chunk_rows : s->n_rows;
        fv_param_chunk_sum(s, r, end, first, n, fv_tree_next(&tile), block);
        fv_tree_push(&tile);
    }
    fv_tree_end(&tile);
}

fv_status fv_param_sum(const fv_tree *tree, const fv_row_sum *sum) {
    const int64_t tile = fv_column_tile(sum->n, COLUMNS);
    sum_job j = {tree, sum, tile, fv_tree_scratch(tree, tile) + tile};

    if (sum->n_rows == 0 || sum->n == 0) return FV_OK;
    FV_TRY(fv_scratch_reserve((size_t)j.scratch * sizeof(float)));
    fv_parallel(fv_tile_count(sum->n, tile), sum_columns, &j);
    return FV_OK;
}
