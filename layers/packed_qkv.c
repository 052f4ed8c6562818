#include "layers/packed_qkv.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

fv_status fv_packed_qkv_init(fv_packed_qkv *m, fv_scope scope, fv_value *cfg,
                             const fv_mixer_shape *shape) {
    const int64_t C = shape->dim;
    int64_t heads = 0;
    double scale = 0.0;
    bool qkv_bias = shape->qkv_bias, proj_bias = shape->proj_bias;

    FV_TRY(fv_value_get_int(cfg, "heads", 0, C, &heads));
    FV_TRY(fv_value_get_bool(cfg, "qkv_bias", &qkv_bias));
    FV_TRY(fv_value_get_bool(cfg, "proj_bias", &proj_bias));
    FV_TRY(fv_value_get_real(cfg, "scale", 0.0, (double)FLT_MAX, &scale));
    m->heads = heads ? heads : shape->heads;
    m->scale = (float)scale;
    if (m->heads < 1 || C % m->heads)
        return FV_FAIL(FV_ERR_CONFIG,
                       "attention.heads: %" PRId64 " does not divide the width %" PRId64, m->heads,
                       C);
    FV_TRY(fv_linear_layer_init(&m->qkv, fv_scope_child(scope, "qkv"), C, 3 * C, qkv_bias));
    return fv_linear_layer_init(&m->proj, fv_scope_child(scope, "proj"), C, C, proj_bias);
}

float fv_packed_qkv_scale(const fv_packed_qkv *m, int64_t dim) {
    return m->scale > 0.0f ? m->scale : (float)(1.0 / sqrt((double)(dim / m->heads)));
}
