/* op_routed_attention.c - attention of each region to the regions chosen for it (bi-level routing
 * attention, Zhu et al. 2023, eqs. 5 and 6), over packed projections.
 *
 * qkv [B,R,n,3C] (q, k, v blocks of C = h d; head a owns channels [a d, (a+1) d)), index [B,R,K] i32 ->
 * y [B,R,n,C].  For each region r, K_r and V_r are the rows of the regions index[r], behind those of the
 * prefix [B,P,3C] where there is one, P + K n in all:
 *     S = q_r K_r^T,  P = softmax_rows(scale S),  y_r = P V_r    per sample and head.
 * One task per sample and head, which packs K_r and V_r region by region; nothing of the size of the
 * gathered map exists.  Saved: L_i = log sum_j exp(scale S_ij), from which backward recomputes P.
 *     dS = scale P (dP - D), dP = dy V_r^T, D_i = sum_j P_ij dP_ij;
 *     dq_r = dS K_r;  dK_r = dS^T q_r and dV_r = P^T dy are added to the rows they came from, in the
 * order of r, then of the index.  Queries of the prefix have no part in it.
 * Products are small ones (BiFormer's third stage: 4 queries, 64 keys), see small_product.h: in bf16 those with
 * P and dS take them rounded.
 * The composed form of the builder below is the oracle in tests and what FV_EXPLAIN uses. */
#include "core/alloc.h"
#include "core/arena.h"
#include "core/ops/row.h"
#include "core/ops/small_product.h"
#include "core/ops/softmax_rows.h"
#include "core/prefetch.h"
#include "core/tape_internal.h"

#include <string.h>

#define AHEAD 48 /* rows between asking for one and copying it */

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
    int64_t R, n, C, d, heads, K, P, rows, keys; /* rows = P + R n, keys = P + K n */
    float scale;
    fv_dtype type; /* that products take */
    size_t scratch_bytes;
} job;

static job make_job(const fv_var *y) {
    const routed_attr *a = y->attr;
    const int64_t R = y->shape.dim[1], n = y->shape.dim[2], C = y->shape.dim[3];
    const int64_t K = y->in[1]->shape.dim[2], P = y->in[2] ? y->in[2]->shape.dim[1] : 0;
    return (job){.y = y,
                 .index = y->in[1]->data,
                 .R = R,
                 .n = n,
                 .C = C,
                 .d = C / a->heads,
                 .heads = a->heads,
                 .K = K,
                 .P = P,
                 .rows = P + R * n,
                 .keys = P + K * n,
                 .scale = a->scale,
                 .type = fv_small_type(y->dtype)};
}

/* A head's arrays; those of the type that products take as void. */
typedef struct head_scratch {
    void *q, *k, *v;              /* [P + R n,d] */
    void *key, *value;            /* [keys,d] of the chosen */
    void *right, *left;           /* factors of the next product, in pairs of rows */
    void *dy;                     /* [n,d] */
    float *probs, *d_probs;       /* [n,keys] */
    fv_bf16 *probs16, *d_probs16; /* [n,keys], NULL for products of f32 */
    float *out, *d_query;         /* [n,d] */
    float *dk, *dv;               /* [P + R n,d] */
} head_scratch;

