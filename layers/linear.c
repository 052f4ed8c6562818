#include "layers/linear.h"

fv_status fv_linear_layer_init(fv_linear_layer *m, fv_scope scope, int64_t in, int64_t out,
                               bool bias) {
    *m = (fv_linear_layer){.path = scope.path};
    FV_TRY(fv_scope_param(scope, "weight", fv_shape_of(2, out, in),
                          (fv_init){FV_INIT_TRUNC_NORMAL, 0.02f}, &m->weight));
    if (!bias) return FV_OK;
    return fv_scope_param(scope, "bias", fv_shape_of(1, out), (fv_init){FV_INIT_ZEROS, 0.0f},
                          &m->bias);
}

typedef fv_var *builder(fv_var *x, fv_var *weight, fv_var *bias);

static fv_var *apply(const fv_linear_layer *m, fv_var *x, builder *build) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *weight = fv_param_var(tape, m->weight);              /* [O,I] */
    fv_var *bias = m->bias ? fv_param_var(tape, m->bias) : NULL; /* [O] */
    fv_var *y = build(x, weight, bias);                          /* [...,I] -> [...,O] */

    fv_tape_scope(tape, outer);
    return y;
}

fv_var *fv_linear_layer_forward(const fv_linear_layer *m, fv_var *x) {
    return fv_tap(apply(m, x, fv_linear), m->path);
}

fv_var *fv_linear_layer_forward_f32(const fv_linear_layer *m, fv_var *x) {
    return fv_tap(apply(m, x, fv_linear_f32), m->path);
}

fv_var *fv_linear_layer_forward_gelu(const fv_linear_layer *m, fv_var *x) {
    return apply(m, x, fv_linear_gelu);
}
