/* op_rel_logits.c - the position terms of halo attention (Vaswani et al. 2021; Shaw et al. 2018), f32:
 * q [B,h,n,bq^2,dk] and the tables height, width [2w-1,dk], parameters -> y [B,h,n,bq^2,w^2],
 *     y[i j, y x] = q_ij . height[y - i + w - 1] + q_ij . width[x - j + w - 1].
 * One product R = q T^T with both tables holds all terms (halo.h); dR = sums of dy, dq = dR T, dT = dR^T q,
 * the latter per sample and head, blocks in order. */
#include "core/backend/backend.h"
#include "core/ops/halo.h"
#include "core/ops/param_sum.h"
#include "core/ops/row.h"

#include <stdatomic.h>
#include <string.h>

typedef struct rel_attr {
    int64_t bq, w;
} rel_attr;

static fv_status shape(fv_var *y) {
    const rel_attr *a = y->attr;
    const fv_shape *q = &y->in[0]->shape;
    char qs[FV_SHAPE_TEXT], ts[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], false));
    if (q->rank != 5 || a->bq < 1 || a->w < a->bq || q->dim[3] != a->bq * a->bq || q->dim[4] < 1)
        return FV_FAIL(FV_ERR_SHAPE, "rel_logits: %s are not queries of %d x %d, window %d",
                       fv_shape_text(q, qs), (int)a->bq, (int)a->bq, (int)a->w);
    for (int i = 1; i <= 2; i++) {
        const fv_shape *t = &y->in[i]->shape;
        if (t->rank != 2 || t->dim[0] != 2 * a->w - 1 || t->dim[1] != q->dim[4])
            return FV_FAIL(FV_ERR_SHAPE, "rel_logits: table %s does not fit queries %s, window %d",
                           fv_shape_text(t, ts), fv_shape_text(q, qs), (int)a->w);
    }
    y->shape = *q;
    y->shape.dim[4] = a->w * a->w;
    y->dtype = FV_F32;
    return FV_OK;
}

typedef struct job {
    const fv_var *y;
    const float *dy;
    const fv_grad *dx;
    fv_rel g;
    int64_t n, queries, keys; /* blocks; queries and keys of a block */
    float *T;                 /* [2P,dk] */
    float *partial;           /* [B h][2][2w-1,dk], NULL when not wanted */
    const fv_gemm_plan *terms, *d_query, *d_table;
    atomic_int failed;
} job;

static fv_status find(const fv_gemm_plan **plan, int64_t m, int64_t n, int64_t k, int trans_a,
                      int trans_b, int accumulate) {
    fv_gemm d;
    memset(&d, 0, sizeof d);
    d.m = m;
    d.n = n;
    d.k = k;
    d.lda = trans_a ? m : k;
    d.ldb = trans_b ? k : n;
    d.ldc = n;
    d.trans_a = trans_a;
    d.trans_b = trans_b;
    d.accumulate = accumulate;
    d.ab = d.c = FV_F32;
    return fv_backend()->gemm_find(&d, plan);
}

static fv_status make_job(const fv_var *y, job *j) {
    const rel_attr *a = y->attr;
    const fv_shape *q = &y->in[0]->shape;

    *j = (job){.y = y, .n = q->dim[2], .queries = q->dim[3], .keys = y->shape.dim[4]};
    j->g = fv_rel_of(a->bq, a->w, q->dim[4]);
    j->T = fv_tape_scratch(y->tape, 2 * j->g.P * j->g.dk);
    if (!j->T) return FV_ERR_NOMEM;
    fv_rel_pack(&j->g, y->in[1]->data, y->in[2]->data, FV_F32, j->T);
    return FV_OK;
}

static void run(job *j, const fv_gemm_plan *plan, const void *a, const void *b, void *c) {
    if (fv_backend()->gemm_run(plan, a, b, NULL, c) != FV_OK) atomic_store(&j->failed, 1);
}

static fv_status finish(job *j) {
    return atomic_load(&j->failed) ? FV_FAIL(FV_ERR_BACKEND, "rel_logits: a product failed")
                                   : FV_OK;
}

