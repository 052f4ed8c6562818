/* forget.c - values that give their buffers up between the passes of a training step: those that no backward
 * pass reads, and those that an op can restore at the price of a pass over memory (fv_op.restore).
 *
 * What can be restored is read from values that are there for another reason, or that can be restored
 * themselves.  A forgotten value comes back, bit for bit, before the first op that reads it. */
#include "core/tape_internal.h"

fv_var *fv_tape_owner(fv_var *v) {
    while (v->op && v->op->alias) v = v->in[0];
    return v;
}

static bool can_restore(const fv_var *y) {
    if (!y->op->restore || (!y->op->restore_reads && !y->n_saved)) return false;
    for (int i = 0; i < y->op->arity; i++) {
        if (!y->in[i] || !(y->op->restore_reads & FV_READS_IN(i))) continue;
        const fv_var *x = fv_tape_owner(y->in[i]);
        if (x->op && !x->held && !x->restorable) return false;
    }
    return true;
}

void fv_tape_note_reads(fv_var *y) {
    if (y->tape->step.mode != FV_TRAIN || y->op->alias) return;
    for (int i = 0; y->needs_grad && i < y->op->arity; i++)
        if (y->in[i] && y->op->reads & FV_READS_IN(i)) fv_tape_owner(y->in[i])->held = true;
    if (y->needs_grad && y->op->reads & FV_READS_Y) y->held = true;
    y->restorable = can_restore(y);
}

void fv_tape_forget(fv_tape *tape, int64_t end, int64_t begin, const fv_var *result) {
    if (tape->step.mode != FV_TRAIN || tape->step.dry || tape->edit) return;
    for (int64_t i = tape->judged; i < end; i++) {
        fv_var *v = tape->vars[i];
        if (!v->op || v->forgotten || v->restored) continue;
        if (v->op->alias) {
            v->forgotten = v->in[0]->forgotten;
            continue;
        }
        if (fv_tape_outlives(v, result)) continue;
        v->forgotten = v->restorable;
        if (!v->restorable && (v->held || i < begin)) continue;
        fv_memplan_event(tape->plan, (uint64_t)i);
        fv_memplan_release(tape->plan, v->buffer);
    }
    if (tape->judged < end) tape->judged = end;
}

static fv_status restore(fv_var *v) {
    fv_tape *tape = v->tape;
    const fv_tensor t = fv_var_tensor(v);

    if (!v->forgotten) return FV_OK;
    v->forgotten = false;
    if (v->op->alias) {
        FV_TRY(restore(v->in[0]));
        fv_tape_take_input(v);
        return FV_OK;
    }
    FV_TRY(fv_tape_restore(v, v->op->restore_reads));
    fv_memplan_event(tape->plan, (uint64_t)(uintptr_t)v->op + 3);
    v->data = fv_tape_buffer(tape, fv_tensor_bytes(&t), &v->buffer);
    if (!v->data) return FV_ERR_NOMEM;
    const int mark = fv_tape_scratch_mark(tape);
    const fv_status status = v->op->restore(v);
    v->restored = true;
    fv_tape_scratch_release(tape, mark);
    fv_tape_use(tape, v, v->op->restore_reads | FV_READS_Y);
    return status;
}

fv_status fv_tape_restore(fv_var *y, uint32_t reads) {
    for (int i = 0; i < y->op->arity; i++)
        if (y->in[i] && reads & FV_READS_IN(i)) FV_TRY(restore(y->in[i]));
    return reads & FV_READS_Y ? restore(y) : FV_OK;
}
