/* op_token.c - what vision transformers do with tokens apart from mixing them:
 *     prepend_token  x [B,N,C], token [1,1,C] -> y [B,N+1,C], y_0 = token, y_{n+1} = x_n
 *     add_pos        x [B,N,C], pos [1,N,C]   -> y = x + pos
 *     select_token   x [B,N,C]                -> y [B,C] = x_index
 * x is f32 or bf16; the first two write f32, select_token x's dtype.  Gradients of token and pos are
 * sums over samples. */
#include "core/ops/param_sum.h"
#include "core/ops/row.h"

static fv_status check_tokens(const fv_var *y) {
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (y->in[0]->shape.rank == 3) return FV_OK;
    return FV_FAIL(FV_ERR_SHAPE, "%s: input %s is not [B,N,C]", y->op->name,
                   fv_shape_text(&y->in[0]->shape, text));
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t N, C; /* of x */
    int64_t index;
} args;

static args make_args(const fv_var *y, const fv_tensor *dy, const fv_grad *dx) {
    return (args){
        .y = y, .dy = dy, .dx = dx, .N = y->in[0]->shape.dim[1], .C = y->in[0]->shape.dim[2]};
}

/* Rows of x's grid, with room for one row per thread. */
static fv_status over_rows(const fv_var *x, fv_rows_fn *fn, args *a) {
    const fv_grid grid = fv_grid_of(x);

    FV_TRY(fv_scratch_reserve((size_t)a->C * sizeof(float)));
    fv_parallel_rows(&grid, fn, a);
    return FV_OK;
}

static float *row_buffer(const args *a) { return fv_scratch((size_t)a->C * sizeof(float)); }

/* ---- prepend_token ---- */

static fv_status prepend_shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape, *t = &y->in[1]->shape;
    char xs[FV_SHAPE_TEXT], ts[FV_SHAPE_TEXT];

    FV_TRY(check_tokens(y));
    if (fv_shape_last(t) != x->dim[2] || fv_shape_numel(t) != x->dim[2])
        return FV_FAIL(FV_ERR_SHAPE, "prepend_token: token %s does not fit input %s",
                       fv_shape_text(t, ts), fv_shape_text(x, xs));
    y->shape = fv_shape_of(3, x->dim[0], x->dim[1] + 1, x->dim[2]);
    y->dtype = FV_F32;
    return FV_OK;
}

static void prepend_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];

    for (int64_t row = first; row < first + count; row++) {
        const int64_t b = row / (a->N + 1), n = row % (a->N + 1);
        if (n == 0)
            fv_row_copy(a->y->data, FV_F32, row * a->C, a->y->in[1]->data, FV_F32, 0, a->C);
        else
            fv_row_copy(a->y->data, FV_F32, row * a->C, x->data, x->dtype,
                        (b * a->N + n - 1) * a->C, a->C);
    }
}

static fv_status prepend_forward(fv_var *y) {
    args a = make_args(y, NULL, NULL);
    return over_rows(y, prepend_rows, &a);
}

static void prepend_backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;

    for (int64_t row = first; row < first + count; row++)
        fv_grad_copy(a->dx, row * a->C, a->dy->data, a->dy->dtype, (row + row / a->N + 1) * a->C,
                     a->C, row_buffer(a));
}

static fv_status prepend_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y, dy, &dx[0]);

    if (dx[0].data) FV_TRY(over_rows(y->in[0], prepend_backward_rows, &a));
    if (!dx[1].tree) return FV_OK;
    return fv_param_sum(dx[1].tree, &(fv_row_sum){.rows = dy->data,
                                                  .dtype = dy->dtype,
                                                  .n_rows = y->shape.dim[0],
                                                  .chunk_rows = fv_grid_of(y).chunk_samples,
                                                  .n = a.C,
                                                  .ld = (a.N + 1) * a.C});
}

/* A move; what reaches the token stays there (CLS), and in rule->absorbed. */
static fv_status prepend_relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                                   const fv_rule *rule) {
    const int64_t C = y->shape.dim[2], N = y->shape.dim[1];
    const float *token = y->in[1]->data;

    for (int64_t b = 0; b < y->shape.dim[0]; b++) {
        const float *signal = ry->data + b * N * C;
        double cls = 0.0;
        for (int64_t c = 0; c < C; c++) {
            const float r = ry->kind == FV_SIGNAL_GI ? signal[c] * token[c] : signal[c];
            cls += (double)signal[c] * (ry->kind == FV_SIGNAL_GI ? (double)token[c] : 1.0);
            if (rule->absorbed) rule->absorbed[b * C + c] = r;
        }
        fv_ledger_add(rule->ledger, FV_SINK_CLS, b, cls);
    }
    return fv_relevance_move(y, ry, rx, rule);
}

const fv_op fv_op_prepend_token = {.name = "prepend_token",
                                   .arity = 2,
                                   .params = 1u << 1,
                                   .absorbs = 1u << 1,
                                   .shape = prepend_shape,
                                   .forward = prepend_forward,
                                   .backward = prepend_backward,
                                   .moves = true,
                                   .relevance = prepend_relevance,
                                   .cost = fv_cost_elementwise};

fv_var *fv_prepend_token(fv_var *x, fv_var *token) {
    return fv_apply(&fv_op_prepend_token, (fv_var *[]){x, token}, NULL);
}

/* ---- add_pos ---- */

