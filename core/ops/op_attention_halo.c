/* op_attention_halo.c - blocked local attention with halos (Vaswani et al. 2021), fused.
 *
 * q [B,H/s,W/s,h dk], kv [B,H,W,h (dk + dv)], height, width [2w-1,dk] -> y [B,H/s,W/s,h dv].
 * Per sample, head and block: Q [bq^2,dk], and the window's K [w^2,dk] and V [w^2,dv] with zeros outside
 * of the map, are packed into scratch, the scores stay in cache:
 *     S = dk^-1/2 Q K^T + rel(Q T^T),  P = softmax_rows(S),  y = P V             (rel: halo.h)
 * Saved: the rows' log-sum-exp, from which backward computes P again.
 *     dS = P (dP - D), dP = dy V^T, D_i = sum_j P_ij dP_ij;  dR = rel^T(dS);
 *     dQ = dk^-1/2 dS K + dR T;  dT = dR^T Q;  dK = dk^-1/2 dS^T Q;  dV = P^T dy
 * Backward is one task per sample and head, which walks the blocks in order and adds dK and dV into a map of
 * its own: windows overlap, and sums have one order whoever computes them.
 * The composed form of the builder below is the oracle in tests and what FV_EXPLAIN uses. */
#include "core/arena.h"
#include "core/ops/attention_halo.h"
#include "core/ops/row.h"
#include "core/tape_internal.h"

#include <inttypes.h>

static int64_t stride_of(const fv_halo_args *a) { return a->stride ? a->stride : 1; }

static fv_status check_tables(const fv_var *y, int64_t dk) {
    const fv_halo_args *a = y->attr;
    char text[FV_SHAPE_TEXT];

    for (int i = 2; i < 4; i++) {
        const fv_shape *t = &y->in[i]->shape;
        if (t->rank != 2 || t->dim[0] != 2 * (a->block + 2 * a->halo) - 1 || t->dim[1] != dk)
            return FV_FAIL(FV_ERR_SHAPE,
                           "%s: table %s does not fit a window of %" PRId64
                           " and queries of %" PRId64,
                           y->op->name, fv_shape_text(t, text), a->block + 2 * a->halo, dk);
    }
    return FV_OK;
}

static fv_status shape(fv_var *y) {
    const fv_halo_args *a = y->attr;
    const fv_shape *q = &y->in[0]->shape, *kv = &y->in[1]->shape;
    const int64_t h = a->heads, s = stride_of(a);
    char qs[FV_SHAPE_TEXT], kvs[FV_SHAPE_TEXT];
    fv_halo g;

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (y->in[1]->dtype != y->in[0]->dtype)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "%s: queries are %s, keys %s", y->op->name,
                       fv_dtype_name(y->in[0]->dtype), fv_dtype_name(y->in[1]->dtype));
    if (q->rank != 4 || kv->rank != 4 || kv->dim[0] != q->dim[0] || h < 1 || q->dim[3] % h ||
        kv->dim[3] % h || q->dim[3] < 1 || kv->dim[3] <= q->dim[3])
        return FV_FAIL(FV_ERR_SHAPE, "%s: %s and %s are not maps of %" PRId64 " heads", y->op->name,
                       fv_shape_text(q, qs), fv_shape_text(kv, kvs), h);
    FV_TRY(fv_halo_init(&g, y->op->name, kv->dim[1], kv->dim[2], a->block, a->halo));
    if (s < 1 || a->block % s || q->dim[1] * s != g.H || q->dim[2] * s != g.W)
        return FV_FAIL(FV_ERR_SHAPE,
                       "%s: queries %s do not fit keys %s, block %" PRId64 ", stride %" PRId64,
                       y->op->name, fv_shape_text(q, qs), fv_shape_text(kv, kvs), a->block, s);
    FV_TRY(check_tables(y, q->dim[3] / h));
    y->shape = fv_shape_of(4, q->dim[0], q->dim[1], q->dim[2], kv->dim[3] - q->dim[3]);
    y->dtype = y->in[0]->dtype;
    y->n_saved = 1;
    y->saved[0] = (fv_tensor){
        NULL, FV_F32,
        fv_shape_of(4, q->dim[0], h, g.down * g.across, (a->block / s) * (a->block / s))};
    return FV_OK;
}

static fv_status finish(fv_halo_job *j) {
    return atomic_load(&j->failed) ? FV_FAIL(FV_ERR_BACKEND, "%s: a product failed", j->y->op->name)
                                   : FV_OK;
}

