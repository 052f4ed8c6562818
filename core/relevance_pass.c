/* relevance_pass.c - walks the tape backwards with relevance signals.
 *
 * Each op fills fresh buffers with what its inputs receive; the pass checks the op's ledger, adds the
 * buffers to what other readers sent, and converts between the two kinds of signal where neighbours
 * differ: R = g * a, g = R / stab(a, 1e-10). */
#include "core/tape_internal.h"

#include <math.h>
#include <string.h>

#define CONVERT_EPS 1e-10f

static void convert(const fv_var *v, float *signal, fv_signal_kind from, fv_signal_kind to) {
    const float *a = v->data;
    const int64_t n = fv_shape_numel(&v->shape);

    if (from == to) return;
    for (int64_t i = 0; i < n; i++)
        signal[i] = to == FV_SIGNAL_R ? fv_times_activation(signal[i], a[i])
                                      : signal[i] / fv_stab(a[i], CONVERT_EPS);
}

/* Sum of the relevance of one sample, and of its absolute value. */
static double sample_sum(const fv_var *v, const float *signal, fv_signal_kind kind, int64_t sample,
                         double *absolute) {
    const int64_t n = fv_shape_numel(&v->shape) / v->shape.dim[0];
    const float *s = signal + sample * n, *a = (const float *)v->data + sample * n;
    double sum = 0.0, magnitude = 0.0;

    for (int64_t i = 0; i < n; i++) {
        double r = (double)s[i];
        if (kind == FV_SIGNAL_GI) r = isinf(a[i]) ? 0.0 : r * (double)a[i];
        sum += r;
        magnitude += fabs(r);
    }
    if (absolute) *absolute = magnitude;
    return sum;
}

static double sinks_of(const fv_ledger *ledger, int64_t sample) {
    double sum = 0.0;
    for (int s = 0; s < FV_SINK_COUNT; s++) sum += ledger->sink[s][sample];
    return sum;
}

/* |out - in - sinks| / sum |R out| of this op, the worst over the samples.  sinks[] holds the ledger's
 * totals from before the op. */
static void check_op(fv_var *y, const fv_signal *ry, const fv_signal rx[], fv_ledger *ledger,
                     const double *sinks) {
    for (int64_t b = 0; b < ledger->n_samples; b++) {
        double absolute, left = sample_sum(y, ry->data, ry->kind, b, &absolute);
        for (int i = 0; i < y->op->arity; i++)
            if (rx[i].data) left -= sample_sum(y->in[i], rx[i].data, rx[i].kind, b, NULL);
        left -= sinks_of(ledger, b) - sinks[b];
        const double error = absolute > 0.0 ? fabs(left) / absolute : fabs(left);
        if (!isnan(ledger->worst_op) && !(error <= ledger->worst_op)) { /* a NaN stays */
            ledger->worst_op = error;
            ledger->worst_op_name = y->op->name;
            ledger->worst_op_scope = y->scope;
        }
    }
}

/* Adds what one reader sent; different kinds meet as relevance. */
static void collect(fv_tape *tape, fv_var *x, const fv_signal *rx, int32_t buffer) {
    const int64_t n = fv_shape_numel(&x->shape);

    if (!x->signal) {
        x->signal = rx->data;
        x->signal_kind = (int)rx->kind;
        x->signal_buffer = buffer;
        return;
    }
    if (x->signal_kind != (int)rx->kind) {
        convert(x, x->signal, (fv_signal_kind)x->signal_kind, FV_SIGNAL_R);
        convert(x, rx->data, rx->kind, FV_SIGNAL_R);
        x->signal_kind = FV_SIGNAL_R;
    }
    fv_kernel()->axpy(n, 1.0f, rx->data, x->signal);
    fv_memplan_use(tape->plan, x->signal_buffer);
    fv_memplan_use(tape->plan, buffer);
}

