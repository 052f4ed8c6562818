/* relevance.c - relevance rules that serve many ops, and the ledger.  The rules of affine ops stand in
 * relevance_affine.c, those of single ops beside their forward and backward. */
#include "core/op.h"

#include <math.h>
#include <string.h>

const char *const fv_sink_names[FV_SINK_COUNT] = {
#define FV_X(name, text) text,
    FV_SINK_LIST(FV_X)
#undef FV_X
};

fv_status fv_ledger_init(fv_ledger *ledger, int64_t n_samples, fv_arena *arena) {
    const size_t n = (size_t)n_samples + 1;

    *ledger = (fv_ledger){.n_samples = n_samples};
    ledger->start = fv_arena_calloc(arena, n, sizeof *ledger->start);
    ledger->largest = fv_arena_calloc(arena, n, sizeof *ledger->largest);
    ledger->worst = fv_arena_calloc(arena, n, sizeof *ledger->worst);
    ledger->sums = fv_arena_calloc(arena, n * FV_ELEMENT_SUMS, sizeof *ledger->sums);
    ledger->room = fv_arena_calloc(arena, n, sizeof *ledger->room);
    ledger->epsilon = fv_arena_calloc(arena, n, sizeof *ledger->epsilon);
    if (!ledger->start || !ledger->largest || !ledger->worst || !ledger->sums || !ledger->room ||
        !ledger->epsilon)
        return FV_ERR_NOMEM;
    for (int s = 0; s < FV_SINK_COUNT; s++) {
        ledger->sink[s] = fv_arena_calloc(arena, n, sizeof(double));
        if (!ledger->sink[s]) return FV_ERR_NOMEM;
    }
    return FV_OK;
}

void fv_ledger_add(fv_ledger *ledger, fv_sink sink, int64_t sample, double value) {
    ledger->sink[sink][sample] += value;
}

void fv_ledger_sum(fv_ledger *ledger, int64_t n, int64_t row, fv_elements_fn *fn, void *arg,
                   const fv_sink sinks[], int n_sinks) {
    fv_sum_elements(ledger->n_samples, n, row, fn, NULL, arg, ledger->sums);
    for (int64_t b = 0; b < ledger->n_samples; b++)
        for (int k = 0; k < n_sinks; k++)
            fv_ledger_add(ledger, sinks[k], b, ledger->sums[b * FV_ELEMENT_SUMS + k]);
}

static int64_t elements_per_sample(const fv_var *y) {
    const int64_t B = y->shape.dim[0];
    return B > 0 ? fv_shape_numel(&y->shape) / B : 0;
}

fv_stabiliser fv_stabiliser_of(const fv_rule *rule, int64_t n, const float *z) {
    fv_stabiliser s = {rule->stabiliser, rule->epsilon};
    double squares = 0.0;

    if (s.kind != FV_STAB_NORM) return s;
    for (int64_t i = 0; i < n; i++)
        if (!isinf(z[i])) squares += (double)z[i] * (double)z[i];
    s.epsilon = (float)((double)s.epsilon * sqrt(squares / (double)(n > 0 ? n : 1)));
    if (s.epsilon == 0.0f) s.epsilon = rule->epsilon; /* all zeros */
    return s;
}

void fv_stabilise_samples(const fv_rule *rule, int64_t n, const float *z, float scale) {
    for (int64_t b = 0; b < rule->ledger->n_samples; b++) {
        const fv_stabiliser stab = fv_stabiliser_of(rule, n, z + b * n);
        rule->ledger->epsilon[b] = stab.kind == FV_STAB_NORM ? stab.epsilon * scale : stab.epsilon;
    }
}

typedef struct division {
    const fv_rule *rule;
    const float *r, *z;
    float *s, scale;
} division;

static void divide_block(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const division *d = arg;
    const fv_stabiliser stab = fv_sample_stabiliser(d->rule, sample);

    for (int64_t i = begin; i < end; i++) {
        const float z = d->z[i], bottom = fv_stabilise(stab, d->scale * z);
        d->s[i] = isinf(z) ? 0.0f : d->r[i] / bottom;
        if (isinf(z)) continue;
        sums[0] += (double)d->s[i] * ((double)bottom - (double)d->scale * (double)z);
    }
}

void fv_relevance_divide(const fv_var *y, const float *r, float scale, const fv_rule *rule,
                         float *s) {
    const int64_t n = elements_per_sample(y);
    division d = {rule, r, y->data, s, scale};

    fv_stabilise_samples(rule, n, d.z, scale);
    fv_ledger_sum(rule->ledger, n, 1, divide_block, &d, (fv_sink[]){FV_SINK_EPS}, 1);
}

typedef struct factors {
    float *r;
    const float *a;
} factors;

static void times_block(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const factors *f = arg;

    (void)sample, (void)sums;
    for (int64_t i = begin; i < end; i++) f->r[i] = fv_times_activation(f->r[i], f->a[i]);
}

void fv_times_activations(int64_t n, float *r, const float *a) {
    fv_for_elements(1, n, 1, times_block, &(factors){r, a});
}

/* The op's vector-Jacobian product of a signal, into the wanted rx[]. */
static fv_status vjp(const fv_var *y, const float *signal, fv_signal rx[]) {
    const fv_tensor dy = {(void *)signal, FV_F32, y->shape};
    fv_grad dx[FV_MAX_INPUTS] = {{0}};
    bool wanted = false;

    for (int i = 0; i < y->op->arity; i++) {
        dx[i] = (fv_grad){.data = rx[i].data, .dtype = FV_F32};
        if (rx[i].data) wanted = true;
    }
    return wanted ? y->op->backward(y, &dy, dx) : FV_OK;
}

