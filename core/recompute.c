/* recompute.c - activations that are forgotten and computed again (Chen et al. 2016, "Training deep
 * nets with sublinear memory cost").
 *
 * A part's variables stay on the tape with their settings and random keys; what goes are their buffers.
 * When the backward pass arrives at the part's result, the ops whose outputs it is going to read run
 * again into new buffers: not all of them (a product that only a sum reads is not needed any more), and
 * small saved tensors (statistics, log-sum-exp, masks) are kept instead. */
#include "core/alloc.h"
#include "core/tape_internal.h"

#define SMALL 8 /* times smaller than the op's output */

int64_t fv_recompute_begin(const fv_tape *tape) { return tape->n_vars; }

static size_t saved_bytes(const fv_var *v) {
    size_t bytes = 0;

    for (int i = 0; i < v->n_saved; i++) bytes += fv_tensor_bytes(&v->saved[i]);
    return bytes;
}

static bool saves_much(const fv_var *v) {
    const fv_tensor t = fv_var_tensor(v);
    return saved_bytes(v) > fv_tensor_bytes(&t) / SMALL;
}

static void give_up(fv_tape *tape, const fv_var *v, const fv_var *result) {
    const bool all = tape->step.mode == FV_INFER;

    if (!v->op || v->op->alias) return;
    if (!fv_tape_outlives(v, result)) fv_memplan_release(tape->plan, v->buffer);
    for (int i = 0; (all || saves_much(v)) && i < v->n_saved; i++)
        fv_memplan_release(tape->plan, v->saved_buffer[i]);
}

static fv_status append(fv_tape *tape, fv_part part) {
    if (tape->n_parts == tape->parts_capacity) {
        const int64_t capacity = tape->parts_capacity ? 2 * tape->parts_capacity : 32;
        fv_part *grown = fv_realloc(tape->parts, (size_t)capacity, sizeof *grown);
        if (!grown) return FV_ERR_NOMEM;
        tape->parts = grown;
        tape->parts_capacity = capacity;
    }
    tape->parts[tape->n_parts++] = part;
    return FV_OK;
}

fv_var *fv_recompute_end(fv_var *y, int64_t begin) {
    fv_tape *tape = y->tape;

    if (tape->status != FV_OK || tape->step.mode == FV_EXPLAIN || y->id < begin) return y;
    const bool again = tape->step.mode == FV_TRAIN;
    if (again && (tape->parts_seen++ >= tape->step.recompute || !y->needs_grad)) {
        fv_tape_forget(tape, y->id, begin, y);
        return y;
    }
    if (tape->step.dry || tape->edit) return y;
    const fv_part part = {(int32_t)begin, y->id};
    if (again && append(tape, part) != FV_OK) return fv_tape_fail(tape, FV_ERR_NOMEM);
    if (again) fv_tape_forget(tape, begin, begin, y);
    for (int32_t i = part.first; i <= part.last; i++) give_up(tape, tape->vars[i], y);
    tape->judged = part.last;
    y->restorable = false; /* from what is gone */
    return y;
}

int64_t fv_tape_parts(const fv_tape *tape) { return tape->parts_seen; }

/* ---- again ---- */

static void want(fv_var *v, const fv_part *part, const fv_var *result) {
    if (v && v->op && v->id >= part->first && !fv_tape_outlives(v, result)) v->wanted = true;
}

/* Readers come behind what they read: one walk back finds all that is wanted. */
static void mark_wanted(const fv_tape *tape, const fv_part *part) {
    const fv_var *result = tape->vars[part->last];

    for (int32_t i = part->last; i >= part->first; i--) {
        fv_var *v = tape->vars[i];
        if (!v->op) continue;
        if (v->needs_grad && saves_much(v)) v->wanted = true;
        if (v->needs_grad && v->op->reads & FV_READS_Y) want(v, part, result);
        for (int k = 0; k < v->op->arity; k++)
            if (v->wanted || (v->needs_grad && v->op->reads & FV_READS_IN(k)))
                want(v->in[k], part, result);
    }
}

static fv_status reopen(fv_tape *tape, fv_var *v, const fv_var *result) {
    const fv_tensor t = fv_var_tensor(v);

    if (!fv_tape_outlives(v, result)) {
        v->data = fv_tape_buffer(tape, fv_tensor_bytes(&t), &v->buffer);
        if (!v->data) return FV_ERR_NOMEM;
    }
    for (int i = 0; saves_much(v) && i < v->n_saved; i++) {
        v->saved[i].data = fv_tape_buffer(tape, fv_tensor_bytes(&v->saved[i]), &v->saved_buffer[i]);
        if (!v->saved[i].data) return FV_ERR_NOMEM;
    }
    return FV_OK;
}

fv_status fv_tape_recompute(fv_tape *tape, const fv_part *part) {
    const fv_var *result = tape->vars[part->last];

    mark_wanted(tape, part);
    for (int32_t i = part->first; i <= part->last; i++) {
        fv_var *v = tape->vars[i];
        if (!v->wanted) continue;
        FV_TRY(fv_tape_restore(v, UINT32_MAX));
        if (v->op->alias) {
            fv_tape_take_input(v);
            continue;
        }
        fv_memplan_event(tape->plan, (uint64_t)(uintptr_t)v->op + 2);
        FV_TRY(reopen(tape, v, result));
        FV_TRY(fv_tape_run(tape, v));
    }
    return FV_OK;
}

void fv_tape_leave_part(fv_tape *tape, const fv_part *part) {
    const fv_var *result = tape->vars[part->last];

    for (int32_t i = part->first; i < part->last; i++) {
        const fv_var *v = tape->vars[i];
        if (!v->wanted || v->needs_grad || v->op->alias || fv_tape_outlives(v, result)) continue;
        fv_memplan_release(tape->plan, v->buffer);
        for (int k = 0; k < v->n_saved; k++) fv_memplan_release(tape->plan, v->saved_buffer[k]);
    }
}
