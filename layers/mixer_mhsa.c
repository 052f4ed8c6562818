/* mixer_mhsa.c - multi-head self-attention (Vaswani et al. 2017, section 3.2; timm's packed form).
 *
 *     q, k, v = qkv(x);  y = proj(concat_a softmax_j(s q_ai . k_aj) v_aj),  s = d^-1/2, d = C/h.
 * Every token, prefix tokens included, attends to every token. */
#include "layers/attention_layout.h"
#include "layers/mixer_list.h"
#include "layers/packed_qkv.h"

typedef struct mhsa {
    fv_packed_qkv part;
    float scale;
    fv_attention_layout layout;
} mhsa;

static const char *const keys[] = {"kind", FV_PACKED_QKV_KEYS, NULL};

static fv_status init(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape) {
    mhsa *m = self;

    FV_TRY(fv_packed_qkv_init(&m->part, scope, cfg, shape));
    m->scale = fv_packed_qkv_scale(&m->part, shape->dim);
    m->layout = (fv_attention_layout){.kind = FV_ATTENTION_GLOBAL,
                                      .heads = m->part.heads,
                                      .n_prefix = shape->n_prefix,
                                      .H = shape->grid_h,
                                      .W = shape->grid_w};
    return FV_OK;
}

/* x [B,N,C] -> [B,N,C].  Taps of fv_attention_parts in FV_EXPLAIN, "<path>.weights" [B,h,N,N]. */
static fv_var *forward(const void *self, fv_var *x) {
    const mhsa *m = self;

    fv_attention_layout_note(x->tape, &m->layout);
    fv_var *qkv = fv_linear_layer_forward(&m->part.qkv, x); /* [B,N,3C] */
    fv_var *y = fv_attention(qkv, m->part.heads, m->scale); /* [B,N,C] */
    return fv_linear_layer_forward(&m->part.proj, y);       /* [B,N,C] */
}

const fv_mixer fv_mixer_mhsa = {.kind = "mhsa",
                                .caps = FV_MIXER_PREFIX | FV_MIXER_ANYGRID | FV_MIXER_ATTNMAP,
                                .self_bytes = sizeof(mhsa),
                                .keys = keys,
                                .init = init,
                                .forward = forward};
