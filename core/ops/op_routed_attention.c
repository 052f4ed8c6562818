/* op_routed_attention.c - attention of each region to the regions chosen for it (bi-level routing
 * attention, Zhu et al. 2023, eqs. 5 and 6), over packed projections.
 *
 * qkv [B,R,n,3C] (q, k, v blocks of C = h d; head a owns channels [a d, (a+1) d)), index [B,R,K] i32 ->
 * y [B,R,n,C].  For each region r, K_r and V_r are the rows of the regions index[r], behind those of the
 * prefix [B,P,3C] where there is one, P + K n in all:
 *     S = q_r K_r^T,  P = softmax_rows(scale S),  y_r = P V_r    per sample and head.
 * One task per sample and head, which packs K_r and V_r region by region; nothing of the size of the
 * gathered map exists.  Saved: L_i = log sum_j exp(scale S_ij), from which backward recomputes P.
 *     D_i = sum_c dy_ic y_ic;  dS = scale P (dP - D), dP = dy V_r^T;
 *     dq_r = dS K_r;  dK_r = dS^T q_r and dV_r = P^T dy are added to the rows they came from, in the
 * order of r, then of the index.  Queries of the prefix have no part in it.
 * The composed form of the builder below is the oracle in tests and what FV_EXPLAIN uses. */
#include "core/arena.h"
#include "core/backend/backend.h"
#include "core/ops/row.h"
#include "core/tape_internal.h"

#include <stdatomic.h>
#include <string.h>

typedef struct routed_attr {
    int64_t heads;
    float scale;
} routed_attr;

static fv_status check_prefix(const fv_var *y) {
    const fv_shape *x = &y->in[0]->shape, *p = &y->in[2]->shape;
    char xs[FV_SHAPE_TEXT], ps[FV_SHAPE_TEXT];

    if (p->rank != 3 || p->dim[0] != x->dim[0] || p->dim[2] != x->dim[3])
        return FV_FAIL(FV_ERR_SHAPE, "routed_attention: prefix %s does not fit %s",
                       fv_shape_text(p, ps), fv_shape_text(x, xs));
    if (y->in[2]->dtype != y->in[0]->dtype)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "routed_attention: prefix and regions differ in type");
    return FV_OK;
}

static fv_status shape(fv_var *y) {
    const routed_attr *a = y->attr;
    const fv_shape *x = &y->in[0]->shape, *index = &y->in[1]->shape;
    char xs[FV_SHAPE_TEXT], is[FV_SHAPE_TEXT];

    FV_TRY(fv_check_dtype(y, y->in[0], true));
    if (x->rank != 4 || a->heads < 1 || x->dim[3] % (3 * a->heads))
        return FV_FAIL(FV_ERR_SHAPE,
                       "routed_attention: %s is not [B,R,n,3C] with C a multiple of %d heads",
                       fv_shape_text(x, xs), (int)a->heads);
    if (y->in[1]->dtype != FV_I32 || index->rank != 3 || index->dim[0] != x->dim[0] ||
        index->dim[1] != x->dim[1] || index->dim[2] < 1)
        return FV_FAIL(FV_ERR_SHAPE, "routed_attention: index %s does not fit %s",
                       fv_shape_text(index, is), fv_shape_text(x, xs));
    if (y->in[2]) FV_TRY(check_prefix(y));
    y->shape = fv_shape_of(4, x->dim[0], x->dim[1], x->dim[2], x->dim[3] / 3);
    y->dtype = y->in[0]->dtype;
    y->n_saved = 1;
    y->saved[0] =
        (fv_tensor){NULL, FV_F32, fv_shape_of(4, x->dim[0], a->heads, x->dim[1], x->dim[2])};
    return FV_OK;
}

