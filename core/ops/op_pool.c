/* op_pool.c - windows of k x k pixels, `stride` apart: x [B,H,W,C] -> y [B,Ho,Wo,C] of x's dtype,
 * Ho = floor((H + 2 pad - k) / stride) + 1.
 *     max_pool  the largest of a window; what lies outside of the image never is.  The first in
 *               row-major order wins a tie, NaN wins always.  Saves the winner's place in the window
 *     avg_pool  the mean of a window; no padding
 * dx of a pixel adds up, in row-major order of the windows, what those that it won (or that cover it,
 * divided by k^2) hand back. */
#include "core/ops/op_list.h"
#include "core/ops/row.h"

#include <string.h>

#define MAX_SIDE 16 /* FV_WINDOW_MAX places, which fit into 8 bits */

typedef struct pool_attr {
    int64_t k, stride, pad;
} pool_attr;

static bool takes_max(const fv_var *y) { return y->op == &fv_op_max_pool; }

static fv_status shape(fv_var *y) {
    const pool_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4)
        return FV_FAIL(FV_ERR_SHAPE, "%s: input %s is not [B,H,W,C]", y->op->name,
                       fv_shape_text(x, text));
    if (a->k < 1 || a->k > MAX_SIDE || a->stride < 1 || a->pad < 0 || 2 * a->pad > a->k)
        return FV_FAIL(FV_ERR_SHAPE, "%s: no windows of %d, stride %d, padding %d", y->op->name,
                       (int)a->k, (int)a->stride, (int)a->pad);
    if (x->dim[1] + 2 * a->pad < a->k || x->dim[2] + 2 * a->pad < a->k)
        return FV_FAIL(FV_ERR_SHAPE, "%s: %s is smaller than a window of %d", y->op->name,
                       fv_shape_text(x, text), (int)a->k);
    y->shape = fv_shape_of(4, x->dim[0], (x->dim[1] + 2 * a->pad - a->k) / a->stride + 1,
                           (x->dim[2] + 2 * a->pad - a->k) / a->stride + 1, x->dim[3]);
    y->dtype = y->in[0]->dtype;
    if (takes_max(y) && y->needs_grad) {
        y->n_saved = 1;
        y->saved[0] = (fv_tensor){NULL, FV_U8, y->shape};
    }
    return FV_OK;
}

typedef struct args {
    const fv_var *y, *x;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t k, stride, pad, H, W, Ho, Wo, C;
} args;

static args make_args(const fv_var *y) {
    const pool_attr *attr = y->attr;
    const fv_shape *x = &y->in[0]->shape, *s = &y->shape;
    return (args){.y = y,
                  .x = y->in[0],
                  .k = attr->k,
                  .stride = attr->stride,
                  .pad = attr->pad,
                  .H = x->dim[1],
                  .W = x->dim[2],
                  .Ho = s->dim[1],
                  .Wo = s->dim[2],
                  .C = x->dim[3]};
}

/* The pixels of the image in window `row`. */
static void look(const args *a, int64_t row, fv_window *window) {
    const int64_t b = row / (a->Ho * a->Wo), top = row / a->Wo % a->Ho * a->stride - a->pad;
    const int64_t left = row % a->Wo * a->stride - a->pad;

    window->count = 0;
    for (int64_t i = 0; i < a->k; i++)
        for (int64_t j = 0; j < a->k; j++) {
            const int64_t h = top + i, w = left + j;
            if (h < 0 || h >= a->H || w < 0 || w >= a->W) continue;
            window->offset[window->count] = ((b * a->H + h) * a->W + w) * a->C;
            window->place[window->count++] = (uint8_t)(i * a->k + j);
        }
}

