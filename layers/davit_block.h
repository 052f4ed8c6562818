/* davit_block.h - DaViT's block (Ding et al. 2022, figure 3), spatial or channel by its mixer:
 *
 *     x = cpe1(x);  x += mixer(norm1(x));  x = cpe2(x);  x += mlp(norm2(x))
 * with stochastic depth (Huang et al. 2016) drawn independently for the two branches. */
#ifndef FV_LAYERS_DAVIT_BLOCK_H
#define FV_LAYERS_DAVIT_BLOCK_H

#include "layers/block.h"
#include "layers/conv_pos.h"

typedef struct fv_davit_block {
    const char *path;
    const char *mid;        /* tap "<path>.mid": between the branches */
    int64_t grid_h, grid_w; /* of its map */
    fv_conv_pos cpe1, cpe2;
    fv_norm_layer norm1, norm2;
    fv_mixer_layer attn;
    fv_mlp mlp;
    float drop_path;
} fv_davit_block;

/* cfg->shape has no prefix tokens and the grid of the block's map. */
fv_status fv_davit_block_init(fv_davit_block *m, fv_scope scope, const fv_block_config *cfg);

/* x [B,H,W,C] -> [B,H,W,C], f32, tapped under the block's path. */
fv_var *fv_davit_block_forward(const fv_davit_block *m, fv_var *x);

#endif
