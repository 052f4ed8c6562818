#include "eval/saliency/scorer.h"

#include "core/alloc.h"
#include "core/parallel.h"

#include <inttypes.h>
#include <math.h>

typedef struct make_args {
    fv_make_image_fn *make;
    void *user;
    float *images;
    int64_t first, size;
} make_args;

static void make_image(int64_t task, void *arg) {
    const make_args *a = arg;
    a->make(a->user, a->first + task, a->images + task * a->size);
}

static fv_status score_batch(const fv_scorer *scorer, const float *images, int64_t n,
                             fv_class_score *out) {
    FV_TRY(scorer->score(scorer->user, images, n, out));
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(out[i].logit) || !isfinite(out[i].probability))
            return FV_FAIL(FV_ERR_NONFINITE,
                           "score of the explained class: logit %g, probability %g",
                           (double)out[i].logit, (double)out[i].probability);
    return FV_OK;
}

fv_status fv_score_series(const fv_scorer *scorer, int64_t n, int64_t size, fv_make_image_fn *make,
                          void *user, fv_class_score *out) {
    const int64_t most = scorer->batch > 0 ? scorer->batch : FV_SCORER_BATCH;
    const int64_t batch = n < most ? n : most;
    fv_status status = FV_OK;

    float *images = fv_alloc((size_t)batch * (size_t)size, sizeof *images);
    if (!images) return FV_ERR_NOMEM;
    for (int64_t first = 0; first < n && status == FV_OK; first += batch) {
        const int64_t count = n - first < batch ? n - first : batch;
        make_args args = {make, user, images, first, size};
        fv_parallel(count, make_image, &args);
        status = score_batch(scorer, images, count, out + first);
    }
    fv_free(images);
    return status;
}

fv_status fv_score_image(const fv_scorer *scorer, const float *image, fv_class_score *out) {
    return score_batch(scorer, image, 1, out);
}
