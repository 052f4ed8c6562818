/* op_channel_attention.c - attention between channels (Ding et al. 2022, DaViT, eq. 5).
 *
 * qkv [B,N,3C] (q, k, v blocks of C = g d; group a owns channels [a d, (a+1) d)) -> y [B,N,C]:
 *     S = l^T r  [d,d],  A = softmax_rows(scale S),  y_t = A m_t        per sample and group,
 * with (l, r, m) = (k, v, q) in the released DaViT and (q, k, v) in Florence-2's form.  S sums over
 * tokens; a group is one task, its A is saved in the product dtype.
 *     dA = dy^T m;  dS = scale A (dA - rowsum(dA A));  dm = dy A;  dl = r dS^T;  dr = l dS.
 * The composed form of the builder below is the oracle in tests and what FV_EXPLAIN uses. */
#include "core/arena.h"
#include "core/backend/backend.h"
#include "core/ops/row.h"
#include "core/ops/softmax_rows.h"
#include "core/tape_internal.h"

#include <stdatomic.h>
#include <string.h>

typedef struct channel_attr {
    int64_t groups;
    float scale;
    fv_channel_roles roles;
} channel_attr;

/* Blocks of qkv that are l, r and m. */
static const int parts_of[][3] = {[FV_CHANNEL_KV] = {1, 2, 0}, [FV_CHANNEL_QK] = {0, 1, 2}};

static fv_status shape(fv_var *y) {
    const channel_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 3 || a->groups < 1 || x->dim[2] < 1 || x->dim[2] % (3 * a->groups))
        return FV_FAIL(FV_ERR_SHAPE,
                       "channel_attention: %s is not [B,N,3C] with C a multiple of %d groups",
                       fv_shape_text(x, text), (int)a->groups);
    const int64_t C = x->dim[2] / 3, d = C / a->groups;
    y->shape = fv_shape_of(3, x->dim[0], x->dim[1], C);
    y->dtype = y->in[0]->dtype;
    y->n_saved = 1;
    y->saved[0] = (fv_tensor){NULL, y->dtype, fv_shape_of(4, x->dim[0], a->groups, d, d)};
    return FV_OK;
}

typedef struct job {
    const fv_var *y;
    const void *dy;
    fv_grad *dx;
    int64_t N, C, d, groups;
    float scale;
    const int *part;
    fv_dtype dtype; /* of qkv, y, A and the products */
    const fv_gemm_plan *scores, *output;
    const fv_gemm_plan *d_probs, *d_left, *d_right, *d_mixed;
    atomic_int failed;
} job;

static job make_job(const fv_var *y) {
    const channel_attr *a = y->attr;
    const int64_t C = y->shape.dim[2];
    return (job){.y = y,
                 .N = y->shape.dim[1],
                 .C = C,
                 .d = C / a->groups,
                 .groups = a->groups,
                 .scale = a->scale,
                 .part = parts_of[a->roles],
                 .dtype = y->dtype};
}

/* One product of the job; lda and so on are row lengths in memory. */
typedef struct product {
    int64_t m, n, k, lda, ldb, ldc;
    int32_t trans_a, trans_b, accumulate;
    fv_dtype c;
} product;

static fv_status find(const job *j, product p, const fv_gemm_plan **plan) {
    fv_gemm g;
    memset(&g, 0, sizeof g);
    g.m = p.m;
    g.n = p.n;
    g.k = p.k;
    g.lda = p.lda;
    g.ldb = p.ldb;
    g.ldc = p.ldc;
    g.trans_a = p.trans_a;
    g.trans_b = p.trans_b;
    g.accumulate = p.accumulate;
    g.ab = j->dtype;
    g.c = p.c;
    return fv_backend()->gemm_find(&g, plan);
}

static void *at(fv_dtype dtype, const void *base, int64_t i) {
    return (char *)(uintptr_t)base + i * (int64_t)fv_dtype_bytes(dtype);
}

static void run(job *j, const fv_gemm_plan *plan, const void *a, const void *b, void *c) {
    if (fv_backend()->gemm_run(plan, a, b, NULL, c) != FV_OK) atomic_store(&j->failed, 1);
}

/* First element of a block of qkv, and of its gradient, for a task. */
static int64_t part_at(const job *j, int64_t task, int role) {
    const int64_t b = task / j->groups, group = task % j->groups;
    return (b * j->N * 3 + j->part[role]) * j->C + group * j->d;
}

static int64_t output_at(const job *j, int64_t task) {
    return task / j->groups * j->N * j->C + task % j->groups * j->d;
}

static const void *operand(const job *j, int64_t task, int role) {
    return at(j->dtype, j->y->in[0]->data, part_at(j, task, role));
}

static void forward_group(int64_t task, void *arg) {
    job *j = arg;
    const int64_t d = j->d;
    void *probs = at(j->dtype, j->y->saved[0].data, task * d * d);
    float *scores = j->dtype == FV_F32 ? probs : fv_scratch((size_t)(d * d) * sizeof(float));

    run(j, j->scores, operand(j, task, 0), operand(j, task, 1), scores);
    fv_softmax_rows(d, d, d, j->scale, scores, j->dtype == FV_BF16 ? probs : NULL, NULL);
    run(j, j->output, operand(j, task, 2), probs, at(j->dtype, j->y->data, output_at(j, task)));
}

static fv_status finish(job *j) {
    return atomic_load(&j->failed) ? FV_FAIL(FV_ERR_BACKEND, "channel_attention: a product failed")
                                   : FV_OK;
}

