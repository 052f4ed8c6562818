/* op_residual.c - y = x + s_b branch with stochastic depth (Huang et al. 2016): per sample s_b is 0 with
 * probability rate, else 1 / (1 - rate); 1 outside of FV_TRAIN.  x, branch [B, ...] f32 or bf16, y f32.
 * Saves s [B].  dx = dy, dbranch = s_b dy.  The layer counts in the random key, so that two residuals
 * of one sample are drawn independently.
 *     residual_relu  y = max(0, the same) of the dtype asked for, in one pass over memory; dy counts where
 *                    y > 0 or is NaN.  The composed form is the oracle in tests and what FV_EXPLAIN uses */
#include "core/ops/op_list.h"
#include "core/ops/row.h"

typedef struct residual_attr {
    float rate;
    uint32_t layer;
    fv_dtype out;
} residual_attr;

static bool has_relu(const fv_var *y) { return y->op == &fv_op_residual_relu; }

static fv_status shape(fv_var *y) {
    const residual_attr *attr = y->attr;
    const fv_var *x = y->in[0], *r = y->in[1];
    char xs[FV_SHAPE_TEXT], rs[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, x, true));
    FV_TRY(fv_check_dtype(y, r, true));
    if (x->shape.rank < 1 || !fv_shape_equal(&x->shape, &r->shape))
        return FV_FAIL(FV_ERR_SHAPE, "%s: %s and branch %s differ", y->op->name,
                       fv_shape_text(&x->shape, xs), fv_shape_text(&r->shape, rs));
    if (!(attr->rate >= 0.0f && attr->rate < 1.0f))
        return FV_FAIL(FV_ERR_CONFIG, "%s: rate %g is not in [0, 1)", y->op->name,
                       (double)attr->rate);
    y->shape = x->shape;
    y->dtype = attr->out;
    y->n_saved = 1;
    y->saved[0] = (fv_tensor){NULL, FV_F32, fv_shape_of(1, x->shape.dim[0])};
    return FV_OK;
}

static void draw(fv_var *y) {
    const residual_attr *attr = y->attr;
    const fv_step *step = fv_tape_step(y->tape);
    float *s = y->saved[0].data;

    for (int64_t b = 0; b < y->shape.dim[0]; b++) {
        const fv_rng_key key = {.seed = step->seed,
                                .purpose = FV_RNG_DROP,
                                .step = step->index,
                                .sample = (uint32_t)(step->first_sample + b),
                                .layer = attr->layer};
        s[b] = 1.0f;
        if (step->mode == FV_TRAIN && attr->rate > 0.0f)
            s[b] = fv_rng_uniform(&key, 0) < attr->rate ? 0.0f : 1.0f / (1.0f - attr->rate);
    }
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t n, rows_per_sample;
} args;

static float factor(const args *a, int64_t row) {
    return ((const float *)a->y->saved[0].data)[row / a->rows_per_sample];
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0], *r = a->y->in[1];
    float *buffer = fv_scratch((size_t)(2 * a->n) * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        const int64_t i = row * a->n;
        float *out = fv_row_open(a->y->data, a->y->dtype, i, buffer);
        fv_kernel()->add_scaled(a->n, fv_row_read(x->data, x->dtype, i, a->n, buffer),
                                factor(a, row),
                                fv_row_read(r->data, r->dtype, i, a->n, buffer + a->n), out);
        if (has_relu(a->y)) fv_kernel()->relu(a->n, out, out);
        fv_row_close(a->y->data, a->y->dtype, i, a->n, out);
    }
}

static args make_args(const fv_var *y, const fv_grid *grid) {
    return (args){.y = y,
                  .n = fv_row_length(y),
                  .rows_per_sample = grid->rows_per_sample > 0 ? grid->rows_per_sample : 1};
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y, &grid);

    draw(y);
    FV_TRY(fv_scratch_reserve((size_t)(2 * a.n) * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, &a);
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *y = a->y;
    float *buffer = fv_scratch((size_t)(2 * a->n) * sizeof(float)), *dz = buffer + a->n;

    for (int64_t row = first; row < first + count; row++) {
        const int64_t i = row * a->n;
        const float *dy = fv_row_read(a->dy->data, a->dy->dtype, i, a->n, dz);
        if (has_relu(y)) {
            fv_kernel()->relu_backward(a->n, fv_row_read(y->data, y->dtype, i, a->n, buffer), dy,
                                       dz);
            dy = dz;
        }
        if (a->dx[0].data) fv_grad_store(&a->dx[0], i, a->n, dy);
        if (!a->dx[1].data) continue;
        float *dr = fv_grad_open(&a->dx[1], i, buffer);
        fv_kernel()->scale(a->n, factor(a, row), dy, dr);
        fv_grad_close(&a->dx[1], i, a->n, dr);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y, &grid);

    a.dy = dy;
    a.dx = dx;
    FV_TRY(fv_scratch_reserve((size_t)(2 * a.n) * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    return FV_OK;
}

/* The builder composes in FV_EXPLAIN; with s constant the map is linear, so the generic rule holds. */
const fv_op fv_op_residual = {.name = "residual",
                              .arity = 2,
                              .passes = 1u << 0,
                              .attr_bytes = sizeof(residual_attr),
                              .shape = shape,
                              .forward = forward,
                              .backward = backward,
                              .relevance = fv_relevance_add,
                              .cost = fv_cost_elementwise};

const fv_op fv_op_residual_relu = {.name = "residual_relu",
                                   .arity = 2,
                                   .reads = FV_READS_Y,
                                   .attr_bytes = sizeof(residual_attr),
                                   .shape = shape,
                                   .forward = forward,
                                   .backward = backward,
                                   .relevance = fv_relevance_refused,
                                   .cost = fv_cost_elementwise};

fv_var *fv_residual(fv_var *x, fv_var *branch, float rate) {
    const residual_attr attr = {rate, fv_tape_next_layer(x->tape), FV_F32};

    if (fv_tape_step(x->tape)->mode == FV_EXPLAIN) return fv_add(x, branch);
    return fv_apply(&fv_op_residual, (fv_var *[]){x, branch}, &attr);
}

fv_var *fv_residual_relu(fv_var *x, fv_var *branch, float rate, fv_dtype out) {
    if (fv_tape_step(x->tape)->mode == FV_EXPLAIN)
        return fv_activation(fv_residual(x, branch, rate), FV_RELU, out);
    return fv_apply(&fv_op_residual_relu, (fv_var *[]){x, branch},
                    &(residual_attr){rate, fv_tape_next_layer(x->tape), out});
}
