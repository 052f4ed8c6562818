/* probe_linear.c - the linear probe: multinomial logistic regression by L-BFGS.  The parameters are
 * P = [K,D] with D = C + 1: the last column of the standardised features is 1 and its weights the bias. */
#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/parallel.h"
#include "eval/evaluate.h"
#include "eval/probe.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define MIN_ROWS   256 /* of a task, unless MAX_BLOCKS tasks would not do */
#define MAX_BLOCKS 64
#define MEMORY     10 /* pairs that L-BFGS keeps */
#define ITERATIONS 200
#define GRADIENT   1e-5 /* largest component at which a fit ends */
#define HOLD_OUT   5    /* every fifth sample of a class */

typedef struct probe {
    size_t all;                       /* rows of x there is room for */
    int64_t n, rows, blocks, C, D, K; /* n: rows of x in use, blocks of `rows` */
    float *x;                         /* [blocks*rows, D] standardised, 1 behind; zero padding */
    int32_t *label;                   /* [n] */
    float *z;                         /* [blocks*rows, K] logits, then their gradients */
    float *partial;                   /* [blocks, K*D] */
    double *loss;                     /* [blocks] */
    float *narrow;                    /* [K*D] parameters as f32 */
    const fv_gemm_plan *logits, *gradient;
    double l2;
    atomic_int failed;
} probe;

/* ---- objective ---- */

static void block_gradient(int64_t b, void *arg) {
    probe *p = arg;
    const int64_t first = b * p->rows, K = p->K;
    const int64_t count = p->n - first < p->rows ? p->n - first : p->rows;
    float *z = p->z + first * K;
    double loss = 0.0;

    fv_status status = fv_backend()->gemm_run(p->logits, p->x + first * p->D, p->narrow, NULL, z);
    for (int64_t i = 0; i < count; i++) {
        float *row = z + i * K;
        const int32_t label = p->label[first + i];
        double most = (double)row[0], sum = 0.0;
        for (int64_t k = 1; k < K; k++) most = fmax(most, (double)row[k]);
        for (int64_t k = 0; k < K; k++) sum += exp((double)row[k] - most);
        loss += log(sum) - ((double)row[label] - most);
        for (int64_t k = 0; k < K; k++)
            row[k] = (float)(exp((double)row[k] - most) / sum - (k == label ? 1.0 : 0.0));
    }
    memset(z + count * K, 0, (size_t)((p->rows - count) * K) * sizeof *z);
    if (status == FV_OK)
        status = fv_backend()->gemm_run(p->gradient, z, p->x + first * p->D, NULL,
                                        p->partial + b * K * p->D);
    p->loss[b] = loss;
    if (status != FV_OK) atomic_store(&p->failed, 1);
}

/* Value at w [K*D]; its gradient into g. */
static double objective(probe *p, const double *w, double *g) {
    const int64_t n = p->K * p->D;
    double loss = 0.0, squares = 0.0;

    for (int64_t i = 0; i < n; i++) p->narrow[i] = (float)w[i];
    fv_parallel(p->blocks, block_gradient, p);
    for (int64_t b = 0; b < p->blocks; b++) loss += p->loss[b];
    for (int64_t i = 0; i < n; i++) {
        const bool bias = i % p->D == p->C;
        double sum = 0.0;
        for (int64_t b = 0; b < p->blocks; b++) sum += (double)p->partial[b * n + i];
        g[i] = sum / (double)p->n + (bias ? 0.0 : p->l2 * w[i]);
        if (!bias) squares += w[i] * w[i];
    }
    return loss / (double)p->n + 0.5 * p->l2 * squares;
}

/* ---- L-BFGS ---- */

static double dot(int64_t n, const double *a, const double *b) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double largest(int64_t n, const double *a) {
    double most = 0.0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(a[i]));
    return most;
}

typedef struct lbfgs {
    int64_t n;
    double *g, *next_w, *next_g, *direction; /* [n] */
    double *s, *y;                           /* [MEMORY,n], a ring */
    double rho[MEMORY];
    int64_t pairs; /* ever kept */
} lbfgs;