static fv_status forward(fv_var *y) {
    fv_halo_job j;

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(fv_halo_job_init(y, false, &j));
    fv_parallel(y->shape.dim[0] * j.heads * j.g.down, fv_halo_forward_task, &j);
    return finish(&j);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    fv_halo_job j;

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(fv_halo_job_init(y, true, &j));
    FV_TRY(fv_grad_narrow(y, dy, y->dtype, &j.dy));
    j.dx = dx;
    const int64_t n_tasks = y->shape.dim[0] * j.heads;
    if (dx[2].tree || dx[3].tree) {
        j.partial = fv_tape_scratch(y->tape, n_tasks * 2 * (2 * j.rel.w - 1) * j.dk);
        if (!j.partial) return FV_ERR_NOMEM;
    }
    fv_parallel(n_tasks, fv_halo_backward_task, &j);
    FV_TRY(finish(&j));
    return fv_rel_param_gradient(y, &j.rel, j.heads, j.partial, &dx[2]);
}

/* The position terms count as products with the whole tables. */
static fv_cost cost(const fv_var *y) {
    const fv_halo_args *a = y->attr;
    const double w = (double)(a->block + 2 * a->halo), queries = (double)fv_shape_rows(&y->shape);
    const double hdk = (double)y->in[0]->shape.dim[3], hdv = (double)y->shape.dim[3];
    fv_cost c = fv_cost_elementwise(y);

    c.macs = queries * (w * w * (hdk + hdv) + 2.0 * (2.0 * w - 1.0) * hdk);
    return c;
}

const fv_op fv_op_attention_halo = {.name = "attention_halo",
                                    .arity = 4,
                                    .params = 1u << 2 | 1u << 3,
                                    .reads = FV_READS_IN(0) | FV_READS_IN(1) | FV_READS_IN(2) |
                                             FV_READS_IN(3),
                                    .attr_bytes = sizeof(fv_halo_args),
                                    .shape = shape,
                                    .forward = forward,
                                    .backward = backward,
                                    .relevance = fv_relevance_refused,
                                    .cost = cost};

/* In single ops, once the fused one's shape rule has passed. */
static fv_var *compose(fv_var *q, fv_var *kv, fv_var *height, fv_var *width,
                       const fv_halo_args *a) {
    fv_var probe = {.op = &fv_op_attention_halo, .in = {q, kv, height, width}, .attr = a};
    if (shape(&probe) != FV_OK) /* which fv_apply will say, with the layer */
        return fv_apply(&fv_op_attention_halo, (fv_var *[]){q, kv, height, width}, a);
    const int64_t h = a->heads, B = fv_dim(q, 0), H = fv_dim(q, 1), W = fv_dim(q, 2);
    const int64_t dk = fv_dim(height, 1), dv = fv_shape_last(&probe.shape) / h;
    const int64_t bq = a->block / stride_of(a), w = a->block + 2 * a->halo;
    const float scale = (float)(1.0 / sqrt((double)dk));

    fv_attention_parts p = {
        .q = fv_halo_gather(q, bq, 0, h, 0, dk),                /* [B,h,n,bq^2,dk] */
        .k = fv_halo_gather(kv, a->block, a->halo, h, 0, dk),   /* [B,h,n,w^2,dk] */
        .v = fv_halo_gather(kv, a->block, a->halo, h, dk, dv)}; /* [B,h,n,w^2,dv] */
    p.logits = fv_add(fv_scale(fv_matmul_nt(p.q, p.k), scale),
                      fv_rel_logits(p.q, height, width, bq, w));              /* [B,h,n,bq^2,w^2] */
    fv_var *y = fv_attention_mix(&p);                                         /* [B,h,n,bq^2,dv] */
    y = fv_heads_merge(fv_reshape(y, fv_shape_of(4, B, h, H * W, dv)));       /* [B,n bq^2,h dv] */
    y = fv_reshape(y, fv_shape_of(4, B, H / bq * (W / bq), bq * bq, h * dv)); /* [B,n,bq^2,h dv] */
    return fv_window_merge(y, bq, bq, H, W);                                  /* [B,H,W,h dv] */
}

fv_var *fv_attention_halo(fv_var *q, fv_var *kv, fv_var *height, fv_var *width,
                          const fv_halo_args *args) {
    if (q->tape->step.mode == FV_EXPLAIN) return compose(q, kv, height, width, args);
    return fv_apply(&fv_op_attention_halo, (fv_var *[]){q, kv, height, width}, args);
}
