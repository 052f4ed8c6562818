#include "core/ops/attention_halo.h"

#include "core/ops/row.h"
#include "core/ops/softmax_rows.h"

#include <string.h>

typedef fv_halo_job job;
typedef fv_halo_layout layout;

static int64_t room(int64_t *end, int64_t floats) {
    const int64_t at = *end;
    *end += (floats + 15) / 16 * 16; /* whole cache lines */
    return at;
}

static layout make_layout(const job *j, bool backward) {
    const int64_t scores = j->queries * j->keys, terms = j->queries * 2 * j->rel.P;
    const int64_t d = j->dk + j->dv, widest = j->dk > j->dv ? j->dk : j->dv;
    layout at = {0};

    at.q = room(&at.end, j->queries * j->dk);
    at.kv = room(&at.end, j->keys * d);
    at.S = room(&at.end, scores);
    at.R = room(&at.end, terms);
    at.P16 = room(&at.end, (scores + 1) / 2);
    at.rows = room(&at.end, j->queries * widest);
    if (!backward) return at;
    at.dy = room(&at.end, j->queries * j->dv);
    at.dP = room(&at.end, scores);
    at.dS16 = room(&at.end, (scores + 1) / 2);
    at.dR16 = room(&at.end, (terms + 1) / 2);
    at.d_window = room(&at.end, j->keys * d);
    at.d_map = room(&at.end, j->g.H * j->g.W * d);
    at.dT = room(&at.end, 2 * j->rel.P * j->dk);
    return at;
}

/* C f32 [m,n], packed unless ldc says otherwise. */
static fv_status find(const job *j, const fv_gemm_plan **plan, fv_gemm g) {
    fv_gemm d;

    memset(&d, 0, sizeof d);
    d.m = g.m;
    d.n = g.n;
    d.k = g.k;
    d.lda = g.lda;
    d.ldb = g.ldb;
    d.ldc = g.ldc ? g.ldc : g.n;
    d.alpha = g.alpha;
    d.trans_a = g.trans_a;
    d.trans_b = g.trans_b;
    d.accumulate = g.accumulate;
    d.ab = j->dtype;
    d.c = FV_F32;
    return fv_backend()->gemm_find(&d, plan);
}

static fv_status find_plans(job *j, bool backward) {
    const int64_t n = j->queries, w2 = j->keys, dk = j->dk, dv = j->dv, d = dk + dv;
    const int64_t P2 = 2 * j->rel.P;
    const float scale = j->scale;

    FV_TRY(find(
        j, &j->scores,
        (fv_gemm){.m = n, .n = w2, .k = dk, .lda = dk, .ldb = d, .trans_b = 1, .alpha = scale}));
    FV_TRY(find(j, &j->terms,
                (fv_gemm){.m = n, .n = P2, .k = dk, .lda = dk, .ldb = dk, .trans_b = 1}));
    if (!backward)
        return find(j, &j->output, (fv_gemm){.m = n, .n = dv, .k = w2, .lda = w2, .ldb = d});
    FV_TRY(find(j, &j->d_probs,
                (fv_gemm){.m = n, .n = w2, .k = dv, .lda = dv, .ldb = d, .trans_b = 1}));
    FV_TRY(find(j, &j->d_query,
                (fv_gemm){.m = n, .n = dk, .k = w2, .lda = w2, .ldb = d, .alpha = scale}));
    FV_TRY(find(j, &j->d_query_terms,
                (fv_gemm){.m = n, .n = dk, .k = P2, .lda = P2, .ldb = dk, .accumulate = 1}));
    FV_TRY(find(
        j, &j->d_table,
        (fv_gemm){.m = P2, .n = dk, .k = n, .lda = P2, .ldb = dk, .trans_a = 1, .accumulate = 1}));
    FV_TRY(find(j, &j->d_key,
                (fv_gemm){.m = w2,
                          .n = dk,
                          .k = n,
                          .lda = w2,
                          .ldb = dk,
                          .ldc = d,
                          .trans_a = 1,
                          .alpha = scale}));
    return find(j, &j->d_value,
                (fv_gemm){.m = w2, .n = dv, .k = n, .lda = w2, .ldb = dv, .ldc = d, .trans_a = 1});
}

