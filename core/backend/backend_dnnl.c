/* Matrix products by oneDNN, versions 2 and 3 of its C interface.
 *
 * Three rules make results independent of the number of threads.  Primitives are created where
 * OpenMP grants one thread, and run where oneDNN sees either an active parallel region (it is then
 * sequential) or, outside of one, a limit of one thread.  Scratch is never the library's, which is
 * shared between threads, but a buffer of the lane that runs.  Memory objects carry the data
 * pointers, so each plan has a set of them per lane.
 *
 * A lane is taken by one caller at a time, normally the one of the thread's index; a thread outside
 * of the team finds another, or works with objects of its own if all are taken. */
#include "core/alloc.h"
#include "core/backend/plan_table.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"

#include <oneapi/dnnl/dnnl.h>

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define MAX_ARGS 6

typedef struct argument_set {
    int n;
    dnnl_memory_t memory[MAX_ARGS];
    dnnl_exec_arg_t args[MAX_ARGS];
} argument_set;

typedef struct lane {
    _Alignas(FV_ALIGN) atomic_flag busy; /* a cache line each */
    dnnl_stream_t stream;
    void *scratch;
    size_t scratch_bytes;
} lane;

/* ---- the two interfaces ---- */

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t memory_desc; /* a pointer */
typedef const_dnnl_memory_desc_t memory_desc_ref;

static memory_desc_ref ref(const memory_desc *d) { return *d; }

static dnnl_status_t desc_create(memory_desc *d, int rank, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(d, rank, dims, type, strides);
}

static void desc_destroy(memory_desc *d) {
    if (*d) dnnl_memory_desc_destroy(*d);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

/* A scale of op(A): applied before the bias, passed at execution. */
static dnnl_status_t set_alpha(dnnl_primitive_attr_t attr, float alpha) {
    (void)alpha;
    return dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_SRC, 0);
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                 const memory_desc *a, const memory_desc *b,
                                 const memory_desc *bias, const memory_desc *c,
                                 dnnl_primitive_attr_t attr) {
    return dnnl_matmul_primitive_desc_create(pd, engine, *a, *b, bias ? *bias : NULL, *c, attr);
}

#define ALPHA_ARGUMENT    (DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC)
#define ALPHA_SCALES_BIAS false

#else

typedef dnnl_memory_desc_t memory_desc; /* a struct */
typedef const dnnl_memory_desc_t *memory_desc_ref;

static memory_desc_ref ref(const memory_desc *d) { return d; }

static dnnl_status_t desc_create(memory_desc *d, int rank, const dnnl_dims_t dims,
                                 dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(d, rank, dims, type, strides);
}

static void desc_destroy(memory_desc *d) { (void)d; }

static dnnl_status_t append_sum(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1.0f); }

static dnnl_status_t set_alpha(dnnl_primitive_attr_t attr, float alpha) {
    return dnnl_primitive_attr_set_output_scales(attr, 1, 0, &alpha);
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                 const memory_desc *a, const memory_desc *b,
                                 const memory_desc *bias, const memory_desc *c,
                                 dnnl_primitive_attr_t attr) {
    dnnl_matmul_desc_t desc;
    const dnnl_status_t status = dnnl_matmul_desc_init(&desc, a, b, bias, c);
    return status != dnnl_success ? status
                                  : dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}

#define ALPHA_ARGUMENT    0
#define ALPHA_SCALES_BIAS true /* alpha (AB + bias): with both, the bias becomes a post-op */

#endif

#define STRINGIFY(x)     #x
#define VERSION(a, b, c) "onednn " STRINGIFY(a) "." STRINGIFY(b) "." STRINGIFY(c)

/* ---- plans ---- */

enum { A, B, C, BIAS, ALPHA, N_DESCS };

