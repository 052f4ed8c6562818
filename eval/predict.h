/* predict.h - the most probable classes of single images. */
#ifndef FV_EVAL_PREDICT_H
#define FV_EVAL_PREDICT_H

#include "data/transform.h"
#include "models/model.h"

typedef struct fv_prediction {
    int64_t index;      /* of the class */
    double probability; /* softmax over all classes, 0..1 */
} fv_prediction;

/* Runs an image file through the evaluation transform and the model; logits has room for
 * model->num_classes.  One image is one pass, so that its logits depend on the image alone.  bf16:
 * as in evaluate.h.  Errors: fv_preprocess_load's with the path, FV_ERR_CONFIG, FV_ERR_NOMEM. */
fv_status fv_predict_file(fv_tape *tape, const fv_model *model, const fv_preprocess *preprocess,
                          bool bf16, const char *path, float *logits);

/* The same from pixels [H,W,3], normalised, of the model's size. */
fv_status fv_predict_pixels(fv_tape *tape, const fv_model *model, bool bf16, const float *pixels,
                            float *logits);

/* softmax(logits)[k] over n_classes, in double; NaN when a logit is NaN or +infinity. */
double fv_class_probability(const float *logits, int64_t n_classes, int64_t k);

/* The k largest, most probable first, the lower class of equals first; k is cut to n_classes.
 * Returns how many were written to top.  NaN counts as the largest. */
int64_t fv_predict_top(const float *logits, int64_t n_classes, int64_t k, fv_prediction *top);

#endif
