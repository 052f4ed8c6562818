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
 * zero outside of the removed pixels, so that sums over neighbours need no case distinction. */
typedef struct solver {
    int64_t H, W, n;     /* n removed pixels */
    int64_t row;         /* of the ringed grid: W + 2 */
    int64_t *at;         /* [n] removed pixel, on the ringed grid, ascending */
    double *v, *p, *z;   /* [H+2,W+2] */
    double *diagonal;    /* [n] */
    double *r, *a_p;     /* [n] */
    const uint8_t *keep; /* [H,W] */
} solver;

static int64_t ringed(int64_t H, int64_t W) { return (H + 2) * (W + 2); }

size_t fv_impute_scratch(int64_t H, int64_t W) {
    return (size_t)(3 * ringed(H, W) + 3 * H * W) * sizeof(double) +
           (size_t)(H * W) * sizeof(int64_t);
}

static void clear(double *x, const solver *s) {
    memset(x, 0, (size_t)ringed(s->H, s->W) * sizeof *x);
}

/* Weighted sums over the neighbours before and after pixel i in row-major order. */
static double before(const double *x, int64_t i, int64_t row) {
    return EDGE * (x[i - row] + x[i - 1]) + CORNER * (x[i - row - 1] + x[i - row + 1]);
}
static double after(const double *x, int64_t i, int64_t row) {
    return EDGE * (x[i + row] + x[i + 1]) + CORNER * (x[i + row + 1] + x[i + row - 1]);
}
static double neighbours(const double *x, int64_t i, int64_t row) {
    return before(x, i, row) + after(x, i, row);
}

static solver solver_of(const uint8_t *keep, int64_t H, int64_t W, void *scratch) {
    solver s = {.H = H, .W = W, .row = W + 2, .keep = keep};
    s.v = scratch;
    s.p = s.v + ringed(H, W);
    s.z = s.p + ringed(H, W);
    s.diagonal = s.z + ringed(H, W);
    s.r = s.diagonal + H * W;
    s.a_p = s.r + H * W;
    s.at = (int64_t *)(s.a_p + H * W);

    /* The diagonal: the sum of weights over an image of ones. */
    clear(s.v, &s);
    for (int64_t i = 0; i < H * W; i++) s.v[(i / W + 1) * s.row + i % W + 1] = 1.0;
    for (int64_t i = 0; i < H * W; i++) {
        if (keep[i]) continue;
        s.at[s.n] = (i / W + 1) * s.row + i % W + 1;
        s.diagonal[s.n] = neighbours(s.v, s.at[s.n], s.row);
        s.n++;
    }
    return s;
}

static double dot(const double *x, const double *y, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* r = b - A v from v = the mean of the kept pixels; returns |b|. */
static double start(solver *s, const float *channel) {
    double sum = 0.0;

    clear(s->v, s);
    for (int64_t i = 0; i < s->H * s->W; i++) {
        if (!s->keep[i]) continue;
        s->v[(i / s->W + 1) * s->row + i % s->W + 1] = (double)channel[3 * i];
        sum += (double)channel[3 * i];
    }
    const double mean = sum / (double)(s->H * s->W - s->n);
    for (int64_t i = 0; i < s->n; i++) s->r[i] = neighbours(s->v, s->at[i], s->row); /* b */
    const double squares = dot(s->r, s->r, s->n);

    clear(s->v, s);
    for (int64_t i = 0; i < s->n; i++) s->v[s->at[i]] = mean;
    for (int64_t i = 0; i < s->n; i++)
        s->r[i] -= s->diagonal[i] * mean - neighbours(s->v, s->at[i], s->row);
    return sqrt(squares);
}

/* Symmetric successive over-relaxation, up to a factor: (D/w + L) (D/w)^-1 (D/w + U) z = r, a sweep
 * down and one up.  Returns r . z. */
static double precondition(solver *s) {
    double sum = 0.0;

    clear(s->z, s); /* neighbours not reached yet count 0 on the way down */
    for (int64_t i = 0; i < s->n; i++)
        s->z[s->at[i]] = RELAXATION / s->diagonal[i] * (s->r[i] + before(s->z, s->at[i], s->row));
    for (int64_t i = s->n - 1; i >= 0; i--) {
        s->z[s->at[i]] += RELAXATION / s->diagonal[i] * after(s->z, s->at[i], s->row);
        sum += s->r[i] * s->z[s->at[i]];
    }
    return sum;
}

static bool solve(solver *s, const float *channel) {
    const int64_t n = s->n, most = 10 * n + 100;
    const double target = TOLERANCE * start(s, channel);
    double rz = 1.0;

    clear(s->p, s);
    for (int64_t k = 0; k < most; k++) {
        if (sqrt(dot(s->r, s->r, n)) <= target) return true;
        const double rz_new = precondition(s), beta = k > 0 ? rz_new / rz : 0.0;
        double curvature = 0.0;
        rz = rz_new;
        for (int64_t i = 0; i < n; i++) s->p[s->at[i]] = s->z[s->at[i]] + beta * s->p[s->at[i]];
        for (int64_t i = 0; i < n; i++) {
            const double p = s->p[s->at[i]];
            s->a_p[i] = s->diagonal[i] * p - neighbours(s->p, s->at[i], s->row);
            curvature += p * s->a_p[i];
        }
        const double alpha = rz / curvature;
        for (int64_t i = 0; i < n; i++) {
            s->v[s->at[i]] += alpha * s->p[s->at[i]];
            s->r[i] -= alpha * s->a_p[i];
        }
    }
    return false;
}

bool fv_impute_with(float *image, const uint8_t *keep, int64_t H, int64_t W, void *scratch) {
    solver s = solver_of(keep, H, W, scratch);
    bool ok = true;

    if (s.n == H * W) {
        memset(image, 0, 3 * (size_t)(H * W) * sizeof *image);
        return true;
    }
    for (int c = 0; c < 3; c++) {
        ok = solve(&s, image + c) && ok;
        for (int64_t i = 0, k = 0; i < H * W; i++)
            if (!keep[i]) image[3 * i + c] = (float)s.v[s.at[k++]];
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
