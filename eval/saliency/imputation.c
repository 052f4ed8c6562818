#include "eval/saliency/imputation.h"

#include "core/alloc.h"
#include "eval/ranking.h"
#include "eval/saliency/metric.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define EDGE       (1.0 / 6.0)
#define CORNER     (1.0 / 12.0)
#define TOLERANCE  1e-10 /* of the residual, relative to the right-hand side */
#define RELAXATION 1.85  /* 1.7 to 1.95 differ little on 224x224 */

fv_status fv_road_keep(const float *map, int64_t n, double percentile, bool least_first,
                       uint8_t *keep) {
    const double sign = least_first ? -1.0 : 1.0;

    FV_TRY(fv_map_check(map, n));
    double *ascending = fv_alloc((size_t)n, sizeof *ascending);
    if (!ascending) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) ascending[i] = sign * (double)map[i];
    fv_sort_ascending(ascending, n);
    const double threshold = fv_percentile(ascending, n, percentile);
    for (int64_t i = 0; i < n; i++) keep[i] = sign * (double)map[i] < threshold;
    fv_free(ascending);
    return FV_OK;
}

/* The system of the removed pixels, symmetric and positive definite as soon as one pixel is kept:
 * A v = b with A_ii = sum of the weights of the neighbours that exist, A_ij = -w_ij between removed
 * neighbours, b_i = sum of w v over kept ones.
 *
 * v, the search direction p and the preconditioned residual z live on the grid with a ring around it,
 * zero outside of the removed pixels, so that sums over neighbours need no case distinction.  The
 * channels are systems of their own with one matrix: they lie side by side, so that the sweeps, whose
 * steps wait for one another, do all of them in a step. */
#define LANES 4 /* red, green, blue, and one that stays 0 */

typedef struct lanes {
    double c[LANES];
} lanes;

typedef struct solver {
    int64_t H, W, n;     /* n removed pixels */
    int64_t row;         /* of the ringed grid: W + 2 */
    int64_t *at;         /* [n] removed pixel, on the ringed grid, ascending */
    lanes *v, *p, *z;    /* [H+2,W+2] */
    lanes *r, *a_p;      /* [n] */
    double *diagonal;    /* [n] */
    const uint8_t *keep; /* [H,W] */
} solver;

#define EACH(l) for (int l = 0; l < LANES; l++)

static int64_t ringed(int64_t H, int64_t W) { return (H + 2) * (W + 2); }

size_t fv_impute_scratch(int64_t H, int64_t W) {
    return (size_t)(3 * ringed(H, W) + 2 * H * W) * sizeof(lanes) +
           (size_t)(H * W) * (sizeof(double) + sizeof(int64_t));
}

static void clear(lanes *x, const solver *s) {
    memset(x, 0, (size_t)ringed(s->H, s->W) * sizeof *x);
}

static inline lanes add(lanes a, lanes b) {
    EACH(l) a.c[l] += b.c[l];
    return a;
}
/* a + f b */
static inline lanes add_times(lanes a, lanes f, lanes b) {
    EACH(l) a.c[l] += f.c[l] * b.c[l];
    return a;
}
static inline lanes times(double f, lanes a) {
    EACH(l) a.c[l] *= f;
    return a;
}

/* Weighted sums over the neighbours before and after pixel i in row-major order. */
static inline lanes before(const lanes *x, int64_t i, int64_t row) {
    return add(times(EDGE, add(x[i - row], x[i - 1])),
               times(CORNER, add(x[i - row - 1], x[i - row + 1])));
}
static inline lanes after(const lanes *x, int64_t i, int64_t row) {
    return add(times(EDGE, add(x[i + row], x[i + 1])),
               times(CORNER, add(x[i + row + 1], x[i + row - 1])));
}
static inline lanes neighbours(const lanes *x, int64_t i, int64_t row) {
    return add(before(x, i, row), after(x, i, row));
}

static solver solver_of(const uint8_t *keep, int64_t H, int64_t W, void *scratch) {
    solver s = {.H = H, .W = W, .row = W + 2, .keep = keep};
    s.v = scratch;
    s.p = s.v + ringed(H, W);
    s.z = s.p + ringed(H, W);
    s.r = s.z + ringed(H, W);
    s.a_p = s.r + H * W;
    s.diagonal = (double *)(s.a_p + H * W);
    s.at = (int64_t *)(s.diagonal + H * W);

    /* The diagonal: the sum of weights over an image of ones. */
    clear(s.v, &s);
    for (int64_t i = 0; i < H * W; i++) s.v[(i / W + 1) * s.row + i % W + 1].c[0] = 1.0;
    for (int64_t i = 0; i < H * W; i++) {
        if (keep[i]) continue;
        s.at[s.n] = (i / W + 1) * s.row + i % W + 1;
        s.diagonal[s.n] = neighbours(s.v, s.at[s.n], s.row).c[0];
        s.n++;
    }
    return s;
}

static lanes dot(const lanes *x, const lanes *y, int64_t n) {
    lanes sum = {{0}};

    for (int64_t i = 0; i < n; i++) sum = add_times(sum, x[i], y[i]);
    return sum;
}

