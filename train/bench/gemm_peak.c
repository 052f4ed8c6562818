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
    char *packed; /* b in the layout of the plan that runs, tile by tile; NULL: read as it is */
    const fv_gemm_plan *plan[TILINGS];
    int tiling; /* that runs */
    bool ready;
    atomic_int failed;
    double gflops;
};

static size_t packed_bytes(const fv_gemm_peak *p, int tiling) {
    return fv_backend()->gemm_packed_bytes(p->plan[tiling]);
}

static int64_t across(const fv_gemm_peak *p) { return SIDE / tilings[p->tiling].columns; }

static fv_status find_plans(fv_gemm_peak *p) {
    size_t most = 0;

    for (int i = 0; i < TILINGS; i++) {
        fv_gemm desc;
        memset(&desc, 0, sizeof desc); /* descriptors are compared by their bytes */
        desc.m = tilings[i].rows;
        desc.n = tilings[i].columns;
        desc.k = desc.lda = desc.ldb = desc.ldc = SIDE;
        desc.trans_b = desc.packed = 1;
        desc.ab = p->dtype;
        desc.c = FV_F32;
        FV_TRY(fv_backend()->gemm_find(&desc, &p->plan[i]));
        const size_t bytes = packed_bytes(p, i) * (size_t)(SIDE / desc.n);
        if (bytes > most) most = bytes;
    }
    if (most == 0) return FV_OK;
    p->packed = fv_alloc(most, 1);
    return p->packed ? FV_OK : FV_ERR_NOMEM;
}

static fv_status fill(fv_gemm_peak *p) {
    const fv_rng_key key = {.purpose = FV_RNG_TEST};
    const size_t n = (size_t)SIDE * SIDE;

    p->a = fv_alloc(n, fv_dtype_bytes(p->dtype));
    p->b = fv_alloc(n, fv_dtype_bytes(p->dtype));
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
    *out = p;
    return FV_OK;
}

void fv_gemm_peak_destroy(fv_gemm_peak *p) {
    if (!p) return;
    fv_free(p->a);
    fv_free(p->b);
    fv_free(p->c);
    fv_free(p->packed);
    fv_free(p);
}

/* Where a column tile's rows of b start. */
static const void *tile_b(const fv_gemm_peak *p, int64_t tile) {
    const int64_t row = tile * tilings[p->tiling].columns;
    return (const char *)p->b + (size_t)(row * SIDE) * fv_dtype_bytes(p->dtype);
}

static void pack_tile(int64_t tile, void *arg) {
    const fv_gemm_peak *p = arg;
    fv_backend()->gemm_pack(p->plan[p->tiling], tile_b(p, tile), 0, tilings[p->tiling].columns,
                            p->packed + (size_t)tile * packed_bytes(p, p->tiling));
}

static void run_tile(int64_t task, void *arg) {
    fv_gemm_peak *p = arg;
    const int64_t tile = task % across(p), row = task / across(p) * tilings[p->tiling].rows;
    const size_t bytes = packed_bytes(p, p->tiling);
    const void *b = bytes ? p->packed + (size_t)tile * bytes : tile_b(p, tile);

    if (fv_backend()->gemm_run(
            p->plan[p->tiling], (char *)p->a + (size_t)(row * SIDE) * fv_dtype_bytes(p->dtype), b,
            NULL, p->c + row * SIDE + tile * tilings[p->tiling].columns) != FV_OK)
        atomic_store(&p->failed, 1);
}

/* The first time only. */
static fv_status set_up(fv_gemm_peak *p) {
    if (p->ready) return FV_OK;
    FV_TRY(fill(p));
    FV_TRY(find_plans(p));
    p->ready = true;
    return FV_OK;
}

fv_status fv_gemm_peak_measure(fv_gemm_peak *p) {
    FV_TRY(set_up(p));
    for (p->tiling = 0; p->tiling < TILINGS; p->tiling++) {
        const double start = fv_clock_seconds();
        if (packed_bytes(p, p->tiling)) fv_parallel(across(p), pack_tile, p);
        fv_parallel(SIDE / tilings[p->tiling].rows * across(p), run_tile, p);
        const double gflops = 2e-9 * SIDE * SIDE * SIDE / (fv_clock_seconds() - start);
        if (gflops > p->gflops) p->gflops = gflops;
    }
    return atomic_load(&p->failed) ? FV_FAIL(FV_ERR_BACKEND, "a matrix product failed") : FV_OK;
}

double fv_gemm_peak_gflops(const fv_gemm_peak *p) { return p->gflops; }
