/* Primitives of oneDNN, versions 2 and 3 of its C interface: matrix products, convolutions, and the
 * reorders that convolution weights need.
 *
 * Three rules make results independent of the number of threads.  Primitives are created where
 * OpenMP grants one thread, and run where oneDNN sees either an active parallel region (it is then
 * sequential) or, outside of one, a limit of one thread.  Scratch is never the library's, which is
 * shared between threads, but a buffer of the lane that runs.  Memory objects carry the data
 * pointers, so each primitive has a set of them per lane. */
#include "core/alloc.h"
#include "core/backend/lanes.h"
#include "core/backend/primitive.h"
#include "core/kernels/kernels.h"

#include <oneapi/dnnl/dnnl.h>

#include <omp.h>
#include <stdio.h>
#include <string.h>

/* Arguments of a primitive, in the order of fv_primitive_run; SCALE holds a constant. */
enum { A, B, OUT, BIAS, SCRATCH, SCALE, N_ARGS };

/* ---- the two interfaces ---- */

/* The parts of a convolution; bias NULL: none. */
typedef struct conv_parts conv_parts;

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t memory_desc; /* a pointer */
typedef const_dnnl_memory_desc_t memory_desc_ref;

static memory_desc_ref ref(const memory_desc *d) { return *d; }

static dnnl_status_t desc_strided(memory_desc *d, int rank, const dnnl_dims_t dims,
                                  dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(d, rank, dims, type, strides);
}

static dnnl_status_t desc_any(memory_desc *d, int rank, const dnnl_dims_t dims,
                              dnnl_data_type_t type) {
    return dnnl_memory_desc_create_with_tag(d, rank, dims, type, dnnl_format_tag_any);
}

static dnnl_status_t desc_copy(memory_desc *to, memory_desc_ref from) {
    return dnnl_memory_desc_clone(to, from);
}

