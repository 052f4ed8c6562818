#include "eval/saliency/metric_faithfulness.h"

#include "core/alloc.h"
#include "eval/correlation.h"
#include "eval/saliency/metric.h"

#include <inttypes.h>
#include <string.h>

static const fv_metric_value values[] = {
    {"faithfulness_correlation", "Pearson's of map sums and drops of the logit", true}, {0}};

enum { SUBSETS, PIXELS };
static const fv_metric_option options[] = {
    [SUBSETS] = {"faithfulness_subsets", 100, "random subsets of pixels"},
    [PIXELS] = {"faithfulness_pixels", 0, "pixels of a subset, 0: the width of the image"},
    {0}};

void fv_random_subset(const fv_rng_key *key, int64_t n, int64_t k, int64_t *work, int64_t *subset) {
    for (int64_t i = 0; i < n; i++) work[i] = i;
    for (int64_t i = 0; i < k; i++) {
        const int64_t j = i + fv_rng_below(key, (uint64_t)i, (uint32_t)(n - i));
        subset[i] = work[j];
        work[j] = work[i];
    }
}

typedef struct removal {
    const float *pixels;
    const int64_t *subsets;
    int64_t n_pixels, k;
} removal;

/* Image 0 is whole, image i lacks subset i-1. */
static void make_image(void *user, int64_t i, float *image) {
    const removal *r = user;

    memcpy(image, r->pixels, 3 * (size_t)r->n_pixels * sizeof *image);
    for (int64_t j = 0; j < r->k && i > 0; j++)
        memset(image + 3 * r->subsets[(i - 1) * r->k + j], 0, 3 * sizeof *image);
}

fv_status fv_subset_drops(const fv_scorer *scorer, const float *pixels, const float *map,
                          int64_t n_pixels, const int64_t *subsets, int64_t n_subsets, int64_t k,
                          double *attribution, double *drop) {
    removal r = {pixels, subsets, n_pixels, k};
    fv_class_score *score = fv_alloc((size_t)n_subsets + 1, sizeof *score);
    if (!score) return FV_ERR_NOMEM;
    const fv_status status =
        fv_score_series(scorer, n_subsets + 1, 3 * n_pixels, make_image, &r, score);
    for (int64_t i = 0; i < n_subsets && status == FV_OK; i++) {
        attribution[i] = 0.0;
        for (int64_t j = 0; j < k; j++) attribution[i] += (double)map[subsets[i * k + j]];
        drop[i] = (double)score[0].logit - (double)score[i + 1].logit;
    }
    fv_free(score);
    return status;
}

static fv_status run(const fv_metric_context *c, double *out) {
    const int64_t n = c->height * c->width;
    int64_t n_subsets, k;

    FV_TRY(fv_metric_get_count(c, &options[SUBSETS], 100, &n_subsets));
    FV_TRY(fv_metric_get_count(c, &options[PIXELS], c->width, &k));
    if (k > n) return FV_FAIL(FV_ERR_CONFIG, "subsets of %" PRId64 " pixels of %" PRId64, k, n);

    fv_status status = FV_ERR_NOMEM;
    int64_t *work = fv_alloc((size_t)n, sizeof *work);
    int64_t *subsets = fv_alloc((size_t)n_subsets * (size_t)k, sizeof *subsets);
    double *sums = fv_alloc(2 * (size_t)n_subsets, sizeof *sums);
    if (!work || !subsets || !sums) goto cleanup;
    for (int64_t i = 0; i < n_subsets; i++) {
        const fv_rng_key key = fv_metric_key(c, "faithfulness", (uint32_t)i);
        fv_random_subset(&key, n, k, work, subsets + i * k);
    }
    status = fv_subset_drops(&c->scorer, c->pixels, c->map, n, subsets, n_subsets, k, sums,
                             sums + n_subsets);
    if (status == FV_OK) out[0] = fv_pearson(sums, sums + n_subsets, n_subsets);
cleanup:
    fv_free(sums);
    fv_free(subsets);
    fv_free(work);
    return status;
}

const fv_metric fv_metric_faithfulness = {
    .name = "faithfulness",
    .summary = "correlation of map sums with drops of the logit, random subsets",
    .needs = FV_METRIC_SCORER,
    .values = values,
    .options = options,
    .run = run};
