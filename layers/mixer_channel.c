/* mixer_channel.c - attention between channels (Ding et al. 2022, DaViT, section 3.3): every token of a
 * group of d = C/g channels is mixed by one d x d matrix that all tokens of the image determine.
 *
 *     v1 (timm, released weights): A = softmax(d^-1/2 k^T v), y_t = A q_t
 *     v2 (Florence-2):             A = softmax(N^-1/2 q^T k), y_t = A v_t
 * then proj.  Prefix tokens are tokens like the others. */
#include "layers/attention_layout.h"
#include "layers/mixer_list.h"
#include "layers/packed_qkv.h"

#include <inttypes.h>
#include <string.h>

typedef struct channel {
    fv_packed_qkv part;
    int64_t groups;
    fv_channel_roles roles;
    fv_attention_layout layout;
} channel;

static const char *const keys[] = {"kind", FV_PACKED_QKV_KEYS, "channel.groups", "channel.variant",
                                   NULL};

static fv_status init(void *self, fv_scope scope, fv_value *cfg, const fv_mixer_shape *shape) {
    channel *m = self;
    fv_value *own = NULL;
    const char *variant = "v1";
    char where[512];

    FV_TRY(fv_packed_qkv_init(&m->part, scope, cfg, shape));
    FV_TRY(fv_value_get_map(cfg, "channel", &own));
    FV_TRY(fv_value_get_int(own, "groups", 0, shape->dim, &m->groups)); /* 0: heads */
    FV_TRY(fv_value_get_string(own, "variant", &variant));
    if (m->groups == 0) m->groups = m->part.heads;
    if (shape->dim % m->groups)
        return FV_FAIL(FV_ERR_CONFIG,
                       "attention.channel.groups: %" PRId64 " does not divide the width %" PRId64,
                       m->groups, shape->dim);
    m->layout = (fv_attention_layout){.kind = FV_ATTENTION_CHANNEL,
                                      .heads = m->groups,
                                      .n_prefix = shape->n_prefix,
                                      .H = shape->grid_h,
                                      .W = shape->grid_w};
    m->roles = strcmp(variant, "v2") == 0 ? FV_CHANNEL_QK : FV_CHANNEL_KV;
    if (m->roles == FV_CHANNEL_QK || strcmp(variant, "v1") == 0) return FV_OK;
    return FV_FAIL(FV_ERR_CONFIG, "%sattention.channel.variant: '%s' is not v1 or v2",
                   fv_value_where(fv_value_find(own, "variant"), where), variant);
}

/* x [B,N,C] -> [B,N,C] */
static fv_var *forward(const void *self, fv_var *x) {
    const channel *m = self;

    fv_attention_layout_note(x->tape, &m->layout);
    fv_var *qkv = fv_linear_layer_forward(&m->part.qkv, x);                    /* [B,N,3C] */
    fv_var *y = fv_channel_attention(qkv, m->groups, m->part.scale, m->roles); /* [B,N,C] */
    return fv_linear_layer_forward(&m->part.proj, y);                          /* [B,N,C] */
}

const fv_mixer fv_mixer_channel = {.kind = "channel",
                                   .caps =
                                       FV_MIXER_PREFIX | FV_MIXER_ANYGRID | FV_MIXER_LINEAR_TIME,
                                   .self_bytes = sizeof(channel),
                                   .keys = keys,
                                   .init = init,
                                   .forward = forward};
