#include "layers/davit_down.h"

fv_status fv_davit_stem_init(fv_davit_stem *m, fv_scope scope, int64_t dim, float norm_eps) {
    const fv_conv_config cfg = {
        .in = 3, .out = dim, .kernel = 7, .stride = 4, .padding = -1, .bias = true};

    m->path = scope.path;
    FV_TRY(fv_conv_layer_init(&m->conv, fv_scope_child(scope, "conv"), &cfg));
    return fv_norm_layer_init(&m->norm, fv_scope_child(scope, "norm"), dim, norm_eps);
}

fv_var *fv_davit_stem_forward(const fv_davit_stem *m, fv_var *x) {
    x = fv_conv_layer_forward(&m->conv, fv_pad_map(x, 4, 4)); /* [B,H/4,W/4,C] */
    return fv_tap(fv_norm_layer_forward_f32(&m->norm, x), m->path);
}

fv_status fv_davit_downsample_init(fv_davit_downsample *m, fv_scope scope, int64_t in, int64_t out,
                                   float norm_eps) {
    const fv_conv_config cfg = {
        .in = in, .out = out, .kernel = 2, .stride = 2, .bias = true, .f32 = true};

    m->path = scope.path;
    FV_TRY(fv_norm_layer_init(&m->norm, fv_scope_child(scope, "norm"), in, norm_eps));
    return fv_conv_layer_init(&m->conv, fv_scope_child(scope, "conv"), &cfg);
}

fv_var *fv_davit_downsample_forward(const fv_davit_downsample *m, fv_var *x) {
    x = fv_pad_map(fv_norm_layer_forward(&m->norm, x), 2, 2);   /* even H, W */
    return fv_tap(fv_conv_layer_forward(&m->conv, x), m->path); /* [B,H/2,W/2,O] */
}
