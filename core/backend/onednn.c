/* The oneDNN backend: plans found again by shape, made under a lock.
 *
 * Some work is ours, because oneDNN lacks it or is slow there: products of f32 with AVX-512 but for sums over
 * rows, and with AVX2 those sums and products of rows that stay apart (gemm_panels.h); products of bf16 with
 * AVX-512 but no AMX (gemm_pairs.h); weight gradients of dense convolutions there and with AVX2 (conv_panels.h),
 * and of depthwise ones (depthwise.h) where oneDNN has no depthwise kernel: on NHWC maps version 2.6 has one for 3x3
 * only, and treats 5x5 as a grouped convolution with one channel per group, at a twentieth of the speed.
 *
 * Work on bf16 for which oneDNN has nothing, or a reference implementation only (CPUs below AVX-512),
 * goes to the plan for the same work on f32, between the conversions of widened.c. */
#include "core/alloc.h"
#include "core/backend/conv_panels.h"
#include "core/backend/depthwise.h"
#include "core/backend/gemm_pairs.h"
#include "core/backend/gemm_panels.h"
#include "core/backend/plan_table.h"
#include "core/backend/primitive.h"
#include "core/backend/widened.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct fv_gemm_plan {
    fv_plan_node node;
    fv_gemm desc;
    fv_primitive *primitive; /* NULL: wide, or ours: fv_gemm_pairs_run, fv_gemm_panels_run */
    fv_gemm_plan *wide;      /* another of the table, or NULL */
    int n_lanes;             /* ours: threads with scratch */
    fv_widened run;
};

