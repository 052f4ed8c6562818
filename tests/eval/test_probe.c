#include "eval/probe.h"

#include "core/parallel.h"
#include "core/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define OK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

#define N_TRAIN \
    900 /* blocks of 256: the last is not full, and none of the held-out fit's is the last */
#define N_TEST  210
#define WIDTH   6
#define CLASSES 3

static float train_x[N_TRAIN * WIDTH], test_x[N_TEST * WIDTH];
static int32_t train_label[N_TRAIN], test_label[N_TEST];
static const fv_probe_data data = {.train = {train_x, train_label, N_TRAIN},
                                   .test = {test_x, test_label, N_TEST},
                                   .C = WIDTH,
                                   .K = CLASSES};

static void fill(float *x, int32_t *label, int64_t n, uint32_t sample, float apart) {
    const fv_rng_key key = {.purpose = FV_RNG_TEST, .sample = sample};

    for (int64_t i = 0; i < n; i++) {
        label[i] = (int32_t)(i % CLASSES);
        for (int64_t c = 0; c < WIDTH; c++)
            x[i * WIDTH + c] = fv_rng_normal(&key, (uint64_t)(i * WIDTH + c)) +
                               (c % CLASSES == label[i] ? apart : 0.0f) + (c == 1 ? 40.0f : 0.0f);
    }
}

static void make(float apart) {
    fill(train_x, train_label, N_TRAIN, 1, apart);
    fill(test_x, test_label, N_TEST, 2, apart);
}

TestSuite(eval_probe);

/* A scan in double, votes by their definition. */
static double knn_reference(int64_t k) {
    int64_t right = 0;

    for (int64_t q = 0; q < N_TEST; q++) {
        double s[N_TRAIN], votes[CLASSES] = {0};
        for (int64_t i = 0; i < N_TRAIN; i++) {
            double ab = 0.0, aa = 0.0, bb = 0.0;
            for (int64_t c = 0; c < WIDTH; c++) {
                const double a = (double)test_x[q * WIDTH + c], b = (double)train_x[i * WIDTH + c];
                ab += a * b;
                aa += a * a;
                bb += b * b;
            }
            s[i] = ab / sqrt(aa * bb);
        }
        for (int64_t n = 0; n < k; n++) {
            int64_t best = 0;
            for (int64_t i = 1; i < N_TRAIN; i++)
                if (s[i] > s[best]) best = i;
            votes[train_label[best]] += exp(s[best] / FV_KNN_TEMPERATURE);
            s[best] = -2.0;
        }
        int64_t most = 0;
        for (int64_t c = 1; c < CLASSES; c++)
            if (votes[c] > votes[most]) most = c;
        right += most == test_label[q];
    }
    return 100.0 * (double)right / N_TEST;
}

Test(eval_probe, neighbours_vote_as_defined) {
    fv_probe_result r;

    fill(train_x, train_label, N_TRAIN, 1, 2.0f);
    fill(test_x, test_label, N_TEST, 2, 2.0f);
    for (int64_t i = 0; i < N_TRAIN; i++) train_x[i * WIDTH + 1] -= 40.0f;
    for (int64_t i = 0; i < N_TEST; i++) test_x[i * WIDTH + 1] -= 40.0f;
    for (int64_t k = 1; k <= 20; k += 19) {
        OK(fv_probe_knn(&data, k, &r));
        const double expected = knn_reference(k);
        cr_expect(fabs(r.top1 - expected) < 1e-9, "k %d: %g, not %g", (int)k, r.top1, expected);
        cr_expect_lt(r.top1, 100.0);
        cr_expect_eq(r.top5, 100.0, "three classes");
    }
    OK(fv_probe_knn(&data, 100000, &r)); /* more than there are */
    cr_assert_eq(fv_probe_knn(&data, 0, &r), FV_ERR_CONFIG);
}

Test(eval_probe, a_sample_is_its_own_nearest_neighbour) {
    fv_probe_result r;
    fv_probe_data self = data;

    make(0.0f);
    self.test = self.train;
    OK(fv_probe_knn(&self, 1, &r));
    cr_assert_eq(r.top1, 100.0);
}

Test(eval_probe, linear_probe_finds_what_is_linear) {
    fv_probe_result r;

    make(6.0f);
    OK(fv_probe_linear(&data, &r));
    cr_assert_gt(r.top1, 99.0, "%g", r.top1);
    make(1.0f);
    OK(fv_probe_linear(&data, &r));
    /* The best of all classifiers of equal spheres takes the class with the largest sum over its columns: */
    int64_t right = 0;
    for (int64_t q = 0; q < N_TEST; q++) {
        const float *x = test_x + q * WIDTH;
        const float sum[CLASSES] = {x[0] + x[3], x[1] - 40.0f + x[4], x[2] + x[5]};
        int most = 0;
        for (int c = 1; c < CLASSES; c++)
            if (sum[c] > sum[most]) most = c;
        right += most == test_label[q];
    }
    const double best = 100.0 * (double)right / N_TEST;
    cr_expect_lt(fabs(r.top1 - best), 5.0, "%g, and %g at best", r.top1, best);
}

/* Signs of two columns decide together: no linear classifier can tell, neighbours can. */
Test(eval_probe, what_is_not_linear_is_left_to_neighbours) {
    static fv_probe_result linear, knn;
    fv_probe_data two = data;

    make(0.0f);
    for (int64_t i = 0; i < N_TRAIN + N_TEST; i++) {
        float *x = i < N_TRAIN ? train_x + i * WIDTH : test_x + (i - N_TRAIN) * WIDTH;
        int32_t *label = i < N_TRAIN ? train_label + i : test_label + (i - N_TRAIN);
        x[1] -= 40.0f;
        for (int c = 2; c < WIDTH; c++) x[c] *= 0.1f;
        *label = x[0] * x[1] > 0.0f;
    }
    two.K = 2;
    OK(fv_probe_linear(&two, &linear));
    OK(fv_probe_knn(&two, 20, &knn));
    cr_expect_lt(linear.top1, 65.0, "%g", linear.top1);
    cr_expect_gt(knn.top1, 90.0, "%g", knn.top1);
}

Test(eval_probe, threads_change_nothing) {
    fv_probe_result one, many;

    make(1.0f);
    for (int i = 0; i < 2; i++) {
        fv_threads_set(1);
        OK(i ? fv_probe_linear(&data, &one) : fv_probe_knn(&data, 5, &one));
        fv_threads_set(3);
        OK(i ? fv_probe_linear(&data, &many) : fv_probe_knn(&data, 5, &many));
        cr_assert_eq(memcmp(&one, &many, sizeof one), 0);
    }
}

/* Fewer samples than would leave any to hold out, constant columns, a class without samples. */
Test(eval_probe, small_and_degenerate_sets_are_fine) {
    fv_probe_result r;
    fv_probe_data few = data;

    make(8.0f);
    for (int64_t i = 0; i < N_TRAIN; i++) train_x[i * WIDTH + 5] = 7.0f;
    few.train.n = 6;
    few.K = 9;
    OK(fv_probe_linear(&few, &r));
    cr_assert_gt(r.top1, 60.0, "%g", r.top1);
    few.train.n = 0;
    cr_assert_eq(fv_probe_linear(&few, &r), FV_ERR_CONFIG);
}
