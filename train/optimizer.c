#include "train/optimizer.h"

#include "core/alloc.h"
#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/suggest.h"
#include "train/optimizer_list.h"

#include <string.h>

/* Elements per task. */
#define BLOCK_NUMEL 65536

#define STEP_NAME "step"

#define FV_X(name) &fv_optimizer_##name,
static const fv_optimizer_kind *const kinds[] = {FV_OPTIMIZER_LIST(FV_X)};
#undef FV_X

#define FV_X(name) #name,
static const char *const names[] = {FV_OPTIMIZER_LIST(FV_X) NULL};
#undef FV_X

/* Neighbouring parameters with the same settings, at most BLOCK_NUMEL elements.  The padding between
 * them has zero gradients and stays zero. */
typedef struct segment {
    int64_t offset, numel;
    bool decay;
    double lr_scale;
} segment;

struct fv_optimizer {
    const fv_optimizer_kind *kind;
    fv_params *params;
    fv_param_slab state[FV_OPTIMIZER_STATES];
    segment *segments;
    int64_t n_segments;
    fv_optimizer_args args; /* with decay */
};

static bool ends_with(const char *s, const char *end) {
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

bool fv_optimizer_decays(const fv_param *p) {
    return p->shape.rank > 1 && !p->no_decay_hint && !ends_with(p->name, ".bias");
}

static double scale_of(const double *lr_scale, int64_t i) { return lr_scale ? lr_scale[i] : 1.0; }

/* Does parameter i share the settings of an earlier one? */
static bool alike(const fv_params *params, const double *lr_scale, int64_t i, int64_t first) {
    return params->item[i]->trainable &&
           fv_optimizer_decays(params->item[i]) == fv_optimizer_decays(params->item[first]) &&
           scale_of(lr_scale, i) == scale_of(lr_scale, first);
}

/* Counts the segments, and stores them when out is not NULL. */
static int64_t make_segments(const fv_params *params, const double *lr_scale, segment *out) {
    int64_t n = 0;

    for (int64_t i = 0; i < params->count;) {
        const int64_t first = i++;
        const fv_param *p = params->item[first];
        if (!p->trainable) continue;
        while (i < params->count && alike(params, lr_scale, i, first)) i++;
        const int64_t end = params->item[i - 1]->offset + params->item[i - 1]->numel;
        for (int64_t at = p->offset; at < end; at += BLOCK_NUMEL, n++)
            if (out)
                out[n] = (segment){.offset = at,
                                   .numel = end - at < BLOCK_NUMEL ? end - at : BLOCK_NUMEL,
                                   .decay = fv_optimizer_decays(p),
                                   .lr_scale = scale_of(lr_scale, first)};
    }
    return n;
}

void fv_optimizer_config_init(fv_optimizer_config *config) {
    *config = (fv_optimizer_config){.name = "adamw",
                                    .beta1 = -1.0,
                                    .beta2 = -1.0,
                                    .eps = -1.0,
                                    .momentum = -1.0,
                                    .nesterov = true};
}

static double or_default(double value, double fallback) { return value < 0.0 ? fallback : value; }

fv_status fv_optimizer_create(const fv_optimizer_config *config, fv_params *params,
                              fv_optimizer **out) {
    char hint[FV_SUGGEST_TEXT];
    const fv_optimizer_kind *kind = NULL;

    *out = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i]->name, config->name) == 0) kind = kinds[i];
    if (!kind)
        return FV_FAIL(FV_ERR_CONFIG, "unknown optimiser '%s'%s", config->name,
                       fv_suggest_text(config->name, names, hint));
    if (!params->grad.base) return FV_FAIL(FV_ERR_INTERNAL, "parameters without gradients");

    fv_status status = FV_ERR_NOMEM;
    fv_optimizer *o = fv_calloc(1, sizeof *o);
    if (!o) return FV_ERR_NOMEM;
    o->kind = kind;
    o->params = params;
    o->args = (fv_optimizer_args){.weight_decay = config->weight_decay,
                                  .beta1 = or_default(config->beta1, kind->beta1),
                                  .beta2 = or_default(config->beta2, kind->beta2),
                                  .momentum = or_default(config->momentum, kind->momentum),
                                  .eps = or_default(config->eps, kind->eps),
                                  .nesterov = config->nesterov};
    o->n_segments = make_segments(params, config->lr_scale, NULL);
    o->segments = fv_alloc((size_t)o->n_segments, sizeof *o->segments);
    if (!o->segments) goto fail;
    make_segments(params, config->lr_scale, o->segments);
    for (int i = 0; i < FV_OPTIMIZER_STATES && kind->state[i]; i++) {
        status = fv_params_train_slab_create(params, &o->state[i]);
        if (status != FV_OK) goto fail;
    }
    *out = o;
    return FV_OK;
