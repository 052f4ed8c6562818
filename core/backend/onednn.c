/* The oneDNN backend: plans found again by shape, made under a lock.
 *
 * Weight gradients of depthwise convolutions go to depthwise.c where oneDNN has no depthwise kernel
 * for them: on NHWC maps version 2.6 has one for 3x3 only, and treats 5x5 as a grouped convolution
 * with one channel per group, at a twentieth of the speed. */
#include "core/alloc.h"
#include "core/backend/depthwise.h"
#include "core/backend/gemm_panels.h"
#include "core/backend/plan_table.h"
#include "core/backend/primitive.h"
#include "core/parallel.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct fv_gemm_plan {
    fv_plan_node node;
    fv_gemm desc;
    fv_primitive *primitive; /* NULL: fv_gemm_panels_run */
};

struct fv_conv_plan {
    fv_plan_node node;
    fv_conv desc;
    fv_primitive *primitive; /* NULL: fv_depthwise_weights */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* plans, creation */
static fv_plan_table gemms = {.key_bytes = sizeof(fv_gemm)};
static fv_plan_table convs = {.key_bytes = sizeof(fv_conv)};
static atomic_uint_fast64_t created;
static int bf16_state; /* 0 unknown, 1 yes, -1 no */

/* ---- matrix products ---- */

/* Batch-reduced products, e.g. "brg:avx512_core", sum up every row alike. */
static bool keeps_apart(const fv_primitive *p) {
    return strncmp(fv_primitive_implementation(p), "brg", 3) == 0;
}

static fv_status gemm_create(const fv_gemm *key, fv_gemm_plan **out) {
    const int limit = omp_get_max_threads();
    fv_gemm_plan *plan = fv_calloc(1, sizeof *plan);

    *out = NULL;
    if (!plan) return FV_ERR_NOMEM;
    plan->desc = *key;
    plan->node.key = &plan->desc;
    omp_set_num_threads(1);
    const fv_status status = fv_primitive_gemm(key, &plan->primitive);
    omp_set_num_threads(limit);
    if (status != FV_OK) {
        fv_free(plan);
        return status;
    }
    if (key->apart && key->ab == FV_F32 && !keeps_apart(plan->primitive)) {
        fv_primitive_destroy(plan->primitive);
        plan->primitive = NULL;
    }
    *out = plan;
    return FV_OK;
}

static void gemm_destroy(fv_plan_node *node) {
    fv_gemm_plan *plan = (fv_gemm_plan *)node;
    if (plan) fv_primitive_destroy(plan->primitive);
    fv_free(plan);
}

static fv_status gemm_find(const fv_gemm *desc, const fv_gemm_plan **out) {
    fv_gemm key;
    fv_status status = FV_OK;

    *out = NULL;
    FV_TRY(fv_gemm_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    fv_gemm_plan *plan = (fv_gemm_plan *)fv_plan_table_find(&gemms, &key);
    if (!plan) {
        status = gemm_create(&key, &plan);
        if (status == FV_OK) {
            fv_plan_table_add(&gemms, &plan->node);
            atomic_fetch_add(&created, 1);
        }
    }
    if (status == FV_OK && plan->primitive) status = fv_primitive_equip(plan->primitive);
    pthread_mutex_unlock(&lock);
    if (status == FV_OK) *out = plan;
    return status;
}

static fv_status gemm_run(const fv_gemm_plan *plan, const void *a, const void *b, const float *bias,
                          void *c) {
    if (plan->primitive) return fv_primitive_run(plan->primitive, a, b, bias, c);
    fv_gemm_panels_run(&plan->desc, a, b, bias, c);
    return FV_OK;
}

static const char *gemm_implementation(const fv_gemm_plan *plan) {
    return plan->primitive ? fv_primitive_implementation(plan->primitive) : "fovea:panels";
}

/* ---- convolutions ---- */

static fv_status conv_create(const fv_conv *key, fv_conv_plan **out) {
    const int limit = omp_get_max_threads();
    fv_conv_plan *plan = fv_calloc(1, sizeof *plan);

    *out = NULL;
    if (!plan) return FV_ERR_NOMEM;
    plan->desc = *key;
    plan->node.key = &plan->desc;
    omp_set_num_threads(1);
    const fv_status status = fv_primitive_conv(key, &plan->primitive);
    omp_set_num_threads(limit);
    if (status != FV_OK) {
        fv_free(plan);
        return status;
    }
    if (fv_depthwise_weights_supports(key) &&
        strncmp(fv_primitive_implementation(plan->primitive), "jit_dw", 6) != 0) {
        fv_primitive_destroy(plan->primitive);
        plan->primitive = NULL;
    }
    *out = plan;
    return FV_OK;
}

static void conv_destroy(fv_plan_node *node) {
    fv_conv_plan *plan = (fv_conv_plan *)node;
    if (plan) fv_primitive_destroy(plan->primitive);
    fv_free(plan);
}

static fv_status conv_find(const fv_conv *desc, const fv_conv_plan **out) {
    fv_conv key;
    fv_status status = FV_OK;

    *out = NULL;
    FV_TRY(fv_conv_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    fv_conv_plan *plan = (fv_conv_plan *)fv_plan_table_find(&convs, &key);
    if (!plan) {
        status = conv_create(&key, &plan);
        if (status == FV_OK) {
            fv_plan_table_add(&convs, &plan->node);
            atomic_fetch_add(&created, 1);
        }
    }
    if (status == FV_OK && plan->primitive) status = fv_primitive_equip(plan->primitive);
    pthread_mutex_unlock(&lock);
    if (status == FV_OK) *out = plan;
    return status;
}

static size_t conv_packed_bytes(const fv_conv_plan *plan) {
    return plan->primitive ? fv_primitive_packed_bytes(plan->primitive) : 0;
}

static fv_status conv_pack(const fv_conv_plan *plan, const void *w, void *packed) {
    return fv_primitive_pack(plan->primitive, w, packed);
}

static fv_status conv_run(const fv_conv_plan *plan, const void *a, const void *b, const float *bias,
                          void *out) {
    if (plan->primitive) return fv_primitive_run(plan->primitive, a, b, bias, out);
    fv_depthwise_weights(&plan->desc, a, b, out);
    return FV_OK;
}

static const char *conv_implementation(const fv_conv_plan *plan) {
    return plan->primitive ? fv_primitive_implementation(plan->primitive) : "fovea:depthwise";
}

/* ---- both ---- */

static uint64_t plans_created(void) { return atomic_load(&created); }

/* bf16 counts only where it is fast: a small product must exist and not be a reference one. */
static bool supports(fv_dtype ab) {
    const fv_gemm small = {
        .m = 16, .n = 16, .k = 16, .lda = 16, .ldb = 16, .ldc = 16, .ab = FV_BF16};
    fv_gemm key;
    fv_gemm_plan *plan = NULL;

    if (ab != FV_BF16) return ab == FV_F32;
    pthread_mutex_lock(&lock);
    if (bf16_state == 0) {
        bf16_state = -1;
        if (fv_gemm_normalise(&small, &key) == FV_OK && gemm_create(&key, &plan) == FV_OK &&
            strncmp(gemm_implementation(plan), "ref", 3) != 0)
            bf16_state = 1;
        gemm_destroy((fv_plan_node *)plan);
    }
    const bool yes = bf16_state > 0;
    pthread_mutex_unlock(&lock);
    return yes;
}

static void release(void) {
    pthread_mutex_lock(&lock);
    fv_plan_table_clear(&gemms, gemm_destroy);
    fv_plan_table_clear(&convs, conv_destroy);
    fv_primitive_release();
    pthread_mutex_unlock(&lock);
}

const fv_backend_table fv_backend_dnnl = {.name = fv_primitive_library,
                                          .supports = supports,
                                          .gemm_find = gemm_find,
                                          .gemm_run = gemm_run,
                                          .gemm_implementation = gemm_implementation,
                                          .conv_find = conv_find,
                                          .conv_packed_bytes = conv_packed_bytes,
                                          .conv_pack = conv_pack,
                                          .conv_run = conv_run,
                                          .conv_implementation = conv_implementation,
                                          .plans_created = plans_created,
                                          .release = release};
