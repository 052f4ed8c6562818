/* op_layernorm.c - y_i = gamma_i (x_i - mean) rstd + beta_i over the last axis, rstd = 1 / sqrt(var + eps),
 * biased variance (Ba, Kiros and Hinton 2016).  x [B, ..., C], gamma, beta [C] -> y [B, ..., C].
 * Saves mean and rstd [B, ...] when a gradient is wanted.
 * dx = rstd (g - mean(g) - xhat mean(g xhat)), g = gamma dy;  dgamma = sum dy xhat;  dbeta = sum dy. */
#include "core/ops/param_sum.h"
#include "core/ops/row.h"

#include <string.h>

typedef struct layernorm_attr {
    float eps;
    fv_dtype out;
} layernorm_attr;

static fv_status shape(fv_var *y) {
    const layernorm_attr *attr = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    const int64_t C = fv_shape_last(x);
    char xs[FV_SHAPE_TEXT], ps[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank < 2 || C < 1)
        return FV_FAIL(FV_ERR_SHAPE, "layernorm: input %s is not [B,...,C]", fv_shape_text(x, xs));
    for (int i = 1; i < 3; i++)
        if (fv_shape_numel(&y->in[i]->shape) != C)
            return FV_FAIL(FV_ERR_SHAPE, "layernorm: %s %s does not fit input %s",
                           i == 1 ? "gamma" : "beta", fv_shape_text(&y->in[i]->shape, ps),
                           fv_shape_text(x, xs));
    y->shape = *x;
    y->dtype = attr->out;
    if (y->needs_grad) {
        fv_shape rows = *x;
        rows.dim[--rows.rank] = 0;
        y->n_saved = 2;
        y->saved[0] = y->saved[1] = (fv_tensor){NULL, FV_F32, rows};
    }
    return FV_OK;
}

typedef struct forward_args {
    const fv_var *y;
    int64_t n;
} forward_args;

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const forward_args *a = arg;
    const fv_var *y = a->y, *x = y->in[0];
    float *mean = y->saved[0].data, *rstd = y->saved[1].data;
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t r = first; r < first + count; r++) {
        const float *in = fv_row_read(x->data, x->dtype, r * a->n, a->n, buffer);
        float *out = fv_row_open(y->data, y->dtype, r * a->n, buffer);
        fv_kernel()->layernorm(a->n, in, y->in[1]->data, y->in[2]->data,
                               ((const layernorm_attr *)y->attr)->eps, out, mean ? mean + r : NULL,
                               rstd ? rstd + r : NULL);
        fv_row_close(y->data, y->dtype, r * a->n, a->n, out);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t n = fv_shape_last(&y->shape);

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, &(forward_args){y, n});
    return FV_OK;
}

/* One task is a block of FV_SUM_ROWS rows inside a chunk: it writes dx and its own row of partial. */
typedef struct backward_job {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    fv_row_blocks blocks;
    int64_t n;
    float *partial; /* [blocks, 2n]: dgamma, dbeta; NULL when not wanted */
} backward_job;

