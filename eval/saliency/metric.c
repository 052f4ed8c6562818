#include "eval/saliency/metric.h"

#include "eval/saliency/metric_list.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FV_X(name) extern const fv_metric fv_metric_##name;
FV_METRIC_LIST(FV_X)
#undef FV_X

static const fv_metric *const metrics[] = {
#define FV_X(name) &fv_metric_##name,
    FV_METRIC_LIST(FV_X)
#undef FV_X
};

#define N_METRICS ((int)(sizeof metrics / sizeof *metrics))

const fv_metric *fv_metric_at(int i) { return i >= 0 && i < N_METRICS ? metrics[i] : NULL; }

fv_status fv_metric_find(const char *name, const fv_metric **metric) {
    char known[256] = "";
    size_t length = 0;

    *metric = NULL;
    for (int i = 0; i < N_METRICS; i++) {
        if (strcmp(metrics[i]->name, name) == 0) {
            *metric = metrics[i];
            return FV_OK;
        }
        if (length < sizeof known)
            length += (size_t)snprintf(known + length, sizeof known - length, "%s%s", i ? ", " : "",
                                       metrics[i]->name);
    }
    return FV_FAIL(FV_ERR_CONFIG, "no metric '%s'; there are: %s", name, known);
}

static bool has_option(const fv_metric *metric, const char *name) {
    for (const fv_metric_option *o = metric->options; o && o->name; o++)
        if (strcmp(o->name, name) == 0) return true;
    return false;
}

fv_status fv_metric_check_settings(const fv_metric_setting *settings, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        bool known = false;
        for (int m = 0; m < N_METRICS && !known; m++)
            known = has_option(metrics[m], settings[i].name);
        if (!known) return FV_FAIL(FV_ERR_CONFIG, "no metric has an option '%s'", settings[i].name);
    }
    return FV_OK;
}

fv_status fv_map_check(const float *map, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(map[i]))
            return FV_FAIL(FV_ERR_NONFINITE, "map: value %" PRId64 " of %" PRId64 " is %g", i, n,
                           (double)map[i]);
    return FV_OK;
}

static fv_status check(const fv_metric *metric, const fv_metric_context *c) {
    if (c->height <= 0 || c->width <= 0)
        return FV_FAIL(FV_ERR_SHAPE, "an image of %" PRId64 "x%" PRId64, c->height, c->width);
    if (metric->needs & FV_METRIC_SCORER && !c->scorer.score)
        return FV_FAIL(FV_ERR_CONFIG, "needs a model");
    if (metric->needs & FV_METRIC_MASK && !c->mask)
        return FV_FAIL(FV_ERR_CONFIG, "needs a box or a mask");
    if (metric->needs & FV_METRIC_MARKER && !(c->marker && c->clean))
        return FV_FAIL(FV_ERR_CONFIG, "needs a planted marker and the image without it");
    if (metric->needs & FV_METRIC_ACCOUNT && !c->account)
        return FV_FAIL(FV_ERR_CONFIG, "needs a relevance method");
    if (metric->needs & FV_METRIC_EXPLAIN && !c->explain)
        return FV_FAIL(FV_ERR_CONFIG, "needs the method");
    return fv_map_check(c->map, c->height * c->width);
}

fv_status fv_metric_run(const fv_metric *metric, const fv_metric_context *context, double *out) {
    fv_status status = check(metric, context);

    if (status == FV_OK) status = metric->run(context, out);
    if (status == FV_OK) return FV_OK;
    for (int i = 0; metric->values[i].name; i++) out[i] = NAN;
    return fv_error_context(status, "%s", metric->name);
}

double fv_metric_get(const fv_metric_context *c, const fv_metric_option *option) {
    for (int64_t i = 0; i < c->n_settings; i++)
        if (strcmp(c->settings[i].name, option->name) == 0) return c->settings[i].value;
    return option->value;
}

fv_status fv_metric_get_count(const fv_metric_context *c, const fv_metric_option *option,
                              int64_t fallback, int64_t *out) {
    const double value = fv_metric_get(c, option);

    if (!(value >= 0.0 && value <= (double)INT32_MAX) || value != floor(value))
        return FV_FAIL(FV_ERR_CONFIG, "%s is %g, not a count", option->name, value);
    *out = value > 0.0 ? (int64_t)value : fallback;
    return FV_OK;
}

fv_rng_key fv_metric_key(const fv_metric_context *c, const char *use, uint32_t step) {
    return (fv_rng_key){.seed = c->seed,
                        .purpose = FV_RNG_METRIC,
                        .step = step,
                        .sample = c->sample,
                        .layer = fv_rng_name(use)};
}
