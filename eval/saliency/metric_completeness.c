/* metric_completeness.c - does the map add up to what it explains (Sundararajan et al. 2017, axiom of
 * completeness)?  delta = sum of the map - (f(x) - f(0)), f the logit and 0 the mean colour; reported
 * relative to |f(x) - f(0)|, not defined when that is 0.  Meant for methods that promise it; relevance
 * propagation promises sum + sinks = f(x) instead, which its ledger checks (explain.h). */
#include "core/alloc.h"
#include "eval/saliency/metric.h"

#include <math.h>

static const fv_metric_value values[] = {
    {"completeness_error", "|sum of the map - change of the logit| / |change of the logit|", false},
    {0}};

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    fv_class_score image, baseline;
    double sum = 0.0;

    float *mean_colour = fv_calloc(3 * (size_t)n, sizeof *mean_colour);
    if (!mean_colour) return FV_ERR_NOMEM;
    fv_status status = fv_score_image(&c->scorer, c->pixels, &image);
    if (status == FV_OK) status = fv_score_image(&c->scorer, mean_colour, &baseline);
    if (status == FV_OK) {
        const double change = (double)image.logit - (double)baseline.logit;
        for (int64_t i = 0; i < n; i++) sum += (double)c->map[i];
        out[0] = change != 0.0 ? fabs(sum - change) / fabs(change) : (double)NAN;
    }
    fv_free(mean_colour);
    return status;
}

const fv_metric fv_metric_completeness = {.name = "completeness",
                                          .summary =
                                              "sum of the map against the change of the logit",
                                          .needs = FV_METRIC_SCORER,
                                          .values = values,
                                          .run = run};
