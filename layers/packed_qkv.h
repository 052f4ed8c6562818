/* packed_qkv.h - what mixers with one projection to q, k and v share (timm's packed form): qkv [3C,C]
 * before the attention, proj [C,C] after it, heads and their scale. */
#ifndef FV_LAYERS_PACKED_QKV_H
#define FV_LAYERS_PACKED_QKV_H

#include "layers/linear.h"
#include "layers/mixer.h"

typedef struct fv_packed_qkv {
    int64_t heads;
    float scale; /* of the logits; 0: the mixer's own, d^-1/2 with d = C/heads for most */
    fv_linear_layer qkv, proj; /* [3C,C], [C,C] */
} fv_packed_qkv;

/* Keys that it reads, for a mixer's list of keys. */
#define FV_PACKED_QKV_KEYS "heads", "qkv_bias", "proj_bias", "scale"

/* Declares qkv and proj; heads, biases and scale are cfg's (may be NULL) or the backbone's.
 * FV_ERR_CONFIG: heads that do not divide the width. */
fv_status fv_packed_qkv_init(fv_packed_qkv *m, fv_scope scope, fv_value *cfg,
                             const fv_mixer_shape *shape);

/* scale, or d^-1/2 when it is 0 */
float fv_packed_qkv_scale(const fv_packed_qkv *m, int64_t dim);

#endif
