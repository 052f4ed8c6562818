#include "tests/support/linear_scorer.h"

#include "core/rng.h"

#include <math.h>

static double logit_of(const linear_scorer *s, const float *image) {
    double sum = s->bias;

    for (int64_t i = 0; i < s->size && s->weight; i++)
        sum += (double)s->weight[i] * (double)image[i];
    return sum;
}

fv_status linear_score(void *user, const float *images, int64_t n, fv_class_score *out) {
    linear_scorer *s = user;

    s->calls++;
    s->images += n;
    if (n > s->largest_batch) s->largest_batch = n;
    if (s->fail_with != FV_OK && s->calls >= s->fail_at)
        return FV_FAIL(s->fail_with, "call %d fails", (int)s->calls);
    for (int64_t k = 0; k < n; k++) {
        const double logit = logit_of(s, images + k * s->size);
        out[k] = (fv_class_score){(float)logit, (float)(1.0 / (1.0 + exp(-logit)))};
    }
    out[n - 1].logit += s->last_logit;
    return FV_OK;
}

void linear_scorer_map(const linear_scorer *s, const float *image, float *map) {
    for (int64_t i = 0; i < s->size / 3; i++) {
        double sum = 0.0;
        for (int64_t c = 3 * i; c < 3 * i + 3; c++) sum += (double)s->weight[c] * (double)image[c];
        map[i] = (float)sum;
    }
}

void random_floats(uint32_t stream, int64_t n, float *out) {
    const fv_rng_key key = {.seed = 5, .purpose = FV_RNG_TEST, .layer = stream};

    for (int64_t i = 0; i < n; i++) out[i] = 2.0f * fv_rng_uniform(&key, (uint64_t)i) - 1.0f;
}