static void desc_destroy(memory_desc *d) {
    if (*d) dnnl_memory_desc_destroy(*d);
    *d = NULL;
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

static dnnl_status_t desc_strided(memory_desc *d, int rank, const dnnl_dims_t dims,
                                  dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(d, rank, dims, type, strides);
}

static dnnl_status_t desc_any(memory_desc *d, int rank, const dnnl_dims_t dims,
                              dnnl_data_type_t type) {
    return dnnl_memory_desc_init_by_tag(d, rank, dims, type, dnnl_format_tag_any);
}

static dnnl_status_t desc_copy(memory_desc *to, memory_desc_ref from) {
    *to = *from;
    return dnnl_success;
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

struct conv_parts {
    memory_desc x, w, y, bias;
    bool has_bias;
    dnnl_dims_t stride, dilation, low, high;
};

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t conv_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, fv_conv_pass pass,
                               const conv_parts *c, dnnl_primitive_attr_t attr,
                               const_dnnl_primitive_desc_t hint) {
    if (pass == FV_CONV_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            pd, engine, dnnl_forward_training, dnnl_convolution_direct, c->x, c->w,
            c->has_bias ? c->bias : NULL, c->y, c->stride, c->dilation, c->low, c->high, attr);
    if (pass == FV_CONV_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, dnnl_convolution_direct, c->x, c->w, c->y, c->stride, c->dilation, c->low,
            c->high, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        pd, engine, dnnl_convolution_direct, c->x, c->w, NULL, c->y, c->stride, c->dilation, c->low,
        c->high, hint, attr);
}

#else

static dnnl_status_t conv_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, fv_conv_pass pass,
                               const conv_parts *c, dnnl_primitive_attr_t attr,
                               const_dnnl_primitive_desc_t hint) {
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
    dnnl_convolution_desc_t desc;
    dnnl_status_t status;

    if (pass == FV_CONV_FORWARD)
        status = dnnl_dilated_convolution_forward_desc_init(
            &desc, dnnl_forward_training, direct, &c->x, &c->w, c->has_bias ? &c->bias : NULL,
            &c->y, c->stride, c->dilation, c->low, c->high);
    else if (pass == FV_CONV_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(
            &desc, direct, &c->x, &c->w, &c->y, c->stride, c->dilation, c->low, c->high);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(
            &desc, direct, &c->x, &c->w, NULL, &c->y, c->stride, c->dilation, c->low, c->high);
    return status != dnnl_success ? status
                                  : dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
}

#endif

#define STRINGIFY(x)     #x
#define VERSION(a, b, c) "onednn " STRINGIFY(a) "." STRINGIFY(b) "." STRINGIFY(c)

const char fv_primitive_library[] =
    VERSION(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH);

/* ---- primitives ---- */

typedef struct argument_set {
    int n, which[N_ARGS];
    dnnl_memory_t memory[N_ARGS];
    dnnl_exec_arg_t args[N_ARGS];
} argument_set;

struct fv_primitive {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    const char *implementation;
    int arg[N_ARGS]; /* DNNL_ARG_..., 0: not used */
    memory_desc desc[N_ARGS];
    size_t scratch_bytes;
    float alpha;          /* version 3 reads it at execution */
    fv_primitive *pack;   /* weights to the layout of B */
    fv_primitive *unpack; /* OUT, which then stays in the lane's scratch, to that of weights */
    int n_sets;           /* lanes 0 .. n_sets-1 have a set and enough scratch */
    argument_set *sets[FV_MAX_THREADS];
};

static dnnl_engine_t engine;
static fv_lane lanes[FV_MAX_THREADS];

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

static dnnl_data_type_t type_of(fv_dtype dtype) { return dtype == FV_BF16 ? dnnl_bf16 : dnnl_f32; }

/* From a primitive descriptor: the primitive, its name and its scratch. */
static dnnl_status_t finish(fv_primitive *p) {
    memory_desc_ref scratch = dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0);
    dnnl_status_t status = dnnl_primitive_create(&p->primitive, p->pd);

    if (status == dnnl_success)
        status = dnnl_primitive_desc_query(p->pd, dnnl_query_impl_info_str, 0,
                                           (void *)&p->implementation);
    if (status == dnnl_success) status = desc_copy(&p->desc[SCRATCH], scratch);
    p->arg[SCRATCH] = DNNL_ARG_SCRATCHPAD;
    p->scratch_bytes = dnnl_memory_desc_get_size(scratch);
    return status;
}

static dnnl_status_t new_attributes(dnnl_primitive_attr_t *attr) {
    const dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status != dnnl_success) return status;
    return dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
}

void fv_primitive_destroy(fv_primitive *p) {
    if (!p) return;
    fv_primitive_destroy(p->pack);
    fv_primitive_destroy(p->unpack);
    for (int i = 0; i < p->n_sets; i++) {
        for (int k = 0; k < p->sets[i]->n; k++) dnnl_memory_destroy(p->sets[i]->memory[k]);
        fv_free(p->sets[i]);
    }
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->pd) dnnl_primitive_desc_destroy(p->pd);
    for (int i = 0; i < N_ARGS; i++) desc_destroy(&p->desc[i]);
    fv_free(p);
}

/* ---- matrix products ---- */

static bool bias_is_post_op(const fv_gemm *g) {
    return ALPHA_SCALES_BIAS && g->bias && g->alpha != 1.0f;
}

