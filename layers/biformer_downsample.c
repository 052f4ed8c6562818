#include "layers/biformer_downsample.h"

#include <inttypes.h>

static fv_status init_conv(fv_conv_layer *m, fv_scope scope, int position, int64_t in, int64_t out,
                           int64_t kernel, int64_t stride) {
    const fv_conv_config cfg = {.in = in,
                                .out = out,
                                .kernel = kernel,
                                .stride = stride,
                                .padding = kernel > stride ? kernel / 2 : 0,
                                .bias = true,
                                .f32 = kernel == stride};
    return fv_conv_layer_init(m, fv_scope_child(scope, "%d", position), &cfg);
}

static fv_status init_norm(fv_batchnorm_layer *m, fv_scope scope, int position, int64_t dim) {
    return fv_batchnorm_layer_init(m, fv_scope_child(scope, "%d", position), dim);
}

fv_status fv_biformer_downsample_init(fv_biformer_downsample *m, fv_scope scope,
                                      fv_biformer_downsample_kind kind, int64_t in, int64_t out) {
    *m = (fv_biformer_downsample){.path = scope.path, .kind = kind};
    switch (kind) {
    case FV_BIFORMER_STEM:
        if (out % 2)
            return FV_FAIL(FV_ERR_CONFIG, "%s: a stem of %" PRId64 " channels, which is odd",
                           scope.path ? scope.path : "", out);
        FV_TRY(init_conv(&m->conv[0], scope, 0, in, out / 2, 3, 2));
        FV_TRY(init_norm(&m->norm[0], scope, 1, out / 2));
        FV_TRY(init_conv(&m->conv[1], scope, 3, out / 2, out, 3, 2));
        return init_norm(&m->norm[1], scope, 4, out);
    case FV_BIFORMER_DOWN:
        FV_TRY(init_conv(&m->conv[0], scope, 0, in, out, 3, 2));
        return init_norm(&m->norm[0], scope, 1, out);
    case FV_BIFORMER_PATCHES:
        FV_TRY(init_conv(&m->conv[0], scope, 0, in, out, 4, 4));
        return init_norm(&m->norm[0], scope, 1, out);
    case FV_BIFORMER_MERGE:
        break;
    }
    FV_TRY(init_norm(&m->norm[0], scope, 0, in));
    return init_conv(&m->conv[0], scope, 1, in, out, 2, 2);
}

int64_t fv_biformer_downsample_size(fv_biformer_downsample_kind kind, int64_t size) {
    switch (kind) {
    case FV_BIFORMER_STEM:
        return (size + 3) / 4;
    case FV_BIFORMER_DOWN:
        return (size + 1) / 2;
    case FV_BIFORMER_PATCHES:
        return size / 4;
    case FV_BIFORMER_MERGE:
        break;
    }
    return size / 2;
}

static fv_var *stem(const fv_biformer_downsample *m, fv_var *x) {
    x = fv_conv_layer_forward(&m->conv[0], x); /* [B,H/2,W/2,O/2] */
    x = fv_batchnorm_layer_forward(&m->norm[0], x);
    x = fv_activation(x, FV_GELU, fv_product_dtype(x->tape));
    x = fv_conv_layer_forward(&m->conv[1], x); /* [B,H/4,W/4,O] */
    return fv_batchnorm_layer_forward_to(&m->norm[1], x, FV_F32);
}

/* The residual stream in the dtype of products. */
static fv_var *narrow(fv_var *x) {
    const fv_dtype dtype = fv_product_dtype(x->tape);
    return x->dtype == dtype ? x : fv_cast(x, dtype);
}

fv_var *fv_biformer_downsample_forward(const fv_biformer_downsample *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);

    if (m->kind == FV_BIFORMER_STEM) {
        x = stem(m, x); /* [B,H/4,W/4,O] */
    } else if (m->kind == FV_BIFORMER_MERGE) {
        x = fv_batchnorm_layer_forward_to(&m->norm[0], x, fv_product_dtype(tape));
        x = fv_conv_layer_forward(&m->conv[0], x); /* [B,H/2,W/2,O] */
    } else {
        x = fv_conv_layer_forward(&m->conv[0], narrow(x)); /* [B,H/2,W/2,O]; patches: H/4, W/4 */
        x = fv_batchnorm_layer_forward_to(&m->norm[0], x, FV_F32);
    }
    fv_tape_scope(tape, outer);
    return fv_tap(x, m->path);
}
