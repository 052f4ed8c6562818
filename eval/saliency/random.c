/* random.c - a baseline that knows nothing: uniform noise in [0, 1), keyed by the seed alone, so that
 * every image gets the same. */
#include "core/rng.h"
#include "eval/saliency/explain_run.h"

static fv_status run(fv_explain_run *r) {
    const fv_rng_key key = {.seed = r->seed, .purpose = FV_RNG_RANDOM_MAP};

    for (int64_t b = 0; b < r->B; b++)
        for (int64_t i = 0; i < r->H * r->W; i++)
            r->out[b].map[i] = fv_rng_uniform(&key, (uint64_t)i);
    return FV_OK;
}

const fv_saliency_method fv_saliency_random = {.name = "random",
                                               .summary = "baseline: noise",
                                               .source = "a baseline, no paper",
                                               .kind = FV_SALIENCY_MAP,
                                               .run = run};
