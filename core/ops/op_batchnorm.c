/* op_batchnorm.c - y = gamma (x - mean) rstd + beta per channel, rstd = 1 / sqrt(var + eps) (Ioffe and
 * Szegedy 2015).  x [B, ..., C] f32 or bf16, gamma, beta [C] -> y [B, ..., C] of the dtype asked for.
 *     batchnorm          mean and biased variance of all rows of this pass.  Proposes new running
 *                        statistics, r + momentum (s - r), with the unbiased variance
 *     batchnorm_running  mean and variance are the running ones: a diagonal affine map
 *     batchnorm_relu, batchnorm_running_relu  the same with y = max(0, ...), in one pass over memory; dy
 *                        counts where y > 0 or is NaN, which backward computes from x again.  The composed
 *                        form is the oracle in tests and what FV_EXPLAIN uses
 * Saves mean and rstd [C].  With g = gamma dy and averages over rows
 *     batchnorm          dx = rstd (g - avg(g) - xhat avg(g xhat))
 *     batchnorm_running  dx = rstd g
 * dgamma = sum dy xhat, dbeta = sum dy.
 *
 * Statistics come from blocks of rows: each block's mean and its squares around that mean, joined in
 * index order in double (Chan, Golub and LeVeque 1983), so that a large mean costs no digits. */
#include "core/ops/op_list.h"
#include "core/ops/param_sum.h"
#include "core/ops/row.h"

#include <math.h>
#include <string.h>

#define COLUMNS 64   /* channels of a task that joins blocks */
#define RUN     2048 /* elements at a time: they stay in L1 while columns go by */

typedef struct batchnorm_attr {
    fv_batchnorm_stats stats;
    fv_dtype out;
} batchnorm_attr;

/* Rows of n channels that make a run. */
static int64_t run_rows(int64_t n) { return n < RUN ? RUN / n : 1; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool uses_batch(const fv_var *y) {
    return y->op == &fv_op_batchnorm || y->op == &fv_op_batchnorm_relu;
}

static bool has_relu(const fv_var *y) {
    return y->op == &fv_op_batchnorm_relu || y->op == &fv_op_batchnorm_running_relu;
}

static fv_status shape(fv_var *y) {
    const batchnorm_attr *attr = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    const int64_t C = fv_shape_last(x);
    const int64_t sizes[] = {fv_shape_numel(&y->in[1]->shape), fv_shape_numel(&y->in[2]->shape),
                             attr->stats.mean->numel, attr->stats.var->numel};
    static const char *const names[] = {"gamma", "beta", "running mean", "running variance"};
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank < 2 || C < 1)
        return FV_FAIL(FV_ERR_SHAPE, "%s: input %s is not [B,...,C]", y->op->name,
                       fv_shape_text(x, text));
    for (int i = 0; i < 4; i++)
        if (sizes[i] != C)
            return FV_FAIL(FV_ERR_SHAPE, "%s: %s has %d values, input is %s", y->op->name, names[i],
                           (int)sizes[i], fv_shape_text(x, text));
    if (uses_batch(y) && fv_shape_rows(x) < 2)
        return FV_FAIL(FV_ERR_SHAPE, "%s: one value per channel in %s has no variance", y->op->name,
                       fv_shape_text(x, text));
    y->shape = *x;
    y->dtype = attr->out;
    y->n_saved = 2;
    y->saved[0] = y->saved[1] = (fv_tensor){NULL, FV_F32, fv_shape_of(1, C)};
    return FV_OK;
}

/* ---- statistics ---- */

typedef struct stats_job {
    const fv_var *y;
    fv_row_blocks blocks;
    int64_t n, n_rows;
    float *partial;  /* [blocks, 2n]: mean, sum of squares around it */
    float *unbiased; /* [n]: the variance that becomes the running one */
} stats_job;

