/* mixer_mhsa.c - multi-head self-attention (Vaswani et al. 2017, section 3.2; timm's packed form).
 *
 *     q, k, v = qkv(x);  y = proj(concat_a softmax_j(s q_ai . k_aj) v_aj),  s = d^-1/2, d = C/h.
 * Every token, prefix tokens included, attends to every token. */
#include "layers/linear.h"
#include "layers/mixer_list.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

typedef struct mhsa {
    int64_t heads;
    float scale;
    fv_linear_layer qkv, proj; /* [3C,C], [C,C] */
} mhsa;

static const char *const keys[] = {"kind", "heads", "qkv_bias", "proj_bias", "scale", NULL};

static fv_status init(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape) {
    mhsa *m = self;
    const int64_t C = shape->dim;
    int64_t heads = 0;
    double scale = 0.0;
    bool qkv_bias = shape->qkv_bias, proj_bias = shape->proj_bias;

    FV_TRY(fv_value_get_int(cfg, "heads", 0, C, &heads));
    FV_TRY(fv_value_get_bool(cfg, "qkv_bias", &qkv_bias));
    FV_TRY(fv_value_get_bool(cfg, "proj_bias", &proj_bias));
    FV_TRY(fv_value_get_real(cfg, "scale", 0.0, (double)FLT_MAX, &scale)); /* 0: d^-1/2 */
    m->heads = heads ? heads : shape->heads;
    if (m->heads < 1 || C % m->heads)
        return FV_FAIL(FV_ERR_CONFIG,
                       "attention.heads: %" PRId64 " does not divide the width %" PRId64, m->heads,
                       C);
    m->scale = scale > 0.0 ? (float)scale : (float)(1.0 / sqrt((double)(C / m->heads)));
    FV_TRY(fv_linear_layer_init(&m->qkv, fv_scope_child(scope, "qkv"), C, 3 * C, qkv_bias));
    return fv_linear_layer_init(&m->proj, fv_scope_child(scope, "proj"), C, C, proj_bias);
}

/* x [B,N,C] -> [B,N,C].  Tap "<path>.attn" [B,h,N,N] in FV_EXPLAIN, where fv_attention is composed. */
static fv_var *forward(const void *self, fv_var *x) {
    const mhsa *m = self;
    fv_var *qkv = fv_linear_layer_forward(&m->qkv, x); /* [B,N,3C] */
    fv_var *y = fv_attention(qkv, m->heads, m->scale); /* [B,N,C] */
    return fv_linear_layer_forward(&m->proj, y);       /* [B,N,C] */
}

const fv_mixer fv_mixer_mhsa = {.kind = "mhsa",
                                .caps = FV_MIXER_PREFIX | FV_MIXER_ANYGRID | FV_MIXER_ATTNMAP,
                                .self_bytes = sizeof(mhsa),
                                .keys = keys,
                                .init = init,
                                .forward = forward};
