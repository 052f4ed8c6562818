/* The reference backend: plain C that any compiler vectorises a little.  Every element of C is one
 * f32 sum over k in ascending order, so its bits do not depend on how rows are cut into tiles. */
#include "core/alloc.h"
#include "core/backend/plan_table.h"

#include <pthread.h>
#include <stdatomic.h>

/* A block of op(B) stays in L1 while ROWS rows of op(A) pass over it. */
#define ROWS  32
#define COLS  64
#define DEPTH 64

struct fv_gemm_plan {
    fv_plan_node node;
};

static fv_plan_table plans;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint_fast64_t created;

static float element(const void *data, fv_dtype dtype, int64_t i) {
    return dtype == FV_BF16 ? fv_bf16_to_f32(((const fv_bf16 *)data)[i]) : ((const float *)data)[i];
}

/* op(B)[p0 .. p0+depth, j0 .. j0+cols] as f32, columns beyond cols zero. */
static void load_block(const fv_gemm *g, const void *b, int64_t p0, int64_t depth, int64_t j0,
                       int64_t cols, float block[DEPTH][COLS]) {
    const int64_t step_p = g->trans_b ? 1 : g->ldb, step_j = g->trans_b ? g->ldb : 1;

    for (int64_t p = 0; p < depth; p++) {
        const int64_t start = (p0 + p) * step_p + j0 * step_j;
        for (int64_t j = 0; j < cols; j++) block[p][j] = element(b, g->ab, start + j * step_j);
        for (int64_t j = cols; j < COLS; j++) block[p][j] = 0.0f;
    }
}

static void store_rows(const fv_gemm *g, float sums[ROWS][COLS], int64_t i0, int64_t rows,
                       int64_t j0, int64_t cols, const float *bias, void *c) {
    for (int64_t i = 0; i < rows; i++) {
        const int64_t start = (i0 + i) * g->ldc + j0;
        for (int64_t j = 0; j < cols; j++) {
            float v = g->alpha * sums[i][j];
            if (g->bias) v += bias[j0 + j];
            if (g->c == FV_BF16) {
                ((fv_bf16 *)c)[start + j] = fv_bf16_from_f32(v);
            } else {
                float *out = (float *)c + start + j;
                *out = g->accumulate ? v + *out : v;
            }
        }
    }
}

static fv_status gemm_run(const fv_gemm_plan *plan, const void *a, const void *b, const float *bias,
                          void *c) {
    const fv_gemm *g = &plan->node.desc;
    const int64_t step_i = g->trans_a ? 1 : g->lda, step_p = g->trans_a ? g->lda : 1;
    float sums[ROWS][COLS], block[DEPTH][COLS];

    for (int64_t j0 = 0; j0 < g->n; j0 += COLS) {
        const int64_t cols = g->n - j0 < COLS ? g->n - j0 : COLS;
        for (int64_t i0 = 0; i0 < g->m; i0 += ROWS) {
            const int64_t rows = g->m - i0 < ROWS ? g->m - i0 : ROWS;
            for (int64_t i = 0; i < rows; i++)
                for (int j = 0; j < COLS; j++) sums[i][j] = 0.0f;
            for (int64_t p0 = 0; p0 < g->k; p0 += DEPTH) {
                const int64_t depth = g->k - p0 < DEPTH ? g->k - p0 : DEPTH;
                load_block(g, b, p0, depth, j0, cols, block);
                for (int64_t i = 0; i < rows; i++) {
                    for (int64_t p = 0; p < depth; p++) {
                        const int64_t at = (i0 + i) * step_i + (p0 + p) * step_p;
                        const float v = element(a, g->ab, at);
                        for (int j = 0; j < COLS; j++) sums[i][j] += v * block[p][j];
                    }
                }
            }
            store_rows(g, sums, i0, rows, j0, cols, bias, c);
        }
    }
    return FV_OK;
}

static fv_status gemm_find(const fv_gemm *desc, const fv_gemm_plan **plan) {
    fv_gemm key;
    fv_status status = FV_OK;

    *plan = NULL;
    FV_TRY(fv_gemm_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    fv_plan_node *node = fv_plan_table_find(&plans, &key);
    fv_gemm_plan *fresh = node ? NULL : fv_alloc(1, sizeof *fresh);
    if (fresh) {
        fresh->node.desc = key;
        node = &fresh->node;
        fv_plan_table_add(&plans, node);
        atomic_fetch_add(&created, 1);
    }
    if (!node) status = FV_ERR_NOMEM;
    pthread_mutex_unlock(&lock);
    *plan = (const fv_gemm_plan *)node;
    return status;
}

static bool supports(fv_dtype ab) { return ab == FV_F32 || ab == FV_BF16; }

static const char *gemm_implementation(const fv_gemm_plan *plan) {
    (void)plan;
    return "ref:c";
}

static uint64_t plans_created(void) { return atomic_load(&created); }

static void destroy(fv_plan_node *node) { fv_free(node); }

static void release(void) {
    pthread_mutex_lock(&lock);
    fv_plan_table_clear(&plans, destroy);
    pthread_mutex_unlock(&lock);
}

const fv_backend_table fv_backend_ref = {.name = "reference",
                                         .supports = supports,
                                         .gemm_find = gemm_find,
                                         .gemm_run = gemm_run,
                                         .gemm_implementation = gemm_implementation,
                                         .plans_created = plans_created,
                                         .release = release};
