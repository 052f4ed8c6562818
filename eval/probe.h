/* probe.h - how much of the classes is in features: nearest neighbours and a linear classifier.
 *
 * Both are deterministic: work is cut by numbers of samples only, and long sums have a fixed order. */
#ifndef FV_EVAL_PROBE_H
#define FV_EVAL_PROBE_H

#include "core/status.h"

#include <stdint.h>

/* Labelled features. */
typedef struct fv_probe_set {
    const float *x;       /* [n,C] */
    const int32_t *label; /* [n], 0 .. K-1 */
    int64_t n;
} fv_probe_set;

typedef struct fv_probe_data {
    fv_probe_set train, test;
    int64_t C, K; /* width, classes */
} fv_probe_data;

typedef struct fv_probe_result {
    double top1, top5;  /* percent of the test set */
    double l2;          /* linear probe: what was chosen */
    double held_out;    /* and its top-1 on the part of train that was held out */
    int64_t iterations; /* of the last fit */
} fv_probe_result;

/* The k most similar training samples by cosine vote for their class with exp(similarity / 0.07) (Wu et
 * al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", eq. 4; DINO,
 * Caron et al. 2021, uses k = 20).  Equal similarities: the earlier sample; equal votes: the lower class. */
#define FV_KNN_TEMPERATURE 0.07
fv_status fv_probe_knn(const fv_probe_data *data, int64_t k, fv_probe_result *out);

/* Multinomial logistic regression on features standardised by the training set: mean cross entropy +
 * l2/2 |W|^2, the bias free, by full-batch L-BFGS (Nocedal and Wright 2006, algorithm 7.5).  l2 is the one
 * of 1, 0.1 .. 1e-4 with the best top-1 on every fifth sample of each class, held out for it (equal: the
 * larger); the classifier is then fitted to all. */
fv_status fv_probe_linear(const fv_probe_data *data, fv_probe_result *out);

#endif
