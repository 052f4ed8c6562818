#include "eval/saliency/baseline_map.h"

#include "core/rng.h"

#include <math.h>
#include <stddef.h>

static void centre(const float *pixels, int64_t H, int64_t W, uint64_t seed, uint32_t sample,
                   float *map) {
    (void)pixels, (void)seed, (void)sample;
    for (int64_t i = 0; i < H * W; i++) {
        const double y = ((double)(i / W) - 0.5 * (double)(H - 1)) / (0.25 * (double)H);
        const double x = ((double)(i % W) - 0.5 * (double)(W - 1)) / (0.25 * (double)W);
        map[i] = (float)exp(-0.5 * (y * y + x * x));
    }
}

static int64_t clamp(int64_t i, int64_t n) { return i < 0 ? 0 : i < n ? i : n - 1; }

static double luminance(const float *pixels, int64_t H, int64_t W, int64_t y, int64_t x) {
    const float *p = pixels + 3 * (clamp(y, H) * W + clamp(x, W));
    return 0.299 * (double)p[0] + 0.587 * (double)p[1] + 0.114 * (double)p[2];
}

static void edge(const float *pixels, int64_t H, int64_t W, uint64_t seed, uint32_t sample,
                 float *map) {
    static const double smooth[3] = {1.0, 2.0, 1.0};

    (void)seed, (void)sample;
    for (int64_t y = 0; y < H; y++)
        for (int64_t x = 0; x < W; x++) {
            double dy = 0.0, dx = 0.0;
            for (int64_t k = -1; k <= 1; k++) {
                dy += smooth[k + 1] * (luminance(pixels, H, W, y + 1, x + k) -
                                       luminance(pixels, H, W, y - 1, x + k));
                dx += smooth[k + 1] * (luminance(pixels, H, W, y + k, x + 1) -
                                       luminance(pixels, H, W, y + k, x - 1));
            }
            map[y * W + x] = (float)hypot(dy, dx);
        }
}

static void noise(const float *pixels, int64_t H, int64_t W, uint64_t seed, uint32_t sample,
                  float *map) {
    const fv_rng_key key = {.seed = seed,
                            .purpose = FV_RNG_METRIC,
                            .sample = sample,
                            .layer = fv_rng_name("baseline random")};

    (void)pixels;
    for (int64_t i = 0; i < H * W; i++) map[i] = fv_rng_uniform(&key, (uint64_t)i);
}

static const fv_baseline baselines[] = {
    {"centre", "a Gaussian at the middle of the image", centre},
    {"edge", "gradient magnitude of the image's luminance", edge},
    {"random", "uniform noise", noise},
};

const fv_baseline *fv_baseline_at(int i) {
    return i >= 0 && i < (int)(sizeof baselines / sizeof *baselines) ? &baselines[i] : NULL;
}
