/* attention_lepe.h - global attention beside a depthwise convolution of its input, the last stage of
 * BiFormer (Zhu et al. 2023; the authors' code, where the paper has routing to all regions):
 *
 *     y = proj(softmax_j(d^-1/2 q_i.k_j) v_j + lepe(x)),  q, k, v = qkv(x) without bias. */
#ifndef FV_LAYERS_ATTENTION_LEPE_H
#define FV_LAYERS_ATTENTION_LEPE_H

#include "layers/conv.h"
#include "layers/linear.h"

typedef struct fv_attention_lepe_config {
    int64_t dim;    /* C */
    int64_t heads;  /* divides dim; d = C / heads */
    int64_t kernel; /* of the convolution, odd, px */
} fv_attention_lepe_config;

typedef struct fv_attention_lepe {
    const char *path;
    int64_t heads;
    float scale;
    fv_linear_layer qkv, proj; /* [3C,C], [C,C] */
    fv_conv_layer lepe;        /* [C,1,k,k] */
} fv_attention_lepe;

/* FV_ERR_CONFIG: heads that do not divide dim. */
fv_status fv_attention_lepe_init(fv_attention_lepe *m, fv_scope scope,
                                 const fv_attention_lepe_config *cfg);

/* x [B,H,W,C] -> [B,H,W,C], tapped under the path. */
fv_var *fv_attention_lepe_forward(const fv_attention_lepe *m, fv_var *x);

#endif
