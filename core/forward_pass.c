/* forward_pass.c - records variables and computes them as they are recorded. */
#include "core/alloc.h"
#include "core/tape_internal.h"

#include <stdio.h>
#include <string.h>

static fv_var *new_var(fv_tape *tape) {
    if (tape->n_vars == tape->vars_capacity) {
        const int64_t capacity = tape->vars_capacity ? 2 * tape->vars_capacity : 512;
        fv_var **grown = fv_realloc(tape->vars, (size_t)capacity, sizeof *grown);
        if (!grown) return NULL;
        tape->vars = grown;
        tape->vars_capacity = capacity;
    }
    fv_var *v = fv_arena_calloc(&tape->nodes, 1, sizeof *v);
    if (!v) return NULL;
    v->tape = tape;
    v->scope = tape->scope;
    v->id = (int32_t)tape->n_vars;
    v->buffer = v->grad_buffer = v->signal_buffer = -1;
    for (int i = 0; i < FV_MAX_SAVED; i++) v->saved_buffer[i] = -1;
    tape->vars[tape->n_vars++] = v;
    return v;
}

fv_var *fv_input(fv_tape *tape, const fv_tensor *t, bool needs_grad) {
    if (tape->status != FV_OK) return &tape->poison;
    fv_var *v = new_var(tape);
    if (!v) return fv_tape_fail(tape, FV_ERR_NOMEM);
    v->shape = t->shape;
    v->dtype = t->dtype;
    v->data = t->data;
    v->needs_grad = needs_grad;
    return v;
}

fv_var *fv_param_var(fv_tape *tape, fv_param *param) {
    const fv_tensor t = {param->value, FV_F32, param->shape};
    const bool trains = tape->step.mode == FV_TRAIN && param->trainable && param->grad;

    fv_var *v = fv_input(tape, &t, trains);
    if (v == &tape->poison) return v;
    if (trains && !tape->step.dry)
        for (int64_t i = 0; i + 1 < tape->n_vars; i++)
            if (tape->vars[i]->param == param)
                return fv_tape_fail(tape, FV_FAIL(FV_ERR_UNSUPPORTED,
                                                  "parameter %s is read by two ops", param->name));
    v->param = param;
    if (tape->step.mode == FV_EXPLAIN) return fv_tap(v, param->name); /* "pos_embed" */
    return v;
}

/* Which passes walk back over an explained step, and how often, is not known in advance: its buffers
 * stay. */
static fv_status allocate(fv_tape *tape, fv_var *y) {
    const bool keep = tape->step.mode == FV_EXPLAIN;
    const fv_tensor t = fv_var_tensor(y);
    if (y->op->alias) {
        fv_tape_take_input(y);
        return FV_OK;
    }
    y->data = fv_tape_buffer(tape, fv_tensor_bytes(&t), &y->buffer);
    if (!y->data) return FV_ERR_NOMEM;
    if (keep) fv_memplan_keep(tape->plan, y->buffer);
    for (int i = 0; i < y->n_saved; i++) {
        y->saved[i].data = fv_tape_buffer(tape, fv_tensor_bytes(&y->saved[i]), &y->saved_buffer[i]);
        if (!y->saved[i].data) return FV_ERR_NOMEM;
        if (keep) fv_memplan_keep(tape->plan, y->saved_buffer[i]);
    }
    return FV_OK;
}

void fv_tape_use(fv_tape *tape, const fv_var *y, uint32_t reads) {
    for (int i = 0; i < y->op->arity; i++)
        if (y->in[i] && reads & FV_READS_IN(i)) fv_memplan_use(tape->plan, y->in[i]->buffer);
    if (reads & FV_READS_Y) fv_memplan_use(tape->plan, y->buffer);
    for (int i = 0; i < y->n_saved; i++) fv_memplan_use(tape->plan, y->saved_buffer[i]);
}

fv_status fv_tape_run(fv_tape *tape, fv_var *y) {
    fv_tape_tell(tape, y, false, false);
    const fv_status status = y->op->alias ? FV_OK : y->op->forward(y);
    fv_tape_tell(tape, y, false, true);
    fv_tape_use(tape, y, UINT32_MAX);
    const fv_status ended = fv_tape_end_op(tape);
    return status != FV_OK ? status : ended;
}

static fv_status compute(fv_tape *tape, fv_var *y) {
    int64_t numel;

    FV_TRY(y->op->shape(y));
    FV_TRY(fv_shape_check(&y->shape, &numel));
    fv_tape_note_reads(y);
    if (tape->step.dry) return FV_OK;
    fv_memplan_event(tape->plan, (uint64_t)(uintptr_t)y->op);
    FV_TRY(fv_tape_restore(y, UINT32_MAX));
    FV_TRY(allocate(tape, y));
    const fv_status status = fv_tape_run(tape, y);
    if (status == FV_OK && tape->step.check_finite && (y->dtype == FV_F32 || y->dtype == FV_BF16))
        return fv_check_finite(y, "output", y->data, y->dtype, numel);
    return status;
}

/* What is made of a parameter can be watched under "<parameter>.output": a layer's output before anything is
 * done to it. */
static fv_var *tap_outputs(fv_var *y) {
    fv_tape *tape = y->tape;
    char name[512];

    for (int i = 0; tape->n_watches && i < y->op->arity; i++) {
        if (!(y->op->params >> i & 1) || !y->in[i] || !y->in[i]->param) continue;
        snprintf(name, sizeof name, "%s.output", y->in[i]->param->name);
        fv_tap(y, name);
    }
    return tape->status == FV_OK ? y : &tape->poison;
}

fv_var *fv_apply(const fv_op *op, fv_var *const in[], const void *attr) {
    fv_tape *tape = in[0]->tape;
    if (tape->status != FV_OK) return &tape->poison;
    fv_var *y = new_var(tape);
    if (!y) return fv_tape_fail(tape, FV_ERR_NOMEM);
    y->op = op;
    for (int i = 0; i < op->arity; i++) {
        y->in[i] = in[i];
        if (in[i] && in[i]->needs_grad) y->needs_grad = true;
    }
    if (op->attr_bytes) {
        void *copy = fv_arena_alloc(&tape->nodes, 1, op->attr_bytes);
        if (!copy) return fv_tape_fail(tape, FV_ERR_NOMEM);
        memcpy(copy, attr, op->attr_bytes);
        y->attr = copy;
    }
    if (tape->step.mode == FV_INFER || op->constant) y->needs_grad = false;
    for (int i = 0; i < op->arity; i++)
        if (in[i] && y->needs_grad) in[i]->n_readers++;
    const fv_status status = compute(tape, y);
    if (status == FV_OK) return tap_outputs(y);
    if (y->scope[0]) fv_error_context(status, "%s", y->scope);
    return fv_tape_fail(tape, status);
}

fv_status fv_check_finite(const fv_var *y, const char *what, const void *data, fv_dtype dtype,
                          int64_t n) {
    bool finite = true;

    if (dtype == FV_F32) finite = fv_kernel()->all_finite(n, data);
    for (int64_t i = 0; dtype == FV_BF16 && finite && i < n; i++)
        finite = (((const fv_bf16 *)data)[i] & 0x7f80u) != 0x7f80u;
    if (finite) return FV_OK;
    return FV_FAIL(FV_ERR_NONFINITE, "%s: non-finite %s", y->op ? y->op->name : "input", what);
}