struct fv_gemm_plan {
    fv_plan_node node;
    memory_desc desc[N_DESCS];
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    const char *implementation;
    size_t scratch_bytes;
    float alpha; /* version 3 reads it at execution */
    int n_sets;  /* lanes 0 .. n_sets-1 have a set and enough scratch */
    argument_set *sets[FV_MAX_THREADS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* plans, engine, creation */
static fv_plan_table plans;
static dnnl_engine_t engine;
static lane lanes[FV_MAX_THREADS];
static atomic_uint_fast64_t created;
static int bf16_state; /* 0 unknown, 1 yes, -1 no */

static fv_status failure(dnnl_status_t status, const char *what) {
    if (status == dnnl_out_of_memory) return FV_FAIL(FV_ERR_NOMEM, "onednn: %s", what);
    if (status == dnnl_unimplemented)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "onednn: %s: not implemented for this CPU", what);
    return FV_FAIL(FV_ERR_BACKEND, "onednn: %s: status %d", what, (int)status);
}

#define TRY_DNNL(call, what)                                                \
    do {                                                                    \
        const dnnl_status_t try_status_ = (call);                           \
        if (try_status_ != dnnl_success) return failure(try_status_, what); \
    } while (0)

static fv_status start_engine(void) {
    if (engine) return FV_OK;
    /* Only possible before the library's first look at the CPU; a failure leaves the default. */
    if (strcmp(fv_cpu_limit(), "avx2") == 0) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    if (strcmp(fv_cpu_limit(), "avx512") == 0) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core);
    TRY_DNNL(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    return FV_OK;
}

static bool bias_is_post_op(const fv_gemm *g) {
    return ALPHA_SCALES_BIAS && g->bias && g->alpha != 1.0f;
}

static fv_status describe(fv_gemm_plan *plan) {
    const fv_gemm *g = &plan->node.desc;
    const dnnl_data_type_t ab = g->ab == FV_BF16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_data_type_t c = g->c == FV_BF16 ? dnnl_bf16 : dnnl_f32;
    const struct {
        int rank;
        dnnl_dims_t dims, strides;
        dnnl_data_type_t type;
    } want[N_DESCS] = {
        [A] = {2, {g->m, g->k}, {g->trans_a ? 1 : g->lda, g->trans_a ? g->lda : 1}, ab},
        [B] = {2, {g->k, g->n}, {g->trans_b ? 1 : g->ldb, g->trans_b ? g->ldb : 1}, ab},
        [C] = {2, {g->m, g->n}, {g->ldc, 1}, c},
        [BIAS] = {2, {1, g->n}, {g->n, 1}, dnnl_f32},
        [ALPHA] = {1, {1}, {1}, dnnl_f32}};

    for (int i = 0; i < N_DESCS; i++)
        TRY_DNNL(
            desc_create(&plan->desc[i], want[i].rank, want[i].dims, want[i].type, want[i].strides),
            "memory descriptor");
    return FV_OK;
}

static dnnl_status_t fill_attributes(const fv_gemm_plan *plan, dnnl_primitive_attr_t attr,
                                     dnnl_post_ops_t ops) {
    const fv_gemm *g = &plan->node.desc;
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);

    if (status == dnnl_success && g->alpha != 1.0f) status = set_alpha(attr, g->alpha);
    if (status == dnnl_success && g->accumulate) status = append_sum(ops);
    if (status == dnnl_success && bias_is_post_op(g))
        status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, ref(&plan->desc[BIAS]));
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, ops);
    return status;
}

/* The caller has limited OpenMP to one thread, which the implementation's blocking depends on. */
static fv_status create_primitive(fv_gemm_plan *plan) {
    const fv_gemm *g = &plan->node.desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    const bool plain_bias = g->bias && !bias_is_post_op(g);
    char what[96];

    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success) status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success) status = fill_attributes(plan, attr, ops);
    if (status == dnnl_success)
        status = matmul_desc(&plan->pd, engine, &plan->desc[A], &plan->desc[B],
                             plain_bias ? &plan->desc[BIAS] : NULL, &plan->desc[C], attr);
    if (status == dnnl_success) status = dnnl_primitive_create(&plan->primitive, plan->pd);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_query(plan->pd, dnnl_query_impl_info_str, 0,
                                           (void *)&plan->implementation);
    if (ops) dnnl_post_ops_destroy(ops);
    if (attr) dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_success) return FV_OK;
    snprintf(what, sizeof what, "%s product %lldx%lldx%lld", fv_dtype_name(g->ab), (long long)g->m,
             (long long)g->n, (long long)g->k);
    return failure(status, what);
}

static void set_destroy(argument_set *set) {
    if (!set) return;
    for (int i = 0; i < set->n; i++) dnnl_memory_destroy(set->memory[i]);
    set->n = 0;
}

static fv_status set_add(argument_set *set, int arg, memory_desc_ref desc, void *data) {
    TRY_DNNL(dnnl_memory_create(&set->memory[set->n], desc, engine, data), "memory object");
    set->args[set->n] = (dnnl_exec_arg_t){arg, set->memory[set->n]};
    set->n++;
    return FV_OK;
}