typedef struct job {
    const fv_var *y;
    const fv_tensor *dy;
    fv_grad *dx;
    const int32_t *index;
    int64_t R, n, C, d, heads, K, P, keys; /* P: prefix tokens; keys = P + K n */
    float scale;
    fv_dtype dtype; /* of qkv, y and the products */
    size_t scratch_bytes;
    const fv_gemm_plan *scores;  /* S[n,keys] = q K^T */
    const fv_gemm_plan *output;  /* y[n,d] = P V */
    const fv_gemm_plan *d_probs; /* dP[n,keys] = dy V^T */
    const fv_gemm_plan *d_query; /* dq[n,d] = dS K */
    const fv_gemm_plan *d_key;   /* [keys,d] = dS^T q */
    const fv_gemm_plan *d_value; /* [keys,d] = P^T dy */
    atomic_int failed;
} job;

static job make_job(const fv_var *y) {
    const routed_attr *a = y->attr;
    const int64_t n = y->shape.dim[2], C = y->shape.dim[3], K = y->in[1]->shape.dim[2];
    const int64_t P = y->in[2] ? y->in[2]->shape.dim[1] : 0;
    return (job){.y = y,
                 .index = y->in[1]->data,
                 .R = y->shape.dim[1],
                 .n = n,
                 .C = C,
                 .d = C / a->heads,
                 .heads = a->heads,
                 .K = K,
                 .P = P,
                 .keys = P + K * n,
                 .scale = a->scale,
                 .dtype = y->dtype};
}

static fv_status find(const fv_gemm_plan **plan, const job *j, int64_t m, int64_t n, int64_t k,
                      int64_t lda, int64_t ldb, int64_t ldc, int trans_a, int trans_b, fv_dtype c) {
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
    g.ab = j->dtype;
    g.c = c;
    return fv_backend()->gemm_find(&g, plan);
}

static fv_status find_plans(job *j, bool backward) {
    const int64_t n = j->n, d = j->d, C = j->C, wide = 3 * C, keys = j->keys;

    FV_TRY(find(&j->scores, j, n, keys, d, wide, d, keys, 0, 1, FV_F32));
    if (!backward) return find(&j->output, j, n, d, keys, keys, d, C, 0, 0, j->dtype);
    FV_TRY(find(&j->d_probs, j, n, keys, d, C, d, keys, 0, 1, FV_F32));
    FV_TRY(find(&j->d_query, j, n, d, keys, keys, d, d, 0, 0, FV_F32));
    FV_TRY(find(&j->d_key, j, keys, d, n, keys, wide, d, 1, 0, FV_F32));
    return find(&j->d_value, j, keys, d, n, keys, C, d, 1, 0, FV_F32);
}

/* Element i of a tensor of the product dtype. */
static void *at(const job *j, const void *base, int64_t i) {
    return (char *)base + i * (int64_t)fv_dtype_bytes(j->dtype);
}

static void run(job *j, const fv_gemm_plan *plan, const void *a, const void *b, void *c) {
    if (fv_backend()->gemm_run(plan, a, b, NULL, c) != FV_OK) atomic_store(&j->failed, 1);
}

typedef struct head_scratch {
    void *key, *value;            /* [keys,d], product dtype */
    float *probs, *d_probs;       /* [n,keys] */
    fv_bf16 *probs16, *d_probs16; /* [n,keys], bf16 products */
    float *dq, *d_packed;         /* [n,d], [keys,d] */
    float *dk, *dv;               /* [P + R n,d]: prefix, regions */
    float *rows;                  /* [2d] */
} head_scratch;

/* The next n floats of base, which may be NULL. */
static void *take(float *base, int64_t *used, int64_t n) {
    float *piece = base ? base + *used : NULL;
    *used += (n + 15) / 16 * 16;
    return piece;
}

/* Returns the floats needed. */
static int64_t carve(const job *j, float *base, head_scratch *s) {
    const int64_t packed = j->keys * j->d, scores = j->n * j->keys,
                  rows = (j->P + j->R * j->n) * j->d;
    int64_t used = 0;

    s->key = take(base, &used, packed);
    s->value = take(base, &used, packed);
    s->probs = take(base, &used, scores);
    s->probs16 = take(base, &used, (scores + 1) / 2);
    if (!j->dy) return used;
    s->d_probs = take(base, &used, scores);
    s->d_probs16 = take(base, &used, (scores + 1) / 2);
    s->dq = take(base, &used, j->n * j->d);
    s->d_packed = take(base, &used, packed);
    s->dk = take(base, &used, rows);
    s->dv = take(base, &used, rows);
    s->rows = take(base, &used, 2 * j->d);
    return used;
}

