/* op_matmul.c - batched products of activations, f32, one task per leading index (sample, head):
 *     matmul     a [B,h,N,K], b [B,h,K,M] -> y = a b    [B,h,N,M];  da = dy b^T, db = a^T dy
 *     matmul_nt  a [B,h,N,K], b [B,h,M,K] -> y = a b^T  [B,h,N,M];  da = dy b,   db = dy^T a
 *     matmul_tn  a [B,h,K,N], b [B,h,K,M] -> y = a^T b  [B,h,N,M];  da = b dy^T, db = a dy
 * The second serves q k^T, the first A v; channel attention needs k^T v and q A^T. */
#include "core/backend/backend.h"
#include "core/ops/op_list.h"
#include "core/ops/row.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

static bool is_nt(const fv_var *y) { return y->op == &fv_op_matmul_nt; }
static bool is_tn(const fv_var *y) { return y->op == &fv_op_matmul_tn; }

typedef struct sizes {
    int64_t batch, N, K, M;
} sizes;

static sizes sizes_of(const fv_var *y) {
    const fv_shape *a = &y->in[0]->shape;
    const int r = y->shape.rank;
    sizes s = {1, y->shape.dim[r - 2], a->dim[is_tn(y) ? r - 2 : r - 1], y->shape.dim[r - 1]};

    for (int i = 0; i < r - 2; i++) s.batch *= y->shape.dim[i];
    return s;
}

static fv_status shape(fv_var *y) {
    const fv_shape *a = &y->in[0]->shape, *b = &y->in[1]->shape;
    const int r = a->rank;
    char as[FV_SHAPE_TEXT], bs[FV_SHAPE_TEXT];
    bool fits = r >= 3 && b->rank == r;

    FV_TRY(fv_check_dtype(y, y->in[0], false));
    FV_TRY(fv_check_dtype(y, y->in[1], false));
    for (int i = 0; fits && i < r - 2; i++) fits = a->dim[i] == b->dim[i];
    const int inner = is_nt(y) ? r - 1 : r - 2, outer = is_nt(y) ? r - 2 : r - 1;
    const int sum = is_tn(y) ? r - 2 : r - 1; /* the axis of a that is summed over */
    if (!fits || a->dim[sum] != b->dim[inner] || a->dim[sum] < 1)
        return FV_FAIL(FV_ERR_SHAPE, "%s: %s and %s do not fit", y->op->name, fv_shape_text(a, as),
                       fv_shape_text(b, bs));
    y->shape = *a;
    y->shape.dim[r - 2] = a->dim[is_tn(y) ? r - 1 : r - 2];
    y->shape.dim[r - 1] = b->dim[outer];
    y->dtype = FV_F32;
    return FV_OK;
}

/* C = alpha op(A) op(B) (+ C) for every leading index; the matrices of one operand are contiguous. */
typedef struct product {
    const fv_gemm_plan *plan;
    const float *a, *b;
    float *c;
    int64_t a_size, b_size, c_size;
} product;

typedef struct tasks {
    product item[2];
    int n;
    atomic_int failed;
} tasks;

static fv_status add_product(tasks *t, const float *a, bool trans_a, const float *b, bool trans_b,
                             const fv_grad *c, int64_t m, int64_t n, int64_t k, float alpha) {
    product *p = &t->item[t->n++];
    fv_gemm d;

    memset(&d, 0, sizeof d);
    d.m = m;
    d.n = n;
    d.k = k;
    d.lda = trans_a ? m : k;
    d.ldb = trans_b ? k : n;
    d.ldc = n;
    d.alpha = alpha;
    d.trans_a = trans_a;
    d.trans_b = trans_b;
    d.accumulate = c->add;
    d.ab = d.c = FV_F32;
    *p = (product){NULL, a, b, c->data, m * k, k * n, m * n};
    return fv_backend()->gemm_find(&d, &p->plan);
}

static void run_task(int64_t i, void *arg) {
    tasks *t = arg;

    for (int k = 0; k < t->n; k++) {
        const product *p = &t->item[k];
        if (fv_backend()->gemm_run(p->plan, p->a + i * p->a_size, p->b + i * p->b_size, NULL,
                                   p->c + i * p->c_size) != FV_OK)
            atomic_store(&t->failed, 1);
    }
}

static fv_status run(const fv_var *y, tasks *t, int64_t batch) {
    fv_parallel(batch, run_task, t);
    if (atomic_load(&t->failed))
        return FV_FAIL(FV_ERR_BACKEND, "%s: a product failed", y->op->name);
    return FV_OK;
}

static fv_status forward(fv_var *y) {
    const sizes s = sizes_of(y);
    const fv_grad out = {.data = y->data, .dtype = FV_F32};
    tasks t = {.n = 0};

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    FV_TRY(add_product(&t, y->in[0]->data, is_tn(y), y->in[1]->data, is_nt(y), &out, s.N, s.M, s.K,
                       1.0f));
    return run(y, &t, s.batch);
}

