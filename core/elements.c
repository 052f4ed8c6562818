#include "core/elements.h"

#include "core/parallel.h"

#include <string.h>

#define BLOCK       8192 /* elements, at least */
#define BLOCKS_MOST 256  /* of a sample */
#define TASKS_MOST  1024 /* at a time */

typedef struct job {
    int64_t n, block, n_blocks, first_sample;
    fv_elements_fn *fn;
    void *arg;
    double (*sums)[FV_ELEMENT_SUMS]; /* of the blocks of the samples at hand; NULL: none */
} job;

static void run_block(int64_t task, void *arg) {
    const job *j = arg;
    const int64_t sample = j->first_sample + task / j->n_blocks, k = task % j->n_blocks;
    const int64_t end = (k + 1) * j->block < j->n ? (k + 1) * j->block : j->n;
    double *sums = j->sums ? j->sums[task] : NULL;

    if (sums) memset(sums, 0, sizeof j->sums[task]);
    j->fn(sample, sample * j->n + k * j->block, sample * j->n + end, sums, j->arg);
}

static void add(double *total, const double *block) {
    for (int i = 0; i < FV_ELEMENT_SUMS; i++) total[i] += block[i];
}

static job plan(int64_t n, int64_t row, fv_elements_fn *fn, void *arg) {
    const int64_t least = (n + BLOCKS_MOST - 1) / BLOCKS_MOST;
    const int64_t rows = ((least > BLOCK ? least : BLOCK) + row - 1) / row, block = rows * row;

    return (job){.n = n, .block = block, .n_blocks = (n + block - 1) / block, .fn = fn, .arg = arg};
}

void fv_for_elements(int64_t n_samples, int64_t n, int64_t row, fv_elements_fn *fn, void *arg) {
    job j = plan(n, row, fn, arg);

    fv_parallel(n_samples * j.n_blocks, run_block, &j);
}

void fv_sum_elements(int64_t n_samples, int64_t n, int64_t row, fv_elements_fn *fn,
                     fv_elements_join *join, void *arg, double *totals) {
    double sums[TASKS_MOST][FV_ELEMENT_SUMS];
    job j = plan(n, row, fn, arg);

    memset(totals, 0, (size_t)n_samples * FV_ELEMENT_SUMS * sizeof *totals);
    if (n == 0) return;
    j.sums = sums;
    const int64_t group = TASKS_MOST / j.n_blocks;
    for (; j.first_sample < n_samples; j.first_sample += group) {
        const int64_t left = n_samples - j.first_sample, count = left < group ? left : group;
        fv_parallel(count * j.n_blocks, run_block, &j);
        for (int64_t task = 0; task < count * j.n_blocks; task++)
            (join ? join : add)(totals + (j.first_sample + task / j.n_blocks) * FV_ELEMENT_SUMS,
                                sums[task]);
    }
}
