/* op_conv2d.c - y[b,i,j,o] = sum over c, u, v of x[b, i s - p + u, j s - p + v, c] W[o,c,u,v] + b[o],
 * x [B,H,W,C], W [O,C/g,kh,kw], b [O] -> y [B,Ho,Wo,O], zeros outside of the map, channels of one of
 * g groups only.
 *
 * dx = dy correlated with the flipped W;  dW = sum over images of x correlated with dy;  db = sum dy. */
#include "core/ops/conv_sweep.h"
#include "core/ops/linear_product.h"
#include "core/ops/row.h"

static fv_conv describe(const fv_var *y, fv_conv_pass pass) {
    const fv_conv2d_args *a = y->attr;
    const int64_t *x = y->in[0]->shape.dim, *w = y->in[1]->shape.dim;

    return (fv_conv){.n = x[0],
                     .H = x[1],
                     .W = x[2],
                     .C = x[3],
                     .O = w[0],
                     .kh = w[2],
                     .kw = w[3],
                     .stride = a->stride,
                     .top = a->padding,
                     .left = a->padding,
                     .bottom = a->padding + a->extra_bottom,
                     .right = a->padding + a->extra_right,
                     .groups = a->groups,
                     .pass = pass,
                     .bias = pass == FV_CONV_FORWARD && y->in[2],
                     .in = y->in[0]->dtype,
                     .out = y->dtype};
}

static fv_status shape(fv_var *y) {
    const fv_conv2d_args *a = y->attr;
    const fv_shape *x = &y->in[0]->shape, *w = &y->in[1]->shape;
    char xs[FV_SHAPE_TEXT], ws[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4 || w->rank != 4 || a->groups < 1 || w->dim[0] % a->groups ||
        w->dim[1] * a->groups != x->dim[3] || fv_shape_numel(w) < 1)
        return FV_FAIL(FV_ERR_SHAPE, "conv2d: input %s does not fit weight %s, groups %d",
                       fv_shape_text(x, xs), fv_shape_text(w, ws), (int)a->groups);
    if (y->in[2] && fv_shape_numel(&y->in[2]->shape) != w->dim[0])
        return FV_FAIL(FV_ERR_SHAPE, "conv2d: bias %s does not fit weight %s",
                       fv_shape_text(&y->in[2]->shape, xs), fv_shape_text(w, ws));
    const int64_t kernel = w->dim[2] < w->dim[3] ? w->dim[2] : w->dim[3];
    if (a->stride < 1 || a->padding < 0 || a->extra_bottom < 0 || a->extra_right < 0 ||
        a->padding >= kernel)
        return FV_FAIL(FV_ERR_SHAPE, "conv2d: stride %d and padding %d with weight %s",
                       (int)a->stride, (int)a->padding, fv_shape_text(w, ws));
    const fv_conv c = describe(y, FV_CONV_FORWARD);
    if (x->dim[1] < 1 || x->dim[2] < 1 || c.H + c.top + c.bottom < c.kh ||
        c.W + c.left + c.right < c.kw)
        return FV_FAIL(FV_ERR_SHAPE, "conv2d: a map of %s is too small for weight %s",
                       fv_shape_text(x, xs), fv_shape_text(w, ws));
    y->shape = fv_shape_of(4, c.n, fv_conv_rows(&c), fv_conv_columns(&c), c.O);
    y->dtype = a->f32 ? FV_F32 : y->in[0]->dtype;
    return FV_OK;
}

static fv_status task_status(const atomic_int *failed) {
    return atomic_load(failed) ? FV_FAIL(FV_ERR_BACKEND, "a convolution failed") : FV_OK;
}

static void forward_task(int64_t task, void *arg) { fv_conv_sweep_task(arg, task); }