/* direction = -H g by the two loops of algorithm 7.4. */
static void choose_direction(lbfgs *l) {
    const int64_t n = l->n, kept = l->pairs < MEMORY ? l->pairs : MEMORY;
    double alpha[MEMORY], *d = l->direction;

    for (int64_t i = 0; i < n; i++) d[i] = -l->g[i];
    for (int64_t k = l->pairs - 1; k >= l->pairs - kept; k--) {
        const int64_t at = k % MEMORY;
        alpha[at] = l->rho[at] * dot(n, l->s + at * n, d);
        for (int64_t i = 0; i < n; i++) d[i] -= alpha[at] * l->y[at * n + i];
    }
    if (kept) {
        const int64_t at = (l->pairs - 1) % MEMORY;
        const double scale = 1.0 / (l->rho[at] * dot(n, l->y + at * n, l->y + at * n));
        for (int64_t i = 0; i < n; i++) d[i] *= scale;
    }
    for (int64_t k = l->pairs - kept; k < l->pairs; k++) {
        const int64_t at = k % MEMORY;
        const double beta = l->rho[at] * dot(n, l->y + at * n, d);
        for (int64_t i = 0; i < n; i++) d[i] += (alpha[at] - beta) * l->s[at * n + i];
    }
}

static void remember(lbfgs *l, const double *w) {
    const int64_t n = l->n, at = l->pairs % MEMORY;
    double *s = l->s + at * n, *y = l->y + at * n;

    for (int64_t i = 0; i < n; i++) {
        s[i] = l->next_w[i] - w[i];
        y[i] = l->next_g[i] - l->g[i];
    }
    const double sy = dot(n, s, y);
    if (!(sy > 1e-10 * dot(n, y, y))) return; /* rounding: no curvature to learn from */
    l->rho[at] = 1.0 / sy;
    l->pairs++;
}

/* Halves the step until it descends enough (Armijo); false when it cannot. */
static bool line_search(probe *p, lbfgs *l, const double *w, double value, double step,
                        double *next) {
    const double slope = dot(l->n, l->g, l->direction);

    if (!(slope < 0.0)) return false;
    for (int halvings = 0; halvings < 30; halvings++, step *= 0.5) {
        for (int64_t i = 0; i < l->n; i++) l->next_w[i] = w[i] + step * l->direction[i];
        *next = objective(p, l->next_w, l->next_g);
        if (*next <= value + 1e-4 * step * slope) return true;
    }
    return false;
}

/* From w on to the minimum. */
static int64_t minimise(probe *p, lbfgs *l, double *w) {
    const size_t bytes = (size_t)l->n * sizeof *w;
    double value = objective(p, w, l->g), next;
    int64_t k = 0;

    l->pairs = 0;
    for (; k < ITERATIONS && largest(l->n, l->g) > GRADIENT; k++) {
        choose_direction(l);
        const double first = l->pairs ? 1.0 : 1.0 / fmax(1.0, sqrt(dot(l->n, l->g, l->g)));
        if (!line_search(p, l, w, value, first, &next)) break;
        remember(l, w);
        memcpy(w, l->next_w, bytes);
        memcpy(l->g, l->next_g, bytes);
        value = next;
    }
    return k;
}

/* ---- features ---- */

/* Mean and 1 / deviation of the columns; a constant column becomes 0. */
static void statistics(const fv_probe_set *set, int64_t C, double *mean, double *scale) {
    for (int64_t c = 0; c < C; c++) {
        double sum = 0.0, squares = 0.0;
        for (int64_t i = 0; i < set->n; i++) sum += (double)set->x[i * C + c];
        mean[c] = sum / (double)set->n;
        for (int64_t i = 0; i < set->n; i++) {
            const double d = (double)set->x[i * C + c] - mean[c];
            squares += d * d;
        }
        scale[c] = squares > 0.0 ? 1.0 / sqrt(squares / (double)set->n) : 0.0;
    }
}