static void block_stats(int64_t task, void *arg) {
    const stats_job *j = arg;
    const fv_var *x = j->y->in[0];
    const int64_t n = j->n, step = run_rows(n);
    const fv_span rows = fv_row_block(&j->blocks, task);
    const int64_t end = rows.first + rows.count;
    float *mean = j->partial + task * 2 * n, *squares = mean + n;

    memset(mean, 0, (size_t)(2 * n) * sizeof *mean);
    for (int64_t r = rows.first; r < end; r += step)
        fv_kernel()->column_sums(least(step, end - r), n, n, fv_row_at(x->data, x->dtype, r * n),
                                 x->dtype, mean);
    fv_kernel()->scale(n, 1.0f / (float)rows.count, mean, mean);
    for (int64_t r = rows.first; r < end; r += step)
        fv_kernel()->square_sums(least(step, end - r), n, fv_row_at(x->data, x->dtype, r * n),
                                 x->dtype, mean, squares);
}

static void join_stats(int64_t task, void *arg) {
    const stats_job *j = arg;
    const batchnorm_attr *attr = j->y->attr;
    const int64_t n = j->n;
    const fv_span cols = fv_tile_span(n, COLUMNS, task);
    const int64_t first = cols.first, count = cols.count;
    float *mean = j->y->saved[0].data, *rstd = j->y->saved[1].data;
    double sum[COLUMNS] = {0}, squares[COLUMNS] = {0};

    for (int64_t b = 0; b < j->blocks.count; b++) {
        const float *p = j->partial + b * 2 * n + first;
        const double rows = (double)fv_row_block(&j->blocks, b).count;
        for (int64_t i = 0; i < count; i++) sum[i] += rows * (double)p[i];
    }
    for (int64_t i = 0; i < count; i++) sum[i] /= (double)j->n_rows;
    for (int64_t b = 0; b < j->blocks.count; b++) {
        const float *p = j->partial + b * 2 * n + first;
        const double rows = (double)fv_row_block(&j->blocks, b).count;
        for (int64_t i = 0; i < count; i++) {
            const double d = (double)p[i] - sum[i];
            squares[i] += (double)p[n + i] + rows * d * d;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        const double var = squares[i] / (double)j->n_rows;
        mean[first + i] = (float)sum[i];
        rstd[first + i] = (float)(1.0 / sqrt(var + (double)attr->stats.eps));
        j->unbiased[first + i] = (float)(squares[i] / (double)(j->n_rows - 1));
    }
}

static fv_status propose(const fv_var *y, fv_param *buffer, const float *seen, float momentum) {
    const float *now;
    float *next;

    FV_TRY(fv_tape_propose(y->tape, buffer, &now, &next));
    for (int64_t i = 0; i < buffer->numel; i++)
        next[i] =
            (float)((1.0 - (double)momentum) * (double)now[i] + (double)momentum * (double)seen[i]);
    return FV_OK;
}

static fv_status batch_stats(fv_var *y) {
    const fv_batchnorm_stats *stats = &((const batchnorm_attr *)y->attr)->stats;
    stats_job j = {.y = y,
                   .blocks = fv_row_blocks_of(y),
                   .n = fv_shape_last(&y->shape),
                   .n_rows = fv_shape_rows(&y->shape)};

    j.partial = fv_tape_scratch(y->tape, j.blocks.count * 2 * j.n);
    j.unbiased = fv_tape_scratch(y->tape, j.n);
    if (!j.partial || !j.unbiased) return FV_ERR_NOMEM;
    fv_parallel(j.blocks.count, block_stats, &j);
    fv_parallel(fv_tile_count(j.n, COLUMNS), join_stats, &j);
    FV_TRY(propose(y, stats->mean, y->saved[0].data, stats->momentum));
    FV_TRY(propose(y, stats->var, j.unbiased, stats->momentum));
    if (!stats->batches) return FV_OK;
    const float *now;
    float *next;
    FV_TRY(fv_tape_propose(y->tape, stats->batches, &now, &next));
    *next = *now + 1.0f;
    return FV_OK;
}

static void running_stats(fv_var *y) {
    const fv_batchnorm_stats *stats = &((const batchnorm_attr *)y->attr)->stats;
    float *mean = y->saved[0].data, *rstd = y->saved[1].data;

    for (int64_t i = 0; i < fv_shape_last(&y->shape); i++) {
        mean[i] = stats->mean->value[i];
        rstd[i] = (float)(1.0 / sqrt((double)stats->var->value[i] + (double)stats->eps));
    }
}

/* ---- forward ---- */

/* Rows of the input, and what y makes of them; slope [n]: gamma rstd. */
static fv_norm_rows norm_rows(const fv_var *y, const float *slope, int64_t first, int64_t count) {
    const fv_var *x = y->in[0];
    const int64_t n = fv_shape_last(&x->shape);

    return (fv_norm_rows){.rows = count,
                          .n = n,
                          .x = fv_row_at(x->data, x->dtype, first * n),
                          .type = x->dtype,
                          .mean = y->saved[0].data,
                          .a = slope,
                          .b = y->in[2]->data,
                          .relu = has_relu(y)};
}

typedef struct forward_job {
    const fv_var *y;
    float *slope;
} forward_job;

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const forward_job *j = arg;
    const fv_var *y = j->y;
    const int64_t n = fv_shape_last(&y->shape), step = run_rows(n), end = first + count;

    for (int64_t r = first; r < end; r += step) {
        const fv_norm_rows rows = norm_rows(y, j->slope, r, least(step, end - r));
        fv_kernel()->normalize(&rows, fv_row_at(y->data, y->dtype, r * n), y->dtype);
    }
}

