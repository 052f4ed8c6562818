#include "eval/saliency/baseline_map.h"

#include "tests/support/linear_scorer.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define H 9
#define W 13
#define N (H * W)

static float pixels[3 * N], map[N], other[N];

static const fv_baseline *find(const char *name) {
    for (int i = 0; fv_baseline_at(i); i++)
        if (strcmp(fv_baseline_at(i)->name, name) == 0) return fv_baseline_at(i);
    cr_assert(false, "no baseline %s", name);
    return NULL;
}

Test(eval_baseline_map, centre_is_highest_in_the_middle) {
    find("centre")->map(pixels, H, W, 1, 2, map);
    cr_expect_eq(map[4 * W + 6], 1);
    for (int i = 0; i < N; i++) {
        cr_expect_eq(map[i], map[N - 1 - i]);
        cr_expect(i == N / 2 || map[i] < 1);
    }
    /* A quarter of the height off: one sigma. */
    cr_expect_float_eq(map[1 * W + 6], exp(-0.5 * (3 / 2.25) * (3 / 2.25)), 1e-6);
}

/* A step of grey between columns 5 and 6: |gx| = 4 * step in both. */
Test(eval_baseline_map, edge_by_hand) {
    for (int i = 0; i < 3 * N; i++) pixels[i] = i / 3 % W < 6 ? -0.5f : 0.25f;
    find("edge")->map(pixels, H, W, 1, 2, map);
    for (int i = 0; i < N; i++)
        cr_expect_float_eq(map[i], i % W == 5 || i % W == 6 ? 3.0 : 0.0, 1e-6, "%d", i);
    /* Turned, and in green alone. */
    for (int i = 0; i < 3 * N; i++) pixels[i] = i % 3 == 1 && i / 3 / W > 3 ? 1.0f : 0.0f;
    find("edge")->map(pixels, H, W, 1, 2, map);
    for (int i = 0; i < N; i++)
        cr_expect_float_eq(map[i], i / W == 3 || i / W == 4 ? 4 * 0.587 : 0.0, 1e-6, "%d", i);
}

Test(eval_baseline_map, random_depends_on_seed_and_sample) {
    const fv_baseline *random = find("random");
    double sum = 0;

    random->map(pixels, H, W, 1, 2, map);
    random->map(pixels, H, W, 1, 2, other);
    cr_expect_arr_eq(map, other, sizeof map);
    for (int i = 0; i < N; i++) {
        cr_expect(map[i] >= 0 && map[i] < 1);
        sum += (double)map[i] / N;
    }
    cr_expect_float_eq(sum, 0.5, 0.1); /* 0.29 / sqrt(117) = 0.027 */
    random->map(pixels, H, W, 2, 2, other);
    cr_expect_neq(memcmp(map, other, sizeof map), 0);
    random->map(pixels, H, W, 1, 3, other);
    cr_expect_neq(memcmp(map, other, sizeof map), 0);
}
