/* chunk_slots.h - gradients of a weight and a bias whose chunks are tasks of their own: a chunk's sums wait
 * in its slot, and when all are there the slots are handed to the trees in order.  The bits are those of
 * one task that takes the chunks in turn; the tasks are more and shorter. */
#ifndef FV_CORE_OPS_CHUNK_SLOTS_H
#define FV_CORE_OPS_CHUNK_SLOTS_H

#include "core/op.h"

typedef struct fv_chunk_slots {
    const fv_tree *weight, *bias; /* NULL: not wanted */
    int64_t n_chunks, n_weight, n_bias;
    float *data; /* [n_chunks][n_weight + n_bias]; NULL: there are none */
} fv_chunk_slots;

/* Scratch of the tape for slots whose other members are set. */
fv_status fv_chunk_slots_open(fv_tape *tape, fv_chunk_slots *slots);
float *fv_chunk_slots_weight(const fv_chunk_slots *slots, int64_t chunk); /* [n_weight] */
float *fv_chunk_slots_bias(const fv_chunk_slots *slots, int64_t chunk);   /* [n_bias] */
/* After all tasks; nothing to do where there are no slots. */
fv_status fv_chunk_slots_close(const fv_chunk_slots *slots);

#endif
