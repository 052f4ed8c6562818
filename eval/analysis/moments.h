/* moments.h - running mean and variance of numbers that arrive one by one (Welford 1962). */
#ifndef FV_EVAL_ANALYSIS_MOMENTS_H
#define FV_EVAL_ANALYSIS_MOMENTS_H

#include <math.h>
#include <stdint.h>

typedef struct fv_moments {
    int64_t n;
    double mean, m2; /* m2: sum of squared deviations */
} fv_moments;

static inline void fv_moments_add(fv_moments *m, double x) {
    const double d = x - m->mean;
    m->mean += d / (double)++m->n;
    m->m2 += d * (x - m->mean);
}

/* Standard error of the mean; NaN for fewer than two numbers. */
static inline double fv_moments_se(const fv_moments *m) {
    return m->n < 2 ? (double)NAN : sqrt(m->m2 / (double)(m->n - 1) / (double)m->n);
}

#endif
