#include "train/ema.h"

#include "core/alloc.h"
#include "core/parallel.h"

#include <math.h>
#include <string.h>

/* Elements per task. */
#define BLOCK_NUMEL 65536

struct fv_ema {
    fv_ema_config config;
    fv_params *params;
    fv_param_slab slab;
    double decay; /* of the update under way */
};

fv_status fv_ema_create(const fv_ema_config *config, fv_params *params, fv_ema **out) {
    *out = NULL;
    if (!(config->decay >= 0.0 && config->decay <= 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "a decay of averages of %g is not in [0, 1]", config->decay);
    fv_ema *e = fv_calloc(1, sizeof *e);
    if (!e) return FV_ERR_NOMEM;
    e->config = *config;
    e->params = params;
    const fv_status status = fv_params_slab_create(params, &e->slab);
    if (status != FV_OK) {
        fv_ema_destroy(e);
        return status;
    }
    memcpy(e->slab.base, params->value.base, (size_t)params->slab_numel * sizeof(float));
    *out = e;
    return FV_OK;
}

void fv_ema_destroy(fv_ema *e) {
    if (!e) return;
    fv_params_slab_destroy(&e->slab);
    fv_free(e);
}

double fv_ema_decay(const fv_ema_config *config, int64_t t) {
    if (t <= 1) return 0.0;
    if (!config->warmup) return config->decay;
    return fmin(config->decay, 1.0 - pow((double)t, -2.0 / 3.0));
}

static int64_t block_numel(const fv_ema *e, int64_t block) {
    const int64_t left = e->params->slab_numel - block * BLOCK_NUMEL;
    return left < BLOCK_NUMEL ? left : BLOCK_NUMEL;
}

static int64_t block_count(const fv_ema *e) {
    return (e->params->slab_numel + BLOCK_NUMEL - 1) / BLOCK_NUMEL;
}

/* Written so that equal values stay what they are, and that a decay of 0 copies. */
static void average_block(int64_t block, void *arg) {
    const fv_ema *e = arg;
    const int64_t n = block_numel(e, block), at = block * BLOCK_NUMEL;
    const float keep = (float)e->decay, take = (float)(1.0 - e->decay);
    const float *w = e->params->value.base + at;
    float *a = e->slab.base + at;

    if (take < 0.5f) {
        for (int64_t i = 0; i < n; i++) a[i] += take * (w[i] - a[i]);
    } else {
        for (int64_t i = 0; i < n; i++) a[i] = w[i] - keep * (w[i] - a[i]);
    }
}

void fv_ema_average(fv_ema *e, double decay) {
    e->decay = decay;
    fv_parallel(block_count(e), average_block, e);
    for (int64_t i = 0; i < e->params->count; i++) {
        const fv_param *p = e->params->item[i];
        if (p->flags & FV_PARAM_I64)
            memcpy(e->slab.base + p->offset, p->value, (size_t)p->numel * sizeof(float));
    }
}

void fv_ema_update(fv_ema *e, int64_t t) { fv_ema_average(e, fv_ema_decay(&e->config, t)); }

static void swap_block(int64_t block, void *arg) {
    const fv_ema *e = arg;
    const int64_t n = block_numel(e, block), at = block * BLOCK_NUMEL;
    float *a = e->slab.base + at, *w = e->params->value.base + at;

    for (int64_t i = 0; i < n; i++) {
        const float kept = a[i];
        a[i] = w[i];
        w[i] = kept;
    }
}

void fv_ema_swap(fv_ema *e) {
    fv_parallel(block_count(e), swap_block, e);
    fv_params_bf16_refresh(e->params);
}

const fv_param_slab *fv_ema_slab(const fv_ema *e) { return &e->slab; }

fv_status fv_ema_save(const fv_ema *e, const char *path) {
    return fv_params_save(e->params, &e->slab, path, NULL, 0);
}

fv_status fv_ema_load(fv_ema *e, const char *path) {
    fv_safetensors *st = NULL;

    fv_status status = fv_safetensors_open(path, &st);
    if (status == FV_OK) status = fv_params_slab_load(e->params, FV_PARAMS_ALL, "", st, &e->slab);
    fv_safetensors_close(st);
    return status;
}
