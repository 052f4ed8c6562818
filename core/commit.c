/* commit.c - buffers of the model that a training step changes: proposed by forward passes, committed
 * once.  A recomputed forward pass, a failed step and a discarded update leave no trace. */
#include "core/alloc.h"
#include "core/tape_internal.h"

#include <string.h>

void fv_tape_open_update(fv_tape *tape) {
    const fv_step *step = &tape->step;

    if (step->mode != FV_TRAIN) return;
    if (step->index != tape->update || step->first_sample <= tape->update_first)
        for (int64_t i = 0; i < tape->n_proposals; i++) tape->proposals[i].live = false;
    tape->update = step->index;
    tape->update_first = step->first_sample;
}

void fv_tape_free_proposals(fv_tape *tape) {
    for (int64_t i = 0; i < tape->n_proposals; i++) fv_free(tape->proposals[i].now);
    fv_free(tape->proposals);
}

static fv_status add(fv_tape *tape, fv_param *buffer, fv_proposal **out) {
    if (tape->n_proposals == tape->proposals_capacity) {
        const int64_t capacity = tape->proposals_capacity ? 2 * tape->proposals_capacity : 64;
        fv_proposal *grown = fv_realloc(tape->proposals, (size_t)capacity, sizeof *grown);
        if (!grown) return FV_ERR_NOMEM;
        tape->proposals = grown;
        tape->proposals_capacity = capacity;
    }
    float *values = fv_alloc((size_t)buffer->numel, 2 * sizeof *values);
    if (!values) return FV_ERR_NOMEM;
    *out = &tape->proposals[tape->n_proposals++];
    **out = (fv_proposal){
        .buffer = buffer, .now = values, .next = values + buffer->numel, .numel = buffer->numel};
    return FV_OK;
}

fv_status fv_tape_propose(fv_tape *tape, fv_param *buffer, const float **now, float **next) {
    const size_t bytes = (size_t)buffer->numel * sizeof(float);
    fv_proposal *p = NULL;

    for (int64_t i = 0; !p && i < tape->n_proposals; i++)
        if (tape->proposals[i].buffer == buffer && tape->proposals[i].numel == buffer->numel)
            p = &tape->proposals[i];
    if (!p) FV_TRY(add(tape, buffer, &p));
    if (!p->live) {
        memcpy(p->now, buffer->value, bytes);
        memcpy(p->next, buffer->value, bytes);
    } else if (p->pass != tape->serial) {
        memcpy(p->now, p->next, bytes);
    }
    p->live = true;
    p->pass = tape->serial;
    *now = p->now;
    *next = p->next;
    return FV_OK;
}

void fv_tape_commit(fv_tape *tape) {
    for (int64_t i = 0; i < tape->n_proposals; i++) {
        fv_proposal *p = &tape->proposals[i];
        if (p->live && tape->status == FV_OK)
            memcpy(p->buffer->value, p->next, (size_t)p->numel * sizeof(float));
        p->live = false;
    }
}