struct fv_conv_plan {
    fv_plan_node node;
    fv_conv desc;
    fv_primitive *primitive; /* NULL: wide, or ours: fv_conv_panels_run, fv_depthwise_weights */
    fv_conv_plan *wide;      /* another of the table, or NULL */
    int n_lanes;             /* fv_conv_panels_run: threads with scratch */
    fv_widened run, pack;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* plans, creation */
static fv_plan_table gemms = {.key_bytes = sizeof(fv_gemm)};
static fv_plan_table convs = {.key_bytes = sizeof(fv_conv)};
static atomic_uint_fast64_t created;
static const char widened[] = "widened to f32";

/* bf16 that oneDNN does not have, or has as a reference implementation only. */
static bool is_missing(fv_dtype dtype, fv_status status, const fv_primitive *p) {
    if (dtype != FV_BF16) return false;
    return p ? strncmp(fv_primitive_implementation(p), "ref", 3) == 0
             : status == FV_ERR_UNSUPPORTED;
}

static void drop(fv_primitive **p) {
    fv_primitive_destroy(*p);
    *p = NULL;
}

/* ---- matrix products ---- */

#define SUM_COLUMNS 128 /* at least, of a sum over rows that is ours: narrow ones gain too little */

/* Products of f32 that are ours.  Rows apart, unless oneDNN sums up every row alike, which its batch-reduced
 * products do, e.g. "brg:avx512_core".  With AVX2 sums over rows, such as weight gradients, for which gemm:jit
 * loses a tenth to a half of its rate where rows are a large power of two apart, or a few. */
static bool is_ours(const fv_gemm *g, const fv_primitive *p) {
    const char *name = fv_primitive_implementation(p);

    if (g->ab != FV_F32 || strncmp(name, "brg", 3) == 0) return false;
    return g->apart || (g->trans_a && g->n >= SUM_COLUMNS && strcmp(fv_kernel()->isa, "avx2") == 0);
}

/* Ours and bf16. */
static bool in_pairs(const fv_gemm_plan *plan) {
    return !plan->primitive && !plan->wide && plan->desc.ab == FV_BF16;
}

static fv_status gemm_obtain(const fv_gemm *key, fv_gemm_plan **out);

static size_t gemm_packed_bytes(const fv_gemm_plan *plan) {
    if (plan->wide) return gemm_packed_bytes(plan->wide);
    if (plan->primitive || !plan->desc.packed) return 0;
    return in_pairs(plan) ? fv_gemm_pairs_bytes(&plan->desc) : fv_gemm_panels_bytes(&plan->desc);
}

static fv_status gemm_widen(fv_gemm_plan *plan) {
    const fv_gemm wide = fv_widened_gemm(&plan->desc, &plan->run);

    FV_TRY(gemm_obtain(&wide, &plan->wide));
    if (gemm_packed_bytes(plan->wide))
        plan->run.b = (fv_widened_part){0}; /* widened as it is packed */
    return FV_OK;
}

/* The library's, unless it lacks it or ours is better. */
static fv_status gemm_choose(fv_gemm_plan *plan) {
    const fv_gemm *key = &plan->desc;
    const int limit = omp_get_max_threads();

    if (fv_gemm_pairs_supports(key) || fv_gemm_panels_leads(key)) return FV_OK;
    omp_set_num_threads(1);
    const fv_status status = fv_primitive_gemm(key, &plan->primitive);
    omp_set_num_threads(limit);
    const bool missing = is_missing(key->ab, status, plan->primitive);
    if (missing || (plan->primitive && is_ours(key, plan->primitive))) drop(&plan->primitive);
    return missing ? gemm_widen(plan) : status;
}

static fv_status gemm_create(const fv_gemm *key, fv_gemm_plan **out) {
    fv_gemm_plan *plan = fv_calloc(1, sizeof *plan);

    *out = NULL;
    if (!plan) return FV_ERR_NOMEM;
    plan->desc = *key;
    plan->node.key = &plan->desc;
    const fv_status status = gemm_choose(plan);
    if (status != FV_OK) {
        fv_free(plan);
        return status;
    }
    *out = plan;
    return FV_OK;
}

static void gemm_destroy(fv_plan_node *node) {
    fv_primitive_destroy(((fv_gemm_plan *)node)->primitive);
    fv_free(node);
}

static fv_status gemm_equip(fv_gemm_plan *plan) {
    if (plan->primitive) return fv_primitive_equip(plan->primitive);
    if (in_pairs(plan)) return fv_gemm_pairs_equip(&plan->desc, &plan->n_lanes);
    if (!plan->wide) return plan->desc.trans_a ? fv_gemm_panels_equip(&plan->n_lanes) : FV_OK;
    FV_TRY(gemm_equip(plan->wide));
    return fv_widened_equip(&plan->run);
}

/* Under the lock. */
static fv_status gemm_obtain(const fv_gemm *key, fv_gemm_plan **out) {
    *out = (fv_gemm_plan *)fv_plan_table_find(&gemms, key);
    if (!*out) {
        FV_TRY(gemm_create(key, out));
        fv_plan_table_add(&gemms, &(*out)->node);
        atomic_fetch_add(&created, 1);
    }
    return gemm_equip(*out);
}

static fv_status gemm_find(const fv_gemm *desc, const fv_gemm_plan **out) {
    fv_gemm_plan *plan = NULL;
    fv_gemm key;

    *out = NULL;
    FV_TRY(fv_gemm_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    const fv_status status = gemm_obtain(&key, &plan);
    pthread_mutex_unlock(&lock);
    if (status == FV_OK) *out = plan;
    return status;
}

static fv_status gemm_run(const fv_gemm_plan *plan, const void *a, const void *b, const float *bias,
                          void *c) {
    fv_widened_call call;

    if (plan->primitive) return fv_primitive_run(plan->primitive, a, b, bias, c);
    if (plan->wide) {
        FV_TRY(fv_widened_begin(&plan->run, a, b, c, &call));
        return fv_widened_end(&call, gemm_run(plan->wide, call.a, call.b, bias, call.out));
    }
    return in_pairs(plan) ? fv_gemm_pairs_run(&plan->desc, plan->n_lanes, a, b, bias, c)
                          : fv_gemm_panels_run(&plan->desc, plan->n_lanes, a, b, bias, c);
}

static void gemm_pack(const fv_gemm_plan *plan, const void *b, int64_t first, int64_t count,
                      void *packed) {
    if (in_pairs(plan))
        fv_gemm_pairs_pack(&plan->desc, b, first, count, packed);
    else
        fv_gemm_panels_pack(&plan->desc, b, first, count, packed);
}

static const char *gemm_implementation(const fv_gemm_plan *plan) {
    if (plan->primitive) return fv_primitive_implementation(plan->primitive);
    if (plan->wide) return widened;
    return in_pairs(plan) ? "fovea:pairs" : "fovea:panels";
}

/* ---- convolutions ---- */

static fv_status conv_obtain(const fv_conv *key, fv_conv_plan **out);

static fv_status conv_widen(fv_conv_plan *plan) {
    const fv_conv wide = fv_widened_conv(&plan->desc, &plan->run, &plan->pack);
    return conv_obtain(&wide, &plan->wide);
}

/* Weight gradients that we do better: depthwise ones for which oneDNN has no depthwise kernel, and dense ones in
 * bf16 where fv_pairs_lead and in f32 with AVX2. */
static bool conv_is_ours(const fv_conv *c, const fv_primitive *p) {
    if (fv_depthwise_weights_supports(c))
        return !p || strncmp(fv_primitive_implementation(p), "jit_dw", 6) != 0;
    return fv_conv_panels_supports(c) &&
           (c->in == FV_BF16 || strcmp(fv_kernel()->isa, "avx2") == 0);
}

static fv_status conv_create(const fv_conv *key, fv_conv_plan **out) {
    const int limit = omp_get_max_threads();
    fv_conv_plan *plan = fv_calloc(1, sizeof *plan);

    *out = NULL;
    if (!plan) return FV_ERR_NOMEM;
    plan->desc = *key;
    plan->node.key = &plan->desc;
    omp_set_num_threads(1);
    fv_status status = fv_primitive_conv(key, &plan->primitive);
    omp_set_num_threads(limit);
    const bool missing = is_missing(key->in, status, plan->primitive);
    const bool ours = (missing || plan->primitive) && conv_is_ours(key, plan->primitive);
    if (missing || ours) drop(&plan->primitive);
    if (missing) status = ours ? FV_OK : conv_widen(plan);
    if (status != FV_OK) {
        fv_free(plan);
        return status;
    }
    *out = plan;
    return FV_OK;
}

static void conv_destroy(fv_plan_node *node) {
    fv_primitive_destroy(((fv_conv_plan *)node)->primitive);
    fv_free(node);
}

static fv_status conv_equip(fv_conv_plan *plan) {
    if (plan->primitive) return fv_primitive_equip(plan->primitive);
    if (!plan->wide)
        return fv_conv_panels_supports(&plan->desc) ? fv_conv_panels_equip(&plan->n_lanes) : FV_OK;
    FV_TRY(conv_equip(plan->wide));
    FV_TRY(fv_widened_equip(&plan->pack));
    return fv_widened_equip(&plan->run);
}

/* Under the lock. */
static fv_status conv_obtain(const fv_conv *key, fv_conv_plan **out) {
    *out = (fv_conv_plan *)fv_plan_table_find(&convs, key);
    if (!*out) {
        FV_TRY(conv_create(key, out));
        fv_plan_table_add(&convs, &(*out)->node);
        atomic_fetch_add(&created, 1);
    }
    return conv_equip(*out);
}

static fv_status conv_find(const fv_conv *desc, const fv_conv_plan **out) {
    fv_conv_plan *plan = NULL;
    fv_conv key;

    *out = NULL;
    FV_TRY(fv_conv_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    const fv_status status = conv_obtain(&key, &plan);
    pthread_mutex_unlock(&lock);
    if (status == FV_OK) *out = plan;
    return status;
}

static size_t conv_packed_bytes(const fv_conv_plan *plan) {
    if (plan->wide) return conv_packed_bytes(plan->wide);
    return plan->primitive ? fv_primitive_packed_bytes(plan->primitive) : 0;
}

static fv_status conv_pack(const fv_conv_plan *plan, const void *w, void *packed) {
    fv_widened_call call;

    if (plan->primitive) return fv_primitive_pack(plan->primitive, w, packed);
    FV_TRY(fv_widened_begin(&plan->pack, w, NULL, packed, &call));
    return fv_widened_end(&call, conv_pack(plan->wide, call.a, call.out));
}

static fv_status conv_run(const fv_conv_plan *plan, const void *a, const void *b, const float *bias,
                          void *out) {
    fv_widened_call call;

    if (plan->primitive) return fv_primitive_run(plan->primitive, a, b, bias, out);
    if (plan->wide) {
        FV_TRY(fv_widened_begin(&plan->run, a, b, out, &call));
        return fv_widened_end(&call, conv_run(plan->wide, call.a, call.b, bias, call.out));
    }
    if (fv_conv_panels_supports(&plan->desc))
        return fv_conv_panels_run(&plan->desc, plan->n_lanes, a, b, out);
    fv_depthwise_weights(&plan->desc, a, b, out);
    return FV_OK;
}

static const char *conv_implementation(const fv_conv_plan *plan) {
    if (plan->primitive) return fv_primitive_implementation(plan->primitive);
    if (plan->wide) return widened;
    return fv_conv_panels_supports(&plan->desc) ? "fovea:panels" : "fovea:depthwise";
}

/* ---- both ---- */

static uint64_t plans_created(void) { return atomic_load(&created); }

static void release(void) {
    pthread_mutex_lock(&lock);
    fv_plan_table_clear(&gemms, gemm_destroy);
    fv_plan_table_clear(&convs, conv_destroy);
    fv_primitive_release();
    fv_widened_release();
    fv_gemm_pairs_release();
    fv_gemm_panels_release();
    fv_conv_panels_release();
    pthread_mutex_unlock(&lock);
}

const fv_backend_table fv_backend_dnnl = {.name = fv_primitive_library,
                                          .gemm_find = gemm_find,
                                          .gemm_packed_bytes = gemm_packed_bytes,
                                          .gemm_pack = gemm_pack,
                                          .gemm_run = gemm_run,
                                          .gemm_implementation = gemm_implementation,
                                          .conv_find = conv_find,
                                          .conv_packed_bytes = conv_packed_bytes,
                                          .conv_pack = conv_pack,
                                          .conv_run = conv_run,
                                          .conv_implementation = conv_implementation,
                                          .plans_created = plans_created,
                                          .release = release};
