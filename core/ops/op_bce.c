/* op_bce.c - binary cross entropy of every class by itself, z [B,K] f32, targets t [B,K] f32 in 0..1
 * -> loss [B] f32, the mean over classes (torch's binary_cross_entropy_with_logits; as the loss of
 * classification: Wightman et al. 2021, "ResNet strikes back", section 2):
 *     loss = 1/K sum_k max(z_k, 0) - z_k t_k + log(1 + exp(-|z_k|))
 * dz = dloss (sigma(z) - t) / K;  dt = -dloss z / K. */
#include "core/ops/op_list.h"
#include "core/ops/row.h"

#include <math.h>

static fv_status shape(fv_var *y) {
    const fv_shape *z = &y->in[0]->shape, *t = &y->in[1]->shape;
    char zs[FV_SHAPE_TEXT], ts[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], false));
    FV_TRY(fv_check_dtype(y, y->in[1], false));
    if (z->rank != 2 || z->dim[1] < 1)
        return FV_FAIL(FV_ERR_SHAPE, "bce: logits %s are not [B,K]", fv_shape_text(z, zs));
    if (!fv_shape_equal(z, t))
        return FV_FAIL(FV_ERR_SHAPE, "bce: targets %s do not fit logits %s", fv_shape_text(t, ts),
                       fv_shape_text(z, zs));
    y->shape = fv_shape_of(1, z->dim[0]);
    y->dtype = FV_F32;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    const fv_tensor *dy;
    const fv_grad *dx;
    int64_t K;
} args;

static void forward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    float *loss = a->y->data;

    for (int64_t b = first; b < first + count; b++) {
        const float *z = (const float *)a->y->in[0]->data + b * a->K;
        const float *t = (const float *)a->y->in[1]->data + b * a->K;
        double sum = 0.0;
        for (int64_t k = 0; k < a->K; k++) {
            const double v = (double)z[k];
            sum += (v > 0.0 ? v : 0.0) - v * (double)t[k] + log1p(exp(-fabs(v)));
        }
        loss[b] = (float)(sum / (double)a->K);
    }
}

static fv_status forward(fv_var *y) {
    const fv_grid grid = fv_grid_of(y);

    fv_parallel_rows(&grid, forward_rows, &(args){.y = y, .K = y->in[0]->shape.dim[1]});
    return FV_OK;
}

static void backward_rows(int64_t first, int64_t count, void *arg) {
    const args *a = arg;
    const float *dy = a->dy->data;
    float *out = fv_scratch((size_t)a->K * sizeof(float));

    for (int64_t b = first; b < first + count; b++) {
        const float *z = (const float *)a->y->in[0]->data + b * a->K;
        const float *t = (const float *)a->y->in[1]->data + b * a->K;
        const float share = dy[b] / (float)a->K;
        if (a->dx[0].data) {
            fv_kernel()->sigmoid(a->K, z, out);
            for (int64_t k = 0; k < a->K; k++) out[k] = share * (out[k] - t[k]);
            fv_grad_store(&a->dx[0], b * a->K, a->K, out);
        }
        if (a->dx[1].data) {
            fv_kernel()->scale(a->K, -share, z, out);
            fv_grad_store(&a->dx[1], b * a->K, a->K, out);
        }
    }
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const fv_grid grid = fv_grid_of(y);
    const int64_t K = y->in[0]->shape.dim[1];

    FV_TRY(fv_scratch_reserve((size_t)K * sizeof(float)));
    fv_parallel_rows(&grid, backward_rows, &(args){.y = y, .dy = dy, .dx = dx, .K = K});
    return FV_OK;
}

/* Explanations start at a logit: nothing is passed through the loss. */
const fv_op fv_op_bce = {.name = "bce",
                         .arity = 2,
                         .reads = FV_READS_IN(0) | FV_READS_IN(1),
                         .shape = shape,
                         .forward = forward,
                         .backward = backward,
                         .relevance = fv_relevance_none,
                         .cost = fv_cost_elementwise};

fv_var *fv_bce(fv_var *logits, fv_var *targets) {
    return fv_apply(&fv_op_bce, (fv_var *[]){logits, targets}, NULL);
}