/* r = b - A v from v = the mean of the kept pixels; returns |b| squared. */
static lanes start(solver *s, const float *image) {
    const double kept = (double)(s->H * s->W - s->n);
    lanes mean = {{0}};

    clear(s->v, s);
    for (int64_t i = 0; i < s->H * s->W; i++) {
        lanes *v = &s->v[(i / s->W + 1) * s->row + i % s->W + 1];
        if (!s->keep[i]) continue;
        for (int c = 0; c < 3; c++) v->c[c] = (double)image[3 * i + c];
        mean = add(mean, *v);
    }
    EACH(l) mean.c[l] /= kept;
    for (int64_t i = 0; i < s->n; i++) s->r[i] = neighbours(s->v, s->at[i], s->row); /* b */
    const lanes squares = dot(s->r, s->r, s->n);

    clear(s->v, s);
    for (int64_t i = 0; i < s->n; i++) s->v[s->at[i]] = mean;
    for (int64_t i = 0; i < s->n; i++) {
        const lanes own = times(s->diagonal[i], mean), others = neighbours(s->v, s->at[i], s->row);
        EACH(l) s->r[i].c[l] -= own.c[l] - others.c[l];
    }
    return squares;
}

/* Symmetric successive over-relaxation, up to a factor: (D/w + L) (D/w)^-1 (D/w + U) z = r, a sweep
 * down and one up.  Returns r . z. */
static lanes precondition(solver *s) {
    lanes sum = {{0}};

    clear(s->z, s); /* neighbours not reached yet count 0 on the way down */
    for (int64_t i = 0; i < s->n; i++)
        s->z[s->at[i]] =
            times(RELAXATION / s->diagonal[i], add(s->r[i], before(s->z, s->at[i], s->row)));
    for (int64_t i = s->n - 1; i >= 0; i--) {
        const lanes below = after(s->z, s->at[i], s->row);
        const lanes z = add(s->z[s->at[i]], times(RELAXATION / s->diagonal[i], below));
        s->z[s->at[i]] = z;
        sum = add_times(sum, s->r[i], z);
    }
    return sum;
}

/* p = z + beta p and a_p = A p; returns p . a_p. */
static lanes turn(solver *s, lanes beta) {
    lanes sum = {{0}};

    for (int64_t i = 0; i < s->n; i++) {
        lanes *p = &s->p[s->at[i]];
        *p = add_times(s->z[s->at[i]], beta, *p);
    }
    for (int64_t i = 0; i < s->n; i++) {
        const lanes p = s->p[s->at[i]], others = neighbours(s->p, s->at[i], s->row);
        lanes a_p = times(s->diagonal[i], p);
        EACH(l) a_p.c[l] -= others.c[l];
        s->a_p[i] = a_p;
        sum = add_times(sum, p, a_p);
    }
    return sum;
}

/* A channel that has arrived waits for the others. */
static bool solve(solver *s, const float *image) {
    const int64_t n = s->n, most = 10 * n + 100;
    const lanes size = start(s, image);
    lanes rz = {{0}};

    clear(s->p, s);
    for (int64_t k = 0; k < most; k++) {
        const lanes rest = dot(s->r, s->r, n);
        lanes alpha, beta, back;
        bool going[LANES], any = false;

        EACH(l) going[l] = sqrt(rest.c[l]) > TOLERANCE * sqrt(size.c[l]);
        EACH(l) any = any || going[l];
        if (!any) return true;
        const lanes rz_new = precondition(s);
        EACH(l) beta.c[l] = k > 0 && going[l] ? rz_new.c[l] / rz.c[l] : 0.0;
        rz = rz_new;
        const lanes curvature = turn(s, beta);
        EACH(l) alpha.c[l] = going[l] ? rz.c[l] / curvature.c[l] : 0.0;
        EACH(l) back.c[l] = -alpha.c[l];
        for (int64_t i = 0; i < n; i++) {
            s->v[s->at[i]] = add_times(s->v[s->at[i]], alpha, s->p[s->at[i]]);
            s->r[i] = add_times(s->r[i], back, s->a_p[i]);
        }
    }
    return false;
}

bool fv_impute_with(float *image, const uint8_t *keep, int64_t H, int64_t W, void *scratch) {
    solver s = solver_of(keep, H, W, scratch);

    if (s.n == H * W) {
        memset(image, 0, 3 * (size_t)(H * W) * sizeof *image);
        return true;
    }
    const bool ok = solve(&s, image);
    for (int64_t k = 0; k < s.n; k++) {
        const int64_t i = (s.at[k] / s.row - 1) * W + s.at[k] % s.row - 1;
        for (int c = 0; c < 3; c++) image[3 * i + c] = (float)s.v[s.at[k]].c[c];
    }
    return ok;
}

fv_status fv_impute(float *image, const uint8_t *keep, int64_t H, int64_t W) {
    void *scratch = fv_alloc(fv_impute_scratch(H, W), 1);
    if (!scratch) return FV_ERR_NOMEM;
    const bool ok = fv_impute_with(image, keep, H, W, scratch);
    fv_free(scratch);
    return ok ? FV_OK
              : FV_FAIL(FV_ERR_INTERNAL, "imputation of %" PRId64 "x%" PRId64 " pixels", H, W);
}
