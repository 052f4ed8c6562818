/* faithful.h - scores explanation methods: maps of several methods for one image, and every metric of each
 * (metric.h).  Means over images, intervals and comparisons are faithful_table.h. */
#ifndef FV_EVAL_SALIENCY_FAITHFUL_H
#define FV_EVAL_SALIENCY_FAITHFUL_H

#include "eval/saliency/explain.h"
#include "eval/saliency/metric.h"

#define FV_FAITHFUL_MAX_METHODS 32
#define FV_FAITHFUL_MAX_METRICS 32

/* What is asked of every image; everything is borrowed. */
typedef struct fv_faithful {
    fv_tape *tape;
    const fv_model *model;
    const fv_saliency_choice *methods;
    int n_methods;
    const fv_metric *metrics[FV_FAITHFUL_MAX_METRICS];
    int n_metrics;
    int64_t against; /* fv_explain_request */
    uint64_t seed;
    int64_t max_images; /* of a pass, 0 = 8 */
    const fv_metric_setting *settings;
    int64_t n_settings;
} fv_faithful;

typedef struct fv_faithful_image {
    const float *pixels; /* [H,W,3] normalised */
    int64_t target;      /* -1: the most probable class */
    const uint8_t *mask; /* [H,W] non-zero on the object; NULL: unknown */
    const uint8_t
        *marker; /* [H,W] non-zero on a planted marker, and the image without it; NULL: none */
    const float *clean; /* [H,W,3] */
    int64_t index;      /* in the data set: a part of random keys */
} fv_faithful_image;

/* The metrics that text names, separated by commas; without text all whose needs can be met and that are
 * not on_request.  have: FV_METRIC_* bits that at least one image can meet. */
fv_status fv_faithful_choose(fv_faithful *f, const char *text, unsigned have);

/* Numbers per method, and the k-th of them; NULL behind the last. */
int fv_faithful_count(const fv_faithful *f);
const fv_metric_value *fv_faithful_value(const fv_faithful *f, int k);
const fv_metric *fv_faithful_metric(const fv_faithful *f, int k); /* that gives it */

/* values [n_methods, fv_faithful_count]: NaN where a number is not defined for this image or its map is
 * not finite.  Each method's numbers depend on the image, the method and the seed alone.  Errors:
 * fv_explain's and the metrics', with the method's name. */
fv_status fv_faithful_run(const fv_faithful *f, const fv_faithful_image *image, double *values);

#endif