static dnnl_status_t describe_gemm(const fv_gemm *g, fv_primitive *p) {
    const dnnl_data_type_t ab = type_of(g->ab);
    const struct {
        int rank;
        dnnl_dims_t dims, strides;
        dnnl_data_type_t type;
    } want[N_ARGS] = {
        [A] = {2, {g->m, g->k}, {g->trans_a ? 1 : g->lda, g->trans_a ? g->lda : 1}, ab},
        [B] = {2, {g->k, g->n}, {g->trans_b ? 1 : g->ldb, g->trans_b ? g->ldb : 1}, ab},
        [OUT] = {2, {g->m, g->n}, {g->ldc, 1}, type_of(g->c)},
        [BIAS] = {2, {1, g->n}, {g->n, 1}, dnnl_f32},
        [SCALE] = {1, {1}, {1}, dnnl_f32}};
    dnnl_status_t status = dnnl_success;

    for (int i = 0; status == dnnl_success && i < N_ARGS; i++)
        if (want[i].rank)
            status = desc_strided(&p->desc[i], want[i].rank, want[i].dims, want[i].type,
                                  want[i].strides);
    p->arg[A] = DNNL_ARG_SRC;
    p->arg[B] = DNNL_ARG_WEIGHTS;
    p->arg[OUT] = DNNL_ARG_DST;
    const int nth = g->accumulate ? 1 : 0;
    if (g->bias)
        p->arg[BIAS] = bias_is_post_op(g) ? (DNNL_ARG_ATTR_MULTIPLE_POST_OP(nth) | DNNL_ARG_SRC_1)
                                          : DNNL_ARG_BIAS;
    if (g->alpha != 1.0f) p->arg[SCALE] = ALPHA_ARGUMENT;
    p->alpha = g->alpha;
    return status;
}

static dnnl_status_t add_post_ops(const fv_gemm *g, const fv_primitive *p,
                                  dnnl_primitive_attr_t attr) {
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_post_ops_create(&ops);

    if (status == dnnl_success && g->alpha != 1.0f) status = set_alpha(attr, g->alpha);
    if (status == dnnl_success && g->accumulate) status = append_sum(ops);
    if (status == dnnl_success && bias_is_post_op(g))
        status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, ref(&p->desc[BIAS]));
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return status;
}

fv_status fv_primitive_gemm(const fv_gemm *g, fv_primitive **out) {
    const bool plain_bias = g->bias && !bias_is_post_op(g);
    dnnl_primitive_attr_t attr = NULL;
    char what[96];

    *out = NULL;
    FV_TRY(start_engine());
    fv_primitive *p = fv_calloc(1, sizeof *p);
    if (!p) return FV_ERR_NOMEM;
    dnnl_status_t status = describe_gemm(g, p);
    if (status == dnnl_success) status = new_attributes(&attr);
    if (status == dnnl_success) status = add_post_ops(g, p, attr);
    if (status == dnnl_success)
        status = matmul_desc(&p->pd, engine, &p->desc[A], &p->desc[B],
                             plain_bias ? &p->desc[BIAS] : NULL, &p->desc[OUT], attr);
    if (status == dnnl_success) status = finish(p);
    if (attr) dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_success) {
        *out = p;
        return FV_OK;
    }
    fv_primitive_destroy(p);
    snprintf(what, sizeof what, "%s product %lldx%lldx%lld", fv_dtype_name(g->ab), (long long)g->m,
             (long long)g->n, (long long)g->k);
    return failure(status, what);
}

/* ---- convolutions ---- */

/* A map [n, rows, columns, channels] under the library's order of axes. */
static dnnl_status_t describe_map(memory_desc *d, int64_t n, int64_t channels, int64_t rows,
                                  int64_t columns, fv_dtype dtype) {
    const dnnl_dims_t dims = {n, channels, rows, columns};
    const dnnl_dims_t strides = {rows * columns * channels, 1, columns * channels, channels};
    return desc_strided(d, 4, dims, type_of(dtype), strides);
}

/* Weights [O, C/groups, kh, kw], as they are or as the implementation wants them. */
static dnnl_status_t describe_weights(memory_desc *d, const fv_conv *c, fv_dtype dtype, bool any) {
    const int64_t g = c->groups, taps = c->kh * c->kw, inner = c->C / g * taps;
    const dnnl_dims_t dims = {g, c->O / g, c->C / g, c->kh, c->kw};
    const dnnl_dims_t strides = {c->O / g * inner, inner, taps, c->kw, 1};
    const int skip = g > 1 ? 0 : 1; /* without groups the library wants four axes */

    if (any) return desc_any(d, 5 - skip, dims + skip, type_of(dtype));
    return desc_strided(d, 5 - skip, dims + skip, type_of(dtype), strides + skip);
}

