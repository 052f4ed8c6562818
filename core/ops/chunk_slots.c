#include "core/ops/chunk_slots.h"

#include <string.h>

#define PIECE 16384 /* floats of a task */

int64_t fv_chunk_slots_count(const fv_chunk_slots *s) {
    return (s->n_chunks - 1) * s->parts + s->last_parts;
}

fv_status fv_chunk_slots_open(fv_tape *tape, fv_chunk_slots *s) {
    s->data = fv_tape_scratch(tape, fv_chunk_slots_count(s) * (s->n_weight + s->n_bias));
    return s->data ? FV_OK : FV_ERR_NOMEM;
}

float *fv_chunk_slots_weight(const fv_chunk_slots *s, int64_t i) {
    return s->data + i * (s->n_weight + s->n_bias);
}

float *fv_chunk_slots_bias(const fv_chunk_slots *s, int64_t i) {
    return fv_chunk_slots_weight(s, i) + s->n_weight;
}

static int64_t count_pieces(const fv_tree *tree, int64_t n) {
    return tree ? fv_tile_count(n, PIECE) : 0;
}

static void hand_over(int64_t task, void *arg) {
    const fv_chunk_slots *s = arg;
    const int64_t n_weight = count_pieces(s->weight, s->n_weight);
    const bool bias = task >= n_weight;
    const fv_tree *tree = bias ? s->bias : s->weight;
    const fv_span piece =
        fv_tile_span(bias ? s->n_bias : s->n_weight, PIECE, bias ? task - n_weight : task);
    const int64_t first = piece.first, n = piece.count;
    fv_tree_tile tile;

    fv_tree_begin(&tile, tree, first, 1, n, n,
                  fv_scratch((size_t)fv_tree_scratch(tree, n) * sizeof(float)));
    const int64_t slots = fv_chunk_slots_count(s);
    for (int64_t i = 0; i < slots; i++) {
        const float *slot = bias ? fv_chunk_slots_bias(s, i) : fv_chunk_slots_weight(s, i);
        if (i % s->parts == 0)
            memcpy(fv_tree_next(&tile), slot + first, (size_t)n * sizeof(float));
        else
            fv_kernel()->axpy(n, 1.0f, slot + first, fv_tree_next(&tile));
        if ((i + 1) % s->parts == 0 || i + 1 == slots) fv_tree_push(&tile);
    }
    fv_tree_end(&tile);
}

fv_status fv_chunk_slots_close(const fv_chunk_slots *s) {
    const fv_tree *tree = s->weight ? s->weight : s->bias;

    if (!s->data) return FV_OK;
    FV_TRY(fv_scratch_reserve((size_t)fv_tree_scratch(tree, PIECE) * sizeof(float)));
    fv_parallel(count_pieces(s->weight, s->n_weight) + count_pieces(s->bias, s->n_bias), hand_over,
                (void *)(uintptr_t)s);
    return FV_OK;
}
