/* statistics.h - what a table says about numbers measured per sample: means with their uncertainty and
 * comparisons of two methods on the same samples.
 *
 * A value that is not finite means "not defined for this sample": it is counted and left out, never
 * averaged.  Sums are in double in index order.  Random draws are keyed by (seed, name, replicate), so
 * that results depend on the data and the key alone, not on threads. */
#ifndef FV_EVAL_STATISTICS_H
#define FV_EVAL_STATISTICS_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FV_BOOTSTRAP_REPLICATES 2000
#define FV_BOOTSTRAP_LEVEL      0.95
#define FV_SIGN_FLIPS           9999 /* random ones */
#define FV_SIGN_FLIPS_EXACT     16   /* pairs up to which all 2^n are taken */

/* Zero is the default of every field. */
typedef struct fv_resampling {
    uint64_t seed;
    const char *name;   /* of what is resampled: two names, two independent streams; NULL: "" */
    int64_t replicates; /* 0 = FV_BOOTSTRAP_REPLICATES */
    double level;       /* of intervals, 0 = FV_BOOTSTRAP_LEVEL */
} fv_resampling;

typedef struct fv_interval {
    double low, high;
} fv_interval;

/* A statistic of the samples index[0..n-1] (drawn with replacement).  Called from several threads at
 * once; must not use fv_scratch. */
typedef double fv_statistic_fn(void *user, const int64_t *index, int64_t n);

/* Percentile bootstrap (Efron and Tibshirani 1993, section 13.3): the statistic of `replicates` draws
 * of n out of n samples; low and high are the (1-level)/2 and (1+level)/2 quantiles, linear between
 * order statistics.  Errors: FV_ERR_CONFIG (n < 2, level not in (0,1), negative replicates),
 * FV_ERR_NONFINITE (a replicate's statistic), FV_ERR_NOMEM. */
fv_status fv_bootstrap(int64_t n, fv_statistic_fn *statistic, void *user,
                       const fv_resampling *resampling, fv_interval *out);

typedef struct fv_summary {
    int64_t count;        /* finite values */
    int64_t undefined;    /* others */
    double mean;          /* NaN when count is 0 */
    double sd, se;        /* of a value (n-1), of the mean; NaN when count < 2 */
    fv_interval interval; /* of the mean, percentile bootstrap; NaN when count < 2 */
} fv_summary;

/* Mean of x [n] and its uncertainty.  Errors: FV_ERR_CONFIG (as above), FV_ERR_NOMEM. */
fv_status fv_summarise(const double *x, int64_t n, const fv_resampling *resampling,
                       fv_summary *out);

typedef struct fv_comparison {
    fv_summary difference; /* of a - b, sample by sample */
    double p_value;        /* two-sided sign flips; NaN without a pair */
    bool exact;            /* all sign patterns were taken */
} fv_comparison;

/* Paired comparison of a [n] with b [n].  Pairs in which either is undefined are counted in
 * difference.undefined.  p_value: share of sign patterns of the differences whose |sum| is at least
 * the observed one (Fisher's randomisation test); all 2^n when n <= FV_SIGN_FLIPS_EXACT, else
 * (1 + hits) / (1 + FV_SIGN_FLIPS) of random ones (Phipson and Smyth 2010: never 0). */
fv_status fv_compare_paired(const double *a, const double *b, int64_t n,
                            const fv_resampling *resampling, fv_comparison *out);

/* Holm's step-down correction (Holm 1979) of n p-values: adjusted[i] <= alpha rejects at family-wise
 * error alpha.  NaN stays NaN and does not count as a test.  adjusted may be p.  FV_ERR_NOMEM. */
fv_status fv_holm(const double *p, int64_t n, double *adjusted);

#endif