static dnnl_status_t describe_conv(const fv_conv *c, fv_dtype x, fv_dtype w, fv_dtype y,
                                   conv_parts *parts) {
    const dnnl_dims_t channels = {c->O}, one = {1};

    *parts = (conv_parts){.has_bias = c->bias != 0,
                          .stride = {c->stride, c->stride},
                          .low = {c->top, c->left},
                          .high = {c->bottom, c->right}};
    dnnl_status_t status = describe_map(&parts->x, c->n, c->C, c->H, c->W, x);
    if (status == dnnl_success) status = describe_weights(&parts->w, c, w, true);
    if (status == dnnl_success)
        status = describe_map(&parts->y, c->n, c->O, fv_conv_rows(c), fv_conv_columns(c), y);
    if (status == dnnl_success) status = desc_strided(&parts->bias, 1, channels, dnnl_f32, one);
    return status;
}

static void conv_parts_destroy(conv_parts *parts) {
    desc_destroy(&parts->x);
    desc_destroy(&parts->w);
    desc_destroy(&parts->y);
    desc_destroy(&parts->bias);
}

/* The high padding may be less than what the last row or column would use: rows of the map that no
 * output reads are allowed, and get a gradient of zero. */
static dnnl_status_t create_conv(const fv_conv *c, fv_primitive *p, dnnl_primitive_attr_t attr) {
    const bool forward = c->pass == FV_CONV_FORWARD, data = c->pass == FV_CONV_DATA;
    dnnl_primitive_desc_t hint = NULL;
    conv_parts parts = {.has_bias = false}, plain = {.has_bias = false};

    dnnl_status_t status = describe_conv(c, data ? c->out : c->in, forward || data ? c->in : c->out,
                                         forward ? c->out : c->in, &parts);
    if (status == dnnl_success) status = describe_conv(c, c->in, c->in, c->in, &plain);
    if (status == dnnl_success && !forward)
        status = conv_desc(&hint, engine, FV_CONV_FORWARD, &plain, attr, NULL);
    if (status == dnnl_success) status = conv_desc(&p->pd, engine, c->pass, &parts, attr, hint);
    if (status == dnnl_success) status = finish(p);
    if (status == dnnl_success) {
        const dnnl_query_t what =
            forward || data ? dnnl_query_weights_md : dnnl_query_diff_weights_md;
        memory_desc_ref w = dnnl_primitive_desc_query_md(p->pd, what, 0);
        status = desc_copy(&p->desc[forward || data ? B : OUT], w);
    }
    if (status == dnnl_success) status = desc_copy(&p->desc[A], ref(data ? &parts.y : &parts.x));
    if (status == dnnl_success && !forward && !data) status = desc_copy(&p->desc[B], ref(&parts.y));
    if (status == dnnl_success && (forward || data))
        status = desc_copy(&p->desc[OUT], ref(forward ? &parts.y : &parts.x));
    if (status == dnnl_success && c->bias) status = desc_copy(&p->desc[BIAS], ref(&parts.bias));
    p->arg[A] = data ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC;
    p->arg[B] = forward || data ? DNNL_ARG_WEIGHTS : DNNL_ARG_DIFF_DST;
    p->arg[OUT] = forward ? DNNL_ARG_DST : data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DIFF_WEIGHTS;
    p->arg[BIAS] = c->bias ? DNNL_ARG_BIAS : 0;
    conv_parts_destroy(&parts);
    conv_parts_destroy(&plain);
    if (hint) dnnl_primitive_desc_destroy(hint);
    return status;
}

