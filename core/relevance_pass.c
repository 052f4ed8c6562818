/* relevance_pass.c - walks the tape backwards with relevance signals.
 *
 * Each op fills fresh buffers with what its inputs receive; the pass checks the op's ledger, adds the
 * buffers to what other readers sent, and converts between the two kinds of signal where neighbours
 * differ: R = g * a, g = R / stab(a, 1e-10).  A watched parameter that an op knows to take relevance
 * (positions, class token) keeps what it took. */
#include "core/tape_internal.h"

#include <math.h>
#include <string.h>

#define CONVERT_EPS 1e-10f

/* A signal and the activations it belongs to. */
typedef struct signal_of {
    float *s;
    const float *a;
    fv_signal_kind kind;
} signal_of;

static void to_relevance(const fv_var *v, float *signal, fv_signal_kind from) {
    if (from == FV_SIGNAL_GI) fv_times_activations(fv_shape_numel(&v->shape), signal, v->data);
}

/* What the division takes, all of it where a is 0, is summed. */
static void divide_block(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const signal_of *v = arg;
    const fv_stabiliser stab = {FV_STAB_ADD, CONVERT_EPS};

    (void)sample;
    for (int64_t i = begin; i < end; i++) {
        const float d = fv_stabilise(stab, v->a[i]);
        v->s[i] = v->s[i] / d;
        if (!isinf(v->a[i])) sums[0] += (double)v->s[i] * ((double)d - (double)v->a[i]);
    }
}

static void to_gradient(const fv_var *v, float *signal, fv_ledger *ledger) {
    const int64_t B = ledger->n_samples, n = B ? fv_shape_numel(&v->shape) / B : 0;
    signal_of of = {.s = signal, .a = v->data};

    fv_ledger_sum(ledger, n, 1, divide_block, &of, (fv_sink[]){FV_SINK_EPS}, 1);
}

/* Sums over the relevance of one sample. */
typedef struct sums {
    double total, absolute, largest;
} sums;

_Static_assert(sizeof(sums) == FV_ELEMENT_SUMS * sizeof(double), "as fv_sum_elements has them");

static void join_sums(double *total, const double *block) {
    total[0] += block[0];
    total[1] += block[1];
    if (!(block[2] <= total[2]) && !isnan(total[2])) total[2] = block[2]; /* a NaN stays */
}

static void sum_block(int64_t sample, int64_t begin, int64_t end, double *out, void *arg) {
    const signal_of *v = arg;
    const float *a = v->kind == FV_SIGNAL_GI ? v->a + begin : NULL;

    (void)sample;
    fv_kernel()->signed_sums(end - begin, v->s + begin, a, out);
}

/* The sums of every sample, into the ledger's room for them. */
static const sums *sample_sums(const fv_var *v, const float *signal, fv_signal_kind kind,
                               fv_ledger *ledger) {
    const int64_t B = ledger->n_samples, n = B ? fv_shape_numel(&v->shape) / B : 0;
    signal_of of = {.s = (float *)(uintptr_t)signal, .a = v->data, .kind = kind};

    fv_sum_elements(B, n, 1, sum_block, join_sums, &of, ledger->sums);
    return (const sums *)(const void *)ledger->sums;
}

static void note_largest(fv_ledger *ledger, int64_t sample, double value) {
    if (!isnan(ledger->largest[sample]) && !(value <= ledger->largest[sample]))
        ledger->largest[sample] = value;
}

static double sinks_of(const fv_ledger *ledger, int64_t sample) {
    double sum = 0.0;
    for (int s = 0; s < FV_SINK_COUNT; s++) sum += ledger->sink[s][sample];
    return sum;
}

/* What an op's account is checked with, per sample. */
typedef struct account {
    double *sinks; /* the ledger's before the op */
    double *left;  /* out - in - sinks */
    double *size;  /* sum |R out| */
} account;

/* |out - in - sinks| / sum |R out| of this op, per sample. */
static void check_op(fv_var *y, const fv_signal *ry, const fv_signal rx[], fv_ledger *ledger,
                     const account *a) {
    const sums *out = sample_sums(y, ry->data, ry->kind, ledger);

    for (int64_t b = 0; b < ledger->n_samples; b++) {
        a->left[b] = out[b].total - (sinks_of(ledger, b) - a->sinks[b]);
        a->size[b] = out[b].absolute;
        note_largest(ledger, b, out[b].largest);
    }
    for (int i = 0; i < y->op->arity; i++) {
        if (!rx[i].data) continue;
        const sums *in = sample_sums(y->in[i], rx[i].data, rx[i].kind, ledger);
        for (int64_t b = 0; b < ledger->n_samples; b++) a->left[b] -= in[b].total;
    }
    for (int64_t b = 0; b < ledger->n_samples; b++) {
        fv_op_error *worst = &ledger->worst[b];
        const double left = fabs(a->left[b]), error = a->size[b] > 0.0 ? left / a->size[b] : left;
        if (!isnan(worst->error) && !(error <= worst->error)) /* a NaN stays */
            *worst = (fv_op_error){error, y->op->name, y->scope};
    }
}

static void add_block(int64_t sample, int64_t begin, int64_t end, double *unused, void *arg) {
    const signal_of *v = arg;

    (void)sample, (void)unused;
    fv_kernel()->axpy(end - begin, 1.0f, v->a + begin, v->s + begin);
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
        to_relevance(x, x->signal, (fv_signal_kind)x->signal_kind);
        to_relevance(x, rx->data, rx->kind);
        x->signal_kind = FV_SIGNAL_R;
    }
    fv_for_elements(1, n, 1, add_block, &(signal_of){.s = x->signal, .a = rx->data});
    fv_memplan_use(tape->plan, x->signal_buffer);
    fv_memplan_use(tape->plan, buffer);
}