fv_status fv_relevance_epsilon(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                               const fv_rule *rule) {
    if (ry->kind == FV_SIGNAL_GI) return vjp(y, ry->data, rx);
    float *s = fv_tape_scratch(y->tape, fv_shape_numel(&y->shape));
    if (!s) return FV_ERR_NOMEM;
    fv_relevance_divide(y, ry->data, 1.0f, rule, s);
    FV_TRY(vjp(y, s, rx));
    for (int k = 0; k < y->op->arity; k++) {
        if (!rx[k].data) continue;
        fv_times_activations(fv_shape_numel(&y->in[k]->shape), rx[k].data, y->in[k]->data);
    }
    return FV_OK;
}

/* The sum of a sample's relevance s x, with s the divided signal of its n elements. */
static double share_of(const float *s, const float *x, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += (double)fv_times_activation(s[i], x[i]);
    return sum;
}

/* The factor of summand k is sgn(sum R_k) sum R / (|sum R_a| + |sum R_b|), 0 where it has nothing. */
static void normalise_sample(const fv_var *y, const float *r, const float *s, fv_signal rx[],
                             const fv_rule *rule, int64_t sample) {
    const int64_t n = elements_per_sample(y), at = sample * n;
    double total = 0.0, share[2], dropped = 0.0;

    for (int64_t i = at; i < at + n; i++) total += (double)r[i];
    for (int k = 0; k < 2; k++) share[k] = share_of(s + at, (const float *)y->in[k]->data + at, n);
    const double size = fabs(share[0]) + fabs(share[1]);
    for (int k = 0; k < 2; k++) {
        const double sign = share[k] > 0.0 ? 1.0 : share[k] < 0.0 ? -1.0 : 0.0;
        const double factor = size > 0.0 ? sign * total / size : 0.0;
        const float *x = (const float *)y->in[k]->data + at;
        dropped += (1.0 - factor) * share[k];
        for (int64_t i = 0; rx[k].data && i < n; i++)
            rx[k].data[at + i] = (float)(factor * (double)fv_times_activation(s[at + i], x[i]));
    }
    fv_ledger_add(rule->ledger, FV_SINK_DROP, sample, dropped);
}

fv_status fv_relevance_add(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    if (ry->kind == FV_SIGNAL_GI || !rule->normalised_add)
        return fv_relevance_epsilon(y, ry, rx, rule);
    float *s = fv_tape_scratch(y->tape, fv_shape_numel(&y->shape));
    if (!s) return FV_ERR_NOMEM;
    fv_relevance_divide(y, ry->data, 1.0f, rule, s);
    for (int64_t b = 0; b < y->shape.dim[0]; b++) normalise_sample(y, ry->data, s, rx, rule, b);
    return FV_OK;
}

fv_status fv_relevance_move(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                            const fv_rule *rule) {
    (void)rule;
    return vjp(y, ry->data, rx);
}

fv_status fv_relevance_identity(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                                const fv_rule *rule) {
    (void)rule;
    if (ry->kind == FV_SIGNAL_GI) return vjp(y, ry->data, rx);
    if (rx[0].data) memcpy(rx[0].data, ry->data, (size_t)fv_shape_numel(&y->shape) * sizeof(float));
    return FV_OK;
}

fv_status fv_relevance_refused(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                               const fv_rule *rule) {
    (void)ry, (void)rx, (void)rule;
    return FV_FAIL(FV_ERR_INTERNAL, "%s has no relevance: it is never on an EXPLAIN tape",
                   y->op->name);
}

fv_status fv_relevance_none(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                            const fv_rule *rule) {
    const int64_t n = elements_per_sample(y);
    const float *z = y->data;

    for (int i = 0; i < y->op->arity; i++)
        if (rx[i].data)
            memset(rx[i].data, 0, (size_t)fv_shape_numel(&y->in[i]->shape) * sizeof(float));
    for (int64_t b = 0; b < y->shape.dim[0]; b++) {
        double dropped = 0.0;
        for (int64_t i = b * n; i < (b + 1) * n; i++)
            dropped += (double)ry->data[i] * (ry->kind == FV_SIGNAL_GI ? (double)z[i] : 1.0);
        fv_ledger_add(rule->ledger, FV_SINK_DROP, b, dropped);
    }
    return FV_OK;
}

static double bytes_of(const fv_var *v) {
    return (double)fv_shape_numel(&v->shape) * (double)fv_dtype_bytes(v->dtype);
}

fv_cost fv_cost_elementwise(const fv_var *y) {
    fv_cost cost = {0.0, bytes_of(y)};

    for (int i = 0; i < y->op->arity; i++)
        if (y->in[i]) cost.bytes += bytes_of(y->in[i]);
    return cost;
}

/* W c and (b - mean) c + beta, c = gamma rstd. */
void fv_relevance_fold(const fv_var *affine, const fv_var *norm, float *w, float *b) {
    const float *gamma = norm->in[1]->data, *beta = norm->in[2]->data;
    const float *mean = norm->saved[0].data, *rstd = norm->saved[1].data;
    const float *weight = affine->in[1]->data, *bias = affine->in[2] ? affine->in[2]->data : NULL;
    const int64_t O = fv_shape_last(&affine->shape);
    const int64_t columns = fv_shape_numel(&affine->in[1]->shape) / O;

    for (int64_t o = 0; o < O; o++) {
        const double c = (double)gamma[o] * (double)rstd[o];
        const double before = bias ? (double)bias[o] : 0.0;
        b[o] = (float)((before - (double)mean[o]) * c + (double)beta[o]);
        for (int64_t i = 0; i < columns; i++)
            w[o * columns + i] = (float)((double)weight[o * columns + i] * c);
    }
}
