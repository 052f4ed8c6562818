/* op_channel_conv.c - a convolution along the channels (Wang et al. 2020, eq. 9), f32: x [B,C], w [1,1,k] a
 * parameter, k odd -> y [B,C],
 *     y_c = sum_t w_t x_{c + t - k/2}, x zero outside;  dx_c = sum_t w_t dy_{c - t + k/2};
 *     dw_t = sum over samples and c of dy_c x_{c + t - k/2}. */
#include "core/ops/param_sum.h"
#include "core/ops/row.h"

#include <string.h>

static fv_status shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape, *w = &y->in[1]->shape;
    char xs[FV_SHAPE_TEXT], ws[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], false));
    if (x->rank != 2 || fv_shape_rows(w) != 1 || fv_shape_last(w) % 2 == 0)
        return FV_FAIL(FV_ERR_SHAPE, "channel_conv: %s is not [B,C], or %s not an odd kernel",
                       fv_shape_text(x, xs), fv_shape_text(w, ws));
    y->shape = *x;
    y->dtype = FV_F32;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const float *dy;
    const fv_grad *dx;
    int64_t C, k;
    float *partial; /* [B,k] */
} args;

static args make_args(const fv_var *y) {
    return (args){.y = y, .C = y->shape.dim[1], .k = fv_shape_last(&y->in[1]->shape)};
}

/* Channels c for which c + shift is one too. */
static fv_span overlap(int64_t C, int64_t shift) {
    const int64_t first = shift < 0 ? -shift : 0, last = shift > 0 ? C - shift : C;
    return (fv_span){first, last > first ? last - first : 0};
}

/* to_c = sum_t w_t from_{c + sign (t - k/2)} */
static void slide(const args *a, const float *from, int64_t sign, float *to) {
    const float *w = a->y->in[1]->data;

    memset(to, 0, (size_t)a->C * sizeof *to);
    for (int64_t t = 0; t < a->k; t++) {
        const int64_t shift = sign * (t - a->k / 2);
        const fv_span c = overlap(a->C, shift);
        fv_kernel()->axpy(c.count, w[t], from + c.first + shift, to + c.first);
    }
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;

    for (int64_t b = first; b < first + count; b++)
        slide(a, (const float *)a->y->in[0]->data + b * a->C, 1, (float *)a->y->data + b * a->C);
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y);

    fv_parallel_rows(&grid, forward_rows, &a);
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *dx = fv_scratch((size_t)a->C * sizeof(float));

    for (int64_t b = first; b < first + count; b++) {
        const float *dy = a->dy + b * a->C, *x = (const float *)a->y->in[0]->data + b * a->C;
        for (int64_t t = 0; a->partial && t < a->k; t++) {
            const fv_span c = overlap(a->C, t - a->k / 2);
            a->partial[b * a->k + t] =
                fv_kernel()->dot(c.count, dy + c.first, x + c.first + t - a->k / 2);
        }
        if (!a->dx[0].data) continue;
        slide(a, dy, -1, dx);
        fv_grad_store(&a->dx[0], b * a->C, a->C, dx);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y);

    a.dy = dy->data;
    a.dx = dx;
    if (dx[1].tree) {
        a.partial = fv_tape_scratch(y->tape, grid.samples * a.k);
        if (!a.partial) return FV_ERR_NOMEM;
    }
    FV_TRY(fv_scratch_reserve((size_t)a.C * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    if (!dx[1].tree) return FV_OK;
    return fv_param_sum(dx[1].tree, &(fv_row_sum){.rows = a.partial,
                                                  .dtype = FV_F32,
                                                  .n_rows = grid.samples,
                                                  .chunk_rows = grid.chunk_samples,
                                                  .n = a.k,
                                                  .ld = a.k});
}

static fv_cost cost(const fv_var *y) {
    fv_cost c = fv_cost_elementwise(y);
    c.macs = (double)fv_shape_numel(&y->shape) * (double)fv_shape_last(&y->in[1]->shape);
    return c;
}

/* Affine in x; in front of a gate it is sent nothing. */
const fv_op fv_op_channel_conv = {.name = "channel_conv",
                                  .arity = 2,
                                  .params = 1u << 1,
                                  .reads = FV_READS_IN(0) | FV_READS_IN(1),
                                  .shape = shape,
                                  .forward = forward,
                                  .backward = backward,
                                  .relevance = fv_relevance_epsilon,
                                  .cost = cost};

fv_var *fv_channel_conv(fv_var *x, fv_var *weight) {
    return fv_apply(&fv_op_channel_conv, (fv_var *[]){x, weight}, NULL);
}