/* One head's row of part 0, 1 or 2 (q, k, v) of a packed projection. */
static int64_t row_at(const job *j, int64_t row, int64_t part, int64_t head) {
    return (row * 3 + part) * j->C + head * j->d;
}

/* Rows of keys (part 1) or values (part 2) of the prefix and of the regions chosen for region r of
 * sample b. */
static void pack(const job *j, int64_t b, int64_t r, int64_t head, int64_t part, void *to) {
    const int32_t *chosen = j->index + (b * j->R + r) * j->K;
    const size_t row_bytes = (size_t)j->d * fv_dtype_bytes(j->dtype);

    for (int64_t i = 0; i < j->P; i++)
        memcpy(at(j, to, i * j->d), at(j, j->y->in[2]->data, row_at(j, b * j->P + i, part, head)),
               row_bytes);
    to = at(j, to, j->P * j->d);
    for (int64_t k = 0; k < j->K; k++)
        for (int64_t i = 0; i < j->n; i++) {
            const int64_t row = (b * j->R + chosen[k]) * j->n + i;
            memcpy(at(j, to, (k * j->n + i) * j->d),
                   at(j, j->y->in[0]->data, row_at(j, row, part, head)), row_bytes);
        }
}

/* The row of n keys in the product dtype: itself, or a bf16 copy. */
static void narrow_row(const job *j, const float *row, fv_bf16 *narrow, int64_t i) {
    if (j->dtype == FV_BF16) fv_kernel()->to_bf16(j->keys, row, narrow + i * j->keys);
}

/* Sample, head and the first row of the log-sum-exp of a task. */
typedef struct place {
    int64_t b, head;
    float *lse; /* [R n] */
} place;

static place place_of(const job *j, int64_t task) {
    return (place){task / j->heads, task % j->heads,
                   (float *)j->y->saved[0].data + task * j->R * j->n};
}

static void forward_head(int64_t task, void *arg) {
    job *j = arg;
    const place p = place_of(j, task);
    const void *qkv = j->y->in[0]->data;
    head_scratch s = {0};

    carve(j, fv_scratch(j->scratch_bytes), &s);
    for (int64_t r = 0; r < j->R; r++) {
        const int64_t row = (p.b * j->R + r) * j->n;
        pack(j, p.b, r, p.head, 1, s.key);
        pack(j, p.b, r, p.head, 2, s.value);
        run(j, j->scores, at(j, qkv, row_at(j, row, 0, p.head)), s.key, s.probs);
        for (int64_t i = 0; i < j->n; i++) {
            float *probs = s.probs + i * j->keys;
            fv_kernel()->softmax(j->keys, j->scale, probs, probs, &p.lse[r * j->n + i]);
            narrow_row(j, probs, s.probs16, i);
        }
        run(j, j->output, j->dtype == FV_BF16 ? (void *)s.probs16 : (void *)s.probs, s.value,
            at(j, j->y->data, row * j->C + p.head * j->d));
    }
}

static fv_status start(job *j) {
    head_scratch s = {0};

    j->scratch_bytes = (size_t)carve(j, NULL, &s) * sizeof(float);
    FV_TRY(fv_scratch_reserve(j->scratch_bytes));
    return find_plans(j, j->dy != NULL);
}

static fv_status finish(job *j) {
    return atomic_load(&j->failed) ? FV_FAIL(FV_ERR_BACKEND, "routed_attention: a product failed")
                                   : FV_OK;
}

static fv_status check_index(const fv_var *y) {
    const int32_t *index = y->in[1]->data;
    const int64_t R = y->shape.dim[1], n = fv_shape_numel(&y->in[1]->shape);

    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= R)
            return FV_FAIL(FV_ERR_FORMAT, "%s: region %d is not in 0..%d", y->op->name,
                           (int)index[i], (int)R - 1);
    return FV_OK;
}

