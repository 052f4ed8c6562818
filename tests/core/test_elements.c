/* Sums over the elements of samples: right, and the same for any number of threads and beside any other
 * samples. */
#include "core/elements.h"
#include "core/parallel.h"
#include "core/rng.h"

#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES 5

static float *values;

static void leave(void) {
    free(values);
    fv_threads_set(0);
}

TestSuite(core_elements, .fini = leave);

static void fill(int64_t n) {
    const fv_rng_key key = {.seed = 3, .purpose = FV_RNG_TEST};

    free(values);
    values = malloc((size_t)(SAMPLES * n) * sizeof *values);
    cr_assert_not_null(values);
    for (int64_t i = 0; i < SAMPLES * n; i++) values[i] = fv_rng_uniform(&key, (uint64_t)i) - 0.5f;
}

/* sum, count, and that blocks begin at whole rows of their sample */
static void sum(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    const int64_t *shape = arg; /* n, row */

    cr_assert(begin / shape[0] == sample && (end - 1) / shape[0] == sample);
    cr_assert(begin % shape[1] == 0 && end % shape[1] == 0);
    for (int64_t i = begin; i < end; i++) sums[0] += (double)values[i];
    sums[1] += (double)(end - begin);
}

Test(core_elements, sums_do_not_depend_on_threads_or_neighbours) {
    static const int64_t shapes[][2] = {{1, 1},     {7, 7},       {8192, 1},      {8193, 1},
                                        {30000, 3}, {98304, 384}, {4000000, 1000}};

    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const int64_t n = shapes[k][0], row = shapes[k][1];
        double one[SAMPLES][FV_ELEMENT_SUMS], two[SAMPLES][FV_ELEMENT_SUMS];
        double alone[FV_ELEMENT_SUMS];
        fill(n);
        fv_threads_set(1);
        fv_sum_elements(SAMPLES, n, row, sum, NULL, (void *)shapes[k], &one[0][0]);
        fv_sum_elements(1, n, row, sum, NULL, (void *)shapes[k], alone);
        fv_threads_set(4);
        fv_sum_elements(SAMPLES, n, row, sum, NULL, (void *)shapes[k], &two[0][0]);
        cr_assert_eq(memcmp(one, two, sizeof one), 0);
        cr_assert_eq(memcmp(one, alone, sizeof alone), 0);
        for (int64_t b = 0; b < SAMPLES; b++) {
            double expected = 0.0;
            for (int64_t i = b * n; i < (b + 1) * n; i++) expected += (double)values[i];
            cr_assert(fabs(one[b][0] - expected) <= 1e-9, "%g", one[b][0] - expected);
            cr_assert_eq(one[b][1], (double)n);
        }
    }
}

/* More samples than are summed at a time. */
Test(core_elements, many_samples) {
    static double totals[3000][FV_ELEMENT_SUMS];
    const int64_t shape[] = {1, 1};

    values = calloc(3000, sizeof *values);
    for (int i = 0; i < 3000; i++) values[i] = (float)i;
    fv_sum_elements(3000, 1, 1, sum, NULL, (void *)shape, &totals[0][0]);
    for (int i = 0; i < 3000; i++) cr_assert_eq(totals[i][0], (double)i);
}

static void largest(double *total, const double *block) {
    if (block[0] > total[0]) total[0] = block[0];
}

static void find_largest(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    (void)sample, (void)arg;
    for (int64_t i = begin; i < end; i++)
        if ((double)values[i] > sums[0]) sums[0] = (double)values[i];
}

Test(core_elements, blocks_are_joined_as_asked) {
    double totals[SAMPLES][FV_ELEMENT_SUMS];

    fill(100000);
    for (int64_t b = 0; b < SAMPLES; b++) values[b * 100000 + 20000 * b] = 2.0f + (float)b;
    fv_sum_elements(SAMPLES, 100000, 1, find_largest, largest, NULL, &totals[0][0]);
    for (int64_t b = 0; b < SAMPLES; b++) cr_assert_eq(totals[b][0], 2.0 + (double)b);
}

static void twice(int64_t sample, int64_t begin, int64_t end, double *sums, void *arg) {
    (void)arg;
    cr_assert_null(sums);
    for (int64_t i = begin; i < end; i++) values[i] = 2.0f * values[i] + (float)sample;
}

Test(core_elements, every_element_once) {
    const int64_t n = 20001;

    fill(n);
    float *before = malloc((size_t)(SAMPLES * n) * sizeof *before);
    cr_assert_not_null(before);
    memcpy(before, values, (size_t)(SAMPLES * n) * sizeof *before);
    fv_for_elements(SAMPLES, n, 1, twice, NULL);
    for (int64_t i = 0; i < SAMPLES * n; i++)
        cr_assert_eq(values[i], 2.0f * before[i] + (float)(i / n));
    free(before);
    fv_for_elements(SAMPLES, 0, 1, twice, NULL); /* nothing to do */
    fv_for_elements(0, n, 1, twice, NULL);
}
