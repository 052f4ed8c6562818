/* scorer.h - the model as metrics see it: images in, the explained class's score out.
 *
 * Metrics know no models.  They describe the images they want scored one by one; this module makes
 * them in batches of bounded size and hands these to a callback. */
#ifndef FV_EVAL_SALIENCY_SCORER_H
#define FV_EVAL_SALIENCY_SCORER_H

#include "core/status.h"

#include <stdint.h>

#define FV_SCORER_BATCH 32

typedef struct fv_class_score {
    float logit;       /* of the explained class */
    float probability; /* its softmax */
} fv_class_score;

/* Scores images [n,H,W,3] (f32, normalised) for the class that user stands for.  A score must depend on
 * its own image only. */
typedef fv_status fv_score_fn(void *user, const float *images, int64_t n, fv_class_score *out);

typedef struct fv_scorer {
    fv_score_fn *score;
    void *user;
    int64_t batch; /* images per call at most, 0 = FV_SCORER_BATCH */
} fv_scorer;

/* Writes image i of a series.  Depends on i alone: called from several threads at once, in any order;
 * may use fv_scratch of a size reserved before. */
typedef void fv_make_image_fn(void *user, int64_t i, float *image);

/* Scores images 0..n-1 of a series, each of `size` = H*W*3 floats, into out [n].
 * Errors: the callback's, FV_ERR_NONFINITE (a score), FV_ERR_NOMEM. */
fv_status fv_score_series(const fv_scorer *scorer, int64_t n, int64_t size, fv_make_image_fn *make,
                          void *user, fv_class_score *out);

/* The score of one image. */
fv_status fv_score_image(const fv_scorer *scorer, const float *image, fv_class_score *out);

#endif
