/* chunk_slots.h - gradients of a weight and a bias whose chunks, or runs of a chunk's rows, are tasks of
 * their own: their sums wait in slots, and when all are there a chunk's are added in order and handed to
 * the trees.  The bits are those of one task that takes runs and chunks in turn; the tasks are more and
 * shorter. */
#ifndef FV_CORE_OPS_CHUNK_SLOTS_H
#define FV_CORE_OPS_CHUNK_SLOTS_H

#include "core/op.h"

typedef struct fv_chunk_slots {
    const fv_tree *weight, *bias; /* NULL: not wanted */
    int64_t n_chunks, n_weight, n_bias;
    int64_t parts, last_parts; /* slots of a chunk, and of the last one */
    float *data;               /* [n_chunks][parts][n_weight + n_bias]; NULL: there are none */
} fv_chunk_slots;

/* Scratch of the tape for slots whose other members are set. */
fv_status fv_chunk_slots_open(fv_tape *tape, fv_chunk_slots *slots);
int64_t fv_chunk_slots_count(const fv_chunk_slots *slots); /* slots that tasks have to fill */
/* Slot i < count is part i % parts of chunk i / parts. */
float *fv_chunk_slots_weight(const fv_chunk_slots *slots, int64_t i); /* [n_weight] */
float *fv_chunk_slots_bias(const fv_chunk_slots *slots, int64_t i);   /* [n_bias] */
/* After all tasks; nothing to do where there are no slots. */
fv_status fv_chunk_slots_close(const fv_chunk_slots *slots);

#endif
