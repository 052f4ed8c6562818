#include "data/sampler.h"

#include "core/rng.h"

void fv_sampler_sequence(int64_t n, int64_t *order) {
    for (int64_t i = 0; i < n; i++) order[i] = i;
}

/* Fisher and Yates, from the end; draw i decides what stands at place i. */
void fv_sampler_shuffle(uint64_t seed, uint32_t epoch, int64_t n, int64_t *order) {
    const fv_rng_key key = {.seed = seed, .purpose = FV_RNG_SHUFFLE, .step = epoch};

    fv_sampler_sequence(n, order);
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = fv_rng_below(&key, (uint64_t)i, (uint32_t)(i + 1));
        const int64_t other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
}

int64_t fv_sampler_updates(int64_t n, int64_t effective_batch) {
    return effective_batch > 0 ? n / effective_batch : 0;
}
