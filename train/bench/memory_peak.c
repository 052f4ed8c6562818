#include "train/bench/memory_peak.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/parallel.h"

#include <math.h>
#include <stdbool.h>

#define NUMEL ((int64_t)1 << 25) /* 128 MiB an array */
#define BLOCK ((int64_t)1 << 17)
#define RUNS  5

typedef struct arrays {
    float *a, *b, *c;
} arrays;

static void fill(int64_t task, void *arg) {
    const arrays *x = arg;
    for (int64_t i = task * BLOCK; i < (task + 1) * BLOCK; i++) {
        x->a[i] = 0.0f;
        x->b[i] = 1.0f;
        x->c[i] = 2.0f;
    }
}

static void triad(int64_t task, void *arg) {
    const arrays *x = arg;
    for (int64_t i = task * BLOCK; i < (task + 1) * BLOCK; i++) x->a[i] = x->b[i] + 3.0f * x->c[i];
}

fv_status fv_memory_peak(double *gbytes) {
    arrays x = {fv_alloc((size_t)NUMEL, sizeof(float)), fv_alloc((size_t)NUMEL, sizeof(float)),
                fv_alloc((size_t)NUMEL, sizeof(float))};
    const bool whole = x.a && x.b && x.c;
    double best = INFINITY;

    if (whole) fv_parallel(NUMEL / BLOCK, fill, &x);
    for (int i = 0; whole && i < RUNS; i++) {
        const double start = fv_clock_seconds();
        fv_parallel(NUMEL / BLOCK, triad, &x);
        best = fmin(best, fv_clock_seconds() - start);
    }
    *gbytes = 3.0 * (double)NUMEL * sizeof(float) / best * 1e-9;
    fv_free(x.a);
    fv_free(x.b);
    fv_free(x.c);
    return whole ? FV_OK : FV_ERR_NOMEM;
}
