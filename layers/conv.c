#include "layers/conv.h"

#include <inttypes.h>
#include <math.h>

fv_status fv_conv_layer_init(fv_conv_layer *m, fv_scope scope, const fv_conv_config *cfg) {
    const int64_t k = cfg->kernel, groups = cfg->groups ? cfg->groups : 1;

    if (groups < 1 || cfg->in % groups || cfg->out % groups)
        return FV_FAIL(FV_ERR_CONFIG,
                       "%s: %" PRId64 " groups do not divide %" PRId64 " and %" PRId64 " channels",
                       scope.path ? scope.path : "", groups, cfg->in, cfg->out);
    const bool given = cfg->init.kind != FV_INIT_ZEROS;
    const double fan_in = (double)(k * k * (cfg->in / groups));
    const fv_init uniform = {FV_INIT_UNIFORM, (float)(1.0 / sqrt(fan_in))};
    const fv_init zeros = {FV_INIT_ZEROS, 0.0f};

    *m = (fv_conv_layer){.path = scope.path,
                         .args = {.stride = cfg->stride ? cfg->stride : 1,
                                  .padding = cfg->padding < 0 ? k / 2 : cfg->padding,
                                  .groups = groups,
                                  .f32 = cfg->f32}};
    FV_TRY(fv_scope_param(scope, "weight", fv_shape_of(4, cfg->out, cfg->in / groups, k, k),
                          given ? cfg->init : uniform, &m->weight));
    if (!cfg->bias) return FV_OK;
    return fv_scope_param(scope, "bias", fv_shape_of(1, cfg->out), given ? zeros : uniform,
                          &m->bias);
}

fv_var *fv_conv_layer_forward(const fv_conv_layer *m, fv_var *x) {
    fv_tape *tape = x->tape;
    const char *outer = fv_tape_scope(tape, m->path);
    fv_var *bias = m->bias ? fv_param_var(tape, m->bias) : NULL;             /* [O] */
    fv_var *y = fv_conv2d(x, fv_param_var(tape, m->weight), bias, &m->args); /* [B,Ho,Wo,O] */

    fv_tape_scope(tape, outer);
    return fv_tap(y, m->path);
}
