/* metric.h - measures of an explanation of one image: how faithful, how well placed, how simple.
 *
 * A metric is a const descriptor in its own file and one line in metric_list.h.  It gets everything it
 * may look at in a context and gives one or several named numbers; means over images, their intervals
 * and comparisons are eval/statistics.h.
 *
 *     for (int i = 0; (metric = fv_metric_at(i)); i++) {
 *         if (metric->needs & ~have) continue;
 *         status = fv_metric_run(metric, &context, values);   metric->values[k] describes values[k]
 *     }
 *
 * A number that is not defined for an image (localisation by a map that is zero everywhere) is NaN with
 * FV_OK: callers count it and leave it out.  A map that is not finite is FV_ERR_NONFINITE. */
#ifndef FV_EVAL_SALIENCY_METRIC_H
#define FV_EVAL_SALIENCY_METRIC_H

#include "core/rng.h"
#include "eval/saliency/scorer.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_METRIC_MAX_VALUES 12

/* What a metric needs besides image and map. */
#define FV_METRIC_SCORER  1u  /* context.scorer */
#define FV_METRIC_MASK    2u  /* context.mask */
#define FV_METRIC_EXPLAIN 4u  /* context.explain */
#define FV_METRIC_MARKER  8u  /* context.marker and clean */
#define FV_METRIC_ACCOUNT 16u /* context.account */

/* The same method on other pixels [H,W,3] or for another class: map [H,W].  May fail with
 * FV_ERR_NONFINITE. */
typedef fv_status fv_explain_fn(void *user, const float *pixels, int64_t target, float *map);

/* A metric's number that can be set, by a name unique among all metrics. */
typedef struct fv_metric_option {
    const char *name;
    double value; /* default */
    const char *summary;
} fv_metric_option;

typedef struct fv_metric_setting {
    const char *name; /* of an fv_metric_option */
    double value;
} fv_metric_setting;

/* Everything is borrowed and only read. */
typedef struct fv_metric_context {
    int64_t height, width;
    const float *pixels;   /* [H,W,3], normalised as the model wants: 0 is the mean colour */
    const float *map;      /* [H,W], raw and signed, of the image's size */
    int64_t target;        /* the explained class */
    int64_t least;         /* the least probable class */
    const uint8_t *mask;   /* [H,W], non-zero inside the object (union of boxes); NULL: unknown */
    const uint8_t *marker; /* [H,W], non-zero on a planted marker; NULL: there is none */
    const float *clean;    /* [H,W,3], the pixels without the marker; NULL likewise */
    const struct fv_account *account; /* of a relevance method (explain.h); NULL without one */
    fv_scorer scorer;                 /* score NULL: none */
    fv_explain_fn *explain;
    void *explain_user;
    uint64_t seed;
    uint32_t sample; /* the image's index in its data set: part of random keys */
    const fv_metric_setting *settings;
    int64_t n_settings;
} fv_metric_context;

typedef struct fv_metric_value {
    const char *name; /* unique among all metrics; a column, a JSON key */
    const char *summary;
    bool higher_is_better;
} fv_metric_value;

typedef struct fv_metric {
    const char *name;
    const char *summary;
    unsigned needs;  /* FV_METRIC_... */
    bool on_request; /* only when asked for: costly, or about few methods */
    bool per_class;  /* reported as the mean over classes of the means over their images */
    const fv_metric_value *values;   /* ended by a NULL name, at most FV_METRIC_MAX_VALUES */
    const fv_metric_option *options; /* ended by a NULL name; NULL: none */
    fv_status (*run)(const fv_metric_context *context, double *out);
} fv_metric;

const fv_metric *fv_metric_at(int i); /* in list order, NULL after the last */

/* FV_ERR_CONFIG lists what there is. */
fv_status fv_metric_find(const char *name, const fv_metric **metric);

/* Runs a metric into out [number of its values], all NaN on error.
 * Errors, with the metric's name in front: FV_ERR_CONFIG (something it needs is not there, a setting
 * out of range), FV_ERR_NONFINITE (map, scores), the callbacks', FV_ERR_NOMEM. */
fv_status fv_metric_run(const fv_metric *metric, const fv_metric_context *context, double *out);

/* FV_ERR_CONFIG when a setting is an option of no metric. */
fv_status fv_metric_check_settings(const fv_metric_setting *settings, int64_t n);

/* ---- for metrics ---- */

/* The setting of an option, or its default. */
double fv_metric_get(const fv_metric_context *context, const fv_metric_option *option);
/* The same as a count of at least 1, 0 standing for fallback; FV_ERR_CONFIG. */
fv_status fv_metric_get_count(const fv_metric_context *context, const fv_metric_option *option,
                              int64_t fallback, int64_t *out);

/* The key of a use's random numbers for this image; step counts repetitions. */
fv_rng_key fv_metric_key(const fv_metric_context *context, const char *use, uint32_t step);

/* FV_ERR_NONFINITE when one of n values is not finite. */
fv_status fv_map_check(const float *map, int64_t n);

#endif
