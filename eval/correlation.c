#include "eval/correlation.h"

#include "core/alloc.h"
#include "eval/ranking.h"

#include <math.h>
#include <stdbool.h>

/* By comparison: the variance of equal values need not come out as 0. */
static bool is_constant(const double *x, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (x[i] != x[0]) return false;
    return true;
}

static double mean(const double *x, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

double fv_pearson(const double *x, const double *y, int64_t n) {
    if (n < 2 || is_constant(x, n) || is_constant(y, n)) return NAN;

    const double mx = mean(x, n), my = mean(y, n);
    double xx = 0.0, yy = 0.0, xy = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double dx = x[i] - mx, dy = y[i] - my;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    const double r = xy / (sqrt(xx) * sqrt(yy));
    return r > 1.0 ? 1.0 : r < -1.0 ? -1.0 : r; /* NaN stays */
}

fv_status fv_spearman(const double *x, const double *y, int64_t n, double *out) {
    *out = NAN;
    double *ranks = fv_alloc(2 * (size_t)n, sizeof *ranks);
    if (!ranks) return FV_ERR_NOMEM;
    fv_status status = fv_midranks(x, n, ranks);
    if (status == FV_OK) status = fv_midranks(y, n, ranks + n);
    if (status == FV_OK) *out = fv_pearson(ranks, ranks + n, n);
    fv_free(ranks);
    return status;
}
