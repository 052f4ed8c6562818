/* sr_input.h - maps for tests of salient relevance. */
#ifndef FV_TESTS_SUPPORT_SR_INPUT_H
#define FV_TESTS_SUPPORT_SR_INPUT_H

#include "core/rng.h"

/* n normal numbers. */
static inline void sr_noise(float *x, int64_t n, uint32_t layer) {
    const fv_rng_key key = {.seed = 11, .purpose = FV_RNG_TEST, .layer = layer};
    for (int64_t i = 0; i < n; i++) x[i] = fv_rng_normal(&key, (uint64_t)i);
}

/* Relevance [H,W,3]: noise in a disc of a quarter of the shorter side, exactly `background` outside. */
static inline void sr_spot(float *x, int64_t H, int64_t W, float background, uint32_t layer) {
    const int64_t side = H < W ? H : W;

    sr_noise(x, 3 * H * W, layer);
    for (int64_t i = 0; i < H * W; i++) {
        const int64_t dy = i / W - H / 2, dx = i % W - W / 3;
        if (16 * (dy * dy + dx * dx) <= side * side) continue;
        for (int c = 0; c < 3; c++) x[3 * i + c] = background;
    }
}

#endif
