#include "core/param.h"

#include "core/alloc.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* 32 elements: 128 bytes of f32 and 64 of bf16, so that a tensor is aligned in both slabs. */
#define ALIGN_NUMEL 32

/* Elements per task; a property of the results (block sums), not of the machine. */
#define BLOCK_NUMEL 65536

/* ---- declaration ---------------------------------------------------------------------------- */

static fv_param *fail(fv_params *params, fv_status status) {
    if (params->status == FV_OK) {
        params->status = status;
        snprintf(params->message, sizeof params->message, "%s", fv_error_message());
    }
    params->poison = (fv_param){.name = "", .shape = {.rank = 1, .dim = {1}}, .numel = 1};
    return &params->poison;
}

static fv_status grow(fv_params *params) {
    if (params->count < params->capacity) return FV_OK;
    const int64_t capacity = params->capacity ? 2 * params->capacity : 64;
    fv_param **item = fv_arena_alloc(params->arena, (size_t)capacity, sizeof *item);
    if (!item) return FV_ERR_NOMEM;
    if (params->count) memcpy(item, params->item, (size_t)params->count * sizeof *item);
    params->item = item;
    params->capacity = capacity;
    return FV_OK;
}

/* What must hold of a declaration; the slab's new length goes to *end. */
static fv_status check(const fv_params *params, const char *name, const fv_shape *shape,
                       int64_t *numel, int64_t *end) {
    if (params->value.base)
        return FV_FAIL(FV_ERR_INTERNAL, "parameter '%s' comes after the allocation", name);
    if (fv_params_find(params, name))
        return FV_FAIL(FV_ERR_INTERNAL, "parameter '%s' is declared twice", name);
    const fv_status status = fv_shape_check(shape, numel);
    if (status != FV_OK) return fv_error_context(status, "parameter '%s'", name);
    if (__builtin_add_overflow(params->slab_numel, *numel, end) ||
        __builtin_add_overflow(*end, ALIGN_NUMEL - 1, end) ||
        *end > INT64_MAX / (int64_t)sizeof(float))
        return FV_FAIL(FV_ERR_SHAPE, "parameter '%s': too many elements", name);
    *end -= *end % ALIGN_NUMEL;
    return FV_OK;
}

static fv_param *add(fv_params *params, const char *name, const fv_shape *shape, fv_init init,
                     bool trainable) {
    int64_t numel = 0, end = 0;

    if (params->status != FV_OK) return fail(params, params->status);
    fv_status status = check(params, name, shape, &numel, &end);
    if (status == FV_OK) status = grow(params);
    if (status != FV_OK) return fail(params, status);
    fv_param *p = fv_arena_alloc(params->arena, 1, sizeof *p);
    const char *copy = fv_arena_strdup(params->arena, name);
    if (!p || !copy) return fail(params, FV_ERR_NOMEM);
    *p = (fv_param){.name = copy,
                    .shape = *shape,
                    .numel = numel,
                    .trainable = trainable,
                    .buffer = !trainable,
                    .init = init,
                    .hash = fv_rng_name(name),
                    .index = params->count,
                    .offset = params->slab_numel};
    params->item[params->count++] = p;
    params->slab_numel = end;
    return p;
}

fv_param *fv_params_add(fv_params *params, const char *name, fv_shape shape, fv_init init) {
    return add(params, name, &shape, init, true);
}

fv_param *fv_params_add_buffer(fv_params *params, const char *name, fv_shape shape, fv_init init) {
    return add(params, name, &shape, init, false);
}

fv_status fv_params_status(const fv_params *params) {
    return params->status == FV_OK ? FV_OK : FV_FAIL(params->status, "%s", params->message);
}

fv_param *fv_params_find(const fv_params *params, const char *name) {
    const uint32_t hash = fv_rng_name(name);

    for (int64_t i = 0; i < params->count; i++)
        if (params->item[i]->hash == hash && strcmp(params->item[i]->name, name) == 0)
            return params->item[i];
    return NULL;
}

int64_t fv_params_count(const fv_params *params) {
    int64_t n = 0;
    for (int64_t i = 0; i < params->count; i++)
        if (!params->item[i]->buffer) n += params->item[i]->numel;
    return n;
}

