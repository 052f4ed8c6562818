#include "models/model.h"

#include "core/alloc.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/suggest.h"
#include "models/freeze.h"
#include "models/layer_table.h"
#include "models/model_list.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

/* Tokens of a gradient chunk, at most (a part of the meaning of a training run: tree.h). */
#define CHUNK_TOKENS 2560

#define MAX_NAMES 256 /* that "did you mean" looks at */

static const fv_family *const families[] = {
#define FV_X(name) &fv_family_##name,
    FV_FAMILY_LIST(FV_X)
#undef FV_X
};

#define FAMILIES ((int)(sizeof families / sizeof *families))

/* ---- names ---- */

const char *fv_model_name(int i) {
    for (int f = 0; f < FAMILIES && i >= 0; f++)
        for (int v = 0; families[f]->variant(v); v++)
            if (i-- == 0) return families[f]->variant(v);
    return NULL;
}

/* The variant called name, a ".tag" behind it left out. */
static const char *find(const char *name, const fv_family **family) {
    const size_t n = strcspn(name, ".");

    for (int f = 0; f < FAMILIES; f++) {
        const char *variant;
        for (int v = 0; (variant = families[f]->variant(v)); v++) {
            if (strncmp(variant, name, n) != 0 || variant[n]) continue;
            *family = families[f];
            return variant;
        }
    }
    return NULL;
}

const fv_family *fv_model_family(const char *name) {
    const fv_family *family = NULL;
    find(name, &family);
    return family;
}

const char *fv_model_match(const char *pattern, int *i) {
    const char *name;

    while ((name = fv_model_name((*i)++)))
        if (fnmatch(pattern, name, 0) == 0) return name;
    return NULL;
}

static fv_status unknown(const char *name) {
    const char *names[MAX_NAMES + 1];
    char hint[FV_SUGGEST_TEXT];
    int n = 0;

    while (n < MAX_NAMES && (names[n] = fv_model_name(n))) n++;
    names[n] = NULL;
    return FV_FAIL(FV_ERR_CONFIG, "unknown model '%s'%s (fovea models lists them)", name,
                   fv_suggest_text(name, names, hint));
}

/* ---- life ---- */

/* A group's own copy, whose keys nobody has asked for yet; an empty one is NULL. */
static fv_status copy_group(fv_model *model, const fv_value *from, fv_value **to) {
    if (!from || from->kind == FV_VALUE_NULL || (from->kind == FV_VALUE_MAP && !from->count))
        return FV_OK;
    *to = fv_value_copy(&model->arena, from);
    if (!*to) return FV_ERR_NOMEM;
    for (fv_value *v = (*to)->first; v; v = v->next) v->known = false;
    return FV_OK;
}

/* Arguments of every timm model, which its newer folders spell out: what we have, or refused. */
static fv_status read_common(fv_model *model, fv_model_config *cfg, const char **pool) {
    fv_value *kwargs = model->kwargs;
    int64_t classes = cfg->num_classes, channels = 3;
    char where[512];

    FV_TRY(fv_value_get_int(kwargs, "num_classes", 1, INT32_MAX, &classes));
    FV_TRY(fv_value_get_int(kwargs, "in_chans", 3, 3, &channels));
    FV_TRY(fv_value_get_string(kwargs, "global_pool", pool));
    if (cfg->num_classes && cfg->num_classes != classes)
        return FV_FAIL(FV_ERR_CONFIG, "%snum_classes: %" PRId64 ", but there are %" PRId64,
                       fv_value_where(fv_value_find(kwargs, "num_classes"), where), classes,
                       cfg->num_classes);
    cfg->num_classes = classes;
    return FV_OK;
}

static fv_status check_pool(const fv_model *model, const char *asked) {
    char where[512];

    if (!asked || strcmp(asked, model->global_pool) == 0) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG, "%sglobal_pool: '%.80s' is not available here; %s has '%s'",
                   fv_value_where(fv_value_find(model->kwargs, "global_pool"), where), asked,
                   model->name, model->global_pool);
}

