/* relevance.c - relevance rules that serve many ops, and the ledger.  Rules of single ops stand beside
 * their forward and backward; the forms GI and R are told apart in op.h. */
#include "core/op.h"

#include <string.h>

const char *const fv_sink_names[FV_SINK_COUNT] = {
#define FV_X(name, text) text,
    FV_SINK_LIST(FV_X)
#undef FV_X
};

void fv_ledger_add(fv_ledger *ledger, fv_sink sink, int64_t sample, double value) {
    ledger->sink[sink][sample] += value;
}

static int64_t elements_per_sample(const fv_var *y) {
    const int64_t B = y->shape.dim[0];
    return B > 0 ? fv_shape_numel(&y->shape) / B : 0;
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

/* s = R / (z +- eps); what the stabiliser takes, sum s (D - z), goes to the ledger. */
static void divide(const fv_var *y, const float *r, const fv_rule *rule, float *s) {
    const int64_t n = elements_per_sample(y);
    const float *z = y->data;

    for (int64_t b = 0; b < y->shape.dim[0]; b++) {
        double eps = 0.0;
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            const float d = fv_stab(z[i], rule->epsilon);
            s[i] = r[i] / d;
            if (isinf(z[i])) continue; /* masked: s is 0 */
            eps += (double)s[i] * ((double)d - (double)z[i]);
        }
        fv_ledger_add(rule->ledger, FV_SINK_EPS, b, eps);
    }
}

fv_status fv_relevance_epsilon(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                               const fv_rule *rule) {
    if (ry->kind == FV_SIGNAL_GI) return vjp(y, ry->data, rx);
    float *s = fv_tape_scratch(y->tape, fv_shape_numel(&y->shape));
    if (!s) return FV_ERR_NOMEM;
    divide(y, ry->data, rule, s);
    FV_TRY(vjp(y, s, rx));
    for (int k = 0; k < y->op->arity; k++) {
        if (!rx[k].data) continue;
        const float *x = y->in[k]->data;
        const int64_t n = fv_shape_numel(&y->in[k]->shape);
        for (int64_t i = 0; i < n; i++) rx[k].data[i] = fv_times_activation(rx[k].data[i], x[i]);
    }
    return FV_OK;
}

/* Per sample: L_bias and, in R form, L_eps and the signal s = R / (z +- eps). */
static void affine_sinks(const fv_var *y, const fv_signal *ry, const fv_rule *rule, float *s) {
    const float *b = y->in[2] ? y->in[2]->data : NULL, *z = y->data, *r = ry->data;
    const int64_t O = fv_shape_last(&y->shape), n = elements_per_sample(y);

    for (int64_t sample = 0; sample < y->shape.dim[0]; sample++) {
        double bias = 0.0, eps = 0.0;
        for (int64_t i = sample * n; i < (sample + 1) * n; i++) {
            const double beta = b ? (double)b[i % O] : 0.0;
            if (ry->kind == FV_SIGNAL_GI) {
                bias += beta * (double)r[i];
                continue;
            }
            const float d = fv_stab(z[i], rule->epsilon);
            s[i] = r[i] / d;
            bias += (double)r[i] * beta / (double)d;
            eps += (double)r[i] * ((double)d - (double)z[i]) / (double)d;
        }
        fv_ledger_add(rule->ledger, FV_SINK_BIAS, sample, bias);
        if (ry->kind == FV_SIGNAL_R) fv_ledger_add(rule->ledger, FV_SINK_EPS, sample, eps);
    }
}

/* GI: g_x = g_y W.  R: x * ((R / (z +- eps)) W), Bach et al. 2015, eq. 58. */
fv_status fv_relevance_affine(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                              const fv_rule *rule) {
    const int64_t n = fv_shape_numel(&y->in[0]->shape);
    const float *x = y->in[0]->data, *signal = ry->data;
    float *s = NULL;

    if (ry->kind == FV_SIGNAL_R) {
        s = fv_tape_scratch(y->tape, fv_shape_numel(&y->shape));
        if (!s) return FV_ERR_NOMEM;
        signal = s;
    }
    affine_sinks(y, ry, rule, s);
    FV_TRY(vjp(y, signal, rx));
    if (ry->kind == FV_SIGNAL_R && rx[0].data)
        for (int64_t i = 0; i < n; i++) rx[0].data[i] *= x[i];
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
