#include "eval/statistics.h"

#include "core/alloc.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "eval/ranking.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Rounding lets sums of the same differences in another order differ by this much, relative to the
 * sum of their magnitudes. */
#define SUM_ROUNDING 1e-12

/* ---- bootstrap ---- */

static fv_rng_key key_of(const fv_resampling *r, const char *use) {
    return (fv_rng_key){.seed = r->seed,
                        .purpose = FV_RNG_RESAMPLE,
                        .sample = fv_rng_name(use),
                        .layer = fv_rng_name(r->name ? r->name : "")};
}

static int64_t replicates_of(const fv_resampling *r) {
    return r->replicates ? r->replicates : FV_BOOTSTRAP_REPLICATES;
}

static double level_of(const fv_resampling *r) {
    return r->level != 0.0 ? r->level : FV_BOOTSTRAP_LEVEL;
}

typedef struct bootstrap_args {
    int64_t n;
    fv_statistic_fn *statistic;
    void *user;
    fv_rng_key key;
    double *value; /* [replicates] */
} bootstrap_args;

static void bootstrap_replicate(int64_t replicate, void *arg) {
    const bootstrap_args *a = arg;
    int64_t *index = fv_scratch((size_t)a->n * sizeof *index);
    fv_rng_key key = a->key;
    uint32_t word[4];

    key.step = (uint32_t)replicate;
    for (int64_t i = 0; i < a->n; i++) {
        if (i % 4 == 0) fv_rng_block(&key, (uint32_t)(i / 4), word);
        index[i] = (int64_t)(((uint64_t)word[i % 4] * (uint64_t)a->n) >> 32);
    }
    a->value[replicate] = a->statistic(a->user, index, a->n);
}

static fv_status check(int64_t n, const fv_resampling *r) {
    const double level = level_of(r);

    if (n < 2 || n > UINT32_MAX)
        return FV_FAIL(FV_ERR_CONFIG, "bootstrap: %" PRId64 " samples, at least 2 are needed", n);
    if (!(level > 0.0 && level < 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "bootstrap: level %g is not between 0 and 1", level);
    if (r->replicates < 0 || r->replicates > UINT32_MAX)
        return FV_FAIL(FV_ERR_CONFIG, "bootstrap: %" PRId64 " replicates", r->replicates);
    return FV_OK;
}

fv_status fv_bootstrap(int64_t n, fv_statistic_fn *statistic, void *user, const fv_resampling *r,
                       fv_interval *out) {
    const int64_t B = replicates_of(r);
    const double tail = 50.0 * (1.0 - level_of(r)); /* percent on either side */

    *out = (fv_interval){NAN, NAN};
    FV_TRY(check(n, r));
    FV_TRY(fv_scratch_reserve((size_t)n * sizeof(int64_t)));
    double *value = fv_alloc((size_t)B, sizeof *value);
    if (!value) return FV_ERR_NOMEM;

    fv_status status = FV_OK;
    bootstrap_args args = {n, statistic, user, key_of(r, "bootstrap"), value};
    fv_parallel(B, bootstrap_replicate, &args);
    for (int64_t i = 0; i < B && status == FV_OK; i++)
        if (!isfinite(value[i]))
            status =
                FV_FAIL(FV_ERR_NONFINITE, "bootstrap: replicate %" PRId64 " of %" PRId64, i, B);
    if (status == FV_OK) {
        fv_sort_ascending(value, B);
        *out = (fv_interval){fv_percentile(value, B, tail), fv_percentile(value, B, 100.0 - tail)};
    }
    fv_free(value);
    return status;
}

/* ---- mean ---- */

static double mean_of(void *user, const int64_t *index, int64_t n) {
    const double *x = user;
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++) sum += x[index[i]];
    return sum / (double)n;
}

/* x holds finite values only. */
static fv_status summarise_finite(double *x, int64_t n, const fv_resampling *r, fv_summary *out) {
    double sum = 0.0, squares = 0.0;

    *out = (fv_summary){
        .count = n, .mean = NAN, .sd = NAN, .se = NAN, .interval = (fv_interval){NAN, NAN}};
    for (int64_t i = 0; i < n; i++) sum += x[i];
    if (n > 0) out->mean = sum / (double)n;
    if (n < 2) return check(2, r); /* bad settings are an error for any data */
    for (int64_t i = 0; i < n; i++) squares += (x[i] - out->mean) * (x[i] - out->mean);
    out->sd = sqrt(squares / (double)(n - 1));
    out->se = out->sd / sqrt((double)n);
    return fv_bootstrap(n, mean_of, x, r, &out->interval);
}

