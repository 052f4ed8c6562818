/* op_heads.c - channels to heads and back, the moves around composed attention:
 *     heads_split  x [B,N,S h d] -> part `index` of S, [B,h,N,d]
 *     heads_merge  x [B,h,N,d]   -> [B,N,h d]
 * of x's dtype, and the same inside of windows, [B,nW,N,S h d] and [B,nW,h,N,d].  Parts that are not read get no gradient. */
#include "core/ops/row.h"

typedef struct split_attr {
    int64_t heads, index, parts;
} split_attr;

/* Runs of d elements that lie at wide(row, head) on one side and at tall(row, head) on the other. */
typedef struct args {
    const void *from;
    fv_dtype from_dtype;
    fv_grad to;
    int64_t N, h, d, wide, part; /* wide: channels of a token; part: first channel used */
    bool split;                  /* from wide to tall */
    bool clear;                  /* zero the token first */
} args;

/* row counts tokens (b, n) of the wide side. */
static void move_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *buffer = fv_scratch((size_t)a->d * sizeof(float));

    for (int64_t row = first; row < first + count; row++) {
        const int64_t b = row / a->N, n = row % a->N;
        if (a->clear) fv_grad_zero(&a->to, row * a->wide, a->wide);
        for (int64_t head = 0; head < a->h; head++) {
            const int64_t wide = row * a->wide + a->part + head * a->d;
            const int64_t tall = ((b * a->h + head) * a->N + n) * a->d;
            fv_grad_copy(&a->to, a->split ? tall : wide, a->from, a->from_dtype,
                         a->split ? wide : tall, a->d, buffer);
        }
    }
}

/* wide_side is the variable whose rows are tokens. */
static fv_status move(const fv_var *wide_side, args *a) {
    const fv_grid grid = fv_grid_of(wide_side);

    FV_TRY(fv_scratch_reserve((size_t)a->d * sizeof(float)));
    fv_parallel_rows(&grid, move_rows, a);
    return FV_OK;
}

/* ---- heads_split ---- */

static fv_status split_shape(fv_var *y) {
    const split_attr *attr = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (attr->heads < 1 || attr->parts < 1 || attr->index < 0 || attr->index >= attr->parts)
        return FV_FAIL(FV_ERR_SHAPE, "heads_split: no part %d of %d with %d heads",
                       (int)attr->index, (int)attr->parts, (int)attr->heads);
    const int64_t slices = attr->heads * attr->parts;
    if ((x->rank != 3 && x->rank != 4) || fv_shape_last(x) % slices)
        return FV_FAIL(FV_ERR_SHAPE,
                       "heads_split: %s is not [B,N,C] or [B,nW,N,C] with C a multiple of %d x %d",
                       fv_shape_text(x, text), (int)attr->parts, (int)attr->heads);
    const int64_t N = x->dim[x->rank - 2], d = fv_shape_last(x) / slices;
    y->shape = x->rank == 3 ? fv_shape_of(4, x->dim[0], attr->heads, N, d)
                            : fv_shape_of(5, x->dim[0], x->dim[1], attr->heads, N, d);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

static args split_args(const fv_var *y) {
    const int64_t h = fv_dim(y, -3), d = fv_dim(y, -1);
    return (args){.N = fv_dim(y, -2),
                  .h = h,
                  .d = d,
                  .wide = fv_dim(y->in[0], -1),
                  .part = ((const split_attr *)y->attr)->index * h * d};
}

static fv_status split_forward(fv_var *y) {
    args a = split_args(y);

    a.from = y->in[0]->data;
    a.from_dtype = y->dtype;
    a.to = (fv_grad){.data = y->data, .dtype = y->dtype};
    a.split = true;
    return move(y->in[0], &a);
}

static fv_status split_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = split_args(y);

    a.from = dy->data;
    a.from_dtype = dy->dtype;
    a.to = dx[0];
    a.clear = a.wide != a.h * a.d;
    return move(y->in[0], &a);
}

const fv_op fv_op_heads_split = {.name = "heads_split",
                                 .arity = 1,
                                 .attr_bytes = sizeof(split_attr),
                                 .shape = split_shape,
                                 .forward = split_forward,
                                 .backward = split_backward,
                                 .moves = true,
                                 .relevance = fv_relevance_move,
                                 .cost = fv_cost_elementwise};

fv_var *fv_heads_split(fv_var *x, int64_t heads, int64_t index, int64_t parts) {
    return fv_apply(&fv_op_heads_split, (fv_var *[]){x}, &(split_attr){heads, index, parts});
}

/* ---- heads_merge ---- */

static fv_status merge_shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4 && x->rank != 5)
        return FV_FAIL(FV_ERR_SHAPE, "heads_merge: %s is not [B,h,N,d] or [B,nW,h,N,d]",
                       fv_shape_text(x, text));
    const fv_var *in = y->in[0];
    const int64_t N = fv_dim(in, -2), C = fv_dim(in, -3) * fv_dim(in, -1);
    y->shape =
        x->rank == 4 ? fv_shape_of(3, x->dim[0], N, C) : fv_shape_of(4, x->dim[0], x->dim[1], N, C);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

static args merge_args(const fv_var *y) {
    const fv_var *x = y->in[0];
    return (args){
        .N = fv_dim(x, -2), .h = fv_dim(x, -3), .d = fv_dim(x, -1), .wide = fv_dim(y, -1)};
}

static fv_status merge_forward(fv_var *y) {
    args a = merge_args(y);

    a.from = y->in[0]->data;
    a.from_dtype = y->dtype;
    a.to = (fv_grad){.data = y->data, .dtype = y->dtype};
    return move(y, &a);
}

static fv_status merge_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = merge_args(y);

    a.from = dy->data;
    a.from_dtype = dy->dtype;
    a.to = dx[0];
    a.split = true;
    return move(y, &a);
}

const fv_op fv_op_heads_merge = {.name = "heads_merge",
                                 .arity = 1,
                                 .shape = merge_shape,
                                 .forward = merge_forward,
                                 .backward = merge_backward,
                                 .moves = true,
                                 .relevance = fv_relevance_move,
                                 .cost = fv_cost_elementwise};

fv_var *fv_heads_merge(fv_var *x) { return fv_apply(&fv_op_heads_merge, (fv_var *[]){x}, NULL); }
