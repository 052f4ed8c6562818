/* op_channel_scale.c - factors per channel, in x's dtype:
 *     channel_scale  y = gamma x, gamma [C] a parameter: layer scale (Touvron et al. 2021).
 *                    dx = gamma dy, dgamma = sum dy x
 *     gate           y = s_b x, s [B,C] or [B,1,1,C] an activation: squeeze-excitation (Hu et al. 2018).
 *                    dx = s_b dy, ds_b = sum over the sample's rows of dy x
 * x is [B, ..., C]. */
#include "core/ops/op_list.h"
#include "core/ops/param_sum.h"
#include "core/ops/row.h"

#include <string.h>

#define COLUMNS 512 /* of a task of gate's gradient, at most */

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx; /* of both inputs */
    fv_row_blocks blocks;
    int64_t n, rows_per_sample;
    int64_t tile, tiles; /* of columns: gate */
    float *partial;      /* [blocks, n]: sums of dy x; NULL when not wanted */
} args;

static args make_args(const fv_var *y, const fv_tensor *dy, const fv_grad *dx) {
    args a = {.y = y, .dy = dy, .dx = dx, .blocks = fv_row_blocks_of(y)};
    a.n = fv_shape_last(&y->shape);
    a.rows_per_sample = a.blocks.grid.rows_per_sample;
    a.tile = fv_column_tile(a.n, COLUMNS);
    a.tiles = a.tile ? fv_tile_count(a.n, a.tile) : 0;
    return a;
}

static void multiply(int64_t n, const float *a, const float *b, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * b[i];
}

static void multiply_add(int64_t n, const float *a, const float *b, float *out) {
    for (int64_t i = 0; i < n; i++) out[i] += a[i] * b[i];
}

/* The factors of a row: gamma, or the gate of its sample. */
static const float *factors(const args *a, int64_t row, float *buffer) {
    const fv_var *s = a->y->in[1];
    const int64_t from = a->y->op == &fv_op_gate ? row / a->rows_per_sample * a->n : 0;
    return fv_row_read(s->data, s->dtype, from, a->n, buffer);
}

static fv_status shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape, *s = &y->in[1]->shape;
    const bool gates = y->op == &fv_op_gate;
    char xs[FV_SHAPE_TEXT], ss[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    FV_TRY(fv_check_dtype(y, y->in[1], gates));
    if (x->rank < 2)
        return FV_FAIL(FV_ERR_SHAPE, "%s: input %s is not [B,...,C]", y->op->name,
                       fv_shape_text(x, xs));
    if (fv_shape_last(s) != fv_shape_last(x) ||
        (gates ? s->rank < 2 || s->dim[0] != x->dim[0] : fv_shape_rows(s) != 1) ||
        (gates && fv_shape_numel(s) != x->dim[0] * fv_shape_last(x)))
        return FV_FAIL(FV_ERR_SHAPE, "%s: factors %s do not fit input %s", y->op->name,
                       fv_shape_text(s, ss), fv_shape_text(x, xs));
    y->shape = *x;
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *y = a->y, *x = y->in[0];
    const int64_t n = a->n;
    float *buffer = fv_scratch((size_t)(2 * n) * sizeof(float));

    for (int64_t r = first; r < first + count; r++) {
        const float *in = fv_row_read(x->data, x->dtype, r * n, n, buffer);
        float *out = fv_row_open(y->data, y->dtype, r * n, buffer);
        multiply(n, in, factors(a, r, buffer + n), out);
        fv_row_close(y->data, y->dtype, r * n, n, out);
    }
}

static fv_status forward(fv_var *y) {
    args a = make_args(y, NULL, NULL);

    FV_TRY(fv_scratch_reserve((size_t)(2 * a.n) * sizeof(float)));
    fv_parallel_rows(&a.blocks.grid, forward_rows, &a);
    return FV_OK;
}

/* dx of a block of rows, and its sum of dy x where one is wanted. */
static void backward_block(int64_t task, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    const int64_t n = a->n;
    const fv_span rows = fv_row_block(&a->blocks, task);
    float *buffer = fv_scratch((size_t)(4 * n) * sizeof(float));
    float *sum = a->partial ? a->partial + task * n : NULL;

    if (sum) memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t r = rows.first; r < rows.first + rows.count; r++) {
        const float *dy = fv_row_read(a->dy->data, a->dy->dtype, r * n, n, buffer);
        if (sum) multiply_add(n, dy, fv_row_read(x->data, x->dtype, r * n, n, buffer + n), sum);
        if (!a->dx[0].data) continue;
        float *dx = fv_grad_open(&a->dx[0], r * n, buffer + 2 * n);
        multiply(n, dy, factors(a, r, buffer + 3 * n), dx);
        fv_grad_close(&a->dx[0], r * n, n, dx);
    }
}

