/* Selection against sorting, and bounds that must hold. */
#include "eval/saliency/sr_stages.h"
#include "tests/support/sr_input.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX 600

static float values[MAX], copy[MAX], sorted[MAX];

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Values of `kinds` different sizes (0: all different), and their order. */
static void make(int64_t n, int kinds, uint32_t layer) {
    sr_noise(values, n, layer);
    for (int64_t i = 0; i < n; i++)
        values[i] = kinds ? floorf(fabsf(values[i]) * (float)kinds) : values[i] * values[i];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
}

Test(eval_sr_select, kth_smallest_is_that_of_sorting) {
    const int64_t sizes[] = {1, 2, 3, 10, 257, MAX};

    for (uint32_t s = 0; s < 6; s++)
        for (int kinds = 0; kinds < 4; kinds++) {
            make(sizes[s], kinds, s);
            for (int64_t k = 1; k <= sizes[s]; k += 1 + k / 7) {
                memcpy(copy, values, sizeof copy);
                cr_assert_eq(fv_sr_kth_smallest(copy, sizes[s], k), sorted[k - 1]);
            }
        }
}

Test(eval_sr_select, bound_holds_and_is_tight) {
    for (int kinds = 0; kinds < 4; kinds++) {
        make(MAX, kinds, 9);
        for (int64_t k = 1; k <= MAX; k += 1 + k / 5) {
            const float bound = fv_sr_bound(values, MAX, k);
            const int64_t allowed = k + k / 16;
            cr_assert_geq(bound, sorted[k - 1]);
            if (allowed < MAX)
                cr_assert(bound < sorted[allowed] || sorted[allowed] == sorted[k - 1], "k %d",
                          (int)k);
        }
    }
}

/* Lanes that no candidate has lowered: fewer than k values are known. */
Test(eval_sr_select, bound_of_empty_lanes_is_infinite) {
    for (int i = 0; i < MAX; i++) values[i] = i < 30 ? (float)i : INFINITY;
    cr_assert_eq(fv_sr_bound(values, MAX, 31), INFINITY);
    cr_assert_lt(fv_sr_bound(values, MAX, 30), INFINITY);
    for (int i = 0; i < MAX; i++) values[i] = -1e-9f; /* rounding below zero */
    cr_assert_eq(fv_sr_bound(values, MAX, 3), 0.0f);
}

Test(eval_sr_select, collecting_finds_all_in_order) {
    static int32_t index[MAX + 1];

    for (int64_t n = 0; n < MAX; n += 37) {
        make(n, 0, 5);
        const int64_t count = fv_sr_collect(values, n, 0.1f, index);
        int64_t expected = 0;
        for (int64_t i = 0; i < n; i++) {
            if (values[i] > 0.1f) continue;
            cr_assert_eq(index[expected], i);
            expected++;
        }
        cr_assert_eq(count, expected);
    }
}

Test(eval_sr_select, mean_of_the_smallest_knows_no_order) {
    make(MAX, 0, 6);
    for (int i = 0; i < MAX; i += 3) values[i] = 0.25f; /* ties, also at the k-th */
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, MAX, sizeof *sorted, ascending);
    for (int64_t k = 1; k <= MAX + 5; k += 23) {
        const int64_t n = k < MAX ? k : MAX;
        double want = 0.0;
        for (int64_t i = 0; i < n; i++) want += (double)sorted[i] / (double)n;
        const double got = fv_sr_mean_smallest(values, MAX, k, copy);
        cr_assert_float_eq(got, want, 1e-12);
        /* Values that do not count change nothing, wherever they stand. */
        cr_assert_eq((float)fv_sr_mean_smallest(sorted, n, k, copy), (float)got);
    }
    cr_assert_eq(fv_sr_mean_smallest(values, 0, 3, copy), 0.0);
}

/* Bounds around the true weighted distance, for a dot product that is as wrong as allowed. */
Test(eval_sr_select, screening_brackets_the_distance) {
    static float norm[MAX], y[MAX], x[MAX], dot[MAX], low[MAX], lane[64];
    const fv_sr_patches p = {.n = MAX, .D = 49, .norm = norm, .y = y, .x = x};
    const fv_sr_bounds q = {.norm = 3.0f, .y = 0.4f, .x = 0.3f, .c = 3.0f, .slack = 4e-6f};
    double true_square[MAX];

    sr_noise(norm, MAX, 1);
    sr_noise(y, MAX, 2);
    sr_noise(x, MAX, 3);
    sr_noise(dot, MAX, 4);
    for (int i = 0; i < MAX; i++) {
        norm[i] = 3.0f + 0.01f * norm[i];
        /* close to half the sum of norms: distances about zero */
        const double exact = 0.5 * (3.0 + (double)norm[i]) - 1e-6 * fabs((double)dot[i]);
        const double w = 1.0 + 3.0 * hypot(0.4 - (double)y[i], 0.3 - (double)x[i]);
        true_square[i] = (3.0 + (double)norm[i] - 2.0 * exact) / (w * w);
        dot[i] = (float)(exact + (i % 2 ? 1.0 : -1.0) * 1.5e-6 * (3.0 + (double)norm[i]));
    }
    for (int i = 0; i < 64; i++) lane[i] = INFINITY;
    fv_sr_screen(&q, &p, 0, 150, dot, low, lane, 64);
    fv_sr_screen(&q, &p, 150, MAX - 150, dot + 150, low + 150, lane, 64);
    for (int i = 0; i < MAX; i++) cr_assert_leq((double)low[i], true_square[i]);
    for (int l = 0; l < 64; l++) {
        double least = INFINITY, gap = 0.0;
        for (int i = l; i < MAX; i += 64) least = fmin(least, true_square[i]);
        for (int i = l; i < MAX; i += 64) gap = fmax(gap, true_square[i] - (double)low[i]);
        cr_assert_geq((double)lane[l], least);
        cr_assert_leq(gap, 8e-5, "the bounds are useless");
    }
}
