/* gradient_pass.c - walks the tape backwards with gradients.
 *
 * A gradient is allocated at its first writer, added to by later ones, complete when its variable is
 * reached, and dead after the variable's own backward unless somebody watches it, or it has been handed
 * over to an input as that one's.  Parts that forgot their activations compute them again when their
 * result is reached. */
#include "core/tape_internal.h"

#include <string.h>

/* The chunks of this pass within the global batch. */
static fv_tree make_tree(const fv_tape *tape, const fv_param *param, int64_t samples) {
    const fv_step *step = &tape->step;
    const int64_t total = step->total_samples > 0 ? step->total_samples : samples;
    const int64_t whole = total > 0 ? total : 1;
    const int64_t chunk = step->chunk_samples > 0 ? step->chunk_samples : whole;
    fv_tree tree = {.grad = param->grad,
                    .first_chunk = step->first_sample / chunk,
                    .n_chunks = (samples + chunk - 1) / chunk,
                    .total_chunks = (total + chunk - 1) / chunk};
    const int levels = step->partial ? fv_tree_levels(tree.total_chunks) : 0;

    for (int l = 0; l < levels && l < FV_TREE_LEVELS; l++)
        if (step->partial[l].base) tree.partial[l] = step->partial[l].base + param->offset;
    return tree;
}

/* The dtype its only reader and its producer both work in, else f32. */
static fv_dtype grad_dtype(const fv_var *x) {
    return x->dtype == FV_BF16 && x->n_readers == 1 ? FV_BF16 : FV_F32;
}

/* Gradient memory of x. */
static fv_status open_grad(fv_tape *tape, fv_var *x, fv_grad *g) {
    g->add = x->grad.data != NULL;
    if (!g->add) {
        x->grad = fv_var_tensor(x);
        x->grad.dtype = grad_dtype(x);
        x->grad.data = fv_tape_buffer(tape, fv_tensor_bytes(&x->grad), &x->grad_buffer);
        if (!x->grad.data) return FV_ERR_NOMEM;
    }
    g->data = x->grad.data;
    g->dtype = x->grad.dtype;
    return FV_OK;
}

/* y's gradient, complete now, becomes that of an input it is passed to: the first of perhaps several.
 * Returns the input's bit, 0 when there is none. */
static uint32_t hand_over(const fv_var *y) {
    if (y->watch & FV_WATCH_GRAD) return 0;
    for (int i = 0; i < y->op->arity; i++) {
        fv_var *x = y->in[i];
        if (!(y->op->passes >> i & 1) || !x->needs_grad || x->grad.data ||
            y->grad.dtype != grad_dtype(x))
            continue;
        x->grad = (fv_tensor){y->grad.data, y->grad.dtype, x->shape};
        x->grad_buffer = y->grad_buffer;
        return 1u << i;
    }
    return 0;
}

static bool wants_gradient(const fv_var *y, int i, uint32_t handed) {
    return y->in[i] && y->in[i]->needs_grad && !(handed >> i & 1);
}

static void use_read(fv_tape *tape, const fv_var *y) {
    fv_tape_use(tape, y, y->op->reads);
    for (int i = 0; i < y->op->arity; i++)
        if (y->in[i] && y->in[i]->grad.data) fv_memplan_use(tape->plan, y->in[i]->grad_buffer);
    fv_memplan_use(tape->plan, y->grad_buffer);
}

static fv_status step_back(fv_tape *tape, fv_var *y) {
    const fv_op *op = y->op;
    fv_grad dx[FV_MAX_INPUTS] = {{0}};
    fv_tree trees[FV_MAX_INPUTS];

    if (tape->step.check_finite)
        FV_TRY(
            fv_check_finite(y, "gradient", y->grad.data, y->grad.dtype, fv_shape_numel(&y->shape)));
    const uint32_t handed = hand_over(y);
    bool wanted = false;
    for (int i = 0; i < op->arity; i++) wanted |= wants_gradient(y, i, handed);
    if (!wanted) return FV_OK;
    fv_memplan_event(tape->plan, (uint64_t)(uintptr_t)op + 1);
    for (int i = 0; i < op->arity; i++) {
        fv_var *x = y->in[i];
        if (!wants_gradient(y, i, handed)) continue;
        if (op->params >> i & 1) {
            if (!x->param)
                return FV_FAIL(FV_ERR_UNSUPPORTED, "%s: input %d must be a parameter", op->name, i);
            trees[i] = make_tree(tape, x->param, y->in[0]->shape.dim[0]);
            dx[i].tree = &trees[i];
        } else {
            FV_TRY(open_grad(tape, x, &dx[i]));
        }
    }
    fv_tape_tell(tape, y, true, false);
    fv_status status = fv_tape_restore(y, op->reads);
    if (status == FV_OK) status = op->backward(y, &y->grad, dx);
    fv_tape_tell(tape, y, true, true);
    use_read(tape, y);
    const fv_status ended = fv_tape_end_op(tape);
    return status != FV_OK ? status : ended;
}

static bool has_handed_over(const fv_var *y) {
    for (int i = 0; i < y->op->arity; i++)
        if (y->op->passes >> i & 1 && y->in[i]->grad_buffer == y->grad_buffer) return true;
    return false;
}

/* Nothing reads y from here on: what came behind it is done.  Explained steps may be walked again. */
static void release(fv_tape *tape, const fv_var *y) {
    if (tape->step.mode != FV_TRAIN) return;
    if (!has_handed_over(y)) fv_memplan_release(tape->plan, y->grad_buffer);
    if (y->op->alias) return; /* its buffer is its input's */
    fv_memplan_release(tape->plan, y->buffer);
    for (int i = 0; i < y->n_saved; i++) fv_memplan_release(tape->plan, y->saved_buffer[i]);
}

fv_status fv_tape_backward(fv_tape *tape, fv_var *y, const float *dy) {
    FV_TRY(fv_tape_status(tape));
    if (tape->step.dry || tape->step.mode == FV_INFER)
        return FV_FAIL(FV_ERR_INTERNAL, "backward needs a TRAIN or EXPLAIN step");
    if (!y->needs_grad) return FV_OK;
    for (int64_t i = 0; i < tape->n_vars; i++) tape->vars[i]->grad = (fv_tensor){0};

    /* Values between the parts are judged again: nothing but this pass reads them any more. */
    tape->judged = tape->n_parts ? tape->parts[tape->n_parts - 1].last : 0;
    fv_tape_forget(tape, y->id, 0, y);
    fv_grad seed = {0};
    fv_status status = open_grad(tape, y, &seed);
    if (status == FV_OK) fv_grad_store(&seed, 0, fv_shape_numel(&y->shape), dy);
    int64_t part = tape->n_parts - 1;
    for (int64_t i = y->id; status == FV_OK && i >= 0; i--) {
        fv_var *v = tape->vars[i];
        while (part >= 0 && tape->parts[part].first > i)
            fv_tape_leave_part(tape, &tape->parts[part--]);
        if (!v->grad.data) continue;
        if (v->watch & FV_WATCH_GRAD || !v->op) fv_memplan_keep(tape->plan, v->grad_buffer);
        if (!v->op) continue;
        if (part >= 0 && tape->parts[part].last == v->id)
            status = fv_tape_recompute(tape, &tape->parts[part]);
        if (status == FV_OK) status = step_back(tape, v);
        if (status != FV_OK && v->scope[0]) fv_error_context(status, "%s", v->scope);
        if (!(v->watch & FV_WATCH_GRAD)) v->grad = (fv_tensor){0};
        release(tape, v);
    }
    fv_tape_store(tape, status);
    tape->walked = status == FV_OK;
    return status;
}
