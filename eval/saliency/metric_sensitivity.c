/* metric_sensitivity.c - max-sensitivity (Yeh et al. 2019, eq. 4): the largest relative change
 * |map(x') - map(x)| / |map(x)| (Euclidean) over n images x' = x + r (max x - min x) u, u uniform in
 * [-1,1) per value.  Not defined for a map of zeros. */
#include "core/alloc.h"
#include "eval/saliency/metric.h"

#include <math.h>

static const fv_metric_value values[] = {
    {"max_sensitivity", "largest relative change under small noise", false}, {0}};

enum { PERTURBATIONS, RADIUS };
static const fv_metric_option options[] = {
    [PERTURBATIONS] = {"sensitivity_perturbations", 10, "noisy images"},
    [RADIUS] = {"sensitivity_radius", 0.02, "of the noise, in units of the image's range"},
    {0}};

static double range_of(const float *x, int64_t n) {
    double low = (double)x[0], high = (double)x[0];

    for (int64_t i = 1; i < n; i++) {
        low = fmin(low, (double)x[i]);
        high = fmax(high, (double)x[i]);
    }
    return high - low;
}

static void perturb(const fv_metric_context *c, double amplitude, uint32_t k, float *out) {
    const fv_rng_key key = fv_metric_key(c, "sensitivity", k);

    for (int64_t i = 0; i < 3 * c->height * c->width; i++) {
        const double u = 2.0 * (double)fv_rng_uniform(&key, (uint64_t)i) - 1.0;
        out[i] = (float)((double)c->pixels[i] + amplitude * u);
    }
}

static double norm(const float *x, const float *y, int64_t n) {
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - (y ? (double)y[i] : 0.0);
        sum += d * d;
    }
    return sqrt(sum);
}

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    const double radius = fv_metric_get(c, &options[RADIUS]);
    const double amplitude = radius * range_of(c->pixels, 3 * n), size = norm(c->map, NULL, n);
    int64_t times;
    double most = 0.0;

    FV_TRY(fv_metric_get_count(c, &options[PERTURBATIONS], 10, &times));
    if (!(radius >= 0.0 && isfinite(radius)))
        return FV_FAIL(FV_ERR_CONFIG, "sensitivity_radius is %g", radius);
    float *pixels = fv_alloc(3 * (size_t)n, sizeof *pixels);
    float *map = fv_alloc((size_t)n, sizeof *map);
    fv_status status = pixels && map ? FV_OK : FV_ERR_NOMEM;
    for (int64_t k = 0; k < times && status == FV_OK; k++) {
        perturb(c, amplitude, (uint32_t)k, pixels);
        status = c->explain(c->explain_user, pixels, c->target, map);
        if (status == FV_OK) status = fv_map_check(map, n);
        if (status == FV_OK) most = fmax(most, norm(map, c->map, n));
    }
    if (status == FV_OK) out[0] = size > 0.0 ? most / size : (double)NAN;
    fv_free(map);
    fv_free(pixels);
    return status;
}

const fv_metric fv_metric_sensitivity = {.name = "sensitivity",
                                         .summary = "change of the map under small noise",
                                         .needs = FV_METRIC_EXPLAIN,
                                         .on_request = true,
                                         .values = values,
                                         .options = options,
                                         .run = run};
