/* linear_scorer.h - a model for tests of metrics: logit = w . x + b, probability = sigmoid(logit). */
#ifndef FV_TESTS_SUPPORT_LINEAR_SCORER_H
#define FV_TESTS_SUPPORT_LINEAR_SCORER_H

#include "eval/saliency/scorer.h"

typedef struct linear_scorer {
    const float *weight; /* [size]; NULL: all zero */
    double bias;
    int64_t size;          /* H*W*3 */
    int64_t images, calls; /* seen so far */
    int64_t largest_batch;
    fv_status fail_with; /* from call fail_at (from 1) on, unless FV_OK */
    int64_t fail_at;
    float last_logit; /* added to the last image of every batch: NaN makes a bad score */
} linear_scorer;

/* The callback; user is a linear_scorer. */
fv_status linear_score(void *user, const float *images, int64_t n, fv_class_score *out);

/* x * w, summed over channels: the map [size/3] that explains this model exactly. */
void linear_scorer_map(const linear_scorer *s, const float *image, float *map);

/* n numbers in [-1, 1) from the test stream of the random generator. */
void random_floats(uint32_t stream, int64_t n, float *out);

#endif
