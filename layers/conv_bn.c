#include "layers/conv_bn.h"

#include <math.h>

fv_status fv_conv_bn_init(fv_conv_bn *m, fv_scope scope, const fv_conv_bn_names *names,
                          const fv_conv_bn_config *cfg) {
    const int64_t groups = cfg->groups ? cfg->groups : 1;
    const double fan_out = (double)(cfg->kernel * cfg->kernel * cfg->out) / (double)groups;
    const fv_conv_config conv = {.in = cfg->in,
                                 .out = cfg->out,
                                 .kernel = cfg->kernel,
                                 .stride = cfg->stride,
                                 .padding = -1,
                                 .groups = groups,
                                 .init = {FV_INIT_NORMAL, (float)sqrt(2.0 / fan_out)}};

    *m = (fv_conv_bn){.act = cfg->act, .linear = cfg->linear};
    m->path = names->out[0] ? fv_scope_child(scope, "%s", names->out).path : scope.path;
    if (!m->path) return FV_ERR_NOMEM;
    FV_TRY(fv_conv_layer_init(&m->conv, fv_scope_child(scope, "%s", names->conv), &conv));
    FV_TRY(fv_batchnorm_layer_init(&m->bn, fv_scope_child(scope, "%s", names->bn), cfg->out));
    if (cfg->closed) m->bn.weight->init = (fv_init){FV_INIT_ZEROS, 0.0f};
    return FV_OK;
}

fv_var *fv_conv_bn_forward(const fv_conv_bn *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *y = fv_conv_layer_forward(&m->conv, x); /* [B,Ho,Wo,O] */

    y = m->linear ? fv_batchnorm_layer_forward(&m->bn, y)
                  : fv_batchnorm_layer_activate(&m->bn, y, m->act);
    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
