/* copies.h - passes over many changed copies of one image, in groups of at most run->max_images, so that
 * memory does not grow with their number and an image's numbers do not depend on its neighbours. */
#ifndef FV_EVAL_SALIENCY_COPIES_H
#define FV_EVAL_SALIENCY_COPIES_H

#include "eval/saliency/explain_run.h"

typedef struct fv_copies {
    int64_t image; /* b of the run */
    int64_t count;
    bool gradients; /* FV_EXPLAIN passes with backward; else FV_INFER passes */
    void *user;
    /* Writes copy k, pixels [H,W,3].  Called in order of k, a group before its pass. */
    void (*make)(void *user, int64_t k, float *pixels);
    /* Reads copy k's logits [K] and the gradient [H,W,3] of the image's score with respect to its
     * pixels (NULL without gradients).  Called in order of k, a group behind its pass. */
    void (*take)(void *user, int64_t k, const float *logits, const float *gradient);
} fv_copies;

/* Afterwards run->x and run->logits mean nothing. */
fv_status fv_copies_run(fv_explain_run *run, const fv_copies *copies);

#endif
