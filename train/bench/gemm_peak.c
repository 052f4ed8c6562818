#include "train/bench/gemm_peak.h"

#include "core/alloc.h"
#include "core/backend/backend.h"
#include "core/clock.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/rng.h"

#include <stdatomic.h>
#include <string.h>

#define SIDE 2048

/* Rows and columns of a tile; which one is fastest depends on caches and threads. */
static const struct {
    int64_t rows, columns;
} tilings[] = {{128, 512}, {256, 256}, {512, 512}, {1024, 256}};

#define TILINGS ((int)(sizeof tilings / sizeof *tilings))

struct fv_gemm_peak {
    fv_dtype dtype;
    void *a, *b; /* [SIDE, SIDE] */
    float *c;
    const fv_gemm_plan *plan[TILINGS];
    int tiling; /* that runs */
    atomic_int failed;
    double gflops;
};

static fv_status find_plans(fv_gemm_peak *p) {
    for (int i = 0; i < TILINGS; i++) {
        fv_gemm desc;
        memset(&desc, 0, sizeof desc); /* descriptors are compared by their bytes */
        desc.m = tilings[i].rows;
        desc.n = tilings[i].columns;
        desc.k = desc.lda = desc.ldb = desc.ldc = SIDE;
        desc.trans_b = 1;
        desc.ab = p->dtype;
        desc.c = FV_F32;
        FV_TRY(fv_backend()->gemm_find(&desc, &p->plan[i]));
    }
    return FV_OK;
}

static fv_status fill(fv_gemm_peak *p) {
    const fv_rng_key key = {.purpose = FV_RNG_TEST};
    const size_t n = (size_t)SIDE * SIDE;

    p->a = fv_alloc(n, sizeof(float));
    p->b = fv_alloc(n, sizeof(float));
    p->c = fv_calloc(n, sizeof(float));
    if (!p->a || !p->b || !p->c) return FV_ERR_NOMEM;
    for (size_t i = 0; i < n; i++) p->c[i] = fv_rng_uniform(&key, i) - 0.5f;
    if (p->dtype == FV_BF16) {
        fv_kernel()->to_bf16((int64_t)n, p->c, p->a);
        fv_kernel()->to_bf16((int64_t)n, p->c, p->b);
    } else {
        memcpy(p->a, p->c, n * sizeof(float));
        memcpy(p->b, p->c, n * sizeof(float));
    }
    return FV_OK;
}

fv_status fv_gemm_peak_create(bool bf16, fv_gemm_peak **out) {
    *out = NULL;
    fv_gemm_peak *p = fv_calloc(1, sizeof *p);
    if (!p) return FV_ERR_NOMEM;
    p->dtype = bf16 ? FV_BF16 : FV_F32;
    fv_status status = fill(p);
    if (status == FV_OK) status = find_plans(p);
    if (status != FV_OK) {
        fv_gemm_peak_destroy(p);
        return status;
    }
    *out = p;
    return FV_OK;
}

void fv_gemm_peak_destroy(fv_gemm_peak *p) {
    if (!p) return;
    fv_free(p->a);
    fv_free(p->b);
    fv_free(p->c);
    fv_free(p);
}

static void run_tile(int64_t task, void *arg) {
    fv_gemm_peak *p = arg;
    const int64_t rows = tilings[p->tiling].rows, columns = tilings[p->tiling].columns;
    const int64_t across = SIDE / columns;
    const int64_t row = task / across * rows, column = task % across * columns;
    const size_t size = fv_dtype_bytes(p->dtype);

    if (fv_backend()->gemm_run(p->plan[p->tiling], (char *)p->a + (size_t)(row * SIDE) * size,
                               (char *)p->b + (size_t)(column * SIDE) * size, NULL,
                               p->c + row * SIDE + column) != FV_OK)
        atomic_store(&p->failed, 1);
}

fv_status fv_gemm_peak_measure(fv_gemm_peak *p) {
    for (p->tiling = 0; p->tiling < TILINGS; p->tiling++) {
        const int64_t tasks = SIDE / tilings[p->tiling].rows * (SIDE / tilings[p->tiling].columns);
        const double start = fv_clock_seconds();
        fv_parallel(tasks, run_tile, p);
        const double gflops = 2e-9 * SIDE * SIDE * SIDE / (fv_clock_seconds() - start);
        if (gflops > p->gflops) p->gflops = gflops;
    }
    return atomic_load(&p->failed) ? FV_FAIL(FV_ERR_BACKEND, "a matrix product failed") : FV_OK;
}

double fv_gemm_peak_gflops(const fv_gemm_peak *p) { return p->gflops; }