static void standardise(const float *x, int64_t C, const double *mean, const double *scale,
                        float *out) {
    for (int64_t c = 0; c < C; c++) out[c] = (float)(((double)x[c] - mean[c]) * scale[c]);
    out[C] = 1.0f;
}

typedef struct tally {
    int64_t n, top1, top5;
} tally;

/* How w does on one row of standardised features. */
static void judge(const probe *p, const double *w, const float *x, int32_t label, float *logits,
                  tally *t) {
    for (int64_t k = 0; k < p->K; k++) {
        double sum = 0.0;
        for (int64_t c = 0; c < p->D; c++) sum += w[k * p->D + c] * (double)x[c];
        logits[k] = (float)sum;
    }
    const int64_t rank = fv_label_rank(logits, p->K, label);
    t->n++;
    t->top1 += rank < 1;
    t->top5 += rank < 5;
}

/* ---- the probe ---- */

/* Everything that a probe works with, in one place to free. */
typedef struct workspace {
    probe p;
    lbfgs l;
    double *mean, *scale, *w, *best; /* [C], [C], [K*D], [K*D] */
    float *row, *logits;             /* [D], [K] */
    int64_t *seen;                   /* [K] */
    bool *held;                      /* [train.n] */
} workspace;

static fv_status find_products(probe *p) {
    fv_gemm z, g;

    memset(&z, 0, sizeof z);
    z.m = p->rows;
    z.n = z.ldc = p->K;
    z.k = z.lda = z.ldb = p->D;
    z.trans_b = 1;
    z.ab = z.c = FV_F32;
    memset(&g, 0, sizeof g);
    g.m = g.lda = p->K;
    g.n = g.ldb = g.ldc = p->D;
    g.k = p->rows;
    g.trans_a = 1;
    g.ab = g.c = FV_F32;
    FV_TRY(fv_backend()->gemm_find(&z, &p->logits));
    return fv_backend()->gemm_find(&g, &p->gradient);
}

static fv_status allocate(workspace *s, const fv_probe_data *d) {
    probe *p = &s->p;
    const int64_t most = (d->train.n + MAX_BLOCKS - 1) / MAX_BLOCKS;

    p->C = d->C;
    p->D = d->C + 1;
    p->K = d->K;
    p->rows = most > MIN_ROWS ? most : MIN_ROWS;
    p->blocks = (d->train.n + p->rows - 1) / p->rows;
    const size_t n = (size_t)(p->K * p->D);
    p->all = (size_t)(p->blocks * p->rows);
    p->x = fv_calloc(p->all, (size_t)p->D * sizeof *p->x);
    p->z = fv_calloc(p->all, (size_t)p->K * sizeof *p->z);
    p->label = fv_alloc((size_t)d->train.n, sizeof *p->label);
    p->partial = fv_alloc((size_t)p->blocks, n * sizeof *p->partial);
    p->loss = fv_alloc((size_t)p->blocks, sizeof *p->loss);
    p->narrow = fv_alloc(n, sizeof *p->narrow);
    double **const vectors[] = {&s->w,        &s->best,     &s->l.g,
                                &s->l.next_w, &s->l.next_g, &s->l.direction};
    bool good = p->x && p->z && p->label && p->partial && p->loss && p->narrow;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        *vectors[i] = fv_calloc(n, sizeof(double));
        good = good && *vectors[i];
    }
    s->l.n = (int64_t)n;
    s->l.s = fv_alloc(n, MEMORY * sizeof(double));
    s->l.y = fv_alloc(n, MEMORY * sizeof(double));
    s->mean = fv_alloc((size_t)p->C, sizeof *s->mean);
    s->scale = fv_alloc((size_t)p->C, sizeof *s->scale);
    s->row = fv_alloc((size_t)p->D, sizeof *s->row);
    s->logits = fv_alloc((size_t)p->K, sizeof *s->logits);
    s->seen = fv_calloc((size_t)p->K, sizeof *s->seen);
    s->held = fv_calloc((size_t)d->train.n, sizeof *s->held);
    good = good && s->l.s && s->l.y && s->mean && s->scale && s->row && s->logits && s->seen &&
           s->held;
    return good ? FV_OK : FV_ERR_NOMEM;
}

