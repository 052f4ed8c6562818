/* op_attention.c - multi-head attention over packed projections, of all tokens or inside of windows.
 *
 * qkv [B,N,3C] or [B,nW,N,3C] (q, k, v blocks of C = h d; head a owns channels [a d, (a+1) d)) ->
 * y [B,Q,C] or [B,nW,Q,C], for the Q tokens from `first` on:
 *     S = q k^T,  P = softmax_rows(scale S),  y = P v        per window and head.
 * One task per window and head, tiled over queries so that the scores of a tile stay in cache; they
 * never reach memory.  Saved: L_i = log sum_j exp(scale S_ij), from which backward recomputes P.
 *     dS = scale P (dP - D), dP = dy v^T, D_i = sum_j P_ij dP_ij;
 *     dq = dS k;  dk = dS^T q;  dv = P^T dy     (Dao et al. 2022, section 3.1, appendix B.2).
 * The composed form of the builder below is the oracle in tests and what FV_EXPLAIN uses. */
#include "core/arena.h"
#include "core/backend/backend.h"
#include "core/ops/row.h"
#include "core/ops/softmax_rows.h"
#include "core/prefetch.h"
#include "core/tape_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#define QUERIES_WHOLE 320 /* up to here all queries of a head are one tile */
#define QUERIES       128

typedef struct attention_attr {
    int64_t heads;
    float scale;
    int64_t first, count; /* queries; count 0: all tokens */
} attention_attr;

static fv_status shape(fv_var *y) {
    const attention_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    char text[FV_SHAPE_TEXT];

    if ((x->rank != 3 && x->rank != 4) || a->heads < 1 || fv_shape_last(x) % (3 * a->heads))
        return FV_FAIL(FV_ERR_SHAPE,
                       "attention: %s is not [B,N,3C] or [B,nW,N,3C] with C a multiple of %d heads",
                       fv_shape_text(x, text), (int)a->heads);
    const int64_t N = x->dim[x->rank - 2], windows = x->rank == 4 ? x->dim[1] : 1;
    const int64_t Q = a->count ? a->count : N;
    if (a->first < 0 || Q < 0 || a->first > N - Q)
        return FV_FAIL(FV_ERR_SHAPE, "attention: no %" PRId64 " queries from %" PRId64 " on in %s",
                       Q, a->first, fv_shape_text(x, text));
    y->shape = *x;
    y->shape.dim[x->rank - 2] = Q;
    y->shape.dim[x->rank - 1] = fv_shape_last(x) / 3;
    y->dtype = y->in[0]->dtype;
    y->n_saved = 1;
    y->saved[0] = (fv_tensor){NULL, FV_F32, fv_shape_of(3, x->dim[0], windows * a->heads, Q)};
    return FV_OK;
}

/* The products of one query tile; [1] is the shorter last tile. */
typedef struct plans {
    const fv_gemm_plan *scores[2];  /* S[t,N] = q k^T */
    const fv_gemm_plan *output[2];  /* y[t,d] = P v */
    const fv_gemm_plan *d_probs[2]; /* dP[t,N] = dy v^T */
    const fv_gemm_plan *d_query[2]; /* dq[t,d] = dS k */
    const fv_gemm_plan *d_key[2];   /* [N,d] += dS^T q, or P^T dy (packed rows) */
    const fv_gemm_plan *d_value[2];
} plans;

typedef struct job {
    const fv_var *y;
    const fv_tensor *dy;
    fv_grad *dx;
    int64_t windows;     /* of all samples */
    int64_t N, Q, first; /* keys, queries, the first query's token */
    int64_t C, d, heads, tile;
    int64_t ld; /* between rows of scores: whole cache lines, of bf16 too */
    float scale;
    fv_dtype dtype; /* of qkv, y and the products */
    size_t scratch_bytes;
    plans plan;
    atomic_int failed;
} job;

