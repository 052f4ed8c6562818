/* biformer_block.h - the block of BiFormer (Zhu et al. 2023, section 3.3 and figure 4):
 *
 *     x += pos_embed(x);  x += gamma1 attn(norm1(x));  x += gamma2 mlp(norm2(x))
 * pos_embed is a depthwise convolution, attn bi-level routing attention (bra.h) or, in the last stage,
 * global attention with eight heads (attention_lepe.h), both branches with stochastic depth. */
#ifndef FV_LAYERS_BIFORMER_BLOCK_H
#define FV_LAYERS_BIFORMER_BLOCK_H

#include "layers/attention_lepe.h"
#include "layers/bra.h"
#include "layers/mlp.h"
#include "layers/norm.h"

typedef struct fv_biformer_block_config {
    fv_bra_config attn; /* topk 0: global attention; heads, regions and lepe do not count then */
    int64_t mlp_hidden;
    int64_t pos_kernel;     /* of pos_embed, odd, px; 0: none */
    float layer_scale;      /* gamma1 and gamma2 at first; 0: none */
    float drop_path;        /* chance that a branch is left out of a sample, 0 <= rate < 1 */
    const char *mlp_second; /* name of the second layer of the MLP: "3" or "2" */
} fv_biformer_block_config;

typedef struct fv_biformer_block {
    const char *path;
    const char *mid;           /* tap "<path>.mid": between the branches */
    fv_param *gamma1, *gamma2; /* [C]; NULL without layer scale */
    fv_conv_layer pos_embed;
    fv_norm_layer norm1, norm2;
    fv_bra bra;
    fv_attention_lepe global;
    fv_mlp mlp;
    bool has_pos, is_global;
    float drop_path;
} fv_biformer_block;

fv_status fv_biformer_block_init(fv_biformer_block *m, fv_scope scope,
                                 const fv_biformer_block_config *cfg);

/* x [B,H,W,C] -> [B,H,W,C], f32, tapped under the path. */
fv_var *fv_biformer_block_forward(const fv_biformer_block *m, fv_var *x);

#endif