static void forward_block(int64_t task, void *arg) {
    job *j = arg;
    float *R = fv_scratch((size_t)(j->queries * 2 * j->g.P) * sizeof(float));
    float *out = (float *)j->y->data + task * j->queries * j->keys;

    run(j, j->terms, (const float *)j->y->in[0]->data + task * j->queries * j->g.dk, j->T, R);
    memset(out, 0, (size_t)(j->queries * j->keys) * sizeof *out);
    fv_rel_add(&j->g, R, out);
}

static fv_status forward(fv_var *y) {
    job j;

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(make_job(y, &j));
    FV_TRY(fv_scratch_reserve((size_t)(j.queries * 2 * j.g.P) * sizeof(float)));
    FV_TRY(find(&j.terms, j.queries, 2 * j.g.P, j.g.dk, 0, 1, 0));
    fv_parallel(y->shape.dim[0] * y->shape.dim[1] * j.n, forward_block, &j);
    return finish(&j);
}

static int64_t backward_floats(const job *j) {
    return j->queries * (2 * j->g.P + j->g.dk) + 2 * j->g.P * j->g.dk;
}

/* One sample and head. */
static void backward_head(int64_t task, void *arg) {
    job *j = arg;
    const int64_t rows = j->queries * j->g.dk;
    float *dR = fv_scratch((size_t)backward_floats(j) * sizeof(float));
    float *dq = dR + j->queries * 2 * j->g.P, *dT = dq + rows;

    memset(dT, 0, (size_t)(2 * j->g.P * j->g.dk) * sizeof *dT);
    for (int64_t block = task * j->n; block < (task + 1) * j->n; block++) {
        fv_rel_sum(&j->g, j->dy + block * j->queries * j->keys, dR);
        if (j->partial) run(j, j->d_table, dR, (const float *)j->y->in[0]->data + block * rows, dT);
        if (!j->dx[0].data) continue;
        run(j, j->d_query, dR, j->T, dq);
        fv_grad_store(&j->dx[0], block * rows, rows, dq);
    }
    if (j->partial) fv_rel_unpack(&j->g, dT, j->partial + task * 2 * (2 * j->g.w - 1) * j->g.dk);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    const int64_t heads = y->shape.dim[1], n_tasks = y->shape.dim[0] * heads;
    job j;

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(make_job(y, &j));
    j.dy = dy->data;
    j.dx = dx;
    if (dx[1].tree || dx[2].tree) {
        j.partial = fv_tape_scratch(y->tape, n_tasks * 2 * (2 * j.g.w - 1) * j.g.dk);
        if (!j.partial) return FV_ERR_NOMEM;
    }
    FV_TRY(fv_scratch_reserve((size_t)backward_floats(&j) * sizeof(float)));
    FV_TRY(find(&j.d_query, j.queries, j.g.dk, 2 * j.g.P, 0, 0, 0));
    FV_TRY(find(&j.d_table, 2 * j.g.P, j.g.dk, j.queries, 1, 0, 1));
    fv_parallel(n_tasks, backward_head, &j);
    FV_TRY(finish(&j));
    return fv_rel_param_gradient(y, &j.g, heads, j.partial, &dx[1]);
}

static fv_cost cost(const fv_var *y) {
    const rel_attr *a = y->attr;
    const fv_shape *q = &y->in[0]->shape;
    fv_cost c = fv_cost_elementwise(y);
    c.macs = (double)fv_shape_numel(q) * 2.0 * (double)(2 * a->w - 1); /* as whole tables */
    return c;
}

/* The tables are constants, q takes all. */
const fv_op fv_op_rel_logits = {.name = "rel_logits",
                                .arity = 3,
                                .params = 1u << 1 | 1u << 2,
                                .reads = FV_READS_IN(0) | FV_READS_IN(1) | FV_READS_IN(2),
                                .attr_bytes = sizeof(rel_attr),
                                .shape = shape,
                                .forward = forward,
                                .backward = backward,
                                .relevance = fv_relevance_epsilon,
                                .cost = cost};

fv_var *fv_rel_logits(fv_var *q, fv_var *height, fv_var *width, int64_t bq, int64_t w) {
    return fv_apply(&fv_op_rel_logits, (fv_var *[]){q, height, width}, &(rel_attr){bq, w});
}