/* alpha times the vector-Jacobian product with dy. */
static fv_status vjp(const fv_var *y, const float *dy, const fv_grad dx[], float alpha) {
    const float *a = y->in[0]->data, *b = y->in[1]->data;
    const sizes s = sizes_of(y);
    tasks t = {.n = 0};

    if (fv_shape_numel(&y->shape) == 0) return FV_OK;
    if (dx[0].data && is_tn(y))
        FV_TRY(add_product(&t, b, false, dy, true, &dx[0], s.K, s.N, s.M, alpha));
    if (dx[0].data && !is_tn(y))
        FV_TRY(add_product(&t, dy, false, b, !is_nt(y), &dx[0], s.N, s.K, s.M, alpha));
    if (dx[1].data && is_nt(y))
        FV_TRY(add_product(&t, dy, true, a, false, &dx[1], s.M, s.K, s.N, alpha));
    if (dx[1].data && !is_nt(y))
        FV_TRY(add_product(&t, a, !is_tn(y), dy, false, &dx[1], s.K, s.M, s.N, alpha));
    return run(y, &t, s.batch);
}

static fv_status backward(const fv_var *y, const fv_tensor *dy, fv_grad dx[]) {
    return vjp(y, dy->data, dx, 1.0f);
}

/* s = R / stab(share z), the stabiliser's part to the ledger; share counts the live factors.  Where z is
 * close to 0, s is so large that f32 sums over it lose the rest of the relevance, and the rounding of z
 * itself counts: an s beyond FAR times the sample's mean is left 0, for add_far. */
#define FAR 16.0

typedef struct division {
    const fv_rule *rule;
    const float *r, *z;
    float share, *s;
} division;

static void divide_block(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const division *d = arg;
    const fv_stabiliser stab = fv_sample_stabiliser(d->rule, sample);

    for (int64_t i = begin; i < end; i++) {
        d->s[i] = d->r[i] / fv_stabilise(stab, d->share * d->z[i]);
        sums[0] += fabs((double)d->s[i]);
    }
}

static void drop_far_block(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const division *d = arg;
    const fv_stabiliser stab = fv_sample_stabiliser(d->rule, sample);
    const double most = d->rule->ledger->room[sample];

    for (int64_t i = begin; i < end; i++) {
        const double bottom = (double)fv_stabilise(stab, d->share * d->z[i]);
        if (fabs((double)d->s[i]) > most) d->s[i] = 0.0f;
        sums[0] += (double)d->s[i] * (bottom - (double)d->share * (double)d->z[i]);
    }
}

static void divide(const fv_var *y, const float *r, float share, const fv_rule *rule, float *s) {
    const int64_t B = y->shape.dim[0], n = B ? fv_shape_numel(&y->shape) / B : 0;
    fv_ledger *ledger = rule->ledger;
    division d = {rule, r, y->data, share, s};

    fv_stabilise_samples(rule, n, d.z, share);
    fv_sum_elements(B, n, 1, divide_block, NULL, &d, ledger->sums);
    for (int64_t b = 0; b < B; b++)
        ledger->room[b] = FAR * ledger->sums[b * FV_ELEMENT_SUMS] / (double)n;
    fv_ledger_sum(ledger, n, 1, drop_far_block, &d, (fv_sink[]){FV_SINK_EPS}, 1);
}

/* One row of op(A) and column of op(B): their elements are a_step and b_step apart. */
typedef struct pair {
    const float *a, *b;
    float *ra, *rb; /* relevance of either; NULL: takes none */
    int64_t K, a_step, b_step;
} pair;

/* Relevance r of one element by products in double; what the stabiliser takes. */
static double add_element(const pair *p, double r, double share, fv_stabiliser stab) {
    const double epsilon = (double)stab.epsilon;
    double z = 0.0;

    for (int64_t k = 0; k < p->K; k++)
        z += (double)p->a[k * p->a_step] * (double)p->b[k * p->b_step];
    z *= share;
    const double far = stab.kind == FV_STAB_CLIP ? fmax(fabs(z), epsilon) : fabs(z) + epsilon;
    const double d = stab.kind == FV_STAB_PLAIN ? z + epsilon : z < 0.0 ? -far : far, s = r / d;
    for (int64_t k = 0; k < p->K; k++) {
        const int64_t i = k * p->a_step, j = k * p->b_step;
        const double part = (double)p->a[i] * (double)p->b[j] * s;
        if (p->ra) p->ra[i] = (float)((double)p->ra[i] + part);
        if (p->rb) p->rb[j] = (float)((double)p->rb[j] + part);
    }
    return s * (d - z);
}

