/* op_softmax.c - y_i = exp(x_i - m) / sum_j exp(x_j - m), m = max_j x_j, over the last axis.
 * x [B, ..., N] f32 -> y the same.  Saves nothing: backward needs only y.
 * dx_i = y_i (dy_i - sum_j y_j dy_j). */
#include "core/ops/row.h"

#include <math.h>

static fv_status shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], false));
    if (x->rank < 2 || fv_shape_last(x) < 1)
        return FV_FAIL(FV_ERR_SHAPE, "softmax: input %s is not [B,...,N]", fv_shape_text(x, text));
    y->shape = *x;
    y->dtype = FV_F32;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t n;
} args;

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    for (int64_t i = first * a->n; i < (first + count) * a->n; i += a->n)
        fv_kernel()->softmax(a->n, 1.0f, (const float *)a->y->in[0]->data + i,
                             (float *)a->y->data + i, NULL);
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    fv_parallel_rows(&grid, forward_rows, &(args){.y = y, .n = fv_shape_last(&y->shape)});
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t i = first * a->n; i < (first + count) * a->n; i += a->n) {
        const float *y = (const float *)a->y->data + i, *dy = (const float *)a->dy->data + i;
        float *dx = fv_grad_open(a->dx, i, buffer);
        fv_kernel()->softmax_backward(a->n, 1.0f, y, dy, fv_kernel()->dot(a->n, y, dy), dx);
        fv_grad_close(a->dx, i, a->n, dx);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_shape_last(&y->shape);

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &(args){.y = y, .dy = dy, .dx = &dx[0], .n = n});
    return FV_OK;
}

/* One row; a masked logit -inf counts as 0.  Returns what the softmax takes.
 * GI: g_x = y (g - sum y g), which is the softmax rule of Achtibat et al. 2024, Prop. 3.1, in gradient
 *     form; taken: sum y g - sum x g_x.
 * R:  R_x,i = x_i (R_i - y_i sum R), on raw logits; taken: sum R - sum R_x.  With identity_softmax
 *     R_x = R, nothing taken. */
static double relevance_row(int64_t n, fv_signal_kind kind, const float *x, const float *y,
                            const float *signal, float *rx) {
    double sum = 0.0, kept = 0.0;

    for (int64_t i = 0; i < n; i++)
        sum += (double)signal[i] * (kind == FV_SIGNAL_GI ? (double)y[i] : 1.0);
    for (int64_t i = 0; i < n; i++) {
        const double logit = isinf(x[i]) ? 0.0 : (double)x[i], s = (double)signal[i];
        double out;
        if (kind == FV_SIGNAL_GI) {
            out = (double)y[i] * (s - sum);
            kept += logit * out;
        } else {
            out = logit * (s - (double)y[i] * sum);
            kept += out;
        }
        if (rx) rx[i] = (float)out;
    }
    return sum - kept;
}

typedef struct relevance_args {
    const fv_var *y;
    const fv_signal *ry;
    float *rx; /* NULL: not wanted */
} relevance_args;

static void relevance_rows(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const relevance_args *a = arg;
    const int64_t n = fv_shape_last(&a->y->shape);
    const float *x = a->y->in[0]->data, *s = a->y->data;

    (void)sample;
    for (int64_t i = begin; i < end; i += n)
        sums[0] +=
            relevance_row(n, a->ry->kind, x + i, s + i, a->ry->data + i, a->rx ? a->rx + i : NULL);
}

static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    const int64_t n = fv_shape_last(&y->shape), B = y->shape.dim[0];
    relevance_args a = {y, ry, rx[0].data};

    if (rule->identity_softmax && ry->kind == FV_SIGNAL_R)
        return fv_relevance_identity(y, ry, rx, rule);
    fv_ledger_sum(rule->ledger, B ? fv_shape_numel(&y->shape) / B : 0, n, relevance_rows, &a,
                  (fv_sink[]){FV_SINK_SOFTMAX}, 1);
    return FV_OK;
}

const fv_op fv_op_softmax = {.name = "softmax",
                             .arity = 1,
                             .reads = FV_READS_Y,
                             .shape = shape,
                             .forward = forward,
                             .backward = backward,
                             .relevance = relevance,
                             .cost = fv_cost_elementwise};

fv_var *fv_softmax(fv_var *x) { return fv_apply(&fv_op_softmax, (fv_var *[]){x}, NULL); }
