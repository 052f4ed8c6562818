/* op_linear.c - y = x W^T + b, x [B, ..., I], W [O, I], b [O] -> y [B, ..., O].
 *
 * A convolution with kernel = stride is this op on patchified input: W may have any shape [O, ...].
 * dx = dy W;  dW = sum over rows of dy^T x;  db = sum over rows of dy. */
#include "core/ops/linear_product.h"

#include <string.h>

typedef struct linear_attr {
    int32_t f32; /* write f32 whatever x is */
} linear_attr;

static fv_status shape(fv_var *y) {
    const linear_attr *attr = y->attr;
    y->dtype = attr->f32 ? FV_F32 : y->in[0]->dtype;
    return fv_linear_shape(y);
}

static fv_status forward(fv_var *y) { return fv_linear_product(y, y->data, y->dtype, NULL, NULL); }

typedef struct narrow_args {
    const float *from;
    fv_bf16 *to;
    int64_t columns;
} narrow_args;

static void narrow_rows(int64_t first, int64_t count, void *arg) {
    const narrow_args *a = arg;
    fv_kernel()->to_bf16(count * a->columns, a->from + first * a->columns,
                         a->to + first * a->columns);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_var *x = y->in[0];
    const void *dz = dy->data;

    if (dy->dtype != x->dtype) { /* bf16 product, f32 gradient: y is f32 or has several readers */
        const fv_grid grid = fv_grid_of(y);
        fv_bf16 *copy = (fv_bf16 *)fv_tape_scratch(y->tape, (fv_shape_numel(&y->shape) + 1) / 2);
        if (!copy) return FV_ERR_NOMEM;
        fv_parallel_rows(&grid, narrow_rows,
                         &(narrow_args){dy->data, copy, fv_shape_last(&y->shape)});
        dz = copy;
    }
    return fv_linear_product_backward(y, dz, dx);
}

/* Per sample: L_bias and, in R form, L_eps and the signal s = R / (z +- eps). */
static void sinks(const fv_var *y, const fv_signal *ry, const fv_rule *rule, float *s) {
    const float *b = y->in[2] ? y->in[2]->data : NULL, *z = y->data, *r = ry->data;
    const int64_t O = fv_shape_last(&y->shape), B = y->shape.dim[0];
    const int64_t per_sample = B ? fv_shape_numel(&y->shape) / B : 0;

    for (int64_t n = 0; n < B; n++) {
        double bias = 0.0, eps = 0.0;
        for (int64_t i = n * per_sample; i < (n + 1) * per_sample; i++) {
            const double beta = b ? (double)b[i % O] : 0.0;
            if (ry->kind == FV_SIGNAL_GI) {
                bias += beta * (double)r[i];
                continue;
            }
            const float d = fv_stab(z[i], rule->epsilon);
            s[i] = r[i] / d;
            bias += (double)r[i] * beta / (double)d;
            eps += (double)r[i] * ((double)d - (double)z[i]) / (double)d;
        }
        fv_ledger_add(rule->ledger, FV_SINK_BIAS, n, bias);
        if (ry->kind == FV_SIGNAL_R) fv_ledger_add(rule->ledger, FV_SINK_EPS, n, eps);
    }
}

/* GI: g_x = g_y W.  R: x * ((R / (z +- eps)) W), Bach et al. 2015, eq. 58. */
fv_status fv_linear_relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                              const fv_rule *rule) {
    const int64_t n = fv_shape_numel(&y->in[0]->shape);
    const float *x = y->in[0]->data, *signal = ry->data;
    float *s = NULL;

    if (ry->kind == FV_SIGNAL_R) {
        s = fv_tape_scratch(y->tape, fv_shape_numel(&y->shape));
        if (!s) return FV_ERR_NOMEM;
        signal = s;
    }
    sinks(y, ry, rule, s);
    if (!rx[0].data) return FV_OK;
    fv_grad dx[3] = {{.data = rx[0].data, .dtype = FV_F32}};
    FV_TRY(fv_linear_product_backward(y, signal, dx));
    if (ry->kind == FV_SIGNAL_R)
        for (int64_t i = 0; i < n; i++) rx[0].data[i] *= x[i];
    return FV_OK;
}

const fv_op fv_op_linear = {.name = "linear",
                            .arity = 3,
                            .params = 1u << 1 | 1u << 2,
                            .reads = FV_READS_IN(0) | FV_READS_IN(1),
                            .attr_bytes = sizeof(linear_attr),
                            .shape = shape,
                            .forward = forward,
                            .backward = backward,
                            .relevance = fv_linear_relevance,
                            .cost = fv_linear_cost};

fv_var *fv_linear(fv_var *x, fv_var *weight, fv_var *bias) {
    return fv_apply(&fv_op_linear, (fv_var *[]){x, weight, bias}, &(linear_attr){0});
}

fv_var *fv_linear_f32(fv_var *x, fv_var *weight, fv_var *bias) {
    return fv_apply(&fv_op_linear, (fv_var *[]){x, weight, bias}, &(linear_attr){1});
}
