#include "layers/squeeze_excite.h"

#include <inttypes.h>

static int64_t default_hidden(int64_t dim) {
    const int64_t n = (dim + 64) / 128 * 8;
    return n > 8 ? n : 8;
}

fv_status fv_squeeze_excite_init(fv_squeeze_excite *m, fv_scope scope, int64_t dim,
                                 int64_t hidden) {
    fv_conv_config conv = {.in = dim, .out = hidden, .kernel = 1, .bias = true};

    if (dim < 1 || hidden < 0)
        return FV_FAIL(FV_ERR_CONFIG, "squeeze_excite: width %" PRId64 ", hidden %" PRId64, dim,
                       hidden);
    if (hidden == 0) conv.out = default_hidden(dim);
    *m = (fv_squeeze_excite){.path = scope.path};
    FV_TRY(fv_conv_layer_init(&m->fc1, fv_scope_child(scope, "fc1"), &conv));
    conv.in = conv.out;
    conv.out = dim;
    return fv_conv_layer_init(&m->fc2, fv_scope_child(scope, "fc2"), &conv);
}

fv_var *fv_squeeze_excite_forward(const fv_squeeze_excite *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    const int64_t B = fv_dim(x, 0), C = fv_dim(x, -1);

    fv_var *s = fv_mean_tokens(x, 0, FV_F32);                        /* [B,C] */
    s = fv_reshape(s, fv_shape_of(4, B, (int64_t)1, (int64_t)1, C)); /* [B,1,1,C] */
    s = fv_relu(fv_conv_layer_forward(&m->fc1, s));                  /* [B,1,1,hidden] */
    s = fv_sigmoid(fv_conv_layer_forward(&m->fc2, s));               /* [B,1,1,C] */
    fv_var *y = fv_gate(x, s);                                       /* [B,H,W,C] */
    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
