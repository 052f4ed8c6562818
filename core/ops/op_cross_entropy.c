/* op_cross_entropy.c - per-sample cross entropy over logits z [B,K] f32 -> loss [B] f32:
 *     cross_entropy       labels i32 [B], smoothing s: t = (1-s) onehot(label) + s/K
 *                         (Szegedy et al. 2016, section 7)
 *     soft_cross_entropy  targets t f32 [B,K]
 * loss = sum_k t_k (L - z_k) with L = log sum_k exp z_k, which is saved [B].
 * dz = dloss (softmax(z) sum t - t);  dt = dloss (L - z). */
#include "core/ops/op_list.h"
#include "core/ops/row.h"

typedef struct hard_attr {
    float smoothing;
} hard_attr;

static fv_status logits_shape(fv_var *y) {
    const fv_shape *z = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], false));
    if (z->rank != 2 || z->dim[1] < 1)
        return FV_FAIL(FV_ERR_SHAPE, "%s: logits %s are not [B,K]", y->op->name,
                       fv_shape_text(z, text));
    y->shape = fv_shape_of(1, z->dim[0]);
    y->dtype = FV_F32;
    y->n_saved = 1;
    y->saved[0] = (fv_tensor){NULL, FV_F32, y->shape};
    return FV_OK;
}

static fv_status hard_shape(fv_var *y) {
    const float s = ((const hard_attr *)y->attr)->smoothing;
    const fv_var *labels = y->in[1];
    char zs[FV_SHAPE_TEXT], ls[FV_SHAPE_TEXT];

    FV_TRY(logits_shape(y));
    if (labels->dtype != FV_I32)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "cross_entropy: labels are %s, not %s",
                       fv_dtype_name(labels->dtype), fv_dtype_name(FV_I32));
    if (labels->shape.rank != 1 || labels->shape.dim[0] != y->shape.dim[0])
        return FV_FAIL(FV_ERR_SHAPE, "cross_entropy: labels %s do not fit logits %s",
                       fv_shape_text(&labels->shape, ls), fv_shape_text(&y->in[0]->shape, zs));
    if (!(s >= 0.0f && s <= 1.0f))
        return FV_FAIL(FV_ERR_CONFIG, "cross_entropy: smoothing %g is not in [0, 1]", (double)s);
    return FV_OK;
}

static fv_status soft_shape(fv_var *y) {
    const fv_shape *z = &y->in[0]->shape, *t = &y->in[1]->shape;
    char zs[FV_SHAPE_TEXT], ts[FV_SHAPE_TEXT];

    FV_TRY(logits_shape(y));
    FV_TRY(fv_check_dtype(y, y->in[1], false));
    if (fv_shape_equal(z, t)) return FV_OK;
    return FV_FAIL(FV_ERR_SHAPE, "soft_cross_entropy: targets %s do not fit logits %s",
                   fv_shape_text(t, ts), fv_shape_text(z, zs));
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t K;
} args;

static const float *row_of(const fv_var *x, int64_t b, int64_t K) {
    return (const float *)x->data + b * K;
}

/* The target distribution of sample b, in buffer or in place. */
static const float *target_row(const fv_var *y, int64_t b, int64_t K, float *buffer) {
    if (y->op == &fv_op_soft_cross_entropy) return row_of(y->in[1], b, K);
    const float s = ((const hard_attr *)y->attr)->smoothing;
    const int32_t label = ((const int32_t *)y->in[1]->data)[b];
    for (int64_t k = 0; k < K; k++) buffer[k] = s / (float)K + (k == label ? 1.0f - s : 0.0f);
    return buffer;
}

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *lse = a->y->saved[0].data, *loss = a->y->data;
    float *buffer = fv_scratch((size_t)(2 * a->K) * sizeof(float));

    for (int64_t b = first; b < first + count; b++) {
        const float *z = row_of(a->y->in[0], b, a->K);
        const float *t = target_row(a->y, b, a->K, buffer);
        double sum = 0.0;
        fv_kernel()->softmax(a->K, 1.0f, z, buffer + a->K, &lse[b]);
        for (int64_t k = 0; k < a->K; k++)
            if (t[k] != 0.0f) sum += (double)t[k] * ((double)lse[b] - (double)z[k]);
        loss[b] = (float)sum;
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t K = y->in[0]->shape.dim[1];

    for (int64_t b = 0; y->op == &fv_op_cross_entropy && b < y->shape.dim[0]; b++) {
        const int32_t label = ((const int32_t *)y->in[1]->data)[b];
        if (label < 0 || label >= K)
            return FV_FAIL(FV_ERR_FORMAT, "cross_entropy: label %d of sample %d is not in 0..%d",
                           (int)label, (int)b, (int)(K - 1));
    }
    FV_TRY(fv_scratch_reserve((size_t)(2 * K) * sizeof(float)));
    fv_parallel_rows(&grid, forward_rows, &(args){.y = y, .K = K});
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const float *lse = a->y->saved[0].data, *dy = a->dy->data;
    float *buffer = fv_scratch((size_t)(2 * a->K) * sizeof(float));
    float *out = buffer + a->K;

    for (int64_t b = first; b < first + count; b++) {
        const float *z = row_of(a->y->in[0], b, a->K);
        const float *t = target_row(a->y, b, a->K, buffer);
        double mass = 0.0;
        for (int64_t k = 0; k < a->K; k++) mass += (double)t[k];
        if (a->dx[0].data) {
            fv_kernel()->softmax_from_lse(a->K, 1.0f, z, lse[b], out);
            for (int64_t k = 0; k < a->K; k++) out[k] = dy[b] * (out[k] * (float)mass - t[k]);
            fv_grad_store(&a->dx[0], b * a->K, a->K, out);
        }
        if (a->dx[1].data) {
            for (int64_t k = 0; k < a->K; k++) out[k] = dy[b] * (lse[b] - z[k]);
            fv_grad_store(&a->dx[1], b * a->K, a->K, out);
        }
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t K = y->in[0]->shape.dim[1];

    FV_TRY(fv_scratch_reserve((size_t)(2 * K) * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &(args){.y = y, .dy = dy, .dx = dx, .K = K});
    return FV_OK;
}

/* Explanations start at a logit: nothing is passed through the loss. */
const fv_op fv_op_cross_entropy = {.name = "cross_entropy",
                                   .arity = 2,
                                   .reads = FV_READS_IN(0) | FV_READS_IN(1),
                                   .attr_bytes = sizeof(hard_attr),
                                   .shape = hard_shape,
                                   .forward = forward,
                                   .backward = backward,
                                   .relevance = fv_relevance_none,
                                   .cost = fv_cost_elementwise};

const fv_op fv_op_soft_cross_entropy = {.name = "soft_cross_entropy",
                                        .arity = 2,
                                        .reads = FV_READS_IN(0) | FV_READS_IN(1),
                                        .shape = soft_shape,
                                        .forward = forward,
                                        .backward = backward,
                                        .relevance = fv_relevance_none,
                                        .cost = fv_cost_elementwise};

fv_var *fv_cross_entropy(fv_var *logits, fv_var *labels, float smoothing) {
    return fv_apply(&fv_op_cross_entropy, (fv_var *[]){logits, labels}, &(hard_attr){smoothing});
}

fv_var *fv_soft_cross_entropy(fv_var *logits, fv_var *targets) {
    return fv_apply(&fv_op_soft_cross_entropy, (fv_var *[]){logits, targets}, NULL);
}