static fv_status forward(fv_var *y) {
    const fv_conv c = describe(y, FV_CONV_FORWARD);
    const fv_grad out = {.data = y->data, .dtype = y->dtype};
    const void *w;
    fv_conv_sweep sweep;
    atomic_int failed = 0;

    if (c.n == 0) return FV_OK;
    FV_TRY(fv_weight_data(y->in[1], c.in, &w));
    FV_TRY(fv_conv_sweep_begin(y->tape, &c, y->in[0]->data, w, y->in[2] ? y->in[2]->data : NULL,
                               &out, &failed, &sweep));
    fv_parallel(sweep.n_tasks, forward_task, &sweep);
    return task_status(&failed);
}

typedef struct backward_tasks {
    fv_conv_sums sums;
    fv_conv_sweep sweep;
} backward_tasks;

static void backward_task(int64_t task, void *arg) {
    backward_tasks *t = arg;

    if (task < t->sums.n_tasks)
        fv_conv_sums_task(&t->sums, task);
    else
        fv_conv_sweep_task(&t->sweep, task - t->sums.n_tasks);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_conv weights = describe(y, FV_CONV_WEIGHTS), data = describe(y, FV_CONV_DATA);
    backward_tasks t = {.sums.n_tasks = 0};
    const void *dz, *w;
    atomic_int failed = 0;

    if (data.n == 0) return FV_OK;
    FV_TRY(fv_grad_narrow(y, dy, data.in, &dz));
    if (dx[1].tree || dx[2].tree)
        FV_TRY(fv_conv_sums_begin(y->tape, &weights, y->in[0]->data, dz, dx[1].tree, dx[2].tree,
                                  &failed, &t.sums));
    if (dx[0].data) {
        FV_TRY(fv_weight_data(y->in[1], data.in, &w));
        FV_TRY(fv_conv_sweep_begin(y->tape, &data, dz, w, NULL, &dx[0], &failed, &t.sweep));
    }
    FV_TRY(fv_scratch_reserve(t.sums.scratch_bytes > t.sweep.scratch_bytes
                                  ? t.sums.scratch_bytes
                                  : t.sweep.scratch_bytes));
    fv_parallel(t.sums.n_tasks + t.sweep.n_tasks, backward_task, &t);
    FV_TRY(fv_conv_sums_end(&t.sums));
    return task_status(&failed);
}

static fv_cost cost(const fv_var *y) {
    const fv_conv c = describe(y, FV_CONV_FORWARD);
    fv_cost total = fv_cost_elementwise(y);

    total.macs = fv_conv_macs(&c) * (double)c.n;
    return total;
}

const fv_op fv_op_conv2d = {.name = "conv2d",
                            .arity = 3,
                            .params = 1u << 1 | 1u << 2,
                            .reads = FV_READS_IN(0) | FV_READS_IN(1),
                            .attr_bytes = sizeof(fv_conv2d_args),
                            .shape = shape,
                            .forward = forward,
                            .backward = backward,
                            .relevance = fv_relevance_affine,
                            .cost = cost};

/* Without neighbours it is a matrix product over pixels. */
static bool is_linear(const fv_var *x, const fv_var *weight, const fv_conv2d_args *a) {
    const fv_shape *w = &weight->shape;
    return x->shape.rank == 4 && w->rank == 4 && w->dim[2] == 1 && w->dim[3] == 1 &&
           a->stride == 1 && a->groups == 1 && a->padding == 0 && a->extra_bottom == 0 &&
           a->extra_right == 0;
}

fv_var *fv_conv2d(fv_var *x, fv_var *weight, fv_var *bias, const fv_conv2d_args *args) {
    fv_conv2d_args a = *args;

    if (a.stride == 0) a.stride = 1;
    if (a.groups == 0) a.groups = 1;
    if (is_linear(x, weight, &a))
        return a.f32 ? fv_linear_f32(x, weight, bias) : fv_linear(x, weight, bias);
    return fv_apply(&fv_op_conv2d, (fv_var *[]){x, weight, bias}, &a);
}
