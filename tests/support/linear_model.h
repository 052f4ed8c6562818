/* linear_model.h - a network that is nothing but logits = W x + b over all pixels, so that the right
 * answer of an explanation method can be written down; with all that a method's test needs around it.
 *
 * The image itself is tapped "input", a map of 3 channels.  Functions abort when something fails that a
 * test is not about. */
#ifndef FV_TESTS_SUPPORT_LINEAR_MODEL_H
#define FV_TESTS_SUPPORT_LINEAR_MODEL_H

#include "eval/saliency/explain_run.h"

typedef struct linear_model {
    fv_arena arena;
    fv_model *model;
    fv_tape *tape;
    int64_t B, H, W, K;
    float *pixels;        /* [B,H,W,3] standard normal */
    float *weight, *bias; /* the model's own [K,H,W,3], [K]; standard normal, 0.1 normal */
    uint64_t seed;        /* of the requests; 0 at first */
    int64_t max_images;   /* of the requests; 3 at first: groups that end unevenly */
} linear_model;

void linear_model_open(linear_model *m, int64_t B, int64_t H, int64_t W, int64_t K);
void linear_model_close(linear_model *m);

/* A method's text as a choice, in the arena. */
fv_saliency_choice linear_model_choice(linear_model *m, const char *method);

/* Explains one class in all images; the caller destroys out[B].  try: the status instead of an abort. */
void linear_model_explain(linear_model *m, const char *method, int64_t target,
                          fv_explanation out[]);
fv_status linear_model_try(linear_model *m, const char *method, int64_t target,
                           fv_explanation out[]);

/* x [H,W,3] of image b, w [H,W,3] of class k. */
const float *linear_model_image(const linear_model *m, int64_t b);
const float *linear_model_weight(const linear_model *m, int64_t k);

#endif