/* The next n elements of base, which may be NULL, in whole cache lines. */
static void *take(char *base, size_t *used, fv_dtype type, int64_t n) {
    void *piece = base ? base + *used : NULL;
    *used += ((size_t)n * fv_dtype_bytes(type) + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN;
    return piece;
}

/* Returns the bytes needed. */
static size_t carve(const job *j, void *base, head_scratch *s) {
    const int64_t all = j->rows * j->d, keys = j->keys * j->d, tile = j->n * j->d;
    const int64_t scores = j->n * j->keys, narrow = j->type == FV_BF16 ? 1 : 0;
    const int64_t upright = fv_small_size(j->keys, j->d), turned = fv_small_size(j->d, j->keys);
    size_t used = 0;

    s->q = take(base, &used, j->type, all);
    s->k = take(base, &used, j->type, all);
    s->v = take(base, &used, j->type, all);
    s->key = take(base, &used, j->type, keys);
    s->value = take(base, &used, j->type, keys);
    s->right = take(base, &used, j->type, upright > turned ? upright : turned);
    s->probs16 = narrow ? take(base, &used, FV_BF16, scores) : NULL;
    s->probs = take(base, &used, FV_F32, scores);
    if (!j->dy) {
        s->out = take(base, &used, FV_F32, tile);
        return used;
    }
    s->left = take(base, &used, j->type, narrow * fv_small_size(j->n, j->keys));
    s->dy = take(base, &used, j->type, tile);
    s->d_probs = take(base, &used, FV_F32, scores);
    s->d_probs16 = narrow ? take(base, &used, FV_BF16, scores) : NULL;
    s->d_query = take(base, &used, FV_F32, tile);
    s->dk = take(base, &used, FV_F32, all);
    s->dv = take(base, &used, FV_F32, all);
    return used;
}

/* Sample and head of a task. */
typedef struct place {
    int64_t b, head;
} place;

static place place_of(const job *j, int64_t task) {
    return (place){task / j->heads, task % j->heads};
}

/* The head's columns of part 0, 1 or 2 (q, k, v) in row i of packed projections, rows of 3C. */
static int64_t part_at(const job *j, int64_t i, int64_t part, int64_t head) {
    return (i * 3 + part) * j->C + head * j->d;
}

/* n rows of d elements, `stride` apart from element i on, as [n,d]. */
static void copy_rows(const job *j, const fv_tensor *t, int64_t i, int64_t stride, int64_t n,
                      void *to) {
    const size_t bytes = (size_t)j->d * fv_dtype_bytes(t->dtype);
    const int64_t last = fv_shape_numel(&t->shape) - j->d;

    for (int64_t r = 0; r < n; r++, i += stride) {
        const int64_t ahead = i + AHEAD * stride;
        fv_prefetch(fv_row_at(t->data, t->dtype, ahead < last ? ahead : last), bytes);
        fv_row_copy(to, j->type, r * j->d, t->data, t->dtype, i, j->d);
    }
}

/* Element i of an array of the type that products take. */
static void *at(const job *j, const void *base, int64_t i) { return fv_row_at(base, j->type, i); }

/* Rows of one part of the prefix, then of the map. */
static void copy_part(const job *j, place p, int64_t part, void *to) {
    const int64_t wide = 3 * j->C, map = j->R * j->n;
    const fv_tensor x = fv_var_tensor(j->y->in[0]);

    if (j->P) {
        const fv_tensor prefix = fv_var_tensor(j->y->in[2]);
        copy_rows(j, &prefix, part_at(j, p.b * j->P, part, p.head), wide, j->P, to);
    }
    copy_rows(j, &x, part_at(j, p.b * map, part, p.head), wide, map, at(j, to, j->P * j->d));
}

static const int32_t *chosen_by(const job *j, place p, int64_t r) {
    return j->index + (p.b * j->R + r) * j->K;
}

/* What a region attends to, out of the head's rows. */
static void pack(const job *j, const int32_t *chosen, const void *rows, void *packed) {
    const int64_t prefix = j->P * j->d, size = j->n * j->d;
    const size_t bytes = fv_dtype_bytes(j->type);

    memcpy(packed, rows, (size_t)prefix * bytes);
    for (int64_t k = 0; k < j->K; k++)
        memcpy(at(j, packed, prefix + k * size), at(j, rows, prefix + chosen[k] * size),
               (size_t)size * bytes);
}

/* [n,keys] = a b^T, a [n,d] and b [keys,d] */
static void times_keys(const job *j, const head_scratch *s, const void *a, const void *b,
                       float *c) {
    fv_small_columns(j->type, j->d, j->keys, b, s->right);
    fv_small_product(j->type, j->n, j->keys, j->d, a, s->right, c);
}

/* [n,d] = a b, a [n,keys] and b [keys,d] */
static void times_rows(const job *j, const head_scratch *s, const void *a, const void *b,
                       float *c) {
    const void *right = fv_small_rows(j->type, j->keys, j->d, b, s->right);
    fv_small_product(j->type, j->n, j->d, j->keys, a, right, c);
}

/* a^T b added to the rows it belongs to, a [n,keys] and b [n,d] */
static void scatter(const job *j, const head_scratch *s, const int32_t *chosen, const void *a,
                    const void *b, float *rows) {
    const void *left = fv_small_rows(j->type, j->n, j->keys, a, s->left);
    const void *right = fv_small_rows(j->type, j->n, j->d, b, s->right);

    if (j->P) fv_small_sum(j->type, j->P, j->d, j->n, left, j->keys, 0, right, rows);
    for (int64_t k = 0; k < j->K; k++)
        fv_small_sum(j->type, j->n, j->d, j->n, left, j->keys, j->P + k * j->n, right,
                     rows + (j->P + chosen[k] * j->n) * j->d);
}

static float *lse_of(const job *j, place p, int64_t r) {
    float *lse = j->y->saved[0].data;
    return lse + ((p.b * j->heads + p.head) * j->R + r) * j->n;
}

static void forward_head(int64_t task, void *arg) {
    const job *j = arg;
    const place p = place_of(j, task);
    head_scratch s = {0};

    carve(j, fv_scratch(j->scratch_bytes), &s);
    copy_part(j, p, 0, s.q);
    copy_part(j, p, 1, s.k);
    copy_part(j, p, 2, s.v);
    for (int64_t r = 0; r < j->R; r++) {
        const int64_t first = (p.b * j->R + r) * j->n;
        pack(j, chosen_by(j, p, r), s.k, s.key);
        pack(j, chosen_by(j, p, r), s.v, s.value);
        times_keys(j, &s, at(j, s.q, (j->P + r * j->n) * j->d), s.key, s.probs);
        fv_softmax_rows(j->n, j->keys, j->keys, j->scale, s.probs, s.probs16, lse_of(j, p, r));
        times_rows(j, &s, fv_rows_operand(s.probs, s.probs16), s.value, s.out);
        for (int64_t i = 0; i < j->n; i++)
            fv_row_copy(j->y->data, j->y->dtype, (first + i) * j->C + p.head * j->d, s.out, FV_F32,
                        i * j->d, j->d);
    }
}

static fv_status start(job *j) {
    head_scratch s = {0};

    j->scratch_bytes = carve(j, NULL, &s);
    return fv_scratch_reserve(j->scratch_bytes);
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
    return FV_OK;
}

static void backward_region(const job *j, const head_scratch *s, place p, int64_t r) {
    const int64_t first = (p.b * j->R + r) * j->n;
    const int32_t *chosen = chosen_by(j, p, r);
    const int64_t here = first * j->C + p.head * j->d;
    const void *q = at(j, s->q, (j->P + r * j->n) * j->d);

    copy_rows(j, j->dy, here, j->C, j->n, s->dy);
    pack(j, chosen, s->k, s->key);
    pack(j, chosen, s->v, s->value);
    times_keys(j, s, q, s->key, s->probs);
    times_keys(j, s, s->dy, s->value, s->d_probs);
    fv_softmax_rows_gradient(j->n, j->keys, j->keys, j->scale, lse_of(j, p, r), s->probs,
                             s->d_probs, s->probs16, s->d_probs16);
    const void *ds = fv_rows_operand(s->d_probs, s->d_probs16);
    scatter(j, s, chosen, fv_rows_operand(s->probs, s->probs16), s->dy, s->dv);
    times_rows(j, s, ds, s->key, s->d_query);
    scatter(j, s, chosen, ds, q, s->dk);
    for (int64_t i = 0; j->dx[0].data && i < j->n; i++)
        fv_grad_store(&j->dx[0], part_at(j, first + i, 0, p.head), j->d, s->d_query + i * j->d);
}

/* Gradients of n rows of keys and values, from row `first` of dx on. */
static void store_keys(const job *j, const fv_grad *dx, int64_t first, int64_t n, int64_t head,
                       const float *dk, const float *dv) {
    for (int64_t i = 0; dx->data && i < n; i++) {
        fv_grad_store(dx, part_at(j, first + i, 1, head), j->d, dk + i * j->d);
        fv_grad_store(dx, part_at(j, first + i, 2, head), j->d, dv + i * j->d);
    }
}

static void backward_head(int64_t task, void *arg) {
    const job *j = arg;
    const place p = place_of(j, task);
    const int64_t P = j->P, map = j->R * j->n;
    head_scratch s = {0};

    carve(j, fv_scratch(j->scratch_bytes), &s);
    copy_part(j, p, 0, s.q);
    copy_part(j, p, 1, s.k);
    copy_part(j, p, 2, s.v);
    memset(s.dk, 0, (size_t)(j->rows * j->d) * sizeof(float));
    memset(s.dv, 0, (size_t)(j->rows * j->d) * sizeof(float));
    for (int64_t r = 0; r < j->R; r++) backward_region(j, &s, p, r);
    store_keys(j, &j->dx[0], p.b * map, map, p.head, s.dk + P * j->d, s.dv + P * j->d);
    store_keys(j, &j->dx[2], p.b * P, P, p.head, s.dk, s.dv);
    for (int64_t i = 0; j->dx[2].data && i < P; i++)
        fv_grad_zero(&j->dx[2], part_at(j, p.b * P + i, 0, p.head), j->d);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    job j = make_job(y);

    if ((!dx[0].data && !dx[2].data) || fv_shape_numel(&y->shape) == 0) return FV_OK;
    j.dy = dy;
    j.dx = dx;
    FV_TRY(start(&j));
    fv_parallel(y->shape.dim[0] * j.heads, backward_head, &j);
    return FV_OK;
}

static fv_cost cost(const fv_var *y) {
    const int64_t *x = y->shape.dim, keys = make_job(y).keys;
    const double pixels = (double)x[0] * (double)x[1] * (double)x[2], C = (double)x[3];
    return (fv_cost){2.0 * pixels * (double)keys * C,
                     4.0 * pixels * C * (double)fv_dtype_bytes(y->dtype)};
}

const fv_op fv_op_routed_attention = {.name = "routed_attention",
                                      .arity = 3,
                                      .reads = FV_READS_IN(0) | FV_READS_IN(1) | FV_READS_IN(2),
                                      .attr_bytes = sizeof(routed_attr),
                                      .shape = shape,
                                      .forward = forward,
                                      .backward = backward,
                                      .relevance = fv_relevance_refused,
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
    fv_attention_parts p = {
        .q = fv_heads_split(qkv, heads, 0, 3),                              /* [B,R,h,n,d] */
        .k = fv_heads_split(gathered(qkv, index, prefix, 1), heads, 0, 1),  /* [B,R,h,M,d] */
        .v = fv_heads_split(gathered(qkv, index, prefix, 2), heads, 0, 1)}; /* [B,R,h,M,d] */
    p.logits = fv_scale(fv_matmul_nt(p.q, p.k), scale);                     /* [B,R,h,n,M] */
    return fv_heads_merge(fv_attention_mix(&p));                            /* [B,R,n,C] */
}