/* In the order in which run_set hands over pointers; alpha's stays. */
static fv_status set_fill(const fv_gemm_plan *plan, argument_set *set) {
    const fv_gemm *g = &plan->node.desc;
    memory_desc_ref scratch = dnnl_primitive_desc_query_md(plan->pd, dnnl_query_scratchpad_md, 0);
    const int nth = g->accumulate ? 1 : 0;
    const int bias =
        bias_is_post_op(g) ? (DNNL_ARG_ATTR_MULTIPLE_POST_OP(nth) | DNNL_ARG_SRC_1) : DNNL_ARG_BIAS;

    set->n = 0;
    FV_TRY(set_add(set, DNNL_ARG_SRC, ref(&plan->desc[A]), DNNL_MEMORY_NONE));
    FV_TRY(set_add(set, DNNL_ARG_WEIGHTS, ref(&plan->desc[B]), DNNL_MEMORY_NONE));
    FV_TRY(set_add(set, DNNL_ARG_DST, ref(&plan->desc[C]), DNNL_MEMORY_NONE));
    FV_TRY(set_add(set, DNNL_ARG_SCRATCHPAD, scratch, DNNL_MEMORY_NONE));
    if (g->bias) FV_TRY(set_add(set, bias, ref(&plan->desc[BIAS]), DNNL_MEMORY_NONE));
    if (ALPHA_ARGUMENT && g->alpha != 1.0f)
        FV_TRY(
            set_add(set, ALPHA_ARGUMENT, ref(&plan->desc[ALPHA]), (void *)(uintptr_t)&plan->alpha));
    return FV_OK;
}

static void plan_destroy(fv_gemm_plan *plan) {
    if (!plan) return;
    for (int i = 0; i < plan->n_sets; i++) {
        set_destroy(plan->sets[i]);
        fv_free(plan->sets[i]);
    }
    if (plan->primitive) dnnl_primitive_destroy(plan->primitive);
    if (plan->pd) dnnl_primitive_desc_destroy(plan->pd);
    for (int i = 0; i < N_DESCS; i++) desc_destroy(&plan->desc[i]);
    fv_free(plan);
}

static fv_status plan_create(const fv_gemm *key, fv_gemm_plan **out) {
    fv_gemm_plan *plan = fv_calloc(1, sizeof *plan);

    *out = NULL;
    if (!plan) return FV_ERR_NOMEM;
    plan->node.desc = *key;
    plan->alpha = key->alpha;
    fv_status status = describe(plan);
    if (status == FV_OK) status = create_primitive(plan);
    if (status != FV_OK) {
        plan_destroy(plan);
        return status;
    }
    plan->scratch_bytes = dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(plan->pd, dnnl_query_scratchpad_md, 0));
    *out = plan;
    return FV_OK;
}

/* ---- lanes ---- */

static void lane_take(lane *l) {
    while (atomic_flag_test_and_set_explicit(&l->busy, memory_order_acquire)) sched_yield();
}

static void lane_give(lane *l) { atomic_flag_clear_explicit(&l->busy, memory_order_release); }

static fv_status lane_grow(lane *l, size_t bytes) {
    if (!l->stream)
        TRY_DNNL(dnnl_stream_create(&l->stream, engine, dnnl_stream_default_flags), "stream");
    if (bytes <= l->scratch_bytes) return FV_OK;
    void *scratch = fv_alloc(bytes, 1);
    if (!scratch) return FV_ERR_NOMEM;
    fv_free(l->scratch);
    l->scratch = scratch;
    l->scratch_bytes = bytes;
    return FV_OK;
}

/* A set and enough scratch for every thread of the budget. */
static fv_status plan_equip(fv_gemm_plan *plan) {
    const int n_threads = fv_threads();

    while (plan->n_sets < n_threads) {
        lane *l = &lanes[plan->n_sets];
        argument_set *set = fv_calloc(1, sizeof *set);
        if (!set) return FV_ERR_NOMEM;
        fv_status status = set_fill(plan, set);
        if (status == FV_OK) {
            lane_take(l);
            status = lane_grow(l, plan->scratch_bytes);
            lane_give(l);
        }
        if (status != FV_OK) {
            set_destroy(set);
            fv_free(set);
            return status;
        }
        plan->sets[plan->n_sets++] = set;
    }
    return FV_OK;
}

/* ---- the table's functions ---- */

