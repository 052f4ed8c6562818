/* The distance transform against all pairs of pixels. */
#include "eval/saliency/sr_stages.h"

#include "core/rng.h"

#include <criterion/criterion.h>
#include <math.h>

#define MAX 40

static uint8_t inside[MAX * MAX];
static float out[MAX * MAX];

static int64_t nearest_square(int64_t H, int64_t W, int64_t at) {
    int64_t best = INT64_MAX;

    for (int64_t i = 0; i < H * W; i++) {
        const int64_t dy = i / W - at / W, dx = i % W - at % W;
        if (inside[i] && dy * dy + dx * dx < best) best = dy * dy + dx * dx;
    }
    return best;
}

Test(eval_sr_distance, matches_all_pairs) {
    const int64_t sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {7, 31}, {31, 7}, {40, 40}, {25, 26}};
    const uint32_t one_in[] = {2, 9, 60, 300};

    for (uint32_t s = 0; s < 7; s++)
        for (uint32_t d = 0; d < 4; d++) {
            const int64_t H = sizes[s][0], W = sizes[s][1];
            const fv_rng_key key = {.seed = 3, .purpose = FV_RNG_TEST, .layer = 4 * s + d};
            for (int64_t i = 0; i < H * W; i++)
                inside[i] = fv_rng_below(&key, (uint64_t)i, one_in[d]) == 0;
            inside[fv_rng_below(&key, 1u << 20, (uint32_t)(H * W))] = 1;
            cr_assert_eq(fv_sr_distance(inside, H, W, out), FV_OK);
            for (int64_t i = 0; i < H * W; i++)
                cr_assert_eq(out[i], (float)sqrt((double)nearest_square(H, W, i)),
                             "%dx%d 1/%u at %d: %g", (int)H, (int)W, one_in[d], (int)i,
                             (double)out[i]);
        }
}

Test(eval_sr_distance, one_pixel_far_away) {
    for (int i = 0; i < MAX * MAX; i++) inside[i] = 0;
    inside[MAX * MAX - 1] = 1;
    cr_assert_eq(fv_sr_distance(inside, MAX, MAX, out), FV_OK);
    cr_assert_eq(out[0], (float)(39.0 * sqrt(2.0)));
}

Test(eval_sr_distance, nothing_inside_gives_zero) {
    for (int i = 0; i < MAX * MAX; i++) inside[i] = 0;
    cr_assert_eq(fv_sr_distance(inside, MAX, MAX, out), FV_OK);
    for (int i = 0; i < MAX * MAX; i++) cr_assert_eq(out[i], 0.0f);
}
