#include "eval/saliency/map_similarity.h"

#include "core/alloc.h"
#include "eval/correlation.h"
#include "eval/saliency/metric.h"

#include <inttypes.h>
#include <math.h>

#define K1 0.01
#define K2 0.03

/* Sums over the window with its upper left corner at (y,x): a, b, aa, bb, ab. */
static double window_ssim(const float *a, const float *b, int64_t W, int64_t y, int64_t x,
                          double range) {
    const double n = FV_SSIM_WINDOW * FV_SSIM_WINDOW;
    const double c1 = K1 * range * K1 * range, c2 = K2 * range * K2 * range;
    double ma = 0.0, mb = 0.0, aa = 0.0, bb = 0.0, ab = 0.0;

    for (int64_t i = y; i < y + FV_SSIM_WINDOW; i++)
        for (int64_t j = x; j < x + FV_SSIM_WINDOW; j++) {
            ma += (double)a[i * W + j] / n;
            mb += (double)b[i * W + j] / n;
        }
    for (int64_t i = y; i < y + FV_SSIM_WINDOW; i++)
        for (int64_t j = x; j < x + FV_SSIM_WINDOW; j++) {
            const double da = (double)a[i * W + j] - ma, db = (double)b[i * W + j] - mb;
            aa += da * da / (n - 1.0);
            bb += db * db / (n - 1.0);
            ab += da * db / (n - 1.0);
        }
    return (2.0 * ma * mb + c1) * (2.0 * ab + c2) / ((ma * ma + mb * mb + c1) * (aa + bb + c2));
}

fv_status fv_ssim(const float *a, const float *b, int64_t H, int64_t W, double range, double *out) {
    const int64_t rows = H - FV_SSIM_WINDOW + 1, columns = W - FV_SSIM_WINDOW + 1;
    double sum = 0.0;

    *out = NAN;
    if (rows < 1 || columns < 1)
        return FV_FAIL(FV_ERR_SHAPE, "ssim: a %" PRId64 "x%" PRId64 " map, window %d", H, W,
                       FV_SSIM_WINDOW);
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++) sum += window_ssim(a, b, W, y, x, range);
    *out = sum / (double)(rows * columns);
    return FV_OK;
}

/* Spearman's correlation, or 0 and *constant where there is none.  work: 2n. */
static fv_status rank_correlation(const float *a, const float *b, int64_t n, bool magnitude,
                                  double *work, double *out, bool *constant) {
    for (int64_t i = 0; i < n; i++) {
        work[i] = magnitude ? fabs((double)a[i]) : (double)a[i];
        work[n + i] = magnitude ? fabs((double)b[i]) : (double)b[i];
    }
    FV_TRY(fv_spearman(work, work + n, n, out));
    *constant = isnan(*out);
    if (*constant) *out = 0.0;
    return FV_OK;
}

/* |map| / max |map|, in float; zeros stay zeros. */
static void to_unit(const float *map, int64_t n, float *out) {
    float most = 0.0f;

    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(map[i]));
    for (int64_t i = 0; i < n; i++) out[i] = most > 0.0f ? fabsf(map[i]) / most : 0.0f;
}

fv_status fv_map_compare(const float *a, const float *b, int64_t H, int64_t W,
                         fv_map_similarity *out) {
    const int64_t n = H * W;
    double *work = NULL;
    float *unit = NULL;

    *out = (fv_map_similarity){0};
    FV_TRY(fv_map_check(a, n));
    FV_TRY(fv_map_check(b, n));
    fv_status status = FV_ERR_NOMEM;
    work = fv_alloc(2 * (size_t)n, sizeof *work);
    unit = fv_alloc(2 * (size_t)n, sizeof *unit);
    if (!work || !unit) goto cleanup;
    status = rank_correlation(a, b, n, false, work, &out->spearman, &out->constant);
    if (status == FV_OK)
        status = rank_correlation(a, b, n, true, work, &out->spearman_abs, &out->constant_abs);
    to_unit(a, n, unit);
    to_unit(b, n, unit + n);
    if (status == FV_OK) status = fv_ssim(unit, unit + n, H, W, 1.0, &out->ssim);
cleanup:
    fv_free(unit);
    fv_free(work);
    return status;
}

fv_status fv_class_sensitivity(const float *most, const float *least, int64_t n, double *out,
                               bool *constant) {
    *out = NAN;
    *constant = false;
    FV_TRY(fv_map_check(most, n));
    FV_TRY(fv_map_check(least, n));
    double *work = fv_alloc(2 * (size_t)n, sizeof *work);
    if (!work) return FV_ERR_NOMEM;
    const fv_status status = rank_correlation(most, least, n, false, work, out, constant);
    fv_free(work);
    return status;
}