/* y = scale times the sum of C channels at each offset, in order */
static void add_up(const fv_window *w, float scale, const fv_tensor *x, int64_t C, float *buffer,
                   float *y) {
    memset(y, 0, (size_t)C * sizeof *y);
    for (int64_t i = 0; i < w->count; i++)
        fv_kernel()->axpy(C, scale, fv_row_read(x->data, x->dtype, w->offset[i], C, buffer), y);
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *y = a->y;
    const fv_tensor x = {a->x->data, a->x->dtype, a->x->shape};
    const int64_t C = a->C;
    uint8_t *winners = y->n_saved ? y->saved[0].data : NULL;
    float *buffer = fv_scratch((size_t)(2 * C) * sizeof(float));
    fv_window window;

    for (int64_t r = first; r < first + count; r++) {
        look(a, r, &window);
        if (takes_max(y)) {
            fv_kernel()->max_pool(&window, C, x.data, x.dtype, fv_row_at(y->data, y->dtype, r * C),
                                  winners ? winners + r * C : NULL);
            continue;
        }
        float *out = fv_row_open(y->data, y->dtype, r * C, buffer);
        add_up(&window, 1.0f, &x, C, buffer + C, out);
        fv_kernel()->scale(C, 1.0f / (float)(a->k * a->k), out, out);
        fv_row_close(y->data, y->dtype, r * C, C, out);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    args a = make_args(y);

    FV_TRY(fv_scratch_reserve((size_t)(2 * a.C) * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, &a);
    return FV_OK;
}

/* Windows along one axis that cover position `at`. */
static fv_span covering(const args *a, int64_t at, int64_t windows) {
    const int64_t last = (at + a->pad) / a->stride;
    const int64_t before = at + a->pad - a->k; /* a window that starts here ends before `at` */
    const int64_t first = before < 0 ? 0 : before / a->stride + 1;
    const int64_t end = last < windows ? last + 1 : windows;
    return (fv_span){first, end > first ? end - first : 0};
}

/* The windows that cover pixel `row`, and its place in each. */
static void look_back(const args *a, int64_t row, fv_window *window) {
    const int64_t b = row / (a->H * a->W), h = row / a->W % a->H, w = row % a->W;
    const fv_span down = covering(a, h, a->Ho), across = covering(a, w, a->Wo);

    window->count = 0;
    for (int64_t i = down.first; i < down.first + down.count; i++)
        for (int64_t j = across.first; j < across.first + across.count; j++) {
            const int64_t place = (h - i * a->stride + a->pad) * a->k + w - j * a->stride + a->pad;
            window->offset[window->count] = ((b * a->Ho + i) * a->Wo + j) * a->C;
            window->place[window->count++] = (uint8_t)place;
        }
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_tensor *dy = a->dy;
    const int64_t C = a->C;
    float *buffer = fv_scratch((size_t)(2 * C) * sizeof(float));
    fv_window window;

    for (int64_t r = first; r < first + count; r++) {
        look_back(a, r, &window);
        if (takes_max(a->y)) {
            fv_dtype dtype;
            void *dx = fv_grad_open_as(a->dx, r * C, buffer, &dtype);
            fv_kernel()->max_pool_backward(&window, C, dy->data, dy->dtype, a->y->saved[0].data, dx,
                                           dtype);
            fv_grad_close_as(a->dx, r * C, C, dx);
            continue;
        }
        add_up(&window, 1.0f / (float)(a->k * a->k), dy, C, buffer + C, buffer);
        fv_grad_store(a->dx, r * C, C, buffer);
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y->in[0]);
    args a = make_args(y);

    a.dy = dy;
    a.dx = &dx[0];
    FV_TRY(fv_scratch_reserve((size_t)(2 * a.C) * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &a);
    return FV_OK;
}

/* All to the winner, or in R form and where asked for by the epsilon rule. */
static fv_status max_relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                               const fv_rule *rule) {
    if (rule->divide_max && ry->kind == FV_SIGNAL_R) return fv_relevance_epsilon(y, ry, rx, rule);
    return fv_relevance_move(y, ry, rx, rule);
}

const fv_op fv_op_max_pool = {.name = "max_pool",
                              .arity = 1,
                              .attr_bytes = sizeof(pool_attr),
                              .shape = shape,
                              .forward = forward,
                              .backward = backward,
                              .relevance = max_relevance,
                              .cost = fv_cost_elementwise};

const fv_op fv_op_avg_pool = {.name = "avg_pool",
                              .arity = 1,
                              .attr_bytes = sizeof(pool_attr),
                              .shape = shape,
                              .forward = forward,
                              .backward = backward,
                              .relevance = fv_relevance_epsilon,
                              .cost = fv_cost_elementwise};

fv_var *fv_max_pool(fv_var *x, int64_t k, int64_t stride, int64_t pad) {
    return fv_apply(&fv_op_max_pool, (fv_var *[]){x}, &(pool_attr){k, stride, pad});
}

fv_var *fv_avg_pool(fv_var *x, int64_t k, int64_t stride) {
    return fv_apply(&fv_op_avg_pool, (fv_var *[]){x}, &(pool_attr){k, stride, 0});
}