int64_t fv_params_frozen(const fv_params *params) {
    int64_t n = 0;
    for (int64_t i = 0; i < params->count; i++)
        if (!params->item[i]->buffer && params->item[i]->frozen) n += params->item[i]->numel;
    return n;
}

bool fv_params_have_buffers(const fv_params *params) {
    for (int64_t i = 0; i < params->count; i++)
        if (params->item[i]->buffer && !params->item[i]->frozen) return true;
    return false;
}

/* ---- frozen --------------------------------------------------------------------------------- */

int64_t fv_params_freeze(fv_params *params, const char *prefix) {
    const size_t length = strlen(prefix);
    int64_t n = 0;

    for (int64_t i = 0; i < params->count; i++) {
        fv_param *p = params->item[i];
        if (strncmp(p->name, prefix, length) != 0) continue;
        if (p->name[length] != '\0' && p->name[length] != '.') continue;
        p->frozen = true;
        p->trainable = false;
        n++;
    }
    return n;
}

/* What is frozen moves behind the rest, so that slabs of gradients can end before it. */
static void lay_out(fv_params *params) {
    int64_t at = 0;

    for (int frozen = 0; frozen < 2; frozen++) {
        for (int64_t i = 0; i < params->count; i++) {
            fv_param *p = params->item[i];
            if (p->frozen != (frozen == 1)) continue;
            p->offset = at;
            at += (p->numel + ALIGN_NUMEL - 1) / ALIGN_NUMEL * ALIGN_NUMEL;
        }
        if (!frozen) params->train_numel = at;
    }
}

/* ---- slabs ---------------------------------------------------------------------------------- */

static int64_t blocks_of(int64_t numel) { return (numel + BLOCK_NUMEL - 1) / BLOCK_NUMEL; }

static int64_t block_count(const fv_params *params) { return blocks_of(params->slab_numel); }

static int64_t block_of(int64_t numel, int64_t block) {
    const int64_t left = numel - block * BLOCK_NUMEL;
    return left < BLOCK_NUMEL ? left : BLOCK_NUMEL;
}

fv_status fv_params_slab_create(const fv_params *params, fv_param_slab *out) {
    out->base = fv_calloc((size_t)params->slab_numel, sizeof(float));
    return out->base ? FV_OK : FV_ERR_NOMEM;
}

fv_status fv_params_train_slab_create(const fv_params *params, fv_param_slab *out) {
    out->base = fv_calloc((size_t)params->train_numel, sizeof(float));
    return out->base ? FV_OK : FV_ERR_NOMEM;
}

void fv_params_slab_destroy(fv_param_slab *slab) {
    fv_free(slab->base);
    slab->base = NULL;
}

float *fv_param_slab_at(const fv_params *params, const fv_param_slab *slab, const fv_param *param) {
    (void)params;
    return slab->base + param->offset;
}

static void free_slabs(fv_params *params) {
    fv_params_slab_destroy(&params->value);
    fv_params_slab_destroy(&params->grad);
    fv_free(params->value_bf16);
    fv_free(params->partial);
    params->value_bf16 = NULL;
    params->partial = NULL;
}

fv_status fv_params_alloc(fv_params *params, fv_params_alloc_options options) {
    FV_TRY(fv_params_status(params));
    if (params->value.base) return FV_FAIL(FV_ERR_INTERNAL, "parameters are allocated already");

    lay_out(params);
    fv_status status = fv_params_slab_create(params, &params->value);
    if (status == FV_OK && options.grad)
        status = fv_params_train_slab_create(params, &params->grad);
    if (status == FV_OK && options.bf16) {
        params->value_bf16 = fv_calloc((size_t)params->slab_numel, sizeof(fv_bf16));
        if (!params->value_bf16) status = FV_ERR_NOMEM;
    }
    if (status == FV_OK) {
        params->partial = fv_calloc((size_t)block_count(params), sizeof(double));
        if (!params->partial) status = FV_ERR_NOMEM;
    }
    if (status != FV_OK) {
        free_slabs(params);
        return status;
    }
    for (int64_t i = 0; i < params->count; i++) {
        fv_param *p = params->item[i];
        p->value = params->value.base + p->offset;
        p->grad = options.grad && p->trainable ? params->grad.base + p->offset : NULL;
        p->value_bf16 = options.bf16 ? params->value_bf16 + p->offset : NULL;
    }
    return FV_OK;
}

