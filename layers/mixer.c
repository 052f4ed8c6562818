#include "layers/mixer.h"

#include "core/suggest.h"
#include "layers/mixer_config.h"
#include "layers/mixer_list.h"

#include <string.h>

static const fv_mixer *const mixers[] = {
#define FV_X(kind) &fv_mixer_##kind,
    FV_MIXER_LIST(FV_X)
#undef FV_X
};

static const char *const kinds[] = {
#define FV_X(kind) #kind,
    FV_MIXER_LIST(FV_X)
#undef FV_X
        NULL};

#define MIXERS ((int)(sizeof mixers / sizeof *mixers))

const fv_mixer *fv_mixer_at(int i) { return i >= 0 && i < MIXERS ? mixers[i] : NULL; }

const fv_mixer *fv_mixer_find(const char *kind) {
    for (int i = 0; i < MIXERS; i++)
        if (strcmp(mixers[i]->kind, kind) == 0) return mixers[i];
    return NULL;
}

static fv_status init(fv_mixer_layer *m, fv_scope scope, fv_value *own,
                      const fv_mixer_shape *shape) {
    char where[512], hint[FV_SUGGEST_TEXT];
    const char *kind = shape->kind ? shape->kind : "mhsa";

    FV_TRY(fv_value_get_string(own, "kind", &kind));
    *m = (fv_mixer_layer){.path = scope.path, .mixer = fv_mixer_find(kind)};
    if (!m->mixer) {
        const fv_value *v = fv_value_find(own, "kind");
        return FV_FAIL(FV_ERR_CONFIG, "%sattention.kind: there is no token mixer '%s'%s",
                       v ? fv_value_where(v, where) : "", kind, fv_suggest_text(kind, kinds, hint));
    }
    if (shape->n_prefix && !(m->mixer->caps & FV_MIXER_PREFIX))
        return FV_FAIL(FV_ERR_CONFIG, "attention.kind: '%s' takes no prefix tokens", kind);
    m->self = fv_arena_calloc(scope.params->arena, 1, m->mixer->self_bytes);
    if (!m->self) return FV_ERR_NOMEM;
    return m->mixer->init(m->self, scope, own, shape);
}

fv_status fv_mixer_layer_init(fv_mixer_layer *m, fv_scope scope, fv_value *attention,
                              const fv_mixer_shape *shape) {
    fv_value *own = NULL;

    FV_TRY(fv_mixer_config_of(scope.params->arena, attention, shape->stage, shape->layer, &own));
    const fv_status status = init(m, scope, own, shape);
    fv_mixer_config_read(attention, shape->stage, shape->layer, own);
    return status;
}

fv_var *fv_mixer_layer_forward(const fv_mixer_layer *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *y = m->mixer->forward(m->self, x); /* [B,N,C] */

    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
