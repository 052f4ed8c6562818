/* metric_class_sensitivity.c - Spearman's correlation of the maps for the most and the least probable class
 * of an image (Rebuffi et al. 2020, section 5): near 1, the method does not tell classes apart.  A map
 * of equal values has no correlation: it counts as 0, and is counted by a number of its own. */
#include "core/alloc.h"
#include "eval/saliency/map_similarity.h"
#include "eval/saliency/metric.h"

static const fv_metric_value values[] = {
    {"class_sensitivity", "correlation of the maps of two classes", false},
    {"class_constant", "share of images with a constant map", false},
    {0}};

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    float *least = fv_alloc((size_t)n, sizeof *least);
    bool constant = false;

    if (!least) return FV_ERR_NOMEM;
    fv_status status = c->explain(c->explain_user, c->pixels, c->least, least);
    if (status == FV_OK) status = fv_class_sensitivity(c->map, least, n, &out[0], &constant);
    out[1] = constant;
    fv_free(least);
    return status;
}

const fv_metric fv_metric_class_sensitivity = {.name = "class_sensitivity",
                                               .summary = "likeness of the maps of two classes",
                                               .needs = FV_METRIC_EXPLAIN,
                                               .values = values,
                                               .run = run};