fv_status fv_summarise(const double *x, int64_t n, const fv_resampling *r, fv_summary *out) {
    int64_t count = 0;

    *out = (fv_summary){0};
    double *finite = fv_alloc((size_t)n, sizeof *finite);
    if (!finite) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i])) finite[count++] = x[i];
    const fv_status status = summarise_finite(finite, count, r, out);
    out->undefined = n - count;
    fv_free(finite);
    return status;
}

/* ---- paired comparison ---- */

typedef struct flip_args {
    const double *difference;
    int64_t n;
    fv_rng_key key;
    double least;  /* |sum| that counts */
    uint8_t *hits; /* [flips] */
} flip_args;

static void flip_signs(int64_t flip, void *arg) {
    const flip_args *a = arg;
    fv_rng_key key = a->key;
    uint32_t word[4];
    double sum = 0.0;

    key.step = (uint32_t)flip;
    for (int64_t i = 0; i < a->n; i++) {
        if (i % 128 == 0) fv_rng_block(&key, (uint32_t)(i / 128), word);
        const bool minus = (word[i % 128 / 32] >> (i % 32)) & 1;
        sum += minus ? -a->difference[i] : a->difference[i];
    }
    a->hits[flip] = fabs(sum) >= a->least;
}

static double exact_p_value(const double *difference, int64_t n, double least) {
    const int64_t patterns = (int64_t)1 << n;
    int64_t hits = 0;

    for (int64_t pattern = 0; pattern < patterns; pattern++) {
        double sum = 0.0;
        for (int64_t i = 0; i < n; i++) sum += (pattern >> i) & 1 ? -difference[i] : difference[i];
        hits += fabs(sum) >= least;
    }
    return (double)hits / (double)patterns;
}

static fv_status sign_flip_test(const double *difference, int64_t n, const fv_resampling *r,
                                fv_comparison *out) {
    double sum = 0.0, magnitude = 0.0;

    out->p_value = NAN;
    out->exact = n <= FV_SIGN_FLIPS_EXACT;
    if (n == 0) return FV_OK;
    for (int64_t i = 0; i < n; i++) {
        sum += difference[i];
        magnitude += fabs(difference[i]);
    }
    const double least = fabs(sum) - SUM_ROUNDING * magnitude;
    if (out->exact) {
        out->p_value = exact_p_value(difference, n, least);
        return FV_OK;
    }

    int64_t n_hits = 0;
    uint8_t *hits = fv_alloc(FV_SIGN_FLIPS, sizeof *hits);
    if (!hits) return FV_ERR_NOMEM;
    flip_args args = {difference, n, key_of(r, "sign flips"), least, hits};
    fv_parallel(FV_SIGN_FLIPS, flip_signs, &args);
    for (int64_t i = 0; i < FV_SIGN_FLIPS; i++) n_hits += hits[i];
    out->p_value = (double)(1 + n_hits) / (double)(1 + FV_SIGN_FLIPS);
    fv_free(hits);
    return FV_OK;
}

fv_status fv_compare_paired(const double *a, const double *b, int64_t n, const fv_resampling *r,
                            fv_comparison *out) {
    int64_t pairs = 0;

    *out = (fv_comparison){0};
    double *difference = fv_alloc((size_t)n, sizeof *difference);
    if (!difference) return FV_ERR_NOMEM;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(a[i]) && isfinite(b[i])) difference[pairs++] = a[i] - b[i];
    fv_status status = summarise_finite(difference, pairs, r, &out->difference);
    out->difference.undefined = n - pairs;
    if (status == FV_OK) status = sign_flip_test(difference, pairs, r, out);
    fv_free(difference);
    return status;
}

/* ---- many comparisons ---- */

fv_status fv_holm(const double *p, int64_t n, double *adjusted) {
    double *ascending = fv_alloc((size_t)n, sizeof *ascending);
    double *corrected = fv_alloc((size_t)n, sizeof *corrected);
    int64_t m = 0;
    double so_far = 0.0;
    fv_status status = FV_ERR_NOMEM;

    if (!ascending || !corrected) goto cleanup;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(p[i])) ascending[m++] = p[i];
    fv_sort_ascending(ascending, m);
    for (int64_t i = 0; i < m; i++) {
        so_far = fmax(so_far, fmin(1.0, (double)(m - i) * ascending[i]));
        corrected[i] = so_far;
    }
    for (int64_t i = 0; i < n; i++) {
        /* Of equal p-values the first has the largest factor, and the later ones are not below it. */
        int64_t low = 0, high = m;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (ascending[middle] < p[i])
                low = middle + 1;
            else
                high = middle;
        }
        adjusted[i] = isnan(p[i]) ? (double)NAN : corrected[low];
    }
    status = FV_OK;
cleanup:
    fv_free(corrected);
    fv_free(ascending);
    return status;
}
