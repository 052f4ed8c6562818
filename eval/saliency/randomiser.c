#include "eval/saliency/randomiser.h"

#include "core/alloc.h"

#include <string.h>

struct fv_randomiser {
    fv_model *model;
    fv_param_slab own, random;
    int64_t n_stages;
    int64_t *stage; /* [params]: which one a parameter belongs to */
};

/* Whether name lies below path: "blocks.1" holds "blocks.1.norm1.weight", not "blocks.11...". */
static bool lies_below(const char *name, const char *path) {
    const size_t n = strlen(path);
    return strncmp(name, path, n) == 0 && name[n] == '.';
}

/* Declaration order is forward order: what no feature claims is stem in front of the first claimed
 * parameter, and head behind it. */
static int64_t stage_of(const fv_randomiser *r, const char *name, bool claimed_before) {
    const fv_model *m = r->model;

    for (int i = 0; i < m->n_features; i++)
        if (lies_below(name, m->feature_names[i])) return m->n_features - i;
    return claimed_before ? 0 : r->n_stages - 1;
}

static void assign(fv_randomiser *r) {
    const fv_params *params = &r->model->params;
    bool claimed = false;

    for (int64_t i = 0; i < params->count; i++) {
        r->stage[i] = stage_of(r, params->item[i]->name, claimed);
        claimed = claimed || (r->stage[i] > 0 && r->stage[i] < r->n_stages - 1);
    }
}

static void copy(const fv_param_slab *to, const fv_param_slab *from, const fv_params *params) {
    memcpy(to->base, from->base, (size_t)params->slab_numel * sizeof *to->base);
}

fv_status fv_randomiser_create(fv_model *model, uint64_t seed, fv_randomiser **out) {
    fv_params *params = &model->params;
    fv_randomiser *r = fv_calloc(1, sizeof *r);

    *out = NULL;
    if (!r) return FV_ERR_NOMEM;
    r->n_stages = model->n_features + 2;
    r->stage = fv_calloc((size_t)params->count + 1, sizeof *r->stage);
    fv_status status = r->stage ? fv_params_slab_create(params, &r->own) : FV_ERR_NOMEM;
    if (status == FV_OK) status = fv_params_slab_create(params, &r->random);
    if (status != FV_OK) {
        fv_randomiser_destroy(r);
        return status;
    }
    r->model = model;
    assign(r);
    copy(&r->own, &params->value, params);
    fv_model_init(model, seed);
    copy(&r->random, &params->value, params);
    fv_randomiser_restore(r);
    *out = r;
    return FV_OK;
}

void fv_randomiser_destroy(fv_randomiser *r) {
    if (!r) return;
    if (r->model) fv_randomiser_restore(r);
    fv_params_slab_destroy(&r->own);
    fv_params_slab_destroy(&r->random);
    fv_free(r->stage);
    fv_free(r);
}

int64_t fv_randomiser_stages(const fv_randomiser *r) { return r->n_stages; }

const char *fv_randomiser_name(const fv_randomiser *r, int64_t stage) {
    const fv_model *m = r->model;
    if (stage == 0) return "head";
    return stage == r->n_stages - 1 ? "stem" : m->feature_names[m->n_features - stage];
}

void fv_randomiser_apply(fv_randomiser *r, int64_t stage) {
    fv_params *params = &r->model->params;

    for (int64_t i = 0; i < params->count; i++) {
        const fv_param *p = params->item[i];
        if (r->stage[i] != stage) continue;
        memcpy(p->value, fv_param_slab_at(params, &r->random, p),
               (size_t)p->numel * sizeof *p->value);
    }
    fv_params_bf16_refresh(params);
}

void fv_randomiser_restore(fv_randomiser *r) {
    copy(&r->model->params.value, &r->own, &r->model->params);
    fv_params_bf16_refresh(&r->model->params);
}