void fv_params_destroy(fv_params *params) {
    free_slabs(params);
    *params = (fv_params){0};
}

static void bf16_block(int64_t block, void *arg) {
    fv_params *params = arg;
    const int64_t at = block * BLOCK_NUMEL;
    fv_kernel()->to_bf16(block_of(params->slab_numel, block), params->value.base + at,
                         params->value_bf16 + at);
}

void fv_params_bf16_refresh(fv_params *params) {
    if (params->value_bf16) fv_parallel(block_count(params), bf16_block, params);
}

void fv_params_grad_zero(fv_params *params) {
    if (params->grad.base)
        memset(params->grad.base, 0, (size_t)params->train_numel * sizeof(float));
}

typedef struct sum_args {
    const fv_params *params;
    const float *base;
    int64_t numel;
} sum_args;

static void sum_block(int64_t block, void *arg) {
    const sum_args *a = arg;
    a->params->partial[block] =
        fv_kernel()->sum_squares(block_of(a->numel, block), a->base + block * BLOCK_NUMEL);
}

/* Of the first numel elements from base on. */
static double sum_squares(const fv_params *params, const float *base, int64_t numel) {
    const int64_t n = blocks_of(numel);
    double sum = 0.0;

    fv_parallel(n, sum_block, &(sum_args){params, base, numel});
    for (int64_t i = 0; i < n; i++) sum += params->partial[i];
    return sum;
}

double fv_params_slab_sum_squares(const fv_params *params, const fv_param_slab *slab) {
    return sum_squares(params, slab->base, params->slab_numel);
}

double fv_params_grad_norm(const fv_params *params) {
    const fv_param_slab *grad = &params->grad;
    return grad->base ? sqrt(sum_squares(params, grad->base, params->train_numel)) : 0.0;
}

/* ---- initial values ------------------------------------------------------------------------- */

/* Redrawn under the next sample number until it lies within +-2; a deviation so large that 64 draws
 * miss is clamped. */
static float truncated_normal(fv_rng_key key, int64_t i, float deviation) {
    float v = 0.0f;

    for (key.sample = 0; key.sample < 64; key.sample++) {
        v = deviation * fv_rng_normal(&key, (uint64_t)i);
        if (v >= -2.0f && v <= 2.0f) return v;
    }
    return v < 0.0f ? -2.0f : 2.0f;
}

static void init_range(fv_param *p, const fv_rng_key *key, int64_t from, int64_t to) {
    const fv_init init = p->init;

    for (int64_t i = from; i < to; i++) {
        float v = 0.0f;
        switch (init.kind) {
        case FV_INIT_ZEROS:
            break;
        case FV_INIT_ONES:
            v = 1.0f;
            break;
        case FV_INIT_CONSTANT:
            v = init.value;
            break;
        case FV_INIT_NORMAL:
            v = init.value * fv_rng_normal(key, (uint64_t)i);
            break;
        case FV_INIT_TRUNC_NORMAL:
            v = truncated_normal(*key, i, init.value);
            break;
        case FV_INIT_UNIFORM:
            v = init.value * (2.0f * fv_rng_uniform(key, (uint64_t)i) - 1.0f);
            break;
        }
        p->value[i] = v;
    }
}

typedef struct init_args {
    fv_params *params;
    uint64_t seed;
} init_args;

/* The part of every parameter that lies in one block of the slab. */
static void init_block(int64_t block, void *arg) {
    const init_args *a = arg;
    const int64_t start = block * BLOCK_NUMEL, end = start + BLOCK_NUMEL;

    for (int64_t i = 0; i < a->params->count; i++) {
        fv_param *p = a->params->item[i];
        const int64_t from = start > p->offset ? start - p->offset : 0;
        const int64_t to = end - p->offset < p->numel ? end - p->offset : p->numel;
        const fv_rng_key key = {.seed = a->seed, .purpose = FV_RNG_INIT, .layer = p->hash};
        if (from < to) init_range(p, &key, from, to);
    }
}

void fv_params_init(fv_params *params, uint64_t seed) {
    fv_parallel(block_count(params), init_block, &(init_args){params, seed});
    fv_params_bf16_refresh(params);
}
