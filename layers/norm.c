#include "layers/norm.h"

fv_status fv_norm_layer_init(fv_norm_layer *m, fv_scope scope, int64_t dim, float eps) {
    *m = (fv_norm_layer){.path = scope.path, .eps = eps};
    FV_TRY(fv_scope_param(scope, "weight", fv_shape_of(1, dim), (fv_init){FV_INIT_ONES, 0.0f},
                          &m->weight));
    return fv_scope_param(scope, "bias", fv_shape_of(1, dim), (fv_init){FV_INIT_ZEROS, 0.0f},
                          &m->bias);
}

static fv_var *apply(const fv_norm_layer *m, fv_var *x, fv_dtype out) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *y =
        fv_layernorm(x, fv_param_var(tape, m->weight), fv_param_var(tape, m->bias), m->eps, out);

    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}

fv_var *fv_norm_layer_forward(const fv_norm_layer *m, fv_var *x) {
    return apply(m, x, fv_product_dtype(x->tape));
}

fv_var *fv_norm_layer_forward_f32(const fv_norm_layer *m, fv_var *x) { return apply(m, x, FV_F32); }