static fv_status build(fv_model *model, const fv_model_config *asked) {
    fv_model_config copy = *asked, *cfg = &copy;
    const char *pool = NULL;

    model->name = find(cfg->name, &model->family);
    if (!model->name) return unknown(cfg->name);
    if (!(cfg->drop_path >= 0.0 && cfg->drop_path < 1.0))
        return FV_FAIL(FV_ERR_CONFIG, "drop_path: %g is not in [0, 1)", cfg->drop_path);
    if (cfg->num_classes < 0 || cfg->img_size < 0)
        return FV_FAIL(FV_ERR_CONFIG, "num_classes and img_size must not be negative");
    model->params.arena = &model->arena;
    model->drop_path = cfg->drop_path;
    FV_TRY(copy_group(model, cfg->kwargs, &model->kwargs));
    FV_TRY(copy_group(model, cfg->attention, &model->attention));
    FV_TRY(copy_group(model, cfg->pool, &model->pool));
    FV_TRY(copy_group(model, cfg->pos, &model->pos));
    FV_TRY(read_common(model, cfg, &pool));
    FV_TRY(model->family->build(model, cfg));
    FV_TRY(check_pool(model, pool));
    return fv_params_status(&model->params);
}

fv_status fv_model_describe(const fv_model_config *cfg, fv_model **out) {
    *out = NULL;
    fv_model *model = fv_calloc(1, sizeof *model);
    if (!model) return FV_ERR_NOMEM;
    const fv_status status = build(model, cfg);
    if (status != FV_OK) {
        fv_model_destroy(model);
        return status;
    }
    *out = model;
    return FV_OK;
}

fv_model_config fv_model_config_of(const fv_settings *s) {
    return (fv_model_config){.name = s->model,
                             .num_classes = s->num_classes,
                             .img_size = s->img_size,
                             .drop_path = s->drop_path,
                             .kwargs = s->model_kwargs,
                             .attention = s->attention,
                             .pool = s->pool,
                             .pos = s->pos,
                             .freeze = s->freeze};
}

fv_status fv_model_create(const fv_model_config *cfg, bool want_grad, fv_model **out) {
    fv_model *model;

    *out = NULL;
    FV_TRY(fv_model_describe(cfg, &model));
    const fv_params_alloc_options options = {.grad = want_grad, .bf16 = cfg->bf16};
    fv_status status = cfg->freeze ? fv_model_freeze(model, cfg->freeze) : FV_OK;
    if (status == FV_OK) status = fv_params_alloc(&model->params, options);
    if (status != FV_OK) {
        fv_model_destroy(model);
        return status;
    }
    *out = model;
    return FV_OK;
}

void fv_model_destroy(fv_model *model) {
    if (!model) return;
    fv_params_destroy(&model->params);
    fv_arena_destroy(&model->arena);
    fv_free(model);
}

void fv_model_init(fv_model *model, uint64_t seed) { fv_params_init(&model->params, seed); }

/* ---- use ---- */

bool fv_model_is_classifier(const fv_model *model, const char *param) {
    for (int c = 0; c < 2 && model->classifiers[c]; c++) {
        const size_t n = strlen(model->classifiers[c]);
        if (strncmp(param, model->classifiers[c], n) == 0 && param[n] == '.') return true;
    }
    return false;
}

fv_var *fv_model_forward(const fv_model *model, fv_var *x) {
    const char *outer = fv_tape_scope(x->tape, "");
    fv_var *logits = model->family->forward(model, x); /* [B,K] */

    fv_tape_scope(x->tape, outer);
    return fv_tap(logits, "logits");
}

int64_t fv_model_chunk_samples(const fv_model *model) {
    int64_t n = 1;
    while (2 * n * model->tokens <= CHUNK_TOKENS) n *= 2;
    return n;
}

int64_t fv_model_pass_samples(const fv_model *model, int64_t wanted) {
    const int64_t chunk = fv_model_chunk_samples(model), threads = fv_threads();
    const int64_t chunks = (wanted + chunk - 1) / chunk;
    return chunk * (chunks < threads ? chunks : threads);
}

fv_status fv_model_cost_of(const fv_model *model, fv_model_cost *out) {
    fv_arena arena = {0};
    fv_layer_table table;

    *out = (fv_model_cost){0};
    const fv_status status = fv_layer_table_make(model, &arena, &table);
    for (int64_t i = 0; status == FV_OK && i < table.count; i++) {
        const fv_layer_row *row = &table.row[i];
        out->macs += row->macs;
        if (row->params && row->macs > 0.0)
            out->activations += (double)fv_shape_numel(&row->output);
    }
    fv_arena_destroy(&arena);
    return status;
}
