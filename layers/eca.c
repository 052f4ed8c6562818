#include "layers/eca.h"

#include <inttypes.h>
#include <math.h>

static int64_t default_kernel(int64_t dim) {
    const int64_t t = (int64_t)(fabs(log2((double)dim) + 1.0) / 2.0);
    const int64_t odd = t % 2 ? t : t + 1;
    return odd > 3 ? odd : 3;
}

fv_status fv_eca_init(fv_eca *m, fv_scope scope, int64_t dim, int64_t kernel) {
    const fv_scope conv = fv_scope_child(scope, "conv");

    if (dim < 1 || kernel < 0 || (kernel && kernel % 2 == 0))
        return FV_FAIL(FV_ERR_CONFIG, "eca: width %" PRId64 ", kernel %" PRId64, dim, kernel);
    *m = (fv_eca){.path = scope.path, .conv_path = conv.path};
    const int64_t k = kernel ? kernel : default_kernel(dim);
    const fv_init init = {FV_INIT_UNIFORM, (float)(1.0 / sqrt((double)k))};
    return fv_scope_param(conv, "weight", fv_shape_of(3, (int64_t)1, (int64_t)1, k), init,
                          &m->weight);
}

fv_var *fv_eca_forward(const fv_eca *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->conv_path);

    fv_var *s =
        fv_channel_conv(fv_mean_tokens(x, 0, FV_F32), fv_param_var(tape, m->weight)); /* [B,C] */
    s = fv_sigmoid(fv_tap(s, m->conv_path));
    fv_tape_scope(tape, m->path);
    fv_var *y = fv_gate(x, s); /* [B,H,W,C] */
    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