/* Where a watched parameter's relevance is kept: [B, numel], zeros. */
static fv_status open_absorbed(fv_tape *tape, const fv_var *y, fv_rule *rule) {
    for (int i = 0; i < y->op->arity; i++) {
        fv_var *p = y->in[i];
        int32_t id;
        if (!(y->op->absorbs >> i & 1) || !(p->watch & FV_WATCH_RELEVANCE)) continue;
        const fv_shape shape =
            fv_shape_of(2, y->shape.dim[0], fv_shape_numel(&p->shape)); /* [B,numel] */
        const size_t bytes = (size_t)fv_shape_numel(&shape) * sizeof(float);
        rule->absorbed = fv_tape_buffer(tape, bytes, &id);
        if (!rule->absorbed) return FV_ERR_NOMEM;
        memset(rule->absorbed, 0, bytes);
        fv_memplan_keep(tape->plan, id);
        p->relevance = (fv_tensor){rule->absorbed, FV_F32, shape};
    }
    return FV_OK;
}

/* Runs the op's rule; its inputs' signals end up in rx, in the buffers named. */
static fv_status run_rule(fv_tape *tape, fv_var *y, const fv_rule *rule, fv_signal rx[],
                          int32_t buffer[]) {
    const fv_signal ry = {rule->kind, y->signal};

    fv_memplan_event(tape->plan, (uint64_t)(uintptr_t)y->op + 2);
    for (int i = 0; i < y->op->arity; i++) {
        fv_var *x = y->in[i];
        rx[i].kind = rule->kind;
        if (!x || !x->needs_grad || x->param || x->dtype != FV_F32) continue;
        rx[i].data =
            fv_tape_buffer(tape, (size_t)fv_shape_numel(&x->shape) * sizeof(float), &buffer[i]);
        if (!rx[i].data) return FV_ERR_NOMEM;
    }
    const fv_status status = y->op->relevance(y, &ry, rx, rule);
    fv_memplan_use(tape->plan, y->buffer);
    fv_memplan_use(tape->plan, y->signal_buffer);
    for (int i = 0; i < y->n_saved; i++) fv_memplan_use(tape->plan, y->saved_buffer[i]);
    for (int i = 0; i < y->op->arity; i++)
        if (y->in[i]) fv_memplan_use(tape->plan, y->in[i]->buffer);
    const fv_status ended = fv_tape_end_op(tape);
    return status != FV_OK ? status : ended;
}

static fv_status step_back(fv_tape *tape, fv_var *y, fv_rule_fn *pick, void *user,
                           fv_ledger *ledger, const account *a) {
    fv_rule rule = {.kind = FV_SIGNAL_GI};
    fv_signal rx[FV_MAX_INPUTS] = {{FV_SIGNAL_GI, NULL}};
    int32_t buffer[FV_MAX_INPUTS];

    pick(y, user, &rule);
    rule.ledger = ledger;
    rule.absorbed = NULL;
    if (rule.kind == FV_SIGNAL_R)
        to_relevance(y, y->signal, (fv_signal_kind)y->signal_kind);
    else if (y->signal_kind == FV_SIGNAL_R)
        to_gradient(y, y->signal, ledger);
    FV_TRY(open_absorbed(tape, y, &rule));
    for (int64_t b = 0; b < ledger->n_samples; b++) a->sinks[b] = sinks_of(ledger, b);
    FV_TRY(run_rule(tape, y, &rule, rx, buffer));
    check_op(y, &(fv_signal){rule.kind, y->signal}, rx, ledger, a);
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
    to_relevance(v, v->relevance.data, (fv_signal_kind)v->signal_kind);
}

/* The input's relevance counts among the largest. */
static void note_leaf(const fv_var *v, fv_ledger *ledger) {
    if (v->shape.rank < 1 || v->shape.dim[0] != ledger->n_samples) return;
    const sums *in = sample_sums(v, v->relevance.data, FV_SIGNAL_R, ledger);
    for (int64_t b = 0; b < ledger->n_samples; b++) note_largest(ledger, b, in[b].largest);
}

static fv_status walk(fv_tape *tape, fv_var *y, const float *start, int kind, fv_rule_fn *pick,
                      void *user, fv_ledger *ledger) {
    const size_t bytes = (size_t)fv_shape_numel(&y->shape) * sizeof(float);
    const size_t B = (size_t)ledger->n_samples;
    double *room = fv_arena_calloc(&tape->nodes, 3 * B + 1, sizeof *room);

    y->signal = fv_tape_buffer(tape, bytes, &y->signal_buffer);
    if (!room || !y->signal) return FV_ERR_NOMEM;
    const account a = {room, room + B, room + 2 * B};
    y->signal_kind = kind;
    memcpy(y->signal, start, bytes);
    const sums *begin = sample_sums(y, start, (fv_signal_kind)kind, ledger);
    for (int64_t b = 0; b < ledger->n_samples; b++) ledger->start[b] += begin[b].total;
    for (int64_t i = y->id; i >= 0; i--) {
        fv_var *v = tape->vars[i];
        if (!v->signal) continue;
        publish(tape, v);
        FV_TRY(tape->status);
        if (!v->op) {
            note_leaf(v, ledger);
            continue;
        }
        const fv_status status = step_back(tape, v, pick, user, ledger, &a);
        if (status != FV_OK) {
            if (v->scope[0]) fv_error_context(status, "%s", v->scope);
            return status;
        }
        v->signal = NULL;
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
        status = fv_ledger_init(&own, y->shape.dim[0], &tape->nodes);
        ledger = &own;
    }
    if (status == FV_OK) status = walk(tape, y, start, kind, pick, user, ledger);
    fv_tape_store(tape, status);
    return status;
}