static void backward_block(int64_t task, void *arg) {
    const backward_job *j = arg;
    const fv_var *x = j->y->in[0];
    const float *mean = j->y->saved[0].data, *rstd = j->y->saved[1].data;
    const int64_t n = j->n;
    const fv_span rows = fv_row_block(&j->blocks, task);
    float *buffer = fv_scratch((size_t)(3 * n) * sizeof(float));
    float *dgamma = j->partial ? j->partial + task * 2 * n : NULL;
    float *dbeta = dgamma ? dgamma + n : NULL;

    if (dgamma) memset(dgamma, 0, (size_t)(2 * n) * sizeof *dgamma);
    for (int64_t r = rows.first; r < rows.first + rows.count; r++) {
        const float *xr = fv_row_read(x->data, x->dtype, r * n, n, buffer);
        const float *dy = fv_row_read(j->dy->data, j->dy->dtype, r * n, n, buffer + n);
        float *dx = fv_grad_open(j->dx, r * n, buffer + 2 * n);
        fv_kernel()->layernorm_backward(n, xr, j->y->in[1]->data, dy, mean[r], rstd[r], dx, dgamma,
                                        dbeta);
        fv_grad_close(j->dx, r * n, n, dx);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const int64_t n = fv_shape_last(&y->shape);
    backward_job j = {.y = y, .dy = dy, .dx = &dx[0], .blocks = fv_row_blocks_of(y), .n = n};

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    const int64_t blocks = j.blocks.count;
    if (dx[1].tree || dx[2].tree) {
        j.partial = fv_tape_scratch(y->tape, blocks * 2 * n);
        if (!j.partial) return FV_ERR_NOMEM;
    }
    FV_TRY(fv_scratch_reserve((size_t)(3 * n) * sizeof(float)));
    fv_parallel(blocks, backward_block, &j);
    for (int i = 1; i < 3; i++) {
        if (!dx[i].tree) continue;
        FV_TRY(fv_param_sum(dx[i].tree, &(fv_row_sum){.rows = j.partial + (i - 1) * n,
                                                      .dtype = FV_F32,
                                                      .n_rows = blocks,
                                                      .chunk_rows = j.blocks.per_chunk,
                                                      .n = n,
                                                      .ld = 2 * n}));
    }
    return FV_OK;
}

/* dx = rstd (gamma s - mean(gamma s)): y with rstd held constant, the mean live. */
static void frozen_row(int64_t n, const float *gamma, const float *s, float rstd, float *dx) {
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++) sum += (double)gamma[i] * (double)s[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        dx[i] = (float)((double)rstd * ((double)gamma[i] * (double)s[i] - mean));
}

/* Rows of one sample: GI g_x = frozen vjp of g; R x * frozen vjp of R / stab(y).  beta takes
 * sum beta g (LN_BETA), the stabiliser sum s (D - y) (Achtibat et al. 2024, section 3.3). */
typedef struct relevance_args {
    const fv_var *y;
    const fv_signal *ry;
    float *rx; /* NULL: not wanted */
    const fv_rule *rule;
} relevance_args;

static void relevance_rows(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const relevance_args *a = arg;
    const int64_t n = fv_shape_last(&a->y->shape);
    const float *gamma = a->y->in[1]->data, *beta = a->y->in[2]->data;
    const float *rstd = a->y->saved[1].data;
    const bool is_r = a->ry->kind == FV_SIGNAL_R;
    const fv_stabiliser stab = fv_sample_stabiliser(a->rule, sample);
    float *s = fv_scratch((size_t)n * sizeof *s);

    for (int64_t at = begin; at < end; at += n) {
        const float *signal = a->ry->data + at, *z = (const float *)a->y->data + at;
        const float *x = (const float *)a->y->in[0]->data + at;
        for (int64_t i = 0; i < n; i++) {
            const float d = is_r ? fv_stabilise(stab, z[i]) : 1.0f;
            s[i] = signal[i] / d;
            sums[0] += (double)beta[i] * (double)s[i];
            if (is_r) sums[1] += (double)s[i] * ((double)d - (double)z[i]);
        }
        if (!a->rx) continue;
        frozen_row(n, gamma, s, rstd[at / n], a->rx + at);
        for (int64_t i = 0; is_r && i < n; i++) a->rx[at + i] *= x[i];
    }
}

static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    fv_signal x_only[FV_MAX_INPUTS] = {rx[0]};
    if (rule->identity_norm && ry->kind == FV_SIGNAL_R)
        return fv_relevance_identity(y, ry, x_only, rule);
    const int64_t n = fv_shape_last(&y->shape), B = y->shape.dim[0];
    const int64_t per_sample = B ? fv_shape_numel(&y->shape) / B : 0;
    relevance_args a = {y, ry, rx[0].data, rule};

    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(float)));
    if (ry->kind == FV_SIGNAL_R) fv_stabilise_samples(rule, per_sample, y->data, 1.0f);
    fv_ledger_sum(rule->ledger, per_sample, n, relevance_rows, &a,
                  (fv_sink[]){FV_SINK_LN_BETA, FV_SINK_EPS}, 2);
    return FV_OK;
}

const fv_op fv_op_layernorm = {.name = "layernorm",
                               .arity = 3,
                               .params = 1u << 1 | 1u << 2,
                               .reads = FV_READS_IN(0) | FV_READS_IN(1),
                               .attr_bytes = sizeof(layernorm_attr),
                               .shape = shape,
                               .forward = forward,
                               .backward = backward,
                               .restore = forward,
                               .restore_reads = FV_READS_IN(0),
                               .relevance = relevance,
                               .cost = fv_cost_elementwise};

fv_var *fv_layernorm(fv_var *x, fv_var *gamma, fv_var *beta, float eps, fv_dtype out) {
    return fv_apply(&fv_op_layernorm, (fv_var *[]){x, gamma, beta}, &(layernorm_attr){eps, out});
}