/* gamma rstd per channel */
static void slopes(const fv_var *y, float *slope) {
    const float *gamma = y->in[1]->data, *rstd = y->saved[1].data;
    for (int64_t i = 0; i < fv_shape_last(&y->shape); i++) slope[i] = gamma[i] * rstd[i];
}

static fv_status forward(fv_var *y) {
    const int64_t n = fv_shape_last(&y->shape);
    const fv_grid grid = fv_grid_of(y);
    forward_job j = {y, fv_tape_scratch(y->tape, n)};

    if (!j.slope) return FV_ERR_NOMEM;
    if (uses_batch(y))
        FV_TRY(batch_stats(y));
    else
        running_stats(y);
    slopes(y, j.slope);
    fv_parallel_rows(&grid, forward_rows, &j);
    return FV_OK;
}

/* ---- backward ---- */

typedef struct backward_job {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    fv_row_blocks blocks;
    int64_t n;
    float *partial; /* [blocks, 2n]: sums of dy xhat and dy */
    float *average; /* [2n]: the same over all rows, divided by their number; NULL: running ones */
    float *slope;   /* [3n]: gamma rstd; c and d of dx */
} backward_job;

static void block_sums(int64_t task, void *arg) {
    const backward_job *j = arg;
    const fv_tensor *dy = j->dy;
    const float *rstd = j->y->saved[1].data;
    const int64_t n = j->n, step = run_rows(n);
    const fv_span span = fv_row_block(&j->blocks, task);
    const int64_t end = span.first + span.count;
    float *dgamma = j->partial + task * 2 * n, *dbeta = dgamma + n;

    memset(dgamma, 0, (size_t)(2 * n) * sizeof *dgamma);
    for (int64_t r = span.first; r < end; r += step) {
        const fv_norm_rows rows = norm_rows(j->y, j->slope, r, least(step, end - r));
        fv_kernel()->product_sums(&rows, fv_row_at(dy->data, dy->dtype, r * n), dy->dtype, dgamma,
                                  dbeta);
    }
    for (int64_t i = 0; i < n; i++) dgamma[i] *= rstd[i];
}