static fv_status find(const fv_gemm_plan **plan, const job *j, int64_t m, int64_t n, int64_t k,
                      int64_t lda, int64_t ldb, int64_t ldc, int trans_a, int trans_b,
                      int accumulate, fv_dtype c) {
    fv_gemm g;
    memset(&g, 0, sizeof g);
    g.m = m;
    g.n = n;
    g.k = k;
    g.lda = lda;
    g.ldb = ldb;
    g.ldc = ldc;
    g.trans_a = trans_a;
    g.trans_b = trans_b;
    g.accumulate = accumulate;
    g.ab = j->dtype;
    g.c = c;
    return fv_backend()->gemm_find(&g, plan);
}

static fv_status find_plans(job *j, bool backward) {
    const int64_t N = j->N, d = j->d, C = j->C, wide = 3 * C, ld = j->ld;
    const int64_t rest = j->Q % j->tile;

    for (int i = 0; i < (rest ? 2 : 1); i++) {
        const int64_t t = i ? rest : j->tile;
        plans *p = &j->plan;
        FV_TRY(find(&p->scores[i], j, t, N, d, wide, wide, ld, 0, 1, 0, FV_F32));
        if (!backward) {
            FV_TRY(find(&p->output[i], j, t, d, N, ld, wide, C, 0, 0, 0, j->dtype));
            continue;
        }
        FV_TRY(find(&p->d_probs[i], j, t, N, d, C, wide, ld, 0, 1, 0, FV_F32));
        FV_TRY(find(&p->d_query[i], j, t, d, N, ld, wide, d, 0, 0, 0, FV_F32));
        FV_TRY(find(&p->d_key[i], j, N, d, t, ld, wide, d, 1, 0, 1, FV_F32));
        FV_TRY(find(&p->d_value[i], j, N, d, t, ld, C, d, 1, 0, 1, FV_F32));
    }
    return FV_OK;
}

static job make_job(const fv_var *y) {
    const attention_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape;
    const int64_t N = x->dim[x->rank - 2], Q = y->shape.dim[x->rank - 2];
    const int64_t most = N <= QUERIES_WHOLE ? N : QUERIES, C = fv_shape_last(&y->shape);
    return (job){.y = y,
                 .windows = x->dim[0] * (x->rank == 4 ? x->dim[1] : 1),
                 .N = N,
                 .ld = (N + 31) / 32 * 32,
                 .Q = Q,
                 .first = a->first,
                 .C = C,
                 .d = C / a->heads,
                 .heads = a->heads,
                 .scale = a->scale,
                 .tile = Q < most ? Q : most,
                 .dtype = y->dtype};
}

/* Element i of a tensor of the product dtype. */
static void *at(const job *j, const void *base, int64_t i) { return fv_row_at(base, j->dtype, i); }

static void run(job *j, const fv_gemm_plan *plan, const void *a, const void *b, void *c) {
    if (fv_backend()->gemm_run(plan, a, b, NULL, c) != FV_OK) atomic_store(&j->failed, 1);
}

/* A head's part of n rows, `stride` elements apart from element i on, ahead of the products. */
static void fetch(const job *j, const void *base, int64_t i, int64_t n, int64_t stride) {
    for (int64_t r = 0; r < n; r++)
        fv_prefetch(at(j, base, i + r * stride), (size_t)j->d * fv_dtype_bytes(j->dtype));
}

/* Where scores are rounded to: room, for products of bf16. */
static fv_bf16 *narrowed(const job *j, float *room) {
    return j->dtype == FV_BF16 ? (fv_bf16 *)room : NULL;
}

