#include "models/pos_resample.h"

#include "core/alloc.h"

#include <math.h>

#define CUBIC_A       (-0.5)
#define CUBIC_SUPPORT 2.0

static double cubic(double x) {
    x = fabs(x);
    if (x < 1.0) return ((CUBIC_A + 2.0) * x - (CUBIC_A + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * CUBIC_A;
    return 0.0;
}

/* What of an axis of n cells makes cell i of n_out: first, count and weights that sum to 1. */
static void weights_of(int64_t i, int64_t n, int64_t n_out, int64_t *first, int64_t *count,
                       double *weight) {
    const double scale = (double)n / (double)n_out, width = scale > 1.0 ? scale : 1.0;
    const double centre = scale * ((double)i + 0.5), support = CUBIC_SUPPORT * width;
    int64_t from = (int64_t)(centre - support + 0.5), to = (int64_t)(centre + support + 0.5);
    double sum = 0.0;

    if (centre - support + 0.5 < 0.0) from = 0;
    if (to > n) to = n;
    for (int64_t k = from; k < to; k++) {
        weight[k - from] = cubic(((double)k - centre + 0.5) / width);
        sum += weight[k - from];
    }
    for (int64_t k = from; k < to; k++) weight[k - from] /= sum;
    *first = from;
    *count = to - from;
}

/* in [outer,n,inner] -> out [outer,n_out,inner]; weight [n] is scratch. */
static void resample_axis(const double *in, int64_t outer, int64_t n, int64_t inner, int64_t n_out,
                          double *weight, double *out) {
    for (int64_t i = 0; i < n_out; i++) {
        int64_t first, count;
        weights_of(i, n, n_out, &first, &count, weight);
        for (int64_t o = 0; o < outer; o++)
            for (int64_t c = 0; c < inner; c++) {
                double sum = 0.0;
                for (int64_t k = 0; k < count; k++)
                    sum += weight[k] * in[(o * n + first + k) * inner + c];
                out[(o * n_out + i) * inner + c] = sum;
            }
    }
}

fv_status fv_pos_resample(const float *in, fv_grid_size from, fv_grid_size to, int64_t D,
                          float *out) {
    const int64_t most = from.h > from.w ? from.h : from.w;
    const int64_t n_in = from.h * from.w * D, n_mid = from.h * to.w * D, n_out = to.h * to.w * D;
    double *wide = fv_alloc((size_t)n_in, sizeof *wide);
    double *middle = fv_alloc((size_t)n_mid, sizeof *middle);
    double *result = fv_alloc((size_t)n_out, sizeof *result);
    double *weight = fv_alloc((size_t)most, sizeof *weight);

    const fv_status status = wide && middle && result && weight ? FV_OK : FV_ERR_NOMEM;
    if (status == FV_OK) {
        for (int64_t i = 0; i < n_in; i++) wide[i] = (double)in[i];
        resample_axis(wide, from.h, from.w, D, to.w, weight, middle);
        resample_axis(middle, 1, from.h, to.w * D, to.h, weight, result);
        for (int64_t i = 0; i < n_out; i++) out[i] = (float)result[i];
    }
    fv_free(wide);
    fv_free(middle);
    fv_free(result);
    fv_free(weight);
    return status;
}