/* Between the plain layout of weights and the implementation's, in p's pack or unpack. */
static dnnl_status_t create_reorder(const fv_conv *c, fv_primitive *p, fv_primitive *reorder,
                                    dnnl_primitive_attr_t attr) {
    const bool pack = c->pass != FV_CONV_WEIGHTS;
    dnnl_status_t status =
        describe_weights(&reorder->desc[pack ? A : OUT], c, pack ? c->in : c->out, false);

    if (status == dnnl_success)
        status = desc_copy(&reorder->desc[pack ? OUT : A], ref(&p->desc[pack ? B : OUT]));
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&reorder->pd, ref(&reorder->desc[A]), engine,
                                                    ref(&reorder->desc[OUT]), engine, attr);
    if (status == dnnl_success) status = finish(reorder);
    reorder->arg[A] = DNNL_ARG_FROM;
    reorder->arg[OUT] = DNNL_ARG_TO;
    return status;
}

fv_status fv_primitive_conv(const fv_conv *c, fv_primitive **out) {
    dnnl_primitive_attr_t attr = NULL;
    char what[96];

    *out = NULL;
    FV_TRY(start_engine());
    fv_primitive *p = fv_calloc(1, sizeof *p), *reorder = fv_calloc(1, sizeof *reorder);
    if (!p || !reorder) {
        fv_free(p);
        fv_free(reorder);
        return FV_ERR_NOMEM;
    }
    *(c->pass == FV_CONV_WEIGHTS ? &p->unpack : &p->pack) = reorder;
    dnnl_status_t status = new_attributes(&attr);
    if (status == dnnl_success) status = create_conv(c, p, attr);
    if (status == dnnl_success) status = create_reorder(c, p, reorder, attr);
    if (attr) dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_success) {
        *out = p;
        return FV_OK;
    }
    fv_primitive_destroy(p);
    snprintf(what, sizeof what, "%s convolution %lldx%lld of %lldx%lldx%lld to %lld",
             fv_dtype_name(c->in), (long long)c->kh, (long long)c->kw, (long long)c->H,
             (long long)c->W, (long long)c->C, (long long)c->O);
    return failure(status, what);
}

/* ---- sets and lanes ---- */

static void set_clear(argument_set *set) {
    for (int i = 0; i < set->n; i++) dnnl_memory_destroy(set->memory[i]);
    set->n = 0;
}

static fv_status set_fill(const fv_primitive *p, argument_set *set) {
    set->n = 0;
    for (int i = 0; i < N_ARGS; i++) {
        void *data = i == SCALE ? (void *)(uintptr_t)&p->alpha : DNNL_MEMORY_NONE;
        const int k = set->n;
        if (!p->arg[i]) continue;
        TRY_DNNL(dnnl_memory_create(&set->memory[k], ref(&p->desc[i]), engine, data),
                 "memory object");
        set->args[k] = (dnnl_exec_arg_t){p->arg[i], set->memory[k]};
        set->which[k] = i;
        set->n++;
    }
    return FV_OK;
}

static size_t aligned(size_t bytes) { return (bytes + FV_ALIGN - 1) / FV_ALIGN * FV_ALIGN; }

/* Where a weight gradient waits for its reorder: behind the scratch of both. */
static size_t result_offset(const fv_primitive *p) {
    const size_t own = p->scratch_bytes, then = p->unpack->scratch_bytes;
    return aligned(own > then ? own : then);
}

