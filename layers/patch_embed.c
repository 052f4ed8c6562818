#include "layers/patch_embed.h"

#include <math.h>

fv_status fv_patch_embed_init(fv_patch_embed *m, fv_scope scope, int64_t dim, int64_t patch) {
    const fv_scope proj = fv_scope_child(scope, "proj");
    const fv_init init = {FV_INIT_UNIFORM, (float)(1.0 / sqrt((double)(3 * patch * patch)))};

    *m = (fv_patch_embed){.path = proj.path, .patch = patch};
    FV_TRY(fv_scope_param(proj, "weight", fv_shape_of(4, dim, (int64_t)3, patch, patch), init,
                          &m->weight));
    return fv_scope_param(proj, "bias", fv_shape_of(1, dim), init, &m->bias);
}

fv_var *fv_patch_embed_forward(const fv_patch_embed *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *patches = fv_patchify(x, m->patch); /* [B,(H/P)(W/P),3PP] */
    fv_var *y = fv_linear_f32(patches, fv_param_var(tape, m->weight),
                              fv_param_var(tape, m->bias)); /* [B,(H/P)(W/P),D] */

    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