static fv_status pos_shape(fv_var *y) {
    const fv_shape *x = &y->in[0]->shape, *p = &y->in[1]->shape;
    char xs[FV_SHAPE_TEXT], ps[FV_SHAPE_TEXT];

    FV_TRY(check_tokens(y));
    if (p->rank != 3 || p->dim[0] != 1 || p->dim[1] != x->dim[1] || p->dim[2] != x->dim[2])
        return FV_FAIL(FV_ERR_SHAPE, "add_pos: pos %s does not fit input %s", fv_shape_text(p, ps),
                       fv_shape_text(x, xs));
    y->shape = *x;
    y->dtype = FV_F32;
    return FV_OK;
}

static void pos_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    const float *pos = a->y->in[1]->data;
    float *buffer = row_buffer(a);

    for (int64_t row = first; row < first + count; row++)
        fv_kernel()->add_scaled(a->C, fv_row_read(x->data, x->dtype, row * a->C, a->C, buffer),
                                1.0f, pos + row % a->N * a->C, (float *)a->y->data + row * a->C);
}

static fv_status pos_forward(fv_var *y) {
    args a = make_args(y, NULL, NULL);
    return over_rows(y, pos_rows, &a);
}

static void copy_backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;

    for (int64_t row = first; row < first + count; row++)
        fv_grad_copy(a->dx, row * a->C, a->dy->data, a->dy->dtype, row * a->C, a->C, row_buffer(a));
}

static fv_status pos_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y, dy, &dx[0]);

    if (dx[0].data) FV_TRY(over_rows(y->in[0], copy_backward_rows, &a));
    if (!dx[1].tree) return FV_OK;
    return fv_param_sum(dx[1].tree, &(fv_row_sum){.rows = dy->data,
                                                  .dtype = dy->dtype,
                                                  .n_rows = y->shape.dim[0],
                                                  .chunk_rows = fv_grid_of(y).chunk_samples,
                                                  .n = a.N * a.C,
                                                  .ld = a.N * a.C});
}

/* An add whose second operand is constant: it keeps its share (POS_EMBED), also in rule->absorbed. */
static fv_status pos_relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                               const fv_rule *rule) {
    const int64_t n = y->shape.dim[1] * y->shape.dim[2];
    const float *pos = y->in[1]->data, *z = y->data;

    for (int64_t b = 0; b < y->shape.dim[0]; b++) {
        const fv_stabiliser stab = fv_stabiliser_of(rule, n, z + b * n);
        double taken = 0.0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = b * n + i;
            const float d = ry->kind == FV_SIGNAL_R ? fv_stabilise(stab, z[at]) : 1.0f;
            const double part = (double)pos[i] * (double)ry->data[at] / (double)d;
            taken += part;
            if (rule->absorbed) rule->absorbed[at] = (float)part;
        }
        fv_ledger_add(rule->ledger, FV_SINK_POS_EMBED, b, taken);
    }
    return fv_relevance_epsilon(y, ry, rx, rule);
}

const fv_op fv_op_add_pos = {.name = "add_pos",
                             .arity = 2,
                             .params = 1u << 1,
                             .passes = 1u << 0,
                             .absorbs = 1u << 1,
                             .shape = pos_shape,
                             .forward = pos_forward,
                             .backward = pos_backward,
                             .relevance = pos_relevance,
                             .cost = fv_cost_elementwise};

fv_var *fv_add_pos(fv_var *x, fv_var *pos) {
    return fv_apply(&fv_op_add_pos, (fv_var *[]){x, pos}, NULL);
}

/* ---- select_token ---- */

typedef struct select_attr {
    int64_t index;
} select_attr;

static fv_status select_shape(fv_var *y) {
    const int64_t index = ((const select_attr *)y->attr)->index;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(check_tokens(y));
    if (index < 0 || index >= x->dim[1])
        return FV_FAIL(FV_ERR_SHAPE, "select_token: no token %d in %s", (int)index,
                       fv_shape_text(x, text));
    y->shape = fv_shape_of(2, x->dim[0], x->dim[2]);
    y->dtype = y->in[0]->dtype;
    return FV_OK;
}

static fv_status select_forward(fv_var *y) {
    const int64_t index = ((const select_attr *)y->attr)->index;
    const int64_t N = y->in[0]->shape.dim[1], C = y->shape.dim[1];

    for (int64_t b = 0; b < y->shape.dim[0]; b++)
        fv_row_copy(y->data, y->dtype, b * C, y->in[0]->data, y->dtype, (b * N + index) * C, C);
    return FV_OK;
}

static void select_backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;

    for (int64_t row = first; row < first + count; row++) {
        if (row % a->N != a->index)
            fv_grad_zero(a->dx, row * a->C, a->C);
        else
            fv_grad_copy(a->dx, row * a->C, a->dy->data, a->dy->dtype, row / a->N * a->C, a->C,
                         row_buffer(a));
    }
}

static fv_status select_backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    args a = make_args(y, dy, &dx[0]);

    a.index = ((const select_attr *)y->attr)->index;
    return over_rows(y->in[0], select_backward_rows, &a);
}

/* Tokens that are not read get zeros. */
const fv_op fv_op_select_token = {.name = "select_token",
                                  .arity = 1,
                                  .attr_bytes = sizeof(select_attr),
                                  .shape = select_shape,
                                  .forward = select_forward,
                                  .backward = select_backward,
                                  .moves = true,
                                  .relevance = fv_relevance_move,
                                  .cost = fv_cost_elementwise};

fv_var *fv_select_token(fv_var *x, int64_t index) {
    return fv_apply(&fv_op_select_token, (fv_var *[]){x}, &(select_attr){index});
}