static fv_status step_back(fv_tape *tape, fv_var *y, fv_rule_fn *pick, void *user,
                           fv_ledger *ledger, double *sinks) {
    fv_rule rule = {.kind = FV_SIGNAL_GI, .ledger = ledger};
    fv_signal rx[FV_MAX_INPUTS] = {{FV_SIGNAL_GI, NULL}};
    int32_t buffer[FV_MAX_INPUTS];

    pick(y, user, &rule);
    rule.ledger = ledger;
    convert(y, y->signal, (fv_signal_kind)y->signal_kind, rule.kind);
    const fv_signal ry = {rule.kind, y->signal};
    fv_memplan_event(tape->plan, (uint64_t)(uintptr_t)y->op + 2);
    for (int i = 0; i < y->op->arity; i++) {
        fv_var *x = y->in[i];
        rx[i].kind = rule.kind;
        if (!x || !x->needs_grad || x->param || x->dtype != FV_F32) continue;
        rx[i].data =
            fv_tape_buffer(tape, (size_t)fv_shape_numel(&x->shape) * sizeof(float), &buffer[i]);
        if (!rx[i].data) return FV_ERR_NOMEM;
    }
    for (int64_t b = 0; b < ledger->n_samples; b++) sinks[b] = sinks_of(ledger, b);
    fv_status status = y->op->relevance(y, &ry, rx, &rule);
    fv_memplan_use(tape->plan, y->buffer);
    fv_memplan_use(tape->plan, y->signal_buffer);
    for (int i = 0; i < y->n_saved; i++) fv_memplan_use(tape->plan, y->saved_buffer[i]);
    for (int i = 0; i < y->op->arity; i++)
        if (y->in[i]) fv_memplan_use(tape->plan, y->in[i]->buffer);
    const fv_status ended = fv_tape_end_op(tape);
    if (status == FV_OK) status = ended;
    if (status != FV_OK) return status;
    check_op(y, &ry, rx, ledger, sinks);
    for (int i = 0; i < y->op->arity; i++)
        if (rx[i].data) collect(tape, y->in[i], &rx[i], buffer[i]);
    return FV_OK;
}

/* Leaves and watched variables keep their relevance, as R. */
static void publish(fv_tape *tape, fv_var *v) {
    if (v->op && !(v->watch & FV_WATCH_RELEVANCE)) return;
    fv_memplan_keep(tape->plan, v->signal_buffer);
    v->relevance = (fv_tensor){v->signal, FV_F32, v->shape};
    if (v->op) {
        /* The signal still has to travel on: keep a copy. */
        const size_t bytes = (size_t)fv_shape_numel(&v->shape) * sizeof(float);
        int32_t id;
        float *copy = fv_tape_buffer(tape, bytes, &id);
        if (!copy) return;
        memcpy(copy, v->signal, bytes);
        v->signal = copy;
        v->signal_buffer = id;
    }
    convert(v, v->relevance.data, (fv_signal_kind)v->signal_kind, FV_SIGNAL_R);
}

static fv_status walk(fv_tape *tape, fv_var *y, const float *start, int kind, fv_rule_fn *pick,
                      void *user, fv_ledger *ledger) {
    const size_t bytes = (size_t)fv_shape_numel(&y->shape) * sizeof(float);
    double *sinks = fv_arena_calloc(&tape->nodes, (size_t)ledger->n_samples + 1, sizeof *sinks);

    y->signal = fv_tape_buffer(tape, bytes, &y->signal_buffer);
    if (!sinks || !y->signal) return FV_ERR_NOMEM;
    y->signal_kind = kind;
    memcpy(y->signal, start, bytes);
    for (int64_t i = y->id; i >= 0; i--) {
        fv_var *v = tape->vars[i];
        if (!v->signal) continue;
        publish(tape, v);
        FV_TRY(tape->status);
        if (!v->op) continue;
        const fv_status status = step_back(tape, v, pick, user, ledger, sinks);
        if (status != FV_OK) {
            if (v->scope[0]) fv_error_context(status, "%s", v->scope);
            return status;
        }
        v->signal = NULL;
    }
    return FV_OK;
}

/* A ledger nobody asked for still gives the ops a place to write. */
static fv_status own_ledger(fv_tape *tape, int64_t n_samples, fv_ledger *ledger) {
    *ledger = (fv_ledger){.n_samples = n_samples};
    for (int s = 0; s < FV_SINK_COUNT; s++) {
        ledger->sink[s] = fv_arena_calloc(&tape->nodes, (size_t)n_samples, sizeof(double));
        if (!ledger->sink[s]) return FV_ERR_NOMEM;
    }
    return FV_OK;
}

fv_status fv_tape_relevance(fv_tape *tape, fv_var *y, const float *start, int kind,
                            fv_rule_fn *pick, void *user, fv_ledger *ledger) {
    fv_ledger own;

    FV_TRY(fv_tape_status(tape));
    if (tape->step.mode != FV_EXPLAIN || tape->step.dry)
        return FV_FAIL(FV_ERR_INTERNAL, "relevance needs an EXPLAIN step");
    if (!y->needs_grad) return FV_FAIL(FV_ERR_INTERNAL, "relevance needs an input that wants it");
    for (int64_t i = 0; i < tape->n_vars; i++) {
        tape->vars[i]->signal = NULL;
        tape->vars[i]->relevance = (fv_tensor){0};
    }
    fv_status status = FV_OK;
    if (!ledger) {
        status = own_ledger(tape, y->shape.dim[0], &own);
        ledger = &own;
    }
    if (status == FV_OK) status = walk(tape, y, start, kind, pick, user, ledger);
    fv_tape_store(tape, status);
    return status;
}
