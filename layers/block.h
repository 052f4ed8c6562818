/* block.h - the pre-norm transformer block (Dosovitskiy et al. 2021, eqs. 2 and 3):
 *
 *     x += mixer(norm1(x));  x += mlp(norm2(x))
 * with stochastic depth (Huang et al. 2016) drawn independently for the two branches. */
#ifndef FV_LAYERS_BLOCK_H
#define FV_LAYERS_BLOCK_H

#include "layers/mixer.h"
#include "layers/mlp.h"
#include "layers/norm.h"

typedef struct fv_block_config {
    fv_mixer_shape shape;
    int64_t mlp_hidden; /* width between fc1 and fc2 */
    float norm_eps;
    float drop_path;     /* chance that a branch is left out of a sample, 0 <= rate < 1 */
    fv_value *attention; /* the attention.* group, may be NULL */
} fv_block_config;

typedef struct fv_block {
    const char *path;
    const char *mid; /* tap "<path>.mid": between the branches */
    fv_norm_layer norm1, norm2;
    fv_mixer_layer attn;
    fv_mlp mlp;
    float drop_path;
} fv_block;

fv_status fv_block_init(fv_block *m, fv_scope scope, const fv_block_config *cfg);

/* x [B,N,C] -> [B,N,C], f32, tapped under the block's path. */
fv_var *fv_block_forward(const fv_block *m, fv_var *x);

#endif