fail:
    fv_optimizer_destroy(o);
    return status;
}

void fv_optimizer_destroy(fv_optimizer *o) {
    if (!o) return;
    for (int i = 0; i < FV_OPTIMIZER_STATES; i++) fv_params_slab_destroy(&o->state[i]);
    fv_free(o->segments);
    fv_free(o);
}

static void update_segment(int64_t i, void *arg) {
    fv_optimizer *o = arg;
    const segment *s = &o->segments[i];
    fv_optimizer_args args = o->args;
    float *state[FV_OPTIMIZER_STATES] = {NULL};
    float *w = o->params->value.base + s->offset;

    args.lr *= s->lr_scale;
    if (!s->decay) args.weight_decay = 0.0;
    for (int k = 0; k < FV_OPTIMIZER_STATES && o->state[k].base; k++)
        state[k] = o->state[k].base + s->offset;
    o->kind->update(s->numel, &args, o->params->grad.base + s->offset, state, w);
    if (o->params->value_bf16) fv_kernel()->to_bf16(s->numel, w, o->params->value_bf16 + s->offset);
}

void fv_optimizer_step(fv_optimizer *o, double lr, float grad_scale) {
    o->args.t++;
    o->args.lr = lr;
    o->args.grad_scale = grad_scale;
    fv_parallel(o->n_segments, update_segment, o);
}

int64_t fv_optimizer_updates(const fv_optimizer *o) { return o->args.t; }

static const char *prefix_of(const fv_optimizer *o, int i, fv_arena *arena) {
    return fv_arena_printf(arena, "%s.", o->kind->state[i]);
}

fv_status fv_optimizer_save(const fv_optimizer *o, const char *path) {
    fv_arena arena = {0};
    fv_status status = FV_ERR_NOMEM;
    int64_t t = o->args.t, n = 0;
    const size_t most = (size_t)o->params->count * FV_OPTIMIZER_STATES + 1;

    fv_safetensors_item *items = fv_arena_alloc(&arena, most, sizeof *items);
    if (!items) goto cleanup;
    for (int i = 0; i < FV_OPTIMIZER_STATES && o->kind->state[i]; i++) {
        const char *prefix = prefix_of(o, i, &arena);
        status = prefix ? fv_params_items(o->params, FV_PARAMS_TRAINABLE, &o->state[i], prefix,
                                          &arena, items, &n)
                        : FV_ERR_NOMEM;
        if (status != FV_OK) goto cleanup;
    }
    items[n++] = (fv_safetensors_item){STEP_NAME, {.data = &t, .dtype = FV_I64}};
    status =
        fv_safetensors_save(path, items, n, &(fv_safetensors_meta){"optimizer", o->kind->name}, 1);
cleanup:
    fv_arena_destroy(&arena);
    return status;
}

static fv_status load_step(fv_optimizer *o, const fv_safetensors *st) {
    const fv_safetensors_entry *entry;
    const char *kind = fv_safetensors_metadata(st, "optimizer");

    if (kind && strcmp(kind, o->kind->name) != 0)
        return FV_FAIL(FV_ERR_CONFIG, "the state is that of %s, not of %s", kind, o->kind->name);
    FV_TRY(fv_safetensors_need(st, STEP_NAME, &entry));
    if (entry->numel != 1 || entry->dtype != FV_I64)
        return FV_FAIL(FV_ERR_FORMAT, "'" STEP_NAME "' is not one integer");
    return fv_safetensors_read_i64(st, entry, &o->args.t);
}

fv_status fv_optimizer_load(fv_optimizer *o, const char *path) {
    fv_arena arena = {0};
    fv_safetensors *st = NULL;

    fv_status status = fv_safetensors_open(path, &st);
    if (status != FV_OK) return status;
    status = load_step(o, st);
    if (status != FV_OK) fv_error_context(status, "%s", path);
    for (int i = 0; i < FV_OPTIMIZER_STATES && o->kind->state[i] && status == FV_OK; i++) {
        const char *prefix = prefix_of(o, i, &arena);
        status = prefix
                     ? fv_params_slab_load(o->params, FV_PARAMS_TRAINABLE, prefix, st, &o->state[i])
                     : FV_ERR_NOMEM;
    }
    fv_safetensors_close(st);
    fv_arena_destroy(&arena);
    return status;
}

float fv_clip_factor(double norm, double max_norm) {
    if (!(max_norm > 0.0)) return 1.0f;
    const double factor = max_norm / (norm + 1e-6);
    return factor < 1.0 ? (float)factor : 1.0f;
}