static void forward_head(int64_t task, void *arg) {
    job *j = arg;
    const int64_t b = task / j->heads, head = task % j->heads, wide = 3 * j->C;
    const int64_t base = b * j->N * wide + head * j->d;
    const void *qkv = j->y->in[0]->data;
    const int64_t queries = base + j->first * wide;
    float *lse = (float *)j->y->saved[0].data + task * j->Q;
    float *scores = fv_scratch(j->scratch_bytes);
    fv_bf16 *narrow = narrowed(j, scores + j->tile * j->ld);
    const void *probs = fv_rows_operand(scores, narrow);

    fetch(j, qkv, queries, j->Q, wide); /* not the keys, which are read at once */
    fetch(j, qkv, base + 2 * j->C, j->N, wide);
    for (int64_t i = 0; i < j->Q; i += j->tile) {
        const int64_t t = j->Q - i < j->tile ? j->Q - i : j->tile;
        const int last = t != j->tile;
        run(j, j->plan.scores[last], at(j, qkv, queries + i * wide), at(j, qkv, base + j->C),
            scores);
        fv_softmax_rows(t, j->N, j->ld, j->scale, scores, narrow, lse + i);
        run(j, j->plan.output[last], probs, at(j, qkv, base + 2 * j->C),
            at(j, j->y->data, (b * j->Q + i) * j->C + head * j->d));
    }
}

static fv_status finish(job *j) {
    return atomic_load(&j->failed) ? FV_FAIL(FV_ERR_BACKEND, "attention: a product failed") : FV_OK;
}

static fv_status forward(fv_var *y) {
    job j = make_job(y);

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    j.scratch_bytes = (size_t)(j.tile * j.ld) * (sizeof(float) + sizeof(fv_bf16));
    FV_TRY(fv_scratch_reserve(j.scratch_bytes));
    FV_TRY(find_plans(&j, false));
    fv_parallel(j.windows * j.heads, forward_head, &j);
    return finish(&j);
}

typedef struct head_scratch {
    float *probs, *d_probs;       /* [tile,N] */
    fv_bf16 *probs16, *d_probs16; /* [tile,N], NULL for products of f32 */
    float *dq;                    /* [Q,d] */
    float *dk, *dv;               /* [N,d] */
} head_scratch;

static int64_t carve(const job *j, float *base, head_scratch *s) {
    const int64_t scores = j->tile * j->ld, half = (scores + 1) / 2;
    const int64_t rows = j->N * j->d, queries = j->Q * j->d;

    if (base) {
        s->probs = base;
        s->d_probs = s->probs + scores;
        s->probs16 = narrowed(j, s->d_probs + scores);
        s->d_probs16 = narrowed(j, s->d_probs + scores + half);
        s->dq = s->d_probs + scores + 2 * half;
        s->dk = s->dq + queries;
        s->dv = s->dk + rows;
    }
    return 2 * scores + 2 * half + queries + 2 * rows;
}

/* The gradient of one head's q, k and v: tokens that are no queries get none for q. */
static void store_gradients(const job *j, const head_scratch *s, int64_t base) {
    const int64_t d = j->d, wide = 3 * j->C;

    for (int64_t i = 0; i < j->N; i++) {
        const int64_t query = i - j->first;
        if (query >= 0 && query < j->Q)
            fv_grad_store(j->dx, base + i * wide, d, s->dq + query * d);
        else
            fv_grad_zero(j->dx, base + i * wide, d);
        fv_grad_store(j->dx, base + i * wide + j->C, d, s->dk + i * d);
        fv_grad_store(j->dx, base + i * wide + 2 * j->C, d, s->dv + i * d);
    }
}

