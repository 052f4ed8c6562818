#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/parallel.h"
#include "eval/evaluate.h"
#include "eval/probe.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define BLOCK 16 /* queries of a task */

typedef struct knn_job {
    const fv_probe_data *data;
    float *train, *test; /* rows of length 1; test padded to whole blocks */
    const fv_gemm_plan *plan;
    int64_t k;
    int64_t *rank; /* [test.n] */
    atomic_int failed;
} knn_job;

static void normalise(const float *x, int64_t n, int64_t C, float *out) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (int64_t c = 0; c < C; c++) sum += (double)x[i * C + c] * (double)x[i * C + c];
        const double scale = sum > 0.0 ? 1.0 / sqrt(sum) : 0.0;
        for (int64_t c = 0; c < C; c++) out[i * C + c] = (float)((double)x[i * C + c] * scale);
    }
}

/* Scratch of a task: similarities [BLOCK,n], the best k with their samples, votes [K]. */
static size_t scratch_bytes(const knn_job *j) {
    return (size_t)(BLOCK * j->data->train.n + j->data->K) * sizeof(float) +
           (size_t)j->k * (sizeof(int64_t) + sizeof(float));
}

/* The k largest of s [n], best first. */
static void nearest(const float *s, int64_t n, int64_t k, int64_t *index, float *value) {
    int64_t found = 0;

    for (int64_t i = 0; i < n; i++) {
        if (found == k && !(s[i] > value[k - 1])) continue;
        int64_t at = found < k ? found++ : k - 1;
        for (; at > 0 && s[i] > value[at - 1]; at--) {
            value[at] = value[at - 1];
            index[at] = index[at - 1];
        }
        value[at] = s[i];
        index[at] = i;
    }
}

static void classify_block(int64_t task, void *arg) {
    knn_job *j = arg;
    const fv_probe_data *d = j->data;
    const int64_t n = d->train.n;
    int64_t *index = fv_scratch(scratch_bytes(j));
    float *similarity = (float *)(index + j->k), *value = similarity + BLOCK * n;
    float *votes = value + j->k;

    if (fv_backend()->gemm_run(j->plan, j->test + task * BLOCK * d->C, j->train, NULL,
                               similarity) != FV_OK) {
        atomic_store(&j->failed, 1);
        return;
    }
    for (int64_t q = task * BLOCK; q < (task + 1) * BLOCK && q < d->test.n; q++) {
        nearest(similarity + (q - task * BLOCK) * n, n, j->k, index, value);
        memset(votes, 0, (size_t)d->K * sizeof *votes);
        for (int64_t i = 0; i < j->k; i++) /* relative to the best: no overflow */
            votes[d->train.label[index[i]]] +=
                expf((value[i] - value[0]) / (float)FV_KNN_TEMPERATURE);
        j->rank[q] = fv_label_rank(votes, d->K, d->test.label[q]);
    }
}

fv_status fv_probe_knn(const fv_probe_data *d, int64_t k, fv_probe_result *out) {
    const int64_t blocks = (d->test.n + BLOCK - 1) / BLOCK;
    knn_job j = {.data = d, .k = k < d->train.n ? k : d->train.n};
    fv_gemm gemm;
    int64_t top1 = 0, top5 = 0;

    *out = (fv_probe_result){0};
    if (k < 1 || d->train.n < 1 || d->test.n < 1)
        return FV_FAIL(FV_ERR_CONFIG, "nearest neighbours need a neighbour and a query");
    memset(&gemm, 0, sizeof gemm);
    gemm.m = BLOCK;
    gemm.n = gemm.ldc = d->train.n;
    gemm.k = gemm.lda = gemm.ldb = d->C;
    gemm.trans_b = gemm.apart = 1;
    gemm.ab = gemm.c = FV_F32;
    j.train = fv_alloc((size_t)d->train.n, (size_t)d->C * sizeof(float));
    j.test = fv_calloc((size_t)(blocks * BLOCK), (size_t)d->C * sizeof(float));
    j.rank = fv_alloc((size_t)d->test.n, sizeof *j.rank);
    fv_status status = j.train && j.test && j.rank ? FV_OK : FV_ERR_NOMEM;
    if (status == FV_OK) status = fv_backend()->gemm_find(&gemm, &j.plan);
    if (status == FV_OK) status = fv_scratch_reserve(scratch_bytes(&j));
    if (status == FV_OK) {
        normalise(d->train.x, d->train.n, d->C, j.train);
        normalise(d->test.x, d->test.n, d->C, j.test);
        fv_parallel(blocks, classify_block, &j);
        if (atomic_load(&j.failed)) status = FV_FAIL(FV_ERR_BACKEND, "a matrix product failed");
    }
    for (int64_t i = 0; status == FV_OK && i < d->test.n; i++) {
        top1 += j.rank[i] < 1;
        top5 += j.rank[i] < 5;
    }
    out->top1 = 100.0 * (double)top1 / (double)d->test.n;
    out->top5 = 100.0 * (double)top5 / (double)d->test.n;
    fv_free(j.train);
    fv_free(j.test);
    fv_free(j.rank);
    return status;
}
