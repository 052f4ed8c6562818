#include "core/tree.h"

#include "core/kernels/kernels.h"

#include <string.h>

int fv_tree_levels(int64_t total_chunks) {
    int levels = 0;
    while (((int64_t)1 << levels) < total_chunks) levels++;
    return levels;
}

int64_t fv_tree_scratch(const fv_tree *tree, int64_t n) {
    return n * (fv_tree_levels(tree->total_chunks) + 2);
}

static float *slot(const fv_tree_tile *tile, int i) {
    return tile->scratch + (int64_t)i * tile->rows * tile->cols;
}

/* Rows of the tile between its packed slot and a slab. */
static void load(const fv_tree_tile *tile, const float *slab, float *packed) {
    for (int64_t r = 0; r < tile->rows; r++)
        memcpy(packed + r * tile->cols, slab + tile->offset + r * tile->ld,
               (size_t)tile->cols * sizeof(float));
}

static void store(const fv_tree_tile *tile, const float *packed, float *slab) {
    for (int64_t r = 0; r < tile->rows; r++)
        memcpy(slab + tile->offset + r * tile->ld, packed + r * tile->cols,
               (size_t)tile->cols * sizeof(float));
}

/* The stack holds one partial sum per set bit of `done`, the oldest (highest bit) first. */
void fv_tree_begin(fv_tree_tile *tile, const fv_tree *tree, int64_t offset, int64_t rows,
                   int64_t cols, int64_t ld, float *scratch) {
    *tile = (fv_tree_tile){.tree = tree,
                           .offset = offset,
                           .rows = rows,
                           .cols = cols,
                           .ld = ld,
                           .scratch = scratch,
                           .done = tree->first_chunk};
    for (int level = FV_TREE_LEVELS - 1; level >= 0; level--)
        if (tile->done >> level & 1) load(tile, tree->partial[level], slot(tile, tile->depth++));
}

float *fv_tree_next(fv_tree_tile *tile) { return slot(tile, tile->depth); }

static void merge_top(fv_tree_tile *tile) {
    tile->depth--;
    fv_kernel()->axpy(tile->rows * tile->cols, 1.0f, slot(tile, tile->depth),
                      slot(tile, tile->depth - 1));
}

void fv_tree_push(fv_tree_tile *tile) {
    tile->depth++;
    for (int64_t bits = tile->done; bits & 1; bits >>= 1) merge_top(tile);
    tile->done++;
}

void fv_tree_end(fv_tree_tile *tile) {
    if (tile->done == tile->tree->total_chunks) {
        while (tile->depth > 1) merge_top(tile);
        store(tile, slot(tile, 0), tile->tree->grad);
        return;
    }
    for (int level = 0; level < FV_TREE_LEVELS; level++)
        if (tile->done >> level & 1)
            store(tile, slot(tile, --tile->depth), tile->tree->partial[level]);
}