static void backward_head(int64_t task, void *arg) {
    job *j = arg;
    const int64_t b = task / j->heads, head = task % j->heads, wide = 3 * j->C;
    const int64_t base = b * j->N * wide + head * j->d;
    const void *qkv = j->y->in[0]->data;
    const float *lse = (const float *)j->y->saved[0].data + task * j->Q;
    head_scratch s = {0};

    carve(j, fv_scratch(j->scratch_bytes), &s);
    const void *probs = fv_rows_operand(s.probs, s.probs16);
    const void *d_probs = fv_rows_operand(s.d_probs, s.d_probs16);
    fetch(j, qkv, base + j->C, j->N, wide);
    fetch(j, qkv, base + j->first * wide, j->Q, wide);
    memset(s.dk, 0, (size_t)(2 * j->N * j->d) * sizeof(float)); /* dk and dv */
    fetch(j, j->dy->data, b * j->Q * j->C + head * j->d, j->Q, j->C);
    fetch(j, qkv, base + 2 * j->C, j->N, wide);
    for (int64_t i = 0; i < j->Q; i += j->tile) {
        const int64_t t = j->Q - i < j->tile ? j->Q - i : j->tile;
        const int64_t row = (b * j->Q + i) * j->C + head * j->d;
        const int last = t != j->tile;
        const void *q = at(j, qkv, base + (j->first + i) * wide), *dy = at(j, j->dy->data, row);
        run(j, j->plan.scores[last], q, at(j, qkv, base + j->C), s.probs);
        run(j, j->plan.d_probs[last], dy, at(j, qkv, base + 2 * j->C), s.d_probs);
        fv_softmax_rows_gradient(t, j->N, j->ld, j->scale, lse + i, s.probs, s.d_probs, s.probs16,
                                 s.d_probs16);
        run(j, j->plan.d_query[last], d_probs, at(j, qkv, base + j->C), s.dq + i * j->d);
        run(j, j->plan.d_key[last], d_probs, q, s.dk);
        run(j, j->plan.d_value[last], probs, dy, s.dv);
    }
    store_gradients(j, &s, base);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    job j = make_job(y);

    if (!dx[0].data || fv_shape_numel(&y->shape) == 0) return FV_OK;
    if (dy->dtype != y->dtype)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "attention: a bf16 output needs a single reader");
    j.dy = dy;
    j.dx = dx;
    j.scratch_bytes = (size_t)carve(&j, NULL, NULL) * sizeof(float);
    FV_TRY(fv_scratch_reserve(j.scratch_bytes));
    FV_TRY(find_plans(&j, true));
    fv_parallel(j.windows * j.heads, backward_head, &j);
    return finish(&j);
}

static fv_cost cost(const fv_var *y) {
    const fv_shape *x = &y->in[0]->shape;
    const double out = (double)fv_shape_numel(&y->shape), in = (double)fv_shape_numel(x);
    const double keys = (double)x->dim[x->rank - 2];
    return (fv_cost){2.0 * out * keys, (in + out) * (double)fv_dtype_bytes(y->dtype)};
}

const fv_op fv_op_attention = {.name = "attention",
                               .arity = 1,
                               .reads = FV_READS_IN(0),
                               .attr_bytes = sizeof(attention_attr),
                               .shape = shape,
                               .forward = forward,
                               .backward = backward,
                               .relevance = fv_relevance_refused,
                               .cost = cost};

fv_var *fv_attention(fv_var *qkv, int64_t heads, float scale) {
    return fv_attention_queries(qkv, heads, scale, 0, 0);
}

fv_var *fv_attention_queries(fv_var *qkv, int64_t heads, float scale, int64_t first,
                             int64_t count) {
    fv_tape *tape = qkv->tape;

    if (tape->step.mode != FV_EXPLAIN)
        return fv_apply(&fv_op_attention, (fv_var *[]){qkv},
                        &(attention_attr){heads, scale, first, count});
    fv_var *of = count ? fv_slice_tokens(qkv, first, count) : qkv; /* [B,(nW,)Q,3C] */
    fv_attention_parts p = {.q = fv_heads_split(of, heads, 0, 3),  /* [B,(nW,)h,Q,d] */
                            .k = fv_heads_split(qkv, heads, 1, 3), /* [B,(nW,)h,N,d] */
                            .v = fv_heads_split(qkv, heads, 2, 3)};
    p.logits = fv_scale(fv_matmul_nt(p.q, p.k), scale); /* [B,(nW,)h,Q,N] */
    return fv_heads_merge(fv_attention_mix(&p));        /* [B,(nW,)Q,C] */
}
