#include "data/sampler.h"

#include <criterion/criterion.h>

#include <string.h>

#define N 1000

Test(data_sampler, is_a_permutation) {
    int64_t order[N];
    int seen[N] = {0};

    fv_sampler_shuffle(3, 1, N, order);
    for (int i = 0; i < N; i++) {
        cr_assert(order[i] >= 0 && order[i] < N);
        cr_assert_eq(seen[order[i]]++, 0);
    }
}

Test(data_sampler, depends_on_seed_and_epoch_only) {
    int64_t a[N], b[N];

    fv_sampler_shuffle(3, 1, N, a);
    fv_sampler_shuffle(3, 1, N, b);
    cr_expect_eq(memcmp(a, b, sizeof a), 0);
    fv_sampler_shuffle(3, 2, N, b);
    cr_expect_neq(memcmp(a, b, sizeof a), 0);
    fv_sampler_shuffle(4, 1, N, b);
    cr_expect_neq(memcmp(a, b, sizeof a), 0);
}

/* Every value stands at every place equally often: chi-squared with 25 cells of expectation 800. */
Test(data_sampler, is_uniform) {
    int count[5][5] = {{0}};
    double chi = 0.0;

    for (uint32_t epoch = 0; epoch < 4000; epoch++) {
        int64_t order[5];
        fv_sampler_shuffle(11, epoch, 5, order);
        for (int i = 0; i < 5; i++) count[i][order[i]]++;
    }
    for (int i = 0; i < 25; i++) {
        const double d = count[i / 5][i % 5] - 800.0;
        chi += d * d / 800.0;
    }
    cr_expect(chi < 45.0, "chi-squared %g with 16 degrees of freedom", chi);
}

Test(data_sampler, small_sets) {
    int64_t order[1] = {-1};

    fv_sampler_shuffle(1, 1, 0, order);
    cr_expect_eq(order[0], -1);
    fv_sampler_shuffle(1, 1, 1, order);
    cr_expect_eq(order[0], 0);
    cr_expect_eq(fv_sampler_updates(103, 10), 10);
    cr_expect_eq(fv_sampler_updates(9, 10), 0);
    cr_expect_eq(fv_sampler_updates(9, 0), 0);
}

/* 14 places in batches of 8, three copies each: 3 + 3 + 2 indices in the first batch. */
Test(data_sampler, copies_are_spread_over_a_batch) {
    /* the second batch: copy 2 of index 2, three of 3, two of 4 */
    static const int64_t expected[] = {0, 1, 2, 0, 1, 2, 0, 1, 3, 4, 3, 4, 2, 3};
    static const uint8_t copies[] = {0, 0, 0, 1, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2};
    int64_t order[14];
    uint8_t repeat[14];

    fv_sampler_sequence(14, order);
    fv_sampler_repeat(3, 8, 14, order, repeat);
    for (int i = 0; i < 14; i++) {
        cr_expect_eq(order[i], expected[i], "%d: %d", i, (int)order[i]);
        cr_expect_eq(repeat[i], copies[i], "%d: %d", i, (int)repeat[i]);
    }
}

Test(data_sampler, every_copy_comes_once) {
    for (int64_t repeats = 2; repeats <= 5; repeats++) {
        int64_t order[N], shuffled[N];
        uint8_t repeat[N];
        int seen[N][5] = {{0}};
        fv_sampler_shuffle(3, 1, N, order);
        memcpy(shuffled, order, sizeof order);
        fv_sampler_repeat(repeats, 64, N, order, repeat);
        for (int i = 0; i < N; i++) cr_assert_eq(seen[order[i]][repeat[i]]++, 0);
        for (int i = 0; i < N; i++) {
            const int64_t first = i - i % 64;
            if (i % 64) cr_assert_neq(order[i], order[i - 1], "neighbours differ");
            for (int64_t k = 0; k < N; k++) /* a batch holds what the permutation has there */
                if (shuffled[k] == order[i])
                    cr_assert(k * repeats >= first - repeats && k * repeats < first + 64);
        }
    }
}
