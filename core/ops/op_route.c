/* op_route.c - which regions each region attends to (bi-level routing attention, Zhu et al. 2023,
 * eqs. 3 and 4).  qkv [B,R,n,3C] -> y [B,R,k] i32:
 *     q_r, k_r = sums of q and k over the n pixels of region r
 *     A_rs = q_r . k_s over all C channels together;  y_r = the k largest of A_r, in falling order
 * The paper's means and its factor C^-1/2 are positive constants, which change no order, and are left
 * out.  Regions of equal contents tie exactly, since every sum and every product is made in one order;
 * of equals the lower index is taken.  The choice carries no gradient. */
#include "core/ops/row.h"

#include <inttypes.h>
#include <string.h>

typedef struct route_attr {
    int64_t topk;
} route_attr;

static fv_status shape(fv_var *y) {
    const route_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4 || x->dim[3] % 3)
        return FV_FAIL(FV_ERR_SHAPE, "route: %s is not [B,R,n,3C]", fv_shape_text(x, text));
    if (a->topk < 1 || a->topk > x->dim[1])
        return FV_FAIL(FV_ERR_SHAPE, "route: %" PRId64 " of %" PRId64 " regions", a->topk,
                       x->dim[1]);
    y->shape = fv_shape_of(3, x->dim[0], x->dim[1], a->topk);
    y->dtype = FV_I32;
    return FV_OK;
}

typedef struct args {
    const fv_var *y;
    int64_t R, n, C, topk;
    float *sums; /* [B,R,2C]: of q, of k */
} args;

static void sum_region(int64_t task, void *arg) {
    const args *a = arg;
    const fv_var *x = a->y->in[0];
    float *sum = a->sums + task * 2 * a->C;
    float *buffer = fv_scratch((size_t)(2 * a->C) * sizeof(float));

    memset(sum, 0, (size_t)(2 * a->C) * sizeof *sum);
    for (int64_t i = task * a->n; i < (task + 1) * a->n; i++)
        fv_kernel()->axpy(2 * a->C, 1.0f,
                          fv_row_read(x->data, x->dtype, i * 3 * a->C, 2 * a->C, buffer), sum);
}

/* Keeps the best so far in falling order; a later equal stays behind.  NaN gives some choice. */
static void choose(int64_t R, int64_t topk, const float *affinity, int32_t *out) {
    int64_t count = 0;

    for (int64_t s = 0; s < R; s++) {
        int64_t at = count;
        while (at > 0 && affinity[s] > affinity[out[at - 1]]) at--;
        if (at == topk) continue;
        if (count < topk) count++;
        memmove(out + at + 1, out + at, (size_t)(count - 1 - at) * sizeof *out);
        out[at] = (int32_t)s;
    }
}

static void route_region(int64_t task, void *arg) {
    const args *a = arg;
    const int64_t b = task / a->R;
    const float *q = a->sums + task * 2 * a->C, *k = a->sums + b * a->R * 2 * a->C + a->C;
    float *affinity = fv_scratch((size_t)a->R * sizeof(float));

    for (int64_t s = 0; s < a->R; s++) affinity[s] = fv_kernel()->dot(a->C, q, k + s * 2 * a->C);
    choose(a->R, a->topk, affinity, (int32_t *)a->y->data + task * a->topk);
}

static fv_status forward(fv_var *y) {
    const int64_t *x = y->in[0]->shape.dim;
    args a = {.y = y, .R = x[1], .n = x[2], .C = x[3] / 3, .topk = y->shape.dim[2]};
    const int64_t wide = 2 * a.C > a.R ? 2 * a.C : a.R;

    a.sums = fv_tape_scratch(y->tape, x[0] * a.R * 2 * a.C);
    if (!a.sums) return FV_ERR_NOMEM;
    FV_TRY(fv_scratch_reserve((size_t)wide * sizeof(float)));
    fv_parallel(x[0] * a.R, sum_region, &a);
    fv_parallel(x[0] * a.R, route_region, &a);
    return FV_OK;
}

/* Neither pass comes here: y is constant. */
static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    (void)dy, (void)dx;
    return FV_FAIL(FV_ERR_INTERNAL, "%s: a choice has no gradient", y->op->name);
}

/* The affinities of all pairs of regions. */
static fv_cost cost(const fv_var *y) {
    const int64_t *x = y->in[0]->shape.dim;
    fv_cost total = fv_cost_elementwise(y);

    total.macs = (double)x[0] * (double)x[1] * (double)x[1] * (double)(x[3] / 3);
    return total;
}

const fv_op fv_op_route = {.name = "route",
                           .arity = 1,
                           .constant = true,
                           .attr_bytes = sizeof(route_attr),
                           .shape = shape,
                           .forward = forward,
                           .backward = backward,
                           .relevance = fv_relevance_none,
                           .cost = cost};

fv_var *fv_route(fv_var *qkv, int64_t topk) {
    return fv_apply(&fv_op_route, (fv_var *[]){qkv}, &(route_attr){topk});
}
