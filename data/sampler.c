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

/* Copies first .. end - 1, one after the other, are a batch: which of them stands at its place j when those
 * with the same number come together. */
static int64_t copy_at(int64_t j, int64_t first, int64_t end, int64_t repeats) {
    for (int64_t r = 0;; r++) {
        const int64_t begin = first + (r + repeats - first % repeats) % repeats;
        const int64_t count = begin < end ? (end - begin - 1) / repeats + 1 : 0;
        if (j < count) return begin + j * repeats;
        j -= count;
    }
}

/* Backwards, since a place reads from none behind it. */
void fv_sampler_repeat(int64_t repeats, int64_t batch, int64_t n, int64_t *order, uint8_t *repeat) {
    for (int64_t i = n - 1; i >= 0; i--) {
        const int64_t first = i - i % batch, end = n - first < batch ? n : first + batch;
        const int64_t copy = copy_at(i - first, first, end, repeats);
        order[i] = order[copy / repeats];
        repeat[i] = (uint8_t)(copy % repeats);
    }
}

int64_t fv_sampler_updates(int64_t n, int64_t effective_batch) {
    return effective_batch > 0 ? n / effective_batch : 0;
}
