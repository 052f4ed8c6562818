#include "eval/saliency/metric_sparsity.h"

#include "core/alloc.h"
#include "eval/ranking.h"
#include "eval/saliency/metric.h"

#include <math.h>

static const fv_metric_value values[] = {{"sparseness", "Gini index of |relevance|", true},
                                         {"complexity", "entropy of |relevance|, nats", false},
                                         {0}};

fv_status fv_gini(const float *map, int64_t n, double *out) {
    double weighted = 0.0, sum = 0.0;

    *out = NAN;
    double *a = fv_alloc((size_t)n, sizeof *a);
    if (!a) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++) a[i] = fabs((double)map[i]);
    fv_sort_ascending(a, n);
    for (int64_t i = 0; i < n; i++) {
        weighted += (double)(2 * (i + 1) - n - 1) * a[i];
        sum += a[i];
    }
    if (sum > 0.0) *out = weighted / ((double)n * sum);
    fv_free(a);
    return FV_OK;
}

double fv_map_entropy(const float *map, int64_t n) {
    double sum = 0.0, entropy = 0.0;

    for (int64_t i = 0; i < n; i++) sum += fabs((double)map[i]);
    if (!(sum > 0.0)) return NAN;
    for (int64_t i = 0; i < n; i++) {
        const double p = fabs((double)map[i]) / sum;
        if (p > 0.0) entropy -= p * log(p);
    }
    return entropy;
}

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;

    out[1] = fv_map_entropy(c->map, n);
    return fv_gini(c->map, n, &out[0]);
}

const fv_metric fv_metric_sparsity = {
    .name = "sparsity", .summary = "how few pixels carry the map", .values = values, .run = run};
