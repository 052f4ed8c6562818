#include "layers/mlp.h"

fv_status fv_mlp_init(fv_mlp *m, fv_scope scope, int64_t dim, int64_t hidden) {
    return fv_mlp_init_named(m, scope, dim, hidden, "fc1", "fc2");
}

fv_status fv_mlp_init_named(fv_mlp *m, fv_scope scope, int64_t dim, int64_t hidden,
                            const char *first, const char *second) {
    m->path = scope.path;
    FV_TRY(fv_linear_layer_init(&m->fc1, fv_scope_child(scope, "%s", first), dim, hidden, true));
    return fv_linear_layer_init(&m->fc2, fv_scope_child(scope, "%s", second), hidden, dim, true);
}

fv_var *fv_mlp_forward(const fv_mlp *m, fv_var *x) {
    fv_var *h = fv_linear_layer_forward_gelu(&m->fc1, x);        /* [...,hidden] */
    return fv_tap(fv_linear_layer_forward(&m->fc2, h), m->path); /* [...,C] */
}
