/* op_channels.c - the last axis put together and taken apart, in x's dtype:
 *     join_channels   a [...,m], b [...,n] -> y [...,m+n]; their gradients are the two parts of dy
 *     slice_channels  x [...,m] -> y [...,count], elements from `first` on; dx is dy there and zero elsewhere */
#include "core/ops/op_list.h"
#include "core/ops/row.h"

#include <inttypes.h>

typedef struct slice_attr {
    int64_t first, count;
} slice_attr;

/* Rows of n elements that lie at row * narrow on one side and at row * wide + skip on the other. */
typedef struct args {
    const void *from;
    fv_dtype from_dtype;
    fv_grad to;
    int64_t n, wide, skip;
    bool widen; /* from narrow rows to wide ones */
    bool clear; /* zero the wide row first */
} args;

static void move_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->n * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        const int64_t wide = row * a->wide + a->skip, narrow = row * a->n;
        if (a->clear) fv_grad_zero(&a->to, row * a->wide, a->wide);
        fv_grad_copy(&a->to, a->widen ? wide : narrow, a->from, a->from_dtype,
                     a->widen ? narrow : wide, a->n, buffer);
    }
}

static fv_status move(const fv_var *y, args *a) {
    const fv_grid grid = fv_grid_of(y);

    FV_TRY(fv_scratch_reserve((size_t)a->n * sizeof(float)));
    fv_parallel_rows(&grid, move_rows, a);
    return FV_OK;
}

/* ---- join_channels ---- */

static fv_status join_shape(fv_var *y) {
    const fv_shape *a = &y->in[0]->shape, *b = &y->in[1]->shape;
    char as[FV_SHAPE_TEXT], bs[FV_SHAPE_TEXT];
    bool fits = a->rank >= 2 && a->rank == b->rank;

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    for (int i = 0; fits && i < a->rank - 1; i++) fits = a->dim[i] == b->dim[i];
    if (!fits)
        return FV_FAIL(FV_ERR_SHAPE, "join_channels: %s and %s differ before the last axis",
                       fv_shape_text(a, as), fv_shape_text(b, bs));
    if (y->in[0]->dtype != y->in[1]->dtype)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "join_channels: inputs differ in type");
    y->shape = *a;
    y->shape.dim[a->rank - 1] += fv_shape_last(b);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

/* Part i of y's channels. */
static args part(const fv_var *y, int i) {
    return (args){
        .n = fv_dim(y->in[i], -1), .wide = fv_dim(y, -1), .skip = i ? fv_dim(y->in[0], -1) : 0};
}

static fv_status join_forward(fv_var *y) {
    for (int i = 0; i < 2; i++) {
        args a = part(y, i);
        a.from = y->in[i]->data;
        a.from_dtype = y->dtype;
        a.to = (fv_grad){.data = y->data, .dtype = y->dtype};
        a.widen = true;
        FV_TRY(move(y, &a));
    }
    return FV_OK;
}

static fv_status join_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    for (int i = 0; i < 2; i++) {
        args a = part(y, i);
        a.from = dy->data;
        a.from_dtype = dy->dtype;
        a.to = dx[i];
        if (dx[i].data) FV_TRY(move(y, &a));
    }
    return FV_OK;
}

const fv_op fv_op_join_channels = {.name = "join_channels",
                                   .arity = 2,
                                   .shape = join_shape,
                                   .forward = join_forward,
                                   .backward = join_backward,
                                   .moves = true,
                                   .relevance = fv_relevance_move,
                                   .cost = fv_cost_elementwise};

fv_var *fv_join_channels(fv_var *a, fv_var *b) {
    return fv_apply(&fv_op_join_channels, (fv_var *[]){a, b}, NULL);
}

/* ---- slice_channels ---- */

static fv_status slice_shape(fv_var *y) {
    const slice_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank < 2 || a->first < 0 || a->count < 1 || a->first > fv_shape_last(x) - a->count)
        return FV_FAIL(FV_ERR_SHAPE,
                       "slice_channels: no %" PRId64 " channels from %" PRId64 " on in %s",
                       a->count, a->first, fv_shape_text(x, text));
    y->shape = *x;
    y->shape.dim[x->rank - 1] = a->count;
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

static args slice_args(const fv_var *y) {
    const slice_attr *attr = y->attr;
    return (args){.n = attr->count, .wide = fv_dim(y->in[0], -1), .skip = attr->first};
}

static fv_status slice_forward(fv_var *y) {
    args a = slice_args(y);

    a.from = y->in[0]->data;
    a.from_dtype = y->dtype;
    a.to = (fv_grad){.data = y->data, .dtype = y->dtype};
    return move(y, &a);
}

static fv_status slice_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = slice_args(y);

    a.from = dy->data;
    a.from_dtype = dy->dtype;
    a.to = dx[0];
    a.widen = a.clear = true;
    return move(y, &a);
}

const fv_op fv_op_slice_channels = {.name = "slice_channels",
                                    .arity = 1,
                                    .attr_bytes = sizeof(slice_attr),
                                    .shape = slice_shape,
                                    .forward = slice_forward,
                                    .backward = slice_backward,
                                    .moves = true,
                                    .relevance = fv_relevance_move,
                                    .cost = fv_cost_elementwise};

fv_var *fv_slice_channels(fv_var *x, int64_t first, int64_t count) {
    return fv_apply(&fv_op_slice_channels, (fv_var *[]){x}, &(slice_attr){first, count});
}