fv_status fv_halo_job_init(const fv_var *y, bool backward, job *j) {
    const fv_halo_args *a = y->attr;
    const fv_shape *q = &y->in[0]->shape, *kv = &y->in[1]->shape;

    *j = (job){.y = y, .heads = a->heads, .dtype = y->dtype, .Hq = q->dim[1], .Wq = q->dim[2]};
    FV_TRY(fv_halo_init(&j->g, y->op->name, kv->dim[1], kv->dim[2], a->block, a->halo));
    j->dk = q->dim[3] / a->heads;
    j->dv = y->shape.dim[3] / a->heads;
    j->bq = a->block / (a->stride ? a->stride : 1);
    j->blocks = j->g.down * j->g.across;
    j->queries = j->bq * j->bq;
    j->keys = j->g.window * j->g.window;
    j->scale = (float)(1.0 / sqrt((double)j->dk));
    j->rel = fv_rel_of(j->bq, j->g.window, j->dk);
    j->at = make_layout(j, backward);
    void *T = fv_tape_scratch(y->tape, 2 * j->rel.P * j->dk);
    if (!T) return FV_ERR_NOMEM;
    fv_rel_pack(&j->rel, y->in[2]->data, y->in[3]->data, j->dtype, T);
    j->T = T;
    FV_TRY(fv_scratch_reserve((size_t)j->at.end * sizeof(float)));
    return find_plans(j, backward);
}

static void run(job *j, const fv_gemm_plan *plan, const void *a, const void *b, void *c) {
    if (fv_backend()->gemm_run(plan, a, b, NULL, c) != FV_OK) atomic_store(&j->failed, 1);
}

/* Element i of an array of the product dtype. */
static void *at(const job *j, const void *base, int64_t i) { return fv_row_at(base, j->dtype, i); }

/* Where scores are rounded to: room, for products of bf16. */
static fv_bf16 *narrowed(const job *j, float *room) {
    return j->dtype == FV_BF16 ? (fv_bf16 *)room : NULL;
}

/* One block of one sample and head. */
typedef struct place {
    int64_t b, head, block;
} place;

/* The query map's pixel of row i of the block's queries, samples included. */
static int64_t query_pixel(const job *j, const place *p, int64_t i) {
    const int64_t row = p->block / j->g.across * j->bq + i / j->bq;
    const int64_t col = p->block % j->g.across * j->bq + i % j->bq;
    return (p->b * j->Hq + row) * j->Wq + col;
}

/* [bq^2,d] out of a map of h d channels on the query grid. */
static const void *pack_queries(const job *j, const place *p, const void *map, int64_t d,
                                float *to) {
    const size_t bytes = (size_t)d * fv_dtype_bytes(j->dtype);

    for (int64_t i = 0; i < j->queries; i++)
        memcpy(at(j, to, i * d), at(j, map, (query_pixel(j, p, i) * j->heads + p->head) * d),
               bytes);
    return to;
}

/* Keys and values of the block's window, [w^2,dk+dv]. */
static const void *pack_window(const job *j, const place *p, float *to) {
    const int64_t d = j->dk + j->dv;
    const size_t bytes = (size_t)d * fv_dtype_bytes(j->dtype);
    const void *map = at(j, j->y->in[1]->data, (p->b * j->g.H * j->g.W * j->heads + p->head) * d);

    for (int64_t i = 0; i < j->keys; i++) {
        const int64_t pixel = fv_halo_pixel(&j->g, p->block, i);
        if (pixel < 0)
            memset(at(j, to, i * d), 0, bytes);
        else
            memcpy(at(j, to, i * d), at(j, map, pixel * j->heads * d), bytes);
    }
    return to;
}

static float *lse_of(const job *j, const place *p) {
    const int64_t block = (p->b * j->heads + p->head) * j->blocks + p->block;
    return (float *)j->y->saved[0].data + block * j->queries;
}

/* S, from packed queries and keys */
static void logits(job *j, const void *q, const void *kv, float *S, float *R) {
    run(j, j->scores, q, kv, S);
    run(j, j->terms, q, j->T, R);
    fv_rel_add(&j->rel, R, S);
}

