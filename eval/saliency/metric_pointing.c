#include "eval/saliency/metric_pointing.h"

#include "core/alloc.h"
#include "eval/saliency/blur.h"
#include "eval/saliency/metric.h"

#include <inttypes.h>
#include <math.h>

static const fv_metric_value values[] = {
    {"pointing_game", "1: the maximum lies on the object", true}, {0}};

enum { TOLERANCE, SMOOTHING };
static const fv_metric_option options[] = {
    [TOLERANCE] = {"pointing_tolerance", FV_POINTING_TOLERANCE, "px around the object that count"},
    /* The reference protocol of input gradients (Fong et al. 2019): 0.02. */
    [SMOOTHING] = {"pointing_smoothing", 0, "Gaussian sigma / longer side before the maximum"},
    {0}};

int64_t fv_arg_max(const float *map, int64_t n) {
    int64_t best = 0;

    for (int64_t i = 1; i < n; i++)
        if (map[i] > map[best]) best = i;
    return best;
}

bool fv_pointing_hit(const uint8_t *mask, int64_t H, int64_t W, int64_t y, int64_t x,
                     double tolerance) {
    if (tolerance == 0.0) return mask[y * W + x] != 0;
    for (int64_t i = 0; i < H * W; i++) {
        const double dy = (double)(i / W - y), dx = (double)(i % W - x);
        if (mask[i] && dy * dy + dx * dx < tolerance * tolerance) return true;
    }
    return false;
}

static fv_status smoothed_arg_max(const fv_metric_context *c, double sigma, int64_t *best) {
    const int64_t n = c->height * c->width, size = 2 * (int64_t)ceil(4.0 * sigma) + 1;
    double *kernel = fv_alloc((size_t)size, sizeof *kernel);
    float *smooth = fv_alloc((size_t)n, sizeof *smooth);
    fv_status status = FV_ERR_NOMEM;

    if (!kernel || !smooth) goto cleanup;
    fv_gaussian_kernel(size, sigma, kernel);
    status = fv_blur(c->map, c->height, c->width, 1, kernel, size, FV_BLUR_REPLICATE, smooth);
    if (status == FV_OK) *best = fv_arg_max(smooth, n);
cleanup:
    fv_free(smooth);
    fv_free(kernel);
    return status;
}

static bool is_empty(const uint8_t *mask, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (mask[i]) return false;
    return true;
}

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    const int64_t longer = c->height > c->width ? c->height : c->width;
    const double tolerance = fv_metric_get(c, &options[TOLERANCE]);
    const double smoothing = fv_metric_get(c, &options[SMOOTHING]);
    int64_t best = fv_arg_max(c->map, n);

    if (!(tolerance >= 0.0)) return FV_FAIL(FV_ERR_CONFIG, "pointing_tolerance is %g", tolerance);
    if (!(smoothing >= 0.0 && smoothing <= 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "pointing_smoothing is %g", smoothing);
    if (smoothing > 0.0) FV_TRY(smoothed_arg_max(c, smoothing * (double)longer, &best));
    out[0] = NAN; /* without an object there is nothing to point at */
    if (!is_empty(c->mask, n))
        out[0] = fv_pointing_hit(c->mask, c->height, c->width, best / c->width, best % c->width,
                                 tolerance);
    return FV_OK;
}

const fv_metric fv_metric_pointing = {.name = "pointing",
                                      .per_class = true,
                                      .summary = "does the maximum lie on the object",
                                      .needs = FV_METRIC_MASK,
                                      .values = values,
                                      .options = options,
                                      .run = run};