static fv_status gemm_find(const fv_gemm *desc, const fv_gemm_plan **out) {
    fv_gemm key;
    fv_gemm_plan *plan = NULL;

    *out = NULL;
    FV_TRY(fv_gemm_normalise(desc, &key));
    pthread_mutex_lock(&lock);
    fv_status status = FV_OK;
    plan = (fv_gemm_plan *)fv_plan_table_find(&plans, &key);
    if (!plan) {
        const int limit = omp_get_max_threads();
        omp_set_num_threads(1);
        status = start_engine();
        if (status == FV_OK) status = plan_create(&key, &plan);
        omp_set_num_threads(limit);
        if (status == FV_OK) {
            fv_plan_table_add(&plans, &plan->node);
            atomic_fetch_add(&created, 1);
        }
    }
    if (status == FV_OK && plan->n_sets < fv_threads()) status = plan_equip(plan);
    pthread_mutex_unlock(&lock);
    if (status == FV_OK) *out = plan;
    return status;
}

static fv_status run_set(const fv_gemm_plan *plan, const argument_set *set, const lane *l,
                         const void *a, const void *b, const float *bias, void *c) {
    const void *const data[] = {a, b, c, l->scratch, bias};
    const int n = plan->node.desc.bias ? 5 : 4;

    for (int i = 0; i < n; i++)
        TRY_DNNL(dnnl_memory_set_data_handle(set->memory[i], (void *)(uintptr_t)data[i]),
                 "pointer");
    TRY_DNNL(dnnl_primitive_execute(plan->primitive, l->stream, set->n, set->args), "execution");
    TRY_DNNL(dnnl_stream_wait(l->stream), "wait");
    return FV_OK;
}

/* For a thread that finds no free lane: objects of its own, at the price of making them. */
static fv_status run_apart(const fv_gemm_plan *plan, const void *a, const void *b,
                           const float *bias, void *c) {
    lane own = {.stream = NULL};
    argument_set set = {0};

    fv_status status = set_fill(plan, &set);
    if (status == FV_OK) status = lane_grow(&own, plan->scratch_bytes);
    if (status == FV_OK) status = run_set(plan, &set, &own, a, b, bias, c);
    set_destroy(&set);
    if (own.stream) dnnl_stream_destroy(own.stream);
    fv_free(own.scratch);
    return status;
}

static fv_status run_somewhere(const fv_gemm_plan *plan, const void *a, const void *b,
                               const float *bias, void *c) {
    const int first = fv_thread_index(), n = plan->n_sets;

    for (int i = 0; i < n; i++) {
        const int at = (first + i) % n;
        lane *l = &lanes[at];
        if (atomic_flag_test_and_set_explicit(&l->busy, memory_order_acquire)) continue;
        const fv_status status = run_set(plan, plan->sets[at], l, a, b, bias, c);
        lane_give(l);
        return status;
    }
    return run_apart(plan, a, b, bias, c);
}

static fv_status gemm_run(const fv_gemm_plan *plan, const void *a, const void *b, const float *bias,
                          void *c) {
    const int limit = omp_in_parallel() ? 1 : omp_get_max_threads();

    if (limit > 1) omp_set_num_threads(1);
    const fv_status status = run_somewhere(plan, a, b, bias, c);
    if (limit > 1) omp_set_num_threads(limit);
    return status;
}

static const char *gemm_implementation(const fv_gemm_plan *plan) { return plan->implementation; }

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
        const int limit = omp_get_max_threads();
        omp_set_num_threads(1);
        bf16_state = -1;
        if (fv_gemm_normalise(&small, &key) == FV_OK && start_engine() == FV_OK &&
            plan_create(&key, &plan) == FV_OK && strncmp(plan->implementation, "ref", 3) != 0)
            bf16_state = 1;
        plan_destroy(plan);
        omp_set_num_threads(limit);
    }
    const bool yes = bf16_state > 0;
    pthread_mutex_unlock(&lock);
    return yes;
}

static void node_destroy(fv_plan_node *node) { plan_destroy((fv_gemm_plan *)node); }

static void release(void) {
    pthread_mutex_lock(&lock);
    fv_plan_table_clear(&plans, node_destroy);
    for (int i = 0; i < FV_MAX_THREADS; i++) {
        if (lanes[i].stream) dnnl_stream_destroy(lanes[i].stream);
        fv_free(lanes[i].scratch);
        lanes[i].stream = NULL;
        lanes[i].scratch = NULL;
        lanes[i].scratch_bytes = 0;
    }
    if (engine) dnnl_engine_destroy(engine);
    engine = NULL;
    pthread_mutex_unlock(&lock);
}

const fv_backend_table fv_backend_dnnl = {
    .name = VERSION(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH),
    .supports = supports,
    .gemm_find = gemm_find,
    .gemm_run = gemm_run,
    .gemm_implementation = gemm_implementation,
    .plans_created = plans_created,
    .release = release};