static void forward_block(job *j, const place *p, float *scratch) {
    const void *q = pack_queries(j, p, j->y->in[0]->data, j->dk, scratch + j->at.q);
    const void *kv = pack_window(j, p, scratch + j->at.kv);
    float *S = scratch + j->at.S, *out = scratch + j->at.rows;
    fv_bf16 *P16 = narrowed(j, scratch + j->at.P16);

    logits(j, q, kv, S, scratch + j->at.R);
    fv_softmax_rows(j->queries, j->keys, j->keys, 1.0f, S, P16, lse_of(j, p));
    run(j, j->output, fv_rows_operand(S, P16), at(j, kv, j->dk), out);
    for (int64_t i = 0; i < j->queries; i++)
        fv_row_copy(j->y->data, j->dtype, (query_pixel(j, p, i) * j->heads + p->head) * j->dv, out,
                    FV_F32, i * j->dv, j->dv);
}

/* A row of blocks. */
void fv_halo_forward_task(int64_t task, void *arg) {
    job *j = arg;
    float *scratch = fv_scratch((size_t)j->at.end * sizeof(float));
    place p = {.b = task / j->g.down / j->heads, .head = task / j->g.down % j->heads};

    for (int64_t i = 0; i < j->g.across; i++) {
        p.block = task % j->g.down * j->g.across + i;
        forward_block(j, &p, scratch);
    }
}

/* Adds a window's gradient to the head's map. */
static void scatter(const job *j, int64_t block, const float *d_window, float *d_map) {
    const int64_t d = j->dk + j->dv;

    for (int64_t i = 0; i < j->keys; i++) {
        const int64_t pixel = fv_halo_pixel(&j->g, block, i);
        if (pixel >= 0) fv_kernel()->axpy(d, 1.0f, d_window + i * d, d_map + pixel * d);
    }
}

static void backward_block(job *j, const place *p, float *scratch) {
    const void *q = pack_queries(j, p, j->y->in[0]->data, j->dk, scratch + j->at.q);
    const void *dy = pack_queries(j, p, j->dy, j->dv, scratch + j->at.dy);
    const void *kv = pack_window(j, p, scratch + j->at.kv);
    float *S = scratch + j->at.S, *dP = scratch + j->at.dP, *R = scratch + j->at.R;
    fv_bf16 *P16 = narrowed(j, scratch + j->at.P16), *dS16 = narrowed(j, scratch + j->at.dS16);
    fv_bf16 *dR16 = narrowed(j, scratch + j->at.dR16);
    float *dq = scratch + j->at.rows, *d_window = scratch + j->at.d_window;

    logits(j, q, kv, S, R);
    run(j, j->d_probs, dy, at(j, kv, j->dk), dP);
    fv_softmax_rows_gradient(j->queries, j->keys, j->keys, 1.0f, lse_of(j, p), S, dP, P16, dS16);
    fv_rel_sum(&j->rel, dP, R);
    if (dR16) fv_kernel()->to_bf16(j->queries * 2 * j->rel.P, R, dR16);
    const void *P = fv_rows_operand(S, P16), *dS = fv_rows_operand(dP, dS16);
    const void *dR = fv_rows_operand(R, dR16);
    run(j, j->d_query, dS, kv, dq);
    run(j, j->d_query_terms, dR, j->T, dq);
    run(j, j->d_table, dR, q, scratch + j->at.dT);
    run(j, j->d_key, dS, q, d_window);
    run(j, j->d_value, P, dy, d_window + j->dk);
    scatter(j, p->block, d_window, scratch + j->at.d_map);
    for (int64_t i = 0; j->dx[0].data && i < j->queries; i++)
        fv_grad_store(&j->dx[0], (query_pixel(j, p, i) * j->heads + p->head) * j->dk, j->dk,
                      dq + i * j->dk);
}

void fv_halo_backward_task(int64_t task, void *arg) {
    job *j = arg;
    const int64_t d = j->dk + j->dv, pixels = j->g.H * j->g.W;
    float *scratch = fv_scratch((size_t)j->at.end * sizeof(float));
    float *d_map = scratch + j->at.d_map, *dT = scratch + j->at.dT;
    place p = {.b = task / j->heads, .head = task % j->heads};

    memset(d_map, 0, (size_t)(pixels * d) * sizeof *d_map);
    memset(dT, 0, (size_t)(2 * j->rel.P * j->dk) * sizeof *dT);
    for (; p.block < j->blocks; p.block++) backward_block(j, &p, scratch);
    for (int64_t i = 0; j->dx[1].data && i < pixels; i++)
        fv_grad_store(&j->dx[1], ((p.b * pixels + i) * j->heads + p.head) * d, d, d_map + i * d);
    if (j->partial) fv_rel_unpack(&j->rel, dT, j->partial + task * 2 * (2 * j->rel.w - 1) * j->dk);
}
