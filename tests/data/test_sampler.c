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