static fv_status forward(fv_var *y) {
    job j = make_job(y);
    const int64_t N = j.N, C = j.C, d = j.d;

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(fv_scratch_reserve((size_t)(d * d) * sizeof(float)));
    FV_TRY(find(&j, (product){d, d, N, 3 * C, 3 * C, d, .trans_a = 1, .c = FV_F32}, &j.scores));
    FV_TRY(find(&j, (product){N, d, d, 3 * C, d, C, .trans_b = 1, .c = j.dtype}, &j.output));
    fv_parallel(y->shape.dim[0] * j.groups, forward_group, &j);
    return finish(&j);
}

/* dS from dA (in place), both [d,d]; a bf16 job gets its copy behind them. */
static const void *scores_gradient(const job *j, int64_t task, float *d_probs) {
    const int64_t d = j->d;
    const fv_kernels *k = fv_kernel();
    float *row = d_probs + d * d;
    fv_bf16 *narrow = (fv_bf16 *)(row + d);

    for (int64_t c = 0; c < d; c++) {
        const float *a = fv_row_read(j->y->saved[0].data, j->dtype, (task * d + c) * d, d, row);
        float *da = d_probs + c * d;
        k->softmax_backward(d, j->scale, a, da, k->dot(d, a, da), da);
    }
    if (j->dtype == FV_F32) return d_probs;
    k->to_bf16(d * d, d_probs, narrow);
    return narrow;
}

static void backward_group(int64_t task, void *arg) {
    job *j = arg;
    const int64_t d = j->d;
    const fv_grad *dx = j->dx;
    const void *dy = at(j->dtype, j->dy, output_at(j, task));
    const void *probs = at(j->dtype, j->y->saved[0].data, task * d * d);
    float *d_probs = fv_scratch((size_t)(2 * d * d + d) * sizeof(float));

    run(j, j->d_probs, dy, operand(j, task, 2), d_probs);
    const void *d_scores = scores_gradient(j, task, d_probs);
    run(j, j->d_left, operand(j, task, 1), d_scores, at(dx->dtype, dx->data, part_at(j, task, 0)));
    run(j, j->d_right, operand(j, task, 0), d_scores, at(dx->dtype, dx->data, part_at(j, task, 1)));
    run(j, j->d_mixed, dy, probs, at(dx->dtype, dx->data, part_at(j, task, 2)));
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    job j = make_job(y);
    const int64_t N = j.N, C = j.C, d = j.d;
    const int32_t add = dx[0].add;
    const fv_dtype out = dx[0].dtype;

    if (!dx[0].data || fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(fv_grad_narrow(y, dy, j.dtype, &j.dy));
    j.dx = dx;
    FV_TRY(fv_scratch_reserve((size_t)(2 * d * d + d) * sizeof(float)));
    FV_TRY(find(&j, (product){d, d, N, C, 3 * C, d, .trans_a = 1, .c = FV_F32}, &j.d_probs));
    FV_TRY(find(&j, (product){N, d, d, 3 * C, d, 3 * C, 0, 1, add, out}, &j.d_left));
    FV_TRY(find(&j, (product){N, d, d, 3 * C, d, 3 * C, 0, 0, add, out}, &j.d_right));
    FV_TRY(find(&j, (product){N, d, d, C, d, 3 * C, 0, 0, add, out}, &j.d_mixed));
    fv_parallel(y->shape.dim[0] * j.groups, backward_group, &j);
    return finish(&j);
}

static fv_cost cost(const fv_var *y) {
    const double out = (double)fv_shape_numel(&y->shape), d = (double)fv_dim(y, 2);
    const double groups = (double)((const channel_attr *)y->attr)->groups;
    return (fv_cost){2.0 * out * d / groups, 4.0 * out * (double)fv_dtype_bytes(y->dtype)};
}

const fv_op fv_op_channel_attention = {.name = "channel_attention",
                                       .arity = 1,
                                       .reads = FV_READS_IN(0),
                                       .attr_bytes = sizeof(channel_attr),
                                       .shape = shape,
                                       .forward = forward,
                                       .backward = backward,
                                       .relevance = fv_relevance_refused,
                                       .cost = cost};

fv_var *fv_channel_attention(fv_var *qkv, int64_t groups, float scale, fv_channel_roles roles) {
    fv_tape *tape = qkv->tape;
    const int *part = parts_of[roles];
    const fv_shape *s = &qkv->shape;

    if (scale == 0.0f && s->rank == 3 && groups > 0) {
        const double d = (double)s->dim[2] / (3.0 * (double)groups), N = (double)s->dim[1];
        scale = (float)(1.0 / sqrt(roles == FV_CHANNEL_KV ? d : N));
    }
    if (tape->step.mode != FV_EXPLAIN)
        return fv_apply(&fv_op_channel_attention, (fv_var *[]){qkv},
                        &(channel_attr){groups, scale, roles});
    static const char *const names[] = {"queries", "keys", "values"};
    fv_var *of[3]; /* q, k and v [B,g,N,d] */
    for (int i = 0; i < 3; i++) of[i] = fv_tap_part(fv_heads_split(qkv, groups, i, 3), names[i]);
    fv_var *logits = fv_scale(fv_matmul_tn(of[part[0]], of[part[1]]), scale); /* [B,g,d,d] */
    fv_var *a = fv_softmax(fv_tap_part(logits, "channel_logits"));            /* [B,g,d,d] */
    fv_var *y = fv_matmul_nt(of[part[2]], fv_tap_part(a, "channel_weights")); /* [B,g,N,d] */
    return fv_heads_merge(fv_tap_part(y, "mixed"));                           /* [B,N,C] */
}