/* The elements that divide left out: s is 0, and R is not. */
static void add_far(const fv_var *y, const float *r, const float *s, float share,
                    const fv_rule *rule, const fv_grad rx[]) {
    const sizes d = sizes_of(y);
    const float *a = y->in[0]->data, *b = y->in[1]->data;
    const bool tn = is_tn(y), nt = is_nt(y);
    float *ra = rx[0].data, *rb = rx[1].data;

    for (int64_t i = 0; i < d.batch * d.N * d.M; i++) {
        if (s[i] < 0.0f || s[i] > 0.0f || !(r[i] < 0.0f || r[i] > 0.0f)) continue;
        const int64_t matrix = i / (d.N * d.M), n = i / d.M % d.N, m = i % d.M;
        const int64_t at_a = matrix * d.N * d.K + (tn ? n : n * d.K);
        const int64_t at_b = matrix * d.K * d.M + (nt ? m * d.K : m);
        const pair p = {a + at_a, b + at_b,     ra ? ra + at_a : NULL, rb ? rb + at_b : NULL,
                        d.K,      tn ? d.N : 1, nt ? 1 : d.M};
        const int64_t sample = matrix / (d.batch / y->shape.dim[0]);
        const fv_stabiliser stab = fv_sample_stabiliser(rule, sample);
        fv_ledger_add(rule->ledger, FV_SINK_EPS, sample,
                      add_element(&p, (double)r[i], (double)share, stab));
    }
}

/* The factor that is a matrix of attention: a of A v, a softmax as b of q A^T; -1 in q k^T and k^T v. */
static int attention_factor(const fv_var *y) {
    if (y->op == &fv_op_matmul) return 0;
    return is_nt(y) && y->in[1]->op == &fv_op_softmax ? 1 : -1;
}

/* Half of the relevance goes to each factor (Achtibat et al. 2024, eq. 14): GI half the vjp, R
 * s = R / stab(2 z).  With constant_attention the matrix of attention takes nothing and the other
 * factor all; the products that made the matrix are then reached by zeros only. */
static fv_status relevance(const fv_var *y, const fv_signal *ry, fv_signal rx[],
                           const fv_rule *rule) {
    const int fixed = rule->constant_attention ? attention_factor(y) : -1;
    const bool is_r = ry->kind == FV_SIGNAL_R;
    const float share = fixed >= 0 ? 1.0f : 2.0f;
    float *s = NULL;
    fv_grad dx[2] = {{.data = rx[0].data, .dtype = FV_F32}, {.data = rx[1].data, .dtype = FV_F32}};

    if (fixed >= 0) dx[fixed].data = NULL;
    if (is_r) {
        s = fv_tape_scratch(y->tape, fv_shape_numel(&y->shape));
        if (!s) return FV_ERR_NOMEM;
        divide(y, ry->data, share, rule, s);
    }
    FV_TRY(vjp(y, is_r ? s : ry->data, dx, fixed >= 0 || is_r ? 1.0f : 0.5f));
    for (int i = 0; is_r && i < 2; i++)
        if (dx[i].data)
            fv_times_activations(fv_shape_numel(&y->in[i]->shape), dx[i].data, y->in[i]->data);
    if (is_r) add_far(y, ry->data, s, share, rule, dx);
    if (fixed >= 0 && rx[fixed].data)
        memset(rx[fixed].data, 0, (size_t)fv_shape_numel(&y->in[fixed]->shape) * sizeof(float));
    return FV_OK;
}

static fv_cost cost(const fv_var *y) {
    const sizes s = sizes_of(y);
    const double N = (double)s.N, K = (double)s.K, M = (double)s.M, batch = (double)s.batch;
    return (fv_cost){batch * N * K * M, 4.0 * batch * (N * K + K * M + N * M)};
}

#define MATMUL(text)                                                                        \
    {                                                                                       \
        .name = text, .arity = 2, .reads = FV_READS_IN(0) | FV_READS_IN(1), .shape = shape, \
        .forward = forward, .backward = backward, .relevance = relevance, .cost = cost      \
    }

const fv_op fv_op_matmul = MATMUL("matmul");
const fv_op fv_op_matmul_nt = MATMUL("matmul_nt");
const fv_op fv_op_matmul_tn = MATMUL("matmul_tn");

fv_var *fv_matmul(fv_var *a, fv_var *b) {
    return fv_apply(&fv_op_matmul, (fv_var *[]){a, b}, NULL);
}

fv_var *fv_matmul_nt(fv_var *a, fv_var *b) {
    return fv_apply(&fv_op_matmul_nt, (fv_var *[]){a, b}, NULL);
}

fv_var *fv_matmul_tn(fv_var *a, fv_var *b) {
    return fv_apply(&fv_op_matmul_tn, (fv_var *[]){a, b}, NULL);
}