static void join_sums(int64_t task, void *arg) {
    const backward_job *j = arg;
    const fv_span cols = fv_tile_span(2 * j->n, COLUMNS, task);
    const int64_t first = cols.first, count = cols.count;
    const double n_rows = (double)fv_shape_rows(&j->y->shape);
    double sum[COLUMNS] = {0};

    for (int64_t b = 0; b < j->blocks.count; b++)
        for (int64_t i = 0; i < count; i++) sum[i] += (double)j->partial[b * 2 * j->n + first + i];
    for (int64_t i = 0; i < count; i++) j->average[first + i] = (float)(sum[i] / n_rows);
}

/* dx = gamma rstd dy + c (x - mean) + d, the average's part of it being c and d. */
static void coefficients(const backward_job *j) {
    const float *rstd = j->y->saved[1].data, *average = j->average;
    float *a = j->slope, *c = a + j->n, *d = c + j->n;

    memset(c, 0, (size_t)(2 * j->n) * sizeof *c);
    for (int64_t i = 0; average && i < j->n; i++) {
        c[i] = -a[i] * rstd[i] * average[i];
        d[i] = -a[i] * average[j->n + i];
    }
}

/* dx = a dy needs no x. */
static fv_norm_rows scaled_rows(const backward_job *j, int64_t first, int64_t count) {
    return (fv_norm_rows){.rows = count,
                          .n = j->n,
                          .x = fv_row_at(j->dy->data, j->dy->dtype, first * j->n),
                          .type = j->dy->dtype,
                          .mean = j->slope + j->n, /* zeros, as is the shift */
                          .a = j->slope,
                          .b = j->slope + j->n};
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const backward_job *j = arg;
    const fv_tensor *dy = j->dy;
    const int64_t n = j->n, step = run_rows(n);
    const float *c = j->slope + n, *d = c + n;
    const bool scales = !j->average && !has_relu(j->y);
    float *buffer = fv_scratch((size_t)(step * n) * sizeof(float));

    for (int64_t r = first; r < first + count; r += step) {
        const int64_t m = least(step, first + count - r);
        const fv_norm_rows rows = scales ? scaled_rows(j, r, m) : norm_rows(j->y, j->slope, r, m);
        fv_dtype dtype;
        void *dx = fv_grad_open_as(j->dx, r * n, buffer, &dtype);
        if (scales)
            fv_kernel()->normalize(&rows, dx, dtype);
        else
            fv_kernel()->normalize_backward(&rows, fv_row_at(dy->data, dy->dtype, r * n), dy->dtype,
                                            c, d, dx, dtype);
        fv_grad_close_as(j->dx, r * n, m * n, dx);
    }
}

static fv_status param_grads(const backward_job *j, const fv_grad dx[]) {
    for (int i = 1; i < 3; i++)
        if (dx[i].tree)
            FV_TRY(fv_param_sum(dx[i].tree, &(fv_row_sum){.rows = j->partial + (i - 1) * j->n,
                                                          .dtype = FV_F32,
                                                          .n_rows = j->blocks.count,
                                                          .chunk_rows = j->blocks.per_chunk,
                                                          .n = j->n,
                                                          .ld = 2 * j->n}));
    return FV_OK;
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const int64_t n = fv_shape_last(&y->shape);
    backward_job j = {.y = y, .dy = dy, .dx = &dx[0], .blocks = fv_row_blocks_of(y), .n = n};

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(fv_scratch_reserve((size_t)(run_rows(n) * n) * sizeof(float)));
    j.slope = fv_tape_scratch(y->tape, 3 * n);
    if (!j.slope) return FV_ERR_NOMEM;
    slopes(y, j.slope);
    if (uses_batch(y) || dx[1].tree || dx[2].tree) {
        j.partial = fv_tape_scratch(y->tape, j.blocks.count * 2 * n);
        if (!j.partial) return FV_ERR_NOMEM;
        fv_parallel(j.blocks.count, block_sums, &j);
        FV_TRY(param_grads(&j, dx));
    }
    if (!dx[0].data) return FV_OK;
    if (uses_batch(y)) {
        j.average = fv_tape_scratch(y->tape, 2 * n);
        if (!j.average) return FV_ERR_NOMEM;
        fv_parallel(fv_tile_count(2 * n, COLUMNS), join_sums, &j);
    }
    coefficients(&j);
    fv_parallel_rows(&j.blocks.grid, backward_rows, &j);
    return FV_OK;
}