static fv_status scale_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y, dy, dx);

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(fv_scratch_reserve((size_t)(4 * a.n) * sizeof(float)));
    if (dx[1].tree) {
        a.partial = fv_tape_scratch(y->tape, a.blocks.count * a.n);
        if (!a.partial) return FV_ERR_NOMEM;
    }
    fv_parallel(a.blocks.count, backward_block, &a);
    if (!dx[1].tree) return FV_OK;
    return fv_param_sum(dx[1].tree, &(fv_row_sum){.rows = a.partial,
                                                  .dtype = FV_F32,
                                                  .n_rows = a.blocks.count,
                                                  .chunk_rows = a.blocks.per_chunk,
                                                  .n = a.n,
                                                  .ld = a.n});
}

/* ds of one sample and a tile of channels; blocks of rows are added in index order. */
static void gate_tile(int64_t task, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    const int64_t b = task / a->tiles, end = a->rows_per_sample;
    const fv_span cols = fv_tile_span(a->n, a->tile, task % a->tiles);
    const int64_t first = cols.first, n = cols.count;
    float *sum = fv_scratch((size_t)(4 * a->tile) * sizeof(float));
    float *block = sum + a->tile, *xs = block + a->tile, *dys = xs + a->tile;

    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t i = 0; i < end; i += FV_SUM_ROWS) {
        memset(block, 0, (size_t)n * sizeof *block);
        for (int64_t r = i; r < end && r < i + FV_SUM_ROWS; r++) {
            const int64_t at = (b * end + r) * a->n + first;
            multiply_add(n, fv_row_read(x->data, x->dtype, at, n, xs),
                         fv_row_read(a->dy->data, a->dy->dtype, at, n, dys), block);
        }
        fv_kernel()->axpy(n, 1.0f, block, sum);
    }
    fv_grad_store(&a->dx[1], b * a->n + first, n, sum);
}

static fv_status gate_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y, dy, dx);

    FV_TRY(fv_scratch_reserve((size_t)(4 * a.n) * sizeof(float)));
    if (dx[0].data) fv_parallel(a.blocks.count, backward_block, &a);
    if (dx[1].data) fv_parallel(y->shape.dim[0] * a.tiles, gate_tile, &a);
    return FV_OK;
}

/* Half to each: GI half of the vjp; R / 2 to x, the sum over rows of R / 2 to the gate. */
static fv_status gate_uniform(const fv_var *y, const fv_signal *ry, fv_signal rx[]) {
    const int64_t C = fv_shape_last(&y->shape), n = fv_shape_numel(&y->shape);
    const int64_t per_sample = y->shape.dim[0] ? n / y->shape.dim[0] : 0;
    const float *x = y->in[0]->data, *s = y->in[1]->data;
    const bool is_r = ry->kind == FV_SIGNAL_R;

    for (int64_t i = 0; rx[0].data && i < n; i++)
        rx[0].data[i] = 0.5f * ry->data[i] * (is_r ? 1.0f : s[i / per_sample * C + i % C]);
    for (int64_t k = 0; rx[1].data && k < y->shape.dim[0] * C; k++) {
        double sum = 0.0;
        for (int64_t i = k / C * per_sample + k % C; i < (k / C + 1) * per_sample; i += C)
            sum += 0.5 * (double)ry->data[i] * (is_r ? 1.0 : (double)x[i]);
        rx[1].data[k] = (float)sum;
    }
    return FV_OK;
}

/* The gate is a constant, so that all goes to x, unless it is to take its half. */
static fv_status gate_relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                                const fv_rule *rule) {
    fv_signal x_only[FV_MAX_INPUTS] = {rx[0]};

    if (rule->uniform_gate && rx[1].data) return gate_uniform(y, ry, rx);
    if (rx[1].data) memset(rx[1].data, 0, (size_t)fv_shape_numel(&y->in[1]->shape) * sizeof(float));
    return rx[0].data ? fv_relevance_identity(y, ry, x_only, rule) : FV_OK;
}

/* Layer scale is a constant factor: R passes. */
const fv_op fv_op_channel_scale = {.name = "channel_scale",
                                   .arity = 2,
                                   .params = 1u << 1,
                                   .reads = FV_READS_IN(0) | FV_READS_IN(1),
                                   .shape = shape,
                                   .forward = forward,
                                   .backward = scale_backward,
                                   .relevance = fv_relevance_identity,
                                   .cost = fv_cost_elementwise};

const fv_op fv_op_gate = {.name = "gate",
                          .arity = 2,
                          .reads = FV_READS_IN(0) | FV_READS_IN(1),
                          .shape = shape,
                          .forward = forward,
                          .backward = gate_backward,
                          .relevance = gate_relevance,
                          .cost = fv_cost_elementwise};

fv_var *fv_channel_scale(fv_var *x, fv_var *gamma) {
    return fv_apply(&fv_op_channel_scale, (fv_var *[]){x, gamma}, NULL);
}

fv_var *fv_gate(fv_var *x, fv_var *s) { return fv_apply(&fv_op_gate, (fv_var *[]){x, s}, NULL); }
