/* tree.h - parameter gradients are summed over chunks in a fixed binary tree.
 *
 * Chunk k of the global batch is leaf k; two neighbouring subtrees of 2^l chunks merge into one of
 * 2^(l+1), older + newer, as in a binary counter; at the end what is left is folded from the newest to
 * the oldest.  The sum depends on the number of chunks in the global batch only.  Within one pass the
 * partial sums live in the task's scratch; between passes one slab per level holds them
 * (fv_tree.partial), and the last pass writes the gradient itself. */
#ifndef FV_CORE_TREE_H
#define FV_CORE_TREE_H

#include <stddef.h>
#include <stdint.h>

#define FV_TREE_LEVELS 24

typedef struct fv_tree {
    float *grad;                    /* the parameter's gradient, written by the last pass */
    float *partial[FV_TREE_LEVELS]; /* per level, the same layout; NULL where not needed */
    int64_t first_chunk, n_chunks;  /* of this pass */
    int64_t total_chunks;           /* of the global batch */
} fv_tree;

/* A tile of the gradient: rows x cols elements at offset, row stride ld. */
typedef struct fv_tree_tile {
    const fv_tree *tree;
    int64_t offset, rows, cols, ld;
    float *scratch;
    int64_t done; /* chunks summed so far, this pass's first included */
    int depth;    /* partial sums on the stack */
} fv_tree_tile;

/* Floats of scratch that a tile of n elements needs in this pass. */
int64_t fv_tree_scratch(const fv_tree *tree, int64_t n);

/* Loads the partial sums of earlier passes. */
void fv_tree_begin(fv_tree_tile *tile, const fv_tree *tree, int64_t offset, int64_t rows,
                   int64_t cols, int64_t ld, float *scratch);
/* Where the next chunk's contribution goes: [rows, cols] packed, to be overwritten. */
float *fv_tree_next(fv_tree_tile *tile);
/* Accepts it. */
void fv_tree_push(fv_tree_tile *tile);
/* After the last chunk of the pass: stores partial sums, or the gradient when the batch is complete. */
void fv_tree_end(fv_tree_tile *tile);

/* Levels of partial sums that stay between passes for a batch of total_chunks. */
int fv_tree_levels(int64_t total_chunks);

#endif