/* ---- relevance ---- */

/* y = a x + shift, a = gamma rstd: the epsilon rule; sum shift s goes to BN_SHIFT.  Folded into the
 * affine op before it, it hands R on. */
static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    const float *mean = y->saved[0].data, *rstd = y->saved[1].data, *z = y->data;
    const float *gamma = y->in[1]->data, *beta = y->in[2]->data;
    const int64_t C = fv_shape_last(&y->shape);
    const int64_t B = y->shape.dim[0], n = B ? fv_shape_numel(&y->shape) / B : 0;

    if (rule->is_folded && ry->kind == FV_SIGNAL_R) return fv_relevance_identity(y, ry, rx, rule);
    for (int64_t b = 0; b < B; b++) {
        const fv_stabiliser stab = fv_stabiliser_of(rule, n, z + b * n);
        double taken = 0.0;
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            const int64_t c = i % C;
            const float d = ry->kind == FV_SIGNAL_R ? fv_stabilise(stab, z[i]) : 1.0f;
            const double slope = (double)gamma[c] * (double)rstd[c];
            const double shift = (double)beta[c] - (double)mean[c] * slope;
            taken += shift * (double)ry->data[i] / (double)d;
        }
        fv_ledger_add(rule->ledger, FV_SINK_BN_SHIFT, b, taken);
    }
    return fv_relevance_epsilon(y, ry, rx, rule);
}

#define BATCHNORM(text, what_it_reads, rule)                                             \
    {                                                                                    \
        .name = text, .arity = 3, .params = 1u << 1 | 1u << 2, .reads = (what_it_reads), \
        .attr_bytes = sizeof(batchnorm_attr), .shape = shape, .forward = forward,        \
        .backward = backward, .relevance = (rule), .cost = fv_cost_elementwise           \
    }
#define READS      (FV_READS_IN(0) | FV_READS_IN(1))
#define READS_RELU (READS | FV_READS_IN(2))

const fv_op fv_op_batchnorm = BATCHNORM("batchnorm", READS, fv_relevance_refused);
const fv_op fv_op_batchnorm_running = BATCHNORM("batchnorm_running", READS, relevance);
const fv_op fv_op_batchnorm_relu = BATCHNORM("batchnorm_relu", READS_RELU, fv_relevance_refused);
const fv_op fv_op_batchnorm_running_relu =
    BATCHNORM("batchnorm_running_relu", READS_RELU, fv_relevance_refused);

/* Of two ops the one that the step's statistics ask for. */
static fv_var *apply(const fv_op *batch, const fv_op *running, fv_var *const in[3],
                     const batchnorm_attr *attr) {
    const fv_step *step = fv_tape_step(in[0]->tape);
    const bool of_batch =
        step->mode == FV_TRAIN && !step->running_stats && !attr->stats.mean->frozen;

    return fv_apply(of_batch ? batch : running, in, attr);
}

fv_var *fv_batchnorm(fv_var *x, fv_var *gamma, fv_var *beta, const fv_batchnorm_stats *stats,
                     fv_dtype out) {
    return apply(&fv_op_batchnorm, &fv_op_batchnorm_running, (fv_var *[]){x, gamma, beta},
                 &(batchnorm_attr){*stats, out});
}

fv_var *fv_batchnorm_relu(fv_var *x, fv_var *gamma, fv_var *beta, const fv_batchnorm_stats *stats,
                          fv_dtype out) {
    if (fv_tape_step(x->tape)->mode != FV_EXPLAIN)
        return apply(&fv_op_batchnorm_relu, &fv_op_batchnorm_running_relu,
                     (fv_var *[]){x, gamma, beta}, &(batchnorm_attr){*stats, out});
    return fv_relu(fv_batchnorm(x, gamma, beta, stats, out));
}