static void release(workspace *s) {
    void *const all[] = {s->p.x,      s->p.z,         s->p.label, s->p.partial, s->p.loss,
                         s->p.narrow, s->w,           s->best,    s->l.g,       s->l.next_w,
                         s->l.next_g, s->l.direction, s->l.s,     s->l.y,       s->mean,
                         s->scale,    s->row,         s->logits,  s->seen,      s->held};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) fv_free(all[i]);
}

/* The rows to fit: all of train, or what is not held out. */
static void take_rows(workspace *s, const fv_probe_set *train, bool all) {
    probe *p = &s->p;

    p->n = 0;
    memset(p->x, 0, p->all * (size_t)p->D * sizeof *p->x);
    for (int64_t i = 0; i < train->n; i++) {
        if (!all && s->held[i]) continue;
        standardise(train->x + i * p->C, p->C, s->mean, s->scale, p->x + p->n * p->D);
        p->label[p->n++] = train->label[i];
    }
    p->blocks = (p->n + p->rows - 1) / p->rows;
}

static tally judge_set(workspace *s, const fv_probe_set *set, const double *w, bool held_only) {
    tally t = {0};

    for (int64_t i = 0; i < set->n; i++) {
        if (held_only && !s->held[i]) continue;
        standardise(set->x + i * s->p.C, s->p.C, s->mean, s->scale, s->row);
        judge(&s->p, w, s->row, set->label[i], s->logits, &t);
    }
    return t;
}

static double percent(int64_t part, int64_t of) {
    return of > 0 ? 100.0 * (double)part / (double)of : 0.0;
}

/* Fits from strong to weak; each starts where the one before ended. */
static void choose_l2(workspace *s, const fv_probe_set *train, fv_probe_result *out) {
    static const double choices[] = {1.0, 1e-1, 1e-2, 1e-3, 1e-4};
    int64_t best = -1;

    take_rows(s, train, false);
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        s->p.l2 = choices[i];
        minimise(&s->p, &s->l, s->w);
        const tally t = judge_set(s, train, s->w, true);
        if (t.top1 <= best) continue;
        best = t.top1;
        out->l2 = choices[i];
        out->held_out = percent(t.top1, t.n);
        memcpy(s->best, s->w, (size_t)s->l.n * sizeof *s->w);
    }
}

static fv_status fit(workspace *s, const fv_probe_data *d, fv_probe_result *out) {
    FV_TRY(allocate(s, d));
    FV_TRY(find_products(&s->p));
    for (int64_t i = 0; i < d->train.n; i++)
        s->held[i] = s->seen[d->train.label[i]]++ % HOLD_OUT == HOLD_OUT - 1;
    statistics(&d->train, d->C, s->mean, s->scale);
    choose_l2(s, &d->train, out);
    take_rows(s, &d->train, true);
    s->p.l2 = out->l2;
    out->iterations = minimise(&s->p, &s->l, s->best);
    const tally t = judge_set(s, &d->test, s->best, false);
    out->top1 = percent(t.top1, t.n);
    out->top5 = percent(t.top5, t.n);
    return atomic_load(&s->p.failed) ? FV_FAIL(FV_ERR_BACKEND, "a matrix product failed") : FV_OK;
}

fv_status fv_probe_linear(const fv_probe_data *d, fv_probe_result *out) {
    workspace s = {.held = NULL};

    *out = (fv_probe_result){0};
    if (d->train.n < 1 || d->test.n < 1)
        return FV_FAIL(FV_ERR_CONFIG, "a linear probe needs samples to fit and to judge");
    const fv_status status = fit(&s, d, out);
    release(&s);
    return status;
}