static fv_status lane_prepare(fv_lane *lane, const fv_primitive *p) {
    if (!lane->stream) {
        dnnl_stream_t stream = NULL;
        TRY_DNNL(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
        lane->stream = stream;
    }
    if (!p->unpack) return fv_lane_reserve(lane, p->scratch_bytes);
    return fv_lane_reserve(lane, result_offset(p) + dnnl_memory_desc_get_size(ref(&p->desc[OUT])));
}

fv_status fv_primitive_equip(fv_primitive *p) {
    const int n_threads = fv_threads();

    while (p->n_sets < n_threads) {
        argument_set *set = fv_calloc(1, sizeof *set);
        if (!set) return FV_ERR_NOMEM;
        fv_status status = set_fill(p, set);
        if (status == FV_OK) {
            fv_lane *lane = &lanes[p->n_sets];
            fv_lane_take(lane);
            status = lane_prepare(lane, p);
            fv_lane_give(lane);
        }
        if (status != FV_OK) {
            set_clear(set);
            fv_free(set);
            return status;
        }
        p->sets[p->n_sets++] = set;
    }
    if (p->pack) FV_TRY(fv_primitive_equip(p->pack));
    return p->unpack ? fv_primitive_equip(p->unpack) : FV_OK;
}

/* ---- running ---- */

static fv_status run_set(const fv_primitive *p, const argument_set *set, const fv_lane *lane,
                         const void *const data[]) {
    for (int i = 0; i < set->n; i++)
        if (set->which[i] != SCALE)
            TRY_DNNL(
                dnnl_memory_set_data_handle(set->memory[i], (void *)(uintptr_t)data[set->which[i]]),
                "pointer");
    TRY_DNNL(dnnl_primitive_execute(p->primitive, lane->stream, set->n, set->args), "execution");
    TRY_DNNL(dnnl_stream_wait(lane->stream), "wait");
    return FV_OK;
}

/* then: the set of p->unpack, if there is one. */
static fv_status run_sets(const fv_primitive *p, const argument_set *set, const argument_set *then,
                          const fv_lane *lane, const void *const given[]) {
    const void *data[N_ARGS] = {given[A], given[B], given[OUT], given[BIAS], lane->scratch};

    if (!p->unpack) return run_set(p, set, lane, data);
    data[OUT] = (char *)lane->scratch + result_offset(p);
    FV_TRY(run_set(p, set, lane, data));
    data[A] = data[OUT];
    data[OUT] = given[OUT];
    return run_set(p->unpack, then, lane, data);
}

/* For a thread that finds no free lane: objects of its own, at the price of making them. */
static fv_status run_apart(const fv_primitive *p, const void *const data[]) {
    fv_lane own = {.stream = NULL};
    argument_set set = {0}, then = {0};

    fv_status status = set_fill(p, &set);
    if (status == FV_OK && p->unpack) status = set_fill(p->unpack, &then);
    if (status == FV_OK) status = lane_prepare(&own, p);
    if (status == FV_OK) status = run_sets(p, &set, &then, &own, data);
    set_clear(&set);
    set_clear(&then);
    if (own.stream) dnnl_stream_destroy(own.stream);
    fv_lane_free_scratch(&own);
    return status;
}

static fv_status run_somewhere(const fv_primitive *p, const void *const data[]) {
    fv_lane *lane = fv_lane_find(lanes, p->n_sets);

    if (!lane) return run_apart(p, data);
    const ptrdiff_t i = lane - lanes;
    const fv_status status =
        run_sets(p, p->sets[i], p->unpack ? p->unpack->sets[i] : NULL, lane, data);
    fv_lane_give(lane);
    return status;
}

fv_status fv_primitive_run(const fv_primitive *p, const void *a, const void *b, const float *bias,
                           void *out) {
    const void *const data[] = {[A] = a, [B] = b, [OUT] = out, [BIAS] = bias};
    const int limit = omp_in_parallel() ? 1 : omp_get_max_threads();

    if (limit > 1) omp_set_num_threads(1);
    const fv_status status = run_somewhere(p, data);
    if (limit > 1) omp_set_num_threads(limit);
    return status;
}

fv_status fv_primitive_pack(const fv_primitive *p, const void *w, void *packed) {
    return fv_primitive_run(p->pack, w, NULL, NULL, packed);
}

size_t fv_primitive_packed_bytes(const fv_primitive *p) {
    return p->pack ? dnnl_memory_desc_get_size(ref(&p->desc[B])) : 0;
}

const char *fv_primitive_implementation(const fv_primitive *p) { return p->implementation; }

void fv_primitive_release(void) {
    for (int i = 0; i < FV_MAX_THREADS; i++) {
        if (lanes[i].stream) dnnl_stream_destroy(lanes[i].stream);
        lanes[i].stream = NULL;
        fv_lane_free_scratch(&lanes[i]);
    }
    if (engine) dnnl_engine_destroy(engine);
    engine = NULL;
}
