#include "layers/conv_pos.h"

fv_status fv_conv_pos_init(fv_conv_pos *m, fv_scope scope, int64_t dim) {
    const fv_conv_config cfg = {
        .in = dim, .out = dim, .kernel = 3, .padding = -1, .groups = dim, .bias = true};

    m->path = scope.path;
    return fv_conv_layer_init(&m->proj, fv_scope_child(scope, "proj"), &cfg);
}

fv_var *fv_conv_pos_forward(const fv_conv_pos *m, fv_var *x) {
    return fv_tap(fv_add(x, fv_conv_layer_forward(&m->proj, x)), m->path);
}