static fv_status forward(fv_var *y) {
    job j = make_job(y);

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(check_index(y));
    FV_TRY(start(&j));
    fv_parallel(y->shape.dim[0] * j.heads, forward_head, &j);
    return finish(&j);
}

/* dot of one head's rows of dy and y, in f32 */
static float row_dot(const job *j, int64_t i, float *buffer) {
    const float *y = fv_row_read(j->y->data, j->dtype, i, j->d, buffer);
    const float *dy = fv_row_read(j->dy->data, j->dtype, i, j->d, buffer + j->d);
    return fv_kernel()->dot(j->d, y, dy);
}

/* P and dS of a region, in the product dtype, from S and dP; first: of the region's row of y. */
static void region_gradients(const job *j, const head_scratch *s, int64_t first, const float *lse) {
    const fv_kernels *k = fv_kernel();

    for (int64_t i = 0; i < j->n; i++) {
        float *p = s->probs + i * j->keys, *dp = s->d_probs + i * j->keys;
        const float delta = row_dot(j, first + i * j->C, s->rows);
        k->softmax_from_lse(j->keys, j->scale, p, lse[i], p);
        k->softmax_backward(j->keys, j->scale, p, dp, delta, dp);
        narrow_row(j, p, s->probs16, i);
        narrow_row(j, dp, s->d_probs16, i);
    }
}

/* Adds the packed gradient [keys,d] to the rows it belongs to. */
static void scatter(const job *j, const int32_t *chosen, const float *packed, float *rows) {
    const int64_t size = j->n * j->d, prefix = j->P * j->d;

    if (prefix) fv_kernel()->axpy(prefix, 1.0f, packed, rows);
    packed += prefix;
    rows += prefix;
    for (int64_t k = 0; k < j->K; k++)
        fv_kernel()->axpy(size, 1.0f, packed + k * size, rows + chosen[k] * size);
}

static void backward_region(job *j, const head_scratch *s, const place *p, int64_t r) {
    const int64_t row = (p->b * j->R + r) * j->n;
    const int64_t first = row * j->C + p->head * j->d, q_at = row_at(j, row, 0, p->head);
    const int32_t *chosen = j->index + (p->b * j->R + r) * j->K;
    const void *q = at(j, j->y->in[0]->data, q_at), *dy = at(j, j->dy->data, first);
    const void *probs = j->dtype == FV_BF16 ? (void *)s->probs16 : (void *)s->probs;
    const void *d_probs = j->dtype == FV_BF16 ? (void *)s->d_probs16 : (void *)s->d_probs;

    pack(j, p->b, r, p->head, 1, s->key);
    pack(j, p->b, r, p->head, 2, s->value);
    run(j, j->scores, q, s->key, s->probs);
    run(j, j->d_probs, dy, s->value, s->d_probs);
    region_gradients(j, s, first, p->lse + r * j->n);
    run(j, j->d_query, d_probs, s->key, s->dq);
    run(j, j->d_key, d_probs, q, s->d_packed);
    scatter(j, chosen, s->d_packed, s->dk);
    run(j, j->d_value, probs, dy, s->d_packed);
    scatter(j, chosen, s->d_packed, s->dv);
    for (int64_t i = 0; j->dx[0].data && i < j->n; i++)
        fv_grad_store(&j->dx[0], q_at + i * 3 * j->C, j->d, s->dq + i * j->d);
}

/* Gradients of n rows of keys and values, from row `first` of dx on. */
static void store_keys(const job *j, const fv_grad *dx, int64_t first, int64_t n, int64_t head,
                       const float *dk, const float *dv) {
    for (int64_t i = 0; dx->data && i < n; i++) {
        fv_grad_store(dx, row_at(j, first + i, 1, head), j->d, dk + i * j->d);
        fv_grad_store(dx, row_at(j, first + i, 2, head), j->d, dv + i * j->d);
    }
}

