#include "core/tree.h"

#include "core/rng.h"

#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

enum { ROWS = 3, COLS = 5, LD = 7, OFFSET = 2, SLAB = OFFSET + ROWS * LD, MOST = 70 };

/* Contribution of chunk k to element e of the tile. */
static float part(int64_t k, int e) {
    const fv_rng_key key = {.seed = 1, .purpose = FV_RNG_TEST, .sample = (uint32_t)k};
    return fv_rng_normal(&key, (uint64_t)e) * (k % 5 == 0 ? 1000.0f : 1.0f);
}

static float partial[FV_TREE_LEVELS][SLAB];

/* One pass over chunks first .. first + count - 1 of total. */
static void pass(int64_t first, int64_t count, int64_t total, float *grad) {
    static float scratch[(FV_TREE_LEVELS + 2) * ROWS * COLS];
    fv_tree tree = {.grad = grad, .first_chunk = first, .n_chunks = count, .total_chunks = total};
    fv_tree_tile tile;

    for (int l = 0; l < fv_tree_levels(total) && count < total; l++) tree.partial[l] = partial[l];
    const int64_t room = fv_tree_scratch(&tree, ROWS * COLS);
    cr_assert_leq(room, (int64_t)(sizeof scratch / sizeof *scratch));
    for (int64_t i = 0; i < (int64_t)(sizeof scratch / sizeof *scratch); i++) scratch[i] = NAN;
    fv_tree_begin(&tile, &tree, OFFSET, ROWS, COLS, LD, scratch);
    for (int64_t k = first; k < first + count; k++) {
        float *to = fv_tree_next(&tile);
        cr_assert(to >= scratch && to + ROWS * COLS <= scratch + room);
        for (int e = 0; e < ROWS * COLS; e++) to[e] = part(k, e);
        fv_tree_push(&tile);
    }
    fv_tree_end(&tile);
}

static void forget_partials(void) {
    for (int l = 0; l < FV_TREE_LEVELS; l++)
        for (int i = 0; i < SLAB; i++) partial[l][i] = NAN;
}

static void fill(float *slab) {
    for (int i = 0; i < SLAB; i++) slab[i] = -77.0f;
}

/* The sum of chunks [first, first + count) as the header defines it: the largest power of two first,
 * each halved; what is left is added from the newest to the oldest. */
static float subtree(int64_t first, int64_t size, int e) {
    if (size == 1) return part(first, e);
    return subtree(first, size / 2, e) + subtree(first + size / 2, size / 2, e);
}

static float folded(int64_t first, int64_t count, int e) {
    int64_t size = 1;
    while (2 * size <= count) size *= 2;
    const float older = subtree(first, size, e);
    return count == size ? older : older + folded(first + size, count - size, e);
}

Test(core_tree, levels) {
    cr_expect_eq(fv_tree_levels(1), 0);
    cr_expect_eq(fv_tree_levels(2), 1);
    cr_expect_eq(fv_tree_levels(3), 2);
    cr_expect_eq(fv_tree_levels(8), 3);
    cr_expect_eq(fv_tree_levels(9), 4);
}

Test(core_tree, the_sum_is_the_stated_tree_and_close_to_the_exact_one) {
    float grad[SLAB];

    for (int64_t total = 1; total <= MOST; total++) {
        fill(grad);
        pass(0, total, total, grad);
        for (int i = 0; i < SLAB; i++) {
            const int r = (i - OFFSET) / LD, c = (i - OFFSET) % LD;
            if (i < OFFSET || c >= COLS) {
                cr_assert_eq(grad[i], -77.0f, "element %d is outside of the tile", i);
                continue;
            }
            double sum = 0, magnitude = 0;
            for (int64_t k = 0; k < total; k++) {
                sum += (double)part(k, r * COLS + c);
                magnitude += fabs((double)part(k, r * COLS + c));
            }
            cr_assert_eq(grad[i], folded(0, total, r * COLS + c), "%d chunks", (int)total);
            /* log2(70) + 1 additions on any path */
            cr_assert_leq(fabs((double)grad[i] - sum), 8 * 0x1p-24 * magnitude);
        }
    }
}

/* Cuts the batch into passes by the bits of a random word; every cut gives the bits of no cut. */
Test(core_tree, any_split_into_passes_gives_equal_bits) {
    float whole[SLAB], cut[SLAB];

    for (int64_t total = 1; total <= MOST; total++) {
        fill(whole);
        pass(0, total, total, whole);
        for (uint32_t trial = 0; trial < 12; trial++) {
            const fv_rng_key key = {
                .purpose = FV_RNG_TEST, .step = trial, .sample = (uint32_t)total};
            const uint32_t longest = trial == 0 ? 1 : 1 + fv_rng_below(&key, 99, (uint32_t)total);
            forget_partials();
            fill(cut);
            uint64_t draw = 0;
            for (int64_t first = 0; first < total;) {
                int64_t count = 1 + fv_rng_below(&key, draw++, longest);
                if (count > total - first) count = total - first;
                pass(first, count, total, cut);
                first += count;
            }
            cr_assert_eq(memcmp(whole, cut, sizeof whole), 0, "%d chunks, passes of up to %d",
                         (int)total, (int)longest);
        }
    }
}
