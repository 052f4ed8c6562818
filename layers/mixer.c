#include "layers/mixer.h"

#include "core/suggest.h"
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

fv_status fv_mixer_layer_init(fv_mixer_layer *m, fv_scope scope, fv_value *cfg,
                              const fv_mixer_shape *shape) {
    char where[512], hint[FV_SUGGEST_TEXT];
    const char *kind = "mhsa";

    FV_TRY(fv_value_get_string(cfg, "kind", &kind));
    *m = (fv_mixer_layer){.path = scope.path, .mixer = fv_mixer_find(kind)};
    if (!m->mixer) {
        const fv_value *v = fv_value_find(cfg, "kind");
        return FV_FAIL(FV_ERR_CONFIG, "%sattention.kind: there is no token mixer '%s'%s",
                       v ? fv_value_where(v, where) : "", kind, fv_suggest_text(kind, kinds, hint));
    }
    m->self = fv_arena_calloc(scope.params->arena, 1, m->mixer->self_bytes);
    if (!m->self) return FV_ERR_NOMEM;
    FV_TRY(m->mixer->init(m->self, scope, cfg, shape));
    const fv_status status = fv_value_check_known(cfg, m->mixer->keys);
    return status == FV_OK ? FV_OK : fv_error_context(status, "attention.kind %s", kind);
}

fv_var *fv_mixer_layer_forward(const fv_mixer_layer *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *y = m->mixer->forward(m->self, x); /* [B,N,C] */

    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