static void backward_head(int64_t task, void *arg) {
    job *j = arg;
    const place p = place_of(j, task);
    const int64_t P = j->P, rows = j->R * j->n;
    head_scratch s = {0};

    carve(j, fv_scratch(j->scratch_bytes), &s);
    memset(s.dk, 0, (size_t)((P + rows) * j->d) * sizeof(float));
    memset(s.dv, 0, (size_t)((P + rows) * j->d) * sizeof(float));
    for (int64_t r = 0; r < j->R; r++) backward_region(j, &s, &p, r);
    store_keys(j, &j->dx[0], p.b * rows, rows, p.head, s.dk + P * j->d, s.dv + P * j->d);
    store_keys(j, &j->dx[2], p.b * P, P, p.head, s.dk, s.dv);
    for (int64_t i = 0; j->dx[2].data && i < P; i++)
        fv_grad_zero(&j->dx[2], row_at(j, p.b * P + i, 0, p.head), j->d);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    job j = make_job(y);

    if ((!dx[0].data && !dx[2].data) || fv_shape_numel(&y->shape) == 0) return FV_OK;
    if (dy->dtype != y->dtype)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "routed_attention: a bf16 output needs a single reader");
    j.dy = dy;
    j.dx = dx;
    FV_TRY(start(&j));
    fv_parallel(y->shape.dim[0] * j.heads, backward_head, &j);
    return finish(&j);
}

/* Never on an EXPLAIN tape (the builder composes there). */
static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    (void)ry, (void)rx, (void)rule;
    return FV_FAIL(FV_ERR_INTERNAL, "%s: fused ops have no relevance", y->op->name);
}

static fv_cost cost(const fv_var *y) {
    const int64_t *x = y->shape.dim, keys = make_job(y).keys;
    const double pixels = (double)x[0] * (double)x[1] * (double)x[2], C = (double)x[3];
    return (fv_cost){2.0 * pixels * (double)keys * C,
                     4.0 * pixels * C * (double)fv_dtype_bytes(y->dtype)};
}

const fv_op fv_op_routed_attention = {.name = "routed_attention",
                                      .arity = 3,
                                      .reads = FV_READS_IN(0) | FV_READS_IN(1) | FV_READS_IN(2) |
                                               FV_READS_Y,
                                      .attr_bytes = sizeof(routed_attr),
                                      .shape = shape,
                                      .forward = forward,
                                      .backward = backward,
                                      .relevance = relevance,
                                      .cost = cost};

/* Part `part` of x [B,...,n,3C] for itself, [B,...,n,C]; rank 3 or 4. */
static fv_var *part_of(fv_var *x, int64_t part) {
    fv_var *y = fv_heads_split(x, 1, part, 3); /* [B,...,1,n,C] */
    fv_shape flat = x->shape;
    flat.dim[flat.rank - 1] = fv_dim(y, -1);
    return fv_reshape(y, flat);
}

/* Keys or values of each region, [B,R,P+K n,C]. */
static fv_var *gathered(fv_var *qkv, fv_var *index, fv_var *prefix, int64_t part) {
    fv_var *y = fv_region_gather(part_of(qkv, part), index); /* [B,R,K n,C] */
    return prefix ? fv_join_prefix(part_of(prefix, part), y) : y;
}

fv_var *fv_routed_attention(fv_var *qkv, fv_var *index, fv_var *prefix, int64_t heads,
                            float scale) {
    fv_tape *tape = qkv->tape;

    if (tape->step.mode != FV_EXPLAIN || tape->status != FV_OK)
        return fv_apply(&fv_op_routed_attention, (fv_var *[]){qkv, index, prefix},
                        &(routed_attr){heads, scale});
    fv_var *q = fv_heads_split(qkv, heads, 0, 3);                             /* [B,R,h,n,d] */
    fv_var *k = fv_heads_split(gathered(qkv, index, prefix, 1), heads, 0, 1); /* [B,R,h,M,d] */
    fv_var *v = fv_heads_split(gathered(qkv, index, prefix, 2), heads, 0, 1); /* [B,R,h,M,d] */
    fv_var *a = fv_softmax(fv_scale(fv_matmul_nt(q, k), scale));              /* [B,R,h,n,M] */
    const char *name = fv_arena_printf(&tape->nodes, "%s.attn", tape->scope);
    return fv_heads_merge(fv_matmul(name ? fv_tap(a, name) : a, v)); /* [B,R,n,C] */
}
